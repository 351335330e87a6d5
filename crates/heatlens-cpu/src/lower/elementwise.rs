//! Functions of one, two or three values.

use heatlens_graph::Node;
use heatlens_graph::op::binary::{Binary, BinaryFunction};
use heatlens_graph::op::clip::Clip;
use heatlens_graph::op::quantize::FakeQuantize;
use heatlens_graph::op::unary::{Unary, UnaryFunction};
use heatlens_graph::op::r#where::Where;

use crate::kernel::broadcast::Broadcast;
use crate::kernel::{Workers, elementwise, functions};
use crate::lower::{Kernel, Lowering, Refusal};

/// Elements in a task: some microseconds of work.
const TASK: usize = 1 << 14;

pub(super) fn lower(lowering: &mut Lowering<'_>, node: &Node) -> Option<Result<(), Refusal>> {
    if let Some(&Unary(function)) = Lowering::op(node) {
        return Some(lower_unary(lowering, node, UnaryKernel(function)));
    }
    if let Some(&clip) = Lowering::op::<Clip>(node) {
        return Some(lower_unary(lowering, node, clip_kernel(clip)));
    }
    if let Some(&Binary(function)) = Lowering::op(node) {
        return Some(lower_binary(lowering, node, function));
    }
    if let Some(&quantize) = Lowering::op::<FakeQuantize>(node) {
        return Some(lower_quantize(lowering, node, quantize));
    }
    Lowering::op::<Where>(node)?;
    Some(lower_where(lowering, node))
}

fn lower_unary(
    lowering: &mut Lowering<'_>,
    node: &Node,
    kernel: impl Kernel + 'static,
) -> Result<(), Refusal> {
    let x = lowering.input(node, 0)?;
    lowering.push(node, &[x], kernel)
}

fn lower_binary(lowering: &mut Lowering<'_>, node: &Node, function: BinaryFunction) -> Result<(), Refusal> {
    let inputs = [lowering.input(node, 0)?, lowering.input(node, 1)?];
    let shapes = inputs.map(|i| lowering.shape(i));
    let walk = Broadcast::new(&lowering.shape(node.outputs[0]), [&shapes[0], &shapes[1]]);
    lowering.push(node, &inputs, BinaryKernel { function, walk })
}

fn lower_quantize(lowering: &mut Lowering<'_>, node: &Node, op: FakeQuantize) -> Result<(), Refusal> {
    let inputs = [lowering.input(node, 0)?, lowering.input(node, 1)?, lowering.input(node, 2)?];
    let shapes = inputs.map(|i| &lowering.graph.fact(i).shape);
    let aligned = |part| op.aligned(part, shapes[0]).map(|s| s.at(1)).map_err(|e| e.to_string());
    let (x, scale, zero) = (shapes[0].at(1), aligned(shapes[1])?, aligned(shapes[2])?);
    let walk = Broadcast::new(&x, [&x, &scale, &zero]);
    lowering.push(node, &inputs, Quantize { op, walk })
}

fn lower_where(lowering: &mut Lowering<'_>, node: &Node) -> Result<(), Refusal> {
    let [mask, a, b] = [lowering.input(node, 0)?, lowering.input(node, 1)?, lowering.input(node, 2)?];
    if let Some(gate) = gate_of(lowering, node) {
        return lowering.push(node, &[gate, a], ReluGate);
    }
    let shapes = [mask, a, b].map(|i| lowering.shape(i));
    let walk = Broadcast::new(&lowering.shape(node.outputs[0]), [&shapes[0], &shapes[1], &shapes[2]]);
    lowering.push(node, &[mask, a, b], Select(walk))
}

/// The value x of `where(x > 0, g, 0)`, if the node is that and nothing broadcasts.
fn gate_of(lowering: &Lowering<'_>, node: &Node) -> Option<heatlens_graph::ValueId> {
    let graph = lowering.graph;
    let input = |index: usize| lowering.input(node, index).ok();
    let is_zero = |id| graph.constant(id).is_some_and(|t| t.to_f64() == [0.0]);
    let mask = graph.node(graph.producer(input(0)?)?);
    let compares = Lowering::op(mask) == Some(&Binary(BinaryFunction::Greater));
    let gate = mask.inputs.first().copied().flatten()?;
    let zeros = is_zero(mask.inputs.get(1).copied().flatten()?) && is_zero(input(2)?);
    let shape = &graph.fact(node.outputs[0]).shape;
    let same = graph.fact(gate).shape == *shape && graph.fact(input(1)?).shape == *shape;
    (compares && zeros && same).then_some(gate)
}

