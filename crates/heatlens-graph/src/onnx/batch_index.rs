//! Arrays that enumerate the samples: `Range` over the batch, and values computed from it.
//!
//! Exporters that index a flattened batch compute positions as *sample number* · k + *position in the sample*. Such an
//! array grows with the batch size, so it is computed twice, for two small batch sizes, by the operators' ordinary
//! evaluators ([`constant_folding`]). Used as indices, it must select the same positions in each sample: [`places`].

use super::constant_folding;
use super::scope::Slot;
use crate::error::OpError;
use crate::op::invalid;
use crate::tensor::Tensor;

/// The two batch sizes for which such an array is computed.
pub(super) const SAMPLES: [usize; 2] = [2, 3];

/// Returns a slot for an array known for the two small batch sizes: a list of sizes if its shape is the same for both.
pub(super) fn slot(arrays: [Tensor; 2]) -> Slot {
    if constant_folding::same(&arrays[0], &arrays[1]) {
        let [first, _] = arrays;
        return Slot::Stored(first);
    }
    constant_folding::sizes_of(&arrays, SAMPLES).unwrap_or(Slot::BatchIndex(arrays))
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
    let rows = two / SAMPLES[0];
    if rest != other || [two, three] != SAMPLES.map(|n| rows * n) {
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
        SAMPLES.map(|n| {
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
