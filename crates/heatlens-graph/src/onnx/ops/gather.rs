//! `Gather` with known indices.

use super::Recipe;
use crate::error::OpError;
use crate::fact::{Dim, Shape};
use crate::onnx::attributes::Attributes;
use crate::onnx::batch_index;
use crate::onnx::scope::{Outputs, Problem, Scope, Slot};
use crate::op::gather::Gather;
use crate::op::invalid;
use crate::op::reshape::{Reshape, Squeeze};
use crate::op::slice::Slice;
use crate::tensor::{Data, Tensor};

/// Reads `Gather`. A stored array is gathered at once. A computed one becomes a `Slice` if there is one index or the
/// indices are evenly spaced, as exporters write `x[:, 0]`, and a `Gather` otherwise.
pub(super) fn gather(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let axis = attributes.int("axis")?.unwrap_or(0);
    Ok(Box::new(move |scope| {
        if let Some(indices) = scope.numbered(1) {
            return of_each_sample(scope, axis, &indices);
        }
        let indices = scope.constant(1, "indices")?.ok_or(OpError::MissingInput { index: 1 })?;
        let places = indices.as_i64().ok_or_else(|| invalid("expected whole numbers as indices"))?;
        if let Some(stored) = stored(scope) {
            return Ok(vec![Slot::Stored(take(&stored, axis, places, indices.shape())?)]);
        }
        let x = scope.input(0)?;
        let shape = scope.fact(x).shape.clone();
        let at = shape.axis(axis).ok_or_else(|| invalid(format!("axis {axis} of {shape}")))?;
        let Some(&Dim::Fixed(size)) = shape.0.get(at) else {
            return Err(OpError::Unsupported("choosing among the samples".to_owned()).into());
        };
        let places = resolve(places, size)?;
        let neighbours = neighbours(at, &places);
        let Some(slice) = neighbours.filter(|_| indices.shape().len() < 2) else {
            let op = Gather { axis: at, indices: places.into(), shape: indices.shape().to_vec() };
            return scope.finish(op, &[Some(x)]);
        };
        if indices.shape().len() == 1 {
            return scope.finish(slice, &[Some(x)]);
        }
        let row = scope.step(slice, &[x])?;
        let axes = vec![i64::try_from(at).unwrap_or(i64::MAX)];
        scope.finish(Squeeze { axes }, &[Some(row)])
    }))
}

/// Reads the rows of each sample that indices into a flattened batch select.
fn of_each_sample(scope: &mut Scope<'_>, axis: i64, indices: &[Tensor; 2]) -> Result<Outputs, Problem> {
    let x = scope.input(0)?;
    let shape = scope.fact(x).shape.clone();
    let Some((&Dim::Batch(size), rest)) = shape.0.split_first().filter(|_| shape.axis(axis) == Some(0))
    else {
        return Err(
            OpError::Unsupported(format!("numbers of samples as indices of axis {axis} of {shape}")).into()
        );
    };
    let places = batch_index::places(indices, size)?;
    let rows = Shape([&[Dim::Batch(1), Dim::Fixed(size)], rest].concat());
    let rows = scope.step(Reshape { shape: rows }, &[x])?;
    let own = places.rest.into_iter().map(Dim::Fixed);
    let shape = std::iter::once(Dim::Batch(places.rows)).chain(own).chain(rest.iter().copied()).collect();
    let len = places.offsets.len();
    let taken = match neighbours(1, &places.offsets) {
        Some(slice) => scope.step(slice, &[rows])?,
        None => scope.step(Gather { axis: 1, indices: places.offsets.into(), shape: vec![len] }, &[rows])?,
    };
    scope.finish(Reshape { shape: Shape(shape) }, &[Some(taken)])
}

