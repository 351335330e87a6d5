//! Eigenvalues and eigenvectors of a small symmetric matrix.
//!
//! Cyclic Jacobi method (1846): rotates two axes at a time until the off-diagonal elements vanish. It is the
//! shortest of the accurate methods; the matrices here have at most a few hundred rows.

/// Maximum number of sweeps; seven or eight usually suffice, and further ones only change rounding noise.
const MOST_SWEEPS: usize = 30;

/// Eigenvalues in ascending order, with a unit eigenvector for each.
#[derive(Clone, Debug)]
pub(super) struct Eigen {
    pub(super) values: Vec<f64>,
    pub(super) vectors: Vec<Vec<f64>>,
}

/// Decomposes a symmetric n × n matrix.
pub(super) fn eigen(mut a: Vec<f64>, n: usize) -> Eigen {
    let mut vectors = identity(n);
    let scale: f64 = a.iter().map(|v| v * v).sum();
    for _ in 0..MOST_SWEEPS {
        let off: f64 =
            (0..n).flat_map(|p| (p + 1..n).map(move |q| (p, q))).map(|(p, q)| a[p * n + q].powi(2)).sum();
        if off <= 1e-24 * scale {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                turn(&mut a, &mut vectors, n, p, q);
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[i * n + i].total_cmp(&a[j * n + j]));
    Eigen {
        values: order.iter().map(|&i| a[i * n + i]).collect(),
        vectors: order.into_iter().map(|i| vectors[i * n..(i + 1) * n].to_vec()).collect(),
    }
}

fn identity(n: usize) -> Vec<f64> {
    (0..n * n).map(|i| f64::from(u8::from(i / n == i % n))).collect()
}

/// Rotates axes p and q so that the element between them vanishes (Golub and Van Loan, Matrix Computations, 8.5.2).
/// Row i of `vectors` is the i-th axis.
fn turn(a: &mut [f64], vectors: &mut [f64], n: usize, p: usize, q: usize) {
    let between = a[p * n + q];
    if between == 0.0 {
        return;
    }
    let tau = (a[q * n + q] - a[p * n + p]) / (2.0 * between);
    let t = if tau >= 0.0 { 1.0 / (tau + tau.hypot(1.0)) } else { 1.0 / (tau - tau.hypot(1.0)) };
    let c = 1.0 / t.hypot(1.0);
    let s = t * c;
    for k in 0..n {
        let (x, y) = (a[k * n + p], a[k * n + q]);
        a[k * n + p] = c * x - s * y;
        a[k * n + q] = s * x + c * y;
    }
    mix(a, n, p, q, c, s);
    mix(vectors, n, p, q, c, s);
}

/// Replaces rows p and q by c·p − s·q and s·p + c·q.
fn mix(rows: &mut [f64], n: usize, p: usize, q: usize, c: f64, s: f64) {
    let (before, after) = rows.split_at_mut(q * n);
    for (x, y) in before[p * n..(p + 1) * n].iter_mut().zip(&mut after[..n]) {
        (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Key, Use};

    #[test]
    fn a_matrix_solved_by_hand() {
        let found = eigen(vec![2.0, 1.0, 1.0, 2.0], 2);
        assert!((found.values[0] - 1.0).abs() < 1e-12 && (found.values[1] - 3.0).abs() < 1e-12);
        assert!((found.vectors[0][0] + found.vectors[0][1]).abs() < 1e-12);
    }

    #[test]
    fn the_laplacian_of_a_ring_has_its_known_spectrum() {
        // Eigenvalues of a cycle of n nodes: 2 − 2 cos(2πk ÷ n), in pairs.
        let n = 12;
        let near = |i: usize, j: usize| (i + 1) % n == j || (j + 1) % n == i;
        let value = |i: usize, j: usize| {
            if i == j {
                2.0
            } else if near(i, j) {
                -1.0
            } else {
                0.0
            }
        };
        let found = eigen((0..n * n).map(|i| value(i / n, i % n)).collect(), n);
        let mut expected: Vec<f64> =
            (0..n).map(|k| 2.0 - 2.0 * (std::f64::consts::TAU * k as f64 / n as f64).cos()).collect();
        expected.sort_by(f64::total_cmp);
        for (found, expected) in found.values.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-10, "{found} {expected}");
        }
    }

    #[test]
    fn vectors_are_orthogonal_and_reproduce_the_matrix() {
        let n = 30;
        let mut rng = Key::new(3, Use::Explain).rng();
        let mut a = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                a[i * n + j] = rng.normal();
                a[j * n + i] = a[i * n + j];
            }
        }
        let found = eigen(a.clone(), n);
        for (value, vector) in found.values.iter().zip(&found.vectors) {
            for i in 0..n {
                let product: f64 = (0..n).map(|j| a[i * n + j] * vector[j]).sum();
                assert!((product - value * vector[i]).abs() < 1e-9);
            }
        }
        let dot: f64 = found.vectors[0].iter().zip(&found.vectors[1]).map(|(x, y)| x * y).sum();
        assert!(dot.abs() < 1e-10);
    }
}
