//! Median times of the kernels on the shapes that matter: a training step of the two-class model,
//! and layers of a ResNet. `cargo bench -p heatlens-cpu --bench kernels`.

#![allow(dead_code, unused_imports, clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

#[path = "../src/kernel/mod.rs"]
mod kernel;

use std::hint::black_box;
use std::time::Instant;

use kernel::{
    Conv2d, Conv2dInputGrad, Conv2dWeightGrad, ConvEpilogue, ConvShape, Gemm, GemmShape, Isa, MaxPool2d,
    Right, Window2d, Workers, elementwise, functions, reduce,
};

fn window(kernel: usize, stride: usize, pad: usize, size: usize) -> Window2d {
    let output = (size + 2 * pad - kernel) / stride + 1;
    Window2d {
        kernel: [kernel; 2],
        stride: [stride; 2],
        dilation: [1; 2],
        pad_begin: [pad; 2],
        pad_end: [pad; 2],
        input: [size; 2],
        output: [output; 2],
    }
}

fn conv(in_channels: usize, out_channels: usize, window: Window2d) -> ConvShape {
    ConvShape { window, in_channels, out_channels, groups: 1 }
}

fn numbers(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919) % 1009) as f32 / 500.0 - 1.0).collect()
}

/// Prints and returns the median time of a call in milliseconds.
fn time(what: &str, flops: usize, mut call: impl FnMut()) -> f64 {
    let mut times = Vec::new();
    let started = Instant::now();
    while times.len() < 15 || (started.elapsed().as_millis() < 150 && times.len() < 2000) {
        let start = Instant::now();
        call();
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    println!("{what:44} {median:9.4} ms {:8.1} GF/s", flops as f64 / median / 1e6);
    median
}

/// Times a convolution and its gradients; returns their sum.
fn convolution(name: &str, shape: ConvShape, isa: Isa, workers: Workers, with_dx: bool) -> f64 {
    let (x, w) = (numbers(shape.input_len()), numbers(shape.weights_len()));
    let (dy, mut y) = (numbers(shape.output_len()), numbers(shape.output_len()));
    let flops = 2 * shape.weights_len() * shape.window.output_area();
    let forward = Conv2d::new(shape, isa);
    let mut packed = vec![0.0; forward.packed_len()];
    forward.pack(&w, &mut packed, workers);
    let mut scratch = vec![0.0; forward.scratch_len()];
    let epilogue = ConvEpilogue { bias: None, relu: true };
    let mut total = time(&format!("{name} forward"), flops, || {
        forward.run(&x, &packed, epilogue, &mut y, &mut scratch, workers);
    });
    if with_dx {
        let grad = Conv2dInputGrad::new(shape, isa);
        let mut packed = vec![0.0; grad.packed_len()];
        grad.pack(&w, &mut packed, workers);
        let (mut dx, mut scratch) = (x.clone(), vec![0.0; grad.scratch_len()]);
        total += time(&format!("{name} input gradient"), flops, || {
            grad.run(&dy, &packed, &mut dx, &mut scratch, workers);
        });
    }
    let grad = Conv2dWeightGrad::new(shape, isa);
    let (mut dw, mut scratch) = (w, vec![0.0; grad.scratch_len()]);
    total += time(&format!("{name} weight gradient"), flops, || {
        grad.run(&x, &dy, &mut dw, &mut scratch, workers);
    });
    total
}

fn pooling(name: &str, channels: usize, window: Window2d, isa: Isa) -> f64 {
    let x = numbers(channels * window.input_area());
    let dy = numbers(channels * window.output_area());
    let (mut y, mut dx) = (dy.clone(), x.clone());
    let pool = MaxPool2d::new(window, isa);
    time(&format!("{name} forward"), x.len(), || pool.run(&x, &mut y, Workers::Serial))
        + time(&format!("{name} gradient"), x.len(), || pool.grad(&x, &dy, &mut dx, Workers::Serial))
}

fn relu_and_bias(channels: usize, area: usize) -> f64 {
    let (y, dy) = (numbers(channels * area), numbers(channels * area));
    let mut out = y.clone();
    time("gate of relu", y.len(), || {
        elementwise::binary([&y, &dy], &mut out, |x, dy| if x > 0.0 { dy } else { 0.0 });
    }) + time("bias gradient", y.len(), || {
        black_box(dy.chunks(area).map(reduce::sum).sum::<f32>());
    })
}

fn functions_of_one() {
    println!("\nfunctions of one value, one thread");
    let x = numbers(1 << 16);
    let mut y = x.clone();
    for (name, f) in FUNCTIONS {
        f(&x, &mut y);
        time(name, x.len(), || f(&x, &mut y));
    }
}

type Function = fn(&[f32], &mut [f32]);

const FUNCTIONS: [(&str, Function); 6] = [
    ("exp", elementwise::function::<functions::Exp>),
    ("sigmoid", elementwise::function::<functions::Sigmoid>),
    ("silu", elementwise::function::<functions::Silu>),
    ("tanh", elementwise::function::<functions::Tanh>),
    ("erf", elementwise::function::<functions::Erf>),
    ("gelu", elementwise::function::<functions::Gelu>),
];

fn two_class_model(isa: Isa) {
    println!("\none sample of the two-class model, one thread, {isa:?}");
    let total =
        convolution("conv 1->20, 95x95", conv(1, 20, window(3, 1, 0, 95)), isa, Workers::Serial, false)
            + pooling("pool 20x93x93", 20, window(2, 2, 0, 93), isa)
            + convolution(
                "conv 20->20, 46x46",
                conv(20, 20, window(3, 1, 0, 46)),
                isa,
                Workers::Serial,
                true,
            )
            + pooling("pool 20x44x44", 20, window(2, 2, 0, 44), isa)
            + relu_and_bias(20, 93 * 93)
            + relu_and_bias(20, 44 * 44);
    println!("sum {total:.4} ms; 64 samples on two threads {:.2} ms", total * 32.0);
}

fn residual_network(isa: Isa, workers: Workers) {
    println!("\nlayers of a residual network, {isa:?} {workers:?}");
    for (channels, size) in [(64, 56), (128, 28), (256, 14), (512, 7)] {
        let name = format!("conv {channels}->{channels}, {size}x{size}");
        convolution(&name, conv(channels, channels, window(3, 1, 1, size)), isa, workers, true);
    }
    for size in [56, 28, 14] {
        let name = format!("conv 128->32, {size}x{size}");
        convolution(&name, conv(128, 32, window(3, 1, 1, size)), isa, workers, true);
    }
    convolution("conv 64->128 stride 2, 56x56", conv(64, 128, window(3, 2, 1, 56)), isa, workers, true);
    convolution("conv 3->64 7x7 stride 2, 224x224", conv(3, 64, window(7, 2, 3, 224)), isa, workers, true);
    for (inputs, outputs, size) in [(256, 64, 56), (16, 64, 112), (960, 160, 7)] {
        let name = format!("conv {inputs}->{outputs} 1x1, {size}x{size}");
        convolution(&name, conv(inputs, outputs, window(1, 1, 0, size)), isa, workers, true);
    }
    if workers == Workers::Serial {
        pooling("pool 3x3 stride 2, 64x112x112", 64, window(3, 2, 1, 112), isa);
    }
    convolution("conv 960->240 1x1, 1x1", conv(960, 240, window(1, 1, 0, 1)), isa, workers, true);
    for (channels, kernel, stride, size) in DEPTHWISE {
        let shape = conv(channels, channels, window(kernel, stride, kernel / 2, size));
        let name = format!("depthwise {channels} {kernel}x{kernel} stride {stride}, {size}x{size}");
        convolution(&name, ConvShape { groups: channels, ..shape }, isa, workers, true);
    }
}

/// Channels, kernel, stride and size of depth-wise convolutions in MobileNet, EfficientNet and ConvNeXt.
const DEPTHWISE: [(usize, usize, usize, usize); 8] = [
    (96, 3, 1, 56),
    (64, 3, 2, 112),
    (480, 3, 1, 14),
    (120, 5, 1, 28),
    (672, 5, 2, 14),
    (960, 5, 1, 7),
    (96, 7, 1, 56),
    (384, 7, 1, 14),
];

fn products(isa: Isa) {
    println!("\nmatrix products, {isa:?}");
    let sizes = [
        (1, 20, 1, false),
        (1, 2048, 1000, true),
        (1, 2048, 1000, false),
        (197, 768, 768, false),
        (197, 768, 768, true),
        (197, 3072, 768, false),
        (512, 512, 512, false),
    ];
    for (m, k, n, trans_b) in sizes {
        let gemm = Gemm::new(GemmShape { m, k, n, trans_a: false, trans_b }, isa);
        let (a, b, mut c) = (numbers(m * k), numbers(k * n), numbers(m * n));
        let mut scratch = vec![0.0; gemm.scratch_len()];
        time(&format!("{m}x{k}x{n}{}", if trans_b { ", B transposed" } else { "" }), 2 * m * k * n, || {
            gemm.run(&a, Right::Plain(&b), &mut c, false, &mut scratch, Workers::Serial);
        });
    }
}

fn main() {
    for isa in Isa::available() {
        println!("\npeak of a core, {isa:?}: {:.1} GF/s", kernel::peak_flops(isa) / 1e9);
        two_class_model(isa);
    }
    let isa = Isa::best();
    functions_of_one();
    products(isa);
    residual_network(isa, Workers::Serial);
    residual_network(isa, Workers::Pool);
}
