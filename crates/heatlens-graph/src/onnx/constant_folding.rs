//! Nodes whose inputs are known are computed while the file is read.
//!
//! Exporters compute sizes in the graph (`Shape`, `Gather`, `Mul`, `Concat`, `Reshape` …), expand masks and positional
//! encodings to the batch size, and enumerate the samples of a flattened batch. All of this may depend on the batch size,
//! which is unknown. Instead of symbolic algebra, such a node is computed *twice*, for two batch sizes, by the operators'
//! ordinary evaluators, and the two results say what the array is for any batch size ([`Growth`]).

use std::collections::BTreeMap;

use super::scope::{Outputs, Problem, Reading, Scope, Slot};
use super::{batch_index, broadcast_constant};
use crate::error::OpError;
use crate::fact::{DType, Dim};
use crate::graph::{Graph, ValueId};
use crate::op::invalid;
use crate::tensor::{Data, Tensor};

/// The two batch sizes for lists of sizes: primes that no real size equals or divides, so that no integer division of one
/// looks like a size.
pub(super) const SAMPLES: [usize; 2] = [40_009, 40_013];

/// Maximum number of elements computed while reading if the value could be computed at run time.
const SMALL: usize = 1 << 16;
/// Maximum number of elements computed while reading.
const LARGE: usize = 1 << 24;
/// Maximum number of elements computed while reading for arrays that grow with the batch, whose results are not counted.
const LARGE_PER_SAMPLE: usize = 1 << 22;

/// Dependence of a node's known inputs on the batch size, which decides what its results are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Growth {
    /// No input depends on it: the results are constants.
    Constant,
    /// Some are lists of sizes. A size that is k·A for one batch size and k·B for the other is k·N; a size that depends
    /// on the batch size in any other way is rejected where it is used.
    Sizes,
    /// Some are equal for every sample: [`broadcast_constant`].
    Repeated,
    /// Some enumerate the samples: [`batch_index`].
    Numbered,
}

impl Growth {
    /// Returns the growth of a node's inputs; `None` if one is not known while the file is read.
    fn of(scope: &Scope<'_>) -> Option<Self> {
        let graph = &scope.reading.graph;
        let names = scope.node.input.iter().filter(|name| !name.is_empty());
        let growths = names.map(|name| match scope.reading.slots.get(name)? {
            Slot::Stored(_) => Some(Self::Constant),
            Slot::Sizes(_) => Some(Self::Sizes),
            Slot::BatchIndex(_) => Some(Self::Numbered),
            Slot::Value(id) if graph.constant(*id).is_some() => Some(Self::Constant),
            Slot::Value(id) => broadcast_constant::repeated(graph, *id).map(|_| Self::Repeated),
            Slot::Lost | Slot::Chosen { .. } | Slot::Positions(_) | Slot::Unreadable(_) => None,
        });
        growths.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// Returns the batch sizes for which the node is computed.
    fn samples(self) -> &'static [usize] {
        match self {
            Self::Constant => &SAMPLES[..1],
            Self::Sizes => &SAMPLES,
            Self::Repeated => &broadcast_constant::SAMPLES,
            Self::Numbered => &batch_index::SAMPLES,
        }
    }

    /// Returns the number of samples in an array for a batch size; `None` if arrays do not grow with it.
    fn copies(self, samples: usize) -> Option<usize> {
        match self {
            Self::Constant | Self::Sizes => None,
            Self::Repeated | Self::Numbered => Some(samples),
        }
    }
}

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

/// Returns a list of sizes from its numbers for two other batch sizes; `None` if an entry is not a multiple of the batch
/// size.
pub(super) fn sizes_of(arrays: &[Tensor; 2], samples: [usize; 2]) -> Option<Slot> {
    let [first, second] = arrays;
    let (a, b) = first.as_i64().zip(second.as_i64()).filter(|_| first.shape() == second.shape())?;
    let [few, many] = samples.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
    let at = |samples: usize, a: i64, b: i64| match i64::try_from(samples) {
        _ if a == b => Some(a),
        Ok(samples) if a % few == 0 && (a / few).checked_mul(many) == Some(b) => {
            (a / few).checked_mul(samples)
        }
        _ => None,
    };
    let world = |samples: usize| {
        let sizes = a.iter().zip(b).map(|(&a, &b)| at(samples, a, b)).collect::<Option<Vec<i64>>>()?;
        Tensor::i64(&sizes).reshaped(first.shape().to_vec())
    };
    let [Some(few), Some(many)] = SAMPLES.map(world) else { return None };
    Some(slot([few, many]))
}

