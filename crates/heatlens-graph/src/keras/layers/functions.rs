//! Functions used as layers: `keras.ops`, and TensorFlow functions in models of Keras 2.

use serde_json::Value as Json;

use super::activation::{named, softmax_over};
use super::images;
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

/// Returns the value a function is called on; its other arguments are constants.
pub(super) fn subject(scope: &Scope<'_>) -> Result<Symbol, OpError> {
    match scope.argument(0, &["x", "inputs", "a", "input", "tensor", "image", "images", "value", "params"]) {
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
        "sign" => UnaryFunction::Sign,
        "floor" => UnaryFunction::Floor,
        "ceil" => UnaryFunction::Ceil,
        "round" => UnaryFunction::Round,
        "sin" => UnaryFunction::Sin,
        "cos" => UnaryFunction::Cos,
        "erf" => UnaryFunction::Erf,
        "reciprocal" => UnaryFunction::Reciprocal,
        "log1p" => {
            let mut b = scope.build();
            let one = b.scalar(1.0);
            let more = b.add(x.id, one)?;
            return Ok(Symbol { id: b.unary(UnaryFunction::Log, more)?, ..x });
        }
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
        "Max" | "Amax" => ReduceFunction::Max,
        "Min" | "Amin" => ReduceFunction::Min,
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
    // Keras rejects repeated axes; an empty list would mean no reduction and does not occur in practice.
    if axes.is_empty() || axes.iter().enumerate().any(|(i, axis)| axes[..i].contains(axis)) {
        return Err(invalid(format!("a reduction over axes {axes:?}")).into());
    }
    let id = scope.build().reduce(function, x.id, &axes, keep)?;
    let rank = scope.shape(id).rank();
    let layout = if keep { x.layout } else { layout_without(x.layout, rank, &axes) };
    Ok(Symbol { id, layout })
}

/// Returns the layout of a value after removing axes of the graph, with `rank` axes left: the channels stay first
/// unless they were removed.
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

/// Returns the position of an axis to be added to `rank` others, never before the batch axis.
fn new_axis(axis: i64, rank: usize) -> Result<usize, OpError> {
    let count = i64::try_from(rank).unwrap_or(i64::MAX - 1) + 1;
    let at = if axis < 0 { axis + count } else { axis };
    let at = usize::try_from(at).ok().filter(|&at| (1..=rank).contains(&at));
    at.ok_or_else(|| invalid(format!("a new axis {axis} in addition to {rank} others")))
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

/// Reads a type conversion; all computation is in single precision.
pub(super) fn cast(scope: &mut Scope<'_>) -> Made {
    let x = subject(scope)?;
    match scope.constant_argument(1, &["dtype"])?.as_ref().and_then(Json::as_str) {
        None | Some("float32" | "float64" | "float16" | "bfloat16") => Ok(x),
        Some(other) => Err(OpError::Unsupported(format!("a change of type to {other}")).into()),
    }
}

/// Reads `x[:, 1:, 0]`, `x[..., ::-1]`, `x[:, None]`.
pub(super) fn get_item(scope: &mut Scope<'_>) -> Made {
    let x = subject(scope)?;
    let key = scope.argument(1, &["key", "slice_spec"]).ok_or_else(|| invalid("expected a range"))?;
    let key = match to_json(&key)? {
        Json::Array(list) => list,
        one => vec![one],
    };
    let rank = scope.shape(x.id).rank();
    let key = without_ellipsis(key, rank)?;
    let mut id = x.id;
    let (mut lost, mut added) = (Vec::new(), Vec::new());
    let (mut seen, mut left) = (0_i64, 0);
    for part in &key {
        if part.is_null() {
            added.push(left);
            left += 1;
            continue;
        }
        let axis = scope.axis(x, seen)?;
        seen += 1;
        let range = part.get("config").unwrap_or(part);
        if range.get("start").is_some() || range.get("stop").is_some() {
            id = take_range(scope, id, axis, range)?;
            left += 1;
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
    let id = scope.build().reshape(id, Shape(dims))?;
    with_axes(scope, Symbol { id, layout }, &added)
}

/// Replaces `...` in a key with full ranges.
fn without_ellipsis(key: Vec<Json>, rank: usize) -> Result<Vec<Json>, OpError> {
    let is_ellipsis = |part: &Json| {
        part.get("class_name").and_then(Json::as_str) == Some("__ellipsis__") || part.as_str() == Some("...")
    };
    let Some(at) = key.iter().position(is_ellipsis) else { return Ok(key) };
    let axes = key.iter().enumerate().filter(|(i, part)| *i != at && !part.is_null()).count();
    let missing = rank.checked_sub(axes);
    let missing = missing.ok_or_else(|| invalid(format!("ranges for {axes} axes of {rank}")))?;
    let whole = || serde_json::json!({"start": null, "stop": null, "step": null});
    let mut key = key;
    key.splice(at..=at, std::iter::repeat_with(whole).take(missing));
    Ok(key)
}

/// Adds axes of size 1 at positions counted as in Keras.
fn with_axes(scope: &mut Scope<'_>, x: Symbol, places: &[usize]) -> Made {
    if places.is_empty() {
        return Ok(x);
    }
    let id = scope.plain(x)?;
    let mut dims = scope.shape(id).0;
    for &at in places {
        if at == 0 || at > dims.len() {
            return Err(OpError::Unsupported("a new axis in front of the batch".to_owned()).into());
        }
        dims.insert(at, Dim::Fixed(1));
    }
    Ok(Symbol::plain(scope.build().reshape(id, Shape(dims))?))
}

/// Returns a position, which is counted from the end if negative.
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
    let step = step.unwrap_or(1);
    let places = places(start, stop, step, size);
    let Some(&first) = places.first() else {
        return Err(invalid(format!("an empty range {}", brief(range))).into());
    };
    match usize::try_from(step) {
        Ok(step) => scope.apply(Slice { axis, start: first, len: places.len(), step }, &[id]),
        Err(_) => super::images::pick(scope, id, axis, places),
    }
}

/// Returns the positions selected by Python's `start:stop:step` among `size` elements; none for a step of 0.
fn places(start: Option<i64>, stop: Option<i64>, step: i64, size: usize) -> Vec<usize> {
    let Ok(size) = i64::try_from(size) else { return Vec::new() };
    let (least, most) = if step < 0 { (-1, size - 1) } else { (0, size) };
    let clamp = |at: i64| (if at < 0 { at.saturating_add(size) } else { at }).clamp(least, most);
    let (first, end) = if step < 0 { (most, least) } else { (least, most) };
    let (mut at, stop) = (start.map_or(first, clamp), stop.map_or(end, clamp));
    let mut places = Vec::new();
    while step > 0 && at < stop || step < 0 && at > stop {
        places.extend(usize::try_from(at));
        at = at.saturating_add(step);
    }
    places
}

/// Reads a TensorFlow function in a model of Keras 2.
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
        "bias_add" => images::bias_add(scope),
        "grayscale_to_rgb" => images::grey_to_rgb(scope),
        "rgb_to_grayscale" => images::rgb_to_grey(scope),
        "repeat" => images::repeat(scope),
        "tile" => images::tile(scope),
        "broadcast_to" => images::broadcast_to(scope),
        "resize" => images::resize(scope),
        "per_image_standardization" => images::standardize(scope),
        "pad" => images::pad(scope),
        "reverse" => images::flip(scope),
        "roll" => images::roll(scope),
        "gather" => images::take(scope),
        "where" => images::choose(scope),
        "flip_left_right" | "flip_up_down" => {
            let x = subject(scope)?;
            images::flip_axes(scope, x, &[if name == "flip_up_down" { -3 } else { -2 }])
        }
        "central_crop" => images::central_crop(scope),
        "convert_image_dtype" => cast(scope),
        "l2_normalize" => images::normalize(scope),
        "reduce_variance" | "reduce_std" => images::spread(scope),
        "greater" | "greater_equal" | "less" | "less_equal" | "equal" | "not_equal" => {
            images::compare_named(scope, &name.replace('_', ""))
        }
        "softmax" => {
            let x = subject(scope)?;
            let axes = scope.int_arguments(1, &["axis"])?.unwrap_or_else(|| vec![-1]);
            softmax_over(scope, x, &axes, false)
        }
        "abs" | "exp" | "log" | "negative" | "neg" | "sqrt" | "rsqrt" | "square" | "relu" | "relu6"
        | "sign" | "floor" | "ceil" | "round" | "sin" | "cos" | "erf" | "reciprocal" | "log1p"
        | "sigmoid" | "tanh" | "elu" | "selu" | "silu" | "swish" | "softplus" | "softsign" => {
            let x = subject(scope)?;
            unary_named(scope, x, name)
        }
        _ => Err(OpError::Unsupported(format!("the TensorFlow function {whole:?}")).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_pick_what_python_picks() {
        assert_eq!(places(None, None, -1, 4), [3, 2, 1, 0]);
        assert_eq!(places(Some(1), Some(-1), 1, 5), [1, 2, 3]);
        assert_eq!(places(None, None, 2, 5), [0, 2, 4]);
        assert_eq!(places(Some(-2), None, 1, 5), [3, 4]);
        assert_eq!(places(Some(9), Some(0), -2, 6), [5, 3, 1]);
        assert!(places(Some(3), Some(3), 1, 5).is_empty());
    }

    #[test]
    fn three_dots_stand_for_the_axes_that_are_not_named() {
        let dots = serde_json::json!({"class_name": "__ellipsis__", "config": {}});
        let key = without_ellipsis(vec![dots.clone(), Json::from(0)], 4).unwrap();
        assert_eq!((key.len(), key[3].as_i64()), (4, Some(0)));
        assert!(without_ellipsis(vec![dots, Json::from(0), Json::from(0)], 1).is_err());
    }
}
