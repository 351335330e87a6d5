//! Elementwise functions of one value. Each variant of [`UnaryFunction`] is one operator.

mod derivative;
mod lower;

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::{GraphError, OpError};
use crate::fact::{DType, Fact};
use crate::graph::{Node, ValueId};
use crate::op::{
    Attribute, Kind, OnnxForm, Operator, first_shape, float_result, invalid, require, require_value,
};
use crate::tensor::{Data, Tensor};

pub use super::scalar::Scalar;

/// Elementwise function of one value, named as in ONNX.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnaryFunction {
    /// |x|; its derivative at 0 is 0.
    Abs,
    /// eˣ.
    Exp,
    /// ln x.
    Log,
    /// −x.
    Neg,
    /// 1 ÷ x.
    Reciprocal,
    /// max(x, 0); its derivative at 0 is 0.
    Relu,
    /// 1 ÷ (1 + e⁻ˣ).
    Sigmoid,
    /// −1, 0 or 1; its derivative is 0.
    Sign,
    /// ln(1 + eˣ).
    Softplus,
    /// √x.
    Sqrt,
    /// tanh x.
    Tanh,
    /// x where x > 0, alpha · x elsewhere; its derivative at 0 is alpha.
    LeakyRelu(Scalar),
    /// x where x > 0, alpha · (eˣ − 1) elsewhere.
    Elu(Scalar),
    /// x where x > 0, alpha · (e^(x ÷ alpha) − 1) elsewhere.
    Celu(Scalar),
    /// gamma times: x where x > 0, alpha · (eˣ − 1) elsewhere.
    Selu {
        /// Scale of the negative side.
        alpha: Scalar,
        /// Scale of the whole function.
        gamma: Scalar,
    },
    /// alpha · x + beta, clamped to 0…1; its derivative at both bounds is 0.
    HardSigmoid {
        /// Slope.
        alpha: Scalar,
        /// Value at 0.
        beta: Scalar,
    },
    /// x · (x ÷ 6 + 1/2, clamped to 0…1).
    HardSwish,
    /// x where x > alpha, 0 elsewhere; its derivative at alpha is 0.
    ThresholdedRelu(Scalar),
    /// x · tanh(ln(1 + eˣ)).
    Mish,
    /// x · Φ(x), where Φ is the standard normal distribution function.
    Gelu,
    /// Approximation of [`Gelu`](Self::Gelu) by tanh.
    GeluTanh,
    /// 2 ÷ √π · ∫₀ˣ e^(−t²) dt.
    Erf,
    /// x ÷ (1 + |x|).
    Softsign,
    /// Largest integer not above x; its derivative is 0.
    Floor,
    /// Smallest integer not below x; its derivative is 0.
    Ceil,
    /// Nearest integer, ties to even; its derivative is 0.
    Round,
    /// sin x.
    Sin,
    /// cos x.
    Cos,
    /// Logical negation.
    Not,
}

/// √(2 ÷ π), in [`UnaryFunction::GeluTanh`].
const GELU_SCALE: f64 = 0.797_884_560_802_865_4;
/// Factor of the cubic term in [`UnaryFunction::GeluTanh`].
const GELU_CUBE: f64 = 0.044_715;

impl UnaryFunction {
    /// All functions; parameters have ONNX's default values.
    pub const ALL: [Self; 29] = [
        Self::Abs,
        Self::Exp,
        Self::Log,
        Self::Neg,
        Self::Reciprocal,
        Self::Relu,
        Self::Sigmoid,
        Self::Sign,
        Self::Softplus,
        Self::Sqrt,
        Self::Tanh,
        Self::LeakyRelu(Scalar::new(0.01)),
        Self::Elu(Scalar::new(1.0)),
        Self::Celu(Scalar::new(1.0)),
        Self::Selu { alpha: Scalar::new(1.673_263_2), gamma: Scalar::new(1.050_701) },
        Self::HardSigmoid { alpha: Scalar::new(0.2), beta: Scalar::new(0.5) },
        Self::HardSwish,
        Self::ThresholdedRelu(Scalar::new(1.0)),
        Self::Mish,
        Self::Gelu,
        Self::GeluTanh,
        Self::Erf,
        Self::Softsign,
        Self::Floor,
        Self::Ceil,
        Self::Round,
        Self::Sin,
        Self::Cos,
        Self::Not,
    ];

