use heatlens_graph::Shape;
use heatlens_graph::compose::resize::{
    Coordinates, Mode, Resampling, Rounding, Taps, choose, interpolate, matrix, nearest, resize,
};

use crate::common::{Array, check, compare};

fn plain(mode: Mode, coordinates: Coordinates) -> Resampling {
    Resampling { mode, coordinates, exclude_outside: false, antialias: false }
}

fn rows(resampling: &Resampling, input: usize, output: usize, scale: f64) -> Vec<f64> {
    matrix(resampling, input, output, scale).unwrap().to_f64()
}

#[test]
fn every_axis_is_a_product() {
    let linear = plain(Mode::Linear, Coordinates::HalfPixel);
    for (axis, output) in [(1, 5), (2, 2), (3, 8)] {
        let size = [2, 3, 4][axis - 1];
        let weights = matrix(&linear, size, output, output as f64 / size as f64).unwrap();
        let rows = weights.to_f64();
        let naive = |x: &[Array]| {
            let mut shape = x[0].shape.clone();
            shape[axis] = output;
            Array::from_fn(&shape, |i| {
                let at = |k: usize| {
                    let mut from = i.to_vec();
                    from[axis] = k;
                    x[0].at(&from)
                };
                (0..size).map(|k| rows[i[axis] * size + k] * at(k)).sum()
            })
        };
        let build = |b: &mut heatlens_graph::Builder<'_>, x: &[heatlens_graph::ValueId]| {
            resize(b, x[0], axis, &weights).unwrap()
        };
        check("resize", &[Shape::batched(&[2, 3, 4])], build, naive);
    }
    let error = crate::common::refusal(&[Shape::batched(&[2])], |b, x| {
        resize(b, x[0], 0, &matrix(&linear, 1, 2, 2.0).unwrap())
    });
    assert!(error.contains("axis 0 of N×2"), "{error}");
}

#[test]
fn taps_are_the_matrix_without_its_zeros() {
    let cubic = plain(Mode::Cubic { a: -0.75 }, Coordinates::AlignCorners);
    let wide = Resampling { antialias: true, ..plain(Mode::Linear, Coordinates::HalfPixel) };
    for (resampling, axis, output) in [
        (plain(Mode::Linear, Coordinates::HalfPixel), 1, 5),
        (cubic, 2, 7),
        (wide, 3, 2),
        (Resampling { exclude_outside: true, ..cubic }, 3, 9),
        (plain(Mode::Nearest(Rounding::Floor), Coordinates::Asymmetric), 2, 6),
    ] {
        let size = [2, 3, 4][axis - 1];
        let scale = output as f64 / size as f64;
        let rows = rows(&resampling, size, output, scale);
        let taps = Taps::of(&resampling, size, output, scale).unwrap();
        let naive = |x: &[Array]| {
            let mut shape = x[0].shape.clone();
            shape[axis] = output;
            Array::from_fn(&shape, |i| {
                let at = |k: usize| {
                    let mut from = i.to_vec();
                    from[axis] = k;
                    x[0].at(&from)
                };
                (0..size).map(|k| rows[i[axis] * size + k] * at(k)).sum()
            })
        };
        let build = |b: &mut heatlens_graph::Builder<'_>, x: &[heatlens_graph::ValueId]| {
            interpolate(b, x[0], axis, &taps).unwrap()
        };
        check("interpolate", &[Shape::batched(&[2, 3, 4])], build, naive);
    }
    assert!(Taps::new(3, &[vec![(3, 1.0)]]).is_err(), "a place outside");
    assert!(Taps::new(3, &[]).is_err(), "no output");
    let taps = Taps::new(3, &[vec![(0, 0.5), (2, 0.5)], vec![]]).unwrap();
    let error = crate::common::refusal(&[Shape::batched(&[2])], |b, x| interpolate(b, x[0], 1, &taps));
    assert!(error.contains("taps in 3 elements along axis 1 of N×2"), "{error}");
}

