//! Operators that read or write single elements at known positions: `GatherElements`, `GatherND`, `ScatterElements`,
//! `ScatterND`.

use super::Recipe;
use crate::builder::Builder;
use crate::error::{GraphError, OpError};
use crate::fact::{Dim, Shape};
use crate::graph::ValueId;
use crate::onnx::attributes::Attributes;
use crate::onnx::batch_index;
use crate::onnx::scope::{Outputs, Problem, Scope, Slot};
use crate::op::binary::{Binary, BinaryFunction};
use crate::op::broadcast::{dense_strides, for_each_index, offset};
use crate::op::gather::Gather;
use crate::op::invalid;
use crate::op::reshape::Reshape;
use crate::op::r#where::Where;
use crate::tensor::{Data, Tensor};

/// Maximum number of selected elements: their positions are stored in a list.
const MAX_PLACES: usize = 1 << 24;
/// Maximum number of writes to the same element.
const MAX_WRITES: usize = 64;

/// Returns the input at `index` if it is a constant.
pub(super) fn stored(scope: &Scope<'_>, index: usize) -> Option<Tensor> {
    match scope.reading.slots.get(scope.node.input.get(index)?)? {
        Slot::Stored(tensor) => Some(tensor.clone()),
        Slot::Value(id) => scope.reading.graph.constant(*id).cloned(),
        _ => None,
    }
}

/// Returns the elements of `x` at the given positions, zero for `None`.
pub(super) fn select(x: &Tensor, shape: Vec<usize>, order: &[Option<usize>]) -> Result<Tensor, OpError> {
    fn chosen<T: Copy + Default>(x: &[T], order: &[Option<usize>]) -> Vec<T> {
        order.iter().map(|place| place.and_then(|i| x.get(i).copied()).unwrap_or_default()).collect()
    }
    let data = match x.data() {
        Data::F32(v) => Data::F32(chosen(v, order).into()),
        Data::F64(v) => Data::F64(chosen(v, order).into()),
        Data::I64(v) => Data::I64(chosen(v, order).into()),
        Data::Bool(v) => Data::Bool(chosen(v, order).into()),
    };
    Tensor::new(shape, data).ok_or_else(|| invalid("the result does not fill its shape"))
}

/// Returns the sizes of a value without a batch axis, whose elements have fixed positions.
fn sizes(shape: &Shape) -> Result<Vec<usize>, OpError> {
    if shape.has_batch() {
        return Err(OpError::Unsupported("choosing single elements of several samples".to_owned()));
    }
    Ok(shape.at(1))
}

/// Returns the indices, which must be known, and their shape.
fn indices(scope: &mut Scope<'_>) -> Result<(Vec<i64>, Vec<usize>), Problem> {
    let indices = scope.constant(1, "indices")?.ok_or(OpError::MissingInput { index: 1 })?;
    let values = indices.as_i64().ok_or_else(|| invalid("expected whole numbers as indices"))?;
    Ok((values.to_vec(), indices.shape().to_vec()))
}

fn place(index: i64, size: usize) -> Result<usize, OpError> {
    let whole = i64::try_from(size).unwrap_or(i64::MAX);
    let from_front = if index < 0 { index.saturating_add(whole) } else { index };
    let place = usize::try_from(from_front).ok().filter(|&p| p < size);
    place.ok_or_else(|| invalid(format!("index {index} of {size}")))
}

/// Returns for each element of an index array the position it refers to in an array of `shape`: its own index, with the
/// entry along `axis` replaced by the value it holds.
fn along_axis(shape: &[usize], axis: i64, indices: &[i64], own: &[usize]) -> Result<Vec<usize>, OpError> {
    let misfit = || invalid(format!("indices of {own:?} along axis {axis} of {shape:?}"));
    let at = Shape::fixed(shape).axis(axis).ok_or_else(misfit)?;
    let fits = own.len() == shape.len() && (0..own.len()).all(|i| i == at || own[i] <= shape[i]);
    if !fits {
        return Err(misfit());
    }
    let strides = dense_strides(shape);
    let mut values = indices.iter();
    let mut places = Vec::with_capacity(indices.len());
    let mut error = None;
    for_each_index(own, |index| {
        let held = place(values.next().copied().unwrap_or(0), shape[at]);
        match held {
            Ok(held) => places.push(offset(index, &strides) - index[at] * strides[at] + held * strides[at]),
            Err(e) => error = Some(e),
        }
    });
    error.map_or(Ok(places), Err)
}