    /// Returns the name of the ONNX operator.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Abs => "Abs",
            Self::Exp => "Exp",
            Self::Log => "Log",
            Self::Neg => "Neg",
            Self::Reciprocal => "Reciprocal",
            Self::Relu => "Relu",
            Self::Sigmoid => "Sigmoid",
            Self::Sign => "Sign",
            Self::Softplus => "Softplus",
            Self::Sqrt => "Sqrt",
            Self::Tanh => "Tanh",
            Self::LeakyRelu(_) => "LeakyRelu",
            Self::Elu(_) => "Elu",
            Self::Celu(_) => "Celu",
            Self::Selu { .. } => "Selu",
            Self::HardSigmoid { .. } => "HardSigmoid",
            Self::HardSwish => "HardSwish",
            Self::ThresholdedRelu(_) => "ThresholdedRelu",
            Self::Mish => "Mish",
            Self::Gelu | Self::GeluTanh => "Gelu",
            Self::Erf => "Erf",
            Self::Softsign => "Softsign",
            Self::Floor => "Floor",
            Self::Ceil => "Ceil",
            Self::Round => "Round",
            Self::Sin => "Sin",
            Self::Cos => "Cos",
            Self::Not => "Not",
        }
    }

    /// Returns the value at `x`; booleans count as 1 or 0.
    #[must_use]
    pub fn value(self, x: f64) -> f64 {
        match self {
            Self::Abs => x.abs(),
            Self::Exp => x.exp(),
            Self::Log => x.ln(),
            Self::Neg => -x,
            Self::Reciprocal => x.recip(),
            Self::Relu if x.is_nan() => x,
            Self::Relu => x.max(0.0),
            Self::Sigmoid if x >= 0.0 => 1.0 / (1.0 + (-x).exp()),
            Self::Sigmoid => x.exp() / (1.0 + x.exp()),
            Self::Sign if x == 0.0 || x.is_nan() => x,
            Self::Sign => x.signum(),
            Self::Softplus => softplus(x),
            Self::Sqrt => x.sqrt(),
            Self::Tanh => x.tanh(),
            Self::LeakyRelu(_) | Self::Elu(_) | Self::Celu(_) if x > 0.0 => x,
            Self::LeakyRelu(alpha) => alpha.wide() * x,
            Self::Elu(alpha) => alpha.wide() * x.exp_m1(),
            Self::Celu(alpha) => alpha.wide() * (x / alpha.wide()).exp_m1(),
            Self::Selu { gamma, .. } if x > 0.0 => gamma.wide() * x,
            Self::Selu { alpha, gamma } => gamma.wide() * alpha.wide() * x.exp_m1(),
            Self::HardSigmoid { alpha, beta } => (alpha.wide() * x + beta.wide()).clamp(0.0, 1.0),
            Self::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Self::ThresholdedRelu(alpha) if x <= alpha.wide() => 0.0,
            Self::ThresholdedRelu(_) => x,
            Self::Mish => x * softplus(x).tanh(),
            Self::Gelu => 0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2),
            Self::GeluTanh => 0.5 * x * (1.0 + (GELU_SCALE * (x + GELU_CUBE * x * x * x)).tanh()),
            Self::Erf => libm::erf(x),
            Self::Softsign => x / (1.0 + x.abs()),
            Self::Floor => x.floor(),
            Self::Ceil => x.ceil(),
            Self::Round => x.round_ties_even(),
            Self::Sin => x.sin(),
            Self::Cos => x.cos(),
            Self::Not => f64::from(u8::from(x == 0.0)),
        }
    }

    /// Returns the value at an integer; `None` on overflow or if the function is not defined for integers.
    fn whole_value(self, x: i64) -> Option<i64> {
        match self {
            Self::Abs => x.checked_abs(),
            Self::Neg => x.checked_neg(),
            Self::Relu => Some(x.max(0)),
            Self::Sign => Some(x.signum()),
            _ => None,
        }
    }

    /// True if the function accepts elements of this type.
    fn takes(self, dtype: DType) -> bool {
        match dtype {
            DType::F32 => self != Self::Not,
            DType::I64 => matches!(self, Self::Abs | Self::Neg | Self::Relu | Self::Sign),
            DType::Bool => self == Self::Not,
        }
    }

    /// True if the derivative is 0 wherever it exists.
    #[must_use]
    pub fn is_flat(self) -> bool {
        matches!(self, Self::Sign | Self::Floor | Self::Ceil | Self::Round | Self::Not)
    }
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// Applies a function elementwise. Input: x. Output: the same shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unary(pub UnaryFunction);

