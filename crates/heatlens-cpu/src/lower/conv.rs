//! Convolution and its two gradients. Weights are packed before the samples run, and only once if they are constant.

use heatlens_graph::op::conv::Conv;
use heatlens_graph::op::conv_grad::{ConvInputGrad, ConvWeightGrad};
use heatlens_graph::op::window::Window;
use heatlens_graph::{Node, ValueId};

use crate::kernel::{
    Conv2d, Conv2dInputGrad, Conv2dWeightGrad, ConvEpilogue, ConvShape, Isa, Window2d, Workers,
};
use crate::lower::{Kernel, Lowering, Refusal, Slot};

pub(super) fn lower(lowering: &mut Lowering<'_>, node: &Node) -> Option<Result<(), Refusal>> {
    if let Some(conv) = Lowering::op::<Conv>(node) {
        return Some(lower_forward(lowering, node, conv));
    }
    if let Some(grad) = Lowering::op::<ConvInputGrad>(node) {
        return Some(lower_input_grad(lowering, node, &grad.conv));
    }
    let grad = Lowering::op::<ConvWeightGrad>(node)?;
    Some(lower_weight_grad(lowering, node, &grad.conv))
}

/// Returns the window for N×C×H×W values; a value with one spatial axis is treated as one row.
pub(super) fn window_2d(window: &Window, input: &[usize], output: &[usize]) -> Result<Window2d, Refusal> {
    if let Some((window, input, output)) = without_last_axis(window, input, output) {
        return window_2d(&window, &input, &output);
    }
    let pair = |values: &[usize], fill: usize| match *values {
        [x] => Ok([fill, x]),
        [y, x] => Ok([y, x]),
        _ => Err(format!("windows over {} axes are not supported, only one or two", values.len())),
    };
    Ok(Window2d {
        kernel: pair(&window.kernel, 1)?,
        stride: pair(&window.strides, 1)?,
        dilation: pair(&window.dilations, 1)?,
        pad_begin: pair(&window.pads_begin, 0)?,
        pad_end: pair(&window.pads_end, 0)?,
        input: pair(input.get(2..).unwrap_or_default(), 1)?,
        output: pair(output.get(2..).unwrap_or_default(), 1)?,
    })
}

/// Converts windows over three axes that do not slide along the last to windows over two: the second and third axis are
/// merged, and neighbouring elements of the window are the size of the third axis apart.
fn without_last_axis(
    window: &Window,
    input: &[usize],
    output: &[usize],
) -> Option<(Window, Vec<usize>, Vec<usize>)> {
    let (&size, still) = (input.get(4)?, |list: &[usize], value| list.get(2) == Some(&value));
    let stands_still = still(&window.kernel, 1)
        && still(&window.strides, 1)
        && still(&window.pads_begin, 0)
        && still(&window.pads_end, 0);
    if input.len() != 5 || !stands_still || window.strides[1] != 1 {
        return None;
    }
    let wide = |list: &[usize]| vec![list[0], list[1] * size];
    let merged = |sizes: &[usize]| [&sizes[..3], &[sizes[3] * sizes[4]]].concat();
    let flat = Window {
        kernel: window.kernel[..2].to_vec(),
        strides: window.strides[..2].to_vec(),
        dilations: wide(&window.dilations),
        pads_begin: wide(&window.pads_begin),
        pads_end: wide(&window.pads_end),
    };
    Some((flat, merged(input), merged(output)))
}

fn conv_shape(lowering: &Lowering<'_>, conv: &Conv, x: ValueId, y: ValueId) -> Result<ConvShape, Refusal> {
    let (input, output) = (lowering.shape(x), lowering.shape(y));
    let shape = ConvShape {
        window: window_2d(&conv.window, &input, &output)?,
        in_channels: input[1],
        out_channels: output[1],
        groups: conv.group,
    };
    Ok(shape)
}

fn lower_forward(lowering: &mut Lowering<'_>, node: &Node, conv: &Conv) -> Result<(), Refusal> {
    let (x, w) = (lowering.input(node, 0)?, lowering.input(node, 1)?);
    let kernel = Conv2d::new(conv_shape(lowering, conv, x, node.outputs[0])?, Isa::best());
    let weights = lowering.slot(w);
    let packed = lowering.prepare(node, weights, kernel.packed_len(), PackForward(kernel.clone()));
    let mut inputs: Vec<Slot> = vec![lowering.slot(x), packed];
    if let Ok(bias) = lowering.input(node, 2) {
        inputs.push(lowering.slot(bias));
    }
    let rectifier = lowering.only_rectifier(node);
    let relu = rectifier.is_some();
    let sample = [sample_len(lowering, x), sample_len(lowering, node.outputs[0])];
    let flops = flops(lowering, w, node.outputs[0]);
    let output = rectifier.map_or(node.outputs[0], |rectifier| rectifier.outputs[0]);
    lowering.push_slots(node, output, &inputs, Forward { conv: kernel, relu, sample, flops })
}

