//! Arrays that are equal for every sample: masks and positional encodings that exporters expand to the batch size.
//!
//! Such an array is an expanded constant. A node that reads only such arrays and known ones is computed while the file
//! is read, for one sample and for three; if the result for three is that for one, repeated, the same holds for any
//! number. This saves work at run time that does not depend on the image, and removes integer and boolean operators,
//! which have no kernels.

use super::constant_folding;
use super::scope::{Outputs, Problem, Scope, Slot};
use crate::error::OpError;
use crate::fact::{Dim, Shape};
use crate::graph::{Graph, ValueId};
use crate::op::expand::Expand;
use crate::op::{Operator, invalid};
use crate::tensor::Tensor;

/// The two batch sizes for which a node that reads such arrays is computed.
pub(super) const SAMPLES: [usize; 2] = [1, 3];

/// Meaning of a node's result for one sample and for three.
enum Meaning {
    /// A constant, or a list of sizes.
    Known(Slot),
    /// The array for one sample, repeated for every sample.
    Repeated(Tensor, Shape),
}

/// Returns slots for the results of a node for one sample and for three; `None` if a result is not the same for every
/// sample.
pub(super) fn slots(
    scope: &mut Scope<'_>,
    results: impl Iterator<Item = [Tensor; 2]>,
) -> Result<Option<Outputs>, Problem> {
    let meanings = results.map(meaning).collect::<Result<Option<Vec<_>>, _>>()?;
    let Some(meanings) = meanings else { return Ok(None) };
    let slots = meanings.into_iter().enumerate().map(|(index, meaning)| match meaning {
        Meaning::Known(slot) => Ok(slot),
        Meaning::Repeated(one, shape) => {
            let constant = scope.store(one);
            scope.finish_output(index, Expand { shape }, &[Some(constant)])
        }
    });
    slots.collect::<Result<Vec<_>, _>>().map(Some)
}

fn meaning([one, three]: [Tensor; 2]) -> Result<Option<Meaning>, OpError> {
    if one.shape() == three.shape() {
        let known = match constant_folding::same(&one, &three) {
            true => Some(Slot::Stored(one)),
            false => constant_folding::sizes_of(&[one, three], SAMPLES),
        };
        return Ok(known.map(Meaning::Known));
    }
    let Some(shape) = per_sample(one.shape(), three.shape()) else { return Ok(None) };
    let repeated = constant_folding::same(&repeat(&one, three.shape().to_vec())?, &three);
    Ok(repeated.then_some(Meaning::Repeated(one, shape)))
}

/// Returns the shape for any batch size; `None` unless one axis is the batch size, and the others are the same.
fn per_sample(one: &[usize], three: &[usize]) -> Option<Shape> {
    let dims = one.iter().zip(three).map(|(&a, &b)| match (a, b) {
        _ if a == b => Some(Dim::Fixed(a)),
        _ if [a, b] == SAMPLES => Some(Dim::Batch(1)),
        _ => None,
    });
    let shape = Shape(dims.collect::<Option<_>>()?);
    let batch = shape.0.iter().filter(|dim| dim.is_batch()).count();
    (one.len() == three.len() && batch == 1).then_some(shape)
}

/// Returns the constant that a value repeats for every sample.
pub(super) fn repeated(graph: &Graph, id: ValueId) -> Option<(&Tensor, &Expand)> {
    let node = graph.node(graph.producer(id)?);
    let expand = node.op.downcast_ref::<Expand>()?;
    Some((graph.constant(node.inputs.first().copied().flatten()?)?, expand))
}

/// Returns the constant that a value repeats for every sample, repeated for `n` samples.
pub(super) fn repeated_for(graph: &Graph, id: ValueId, n: usize) -> Option<Tensor> {
    let (one, _) = repeated(graph, id)?;
    repeat(one, graph.fact(id).shape.at(n)).ok()
}

fn repeat(one: &Tensor, shape: Vec<usize>) -> Result<Tensor, OpError> {
    let expand = Expand { shape: Shape::fixed(&shape) };
    let repeated = expand.eval(&[Some(one)], &[shape])?;
    repeated.into_iter().next().ok_or_else(|| invalid("no output"))
}
