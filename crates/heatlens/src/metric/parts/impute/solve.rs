//! Solver of the linear system of the missing pixels: conjugate gradients, preconditioned by a multigrid cycle
//! (Tatebe 1993, The multigrid preconditioned conjugate gradient method; Briggs, Henson and McCormick 2000, A
//! Multigrid Tutorial). Holes of any size take about ten steps, because distant pixels are close on a smaller grid.

use super::grid::Grid;

/// Relative residual at convergence.
const TOLERANCE: f64 = 1e-4;
/// Maximum number of steps, far above the number that any hole takes.
const MOST_STEPS: usize = 200;

/// Solves for the missing pixels of a plane of the first grid, starting from its current values.
pub(super) fn solve(grids: &[Grid], plane: &mut [f32]) {
    let Some(grid) = grids.first() else { return };
    let stride = grid.stride();
    let mut field = vec![0.0; grid.unknown.len()];
    for (row, line) in field.chunks_exact_mut(stride).skip(1).zip(plane.chunks_exact(grid.w)) {
        row[1..=grid.w].copy_from_slice(line);
    }
    let known: Vec<f32> = field.iter().zip(&grid.unknown).map(|(f, u)| f * (1.0 - u)).collect();
    let mut residual = vec![0.0; field.len()];
    grid.around(&known, &mut residual);
    residual.iter_mut().zip(&grid.unknown).for_each(|(a, u)| *a *= u);
    let enough = TOLERANCE * TOLERANCE * dot(&residual, &residual);
    multiply(grid, &field, &mut residual);
    residual.iter_mut().for_each(|r| *r = -*r);
    descend(grids, [&mut field, &mut residual], enough);
    for (row, line) in field.chunks_exact(stride).skip(1).zip(plane.chunks_exact_mut(grid.w)) {
        line.copy_from_slice(&row[1..=grid.w]);
    }
}

/// Runs conjugate gradients until the squared norm of the residual is at most `enough`; returns the number of
/// steps.
fn descend(grids: &[Grid], [field, residual]: [&mut [f32]; 2], enough: f64) -> usize {
    let Some(grid) = grids.first() else { return 0 };
    let mut cycles = Cycles::new(grids);
    let mut product = vec![0.0; field.len()];
    let mut direction = vec![0.0; field.len()];
    let mut size = f64::INFINITY;
    for step in 0..MOST_STEPS {
        if dot(residual, residual) <= enough {
            return step;
        }
        let correction = cycles.correction(residual);
        let next = dot(residual, correction);
        let turn = as_single(next / size);
        direction.iter_mut().zip(correction).for_each(|(d, c)| *d = c + turn * *d);
        size = next;
        multiply(grid, &direction, &mut product);
        let curvature = dot(&direction, &product);
        if curvature <= 0.0 {
            return step;
        }
        let length = as_single(size / curvature);
        field.iter_mut().zip(&direction).for_each(|(f, d)| *f += length * d);
        residual.iter_mut().zip(&product).for_each(|(r, p)| *r -= length * p);
    }
    MOST_STEPS
}

#[allow(clippy::cast_possible_truncation)]
fn as_single(x: f64) -> f32 {
    x as f32
}

/// Computes the weight of each missing pixel times its value, minus the weighted sum of its neighbours. For a field
/// that is 0 at known pixels, this is the system's matrix times the field.
fn multiply(grid: &Grid, field: &[f32], out: &mut [f32]) {
    grid.around(field, out);
    let terms = grid.unknown.iter().zip(&grid.weight).zip(field);
    for (out, ((unknown, weight), f)) in out.iter_mut().zip(terms) {
        *out = unknown * (weight * f - *out);
    }
}

/// Approximate solutions by one multigrid cycle, with buffers.
struct Cycles<'g> {
    grids: &'g [Grid],
    /// Right-hand side, residual and correction of each grid.
    rooms: Vec<[Vec<f32>; 3]>,
}

impl<'g> Cycles<'g> {
    fn new(grids: &'g [Grid]) -> Self {
        let rooms = grids.iter().map(|grid| [(); 3].map(|()| vec![0.0; grid.unknown.len()])).collect();
        Self { grids, rooms }
    }