/// A matrix from 30,000 elements to 60,000 would need 7 GB.
#[test]
fn a_long_axis_is_resized_without_a_matrix() {
    let linear = plain(Mode::Linear, Coordinates::HalfPixel);
    assert!(matrix(&linear, 30_000, 60_000, 2.0).is_err());
    let taps = Taps::of(&linear, 30_000, 60_000, 2.0).unwrap();
    let half = Taps::new(
        30_000,
        &(0..60_000)
            .map(|o: usize| {
                let left = (o.max(1) - 1) / 2;
                match o {
                    0 => vec![(0, 1.0)],
                    59_999 => vec![(29_999, 1.0)],
                    _ if o % 2 == 1 => vec![(left, 0.75), (left + 1, 0.25)],
                    _ => vec![(left, 0.25), (left + 1, 0.75)],
                }
            })
            .collect::<Vec<_>>(),
    );
    assert!(half.is_ok_and(|half| half == taps));
}

/// Values calculated by hand from the formulas of the operator specification.
#[test]
fn linear_weights() {
    let half = plain(Mode::Linear, Coordinates::HalfPixel);
    compare("up by 2", &rows(&half, 2, 4, 2.0), &[1.0, 0.0, 0.75, 0.25, 0.25, 0.75, 0.0, 1.0], 1e-7);
    let corners = plain(Mode::Linear, Coordinates::AlignCorners);
    compare("corners", &rows(&corners, 2, 3, 1.5), &[1.0, 0.0, 0.5, 0.5, 0.0, 1.0], 1e-7);
    compare("one corner", &rows(&corners, 3, 1, 1.0 / 3.0), &[1.0, 0.0, 0.0], 1e-7);
    let asymmetric = plain(Mode::Linear, Coordinates::Asymmetric);
    compare("asymmetric", &rows(&asymmetric, 2, 4, 2.0), &[1.0, 0.0, 0.5, 0.5, 0.0, 1.0, 0.0, 1.0], 1e-7);
    let torch = plain(Mode::Linear, Coordinates::PytorchHalfPixel);
    compare("to one element", &rows(&torch, 3, 1, 1.0 / 3.0), &[1.0, 0.0, 0.0], 1e-7);
    compare("half pixel to one element", &rows(&half, 3, 1, 1.0 / 3.0), &[0.0, 1.0, 0.0], 1e-7);
    // 4 elements scaled by 0.6 are 2.4, rounded to 2: the centres of input and output coincide.
    let symmetric = plain(Mode::Linear, Coordinates::HalfPixelSymmetric);
    let found = rows(&symmetric, 4, 2, 0.6);
    compare(
        "symmetric",
        &[found[0] + found[7], found[1] + found[6]],
        &[found[0] * 2.0, found[1] * 2.0],
        1e-6,
    );
    let place = 2.0 * (1.0 - 2.0 / 2.4) + 0.5 / 0.6 - 0.5;
    compare("symmetric", &found[..2], &[1.0 - place, place], 1e-6);
}

#[test]
fn cubic_weights() {
    let keys = |t: f64, a: f64| match t.abs() {
        t if t <= 1.0 => (a + 2.0) * t.powi(3) - (a + 3.0) * t.powi(2) + 1.0,
        t if t < 2.0 => a * t.powi(3) - 5.0 * a * t.powi(2) + 8.0 * a * t - 4.0 * a,
        _ => 0.0,
    };
    for a in [-0.75f32, -0.5] {
        let mut cubic = plain(Mode::Cubic { a }, Coordinates::HalfPixel);
        // Output 3 of 8 is at position 1.25 of 4.
        let expected: Vec<f64> = (0..4).map(|i| keys(f64::from(i) - 1.25, a.into())).collect();
        compare("inside", &rows(&cubic, 4, 8, 2.0)[12..16], &expected, 1e-6);
        // Output 0 is at position −0.25: the elements −2, −1 and 0 are the first element.
        let first: f64 = (-2..=0).map(|i| keys(f64::from(i) + 0.25, a.into())).sum();
        compare("at the edge", &rows(&cubic, 4, 8, 2.0)[..2], &[first, keys(1.25, a.into())], 1e-6);
        cubic.exclude_outside = true;
        let (near, far) = (keys(0.25, a.into()), keys(1.25, a.into()));
        compare(
            "outside excluded",
            &rows(&cubic, 4, 8, 2.0)[..2],
            &[near / (near + far), far / (near + far)],
            1e-6,
        );
    }
}

