//! Elementwise functions and their evaluation.

use std::hint::select_unpredictable;

use heatlens_graph::op::binary::{Binary, BinaryFunction};
use heatlens_graph::op::clip::Clip;
use heatlens_graph::op::quantize::FakeQuantize;
use heatlens_graph::op::unary::{Unary, UnaryFunction};
use heatlens_graph::op::r#where::Where;
use heatlens_graph::{Node, Shape};

use crate::kernel::elementwise::{self, binary, function, ternary, unary};
use crate::kernel::functions;
use crate::lower::{Lowering, Refusal};

/// A function of one, two or three elements.
#[derive(Clone, Copy, Debug)]
pub(super) enum Function {
    Unary(UnaryFunction),
    Clip(Clip),
    Binary(BinaryFunction),
    Where,
    Quantize(FakeQuantize),
    /// x · σ(x).
    Silu,
}

impl Function {
    pub(super) const MOST_OPERANDS: usize = 3;

    /// Returns the function that the node computes, if it is elementwise.
    pub(super) fn of(node: &Node) -> Option<Self> {
        if let Some(&Unary(function)) = Lowering::op(node) {
            return Some(Self::Unary(function));
        }
        if let Some(&clip) = Lowering::op(node) {
            return Some(Self::Clip(clip));
        }
        if let Some(&Binary(function)) = Lowering::op(node) {
            return Some(Self::Binary(function));
        }
        if let Some(&quantize) = Lowering::op(node) {
            return Some(Self::Quantize(quantize));
        }
        Lowering::op::<Where>(node).map(|_| Self::Where)
    }

    pub(super) fn arity(&self) -> usize {
        match self {
            Self::Unary(_) | Self::Clip(_) | Self::Silu => 1,
            Self::Binary(_) => 2,
            Self::Where | Self::Quantize(_) => 3,
        }
    }

    /// Returns the operands' shapes for one sample, such that they broadcast to the output as in NumPy.
    pub(super) fn aligned(&self, operands: &[&Shape]) -> Result<Vec<Vec<usize>>, Refusal> {
        let Self::Quantize(op) = self else { return Ok(operands.iter().map(|s| s.at(1)).collect()) };
        let aligned = |part| op.aligned(part, operands[0]).map(|s| s.at(1)).map_err(|e| e.to_string());
        Ok(vec![operands[0].at(1), aligned(operands[1])?, aligned(operands[2])?])
    }

    /// Computes `y = f(a, b, c)`; operands of one element are repeated, and those beyond the function's arity are
    /// ignored.
    pub(super) fn apply(self, [a, b, c]: [&[f32]; Self::MOST_OPERANDS], y: &mut [f32]) {
        if let ([_], [first, rest @ ..], 1) = (a, &mut *y, self.arity())
            && !rest.is_empty()
        {
            self.apply([a, b, c], std::slice::from_mut(first));
            return rest.fill(*first);
        }
        match self {
            Self::Unary(function) => of_one(function, a, y),
            Self::Clip(Clip { min, max }) => {
                unary(a, y, |x| elementwise::min(elementwise::max(x, min), max));
            }
            Self::Silu => function::<functions::Silu>(a, y),
            Self::Binary(function) => of_two(function, a, b, y),
            Self::Where => ternary([a, b, c], y, |mask, a, b| if mask == 0.0 { b } else { a }),
            Self::Quantize(FakeQuantize { low, high, .. }) => ternary([a, b, c], y, |x, scale, zero| {
                functions::clamp((x / scale).round_ties_even() + zero, low, high)
            }),
        }
    }
}

fn of_one(of: UnaryFunction, x: &[f32], y: &mut [f32]) {
    match of {
        UnaryFunction::Abs => unary(x, y, f32::abs),
        UnaryFunction::Exp => function::<functions::Exp>(x, y),
        UnaryFunction::Log => unary(x, y, f32::ln),
        UnaryFunction::Neg => unary(x, y, |x| -x),
        UnaryFunction::Reciprocal => unary(x, y, f32::recip),
        UnaryFunction::Relu => unary(x, y, |x| elementwise::max(x, 0.0)),
        UnaryFunction::Sigmoid => function::<functions::Sigmoid>(x, y),
        UnaryFunction::Sign => unary(x, y, |x| if x == 0.0 { x } else { x.signum() }),
        UnaryFunction::Softplus => unary(x, y, elementwise::softplus),
        UnaryFunction::Sqrt => unary(x, y, f32::sqrt),
        UnaryFunction::Tanh => function::<functions::Tanh>(x, y),
        other => activation(other, x, y),
    }
}