/// Returns the floating-point operations: each result is a sum over the weights of a filter.
fn flops(lowering: &Lowering<'_>, weights: ValueId, results: ValueId) -> u64 {
    let filter: usize = lowering.shape(weights).iter().skip(1).product();
    2 * (filter * lowering.shape(results).iter().product::<usize>()) as u64
}

/// Returns the number of elements per sample. In a graph with a fixed batch size, a value contains several samples.
fn sample_len(lowering: &Lowering<'_>, id: ValueId) -> usize {
    lowering.shape(id).iter().skip(1).product::<usize>().max(1)
}

fn lower_input_grad(lowering: &mut Lowering<'_>, node: &Node, conv: &Conv) -> Result<(), Refusal> {
    let (dy, w) = (lowering.input(node, 0)?, lowering.input(node, 1)?);
    let kernel = Conv2dInputGrad::new(conv_shape(lowering, conv, node.outputs[0], dy)?, Isa::best());
    let weights = lowering.slot(w);
    let packed = lowering.prepare(node, weights, kernel.packed_len(), PackInputGrad(kernel.clone()));
    let inputs = [lowering.slot(dy), packed];
    let sample = [sample_len(lowering, dy), sample_len(lowering, node.outputs[0])];
    let flops = flops(lowering, w, dy);
    lowering.push_slots(node, node.outputs[0], &inputs, InputGrad { grad: kernel, sample, flops })
}

fn lower_weight_grad(lowering: &mut Lowering<'_>, node: &Node, conv: &Conv) -> Result<(), Refusal> {
    let (x, dy) = (lowering.input(node, 0)?, lowering.input(node, 1)?);
    let kernel = Conv2dWeightGrad::new(conv_shape(lowering, conv, x, dy)?, Isa::best());
    let sample = [sample_len(lowering, x), sample_len(lowering, dy)];
    let flops = flops(lowering, node.outputs[0], dy);
    lowering.push_sum(node, &[x, dy], WeightGrad { grad: kernel, sample, flops });
    Ok(())
}

#[derive(Debug)]
struct PackForward(Conv2d);

impl Kernel for PackForward {
    fn run(&self, inputs: &[&[f32]], packed: &mut [f32], _: &mut [f32], workers: Workers) {
        self.0.pack(inputs[0], packed, workers);
    }
}

#[derive(Debug)]
struct PackInputGrad(Conv2dInputGrad);

impl Kernel for PackInputGrad {
    fn run(&self, inputs: &[&[f32]], packed: &mut [f32], _: &mut [f32], workers: Workers) {
        self.0.pack(inputs[0], packed, workers);
    }
}

/// Inputs: x, packed weights, optional bias.
#[derive(Debug)]
struct Forward {
    conv: Conv2d,
    relu: bool,
    /// Number of elements of a sample of x and of y.
    sample: [usize; 2],
    flops: u64,
}

impl Kernel for Forward {
    fn scratch_len(&self) -> usize {
        self.conv.scratch_len()
    }

    fn flops(&self) -> u64 {
        self.flops
    }

    fn run(&self, inputs: &[&[f32]], y: &mut [f32], scratch: &mut [f32], workers: Workers) {
        let epilogue = ConvEpilogue { bias: inputs.get(2).copied(), relu: self.relu };
        for (x, y) in inputs[0].chunks(self.sample[0]).zip(y.chunks_mut(self.sample[1])) {
            self.conv.run(x, inputs[1], epilogue, y, scratch, workers);
        }
    }
}

/// Inputs: dy, packed weights.
#[derive(Debug)]
struct InputGrad {
    grad: Conv2dInputGrad,
    /// Number of elements of a sample of dy and of dx.
    sample: [usize; 2],
    flops: u64,
}

impl Kernel for InputGrad {
    fn scratch_len(&self) -> usize {
        self.grad.scratch_len()
    }

    fn flops(&self) -> u64 {
        self.flops
    }

    fn run(&self, inputs: &[&[f32]], dx: &mut [f32], scratch: &mut [f32], workers: Workers) {
        for (dy, dx) in inputs[0].chunks(self.sample[0]).zip(dx.chunks_mut(self.sample[1])) {
            self.grad.run(dy, inputs[1], dx, scratch, workers);
        }
    }
}

/// Inputs: x, dy. Adds to the gradient.
#[derive(Debug)]
struct WeightGrad {
    grad: Conv2dWeightGrad,
    /// Number of elements of a sample of x and of dy.
    sample: [usize; 2],
    flops: u64,
}

impl Kernel for WeightGrad {
    fn scratch_len(&self) -> usize {
        self.grad.scratch_len()
    }

    fn flops(&self) -> u64 {
        self.flops
    }

    fn run(&self, inputs: &[&[f32]], dw: &mut [f32], scratch: &mut [f32], workers: Workers) {
        for (x, dy) in inputs[0].chunks(self.sample[0]).zip(inputs[1].chunks(self.sample[1])) {
            self.grad.run(x, dy, dw, scratch, workers);
        }
    }
}
