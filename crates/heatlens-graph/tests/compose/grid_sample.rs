use heatlens_graph::compose::grid_sample::{Interpolation, Padding, Sampling, affine_grid, grid_sample};
use heatlens_graph::{Shape, Tensor};

use crate::common::{Array, check, compare, dyadic, with_gradients};

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

/// Returns the weight of an element at a distance in cubic convolution.
fn keys(distance: f64) -> f64 {
    let (a, t) = (-0.75, distance.abs());
    match t {
        t if t <= 1.0 => (a + 2.0) * t.powi(3) - (a + 3.0) * t.powi(2) + 1.0,
        t if t < 2.0 => a * (t.powi(3) - 5.0 * t.powi(2) + 8.0 * t - 4.0),
        _ => 0.0,
    }
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
        if sampling.interpolation == Interpolation::Cubic {
            let each = [-1.0, 0.0, 1.0, 2.0];
            let line = |y: f64| each.map(|k| keys(column - left - k) * at(y, left + k)).iter().sum::<f64>();
            return each.map(|k| keys(row - top - k) * line(top + k)).iter().sum();
        }
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
    for sampling in [Interpolation::Linear, Interpolation::Cubic].into_iter().flat_map(samplings) {
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

/// Values and gradients with respect to the positions of `torch.nn.functional.grid_sample(mode="bicubic")`, PyTorch 2.15.
#[test]
fn cubic_sampling_is_that_of_pytorch() {
    let expected: [(Padding, bool, [f64; 4], [f64; 8]); 6] = [
        (
            Padding::Zeros,
            false,
            [0.07168, 0.20275, 0.82727, 0.02912],
            [-0.63469, 0.05007, 1.62890, 0.51272, -0.23259, 0.62843, 0.04965, 0.15547],
        ),
        (
            Padding::Zeros,
            true,
            [0.65012, 0.58440, 0.78780, -0.13793],
            [-0.31921, 0.28159, 0.94300, 0.37035, 0.10229, 0.56943, 0.43759, -0.03327],
        ),
        (
            Padding::Border,
            false,
            [0.53375, 0.39218, 1.11878, 0.30917],
            [-0.15425, 0.51328, 2.02902, -0.01866, 0.00797, 0.84736, 0.57294, -0.05332],
        ),
        (
            Padding::Border,
            true,
            [0.77507, 0.57030, 0.72781, -0.20024],
            [0.09492, 0.48285, 0.77526, 0.06523, 0.15371, 0.52656, 0.58447, 0.02211],
        ),
        (
            Padding::Reflection,
            false,
            [0.61450, 0.37603, 1.17410, 0.27328],
            [-0.56953, 0.51328, 2.22363, 0.05973, 0.06952, 0.89215, 0.57294, -0.19687],
        ),
        (
            Padding::Reflection,
            true,
            [0.41837, 0.53566, 0.79309, 0.02353],
            [-0.89215, 0.59384, 1.10372, 0.10258, 0.09776, 0.57634, 0.61810, -0.16607],
        ),
    ];
    let x = dyadic(&[1, 1, ROWS, COLUMNS], 37, 23, 8.0, 1.0);
    let grid = dyadic(&[1, 2, 2, 2], 29, 41, 16.0, 1.25);
    let seed = dyadic(&[1, 1, 2, 2], 5, 7, 4.0, 0.6);
    for (padding, align_corners, y, slope) in expected {
        let sampling = Sampling { interpolation: Interpolation::Cubic, padding, align_corners };
        let build = |b: &mut heatlens_graph::Builder<'_>, x: &[heatlens_graph::ValueId]| {
            grid_sample(b, x[0], x[1], sampling).unwrap()
        };
        let found = with_gradients(&[&x, &grid], &seed, build);
        compare(&format!("{sampling:?}"), &found[0], &y, 1e-5);
        compare(&format!("{sampling:?}: gradient"), &found[2], &slope, 1e-5);
    }
}
