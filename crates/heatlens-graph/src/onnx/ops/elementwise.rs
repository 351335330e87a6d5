//! Elementwise operators.

use super::{Recipe, plain};
use crate::compose::activation as formula;
use crate::error::OpError;
use crate::fact::DType;
use crate::onnx::attributes::Attributes;
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::tensor::dtype;
use crate::op::binary::{Binary, BinaryFunction};
use crate::op::cast::Cast;
use crate::op::clip::Clip;
use crate::op::identity::Identity;
use crate::op::invalid;
use crate::op::unary::{Scalar, Unary, UnaryFunction};
use crate::op::r#where::Where;

/// Reads an activation function with numeric attributes.
pub(super) fn activation(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let default = UnaryFunction::ALL.into_iter().find(|f| f.name() == attributes.op());
    let mut number = |name: &str, default: Scalar| -> Result<Scalar, OpError> {
        Ok(attributes.float(name)?.map_or(default, Scalar::new))
    };
    plain(Unary(match default {
        Some(UnaryFunction::LeakyRelu(alpha)) => UnaryFunction::LeakyRelu(number("alpha", alpha)?),
        Some(UnaryFunction::Elu(alpha)) => UnaryFunction::Elu(number("alpha", alpha)?),
        Some(UnaryFunction::Celu(alpha)) => UnaryFunction::Celu(number("alpha", alpha)?),
        Some(UnaryFunction::ThresholdedRelu(alpha)) => {
            UnaryFunction::ThresholdedRelu(number("alpha", alpha)?)
        }
        Some(UnaryFunction::Selu { alpha, gamma }) => {
            UnaryFunction::Selu { alpha: number("alpha", alpha)?, gamma: number("gamma", gamma)? }
        }
        Some(UnaryFunction::HardSigmoid { alpha, beta }) => {
            UnaryFunction::HardSigmoid { alpha: number("alpha", alpha)?, beta: number("beta", beta)? }
        }
        _ => return Err(invalid("no activation")),
    }))
}

pub(super) fn gelu(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    plain(Unary(match attributes.text("approximate")? {
        None | Some("none") => UnaryFunction::Gelu,
        Some("tanh") => UnaryFunction::GeluTanh,
        Some(other) => return Err(OpError::Unsupported(format!("approximate {other:?}"))),
    }))
}

/// Reads `Mod`: the remainder with the sign of the divisor, or, like C's `fmod`, with that of the dividend.
pub(super) fn modulo(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    if attributes.flag("fmod")? {
        return plain(Binary(BinaryFunction::Fmod));
    }
    Ok(Box::new(|scope| {
        let (dividend, divisor) = (scope.input(0)?, scope.input(1)?);
        if scope.fact(dividend).dtype != DType::F32 {
            return scope.finish(Binary(BinaryFunction::Mod), &[Some(dividend), Some(divisor)]);
        }
        // If the signs differ, the remainder with the divisor's sign is larger by one divisor.
        scope.formula(|b| {
            let rest = b.binary(BinaryFunction::Fmod, dividend, divisor)?;
            let product = b.mul(rest, divisor)?;
            let zero = b.scalar(0.0);
            let differs = b.binary(BinaryFunction::Less, product, zero)?;
            let other = b.add(rest, divisor)?;
            b.apply(Where, &[differs, other, rest])
        })
    }))
}

/// Reads `IsNaN`: x ≠ x.
pub(super) fn is_nan(_: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    Ok(Box::new(|scope| {
        let x = scope.input(0)?;
        scope.formula(|b| {
            let same = b.binary(BinaryFunction::Equal, x, x)?;
            b.unary(UnaryFunction::Not, same)
        })
    }))
}

/// Reads `IsInf`, for one sign or both.
pub(super) fn is_inf(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let detect = |found: Option<i64>| found.unwrap_or(1) != 0;
    let signs = [attributes.int("detect_negative")?, attributes.int("detect_positive")?].map(detect);
    Ok(Box::new(move |scope| {
        let x = scope.input(0)?;
        scope.formula(|b| {
            let wanted = match signs {
                [true, true] => b.unary(UnaryFunction::Abs, x)?,
                [true, false] => b.neg(x)?,
                [false, true] => x,
                // Always false: no value is less than itself.
                [false, false] => return b.binary(BinaryFunction::Less, x, x),
            };
            let infinity = b.scalar(f32::INFINITY);
            b.binary(BinaryFunction::Equal, wanted, infinity)
        })
    }))
}

pub(super) fn unary(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let function = UnaryFunction::ALL.into_iter().find(|f| f.name() == attributes.op());
    plain(Unary(function.ok_or_else(|| invalid("no function of one value"))?))
}

fn binary_function(name: &str) -> Result<BinaryFunction, OpError> {
    let function = BinaryFunction::ALL.into_iter().find(|f| f.name() == name);
    function.ok_or_else(|| invalid("no function of two values"))
}

pub(super) fn binary(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    plain(Binary(binary_function(attributes.op())?))
}

/// Reads `Pow`, whose exponent may have another type.
pub(super) fn pow(_: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    Ok(Box::new(|scope| {
        let (base, mut exponent) = (scope.input(0)?, scope.input(1)?);
        let (to, from) = (scope.fact(base).dtype, scope.fact(exponent).dtype);
        if (to, from) == (DType::F32, DType::I64) {
            exponent = scope.step(Cast { to }, &[exponent])?;
        }
        if (to, from) == (DType::I64, DType::F32) {
            // The result has the base's type: it is rounded towards zero.
            return scope.formula(|b| {
                let base = b.apply(Cast { to: from }, &[base])?;
                let power = b.binary(BinaryFunction::Pow, base, exponent)?;
                b.apply(Cast { to }, &[power])
            });
        }
        scope.finish(Binary(BinaryFunction::Pow), &[Some(base), Some(exponent)])
    }))
}