/// Returns a size for both batch sizes.
pub(super) fn both(dim: Dim) -> [i64; 2] {
    SAMPLES.map(|n| i64::try_from(dim.at(n)).unwrap_or(i64::MAX))
}

/// Returns a slot for an array known for both batch sizes; one array if they are equal.
pub(super) fn slot([a, b]: [Tensor; 2]) -> Slot {
    if same(&a, &b) { Slot::Stored(a) } else { Slot::Sizes([a, b]) }
}

/// True if two tensors are equal bit for bit, so that a NaN equals itself.
pub(super) fn same(a: &Tensor, b: &Tensor) -> bool {
    let bits = |t: &Tensor| t.to_f64().into_iter().map(f64::to_bits);
    let elements = || match (a.data(), b.data()) {
        (Data::I64(a), Data::I64(b)) => a == b,
        (Data::Bool(a), Data::Bool(b)) => a == b,
        _ => bits(a).eq(bits(b)),
    };
    a.shape() == b.shape() && a.dtype() == b.dtype() && elements()
}

/// Reads a node within a scope; may be called repeatedly.
pub(super) type Read<'a> = dyn Fn(&mut Scope<'_>) -> Result<Outputs, Problem> + 'a;

/// Computes the outputs of a node whose inputs are all known. Returns `None` if it must wait until run time: an input
/// is not known, the result is large, it grows with the batch in an unknown way, or it cannot be computed for such
/// batches. Errors of the file itself are reported when the node is read.
pub(super) fn fold(scope: &mut Scope<'_>, read: &Read<'_>) -> Result<Option<Outputs>, Problem> {
    let Some(growth) = Growth::of(scope) else { return Ok(None) };
    let mut results = Vec::with_capacity(2);
    for &samples in growth.samples() {
        let Some(inputs) = inputs(scope, growth, samples) else { return Ok(None) };
        match run(scope, &inputs, growth.copies(samples), read) {
            Ok(Some(result)) => results.push(result),
            Ok(None) => return Ok(None),
            Err(problem) if growth == Growth::Constant => return Err(problem),
            // The batch size is not the file's own; its own errors are reported when the node is read regularly.
            Err(_) => return Ok(None),
        }
    }
    let Some(outputs) = outputs(scope, growth, &results)? else { return Ok(None) };
    results.into_iter().take(1).flat_map(|(_, warnings)| warnings).for_each(|w| scope.reading.warn(w));
    Ok(Some(outputs))
}

/// Returns the node's inputs by name for a batch size; `None` if one cannot be computed for it.
fn inputs(scope: &Scope<'_>, growth: Growth, samples: usize) -> Option<BTreeMap<String, Tensor>> {
    let names = scope.node.input.iter().filter(|name| !name.is_empty());
    names.map(|name| Some((name.clone(), input(scope, name, growth, samples)?))).collect()
}