/// Returns for each row of an index array the position of the slice it refers to in an array of `shape`, and the shape
/// of the slices. The first `batch` axes are common to rows and array.
fn by_rows(
    shape: &[usize],
    batch: usize,
    indices: &[i64],
    own: &[usize],
) -> Result<(Vec<usize>, Vec<usize>), OpError> {
    let misfit = || invalid(format!("indices of {own:?} into {shape:?}"));
    let (&depth, rows) = own.split_last().ok_or_else(misfit)?;
    let end = batch.checked_add(depth).filter(|&end| end <= shape.len()).ok_or_else(misfit)?;
    if depth == 0 || rows.get(..batch) != shape.get(..batch) {
        return Err(misfit());
    }
    let strides = dense_strides(shape);
    let slice = shape[end..].to_vec();
    let per_batch: usize = rows[batch..].iter().product::<usize>().max(1);
    let step = if batch == 0 { 0 } else { strides[batch - 1] };
    let mut places = Vec::new();
    for (row, index) in indices.chunks_exact(depth).enumerate() {
        let mut start = row / per_batch * step;
        for (i, &value) in index.iter().enumerate() {
            start += place(value, shape[batch + i])? * strides[batch + i];
        }
        places.push(start);
    }
    Ok((places, slice))
}

/// Returns all positions of the slices that start at `starts`.
fn runs(starts: &[usize], slice: &[usize]) -> Result<Vec<usize>, OpError> {
    let run =
        slice.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&run| listed(starts.len(), run));
    let run = run.ok_or_else(too_many)?;
    Ok(starts.iter().flat_map(|&start| start..start + run).collect())
}

/// True if a list of `rows` times `run` positions is within the limit.
fn listed(rows: usize, run: usize) -> bool {
    rows.checked_mul(run).is_some_and(|places| places <= MAX_PLACES)
}

fn too_many() -> OpError {
    OpError::Unsupported(format!("choosing among more than {MAX_PLACES} single elements"))
}

/// Returns the positions in each sample that the rows of an index array enumerating the samples refer to, and the shape
/// of the selected elements.
fn of_each_sample(
    shape: &Shape,
    batch: usize,
    indices: &[Tensor; 2],
) -> Result<(Vec<usize>, Shape), OpError> {
    let len =
        shape.len_per_sample().filter(|&len| listed(batch_index::SAMPLES[1], len)).ok_or_else(too_many)?;
    let mut slice = Vec::new();
    let mut starts = |world: usize| {
        let values = indices[world].as_i64().ok_or_else(|| invalid("expected whole numbers as indices"))?;
        let own = indices[world].shape();
        let (starts, rest) = by_rows(&shape.at(batch_index::SAMPLES[world]), batch, values, own)?;
        slice = rest;
        let starts: Vec<i64> = starts.iter().map(|&s| i64::try_from(s).unwrap_or(i64::MAX)).collect();
        let rows = own.split_last().map(|(_, rows)| rows.to_vec()).unwrap_or_default();
        Tensor::i64(&starts).reshaped(rows).ok_or_else(|| invalid("the indices do not fill their shape"))
    };
    let starts = [starts(0)?, starts(1)?];
    let places = batch_index::places(&starts, len)?;
    let further = places.rest.iter().chain(&slice).map(|&d| Dim::Fixed(d));
    let named = std::iter::once(Dim::Batch(places.rows)).chain(further).collect();
    Ok((runs(&places.offsets, &slice)?, Shape(named)))
}

/// Reads the elements at `places` as an array of `shape`; those of a constant at once.
fn read(scope: &mut Scope<'_>, places: Vec<usize>, shape: Vec<usize>) -> Result<Outputs, Problem> {
    if let Some(x) = stored(scope, 0) {
        let order: Vec<Option<usize>> = places.into_iter().map(Some).collect();
        return Ok(vec![Slot::Stored(select(&x, shape, &order)?)]);
    }
    let x = scope.input(0)?;
    scope.formula(|b| pick(b, x, places, &Shape::fixed(&shape)))
}

/// Appends the elements of `x` at `places` as a value of `shape`; the same positions of each sample if `shape` has a
/// batch axis.
fn pick(b: &mut Builder<'_>, x: ValueId, places: Vec<usize>, shape: &Shape) -> Result<ValueId, GraphError> {
    let len: usize = b.shape(x).at(1).iter().product();
    let samples: &[Dim] = if shape.has_batch() { &[Dim::Batch(1)] } else { &[] };
    let flat = b.reshape(x, Shape([samples, &[Dim::Fixed(len)]].concat()))?;
    let picked = vec![places.len()];
    let gather = Gather { axis: samples.len(), indices: places.into(), shape: picked };
    let taken = b.apply(gather, &[flat])?;
    b.reshape(taken, shape.clone())
}