/// Computes functions used mainly as activations.
fn activation(of: UnaryFunction, x: &[f32], y: &mut [f32]) {
    let rectify = |x: f32, below: f32| select_unpredictable(x > 0.0, x, below);
    match of {
        UnaryFunction::LeakyRelu(alpha) => {
            let alpha = alpha.get();
            unary(x, y, |x| rectify(x, alpha * x));
        }
        UnaryFunction::Elu(alpha) => {
            let alpha = alpha.get();
            unary(x, y, |x| rectify(x, alpha * functions::exp_m1_negative::<false>(x)));
        }
        UnaryFunction::Celu(alpha) => {
            let alpha = alpha.get();
            unary(x, y, |x| rectify(x, alpha * functions::exp_m1_negative::<false>(x / alpha)));
        }
        UnaryFunction::Selu { alpha, gamma } => {
            let (alpha, gamma) = (alpha.get(), gamma.get());
            unary(x, y, |x| gamma * rectify(x, alpha * functions::exp_m1_negative::<false>(x)));
        }
        UnaryFunction::HardSigmoid { alpha, beta } => {
            let (alpha, beta) = (alpha.get(), beta.get());
            unary(x, y, |x| functions::clamp(alpha * x + beta, 0.0, 1.0));
        }
        UnaryFunction::HardSwish => unary(x, y, functions::hard_swish),
        UnaryFunction::ThresholdedRelu(alpha) => {
            let alpha = alpha.get();
            unary(x, y, |x| if x <= alpha { 0.0 } else { x });
        }
        UnaryFunction::Mish => unary(x, y, functions::mish),
        UnaryFunction::Gelu => function::<functions::Gelu>(x, y),
        UnaryFunction::GeluTanh => function::<functions::GeluTanh>(x, y),
        UnaryFunction::Erf => function::<functions::Erf>(x, y),
        UnaryFunction::Softsign => unary(x, y, |x| x / (1.0 + x.abs())),
        UnaryFunction::Floor => unary(x, y, f32::floor),
        UnaryFunction::Ceil => unary(x, y, f32::ceil),
        UnaryFunction::Round => unary(x, y, f32::round_ties_even),
        UnaryFunction::Sin => unary(x, y, f32::sin),
        UnaryFunction::Cos => unary(x, y, f32::cos),
        // A function without its own kernel is computed from its definition.
        #[allow(clippy::cast_possible_truncation)]
        other => unary(x, y, |x| other.value(f64::from(x)) as f32),
    }
}

fn of_two(function: BinaryFunction, a: &[f32], b: &[f32], y: &mut [f32]) {
    let mask = |holds: bool| f32::from(u8::from(holds));
    match function {
        BinaryFunction::Add => binary([a, b], y, |a, b| a + b),
        BinaryFunction::Sub => binary([a, b], y, |a, b| a - b),
        BinaryFunction::Mul => binary([a, b], y, |a, b| a * b),
        BinaryFunction::Div => binary([a, b], y, |a, b| a / b),
        BinaryFunction::Max => binary([a, b], y, elementwise::max),
        BinaryFunction::Min => binary([a, b], y, elementwise::min),
        BinaryFunction::Pow => binary([a, b], y, f32::powf),
        #[allow(clippy::float_cmp)] // the operator's definition
        BinaryFunction::Equal => binary([a, b], y, |a, b| mask(a == b)),
        BinaryFunction::Greater => binary([a, b], y, |a, b| mask(a > b)),
        BinaryFunction::GreaterOrEqual => binary([a, b], y, |a, b| mask(a >= b)),
        BinaryFunction::Less => binary([a, b], y, |a, b| mask(a < b)),
        BinaryFunction::LessOrEqual => binary([a, b], y, |a, b| mask(a <= b)),
        BinaryFunction::PRelu => binary([a, b], y, |a, b| if a < 0.0 { a * b } else { a }),
        BinaryFunction::Fmod => binary([a, b], y, |a, b| a % b),
        #[allow(clippy::cast_possible_truncation)]
        other => binary([a, b], y, |a, b| other.value(f64::from(a), f64::from(b)) as f32),
    }
}
