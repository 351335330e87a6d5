use heatlens_graph::compose::grid_sample::{Interpolation, Padding, Sampling, affine_grid, grid_sample};
use heatlens_graph::{Shape, Tensor};

use crate::common::{Array, check};

const ROWS: usize = 4;
const COLUMNS: usize = 3;

/// Returns the index of an element of an axis for a whole number that may lie outside; `None` for the value 0.
fn element(at: f64, size: usize, sampling: Sampling) -> Option<usize> {
    let last = size as f64 - 1.0;
    let (low, high) = if sampling.align_corners { (0.0, last) } else { (-0.5, last + 0.5) };
    let mut at = at;
    match sampling.padding {
        Padding::Zeros => {}
        Padding::Border => at = at.clamp(0.0, last),
        Padding::Reflection => {
            while at < low || at > high {
                at = if at < low { 2.0 * low - at } else { 2.0 * high - at };
            }
        }
    }
    (0.0..=last).contains(&at).then_some(at as usize)
}

/// Samples the positions one by one, as the definition of the ONNX operator does.
fn naive(x: &Array, grid: &Array, sampling: Sampling) -> Array {
    let position = |g: f64, size: usize| match sampling.align_corners {
        true => (g + 1.0) / 2.0 * (size as f64 - 1.0),
        false => ((g + 1.0) * size as f64 - 1.0) / 2.0,
    };
    let (n, c, h, w) = (x.shape[0], x.shape[1], grid.shape[1], grid.shape[2]);
    Array::from_fn(&[n, c, h, w], |i| {
        let of = |k: usize, size: usize| position(grid.at(&[i[0], i[2], i[3], k]), size);
        let (column, row) = (of(0, COLUMNS), of(1, ROWS));
        let at = |row: f64, column: f64| {
            let found = element(row, ROWS, sampling).zip(element(column, COLUMNS, sampling));
            found.map_or(0.0, |(row, column)| x.at(&[i[0], i[1], row, column]))
        };
        if sampling.interpolation == Interpolation::Nearest {
            return at(row.round_ties_even(), column.round_ties_even());
        }
        let (top, left) = (row.floor(), column.floor());
        let (down, right) = (row - top, column - left);
        (1.0 - down) * ((1.0 - right) * at(top, left) + right * at(top, left + 1.0))
            + down * ((1.0 - right) * at(top + 1.0, left) + right * at(top + 1.0, left + 1.0))
    })
}

fn samplings(interpolation: Interpolation) -> Vec<Sampling> {
    let paddings = [Padding::Zeros, Padding::Border, Padding::Reflection];
    let with =
        |padding| [false, true].map(|align_corners| Sampling { interpolation, padding, align_corners });
    paddings.into_iter().flat_map(with).collect()
}

#[test]
fn positions_are_sampled_one_by_one() {
    for sampling in samplings(Interpolation::Linear) {
        // Positions from −1.7 to 1.7, also outside the image.
        let shapes = [Shape::batched(&[2, ROWS, COLUMNS]), Shape::batched(&[3, 2, 2])];
        let build = |b: &mut heatlens_graph::Builder<'_>, x: &[heatlens_graph::ValueId]| {
            let grid = b.scale(x[1], 1.7).unwrap();
            grid_sample(b, x[0], grid, sampling).unwrap()
        };
        let what = format!("{sampling:?}");
        // The factor 1.7 is rounded to single precision.
        let factor = f64::from(1.7f32);
        let exact =
            |grid: &Array| Array { values: grid.values.iter().map(|g| factor * g).collect(), ..grid.clone() };
        check(&what, &shapes, build, |x| naive(&x[0], &exact(&x[1]), sampling));
    }
}

#[test]
fn the_nearest_element_is_taken() {
    let grid = vec![-1.3f32, 0.2, 0.0, 0.0, 0.9, -0.9, 0.4, 1.6];
    for sampling in samplings(Interpolation::Nearest) {
        let build = |b: &mut heatlens_graph::Builder<'_>, x: &[heatlens_graph::ValueId]| {
            let grid = b.constant(Tensor::f32(&[1, 2, 2, 2], grid.clone()));
            grid_sample(b, x[0], grid, sampling).unwrap()
        };
        let places = Array { shape: vec![1, 2, 2, 2], values: grid.iter().map(|&g| f64::from(g)).collect() };
        let shapes = [Shape::fixed(&[1, 2, ROWS, COLUMNS])];
        check(&format!("{sampling:?}"), &shapes, build, |x| naive(&x[0], &places, sampling));
    }
}

#[test]
fn a_matrix_moves_the_positions() {
    for align_corners in [false, true] {
        let build = |b: &mut heatlens_graph::Builder<'_>, x: &[heatlens_graph::ValueId]| {
            affine_grid(b, x[0], [ROWS, COLUMNS], align_corners).unwrap()
        };
        let place = |i: usize, size: usize| match align_corners {
            true => 2.0 * i as f64 / (size as f64 - 1.0) - 1.0,
            false => (2.0 * i as f64 + 1.0) / size as f64 - 1.0,
        };
        // The positions are stored in single precision.
        let place = move |i, size| f64::from(place(i, size) as f32);
        check("AffineGrid", &[Shape::batched(&[2, 3])], build, |x| {
            Array::from_fn(&[x[0].shape[0], ROWS, COLUMNS, 2], |i| {
                let at = [place(i[2], COLUMNS), place(i[1], ROWS), 1.0];
                (0..3).map(|k| x[0].at(&[i[0], i[3], k]) * at[k]).sum()
            })
        });
    }
    let error =
        crate::common::refusal(&[Shape::batched(&[3, 4])], |b, x| affine_grid(b, x[0], [2, 2], false));
    assert!(error.contains("N×2×3"), "{error}");
    let matrices = [Shape::batched(&[2, 3])];
    let error = crate::common::refusal(&matrices, |b, x| affine_grid(b, x[0], [1 << 20, 1 << 20], false));
    assert!(error.contains("1048576×1048576 positions"), "{error}");
    let error = crate::common::refusal(&matrices, |b, x| affine_grid(b, x[0], [4096, 4096], false));
    assert!(error.contains("at most 4194304"), "{error}");
}