fn data_sizes(scope: &mut Scope<'_>) -> Result<Vec<usize>, Problem> {
    if let Some(x) = stored(scope, 0) {
        return Ok(x.shape().to_vec());
    }
    let x = scope.input(0)?;
    Ok(sizes(&scope.fact(x).shape)?)
}

pub(super) fn gather_elements(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let axis = attributes.int("axis")?.unwrap_or(0);
    Ok(Box::new(move |scope| {
        let (indices, own) = indices(scope)?;
        let places = along_axis(&data_sizes(scope)?, axis, &indices, &own)?;
        read(scope, places, own)
    }))
}

/// Reads `GatherND`; since operator set 12 it may gather within each sample of a batch.
pub(super) fn gather_nd(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let batch = if attributes.opset() >= 12 { attributes.int("batch_dims")?.unwrap_or(0) } else { 0 };
    let batch = usize::try_from(batch).map_err(|_| invalid(format!("{batch} axes of a batch")))?;
    Ok(Box::new(move |scope| {
        if let Some(indices) = scope.numbered(1) {
            let x = scope.input(0)?;
            let (places, shape) = of_each_sample(&scope.fact(x).shape, batch, &indices)?;
            return scope.formula(|b| pick(b, x, places, &shape));
        }
        let (indices, own) = indices(scope)?;
        if batch == 0 && stored(scope, 0).is_none() {
            return slices(scope, &indices, &own);
        }
        let (starts, slice) = by_rows(&data_sizes(scope)?, batch, &indices, &own)?;
        read(scope, runs(&starts, &slice)?, [&own[..own.len() - 1], &slice].concat())
    }))
}

/// Gathers whole slices that the rows of an index array select along the first axes. The batch may be any of the other
/// axes.
fn slices(scope: &mut Scope<'_>, indices: &[i64], own: &[usize]) -> Result<Outputs, Problem> {
    let x = scope.input(0)?;
    let shape = scope.fact(x).shape.clone();
    let misfit = || invalid(format!("indices of {own:?} into {shape}"));
    let (&depth, outer) = own.split_last().ok_or_else(misfit)?;
    let (named, rest) = shape.0.split_at_checked(depth).ok_or_else(misfit)?;
    let named = sizes(&Shape(named.to_vec()))?;
    let (rows, _) = by_rows(&named, 0, indices, own)?;
    let flat = Shape([&[Dim::Fixed(named.iter().product())], rest].concat());
    let flat = scope.step(Reshape { shape: flat }, &[x])?;
    scope.finish(Gather { axis: 0, indices: rows.into(), shape: outer.to_vec() }, &[Some(flat)])
}

/// Returns the function that combines a written element with the existing one; `None` replaces it.
fn reduction(attributes: &mut Attributes<'_>) -> Result<Option<BinaryFunction>, OpError> {
    if attributes.opset() < 16 {
        return Ok(None);
    }
    match attributes.text("reduction")? {
        None | Some("none") => Ok(None),
        Some("add") => Ok(Some(BinaryFunction::Add)),
        Some("mul") => Ok(Some(BinaryFunction::Mul)),
        Some("max") => Ok(Some(BinaryFunction::Max)),
        Some("min") => Ok(Some(BinaryFunction::Min)),
        Some(other) => Err(OpError::Unsupported(format!("reduction {other:?}"))),
    }
}

/// Reads `ScatterElements`, or its predecessor `Scatter`.
pub(super) fn scatter_elements(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let axis = attributes.int("axis")?.unwrap_or(0);
    let reduction = reduction(attributes)?;
    Ok(Box::new(move |scope| {
        let (indices, own) = indices(scope)?;
        let places = along_axis(&data_sizes(scope)?, axis, &indices, &own)?;
        write(scope, &places, reduction)
    }))
}

pub(super) fn scatter_nd(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let reduction = reduction(attributes)?;
    Ok(Box::new(move |scope| {
        if let Some(indices) = scope.numbered(1) {
            let x = scope.input(0)?;
            let (places, _) = of_each_sample(&scope.fact(x).shape, 0, &indices)?;
            return write(scope, &places, reduction);
        }
        let (indices, own) = indices(scope)?;
        let (starts, slice) = by_rows(&data_sizes(scope)?, 0, &indices, &own)?;
        write(scope, &runs(&starts, &slice)?, reduction)
    }))
}

