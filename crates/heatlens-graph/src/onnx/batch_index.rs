//! Arrays that enumerate the samples: `Range` over the batch, and values computed from it.
//!
//! Exporters that index a flattened batch compute positions as *sample number* · k + *position in the sample*. Such an
//! array grows with the batch size, so it is computed twice, for two small batch sizes, by the operators' ordinary
//! evaluators. Used as indices, it must select the same positions in each sample: [`places`].

use std::collections::BTreeMap;

use super::broadcast_constant;
use super::constant_folding::{self, Read, Size};
use super::scope::{Outputs, Problem, Scope, Slot};
use crate::error::OpError;
use crate::op::invalid;
use crate::tensor::Tensor;

/// The two batch sizes for which such an array is computed.
pub(super) const FEW: [usize; 2] = [2, 3];

/// Computes the outputs of a node that reads such an array and nothing that depends on the image; `None` for other
/// nodes.
pub(super) fn fold(scope: &mut Scope<'_>, read: &Read<'_>) -> Result<Option<Outputs>, Problem> {
    let numbered = |name| matches!(scope.reading.slots.get(name), Some(Slot::BatchIndex(_)));
    if !scope.node.input.iter().any(numbered) {
        return Ok(None);
    }
    let [Some(two), Some(three)] = [0, 1].map(|world| inputs(scope, world)) else { return Ok(None) };
    let (two, three) =
        (constant_folding::run(scope, &two, read)?, constant_folding::run(scope, &three, read)?);
    let (Some((two, warnings)), Some((three, _))) = (two, three) else { return Ok(None) };
    warnings.into_iter().for_each(|w| scope.reading.warn(w));
    Ok(Some(two.into_iter().zip(three).map(|(two, three)| slot([two, three])).collect()))
}

/// Returns a slot for an array known for the two small batch sizes: a list of sizes if its shape is the same for both.
pub(super) fn slot(arrays: [Tensor; 2]) -> Slot {
    if constant_folding::same(&arrays[0], &arrays[1]) {
        let [first, _] = arrays;
        return Slot::Stored(first);
    }
    sizes(&arrays).map_or(Slot::BatchIndex(arrays), constant_folding::slot)
}

/// Converts the sizes in an array to the batch sizes of [`constant_folding::SAMPLES`].
fn sizes([two, three]: &[Tensor; 2]) -> Option<[Tensor; 2]> {
    let (a, b) = two.as_i64().zip(three.as_i64()).filter(|_| two.shape() == three.shape())?;
    let at = |samples: usize, a: i64, b: i64| match i64::try_from(samples) {
        _ if a == b => Some(a),
        Ok(samples) if a % 2 == 0 && a / 2 * 3 == b => (a / 2).checked_mul(samples),
        _ => None,
    };
    let world = |samples: usize| {
        let sizes = a.iter().zip(b).map(|(&a, &b)| at(samples, a, b)).collect::<Option<Vec<i64>>>()?;
        Tensor::i64(&sizes).reshaped(two.shape().to_vec())
    };
    let [Some(few), Some(many)] = constant_folding::SAMPLES.map(world) else { return None };
    Some([few, many])
}

/// Returns the node's inputs by name for one of the two batch sizes; `None` if one is not known.
fn inputs(scope: &Scope<'_>, world: usize) -> Option<BTreeMap<String, Tensor>> {
    let names = scope.node.input.iter().filter(|name| !name.is_empty());
    names.map(|name| Some((name.clone(), input(scope, name, world)?))).collect()
}

fn input(scope: &Scope<'_>, name: &str, world: usize) -> Option<Tensor> {
    match scope.reading.slots.get(name)? {
        Slot::Stored(tensor) => Some(tensor.clone()),
        Slot::BatchIndex(arrays) => Some(arrays[world].clone()),
        slot @ Slot::Sizes([shaped, _]) => {
            let at = |size: Size| match size {
                Size::Number(number) => Some(number),
                Size::PerSample(k) => i64::try_from(k.checked_mul(FEW[world])?).ok(),
            };
            let sizes =
                constant_folding::sizes(slot, name).ok()??.into_iter().map(at).collect::<Option<Vec<_>>>()?;
            Tensor::i64(&sizes).reshaped(shaped.shape().to_vec())
        }
        Slot::Value(id) => {
            let graph = &scope.reading.graph;
            graph.constant(*id).cloned().or_else(|| broadcast_constant::repeated_for(graph, *id, FEW[world]))
        }
        Slot::Lost | Slot::Chosen { .. } | Slot::Unreadable(_) => None,
    }
}

