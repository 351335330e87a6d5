//! Naive implementations of the kernels.

use crate::kernel::{ConvShape, GemmShape, Window2d};

/// Calls `visit(output position, window element, input position)` for every element that is not padding.
pub(super) fn walk(window: &Window2d, mut visit: impl FnMut(usize, usize, usize)) {
    for y in 0..window.output[0] {
        for x in 0..window.output[1] {
            for ky in 0..window.kernel[0] {
                for kx in 0..window.kernel[1] {
                    let row =
                        (y * window.stride[0] + ky * window.dilation[0]).checked_sub(window.pad_begin[0]);
                    let column =
                        (x * window.stride[1] + kx * window.dilation[1]).checked_sub(window.pad_begin[1]);
                    if let (Some(row), Some(column)) = (row, column)
                        && row < window.input[0]
                        && column < window.input[1]
                    {
                        let element = ky * window.kernel[1] + kx;
                        visit(y * window.output[1] + x, element, row * window.input[1] + column);
                    }
                }
            }
        }
    }
}

/// Calls `visit(x, w, y)` with the indices of every product of a convolution.
pub(super) fn conv_walk(shape: &ConvShape, mut visit: impl FnMut(usize, usize, usize)) {
    let (inputs, outputs) = (shape.in_channels / shape.groups, shape.out_channels / shape.groups);
    let (input, output, taps) =
        (shape.window.input_area(), shape.window.output_area(), shape.window.kernel_area());
    for m in 0..shape.out_channels {
        for c in 0..inputs {
            walk(&shape.window, |o, k, i| {
                visit((m / outputs * inputs + c) * input + i, (m * inputs + c) * taps + k, m * output + o);
            });
        }
    }
}

pub(super) fn gemm(shape: &GemmShape, a: &[f32], b: &[f32]) -> Vec<f64> {
    let &GemmShape { m, k, n, trans_a, trans_b } = shape;
    let mut c = vec![0.0; m * n];
    for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
        for t in 0..k {
            let a = a[if trans_a { t * m + i } else { i * k + t }];
            let b = b[if trans_b { j * k + t } else { t * n + j }];
            c[i * n + j] += f64::from(a) * f64::from(b);
        }
    }
    c
}

/// Returns for each window the position of its maximum: the first of equal elements, NaN above all.
pub(super) fn tops(window: &Window2d, x: &[f32]) -> Vec<Option<usize>> {
    let mut tops: Vec<Option<usize>> = vec![None; window.output_area()];
    walk(window, |o, _, i| {
        let better = match tops[o] {
            None => true,
            Some(top) if x[top].is_nan() => false,
            Some(top) => x[i].is_nan() || x[i] > x[top],
        };
        if better {
            tops[o] = Some(i);
        }
    });
    tops
}
