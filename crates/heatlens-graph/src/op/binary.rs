//! Elementwise functions of two values with NumPy broadcasting. Each variant of [`BinaryFunction`] is one operator.

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::{GraphError, OpError};
use crate::fact::{DType, Fact};
use crate::graph::ValueId;
use crate::op::broadcast::{broadcast, for_each_offset, strides_in};
use crate::op::unary::UnaryFunction;
use crate::op::r#where::Where;
use crate::op::{Attribute, Kind, OnnxForm, Operator, first_shape, invalid, require};
use crate::tensor::{Data, Tensor};

/// Elementwise function of two values, named as in ONNX.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BinaryFunction {
    /// a + b.
    Add,
    /// a − b.
    Sub,
    /// a · b.
    Mul,
    /// a ÷ b.
    Div,
    /// max(a, b); a tie sends the gradient to a.
    Max,
    /// min(a, b); a tie sends the gradient to a.
    Min,
    /// aᵇ; differentiable in a, and in b where a > 0.
    Pow,
    /// a = b, as a mask.
    Equal,
    /// a > b, as a mask.
    Greater,
    /// a ≥ b, as a mask.
    GreaterOrEqual,
    /// a < b, as a mask.
    Less,
    /// a ≤ b, as a mask.
    LessOrEqual,
    /// a where a > 0, a · b elsewhere; its derivative at a = 0 is b.
    PRelu,
    /// Integer remainder of a ÷ b with the sign of b.
    Mod,
    /// Remainder of a ÷ b with the sign of a.
    Fmod,
    /// Logical and of two masks.
    And,
    /// Logical or of two masks.
    Or,
    /// Exclusive or of two masks.
    Xor,
}

impl BinaryFunction {
    /// All functions.
    pub const ALL: [Self; 18] = [
        Self::Add,
        Self::Sub,
        Self::Mul,
        Self::Div,
        Self::Max,
        Self::Min,
        Self::Pow,
        Self::Equal,
        Self::Greater,
        Self::GreaterOrEqual,
        Self::Less,
        Self::LessOrEqual,
        Self::PRelu,
        Self::Mod,
        Self::Fmod,
        Self::And,
        Self::Or,
        Self::Xor,
    ];

    /// Returns the name of the ONNX operator.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "Add",
            Self::Sub => "Sub",
            Self::Mul => "Mul",
            Self::Div => "Div",
            Self::Max => "Max",
            Self::Min => "Min",
            Self::Pow => "Pow",
            Self::Equal => "Equal",
            Self::Greater => "Greater",
            Self::GreaterOrEqual => "GreaterOrEqual",
            Self::Less => "Less",
            Self::LessOrEqual => "LessOrEqual",
            Self::PRelu => "PRelu",
            Self::Mod | Self::Fmod => "Mod",
            Self::And => "And",
            Self::Or => "Or",
            Self::Xor => "Xor",
        }
    }

    /// True for comparisons, whose result is a mask.
    #[must_use]
    pub fn is_comparison(self) -> bool {
        matches!(self, Self::Equal | Self::Greater | Self::GreaterOrEqual | Self::Less | Self::LessOrEqual)
    }

    /// True if both operands and the result are masks.
    #[must_use]
    pub fn is_logical(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Xor)
    }

    /// True if the function accepts elements of this type.
    fn takes(self, dtype: DType) -> bool {
        match dtype {
            DType::F32 => self != Self::Mod && !self.is_logical(),
            DType::I64 => self != Self::PRelu && !self.is_logical(),
            DType::Bool => self == Self::Equal || self.is_logical(),
        }
    }

    /// Returns the value at (a, b); masks are 1 or 0.
    #[must_use]
    pub fn value(self, a: f64, b: f64) -> f64 {
        let mask = |holds: bool| f64::from(u8::from(holds));
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
            Self::Max if a.is_nan() || b.is_nan() => f64::NAN,
            Self::Max => a.max(b),
            Self::Min if a.is_nan() || b.is_nan() => f64::NAN,
            Self::Min => a.min(b),
            Self::Pow => a.powf(b),
            Self::Equal => mask(a == b),
            Self::Greater => mask(a > b),
            Self::GreaterOrEqual => mask(a >= b),
            Self::Less => mask(a < b),
            Self::LessOrEqual => mask(a <= b),
            Self::PRelu => {
                if a < 0.0 {
                    a * b
                } else {
                    a
                }
            }
            Self::Mod => a - b * (a / b).floor(),
            Self::Fmod => a % b,
            Self::And => mask(a != 0.0 && b != 0.0),
            Self::Or => mask(a != 0.0 || b != 0.0),
            Self::Xor => mask((a != 0.0) != (b != 0.0)),
        }
    }

    /// Compares integers exactly, however large.
    fn whole_holds(self, a: i64, b: i64) -> bool {
        match self {
            Self::Greater => a > b,
            Self::GreaterOrEqual => a >= b,
            Self::Less => a < b,
            Self::LessOrEqual => a <= b,
            _ => a == b,
        }
    }

    /// Returns the value for integers, rounding quotients towards zero as ONNX does. `None` on overflow, on division by
    /// zero, or if the function is not defined for integers.
    fn whole_value(self, a: i64, b: i64) -> Option<i64> {
        match self {
            Self::Add => a.checked_add(b),
            Self::Sub => a.checked_sub(b),
            Self::Mul => a.checked_mul(b),
            Self::Div => a.checked_div(b),
            Self::Max => Some(a.max(b)),
            Self::Min => Some(a.min(b)),
            Self::Pow => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
            Self::Mod => {
                let rest = a.checked_rem(b)?;
                Some(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })
            }
            Self::Fmod => a.checked_rem(b),
            _ => None,
        }
    }
}

