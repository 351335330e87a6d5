//! Operators whose results are indices, counts or masks; for known inputs they are computed while reading.

use super::Recipe;
use super::gather_scatter::{select, stored};
use crate::builder::Builder;
use crate::compose::resize;
use crate::error::{GraphError, OpError};
use crate::fact::{DType, Dim, Shape};
use crate::graph::ValueId;
use crate::onnx::attributes::Attributes;
use crate::onnx::scope::{Problem, Scope, Slot};
use crate::onnx::tensor;
use crate::op::broadcast::for_each_index;
use crate::op::invalid;
use crate::op::r#where::Where;
use crate::tensor::{Data, Tensor};

/// Maximum size of an axis for cumulative sums, which are products with a square matrix.
const MAX_SUMS: usize = 1 << 12;
/// Maximum number of elements of a mask.
const MAX_MASK: usize = 1 << 24;

/// Returns the first input, which must be stored: the result selects elements and has no derivative.
fn known(scope: &mut Scope<'_>, what: &str) -> Result<Tensor, Problem> {
    scope.constant(0, what)?.ok_or(Problem::Own(OpError::MissingInput { index: 0 }))
}

fn axis_of(axis: i64, shape: &[usize]) -> Result<usize, OpError> {
    Shape::fixed(shape).axis(axis).ok_or_else(|| invalid(format!("axis {axis} of {shape:?}")))
}

fn filled(shape: Vec<usize>, data: Data) -> Result<Vec<Slot>, Problem> {
    let tensor = Tensor::new(shape, data).ok_or_else(|| invalid("the result does not fill its shape"))?;
    Ok(vec![Slot::Stored(tensor)])
}

/// Reads `ArgMax` or `ArgMin` of a known array.
pub(super) fn arg(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let largest = attributes.op() == "ArgMax";
    let axis = attributes.int("axis")?.unwrap_or(0);
    let keep = attributes.int("keepdims")?.unwrap_or(1) != 0;
    let last = attributes.opset() >= 12 && attributes.flag("select_last_index")?;
    Ok(Box::new(move |scope| {
        let x = known(scope, "the place of an extreme in an array")?;
        let at = axis_of(axis, x.shape())?;
        let (values, size) = (x.to_f64(), x.shape()[at]);
        if size == 0 {
            return Err(invalid("no elements to choose among").into());
        }
        let inner: usize = x.shape()[at + 1..].iter().product();
        let mut places = Vec::new();
        for outer in 0..x.shape()[..at].iter().product() {
            for i in 0..inner {
                let value = |k: usize| values[(outer * size + k) * inner + i];
                let better = |a: f64, b: f64| {
                    let above = if largest { a > b } else { a < b };
                    above || last && a == b || a.is_nan() && !b.is_nan()
                };
                let best = (1..size).fold(0, |best, k| if better(value(k), value(best)) { k } else { best });
                places.push(i64::try_from(best).unwrap_or(i64::MAX));
            }
        }
        let mut shape = x.shape().to_vec();
        if keep {
            shape[at] = 1;
        } else {
            shape.remove(at);
        }
        filled(shape, Data::I64(places.into()))
    }))
}

/// Reads `NonZero` of a known array: the indices of its non-zero elements, one per column.
pub(super) fn non_zero(_: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    Ok(Box::new(|scope| {
        let x = known(scope, "the places of an array's non-zeros")?;
        let mut values = x.to_f64().into_iter();
        let mut found: Vec<Vec<i64>> = vec![Vec::new(); x.shape().len()];
        let mut count = 0;
        for_each_index(x.shape(), |index| {
            if values.next().is_some_and(|v| v != 0.0) {
                count += 1;
                for (row, &i) in found.iter_mut().zip(index) {
                    row.push(i64::try_from(i).unwrap_or(i64::MAX));
                }
            }
        });
        filled(vec![found.len(), count], Data::I64(found.concat().into()))
    }))
}

