//! Shape arithmetic: nodes whose inputs are all known are computed while the file is read.
//!
//! Exporters compute sizes in the graph (`Shape`, `Gather`, `Mul`, `Concat`, `Reshape` …), and these sizes may depend
//! on the batch size, which is unknown. Instead of symbolic algebra, every such array is computed *twice*, for two
//! batch sizes that no real size equals or divides, by the operators' ordinary evaluators. A size that is k·A for one
//! and k·B for the other is k·N. A size that depends on the batch size in any other way is rejected where it is used.

use std::collections::BTreeMap;

use super::scope::{Outputs, Problem, Reading, Scope, Slot};
use crate::error::OpError;
use crate::fact::{DType, Dim};
use crate::graph::{Graph, ValueId};
use crate::op::invalid;
use crate::tensor::{Data, Tensor};

/// The two batch sizes: primes, so that no integer division of one looks like a size.
pub(super) const SAMPLES: [usize; 2] = [40_009, 40_013];

/// Maximum number of elements computed while reading if the value could be computed at run time.
const SMALL: usize = 1 << 16;
/// Maximum number of elements computed while reading.
const LARGE: usize = 1 << 25;

/// Entry of a list of sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// A number independent of the batch size, possibly negative.
    Number(i64),
    /// A multiple of the batch size.
    PerSample(usize),
}

/// Returns the size that is `a` and `b` for the two batch sizes; `None` if it is not a multiple.
pub(super) fn size(a: i64, b: i64) -> Option<Size> {
    if a == b {
        return Some(Size::Number(a));
    }
    let per_sample = |v: i64, n: usize| {
        let v = usize::try_from(v).ok()?;
        v.is_multiple_of(n).then_some(v / n)
    };
    let (k, l) = (per_sample(a, SAMPLES[0])?, per_sample(b, SAMPLES[1])?);
    (k == l).then_some(Size::PerSample(k))
}

/// Returns a size for both batch sizes.
pub(super) fn both(dim: Dim) -> [i64; 2] {
    SAMPLES.map(|n| i64::try_from(dim.at(n)).unwrap_or(i64::MAX))
}

/// Returns a slot for an array known for both batch sizes; one array if they are equal.
pub(super) fn slot(arrays: [Tensor; 2]) -> Slot {
    if same(&arrays[0], &arrays[1]) {
        let [first, _] = arrays;
        return Slot::Stored(first);
    }
    Slot::Sizes(arrays)
}

/// True if two tensors are equal bit for bit, so that a NaN equals itself.
pub(super) fn same(a: &Tensor, b: &Tensor) -> bool {
    let bits = |t: &Tensor| match t.data() {
        Data::I64(_) => None,
        _ => Some(t.to_f64().into_iter().map(f64::to_bits).collect::<Vec<_>>()),
    };
    a.shape() == b.shape() && a.dtype() == b.dtype() && a.as_i64() == b.as_i64() && bits(a) == bits(b)
}

/// Reads a node within a scope; may be called repeatedly.
pub(super) type Read<'a> = dyn Fn(&mut Scope<'_>) -> Result<Outputs, Problem> + 'a;

/// Computes the outputs of a node whose inputs are all known. Returns `None` if it must wait until run time: an input
/// is not known, the result is large, its shape depends on the batch size, or it cannot be computed for such large
/// batches. Errors of the file itself are reported when the node is read.
pub(super) fn fold(scope: &mut Scope<'_>, read: &Read<'_>) -> Result<Option<Outputs>, Problem> {
    let Some(inputs) = known_inputs(scope) else { return Ok(None) };
    let [a, b] = [0, 1].map(|world| {
        run(scope, &inputs.iter().map(|(name, arrays)| (name.clone(), arrays[world].clone())).collect(), read)
    });
    let made_up = inputs.values().any(|[a, b]| !same(a, b));
    let (a, b) = match (a, b) {
        (Err(_), _) | (_, Err(_)) if made_up => return Ok(None),
        (a, b) => (a?, b?),
    };
    let (Some((a, mut warnings)), Some((b, _))) = (a, b) else { return Ok(None) };
    if a.len() != b.len() || a.iter().zip(&b).any(|(a, b)| a.shape() != b.shape()) {
        return Ok(None);
    }
    warnings.drain(..).for_each(|w| scope.reading.warn(w));
    Ok(Some(a.into_iter().zip(b).map(|(a, b)| slot([a, b])).collect()))
}