#[derive(Debug)]
struct UnaryKernel(UnaryFunction);

impl Kernel for UnaryKernel {
    fn run(&self, inputs: &[&[f32]], y: &mut [f32], _: &mut [f32], workers: Workers) {
        workers.for_each_chunk(y, TASK, |i, y| self.apply(&inputs[0][i * TASK..][..y.len()], y));
    }
}

impl UnaryKernel {
    fn apply(&self, x: &[f32], y: &mut [f32]) {
        match self.0 {
            UnaryFunction::Abs => elementwise::unary(x, y, f32::abs),
            UnaryFunction::Exp => elementwise::unary(x, y, functions::exp),
            UnaryFunction::Log => elementwise::unary(x, y, f32::ln),
            UnaryFunction::Neg => elementwise::unary(x, y, |x| -x),
            UnaryFunction::Reciprocal => elementwise::unary(x, y, f32::recip),
            UnaryFunction::Relu => elementwise::unary(x, y, |x| elementwise::max(x, 0.0)),
            UnaryFunction::Sigmoid => elementwise::unary(x, y, functions::sigmoid),
            UnaryFunction::Sign => elementwise::unary(x, y, |x| if x == 0.0 { x } else { x.signum() }),
            UnaryFunction::Softplus => elementwise::unary(x, y, elementwise::softplus),
            UnaryFunction::Sqrt => elementwise::unary(x, y, f32::sqrt),
            UnaryFunction::Tanh => elementwise::unary(x, y, functions::tanh),
            other => activation(other, x, y),
        }
    }
}

/// Functions that are activations and little else.
fn activation(function: UnaryFunction, x: &[f32], y: &mut [f32]) {
    let rectify = |x: f32, below: f32| if x > 0.0 { x } else { below };
    match function {
        UnaryFunction::LeakyRelu(alpha) => {
            let alpha = alpha.get();
            elementwise::unary(x, y, |x| rectify(x, alpha * x));
        }
        UnaryFunction::Elu(alpha) => {
            let alpha = alpha.get();
            elementwise::unary(x, y, |x| rectify(x, alpha * functions::exp_m1_negative(x)));
        }
        UnaryFunction::Celu(alpha) => {
            let alpha = alpha.get();
            elementwise::unary(x, y, |x| rectify(x, alpha * functions::exp_m1_negative(x / alpha)));
        }
        UnaryFunction::Selu { alpha, gamma } => {
            let (alpha, gamma) = (alpha.get(), gamma.get());
            elementwise::unary(x, y, |x| gamma * rectify(x, alpha * functions::exp_m1_negative(x)));
        }
        UnaryFunction::HardSigmoid { alpha, beta } => {
            let (alpha, beta) = (alpha.get(), beta.get());
            elementwise::unary(x, y, |x| functions::clamp(alpha * x + beta, 0.0, 1.0));
        }
        UnaryFunction::HardSwish => elementwise::unary(x, y, functions::hard_swish),
        UnaryFunction::ThresholdedRelu(alpha) => {
            let alpha = alpha.get();
            elementwise::unary(x, y, |x| if x <= alpha { 0.0 } else { x });
        }
        UnaryFunction::Mish => elementwise::unary(x, y, functions::mish),
        UnaryFunction::Gelu => elementwise::unary(x, y, functions::gelu),
        UnaryFunction::GeluTanh => elementwise::unary(x, y, functions::gelu_tanh),
        UnaryFunction::Erf => elementwise::unary(x, y, functions::erf),
        UnaryFunction::Softsign => elementwise::unary(x, y, |x| x / (1.0 + x.abs())),
        UnaryFunction::Floor => elementwise::unary(x, y, f32::floor),
        UnaryFunction::Ceil => elementwise::unary(x, y, f32::ceil),
        UnaryFunction::Round => elementwise::unary(x, y, f32::round_ties_even),
        UnaryFunction::Sin => elementwise::unary(x, y, f32::sin),
        UnaryFunction::Cos => elementwise::unary(x, y, f32::cos),
        // A function without a kernel here is computed from its definition.
        #[allow(clippy::cast_possible_truncation)]
        other => elementwise::unary(x, y, |x| other.value(f64::from(x)) as f32),
    }
}