/// Elements of each sample that an array of indices selects.
#[derive(Debug, PartialEq)]
pub(super) struct SamplePositions {
    /// Positions within the sample, in the array's order.
    pub(super) offsets: Vec<usize>,
    /// Rows of the array's first axis per sample.
    pub(super) rows: usize,
    /// Further axes of the array.
    pub(super) rest: Vec<usize>,
}

/// Interprets `arrays` as indices along an axis with `size` elements per sample.
///
/// # Errors
/// If the positions differ between samples, or lie in another sample.
pub(super) fn places(arrays: &[Tensor; 2], size: usize) -> Result<SamplePositions, OpError> {
    let refuse = || OpError::Unsupported("indices that are not the same places in every sample".to_owned());
    let (Some((&two, rest)), Some((&three, other))) =
        (arrays[0].shape().split_first(), arrays[1].shape().split_first())
    else {
        return Err(refuse());
    };
    let rows = two / FEW[0];
    if rest != other || [two, three] != FEW.map(|n| rows * n) {
        return Err(refuse());
    }
    let each = rest.iter().product::<usize>() * rows;
    let whole = i64::try_from(size).map_err(|_| refuse())?;
    let numbers = |t: &'_ Tensor| {
        t.as_i64().map(<[i64]>::to_vec).ok_or_else(|| invalid("expected whole numbers as indices"))
    };
    let first: Vec<i64> = numbers(&arrays[0])?.into_iter().take(each).collect();
    for array in arrays {
        // Wrapping, because a file may hold any number; a wrapped value does not match any position.
        let at = |sample: i64, place: i64| place.wrapping_add(sample.wrapping_mul(whole));
        let expected = (0..).flat_map(|sample| first.iter().map(move |&place| at(sample, place)));
        if !numbers(array)?.into_iter().eq(expected.take(array.len())) {
            return Err(refuse());
        }
    }
    let offsets = first.iter().map(|&p| usize::try_from(p).ok().filter(|&p| p < size).ok_or_else(refuse));
    Ok(SamplePositions { offsets: offsets.collect::<Result<_, _>>()?, rows, rest: rest.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An array with `each` as the shape per sample and the entries `at(sample, place)`.
    fn array(each: &[usize], at: impl Fn(i64, i64) -> i64) -> [Tensor; 2] {
        let len: usize = each.iter().product();
        FEW.map(|n| {
            let places = || 0..i64::try_from(len).unwrap();
            let values: Vec<i64> = (0..i64::try_from(n).unwrap())
                .flat_map(|s| places().map(move |p| (s, p)))
                .map(|(s, p)| at(s, p))
                .collect();
            let shape = [&[n * each[0]], &each[1..]].concat();
            Tensor::i64(&values).reshaped(shape).unwrap()
        })
    }

    #[test]
    fn evenly_spaced_rows_are_places() {
        let found = places(&array(&[1, 3], |s, p| 12 * s + 4 * p + 1), 12).unwrap();
        assert_eq!(found, SamplePositions { offsets: vec![1, 5, 9], rows: 1, rest: vec![3] });
        let found = places(&array(&[4], |s, p| 4 * s + 3 - p), 4).unwrap();
        assert_eq!(found, SamplePositions { offsets: vec![3, 2, 1, 0], rows: 4, rest: vec![] });
    }

    #[test]
    fn places_of_other_samples_are_refused() {
        assert!(
            places(&array(&[1, 3], |s, p| 12 * s + 4 * p + 4), 12).is_err(),
            "the last lies in the next sample"
        );
        assert!(places(&array(&[1, 3], |s, p| 11 * s + p), 12).is_err(), "another step than a sample's size");
        assert!(places(&array(&[1, 3], |s, p| 12 * s * s + p), 12).is_err(), "unevenly spaced");
        assert!(places(&array(&[1, 3], |s, p| 12 * s + p - 1), 12).is_err(), "before the sample");
        assert!(
            places(&[Tensor::i64(&[0, 4]), Tensor::i64(&[0, 4])], 4).is_err(),
            "no row for a third sample"
        );
        assert!(places(&array(&[1, 2], |_, _| i64::MAX), 4).is_err(), "no place at all");
        let wide = usize::MAX / 2;
        assert!(places(&array(&[1, 2], |_, p| p), wide).is_err(), "a sample larger than any");
    }
}
