//! Activation functions: as layers, as functions, and as settings of other layers.

use serde_json::Value as Json;

use crate::compose::activation as formula;
use crate::error::OpError;
use crate::graph::ValueId;
use crate::keras::config::{brief, float};
use crate::keras::scope::{Era, Made, Problem, Scope, Symbol};
use crate::op::binary::{Binary, BinaryFunction};
use crate::op::clip::Clip;
use crate::op::invalid;
use crate::op::softmax::Softmax;
use crate::op::unary::{Scalar, UnaryFunction};

/// Applies the layer's `activation` setting to its result.
pub(super) fn activate(scope: &mut Scope<'_>, x: Symbol) -> Made {
    match scope.config.json("activation") {
        None => Ok(x),
        Some(setting) => apply_setting(scope, x, setting),
    }
}

/// Reads an `Activation` layer.
pub(super) fn layer(scope: &mut Scope<'_>) -> Made {
    let x = scope.input()?;
    activate(scope, x)
}

/// Applies an activation given by name, as a function, or as a layer.
fn apply_setting(scope: &mut Scope<'_>, x: Symbol, setting: &Json) -> Made {
    if let Some(name) = setting.as_str() {
        return named(scope, x, name);
    }
    let unknown = || OpError::Unsupported(format!("activation {}", brief(setting)));
    let class = setting.get("class_name").and_then(Json::as_str).ok_or_else(unknown)?;
    let inner = setting.get("config").unwrap_or(&Json::Null);
    if let Some(name) = inner.as_str() {
        return named(scope, x, name);
    }
    let number = |keys: &[&str], default: f32| match keys.iter().find_map(|k| inner.get(k)) {
        Some(value) if !value.is_null() => float(keys.first().copied().unwrap_or_default(), value),
        _ => Ok(default),
    };
    match class.rsplit('>').next().unwrap_or(class) {
        "ReLU" => {
            let most = match inner.get("max_value") {
                Some(value) if !value.is_null() => Some(float("max_value", value)?),
                _ => None,
            };
            let (slope, threshold) = (number(&["negative_slope"], 0.0)?, number(&["threshold"], 0.0)?);
            general_relu(scope, x, most, slope, threshold)
        }
        "LeakyReLU" => {
            unary(scope, x, UnaryFunction::LeakyRelu(Scalar::new(number(&["negative_slope", "alpha"], 0.3)?)))
        }
        "ELU" => unary(scope, x, UnaryFunction::Elu(Scalar::new(number(&["alpha"], 1.0)?))),
        "Softmax" if inner.get("axis").is_none_or(|a| a.as_i64() == Some(-1)) => named(scope, x, "softmax"),
        "Activation" => match inner.get("activation").and_then(Json::as_str) {
            Some(name) => named(scope, x, name),
            None => Err(unknown().into()),
        },
        _ => Err(unknown().into()),
    }
}

fn unary(scope: &mut Scope<'_>, x: Symbol, function: UnaryFunction) -> Made {
    let id = scope.build().unary(function, x.id)?;
    Ok(Symbol { id, ..x })
}

/// Applies an activation by its name in Keras.
pub(super) fn named(scope: &mut Scope<'_>, x: Symbol, name: &str) -> Made {
    use UnaryFunction as F;
    let simple = match name {
        "linear" => return Ok(x),
        "relu" => F::Relu,
        "leaky_relu" => F::LeakyRelu(Scalar::new(0.2)),
        "elu" => F::Elu(Scalar::new(1.0)),
        "celu" => F::Celu(Scalar::new(1.0)),
        "selu" => selu(),
        "softplus" => F::Softplus,
        "softsign" => F::Softsign,
        "tanh" => F::Tanh,
        "sigmoid" => F::Sigmoid,
        "exponential" => F::Exp,
        "hard_sigmoid" if scope.reading.era < Era::Keras3 => hard_sigmoid(0.2),
        "hard_sigmoid" => hard_sigmoid(1.0 / 6.0),
        "sparse_sigmoid" => hard_sigmoid(0.5),
        "hard_silu" | "hard_swish" => F::HardSwish,
        "gelu" => F::Gelu,
        "mish" => F::Mish,
        _ => return composed(scope, x, name),
    };
    unary(scope, x, simple)
}

fn selu() -> UnaryFunction {
    UnaryFunction::Selu { alpha: Scalar::new(1.673_263_2), gamma: Scalar::new(1.050_701) }
}

fn hard_sigmoid(slope: f32) -> UnaryFunction {
    UnaryFunction::HardSigmoid { alpha: Scalar::new(slope), beta: Scalar::new(0.5) }
}

