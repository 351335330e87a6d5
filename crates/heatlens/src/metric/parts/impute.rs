//! Pixels filled in from their neighbours (Rong et al. 2022, ROAD, §4.2): every missing pixel is the weighted mean of
//! the eight around it, 1/6 for those beside, above and below, 1/12 for those at the corners. That is a linear system
//! in the missing pixels, solved here from coarse to fine by conjugate gradients (Deuflhard 1994, the cascadic
//! method): what is known of a half-size image is a start that needs few steps.

use crate::bilinear::resize;

/// The residual that counts as solved, as a share of the right-hand side.
const TOLERANCE: f64 = 1e-4;

const BESIDE: f32 = 1.0 / 6.0;
const CORNER: f32 = 1.0 / 12.0;

/// Replaces the `missing` pixels (h·w) of an image c·h·w. An image of which nothing is known becomes 0.
pub(in crate::metric) fn impute(image: &mut [f32], [_, h, w]: [usize; 3], missing: &[bool]) {
    let levels = Levels::new(missing, h, w);
    for plane in image.chunks_exact_mut((h * w).max(1)) {
        levels.fill(0, plane);
    }
}

/// The image at full size, at half the size, and so on until nothing is missing.
struct Levels(Vec<Level>);

impl Levels {
    fn new(missing: &[bool], h: usize, w: usize) -> Self {
        let mut levels = vec![Level::new(missing.to_vec(), h, w)];
        while let Some(last) = levels.last().filter(|l| l.any_missing() && l.h.max(l.w) > 1) {
            let half = last.half();
            levels.push(half);
        }
        Self(levels)
    }

    /// Fills the missing pixels of a plane of level `at`.
    fn fill(&self, at: usize, plane: &mut [f32]) {
        let level = &self.0[at];
        if !level.any_missing() {
            return;
        }
        let Some(coarse) = self.0.get(at + 1) else {
            plane.fill(0.0);
            return;
        };
        let mut small = level.halved(plane, coarse);
        self.fill(at + 1, &mut small);
        // Cells of the half-size plane are pairs; the last may reach over the edge.
        let start = resize(&small, [coarse.h, coarse.w], [2 * coarse.h, 2 * coarse.w]);
        for (y, row) in plane.chunks_exact_mut(level.w).enumerate() {
            let missing = &level.missing[y * level.w..];
            for (x, value) in row.iter_mut().enumerate().filter(|(x, _)| missing[*x]) {
                *value = start[y * 2 * coarse.w + x];
            }
        }
        level.solve(plane);
    }
}

/// A plane's missing pixels. Fields have a border of one, so that every pixel has eight neighbours.
struct Level {
    h: usize,
    w: usize,
    missing: Vec<bool>,
    /// 1 where a pixel is missing, with border.
    unknown: Vec<f32>,
    /// The sum of the weights of the neighbours that exist, with border.
    weight: Vec<f32>,
}

impl Level {
    fn new(missing: Vec<bool>, h: usize, w: usize) -> Self {
        let mut level = Self { h, w, missing, unknown: Vec::new(), weight: Vec::new() };
        let as_field = |value: &dyn Fn(usize) -> f32| {
            let mut field = vec![0.0; (h + 2) * (w + 2)];
            for i in 0..h * w {
                field[(i / w + 1) * (w + 2) + i % w + 1] = value(i);
            }
            field
        };
        level.unknown = as_field(&|i| f32::from(u8::from(level.missing[i])));
        let exists = as_field(&|_| 1.0);
        let mut weight = vec![0.0; exists.len()];
        level.around(&exists, &mut weight);
        level.weight = weight;
        level
    }

    fn any_missing(&self) -> bool {
        self.missing.contains(&true)
    }

    /// Pairs of pixels as one: missing where all of them are.
    fn half(&self) -> Self {
        let (h, w) = (self.h.div_ceil(2), self.w.div_ceil(2));
        let mut missing = vec![true; h * w];
        for i in (0..self.missing.len()).filter(|&i| !self.missing[i]) {
            missing[i / self.w / 2 * w + i % self.w / 2] = false;
        }
        Self::new(missing, h, w)
    }

    /// The means of the known pixels.
    fn halved(&self, plane: &[f32], coarse: &Self) -> Vec<f32> {
        let (mut sums, mut counts) = (vec![0.0; coarse.h * coarse.w], vec![0u8; coarse.h * coarse.w]);
        for i in (0..plane.len()).filter(|&i| !self.missing[i]) {
            let cell = i / self.w / 2 * coarse.w + i % self.w / 2;
            sums[cell] += plane[i];
            counts[cell] += 1;
        }
        sums.iter().zip(&counts).map(|(sum, &n)| sum / f32::from(n.max(1))).collect()
    }

    /// The weighted sum of each pixel's neighbours.
    fn around(&self, field: &[f32], out: &mut [f32]) {
        let (w, stride) = (self.w, self.w + 2);
        for y in 1..=self.h {
            // Slices of one length, so that the loop needs no checks and takes several pixels at a time.
            let [above, here, below] = [y - 1, y, y + 1].map(|y| {
                let line = &field[y * stride..(y + 1) * stride];
                [&line[..w], &line[1..=w], &line[2..w + 2]]
            });
            let out = &mut out[y * stride + 1..][..w];
            for x in 0..w {
                let beside = here[0][x] + here[2][x] + above[1][x] + below[1][x];
                let corners = above[0][x] + above[2][x] + below[0][x] + below[2][x];
                out[x] = BESIDE * beside + CORNER * corners;
            }
        }
    }