/// Applies a function elementwise. Inputs: a, b. Output: the broadcast shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binary(pub BinaryFunction);

impl Operator for Binary {
    fn kind(&self) -> Kind<'_> {
        Kind::Binary(self.0)
    }

    fn onnx_form(&self) -> OnnxForm {
        let onnx_form = OnnxForm::new(self.0.name());
        if self.0 == BinaryFunction::Fmod { onnx_form.with("fmod", Attribute::Int(1)) } else { onnx_form }
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let (a, b) = (require(inputs, 0)?, require(inputs, 1)?);
        if a.dtype != b.dtype {
            return Err(invalid(format!("inputs of different types, {:?} and {:?}", a.dtype, b.dtype)));
        }
        if !self.0.takes(a.dtype) {
            let expected = match self.0 {
                function if function.is_logical() => "truth values",
                BinaryFunction::Mod => "whole numbers",
                BinaryFunction::PRelu => "floating-point inputs",
                _ => "numbers",
            };
            return Err(invalid(format!("expected {expected}, found {:?}", a.dtype)));
        }
        let dtype = if self.0.is_comparison() { DType::Bool } else { a.dtype };
        let shape = broadcast(&a.shape, &b.shape)?;
        if self.0 == BinaryFunction::PRelu && shape != a.shape {
            return Err(invalid(format!("slopes of shape {} do not fit a value of {}", b.shape, a.shape)));
        }
        Ok(vec![Fact { dtype, shape }])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (a, b) = (require(inputs, 0)?, require(inputs, 1)?);
        let shape = first_shape(shapes)?;
        let (sa, sb) = (strides_in(a.shape(), shape), strides_in(b.shape(), shape));
        let (strides, len) = ([sa.as_slice(), &sb], shape.iter().product());
        let holds = self.0.is_comparison() || self.0.is_logical();
        let data = match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) if self.0.is_comparison() => {
                let mut values = Vec::with_capacity(len);
                for_each_offset(shape, strides, |[i, j]| values.push(self.0.whole_holds(a[i], b[j])));
                Data::Bool(values.into())
            }
            (Some(a), Some(b)) => {
                let (mut values, mut exact) = (Vec::with_capacity(len), true);
                for_each_offset(shape, strides, |[i, j]| {
                    let value = self.0.whole_value(a[i], b[j]);
                    exact &= value.is_some();
                    values.push(value.unwrap_or_default());
                });
                let values = exact.then_some(values);
                Data::I64(values.ok_or_else(|| invalid("whole-number overflow or division by zero"))?.into())
            }
            _ if holds => {
                let (a, b) = (a.to_f64(), b.to_f64());
                let mut values = Vec::with_capacity(len);
                for_each_offset(shape, strides, |[i, j]| values.push(self.0.value(a[i], b[j]) != 0.0));
                Data::Bool(values.into())
            }
            _ => {
                let (a, b) = (a.to_f64(), b.to_f64());
                let mut values = Vec::with_capacity(len);
                for_each_offset(shape, strides, |[i, j]| values.push(self.0.value(a[i], b[j])));
                Data::F64(values.into())
            }
        };
        let result =
            Tensor::new(shape.to_vec(), data).ok_or_else(|| invalid("the result does not fill its shape"))?;
        Ok(vec![result])
    }

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let Some(grad) = back.grad() else { return Ok(vec![None, None]) };
        let sides = Sides { a: back.input(0)?, b: back.input(1)?, y: back.node.outputs[0], grad };
        let left = if back.wants(0) { sides.left(self.0, builder)? } else { None };
        let right = if back.wants(1) { sides.right(self.0, builder)? } else { None };
        Ok(vec![left, right])
    }
}