/// Applies activations composed of several operators.
fn composed(scope: &mut Scope<'_>, x: Symbol, name: &str) -> Made {
    let soft = |scope: &mut Scope<'_>, log| softmax_over(scope, x, &[-1], log);
    match name {
        "softmax" => return soft(scope, false),
        "log_softmax" => return soft(scope, true),
        _ => {}
    }
    let id = x.id;
    let mut b = scope.build();
    let id = match name {
        "relu6" => formula::relu6(&mut b, id)?,
        "hard_tanh" => formula::hard_tanh(&mut b, id)?,
        "silu" | "swish" => formula::silu(&mut b, id)?,
        "log_sigmoid" => formula::log_sigmoid(&mut b, id)?,
        "tanh_shrink" => formula::tanh_shrink(&mut b, id)?,
        "soft_shrink" => formula::shrink(&mut b, id, 0.5, 0.5)?,
        "hard_shrink" => formula::shrink(&mut b, id, 0.5, 0.0)?,
        "squareplus" => formula::squareplus(&mut b, id, 4.0)?,
        // ¼ (c + 1)² + relu(x − 1) with c = clip(x, −1, 1).
        "sparse_plus" => {
            let (middle, one) = (b.apply(Clip { min: -1.0, max: 1.0 }, &[id])?, b.scalar(1.0));
            let raised = b.add(middle, one)?;
            let square = b.mul(raised, raised)?;
            let quarter = b.scale(square, 0.25)?;
            let beyond = b.sub(id, one)?;
            let beyond = b.relu(beyond)?;
            b.add(quarter, beyond)?
        }
        other => return Err(OpError::Unsupported(format!("activation {other:?}")).into()),
    };
    Ok(Symbol { id, ..x })
}

/// Reads a function of `keras.ops` that corresponds to an activation.
pub(super) fn function(scope: &mut Scope<'_>) -> Made {
    let x = scope.input()?;
    let slope = |scope: &Scope<'_>, key: &str, default: f32| -> Result<Scalar, OpError> {
        let found = scope.constant_argument(1, &[key])?;
        Ok(Scalar::new(found.map(|v| float(key, &v)).transpose()?.unwrap_or(default)))
    };
    let named_function = match scope.class {
        "LeakyRelu" => UnaryFunction::LeakyRelu(slope(scope, "negative_slope", 0.2)?),
        "Elu" => UnaryFunction::Elu(slope(scope, "alpha", 1.0)?),
        "Gelu" => match scope.constant_argument(1, &["approximate"])?.and_then(|v| v.as_bool()) {
            Some(false) => UnaryFunction::Gelu,
            _ => UnaryFunction::GeluTanh,
        },
        "LogSoftmax" => {
            let axes = scope.int_arguments(1, &["axis"])?.unwrap_or_else(|| vec![-1]);
            return softmax_over(scope, x, &axes, true);
        }
        "HardSigmoid" => return named(scope, x, "hard_sigmoid"),
        "HardSilu" | "HardSwish" => return named(scope, x, "hard_silu"),
        other => return named(scope, x, &other.to_lowercase()),
    };
    unary(scope, x, named_function)
}

/// Reads `Softmax`, as a layer or a function.
pub(super) fn softmax(scope: &mut Scope<'_>) -> Made {
    let x = scope.argument(0, &["x", "inputs"]);
    let Some(crate::keras::scope::Arg::Value(x)) = x else {
        return Err(invalid("expected one input").into());
    };
    if scope.argument(1, &["mask"]).is_some_and(|m| matches!(m, crate::keras::scope::Arg::Value(_))) {
        return Err(OpError::Unsupported("a mask".to_owned()).into());
    }
    let axes = scope.config.ints("axis")?.unwrap_or_else(|| vec![-1]);
    softmax_over(scope, x, &axes, false)
}

/// Applies softmax over one axis, or jointly over several.
pub(super) fn softmax_over(scope: &mut Scope<'_>, x: Symbol, axes: &[i64], log: bool) -> Made {
    if let &[axis] = axes {
        let axis = i64::try_from(scope.axis(x, axis)?).map_err(|_| invalid("too many axes"))?;
        let id = scope.apply(Softmax { axis, log }, &[x.id])?;
        return Ok(Symbol { id, ..x });
    }
    let axes: Result<Vec<usize>, OpError> = axes.iter().map(|&a| scope.axis(x, a)).collect();
    let axes = axes?;
    if log || axes.is_empty() {
        return Err(OpError::Unsupported(format!("a softmax over axes {axes:?}")).into());
    }
    let mut b = scope.build();
    let top = b.reduce(crate::op::reduce::ReduceFunction::Max, x.id, &axes, true)?;
    let low = b.sub(x.id, top)?;
    let power = b.unary(UnaryFunction::Exp, low)?;
    let sum = b.sum(power, &axes, true)?;
    Ok(Symbol { id: b.div(power, sum)?, ..x })
}