/// Returns the first input if it is a constant.
fn stored(scope: &Scope<'_>) -> Option<Tensor> {
    match scope.reading.slots.get(scope.node.input.first()?)? {
        Slot::Stored(tensor) => Some(tensor.clone()),
        Slot::Value(id) => scope.reading.graph.constant(*id).cloned(),
        _ => None,
    }
}

/// Converts indices to positions counted from the front; negative indices count from the back.
pub(super) fn resolve(indices: &[i64], size: usize) -> Result<Vec<usize>, OpError> {
    let whole = i64::try_from(size).unwrap_or(i64::MAX);
    let place = |&i: &i64| {
        let from_front = if i < 0 { i.saturating_add(whole) } else { i };
        let place = usize::try_from(from_front).ok().filter(|&p| p < size);
        place.ok_or_else(|| invalid(format!("index {i} of {size}")))
    };
    indices.iter().map(place).collect()
}

/// Returns the slice that selects `places`, if they are ascending and evenly spaced.
fn neighbours(axis: usize, places: &[usize]) -> Option<Slice> {
    let &start = places.first()?;
    let step = match places.get(1) {
        Some(&next) => next.checked_sub(start).filter(|&s| s > 0)?,
        None => 1,
    };
    let even = places.iter().zip((start..).step_by(step)).all(|(&place, expected)| place == expected);
    even.then_some(Slice { axis, start, len: places.len(), step })
}

/// Returns the elements of a stored array at `indices` along an axis; `shape` is the shape of the indices.
pub(super) fn take(x: &Tensor, axis: i64, indices: &[i64], shape: &[usize]) -> Result<Tensor, Problem> {
    let rank = i64::try_from(x.shape().len()).unwrap_or(i64::MAX);
    let at = usize::try_from(if axis < 0 { axis + rank } else { axis }).ok().filter(|&a| a < x.shape().len());
    let at = at.ok_or_else(|| invalid(format!("axis {axis} of {:?}", x.shape())))?;
    let places = resolve(indices, x.shape()[at])?;
    let (outer, rest) = x.shape().split_at(at);
    let inner: usize = rest.iter().skip(1).product();
    let size = x.shape()[at];
    let mut order = Vec::new();
    for o in 0..outer.iter().product() {
        for &p in &places {
            let start = (o * size + p) * inner;
            order.extend(start..start + inner);
        }
    }
    let shape = [outer, shape, rest.get(1..).unwrap_or_default()].concat();
    let data = match x.data() {
        Data::F32(v) => Data::F32(order.iter().map(|&i| v[i]).collect()),
        Data::F64(v) => Data::F64(order.iter().map(|&i| v[i]).collect()),
        Data::I64(v) => Data::I64(order.iter().map(|&i| v[i]).collect()),
        Data::Bool(v) => Data::Bool(order.iter().map(|&i| v[i]).collect()),
    };
    Ok(Tensor::new(shape, data).ok_or_else(|| invalid("the result does not fill its shape"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_taken_along_the_axis() {
        let x = Tensor::f32(&[2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let columns = take(&x, 1, &[2, -3], &[2]).unwrap();
        assert_eq!((columns.shape(), columns.to_f64()), (&[2, 2][..], vec![2.0, 0.0, 5.0, 3.0]));
        let row = take(&x, 0, &[-1], &[]).unwrap();
        assert_eq!((row.shape(), row.to_f64()), (&[3][..], vec![3.0, 4.0, 5.0]));
        assert!(take(&x, 0, &[2], &[]).is_err());
        assert!(take(&x, 2, &[0], &[]).is_err());
    }

    #[test]
    fn even_rows_are_slices() {
        assert_eq!(neighbours(1, &[3]), Some(Slice { axis: 1, start: 3, len: 1, step: 1 }));
        assert_eq!(neighbours(1, &[1, 3, 5]), Some(Slice { axis: 1, start: 1, len: 3, step: 2 }));
        assert_eq!(neighbours(1, &[1, 3, 4]), None);
        assert_eq!(neighbours(1, &[2, 1]), None);
    }
}
