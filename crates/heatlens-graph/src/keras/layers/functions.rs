//! Functions that stand in a model as layers: `keras.ops`, and TensorFlow functions in models of Keras 2.

use serde_json::Value as Json;

use super::activation::{named, softmax_over};
use super::merge::{elementwise, join, operands};
use super::shape::{permute_by, reshape_to, slice};
use crate::error::OpError;
use crate::fact::{Dim, Shape};
use crate::graph::ValueId;
use crate::keras::config::{brief, float, int};
use crate::keras::scope::{Arg, Layout, Made, Problem, Scope, Symbol, to_json};
use crate::op::binary::BinaryFunction;
use crate::op::clip::Clip;
use crate::op::concat::Concat;
use crate::op::invalid;
use crate::op::reduce::ReduceFunction;
use crate::op::slice::Slice;
use crate::op::unary::UnaryFunction;

/// The value a function is called on; further arguments are constants.
fn subject(scope: &Scope<'_>) -> Result<Symbol, OpError> {
    match scope.argument(0, &["x", "inputs", "a", "input", "tensor"]) {
        Some(Arg::Value(symbol)) => Ok(symbol),
        _ => Err(OpError::Unsupported("a function of a constant".to_owned())),
    }
}

pub(super) fn unary(scope: &mut Scope<'_>) -> Made {
    let x = subject(scope)?;
    let name = scope.class.to_lowercase();
    unary_named(scope, x, &name)
}

fn unary_named(scope: &mut Scope<'_>, x: Symbol, name: &str) -> Made {
    let function = match name {
        "abs" | "absolute" => UnaryFunction::Abs,
        "exp" => UnaryFunction::Exp,
        "log" => UnaryFunction::Log,
        "negative" | "neg" => UnaryFunction::Neg,
        "sqrt" => UnaryFunction::Sqrt,
        "square" => return Ok(Symbol { id: scope.build().mul(x.id, x.id)?, ..x }),
        "rsqrt" => {
            let mut b = scope.build();
            let root = b.unary(UnaryFunction::Sqrt, x.id)?;
            return Ok(Symbol { id: b.unary(UnaryFunction::Reciprocal, root)?, ..x });
        }
        other => return named(scope, x, other),
    };
    Ok(Symbol { id: scope.build().unary(function, x.id)?, ..x })
}

pub(super) fn binary(scope: &mut Scope<'_>) -> Made {
    let function = if scope.class == "Power" { BinaryFunction::Pow } else { BinaryFunction::Div };
    pair(scope, function)
}

fn pair(scope: &mut Scope<'_>, function: BinaryFunction) -> Made {
    let operands = operands(scope);
    if operands.len() != 2 {
        return Err(invalid(format!("expected two operands, found {}", operands.len())).into());
    }
    elementwise(scope, function, &operands)
}

pub(super) fn matmul(scope: &mut Scope<'_>) -> Made {
    let operands = operands(scope);
    let [Arg::Value(a), Arg::Value(b)] = operands.as_slice() else {
        return Err(OpError::Unsupported("a product with a constant".to_owned()).into());
    };
    let (a, b) = (scope.plain(*a)?, scope.plain(*b)?);
    Ok(Symbol::plain(scope.build().matmul(a, b)?))
}

pub(super) fn clip(scope: &mut Scope<'_>) -> Made {
    let x = subject(scope)?;
    clip_between(scope, x, (1, &["x_min", "clip_value_min"]), (2, &["x_max", "clip_value_max"]))
}

fn clip_between(scope: &mut Scope<'_>, x: Symbol, low: (usize, &[&str]), high: (usize, &[&str])) -> Made {
    let number = |(index, names): (usize, &[&str])| -> Result<f32, OpError> {
        let found = scope.constant_argument(index, names)?;
        let found = found.ok_or_else(|| OpError::Unsupported("a limit that is computed".to_owned()))?;
        float(names.first().copied().unwrap_or_default(), &found)
    };
    let (min, max) = (number(low)?, number(high)?);
    Ok(Symbol { id: scope.apply(Clip { min, max }, &[x.id])?, ..x })
}