impl Operator for Unary {
    fn kind(&self) -> Kind<'_> {
        Kind::Unary(self.0)
    }

    fn onnx_form(&self) -> OnnxForm {
        let float = |value: Scalar| Attribute::Float(value.get());
        let onnx_form = OnnxForm::new(self.0.name());
        match self.0 {
            UnaryFunction::LeakyRelu(alpha)
            | UnaryFunction::Elu(alpha)
            | UnaryFunction::Celu(alpha)
            | UnaryFunction::ThresholdedRelu(alpha) => onnx_form.with("alpha", float(alpha)),
            UnaryFunction::Selu { alpha, gamma } => {
                onnx_form.with("alpha", float(alpha)).with("gamma", float(gamma))
            }
            UnaryFunction::HardSigmoid { alpha, beta } => {
                onnx_form.with("alpha", float(alpha)).with("beta", float(beta))
            }
            // Standard only since operator set 20.
            UnaryFunction::Gelu => OnnxForm { standard: false, ..onnx_form },
            UnaryFunction::GeluTanh => {
                let onnx_form = onnx_form.with("approximate", Attribute::Text("tanh"));
                OnnxForm { standard: false, ..onnx_form }
            }
            _ => onnx_form,
        }
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let x = require(inputs, 0)?;
        if !self.0.takes(x.dtype) {
            let expected = if self.0 == UnaryFunction::Not { "truth values" } else { "floating-point" };
            return Err(invalid(format!("expected {expected} input, found {:?}", x.dtype)));
        }
        Ok(vec![x.clone()])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (x, shape) = (require(inputs, 0)?, first_shape(shapes)?);
        let data = match x.data() {
            Data::I64(x) => {
                let values: Option<Vec<i64>> = x.iter().map(|&x| self.0.whole_value(x)).collect();
                Data::I64(values.ok_or_else(|| invalid("whole-number overflow"))?.into())
            }
            Data::Bool(x) if self.0 == UnaryFunction::Not => Data::Bool(x.iter().map(|x| !x).collect()),
            _ => return float_result(shape, x.to_f64().into_iter().map(|x| self.0.value(x)).collect()),
        };
        let y = Tensor::new(shape.to_vec(), data);
        Ok(vec![y.ok_or_else(|| invalid("the result does not fill its shape"))?])
    }

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let Some(grad) = back.grad_for(0) else { return back.nothing() };
        let x = back.input(0)?;
        Ok(vec![self.0.chain(builder, grad, x, back.node.outputs[0])?])
    }

    fn lower(&self, builder: &mut Builder<'_>, node: &Node) -> Result<Option<Vec<ValueId>>, GraphError> {
        let x = require_value(node, 0)?;
        Ok(self.0.in_standard_operators(builder, x)?.map(|y| vec![y]))
    }
}