    /// Returns an approximate solution for a residual of the first grid, by a fixed symmetric linear operator.
    fn correction(&mut self, residual: &[f32]) -> &[f32] {
        if let Some([right, ..]) = self.rooms.first_mut() {
            right.copy_from_slice(residual);
        }
        cycle(self.grids, &mut self.rooms);
        self.rooms.first().map_or(&[], |[_, _, correction]| correction)
    }
}

/// Runs a Jacobi step, a correction from the next smaller grid, and another Jacobi step.
fn cycle(grids: &[Grid], rooms: &mut [[Vec<f32>; 3]]) {
    let (Some((grid, coarser)), Some((room, smaller))) = (grids.split_first(), rooms.split_first_mut())
    else {
        return;
    };
    let [right, left, correction] = room;
    for ((to, value), inverse) in correction.iter_mut().zip(&*right).zip(&grid.inverse) {
        *to = value * inverse;
    }
    if let (Some(coarse), Some([small, ..])) =
        (coarser.first().filter(|c| c.any_missing()), smaller.first_mut())
    {
        remainder(grid, correction, right, left);
        grid.gather(left, coarse, small);
        cycle(coarser, smaller);
        grid.add_enlarged(coarse, &smaller[0][2], correction);
    }
    remainder(grid, correction, right, left);
    for ((to, value), inverse) in correction.iter_mut().zip(&*left).zip(&grid.inverse) {
        *to += value * inverse;
    }
}

/// Computes `left` = `right` − the system's matrix times a field.
fn remainder(grid: &Grid, field: &[f32], right: &[f32], left: &mut [f32]) {
    multiply(grid, field, left);
    left.iter_mut().zip(right).for_each(|(left, right)| *left = right - *left);
}

/// Returns Σ a·b, summed in single precision over blocks of 256 and in double precision across blocks, always in
/// the same order.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.chunks(256).zip(b.chunks(256)).map(|(a, b)| f64::from(short_dot(a, b))).sum()
}

/// Returns Σ a·b in eight lanes, so that the compiler can vectorize it.
fn short_dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let (eights_a, eights_b) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in eights_a.0.iter().zip(eights_b.0) {
        for i in 0..8 {
            lanes[i] += a[i] * b[i];
        }
    }
    for (lane, (a, b)) in lanes.iter_mut().zip(eights_a.1.iter().zip(eights_b.1)) {
        *lane += a * b;
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::parts::impute::grids;
    use crate::random::{Key, Use};

    /// A disc of missing pixels.
    fn disc(size: usize) -> Vec<bool> {
        let centre = size as f64 / 2.0;
        let far = |i: usize| (i as f64 + 0.5 - centre).powi(2);
        (0..size * size).map(|i| far(i / size) + far(i % size) < (0.45 * size as f64).powi(2)).collect()
    }

    #[test]
    fn a_cycle_is_a_symmetric_matrix_and_nearly_the_inverse() {
        let grids = grids(&disc(37), 37, 37);
        let mut rng = Key::new(1, Use::Audit).rng();
        let mut random =
            || -> Vec<f32> { grids[0].unknown.iter().map(|u| u * (rng.uniform() - 0.5)).collect() };
        let (a, b) = (random(), random());
        let mut cycles = Cycles::new(&grids);
        let (left, right) = (dot(&b, cycles.correction(&a)), dot(&a, cycles.correction(&b)));
        assert!((left - right).abs() < 1e-4 * left.abs().max(right.abs()), "{left} {right}");
        // Applied to the matrix times a field, it approximately returns the field.
        let mut product = vec![0.0; a.len()];
        multiply(&grids[0], &a, &mut product);
        let back = cycles.correction(&product);
        let off: Vec<f32> = a.iter().zip(back).map(|(a, b)| a - b).collect();
        let share = (dot(&off, &off) / dot(&a, &a)).sqrt();
        assert!(share < 0.35, "{share}");
    }

    #[test]
    fn large_holes_take_hardly_more_steps_than_small_ones() {
        for size in [16, 64, 256] {
            let grids = grids(&disc(size), size, size);
            let mut rng = Key::new(2, Use::Audit).rng();
            let mut residual: Vec<f32> = grids[0].unknown.iter().map(|u| u * rng.uniform()).collect();
            let mut field = vec![0.0; residual.len()];
            let enough = 1e-8 * dot(&residual, &residual);
            let steps = descend(&grids, [&mut field, &mut residual], enough);
            assert!((1..=12).contains(&steps), "{steps} steps for a disc in {size}×{size}");
        }
    }
}