pub(super) fn reduce(scope: &mut Scope<'_>) -> Made {
    let function = match scope.class {
        "Sum" => ReduceFunction::Sum,
        "Max" => ReduceFunction::Max,
        "Min" => ReduceFunction::Min,
        _ => ReduceFunction::Mean,
    };
    reduce_by(scope, function)
}

fn reduce_by(scope: &mut Scope<'_>, function: ReduceFunction) -> Made {
    let x = subject(scope)?;
    let axes = scope.int_arguments(1, &["axis"])?;
    let keep = scope.flag_argument(2, &["keepdims"])?;
    let axes = axes.ok_or_else(|| OpError::Unsupported("a reduction over the batch".to_owned()))?;
    let axes: Vec<usize> = axes.iter().map(|&a| scope.axis(x, a)).collect::<Result<_, _>>()?;
    if axes.contains(&0) {
        return Err(OpError::Unsupported("a reduction over the batch".to_owned()).into());
    }
    // Keras refuses an axis that is named twice; no axes are no reduction, which nobody writes.
    if axes.is_empty() || axes.iter().enumerate().any(|(i, axis)| axes[..i].contains(axis)) {
        return Err(invalid(format!("a reduction over axes {axes:?}")).into());
    }
    let id = scope.build().reduce(function, x.id, &axes, keep)?;
    let rank = scope.shape(id).rank();
    let layout = if keep { x.layout } else { layout_without(x.layout, rank, &axes) };
    Ok(Symbol { id, layout })
}

/// The layout of a value that lost axes of the graph and has `rank` left: channels stay in front unless they are lost.
fn layout_without(layout: Layout, rank: usize, lost: &[usize]) -> Layout {
    if lost.contains(&1) || rank < 3 { Layout::Plain } else { layout }
}

pub(super) fn transpose(scope: &mut Scope<'_>) -> Made {
    let x = subject(scope)?;
    let rank = scope.shape(x.id).rank();
    let reversed = || (0..rank).rev().filter_map(|a| i64::try_from(a).ok()).collect();
    let perm = scope.int_arguments(1, &["axes", "perm"])?.unwrap_or_else(reversed);
    permute_by(scope, x, &perm)
}

pub(super) fn swap_axes(scope: &mut Scope<'_>) -> Made {
    let x = subject(scope)?;
    let shape = scope.shape(x.id);
    let axis = |index: usize, name: &str| -> Result<usize, OpError> {
        let found = scope.int_arguments(index, &[name])?.and_then(|a| a.first().copied());
        found.and_then(|a| shape.axis(a)).ok_or_else(|| invalid(format!("expected an axis as {name:?}")))
    };
    let (one, two) = (axis(1, "axis1")?, axis(2, "axis2")?);
    let mut perm: Vec<i64> = (0..shape.rank()).filter_map(|a| i64::try_from(a).ok()).collect();
    perm.swap(one, two);
    permute_by(scope, x, &perm)
}

pub(super) fn expand_dims(scope: &mut Scope<'_>) -> Made {
    let x = subject(scope)?;
    let axis = scope.int_arguments(1, &["axis"])?.and_then(|a| a.first().copied());
    let axis = axis.ok_or_else(|| invalid("expected an axis"))?;
    let id = scope.plain(x)?;
    let mut dims = scope.shape(id).0;
    let at = new_axis(axis, dims.len())?;
    dims.insert(at, Dim::Fixed(1));
    Ok(Symbol::plain(scope.build().reshape(id, Shape(dims))?))
}

/// The position of an axis that is to be added to `rank` others, never in front of the batch.
fn new_axis(axis: i64, rank: usize) -> Result<usize, OpError> {
    let count = i64::try_from(rank).unwrap_or(i64::MAX - 1) + 1;
    let at = if axis < 0 { axis + count } else { axis };
    let at = usize::try_from(at).ok().filter(|&at| (1..=rank).contains(&at));
    at.ok_or_else(|| invalid(format!("a new axis {axis} beside {rank} others")))
}

