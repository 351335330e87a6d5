//! Sources of sizes: `Shape`, `Size`, `Range`, `ConstantOfShape`.

use super::Recipe;
use crate::error::OpError;
use crate::fact::{Dim, Shape};
use crate::onnx::attributes::Attributes;
use crate::onnx::batch_index;
use crate::onnx::constant_folding::{self, Size};
use crate::onnx::external::External;
use crate::onnx::scope::{Problem, Scope, Slot};
use crate::onnx::tensor;
use crate::op::expand::Expand;
use crate::op::invalid;
use crate::tensor::{Data, Tensor};

/// Maximum number of elements of a range; longer ones are not shape arithmetic.
const MAX_RANGE: i64 = 1 << 20;

/// Reads `Shape`; since operator set 15 it may return a part of the axes.
pub(super) fn shape(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let (start, end) = (attributes.int("start")?.unwrap_or(0), attributes.int("end")?);
    Ok(Box::new(move |scope| {
        let x = scope.input(0)?;
        let dims = &scope.fact(x).shape.0;
        let rank = i64::try_from(dims.len()).unwrap_or(i64::MAX);
        let place =
            |at: i64| usize::try_from(if at < 0 { at + rank } else { at }.clamp(0, rank)).unwrap_or(0);
        let dims = dims.get(place(start)..place(end.unwrap_or(rank))).unwrap_or_default();
        let sizes =
            |world: usize| -> Vec<i64> { dims.iter().map(|&d| constant_folding::both(d)[world]).collect() };
        Ok(vec![constant_folding::slot([0, 1].map(|world| Tensor::i64(&sizes(world))))])
    }))
}

/// Reads `Size`: the number of elements.
pub(super) fn size(_: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    Ok(Box::new(|scope| {
        let x = scope.input(0)?;
        let dims = scope.fact(x).shape.0.clone();
        let product = |world: usize| {
            dims.iter().try_fold(1i64, |n, &d| n.checked_mul(constant_folding::both(d)[world]))
        };
        let (a, b) = product(0).zip(product(1)).ok_or_else(|| invalid("sizes overflow"))?;
        Ok(vec![constant_folding::slot([whole(a)?, whole(b)?])])
    }))
}

fn whole(value: i64) -> Result<Tensor, OpError> {
    Tensor::new(Vec::new(), Data::I64([value].into())).ok_or_else(|| invalid("no number"))
}

/// Reads `Range` of known numbers, or over the samples.
pub(super) fn range(_: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    Ok(Box::new(|scope| {
        if let Some(slot) = range_of_samples(scope)? {
            return Ok(vec![slot]);
        }
        let mut number = |index: usize| -> Result<Tensor, Problem> {
            scope.constant(index, "a bound")?.ok_or(Problem::Own(OpError::MissingInput { index }))
        };
        let bounds = [number(0)?, number(1)?, number(2)?];
        let wholes = bounds.each_ref().map(|t| t.as_i64().and_then(|v| v.first().copied()));
        if let [Some(start), Some(limit), Some(delta)] = wholes {
            return Ok(vec![Slot::Stored(whole_range(start, limit, delta)?)]);
        }
        let [start, limit, delta] = bounds.map(|t| t.to_f64().first().copied().unwrap_or(f64::NAN));
        let count = ((limit - start) / delta).ceil().max(0.0);
        #[allow(clippy::cast_precision_loss)]
        if delta == 0.0 || count.is_nan() || count > MAX_RANGE as f64 {
            return Err(too_long().into());
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked above
        let values = (0..count as u32).map(|i| (start + f64::from(i) * delta) as f32).collect::<Vec<_>>();
        Ok(vec![Slot::Stored(Tensor::f32(&[values.len()], values))])
    }))
}

/// Returns a range of integers up to a multiple of the batch size.
fn range_of_samples(scope: &mut Scope<'_>) -> Result<Option<Slot>, Problem> {
    let [start, limit, delta] = [0, 1, 2].map(|bound| scope.sizes(bound, "a bound"));
    // Bounds that are not lists of sizes are checked later, as numbers.
    let (Ok(Some(start)), Ok(Some(limit)), Ok(Some(delta))) = (start, limit, delta) else { return Ok(None) };
    let (&[Size::Number(start)], &[Size::PerSample(k)], &[Size::Number(delta)]) =
        (start.as_slice(), limit.as_slice(), delta.as_slice())
    else {
        return Ok(None);
    };
    let at = |n: usize| {
        let limit = k.checked_mul(n).and_then(|limit| i64::try_from(limit).ok()).ok_or_else(too_long)?;
        whole_range(start, limit, delta)
    };
    let [two, three] = batch_index::SAMPLES.map(at);
    Ok(Some(batch_index::slot([two?, three?])))
}

fn too_long() -> OpError {
    invalid(format!("expected a range of at most {MAX_RANGE} numbers"))
}

fn whole_range(start: i64, limit: i64, delta: i64) -> Result<Tensor, OpError> {
    let span = limit.checked_sub(start).ok_or_else(too_long)?;
    let end = span.checked_add(delta - delta.signum()).filter(|_| delta != 0).ok_or_else(too_long)?;
    let count = (end / delta).max(0);
    if count > MAX_RANGE {
        return Err(too_long());
    }
    Ok(Tensor::i64(&(0..count).map(|i| start + i * delta).collect::<Vec<_>>()))
}

/// Reads `ConstantOfShape`: one stored value, expanded.
pub(super) fn constant_of_shape(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let value = match attributes.tensor("value")? {
        Some(proto) => tensor::read(proto, &mut External::default())?.tensor,
        None => Tensor::scalar(0.0),
    };
    let value = value.reshaped(Vec::new()).ok_or_else(|| invalid("expected one element as \"value\""))?;
    Ok(Box::new(move |scope| {
        let sizes = scope.sizes(0, "a shape")?.ok_or(OpError::MissingInput { index: 0 })?;
        let shape = to_shape(&sizes)?;
        let one = scope.store(value);
        scope.finish(Expand { shape }, &[Some(one)])
    }))
}

/// Converts a list of sizes, none of which may be −1, to a shape.
pub(super) fn to_shape(sizes: &[Size]) -> Result<Shape, OpError> {
    let dim = |size: &Size| match *size {
        Size::PerSample(k) => Ok(Dim::Batch(k)),
        Size::Number(d) => {
            usize::try_from(d).map(Dim::Fixed).map_err(|_| invalid(format!("expected a size, found {d}")))
        }
    };
    sizes.iter().map(dim).collect::<Result<_, _>>().map(Shape)
}

impl Scope<'_> {
    /// Adds a constant to the graph, named after the node.
    pub(in crate::onnx) fn store(&mut self, tensor: Tensor) -> crate::graph::ValueId {
        let name = format!("{}/Constant", self.name);
        self.reading.graph.add_constant(&name, tensor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_before_their_limit() {
        let range = |a, b, c| whole_range(a, b, c).map(|t| t.as_i64().unwrap().to_vec());
        assert_eq!(range(0, 5, 2).unwrap(), [0, 2, 4]);
        assert_eq!(range(5, 0, -2).unwrap(), [5, 3, 1]);
        assert_eq!(range(3, 3, 1).unwrap(), [0; 0]);
        assert_eq!(range(3, 0, 1).unwrap(), [0; 0]);
        assert!(range(0, 5, 0).is_err());
        assert!(range(0, i64::MAX, 1).is_err());
        assert!(range(i64::MIN, i64::MAX, 1).is_err());
    }
}