#[test]
fn antialiasing_leaves_nothing_out() {
    let mut linear = plain(Mode::Linear, Coordinates::HalfPixel);
    linear.antialias = true;
    // Output 0 of 2 is at position 1.5 of 8; the triangle extends 4 to both sides; outside, the first element is
    // repeated.
    let tent = |i: i32| 1.0 - (f64::from(i) - 1.5).abs() / 4.0;
    let edge: f64 = (-2..=0).map(tent).sum();
    let sum: f64 = (-2..=5).map(tent).sum();
    let expected: Vec<f64> = (0..8).map(|i| if i == 0 { edge } else { tent(i).max(0.0) } / sum).collect();
    compare("linear", &rows(&linear, 8, 2, 0.25)[..8], &expected, 1e-6);
    // Antialiasing does not affect upsampling.
    let without = plain(Mode::Linear, Coordinates::HalfPixel);
    assert_eq!(rows(&linear, 3, 7, 7.0 / 3.0), rows(&without, 3, 7, 7.0 / 3.0));
    let cubic = Resampling { mode: Mode::Cubic { a: -0.5 }, exclude_outside: true, ..linear };
    for row in rows(&cubic, 9, 4, 4.0 / 9.0).chunks(9) {
        compare("rows sum to 1", &[row.iter().sum()], &[1.0], 1e-6);
    }
}

#[test]
fn nearest_elements() {
    let at = |rounding, coordinates, input, output: usize| {
        nearest(rounding, coordinates, input, output, output as f64 / input as f64)
    };
    // At half the size, half-pixel centres are at 0.5 and 2.5.
    for (rounding, expected) in [
        (Rounding::PreferFloor, [0, 2]),
        (Rounding::PreferCeil, [1, 3]),
        (Rounding::Floor, [0, 2]),
        (Rounding::Ceil, [1, 3]),
    ] {
        assert_eq!(at(rounding, Coordinates::HalfPixel, 4, 2), expected, "{rounding:?}");
    }
    assert_eq!(at(Rounding::Floor, Coordinates::Asymmetric, 2, 5), [0, 0, 0, 1, 1]);
    assert_eq!(at(Rounding::Floor, Coordinates::TfHalfPixelForNn, 2, 4), [0, 0, 1, 1]);
    // 6 ÷ 1.2 is 5, even if 1.2 is rounded to single precision.
    assert_eq!(nearest(Rounding::Floor, Coordinates::Asymmetric, 10, 12, f64::from(1.2f32))[6], 5);
    let weights = rows(&plain(Mode::Nearest(Rounding::Ceil), Coordinates::AlignCorners), 2, 3, 1.5);
    assert_eq!(weights, [1.0, 0.0, 0.0, 1.0, 0.0, 1.0]);
}

#[test]
fn choosing_is_the_product_with_ones() {
    let places = nearest(Rounding::PreferFloor, Coordinates::HalfPixel, 3, 7, 7.0 / 3.0);
    let build = |b: &mut heatlens_graph::Builder<'_>, x: &[heatlens_graph::ValueId]| {
        choose(b, x[0], 2, places.clone()).unwrap()
    };
    check("choose", &[Shape::batched(&[2, 3, 2])], build, |x| {
        Array::from_fn(&[x[0].shape[0], 2, 7, 2], |i| x[0].at(&[i[0], i[1], places[i[2]], i[3]]))
    });
}

#[test]
fn unreasonable_sizes_are_refused() {
    let linear = plain(Mode::Linear, Coordinates::HalfPixel);
    assert!(matrix(&linear, 1 << 20, 1 << 20, 1.0).is_err());
    assert!(matrix(&linear, usize::MAX, 2, 1.0).is_err());
    assert!(matrix(&linear, 0, 2, 1.0).is_err());
    for scale in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matrix(&linear, 4, 4, scale).is_err(), "{scale}");
    }
    // An extreme scale, unrelated to the sizes, must terminate.
    let mut wide = linear;
    wide.antialias = true;
    for scale in [1e-300, 1e300] {
        assert!(matrix(&wide, 4, 4, scale).unwrap().to_f64().iter().all(|w| w.is_finite()));
    }
}