pub(super) fn squeeze(scope: &mut Scope<'_>) -> Made {
    let x = subject(scope)?;
    let axes = scope.int_arguments(1, &["axis"])?;
    let id = scope.plain(x)?;
    let shape = scope.shape(id);
    let lost: Vec<usize> = match axes.filter(|axes| !axes.is_empty()) {
        Some(axes) => {
            let found: Option<Vec<usize>> = axes.iter().map(|&a| shape.axis(a)).collect();
            found.ok_or_else(|| invalid(format!("axes {axes:?} of {shape}")))?
        }
        None => (0..shape.rank()).filter(|&a| shape.0[a].is_one()).collect(),
    };
    let dims = shape.0.iter().enumerate().filter(|(a, _)| !lost.contains(a)).map(|(_, &d)| d).collect();
    Ok(Symbol::plain(scope.build().reshape(id, Shape(dims))?))
}

pub(super) fn stack(scope: &mut Scope<'_>) -> Made {
    let axis = scope.int_arguments(1, &["axis"])?.and_then(|a| a.first().copied()).unwrap_or(0);
    let values: Vec<Symbol> = scope.values();
    let mut ids = Vec::with_capacity(values.len());
    let mut at = 0;
    for value in values {
        let id = scope.plain(value)?;
        let mut dims = scope.shape(id).0;
        at = new_axis(axis, dims.len())?;
        dims.insert(at, Dim::Fixed(1));
        ids.push(scope.build().reshape(id, Shape(dims))?);
    }
    let axis = i64::try_from(at).map_err(|_| invalid("too many axes"))?;
    Ok(Symbol::plain(scope.apply(Concat { axis }, &ids)?))
}

/// A change of type; everything is computed in single precision.
pub(super) fn cast(scope: &mut Scope<'_>) -> Made {
    let x = subject(scope)?;
    match scope.constant_argument(1, &["dtype"])?.as_ref().and_then(Json::as_str) {
        None | Some("float32" | "float64" | "float16" | "bfloat16") => Ok(x),
        Some(other) => Err(OpError::Unsupported(format!("a change of type to {other}")).into()),
    }
}

/// `x[:, 1:, 0]`.
pub(super) fn get_item(scope: &mut Scope<'_>) -> Made {
    let x = subject(scope)?;
    let key = scope.argument(1, &["key", "slice_spec"]).ok_or_else(|| invalid("expected a range"))?;
    let key = match to_json(&key)? {
        Json::Array(list) => list,
        one => vec![one],
    };
    let mut id = x.id;
    let mut lost = Vec::new();
    for (i, part) in key.iter().enumerate() {
        let axis = scope.axis(x, i64::try_from(i).unwrap_or(i64::MAX))?;
        let range = part.get("config").unwrap_or(part);
        if range.get("start").is_some() || range.get("stop").is_some() {
            id = take_range(scope, id, axis, range)?;
        } else if part.is_i64() && axis > 0 {
            let Dim::Fixed(size) = scope.shape(id).0[axis] else {
                return Err(invalid("an element of the batch").into());
            };
            let at = wrapped(int("an index", part)?, size).filter(|&at| at < size);
            let at = at.ok_or_else(|| invalid(format!("element {part} of {size}")))?;
            id = slice(scope, id, axis, at, 1)?;
            lost.push(axis);
        } else {
            return Err(OpError::Unsupported(format!("a range {}", brief(part))).into());
        }
    }
    let shape = scope.shape(id);
    let dims: Vec<Dim> =
        shape.0.iter().enumerate().filter(|(a, _)| !lost.contains(a)).map(|(_, &d)| d).collect();
    let layout = layout_without(x.layout, dims.len(), &lost);
    Ok(Symbol { id: scope.build().reshape(id, Shape(dims))?, layout })
}

/// A position that may count from the end.
fn wrapped(at: i64, size: usize) -> Option<usize> {
    let size = i64::try_from(size).ok()?;
    usize::try_from(if at < 0 { at + size } else { at }).ok()
}