fn clip_kernel(clip: Clip) -> ClipKernel {
    ClipKernel { min: clip.min, max: clip.max }
}

#[derive(Debug)]
struct ClipKernel {
    min: f32,
    max: f32,
}

impl Kernel for ClipKernel {
    fn run(&self, inputs: &[&[f32]], y: &mut [f32], _: &mut [f32], _: Workers) {
        elementwise::unary(inputs[0], y, |x| elementwise::min(elementwise::max(x, self.min), self.max));
    }
}

#[derive(Debug)]
struct BinaryKernel {
    function: BinaryFunction,
    walk: Broadcast<2>,
}

impl Kernel for BinaryKernel {
    fn run(&self, inputs: &[&[f32]], y: &mut [f32], _: &mut [f32], workers: Workers) {
        if !self.walk.is_flat() {
            return self.apply(&self.walk, [inputs[0], inputs[1]], y);
        }
        workers.for_each_chunk(y, TASK, |i, y| {
            let ab = [0, 1].map(|k| &inputs[k][i * TASK..][..y.len()]);
            self.apply(&Broadcast::new(&[y.len()], [&[y.len()], &[y.len()]]), ab, y);
        });
    }
}

impl BinaryKernel {
    fn apply(&self, walk: &Broadcast<2>, ab: [&[f32]; 2], y: &mut [f32]) {
        let mask = |holds: bool| f32::from(u8::from(holds));
        match self.function {
            BinaryFunction::Add => elementwise::binary(walk, ab, y, |a, b| a + b),
            BinaryFunction::Sub => elementwise::binary(walk, ab, y, |a, b| a - b),
            BinaryFunction::Mul => elementwise::binary(walk, ab, y, |a, b| a * b),
            BinaryFunction::Div => elementwise::binary(walk, ab, y, |a, b| a / b),
            BinaryFunction::Max => elementwise::binary(walk, ab, y, elementwise::max),
            BinaryFunction::Min => elementwise::binary(walk, ab, y, elementwise::min),
            BinaryFunction::Pow => elementwise::binary(walk, ab, y, f32::powf),
            #[allow(clippy::float_cmp)] // that is the operator
            BinaryFunction::Equal => elementwise::binary(walk, ab, y, |a, b| mask(a == b)),
            BinaryFunction::Greater => elementwise::binary(walk, ab, y, |a, b| mask(a > b)),
            BinaryFunction::GreaterOrEqual => elementwise::binary(walk, ab, y, |a, b| mask(a >= b)),
            BinaryFunction::Less => elementwise::binary(walk, ab, y, |a, b| mask(a < b)),
            BinaryFunction::LessOrEqual => elementwise::binary(walk, ab, y, |a, b| mask(a <= b)),
            BinaryFunction::PRelu => {
                elementwise::binary(walk, ab, y, |a, b| if a < 0.0 { a * b } else { a });
            }
            BinaryFunction::Fmod => elementwise::binary(walk, ab, y, |a, b| a % b),
            #[allow(clippy::cast_possible_truncation)]
            other => elementwise::binary(walk, ab, y, |a, b| other.value(f64::from(a), f64::from(b)) as f32),
        }
    }
}

#[derive(Debug)]
struct Quantize {
    op: FakeQuantize,
    walk: Broadcast<3>,
}

impl Kernel for Quantize {
    fn run(&self, inputs: &[&[f32]], y: &mut [f32], _: &mut [f32], _: Workers) {
        let (strides, FakeQuantize { low, high, .. }) = (self.walk.inner_strides(), self.op);
        self.walk.for_each_run(|at, starts, run| {
            for (i, y) in y[at..at + run].iter_mut().enumerate() {
                let [x, scale, zero] = [0, 1, 2].map(|k| inputs[k][starts[k] + i * strides[k]]);
                *y = functions::clamp((x / scale).round_ties_even() + zero, low, high);
            }
        });
    }
}

#[derive(Debug)]
struct Select(Broadcast<3>);

impl Kernel for Select {
    fn run(&self, inputs: &[&[f32]], y: &mut [f32], _: &mut [f32], _: Workers) {
        elementwise::select(&self.0, [inputs[0], inputs[1], inputs[2]], y);
    }
}

#[derive(Debug)]
struct ReluGate;

impl Kernel for ReluGate {
    fn run(&self, inputs: &[&[f32]], y: &mut [f32], _: &mut [f32], _: Workers) {
        elementwise::relu_gate(inputs[0], inputs[1], y);
    }
}
