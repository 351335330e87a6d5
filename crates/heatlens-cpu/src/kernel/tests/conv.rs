//! Tests of convolution and its two gradients.

use proptest::prelude::*;

use super::reference::conv_walk;
use super::{BOTH, assert_close, dot, isas, numbers, scratch, windows};
use crate::kernel::{
    Conv2d, Conv2dInputGrad, Conv2dWeightGrad, ConvEpilogue, ConvShape, Isa, Window2d, Workers,
    depthwise::Depthwise, winograd::Winograd,
};

fn shapes() -> impl Strategy<Value = ConvShape> {
    (windows(), 1..=3_usize, 1..=4_usize, 1..=14_usize).prop_map(|(window, groups, inputs, outputs)| {
        ConvShape { window, in_channels: groups * inputs, out_channels: groups * outputs, groups }
    })
}

/// Depth-wise convolutions with a loop of their own; some leave elements of the input unread.
fn depthwise_shapes() -> impl Strategy<Value = ConvShape> {
    let pair = |low: usize, high: usize| prop::array::uniform2(low..=high);
    let windows = (1..=3_usize, 1..=2_usize, pair(0, 4), pair(0, 4), pair(1, 40)).prop_filter_map(
        "the window does not fit",
        |(half, stride, begin, end, input)| {
            Window2d::fitting([2 * half + 1; 2], [stride; 2], [1; 2], begin, end, input)
        },
    );
    (windows, 1..=5_usize).prop_map(|(window, channels)| ConvShape {
        window,
        in_channels: channels,
        out_channels: channels,
        groups: channels,
    })
}

/// Convolution with a square kernel over a square image.
fn square(channels: [usize; 2], kernel: usize, stride: usize, pad: usize, size: usize) -> ConvShape {
    let window = Window2d::fitting([kernel; 2], [stride; 2], [1; 2], [pad; 2], [pad; 2], [size; 2]);
    ConvShape { window: window.unwrap(), in_channels: channels[0], out_channels: channels[1], groups: 1 }
}

fn forward(
    conv: &Conv2d,
    workers: Workers,
    x: &[f32],
    w: &[f32],
    epilogue: ConvEpilogue<'_>,
    len: usize,
) -> Vec<f32> {
    let (mut packed, mut y) = (scratch(conv.packed_len()), scratch(len));
    conv.pack(w, &mut packed, workers);
    conv.run(x, &packed, epilogue, &mut y, &mut scratch(conv.scratch_len()), workers);
    y
}

fn input_grad(shape: ConvShape, isa: Isa, workers: Workers, dy: &[f32], w: &[f32]) -> Vec<f32> {
    let grad = Conv2dInputGrad::new(shape, isa);
    let (mut packed, mut dx) = (scratch(grad.packed_len()), scratch(shape.input_len()));
    grad.pack(w, &mut packed, workers);
    grad.run(dy, &packed, &mut dx, &mut scratch(grad.scratch_len()), workers);
    dx
}

/// Computes the weight gradient, added to ones.
fn weight_grad(shape: ConvShape, isa: Isa, workers: Workers, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let grad = Conv2dWeightGrad::new(shape, isa);
    let mut dw = vec![1.0; shape.weights_len()];
    grad.run(x, dy, &mut dw, &mut scratch(grad.scratch_len()), workers);
    dw
}