/// Reads `OneHot` of known indices: a new axis of `depth` with one value at the index and another elsewhere.
pub(super) fn one_hot(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let axis = attributes.int("axis")?.unwrap_or(-1);
    Ok(Box::new(move |scope| {
        let indices = known(scope, "indices")?;
        let need = |t: Option<Tensor>, index| t.ok_or(Problem::Own(OpError::MissingInput { index }));
        let depth = need(scope.constant(1, "a depth")?, 1)?.to_f64();
        let values = need(scope.constant(2, "two values")?, 2)?;
        #[allow(clippy::cast_possible_truncation)] // checked against the number of elements
        let depth = depth.first().map(|&d| d as i64).and_then(|d| usize::try_from(d).ok());
        let len = depth.and_then(|d| d.checked_mul(indices.len())).filter(|&len| len <= MAX_MASK);
        let (Some(depth), Some(_), 2) = (depth, len, values.len()) else {
            return Err(
                invalid(format!("{depth:?} choices for each of {:?} indices", indices.shape())).into()
            );
        };
        let mut shape = indices.shape().to_vec();
        shape.push(depth);
        let at = axis_of(axis, &shape)?;
        shape.pop();
        shape.insert(at, depth);
        let inner: usize = shape[at + 1..].iter().product();
        let chosen = indices.to_f64();
        #[allow(clippy::cast_precision_loss)]
        let (places, depth_f) = ((0..depth).map(|k| k as f64).collect::<Vec<_>>(), depth as f64);
        let mut order = Vec::new();
        for outer in 0..shape[..at].iter().product() {
            for k in &places {
                for i in 0..inner {
                    let index = chosen[outer * inner + i];
                    let index = if index < 0.0 { index + depth_f } else { index };
                    order.push(Some(usize::from(index.trunc() == *k)));
                }
            }
        }
        Ok(vec![Slot::Stored(select(&values, shape, &order)?)])
    }))
}

/// Reads `EyeLike`: ones on a diagonal, in the shape of the input, whose values are not used.
pub(super) fn eye_like(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let diagonal = attributes.int("k")?.unwrap_or(0);
    let wanted = attributes.int("dtype")?;
    let wanted = wanted.map(|code| tensor::dtype(i32::try_from(code).unwrap_or(-1))).transpose()?;
    Ok(Box::new(move |scope| {
        let x = scope.input(0)?;
        let fact = scope.fact(x).clone();
        let [Dim::Fixed(rows), Dim::Fixed(columns)] = fact.shape.0[..] else {
            return Err(invalid(format!("expected a matrix of known size, found {}", fact.shape)).into());
        };
        let mask = band(rows, columns, |row, column| column - row == diagonal)?;
        let data = match wanted.unwrap_or(fact.dtype) {
            DType::F32 => Data::F32(mask.iter().map(|&on| f32::from(u8::from(on))).collect()),
            DType::I64 => Data::I64(mask.iter().map(|&on| i64::from(on)).collect()),
            DType::Bool => Data::Bool(mask.into()),
        };
        filled(vec![rows, columns], data)
    }))
}

/// Returns a matrix that is true where `belongs(row, column)`, flattened.
fn band(rows: usize, columns: usize, belongs: impl Fn(i64, i64) -> bool) -> Result<Vec<bool>, OpError> {
    let len = rows.checked_mul(columns).filter(|&len| len <= MAX_MASK);
    len.ok_or_else(|| invalid(format!("a mask of {rows}×{columns}")))?;
    let mut mask = Vec::new();
    for row in 0..i64::try_from(rows).unwrap_or(0) {
        mask.extend((0..i64::try_from(columns).unwrap_or(0)).map(|column| belongs(row, column)));
    }
    Ok(mask)
}