fn take_range(scope: &mut Scope<'_>, id: ValueId, axis: usize, range: &Json) -> Result<ValueId, Problem> {
    let number = |key: &str| -> Result<Option<i64>, OpError> {
        range.get(key).filter(|v| !v.is_null()).map(|v| int(key, v)).transpose()
    };
    let (start, stop, step) = (number("start")?, number("stop")?, number("step")?);
    if start.is_none() && stop.is_none() && step.is_none_or(|s| s == 1) {
        return Ok(id);
    }
    let Dim::Fixed(size) = scope.shape(id).0[axis] else {
        return Err(OpError::Unsupported("a part of the batch".to_owned()).into());
    };
    let clamp = |at: i64| wrapped(at, size).unwrap_or(0).min(size);
    let (start, stop) = (start.map_or(0, clamp), stop.map_or(size, clamp));
    let step = step.map_or(Some(1), |s| usize::try_from(s).ok()).filter(|&s| s > 0);
    let step = step.ok_or_else(|| OpError::Unsupported("a step backwards".to_owned()))?;
    let len = stop.saturating_sub(start).div_ceil(step);
    if len == 0 {
        return Err(invalid(format!("an empty range {}", brief(range))).into());
    }
    scope.apply(Slice { axis, start, len, step }, &[id])
}

/// A TensorFlow function in a model of Keras 2.
pub(super) fn tensorflow(scope: &mut Scope<'_>) -> Made {
    let function = scope.config.need("function", scope.config.text("function")?)?;
    let name = function.rsplit('.').next().unwrap_or(function);
    let whole = function;
    match name {
        "add" | "__add__" | "AddV2" => pair(scope, BinaryFunction::Add),
        "subtract" | "sub" => pair(scope, BinaryFunction::Sub),
        "multiply" | "mul" => pair(scope, BinaryFunction::Mul),
        "truediv" | "divide" | "div" => pair(scope, BinaryFunction::Div),
        "pow" => pair(scope, BinaryFunction::Pow),
        "maximum" => pair(scope, BinaryFunction::Max),
        "minimum" => pair(scope, BinaryFunction::Min),
        "matmul" => matmul(scope),
        "concat" => {
            let axis = scope.int_arguments(1, &["axis"])?.and_then(|a| a.first().copied());
            join(scope, axis.ok_or_else(|| invalid("expected an axis"))?)
        }
        "stack" => stack(scope),
        "reduce_mean" => reduce_by(scope, ReduceFunction::Mean),
        "reduce_sum" => reduce_by(scope, ReduceFunction::Sum),
        "reduce_max" => reduce_by(scope, ReduceFunction::Max),
        "reduce_min" => reduce_by(scope, ReduceFunction::Min),
        "reshape" => {
            let x = subject(scope)?;
            let target = scope.int_arguments(1, &["shape"])?.ok_or_else(|| invalid("expected a shape"))?;
            reshape_to(scope, x, target.get(1..).unwrap_or_default())
        }
        "transpose" => transpose(scope),
        "expand_dims" => expand_dims(scope),
        "squeeze" => squeeze(scope),
        "clip_by_value" => clip(scope),
        "cast" => cast(scope),
        "identity" | "stop_gradient" => subject(scope).map_err(Problem::from),
        "getitem" => get_item(scope),
        "softmax" => {
            let x = subject(scope)?;
            let axes = scope.int_arguments(1, &["axis"])?.unwrap_or_else(|| vec![-1]);
            softmax_over(scope, x, &axes, false)
        }
        "abs" | "exp" | "log" | "negative" | "neg" | "sqrt" | "rsqrt" | "square" | "relu" | "relu6"
        | "sigmoid" | "tanh" | "elu" | "selu" | "silu" | "swish" | "softplus" | "softsign" => {
            let x = subject(scope)?;
            unary_named(scope, x, name)
        }
        _ => Err(OpError::Unsupported(format!("the TensorFlow function {whole:?}")).into()),
    }
}
