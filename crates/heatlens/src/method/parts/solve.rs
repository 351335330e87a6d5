//! Small systems of linear equations.

/// Solves A·x = b for a symmetric positive definite A (row-major n×n, its lower half is read), for
/// each b in turn, by Cholesky's decomposition; none if A is not positive definite to rounding.
pub(in crate::method) fn solve(mut a: Vec<f64>, rights: &mut [Vec<f64>]) -> Option<()> {
    let n = rights.first().map_or(0, Vec::len);
    let smallest = 1e-12 * (0..n).map(|i| a[i * n + i]).fold(0.0, f64::max);
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
        solve(a, &mut x).unwrap();
        let full = [[4.0, 2.0, 1.0], [2.0, 5.0, -1.0], [1.0, -1.0, 3.0]];
        for (x, b) in x.iter().zip([[1.0, 2.0, 3.0], [0.0, 0.0, 1.0]]) {
            for (row, b) in full.iter().zip(b) {
                let product: f64 = row.iter().zip(x).map(|(r, x)| r * x).sum();
                assert!((product - b).abs() < 1e-12, "{product} {b}");
            }
        }
        assert!(solve(vec![1.0, 0.0, 1.0, 1.0], &mut [vec![1.0, 1.0]]).is_none(), "two equal rows");
    }
}
