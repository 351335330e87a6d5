//! Tests of pooling.

use proptest::prelude::*;

use super::reference::{tops, walk};
use super::{BOTH, assert_close, isas, numbers, scratch, windows};
use crate::kernel::{AvgPool2d, MaxPool2d, Window2d};

/// Returns few distinct values, so that windows have many ties.
fn ties(len: usize, seed: u64, with_nan: bool) -> Vec<f32> {
    let value = |v: f32| if with_nan && v > 0.8 { f32::NAN } else { (v * 2.0).round() };
    numbers(len, seed).into_iter().map(value).collect()
}

fn check_max(window: Window2d, x: &[f32]) {
    let planes = 2;
    let (area, out) = (window.input_area(), window.output_area());
    let (v, dy) = (numbers(planes * area, 5), numbers(planes * out, 6));
    let (mut y, mut selected, mut dx) =
        (vec![0.0; planes * out], vec![0.0; planes * out], vec![0.0; planes * area]);
    for plane in 0..planes {
        for (o, top) in tops(&window, &x[plane * area..(plane + 1) * area]).into_iter().enumerate() {
            let (o, top) = (plane * out + o, top.map(|top| plane * area + top));
            y[o] = top.map_or(f32::NEG_INFINITY, |top| x[top]);
            selected[o] = top.map_or(0.0, |top| v[top]);
            if let Some(top) = top {
                dx[top] += dy[o];
            }
        }
    }
    let same = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| a == b || (a.is_nan() && b.is_nan()));
    for (isa, workers) in isas().into_iter().flat_map(|isa| BOTH.map(|workers| (isa, workers))) {
        let pool = MaxPool2d::new(window, isa);
        let mut found = scratch(planes * out);
        pool.run(x, &mut found, workers);
        assert!(same(&found, &y), "{isa:?} {window:?}");
        pool.select(x, &v, &mut found, workers);
        assert!(same(&found, &selected), "{isa:?} {window:?}");
        let mut found = scratch(planes * area);
        pool.grad(x, &dy, &mut found, workers);
        assert!(same(&found, &dx), "{isa:?} {window:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn maxima_agree_with_plain_loops(window in windows(), seed in 0..1000_u64, with_nan: bool) {
        check_max(window, &ties(2 * window.input_area(), seed, with_nan));
    }

    #[test]
    fn the_fast_path_agrees_with_plain_loops(input in prop::array::uniform2(2..50_usize), seed in 0..1000_u64, with_nan: bool) {
        let window = Window2d::fitting([2; 2], [2; 2], [1; 2], [0; 2], [0; 2], input).unwrap();
        check_max(window, &ties(2 * window.input_area(), seed, with_nan));
    }

    #[test]
    fn means_agree_with_plain_loops(window in windows(), seed in 0..1000_u64, count_include_pad: bool) {
        let (x, dy) = (numbers(2 * window.input_area(), seed), numbers(2 * window.output_area(), seed + 1));
        let mut counts = vec![if count_include_pad { window.kernel_area() } else { 0 }; window.output_area()];
        if !count_include_pad {
            walk(&window, |o, _, _| counts[o] += 1);
        }
        let (mut y, mut dx) = (vec![0.0; dy.len()], vec![0.0; x.len()]);
        for plane in 0..2 {
            walk(&window, |o, _, i| {
                let (at, from) = (plane * window.output_area() + o, plane * window.input_area() + i);
                y[at] += f64::from(x[from]) / counts[o] as f64;
                dx[from] += f64::from(dy[at]) / counts[o] as f64;
            });
        }
        let pool = AvgPool2d::new(window, count_include_pad);
        for workers in BOTH {
            let (mut found, mut back) = (scratch(y.len()), scratch(dx.len()));
            pool.run(&x, &mut found, workers);
            pool.grad(&dy, &mut back, workers);
            assert_close(&found, &y, 1.0, "mean");
            assert_close(&back, &dx, 1.0, "gradient of the mean");
        }
    }
}

#[test]
fn what_ceiling_lets_reach_beyond_the_padding_does_not_count() {
    // Five columns after one of padding, windows of three at 0, 2, 4: the last contains two
    // columns and one element beyond the end.
    let window = Window2d {
        kernel: [1, 3],
        stride: [1, 2],
        dilation: [1, 1],
        pad_begin: [0, 1],
        pad_end: [0, 0],
        input: [1, 5],
        output: [1, 3],
    };
    let mut y = [0.0; 3];
    let x = [1.0, 2.0, 3.0, 4.0, 5.0];
    AvgPool2d::new(window, true).run(&x, &mut y, BOTH[0]);
    assert_close(&y, &[1.0, 3.0, 4.5], 1.0, "counting padding");
    AvgPool2d::new(window, false).run(&x, &mut y, BOTH[0]);
    assert_close(&y, &[1.5, 3.0, 4.5], 1.0, "not counting padding");
}

#[test]
fn a_tie_belongs_to_the_first() {
    let window = Window2d::fitting([2; 2], [2; 2], [1; 2], [0; 2], [0; 2], [2, 4]).unwrap();
    for isa in isas() {
        let mut dx = [9.0; 8];
        MaxPool2d::new(window, isa).grad(
            &[1.0, 1.0, 0.0, 2.0, 1.0, 1.0, 2.0, 2.0],
            &[3.0, 4.0],
            &mut dx,
            BOTH[0],
        );
        assert_eq!(dx, [3.0, 0.0, 0.0, 4.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