/// Reads `Trilu`: keeps one triangle of each matrix, zeros in the other.
pub(super) fn trilu(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let upper = attributes.int("upper")?.unwrap_or(1) != 0;
    Ok(Box::new(move |scope| {
        let diagonal = match scope.constant(1, "a diagonal")? {
            None => 0,
            Some(k) => k.as_i64().and_then(|v| v.first().copied()).ok_or_else(|| invalid("no diagonal"))?,
        };
        let keep =
            |row: i64, column: i64| if upper { column - row >= diagonal } else { column - row <= diagonal };
        if let Some(x) = stored(scope, 0) {
            let (&[rows, columns], true) = (x.shape().last_chunk().unwrap_or(&[0, 0]), x.shape().len() > 1)
            else {
                return Err(invalid(format!("expected matrices, found {:?}", x.shape())).into());
            };
            let mask = band(rows, columns, keep)?;
            let order: Vec<Option<usize>> = (0..x.len()).map(|i| mask[i % mask.len()].then_some(i)).collect();
            return Ok(vec![Slot::Stored(select(&x, x.shape().to_vec(), &order)?)]);
        }
        let x = scope.input(0)?;
        let shape = &scope.fact(x).shape.0;
        let Some(&[Dim::Fixed(rows), Dim::Fixed(columns)]) = shape.last_chunk() else {
            return Err(OpError::Unsupported("a triangle of samples".to_owned()).into());
        };
        let mask = Tensor::new(vec![rows, columns], Data::Bool(band(rows, columns, keep)?.into()));
        let mask = mask.ok_or_else(|| invalid("no mask"))?;
        scope.formula(|b| {
            let (mask, zero) = (b.constant(mask), b.scalar(0.0));
            b.apply(Where, &[mask, x, zero])
        })
    }))
}

/// Reads `CumSum` along an axis: a product with a triangular matrix of ones.
pub(super) fn cum_sum(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let (exclusive, reverse) = (attributes.flag("exclusive")?, attributes.flag("reverse")?);
    Ok(Box::new(move |scope| {
        let axis = scope.constant(1, "an axis")?.ok_or(OpError::MissingInput { index: 1 })?;
        let axis = axis.as_i64().and_then(|v| v.first().copied()).ok_or_else(|| invalid("no axis"))?;
        let counts = |to: usize, from: usize| {
            let (to, from) = if reverse { (from, to) } else { (to, from) };
            if exclusive { from < to } else { from <= to }
        };
        if let Some(x) = stored(scope, 0)
            && let Some(values) = x.as_i64()
        {
            let at = axis_of(axis, x.shape())?;
            return filled(x.shape().to_vec(), Data::I64(whole_sums(values, x.shape(), at, counts)?.into()));
        }
        let x = scope.input(0)?;
        let shape = scope.fact(x).shape.clone();
        let at = shape.axis(axis).ok_or_else(|| invalid(format!("axis {axis} of {shape}")))?;
        let Some(&Dim::Fixed(size)) = shape.0.get(at).filter(|d| d.at(1) <= MAX_SUMS) else {
            return Err(OpError::Unsupported(format!("sums along axis {axis} of {shape}")).into());
        };
        scope.formula(|b| float_sums(b, x, at, size, counts))
    }))
}

fn float_sums(
    b: &mut Builder<'_>,
    x: ValueId,
    axis: usize,
    size: usize,
    counts: impl Fn(usize, usize) -> bool,
) -> Result<ValueId, GraphError> {
    let row = |to: usize| (0..size).map(move |from| (to, from));
    let ones = (0..size).flat_map(row).map(|(to, from)| f32::from(u8::from(counts(to, from))));
    resize::resize(b, x, axis, &Tensor::f32(&[size, size], ones.collect()))
}

fn whole_sums(
    x: &[i64],
    shape: &[usize],
    at: usize,
    counts: impl Fn(usize, usize) -> bool,
) -> Result<Vec<i64>, OpError> {
    let (size, inner) = (shape[at], shape[at + 1..].iter().product::<usize>());
    if size > MAX_SUMS {
        return Err(OpError::Unsupported(format!("sums along an axis of {size}")));
    }
    let sum = |place: usize| {
        let (outer, to, i) = (place / (size * inner), place / inner % size, place % inner);
        let parts =
            (0..size).filter(|&from| counts(to, from)).map(|from| x[(outer * size + from) * inner + i]);
        parts.into_iter().try_fold(0i64, i64::checked_add)
    };
    let sums: Option<Vec<i64>> = (0..x.len()).map(sum).collect();
    sums.ok_or_else(|| invalid("whole-number overflow"))
}