/// Values used to build the derivative of a binary node.
struct Sides {
    a: ValueId,
    b: ValueId,
    y: ValueId,
    grad: ValueId,
}

impl Sides {
    fn left(&self, function: BinaryFunction, b: &mut Builder<'_>) -> Result<Option<ValueId>, GraphError> {
        Ok(Some(match function {
            BinaryFunction::Add | BinaryFunction::Sub => self.grad,
            BinaryFunction::Mul => b.mul(self.grad, self.b)?,
            BinaryFunction::Div => b.div(self.grad, self.b)?,
            BinaryFunction::Max | BinaryFunction::Min => {
                let chosen = b.binary(BinaryFunction::Equal, self.a, self.y)?;
                b.keep_where(chosen, self.grad)?
            }
            BinaryFunction::Pow => {
                let one = b.scalar(1.0);
                let less = b.sub(self.b, one)?;
                let power = b.binary(BinaryFunction::Pow, self.a, less)?;
                let slope = b.mul(self.b, power)?;
                b.mul(self.grad, slope)?
            }
            BinaryFunction::Fmod => self.grad,
            BinaryFunction::PRelu => {
                let mask = b.is_positive(self.a)?;
                let less = b.mul(self.grad, self.b)?;
                b.apply(Where, &[mask, self.grad, less])?
            }
            _ => return Ok(None),
        }))
    }

    fn right(&self, function: BinaryFunction, b: &mut Builder<'_>) -> Result<Option<ValueId>, GraphError> {
        Ok(Some(match function {
            BinaryFunction::Add => self.grad,
            BinaryFunction::Sub => b.neg(self.grad)?,
            BinaryFunction::Mul => b.mul(self.grad, self.a)?,
            BinaryFunction::Div => {
                let ratio = b.div(self.y, self.b)?;
                let product = b.mul(self.grad, ratio)?;
                b.neg(product)?
            }
            BinaryFunction::Max => {
                let chosen = b.binary(BinaryFunction::Greater, self.b, self.a)?;
                b.keep_where(chosen, self.grad)?
            }
            BinaryFunction::Min => {
                let chosen = b.binary(BinaryFunction::Less, self.b, self.a)?;
                b.keep_where(chosen, self.grad)?
            }
            BinaryFunction::Pow => {
                let log = b.unary(UnaryFunction::Log, self.a)?;
                let slope = b.mul(self.y, log)?;
                b.mul(self.grad, slope)?
            }
            BinaryFunction::Fmod => {
                // The integer quotient, (a − remainder) ÷ b, rounded because the division is not exact.
                let rest = b.sub(self.a, self.y)?;
                let quotient = b.div(rest, self.b)?;
                let whole = b.unary(UnaryFunction::Round, quotient)?;
                let product = b.mul(self.grad, whole)?;
                b.neg(product)?
            }
            BinaryFunction::PRelu => {
                let zero = b.scalar(0.0);
                let negative = b.binary(BinaryFunction::Less, self.a, zero)?;
                let product = b.mul(self.grad, self.a)?;
                b.keep_where(negative, product)?
            }
            _ => return Ok(None),
        }))
    }
}