    /// Solves for the missing pixels, from what stands there.
    fn solve(&self, plane: &mut [f32]) {
        let stride = self.w + 2;
        let mut field = vec![0.0; self.unknown.len()];
        for (row, line) in field.chunks_exact_mut(stride).skip(1).zip(plane.chunks_exact(self.w)) {
            row[1..=self.w].copy_from_slice(line);
        }
        let known: Vec<f32> = field.iter().zip(&self.unknown).map(|(f, u)| f * (1.0 - u)).collect();
        let mut around = vec![0.0; field.len()];
        self.around(&known, &mut around);
        around.iter_mut().zip(&self.unknown).for_each(|(a, u)| *a *= u);
        let enough = TOLERANCE * TOLERANCE * dot(&around, &around);
        self.around(&field, &mut around);
        let mut residual: Vec<f32> =
            (0..field.len()).map(|i| self.unknown[i] * (around[i] - self.weight[i] * field[i])).collect();
        let mut direction = residual.clone();
        let mut size = dot(&residual, &residual);
        for _ in 0..4 * (self.h + self.w) {
            if size <= enough {
                break;
            }
            self.around(&direction, &mut around);
            let terms = self.unknown.iter().zip(&self.weight).zip(&direction);
            for (a, ((unknown, weight), d)) in around.iter_mut().zip(terms) {
                *a = unknown * (weight * d - *a);
            }
            let curvature = dot(&direction, &around);
            if curvature <= 0.0 {
                break;
            }
            #[allow(clippy::cast_possible_truncation)]
            let step = (size / curvature) as f32;
            field.iter_mut().zip(&direction).for_each(|(f, d)| *f += step * d);
            residual.iter_mut().zip(&around).for_each(|(r, a)| *r -= step * a);
            let next = dot(&residual, &residual);
            #[allow(clippy::cast_possible_truncation)]
            let turn = (next / size) as f32;
            direction.iter_mut().zip(&residual).for_each(|(d, r)| *d = r + turn * *d);
            size = next;
        }
        for (row, line) in field.chunks_exact(stride).skip(1).zip(plane.chunks_exact_mut(self.w)) {
            line.copy_from_slice(&row[1..=self.w]);
        }
    }
}

/// Σ a·b in eight lanes, so that the processor can take them together; always in the same order.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut lanes = [0.0f64; 8];
    let (eights_a, eights_b) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in eights_a.0.iter().zip(eights_b.0) {
        for i in 0..8 {
            lanes[i] += f64::from(a[i] * b[i]);
        }
    }
    for (lane, (a, b)) in lanes.iter_mut().zip(eights_a.1.iter().zip(eights_b.1)) {
        *lane += f64::from(a * b);
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Key, Use};

    /// Every missing pixel is the weighted mean of its neighbours.
    fn off(image: &[f32], [_, h, w]: [usize; 3], missing: &[bool]) -> f64 {
        let mut worst = 0.0f64;
        for (i, _) in missing.iter().enumerate().filter(|(_, m)| **m) {
            let (mut sum, mut weights) = (0.0, 0.0);
            for (dy, dx) in (0..9).map(|k| (k / 3, k % 3)).filter(|&p| p != (1, 1)) {
                let (y, x) = ((i / w + dy).wrapping_sub(1), (i % w + dx).wrapping_sub(1));
                if y < h && x < w {
                    let weight = if dy == 1 || dx == 1 { 1.0 / 6.0 } else { 1.0 / 12.0 };
                    sum += weight * f64::from(image[y * w + x]);
                    weights += weight;
                }
            }
            worst = worst.max((f64::from(image[i]) - sum / weights).abs());
        }
        worst
    }

    #[test]
    fn missing_pixels_are_the_means_of_their_neighbours() {
        for (case, [h, w], share) in
            [(0, [17, 23], 0.3), (1, [32, 32], 0.9), (2, [9, 31], 0.97), (3, [64, 48], 0.5)]
        {
            let mut rng = Key::new(case, Use::Audit).rng();
            let image: Vec<f32> = (0..2 * h * w).map(|_| rng.uniform()).collect();
            // A blob as well as grains.
            let missing: Vec<bool> =
                (0..h * w).map(|i| rng.uniform() < share || (i / w < h / 2 && i % w < w / 2)).collect();
            let mut filled = image.clone();
            impute(&mut filled, [2, h, w], &missing);
            for plane in filled.chunks(h * w) {
                let off = off(plane, [1, h, w], &missing);
                assert!(off < 1e-3, "{case}: {off}");
            }
            for (i, (a, b)) in image.iter().zip(&filled).enumerate() {
                assert!(missing[i % (h * w)] || a == b, "a known pixel changed");
            }
        }
    }

    #[test]
    fn one_known_pixel_fills_the_image_and_none_leaves_it_empty() {
        let mut image = vec![0.0; 35];
        image[17] = 0.7;
        let missing: Vec<bool> = (0..35).map(|i| i != 17).collect();
        impute(&mut image, [1, 5, 7], &missing);
        assert!(image.iter().all(|v| (v - 0.7).abs() < 0.01), "{image:?}");
        impute(&mut image, [1, 5, 7], &[true; 35]);
        assert_eq!(image, [0.0; 35]);
    }
}