/// Reads `Max`, `Min` or `Sum` of any number of inputs, combined from the left.
pub(super) fn variadic(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let name = if attributes.op() == "Sum" { "Add" } else { attributes.op() };
    let function = binary_function(name)?;
    Ok(Box::new(move |scope| {
        let last = scope.len().saturating_sub(1);
        let mut result = scope.input(0)?;
        for i in 1..last {
            let next = scope.input(i)?;
            result = scope.step(Binary(function), &[result, next])?;
        }
        if last == 0 {
            return scope.finish(Identity::Identity, &[Some(result)]);
        }
        let next = scope.input(last)?;
        scope.finish(Binary(function), &[Some(result), Some(next)])
    }))
}

/// Reads `Mean` of any number of inputs.
pub(super) fn mean(_: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    Ok(Box::new(|scope| {
        let inputs: Vec<_> = (0..scope.len()).map(|i| scope.input(i)).collect::<Result<_, _>>()?;
        scope.formula(|b| {
            let mut sum = inputs[0];
            for &next in &inputs[1..] {
                sum = b.add(sum, next)?;
            }
            #[allow(clippy::cast_precision_loss)] // a count of inputs
            b.scale(sum, 1.0 / inputs.len() as f32)
        })
    }))
}

/// Reads `Clip`: bounds are attributes before operator set 11, inputs since.
pub(super) fn clip(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let old = attributes.opset() < 11;
    let (low, high) = if old { (attributes.float("min")?, attributes.float("max")?) } else { (None, None) };
    Ok(Box::new(move |scope| {
        let (mut low, mut high) = (low, high);
        let x = scope.input(0)?;
        if scope.fact(x).dtype != DType::F32 {
            let bounds =
                [(BinaryFunction::Max, scope.optional(1)?), (BinaryFunction::Min, scope.optional(2)?)];
            return scope.formula(|b| {
                bounds
                    .into_iter()
                    .try_fold(x, |x, (f, bound)| bound.map_or(Ok(x), |bound| b.binary(f, x, bound)))
            });
        }
        if !old {
            (low, high) = (scope.number(1, "a bound")?, scope.number(2, "a bound")?);
        } else if scope.len() > 1 {
            return Err(invalid("bounds as inputs need operator set 11").into());
        }
        let clip = Clip { min: low.unwrap_or(f32::MIN), max: high.unwrap_or(f32::MAX) };
        scope.finish(clip, &[Some(x)])
    }))
}

pub(super) fn cast(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    // Both concern 8-bit floats only, which are not supported.
    attributes.ignore("saturate");
    attributes.ignore("round_mode");
    let code = attributes.int("to")?.ok_or_else(|| invalid("expected an attribute \"to\""))?;
    let code = i32::try_from(code).map_err(|_| invalid(format!("unknown element type {code}")))?;
    let to = dtype(code)?;
    let kept = to != DType::F32 || code == DataType::Float as i32;
    Ok(Box::new(move |scope| {
        if !kept {
            scope.warn("half and double precision are computed in single precision");
        }
        let x = scope.input(0)?;
        scope.finish(Cast { to }, &[Some(x)])
    }))
}

pub(super) fn identity(_: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    plain(Identity::Identity)
}

/// Reads `Dropout`, the identity after training, whatever its ratio.
pub(super) fn dropout(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    attributes.ignore("ratio");
    attributes.ignore("seed");
    Ok(Box::new(|scope| {
        if scope.truth(2, "training_mode")? == Some(true) {
            scope.warn("training_mode is set; it runs in inference mode and passes everything unchanged");
        }
        let x = scope.input(0)?;
        scope.finish(Identity::Dropout, &[Some(x)])
    }))
}

pub(super) fn choose(_: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    plain(Where)
}

/// Reads `CastLike`: converts to the type of the second input.
pub(super) fn cast_like(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    attributes.ignore("saturate");
    attributes.ignore("round_mode");
    Ok(Box::new(|scope| {
        let (x, like) = (scope.input(0)?, scope.input(1)?);
        let to = scope.fact(like).dtype;
        scope.finish(Cast { to }, &[Some(x)])
    }))
}

/// Reads `SwiGLU`: swish(a) · b.
pub(super) fn swiglu(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let alpha = attributes.float("alpha")?.unwrap_or(1.0);
    Ok(Box::new(move |scope| {
        let (gate, x) = (scope.input(0)?, scope.input(1)?);
        scope.formula(|b| {
            let gate = formula::swish(b, gate, alpha)?;
            b.mul(gate, x)
        })
    }))
}

pub(super) fn swish(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let alpha = attributes.float("alpha")?.unwrap_or(1.0);
    Ok(Box::new(move |scope| {
        let x = scope.input(0)?;
        scope.formula(|b| formula::swish(b, x, alpha))
    }))
}

pub(super) fn shrink(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let bias = attributes.float("bias")?.unwrap_or(0.0);
    let lambda = attributes.float("lambd")?.unwrap_or(0.5);
    Ok(Box::new(move |scope| {
        let x = scope.input(0)?;
        scope.formula(|b| formula::shrink(b, x, lambda, bias))
    }))
}