pub(super) fn relu(scope: &mut Scope<'_>) -> Made {
    let x = scope.input()?;
    let most = scope.config.float("max_value")?;
    let slope = scope.config.float("negative_slope")?.unwrap_or(0.0);
    let threshold = scope.config.float("threshold")?.unwrap_or(0.0);
    general_relu(scope, x, most, slope, threshold)
}

/// x where x ≥ `threshold`, at most `most`; `slope` · (x − `threshold`) elsewhere.
fn general_relu(scope: &mut Scope<'_>, x: Symbol, most: Option<f32>, slope: f32, threshold: f32) -> Made {
    if most.is_some_and(|most| most < 0.0) {
        return Err(invalid("max_value is negative").into());
    }
    if threshold == 0.0 {
        return match (slope == 0.0, most) {
            (true, None) => named(scope, x, "relu"),
            (true, Some(max)) => clip(scope, x, 0.0, max),
            (false, None) => unary(scope, x, UnaryFunction::LeakyRelu(Scalar::new(slope))),
            (false, Some(max)) => {
                let y = unary(scope, x, UnaryFunction::LeakyRelu(Scalar::new(slope)))?;
                clip(scope, y, f32::MIN, max)
            }
        };
    }
    let mut b = scope.build();
    let limit = b.scalar(threshold);
    let mask = b.binary(BinaryFunction::GreaterOrEqual, x.id, limit)?;
    let above = match most {
        Some(max) => b.apply(Clip { min: f32::MIN, max }, &[x.id])?,
        None => x.id,
    };
    let below = b.sub(x.id, limit)?;
    let below = b.scale(below, slope)?;
    let id = b.apply(crate::op::r#where::Where, &[mask, above, below])?;
    Ok(Symbol { id, ..x })
}

fn clip(scope: &mut Scope<'_>, x: Symbol, min: f32, max: f32) -> Made {
    let id = scope.apply(Clip { min, max }, &[x.id])?;
    Ok(Symbol { id, ..x })
}

pub(super) fn leaky_relu(scope: &mut Scope<'_>) -> Made {
    let x = scope.input()?;
    let found = scope.config.float("negative_slope")?;
    let slope = found.or(scope.config.float("alpha")?).unwrap_or(0.3);
    unary(scope, x, UnaryFunction::LeakyRelu(Scalar::new(slope)))
}

pub(super) fn elu(scope: &mut Scope<'_>) -> Made {
    let x = scope.input()?;
    let alpha = scope.config.float("alpha")?.unwrap_or(1.0);
    unary(scope, x, UnaryFunction::Elu(Scalar::new(alpha)))
}

pub(super) fn thresholded_relu(scope: &mut Scope<'_>) -> Made {
    let x = scope.input()?;
    let theta = scope.config.float("theta")?.unwrap_or(1.0);
    unary(scope, x, UnaryFunction::ThresholdedRelu(Scalar::new(theta)))
}

/// Reads `PReLU`, whose slope is an array over all axes but the batch; shared axes have size 1.
pub(super) fn prelu(scope: &mut Scope<'_>) -> Made {
    let x = scope.input()?;
    let shared = scope.config.ints("shared_axes")?.unwrap_or_default();
    let seen = scope.seen(x);
    let mut shape: Vec<usize> = seen.iter().skip(1).map(|d| d.at(1)).collect();
    for axis in shared {
        let at = usize::try_from(axis).ok().and_then(|a| a.checked_sub(1)).and_then(|a| shape.get_mut(a));
        *at.ok_or_else(|| invalid(format!("shared axis {axis}")))? = 1;
    }
    let slope = stored_like(scope, "alpha", x, &shape)?;
    let id = scope.apply(Binary(BinaryFunction::PRelu), &[x.id, slope])?;
    Ok(Symbol { id, ..x })
}

/// Reads an array over all axes but the batch, in the layout of `x`.
fn stored_like(scope: &mut Scope<'_>, what: &str, x: Symbol, shape: &[usize]) -> Result<ValueId, Problem> {
    let rank = shape.len();
    let moved = x.layout == crate::keras::scope::Layout::ChannelsFirst && rank > 1;
    scope.array(what, shape, |t| {
        let perm: Vec<usize> = std::iter::once(rank - 1).chain(0..rank - 1).collect();
        if moved { crate::keras::scope::permuted(&t, &perm) } else { Ok(t) }
    })
}