fn input(scope: &Scope<'_>, name: &str, growth: Growth, samples: usize) -> Option<Tensor> {
    let known = |arrays: &[Tensor; 2]| {
        let world = growth.samples().iter().position(|&n| n == samples)?;
        arrays.get(world).cloned()
    };
    match scope.reading.slots.get(name)? {
        Slot::Stored(tensor) => Some(tensor.clone()),
        Slot::BatchIndex(arrays) => known(arrays),
        Slot::Sizes(arrays) if growth == Growth::Sizes => known(arrays),
        slot @ Slot::Sizes([shaped, _]) => {
            let at = |size: Size| match size {
                Size::Number(number) => Some(number),
                Size::PerSample(k) => i64::try_from(k.checked_mul(samples)?).ok(),
            };
            let sizes = sizes(slot, name).ok()??.into_iter().map(at).collect::<Option<Vec<_>>>()?;
            Tensor::i64(&sizes).reshaped(shaped.shape().to_vec())
        }
        Slot::Value(id) => {
            let graph = &scope.reading.graph;
            if let Some(constant) = graph.constant(*id) {
                return Some(constant.clone());
            }
            let fact = graph.fact(*id);
            let len = fact.shape.len_per_sample().and_then(|len| len.checked_mul(samples));
            let small = is_small(len, fact.dtype == DType::F32, growth.copies(samples));
            small.then(|| broadcast_constant::repeated_for(graph, *id, samples)).flatten()
        }
        Slot::Lost | Slot::Chosen { .. } | Slot::Positions(_) | Slot::Unreadable(_) => None,
    }
}

/// Returns what a node's results for each batch size are for any; `None` if that is not known.
fn outputs(scope: &mut Scope<'_>, growth: Growth, results: &[Computed]) -> Result<Option<Outputs>, Problem> {
    let [(few, _), (many, _)] = results else {
        let constants = results.iter().flat_map(|(tensors, _)| tensors);
        return Ok(Some(constants.cloned().map(Slot::Stored).collect()));
    };
    if few.len() != many.len() {
        return Ok(None);
    }
    let pairs = || few.iter().zip(many).map(|(a, b)| [a.clone(), b.clone()]);
    match growth {
        Growth::Constant | Growth::Sizes if pairs().any(|[a, b]| a.shape() != b.shape()) => Ok(None),
        Growth::Constant | Growth::Sizes => Ok(Some(pairs().map(slot).collect())),
        Growth::Repeated => broadcast_constant::slots(scope, pairs()),
        Growth::Numbered => Ok(Some(pairs().map(batch_index::slot).collect())),
    }
}

/// Results of a node, and the warnings of reading it.
type Computed = (Vec<Tensor>, Vec<String>);

/// Reads and computes the node in isolation, with inputs for one batch size. `None` if it is too large to be computed
/// while the file is read; `copies` is the number of samples in its arrays, if they grow with the batch.
fn run(
    scope: &Scope<'_>,
    inputs: &BTreeMap<String, Tensor>,
    copies: Option<usize>,
    read: &Read<'_>,
) -> Result<Option<Computed>, Problem> {
    let mut alone = Reading::default();
    for (name, tensor) in inputs {
        alone.slots.insert(name.clone(), Slot::Stored(tensor.clone()));
        alone.types.extend(scope.reading.types.get(name).map(|&code| (name.clone(), code)));
    }
    let outputs = read(&mut Scope { reading: &mut alone, node: scope.node, name: scope.name })?;
    let ids: Vec<ValueId> = outputs.iter().filter_map(Slot::id).collect();
    if !affordable(&alone.graph, &ids, copies) {
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
fn affordable(graph: &Graph, ids: &[ValueId], copies: Option<usize>) -> bool {
    // `Shape` needs no elements, so the array's size does not matter.
    let floats = ids.iter().all(|&id| graph.fact(id).dtype == DType::F32);
    ids.is_empty()
        || graph.values().iter().all(|value| is_small(value.fact.shape.len_per_sample(), floats, copies))
}

/// True if an array of `len` elements with `copies` samples is small enough to be computed while reading; a `len` of
/// `None` is too large to be counted.
fn is_small(len: Option<usize>, floats: bool, copies: Option<usize>) -> bool {
    // Integers and masks have no kernels: they are computed here or not at all.
    let limit = match (floats, copies) {
        (true, copies) => SMALL.saturating_mul(copies.unwrap_or(1)),
        (false, None) => LARGE,
        (false, Some(_)) => LARGE_PER_SAMPLE,
    };
    len.is_some_and(|len| len <= limit)
}

/// Converts results of the evaluator to single precision.
#[allow(clippy::cast_possible_truncation)] // rounding to single precision is the purpose
fn single(tensor: Tensor) -> Tensor {
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
