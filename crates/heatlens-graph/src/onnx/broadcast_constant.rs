//! Arrays that are equal for every sample: masks and positional encodings that exporters expand to the batch size.
//!
//! Such an array is an expanded constant. A node that reads only such arrays and known ones is computed while the file
//! is read, for one sample and for three; if the result for three is that for one, repeated, the same holds for any
//! number. This saves work at run time that does not depend on the image, and removes integer and boolean operators,
//! which have no kernels.

use super::constant_folding::{self, Read};
use super::scope::{Outputs, Problem, Reading, Scope, Slot};
use crate::error::OpError;
use crate::fact::{Dim, Shape};
use crate::graph::{Graph, ValueId};
use crate::op::expand::Expand;
use crate::op::{Operator, invalid};
use crate::reference;
use crate::tensor::Tensor;

/// Computes the outputs of a node that reads only known arrays and arrays that are equal for every sample, at least one
/// of the latter. `None` if it must wait until run time.
pub(super) fn fold(scope: &mut Scope<'_>, read: &Read<'_>) -> Result<Option<Outputs>, Problem> {
    let Some(mut alone) = alone(scope)? else { return Ok(None) };
    // Errors of the node itself are reported when it is read regularly.
    let Ok(outputs) = read(&mut Scope { reading: &mut alone, node: scope.node, name: scope.name }) else {
        return Ok(None);
    };
    let ids: Vec<ValueId> = outputs.iter().filter_map(Slot::id).collect();
    if ids.iter().any(|&id| !has_room(&alone.graph.fact(id).shape))
        || !constant_folding::affordable(&alone.graph, &ids)
    {
        return Ok(None);
    }
    let [one, three] = [1, 3].map(|n| reference::run(&alone.graph, &[], n, &ids));
    let mut computed = Vec::new();
    for ((one, three), &id) in one?.into_iter().zip(three?).zip(&ids) {
        let shape = alone.graph.fact(id).shape.clone();
        if !is_repeated(&one, &three)? {
            return Ok(None);
        }
        computed.push((constant_folding::single(one), shape));
    }
    alone.warnings.drain(..).for_each(|warning| scope.reading.warn(warning));
    let mut computed = computed.into_iter();
    let mut slots = Vec::with_capacity(outputs.len());
    for (index, slot) in outputs.into_iter().enumerate() {
        slots.push(match slot {
            Slot::Value(_) => {
                let (tensor, shape) = computed.next().ok_or_else(|| invalid("a result is missing"))?;
                stored(scope, index, tensor, shape)?
            }
            other => other,
        });
    }
    Ok(Some(slots))
}

/// Prepares reading the node in isolation. `None` if an input depends on the image, or no input is an expanded
/// constant.
fn alone(scope: &Scope<'_>) -> Result<Option<Reading>, Problem> {
    let (mut alone, mut found) = (Reading::default(), false);
    for name in scope.node.input.iter().filter(|name| !name.is_empty()) {
        let slot = match scope.reading.slots.get(name) {
            Some(slot @ (Slot::Stored(_) | Slot::Sizes(_))) => slot.clone(),
            Some(Slot::Value(id)) => {
                match (scope.reading.graph.constant(*id), repeated(&scope.reading.graph, *id)) {
                    (Some(tensor), _) => Slot::Stored(tensor.clone()),
                    (None, Some((tensor, expand))) => {
                        found = true;
                        let constant = alone.graph.add_constant(name, tensor.clone());
                        let expand = std::sync::Arc::new(expand.clone());
                        let node = alone.graph.add_node(name, expand, &[Some(constant)])?;
                        Slot::Value(
                            *alone.graph.node(node).outputs.first().ok_or_else(|| invalid("no output"))?,
                        )
                    }
                    (None, None) => return Ok(None),
                }
            }
            _ => return Ok(None),
        };
        alone.slots.insert(name.clone(), slot);
        alone.types.extend(scope.reading.types.get(name).map(|&code| (name.clone(), code)));
    }
    Ok(found.then_some(alone))
}

/// Returns the constant that a value repeats for every sample.
fn repeated(graph: &Graph, id: ValueId) -> Option<(&Tensor, &Expand)> {
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

/// True if at most one axis contains the batch size, and is exactly the batch size.
fn has_room(shape: &Shape) -> bool {
    let mut batch = shape.0.iter().filter(|d| d.is_batch());
    batch.next().is_none_or(|d| *d == Dim::Batch(1)) && batch.next().is_none()
}

/// True if the result for three samples is that for one, repeated.
fn is_repeated(one: &Tensor, three: &Tensor) -> Result<bool, Problem> {
    Ok(constant_folding::same(&repeat(one, three.shape().to_vec())?, three))
}

/// Returns the node's output: the array, expanded if the shape contains the batch size.
fn stored(scope: &mut Scope<'_>, index: usize, tensor: Tensor, shape: Shape) -> Result<Slot, Problem> {
    if !shape.has_batch() {
        return Ok(Slot::Stored(tensor));
    }
    let constant = scope.store(tensor);
    scope.finish_output(index, Expand { shape }, &[Some(constant)])
}