/// Returns the node's inputs by name, for both batch sizes; `None` if one is not known.
fn known_inputs(scope: &Scope<'_>) -> Option<BTreeMap<String, [Tensor; 2]>> {
    let names = scope.node.input.iter().filter(|name| !name.is_empty());
    let mut inputs = BTreeMap::new();
    for name in names {
        let arrays = match scope.reading.slots.get(name)? {
            Slot::Stored(tensor) => [tensor.clone(), tensor.clone()],
            Slot::Sizes(arrays) => arrays.clone(),
            Slot::Value(id) => {
                let tensor = scope.reading.graph.constant(*id)?;
                [tensor.clone(), tensor.clone()]
            }
            Slot::BatchIndex(_) | Slot::Lost | Slot::Chosen { .. } | Slot::Unreadable(_) => return None,
        };
        inputs.insert(name.clone(), arrays);
    }
    (!inputs.is_empty()).then_some(inputs)
}

pub(super) type Computed = Option<(Vec<Tensor>, Vec<String>)>;

/// Reads and computes the node in isolation, with inputs for one batch size; also returns the warnings.
pub(super) fn run(
    scope: &Scope<'_>,
    inputs: &BTreeMap<String, Tensor>,
    read: &Read<'_>,
) -> Result<Computed, Problem> {
    let mut alone = Reading::default();
    for (name, tensor) in inputs {
        alone.slots.insert(name.clone(), Slot::Stored(tensor.clone()));
        alone.types.extend(scope.reading.types.get(name).map(|&code| (name.clone(), code)));
    }
    let outputs = read(&mut Scope { reading: &mut alone, node: scope.node, name: scope.name })?;
    let ids: Vec<ValueId> = outputs.iter().filter_map(Slot::id).collect();
    if !affordable(&alone.graph, &ids) {
        return Ok(None);
    }
    let mut computed = crate::reference::run(&alone.graph, &[], 1, &ids)?.into_iter().map(single);
    let mut tensors = Vec::with_capacity(outputs.len());
    for slot in outputs {
        tensors.push(match slot {
            Slot::Stored(tensor) => tensor,
            Slot::Value(_) => computed.next().ok_or_else(|| invalid("a result is missing"))?,
            _ => return Ok(None),
        });
    }
    Ok(Some((tensors, alone.warnings)))
}

/// True if a graph is small enough to compute `ids` while reading.
pub(super) fn affordable(graph: &Graph, ids: &[ValueId]) -> bool {
    if ids.is_empty() {
        return true; // `Shape` needs no elements, so the array's size does not matter
    }
    let facts = graph.values();
    let len = facts.iter().map(|v| v.fact.shape.len_per_sample().unwrap_or(usize::MAX)).max().unwrap_or(0);
    // Integers and masks have no kernels: they are computed here or not at all.
    let floats = ids.iter().all(|&id| graph.fact(id).dtype == DType::F32);
    len <= if floats { SMALL } else { LARGE }
}

/// Converts results of the evaluator to single precision.
#[allow(clippy::cast_possible_truncation)] // rounding to single precision is the purpose
pub(super) fn single(tensor: Tensor) -> Tensor {
    match tensor.data() {
        Data::F64(values) => Tensor::f32(tensor.shape(), values.iter().map(|&v| v as f32).collect()),
        _ => tensor,
    }
}

/// Returns the list of sizes in a known array.
pub(super) fn sizes(slot: &Slot, what: &str) -> Result<Option<Vec<Size>>, OpError> {
    let arrays = match slot {
        Slot::Stored(tensor) => [tensor, tensor],
        Slot::Sizes([a, b]) => [a, b],
        _ => return Ok(None),
    };
    let not_a_list = || invalid(format!("expected a list of whole numbers as {what}"));
    let [a, b] = arrays.map(|t| t.as_i64().filter(|_| t.shape().len() <= 1));
    let (a, b) = a.zip(b).ok_or_else(not_a_list)?;
    let sizes: Option<Vec<Size>> = a.iter().zip(b).map(|(&a, &b)| size(a, b)).collect();
    let odd = || OpError::Unsupported(format!("{what} that is not a multiple of the number of samples"));
    sizes.map(Some).ok_or_else(odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_from_two_numbers_of_samples() {
        let at = |f: &dyn Fn(i64) -> i64| {
            let [a, b] = SAMPLES.map(|n| f(i64::try_from(n).unwrap()));
            size(a, b)
        };
        assert_eq!(at(&|_| 7), Some(Size::Number(7)));
        assert_eq!(at(&|_| -1), Some(Size::Number(-1)));
        assert_eq!(at(&|n| n), Some(Size::PerSample(1)));
        assert_eq!(at(&|n| 64 * n), Some(Size::PerSample(64)));
        assert_eq!(at(&|n| n / 2), None);
        assert_eq!(at(&|n| n + 1), None);
        assert_eq!(at(&|n| n * n), None);
        assert_eq!(at(&|n| -n), None);
    }
}
