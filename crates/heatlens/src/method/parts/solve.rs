//! Small systems of linear equations.

/// Regularization added to the diagonal of singular systems, as a share of its largest element.
const RIDGE: f64 = 1e-9;

/// Solves A·x = b for a symmetric positive semidefinite A (row-major n×n, only the lower half is read), for each b
/// in turn. If some unknowns are not identifiable, x is the minimum-norm solution up to a share of 10⁻⁹, which
/// divides their joint value evenly.
pub(in crate::method) fn solve(mut a: Vec<f64>, rights: &mut [Vec<f64>]) {
    if cholesky(a.clone(), rights).is_some() {
        return;
    }
    let n = rights.first().map_or(0, Vec::len);
    let largest = largest(&a, n);
    (0..n).for_each(|i| a[i * n + i] += RIDGE * if largest > 0.0 { largest } else { 1.0 });
    cholesky(a, rights);
}

/// Returns the largest diagonal element.
fn largest(a: &[f64], n: usize) -> f64 {
    (0..n).map(|i| a[i * n + i]).fold(0.0, f64::max)
}

/// Solves by Cholesky decomposition; `None`, with `rights` unchanged, if A is not positive definite up to rounding.
fn cholesky(mut a: Vec<f64>, rights: &mut [Vec<f64>]) -> Option<()> {
    let n = rights.first().map_or(0, Vec::len);
    let smallest = 1e-12 * largest(&a, n);
    for i in 0..n {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| a[i * n + k] * a[j * n + k]).sum();
            let rest = a[i * n + j] - dot;
            if i != j {
                a[i * n + j] = rest / a[j * n + j];
            } else if rest > smallest {
                a[i * n + i] = rest.sqrt();
            } else {
                return None;
            }
        }
    }
    for x in rights {
        for i in 0..n {
            let dot: f64 = (0..i).map(|k| a[i * n + k] * x[k]).sum();
            x[i] = (x[i] - dot) / a[i * n + i];
        }
        for i in (0..n).rev() {
            let dot: f64 = (i + 1..n).map(|k| a[k * n + i] * x[k]).sum();
            x[i] = (x[i] - dot) / a[i * n + i];
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_finds_solves_the_equations() {
        let a = vec![4.0, 0.0, 0.0, 2.0, 5.0, 0.0, 1.0, -1.0, 3.0];
        let mut x = [vec![1.0, 2.0, 3.0], vec![0.0, 0.0, 1.0]];
        solve(a, &mut x);
        let full = [[4.0, 2.0, 1.0], [2.0, 5.0, -1.0], [1.0, -1.0, 3.0]];
        for (x, b) in x.iter().zip([[1.0, 2.0, 3.0], [0.0, 0.0, 1.0]]) {
            for (row, b) in full.iter().zip(b) {
                let product: f64 = row.iter().zip(x).map(|(r, x)| r * x).sum();
                assert!((product - b).abs() < 1e-12, "{product} {b}");
            }
        }
    }

    #[test]
    fn what_cannot_be_told_apart_is_shared() {
        // x₀ + x₁ = 3, twice, and x₂ = 5; an all-zero system gives 0.
        let a = vec![1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        let mut x = [vec![3.0, 3.0, 5.0]];
        solve(a, &mut x);
        for (found, expected) in x[0].iter().zip([1.5, 1.5, 5.0]) {
            assert!((found - expected).abs() < 1e-6, "{x:?}");
        }
        let mut nothing = [vec![0.0, 0.0]];
        solve(vec![0.0; 4], &mut nothing);
        assert_eq!(nothing[0], [0.0, 0.0]);
    }
}