/// Writes the elements of the third input to `places` in the first, in several rounds: each round writes an element at
/// most once.
fn write(
    scope: &mut Scope<'_>,
    places: &[usize],
    reduction: Option<BinaryFunction>,
) -> Result<Outputs, Problem> {
    let (x, updates) = (scope.input(0)?, scope.input(2)?);
    let (shape, found) = (scope.fact(x).shape.clone(), scope.fact(updates).shape.clone());
    if found.len_per_sample() != Some(places.len()) || found.has_batch() != shape.has_batch() {
        return Err(invalid(format!("{} places in {shape} for updates of {found}", places.len())).into());
    }
    let len = shape.len_per_sample().ok_or_else(too_many)?;
    let rounds = rounds(places, len, reduction.is_none())?;
    scope.formula(|b| {
        let mut y = x;
        for round in rounds {
            let mask = round.iter().map(Option::is_some).collect();
            let mask = Tensor::new(shape.at(1), Data::Bool(mask));
            let mask = mask.ok_or_else(|| GraphError::Malformed("a mask without a shape".to_owned()))?;
            let from = round.iter().map(|update| update.unwrap_or(0)).collect();
            let written = pick(b, updates, from, &shape)?;
            let written = match reduction {
                Some(function) => b.apply(Binary(function), &[y, written])?,
                None => written,
            };
            let mask = b.constant(mask);
            y = b.apply(Where, &[mask, written, y])?;
        }
        Ok(y)
    })
}

/// Returns for each round and each element of the result the update written there.
fn rounds(places: &[usize], len: usize, last_only: bool) -> Result<Vec<Vec<Option<usize>>>, OpError> {
    if !listed(1, len) {
        return Err(too_many());
    }
    let mut rounds: Vec<Vec<Option<usize>>> = Vec::new();
    let mut written = vec![0usize; len];
    for (update, &place) in places.iter().enumerate() {
        let round = if last_only { 0 } else { written[place] };
        written[place] += 1;
        if round == MAX_WRITES {
            return Err(OpError::Unsupported(format!("writing to an element more than {MAX_WRITES} times")));
        }
        if round == rounds.len() {
            rounds.push(vec![None; len]);
        }
        rounds[round][place] = Some(update);
    }
    Ok(rounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_elements() {
        assert_eq!(along_axis(&[2, 3], 1, &[2, -3, 0, 1], &[2, 2]).unwrap(), [2, 0, 3, 4]);
        assert_eq!(along_axis(&[2, 3], 0, &[1, 0, 1], &[1, 3]).unwrap(), [3, 1, 5]);
        assert!(along_axis(&[2, 3], 1, &[3], &[1, 1]).is_err());
        assert!(along_axis(&[2, 3], 1, &[0; 3], &[3, 1]).is_err());
        assert!(along_axis(&[2, 3], 2, &[0], &[1, 1]).is_err());
    }

    #[test]
    fn places_of_slices() {
        assert_eq!(by_rows(&[2, 3, 4], 0, &[1, 2, 0, -1], &[2, 2]).unwrap(), (vec![20, 8], vec![4]));
        assert_eq!(by_rows(&[2, 3, 4], 1, &[2, 0], &[2, 1]).unwrap(), (vec![8, 12], vec![4]));
        assert!(by_rows(&[2, 3], 0, &[2, 0], &[1, 2]).is_err());
        assert!(by_rows(&[2, 3], 0, &[0; 3], &[1, 3]).is_err());
        assert!(by_rows(&[2, 3], 1, &[0; 3], &[3, 1]).is_err());
    }

    #[test]
    fn lists_that_no_memory_holds_are_refused() {
        assert!(runs(&[0, 7], &[1 << 40]).is_err() && runs(&[0], &[usize::MAX, 3]).is_err());
        assert!(rounds(&[], 1 << 40, true).is_err());
        let rows = batch_index::SAMPLES.map(|n| Tensor::i64(&vec![0; n]).reshaped(vec![n, 1]).unwrap());
        assert!(of_each_sample(&Shape::batched(&[1 << 40]), 0, &rows).is_err());
    }

    #[test]
    fn elements_written_twice_take_rounds() {
        assert_eq!(rounds(&[0, 2, 0], 3, true).unwrap(), [[Some(2), None, Some(1)]]);
        assert_eq!(rounds(&[0, 2, 0], 3, false).unwrap(), [[Some(0), None, Some(1)], [Some(2), None, None]]);
        assert!(rounds(&[0; MAX_WRITES + 1], 1, false).is_err());
    }
}
