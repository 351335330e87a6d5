//! NumPy broadcasting of symbolic shapes and of indices.

use crate::error::OpError;
use crate::fact::{Dim, Shape};
use crate::op::invalid;

/// Returns the shape that `a` and `b` broadcast to.
///
/// # Errors
/// If two sizes differ and neither is 1. The batch size never counts as 1.
pub fn broadcast(a: &Shape, b: &Shape) -> Result<Shape, OpError> {
    let rank = a.rank().max(b.rank());
    let dim = |shape: &Shape, axis: usize| {
        (axis + shape.rank()).checked_sub(rank).map_or(Dim::Fixed(1), |i| shape.0[i])
    };
    let mut dims = Vec::with_capacity(rank);
    for axis in 0..rank {
        dims.push(match (dim(a, axis), dim(b, axis)) {
            (x, y) if x == y => x,
            (x, y) if y.is_one() => x,
            (x, y) if x.is_one() => y,
            _ => return Err(invalid(format!("shapes {a} and {b} do not broadcast"))),
        });
    }
    Ok(Shape(dims))
}

/// Returns the row-major strides of an array of `shape` viewed as one of `target` shape: repeated axes have stride 0.
///
/// `shape` must broadcast to `target`.
#[must_use]
pub fn strides_in(shape: &[usize], target: &[usize]) -> Vec<usize> {
    let mut strides = vec![0; target.len()];
    let mut step = 1;
    for (i, &d) in shape.iter().enumerate().rev() {
        let axis = i + target.len() - shape.len();
        strides[axis] = if d == 1 { 0 } else { step };
        step *= d;
    }
    strides
}

/// Calls `visit` with the index vector of each element of an array of `shape`, in row-major order.
pub fn for_each_index(shape: &[usize], mut visit: impl FnMut(&[usize])) {
    if shape.contains(&0) {
        return;
    }
    let mut index = vec![0; shape.len()];
    loop {
        visit(&index);
        let mut axis = shape.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
}

/// Calls `visit` with the position of each element of an array of `shape`, in row-major order, in N arrays with the given
/// strides.
pub fn for_each_offset<const N: usize>(
    shape: &[usize],
    strides: [&[usize]; N],
    mut visit: impl FnMut([usize; N]),
) {
    let Some((&columns, rows)) = shape.split_last() else { return visit([0; N]) };
    let steps = strides.map(|strides| strides[rows.len()]);
    for_each_index(rows, |index| {
        let mut at = strides.map(|strides| offset(index, strides));
        for _ in 0..columns {
            visit(at);
            at.iter_mut().zip(steps).for_each(|(at, step)| *at += step);
        }
    });
}

/// Returns the position of an index in an array with the given strides.
#[must_use]
pub fn offset(index: &[usize], strides: &[usize]) -> usize {
    index.iter().zip(strides).map(|(i, s)| i * s).sum()
}

/// Returns the row-major strides of a dense array.
#[must_use]
pub fn dense_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_is_not_a_one() {
        let batch = Shape::batched(&[3]);
        assert_eq!(broadcast(&batch, &Shape::fixed(&[1, 3])).unwrap(), batch);
        assert_eq!(broadcast(&Shape::fixed(&[]), &batch).unwrap(), batch);
        assert!(broadcast(&batch, &Shape::fixed(&[2, 3])).is_err());
        assert!(broadcast(&batch, &Shape([Dim::Batch(2), Dim::Fixed(3)].to_vec())).is_err());
    }

    #[test]
    fn repeated_axes_do_not_move() {
        assert_eq!(strides_in(&[3, 1], &[2, 3, 4]), [0, 1, 0]);
        let mut seen = Vec::new();
        for_each_index(&[2, 2], |i| seen.push(offset(i, &dense_strides(&[2, 2]))));
        assert_eq!(seen, [0, 1, 2, 3]);
    }

    #[test]
    fn offsets_are_those_of_the_indices() {
        for shape in [&[][..], &[3], &[2, 3, 4], &[2, 0, 3], &[3, 0]] {
            let (dense, repeated) = (dense_strides(shape), strides_in(&[1], &[shape, &[1]].concat()));
            let (mut by_index, mut by_offset) = (Vec::new(), Vec::new());
            for_each_index(shape, |i| by_index.push([offset(i, &dense), offset(i, &repeated)]));
            for_each_offset(shape, [&dense, &repeated], |at| by_offset.push(at));
            assert_eq!(by_index, by_offset, "{shape:?}");
        }
    }
}