fn check(shape: ConvShape, seed: u64) {
    let (x, w) = (numbers(shape.input_len(), seed), numbers(shape.weights_len(), seed + 1));
    let (dy, bias) = (numbers(shape.output_len(), seed + 2), numbers(shape.out_channels, seed + 3));
    let area = shape.window.output_area();
    let mut y: Vec<f64> = (0..shape.output_len()).map(|i| f64::from(bias[i / area])).collect();
    let (mut dx, mut dw) = (vec![0.0; x.len()], vec![1.0; w.len()]);
    conv_walk(&shape, |xi, wi, yi| {
        y[yi] += f64::from(x[xi]) * f64::from(w[wi]);
        dx[xi] += f64::from(dy[yi]) * f64::from(w[wi]);
        dw[wi] += f64::from(dy[yi]) * f64::from(x[xi]);
    });
    // Rounding errors grow with the square root of the number of terms.
    let rounding = |terms: usize, least: f64| least.max((terms as f64).sqrt() / 2.0);
    let filter = shape.window.kernel_area();
    let [forth, back] = [shape.group_inputs(), shape.group_outputs()].map(|c| rounding(c * filter, 10.0));
    let rectified: Vec<f64> = y.iter().map(|v| v.max(0.0)).collect();
    for (isa, workers) in isas().into_iter().flat_map(|isa| BOTH.map(|workers| (isa, workers))) {
        let what = format!("{isa:?} {workers:?} {shape:?}");
        let plain = ConvEpilogue { bias: Some(&bias), relu: false };
        let fused = ConvEpilogue { bias: Some(&bias), relu: true };
        for conv in Conv2d::every(shape, isa) {
            let result = |epilogue| forward(&conv, workers, &x, &w, epilogue, y.len());
            assert_close(&result(plain), &y, forth, &format!("{what} {conv:?}"));
            assert_close(&result(fused), &rectified, forth, &format!("{what} {conv:?}"));
        }
        assert_close(&input_grad(shape, isa, workers, &dy, &w), &dx, back, &what);
        assert_close(&weight_grad(shape, isa, workers, &x, &dy), &dw, rounding(area, 20.0), &what);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_shape_agrees_with_plain_loops(shape in shapes(), seed in 0..1000_u64) {
        check(shape, seed);
    }

    #[test]
    fn any_depthwise_shape_agrees_with_plain_loops(shape in depthwise_shapes(), seed in 0..1000_u64) {
        prop_assert!(Depthwise::new(shape, Isa::best()).is_some());
        check(shape, seed);
    }

    #[test]
    fn gradients_are_adjoint(shape in shapes(), seed in 0..1000_u64) {
        let (x, w) = (numbers(shape.input_len(), seed), numbers(shape.weights_len(), seed + 1));
        let dy = numbers(shape.output_len(), seed + 2);
        let isa = Isa::best();
        let conv = Conv2d::new(shape, isa);
        let y = forward(&conv, Workers::Serial, &x, &w, ConvEpilogue::default(), dy.len());
        let through = dot(&y, &dy);
        let back = dot(&x, &input_grad(shape, isa, Workers::Serial, &dy, &w));
        let dw = weight_grad(shape, isa, Workers::Serial, &x, &dy);
        let weights = dot(&w, &dw) - w.iter().map(|&w| f64::from(w)).sum::<f64>();
        prop_assert!((through - back).abs() < 1e-4, "{through} {back}");
        prop_assert!((through - weights).abs() < 1e-4, "{through} {weights}");
    }
}

#[test]
fn shapes_of_real_networks_agree_with_plain_loops() {
    check(square([1, 20], 3, 1, 0, 37), 1); // read in place, many rows per tile
    check(square([20, 20], 3, 1, 0, 46), 2);
    check(square([20, 1], 3, 1, 1, 23), 3);
    check(square([3, 17], 7, 2, 3, 64), 4);
    check(square([40, 36], 1, 1, 0, 7), 5);
    check(square([30, 13], 1, 2, 0, 14), 6);
    check(ConvShape { groups: 24, ..square([24, 24], 3, 1, 1, 15) }, 7);
    check(square([5, 6], 1, 1, 0, 1), 8);
    check(square([150, 61], 1, 1, 0, 1), 12);
    check(square([61, 150], 1, 1, 0, 1), 13);
    check(square([2, 3], 3, 4, 1, 30), 9); // some of the input is skipped
    check(square([520, 13], 2, 1, 0, 7), 10); // terms in parts
    check(square([2100, 13], 1, 1, 0, 5), 11);
    for (seed, (kernel, stride, size)) in
        [(3, 1, 14), (3, 2, 29), (5, 1, 7), (5, 2, 28), (7, 1, 14)].into_iter().enumerate()
    {
        check(
            ConvShape { groups: 24, ..square([24, 24], kernel, stride, kernel / 2, size) },
            20 + seed as u64,
        );
    }
}

/// A channel with two kernels, an oblong kernel, a step of 3 and a dilation are computed in another way.
#[test]
fn other_convolutions_of_single_channels_agree_with_plain_loops() {
    let alone = ConvShape { groups: 6, ..square([6, 6], 3, 1, 1, 12) };
    let with = |change: fn(&mut ConvShape)| {
        let mut shape = alone;
        change(&mut shape);
        shape
    };
    for (seed, shape) in [
        with(|shape| shape.out_channels = 12),
        with(|shape| (shape.window.kernel, shape.window.output) = ([3, 5], [12, 10])),
        with(|shape| (shape.window.stride, shape.window.output) = ([3, 3], [4, 4])),
        with(|shape| (shape.window.stride, shape.window.output) = ([1, 2], [12, 6])),
        with(|shape| (shape.window.dilation, shape.window.output) = ([2, 2], [10, 10])),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(
            Depthwise::new(shape, Isa::best()).is_none()
                && Depthwise::input_grad(shape, Isa::best()).is_none()
        );
        check(shape, 30 + seed as u64);
    }
    assert!(
        Depthwise::new(alone, Isa::best()).is_some() && Depthwise::input_grad(alone, Isa::best()).is_some()
    );
}

/// Sizes that [`Winograd`] computes: odd and even, wide and high, with padding on one side only, with numbers of channels
/// that do not fill a tile of rows.
#[test]
fn fewer_products_give_the_same_sums() {
    for (seed, (channels, input, begin, end)) in [
        ([64, 64], [28, 28], [1, 1], [1, 1]),
        ([37, 41], [17, 30], [1, 1], [1, 1]),
        ([33, 50], [31, 18], [0, 1], [2, 0]),
        ([40, 29], [60, 13], [2, 2], [2, 2]),
        ([90, 100], [14, 14], [1, 1], [1, 1]),
        ([48, 3], [9, 100], [0, 0], [0, 0]),
        ([90, 100], [7, 7], [1, 1], [1, 1]),
        ([37, 41], [8, 5], [0, 2], [1, 1]),
    ]
    .into_iter()
    .enumerate()
    {
        let window = Window2d::fitting([3; 2], [1; 2], [1; 2], begin, end, input).unwrap();
        let shape = ConvShape { window, in_channels: channels[0], out_channels: channels[1], groups: 1 };
        assert!(Winograd::new(shape, Isa::best()).is_some(), "{shape:?} is computed in another way");
        check(shape, 10 + seed as u64);
    }
    // More panels than are processed together, with scratch memory for those only.
    let large = square([128, 12], 3, 1, 1, 70);
    check(large, 20);
    let room = Winograd::new(square([64, 64], 3, 1, 1, 224), Isa::best()).map_or(0, |w| w.scratch_len());
    assert!(4 * room < 32 << 20, "{room} elements of scratch");
    for other in [square([64, 64], 3, 2, 1, 28), square([64, 64], 1, 1, 0, 28), square([64, 64], 5, 1, 2, 28)]
    {
        assert!(Winograd::new(other, Isa::best()).is_none());
    }
    let groups = ConvShape { groups: 2, ..square([128, 128], 3, 1, 1, 28) };
    assert!(Winograd::new(groups, Isa::best()).is_none());
}

#[test]
fn convolutions_without_channels_are_biases() {
    for (seed, channels) in [[0, 3], [3, 0], [0, 0]].into_iter().enumerate() {
        check(square(channels, 3, 1, 1, 8), 40 + seed as u64);
        check(square(channels, 3, 2, 1, 8), 50 + seed as u64);
        check(square(channels, 1, 1, 0, 8), 60 + seed as u64);
    }
}

#[test]
fn threads_change_no_bit() {
    for shape in [
        square([20, 20], 3, 1, 1, 46),
        square([150, 70], 3, 1, 1, 30),
        square([16, 40], 5, 2, 2, 61),
        square([60, 50], 3, 1, 1, 7),
        square([2304, 20], 1, 1, 0, 9),
        square([700, 900], 1, 1, 0, 1),
        ConvShape { groups: 200, ..square([200, 200], 5, 2, 2, 56) },
        ConvShape { groups: 300, ..square([300, 300], 7, 1, 3, 14) },
    ] {
        let (x, w) = (numbers(shape.input_len(), 1), numbers(shape.weights_len(), 2));
        let dy = numbers(shape.output_len(), 3);
        for isa in isas() {
            let all = |workers| {
                let ways = Conv2d::every(shape, isa);
                let y: Vec<_> = ways
                    .map(|conv| forward(&conv, workers, &x, &w, ConvEpilogue::default(), dy.len()))
                    .collect();
                (y, input_grad(shape, isa, workers, &dy, &w), weight_grad(shape, isa, workers, &x, &dy))
            };
            let serial = all(Workers::Serial);
            for threads in [1, 2, 3, 7] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                assert!(pool.install(|| all(Workers::Pool)) == serial, "{isa:?} {threads}");
            }
        }
    }
}

#[test]
fn a_wrong_length_is_refused() {
    let shape = square([2, 3], 3, 1, 1, 8);
    let conv = Conv2d::new(shape, Isa::best());
    let packed = vec![0.0; conv.packed_len()];
    for (x, y) in [(shape.input_len() - 1, shape.output_len()), (shape.input_len(), shape.output_len() + 1)] {
        let run = || {
            let mut scratch = vec![0.0; conv.scratch_len()];
            conv.run(
                &vec![0.0; x],
                &packed,
                ConvEpilogue::default(),
                &mut vec![0.0; y],
                &mut scratch,
                Workers::Serial,
            );
        };
        assert!(std::panic::catch_unwind(run).is_err());
    }
}
