//! Reductions, and the softmaxes that contain one.

use super::{Recipe, plain};
use crate::error::OpError;
use crate::onnx::attributes::Attributes;
use crate::onnx::scope::{Outputs, Problem, Scope};
use crate::op::identity::Identity;
use crate::op::invalid;
use crate::op::reduce::{Reduce, ReduceFunction};
use crate::op::reshape::{Flatten, Reshape};
use crate::op::softmax::Softmax;

/// `ReduceSum` and its kin: the axes are an attribute at first, an input from operator set 13
/// (`ReduceSum`) or 18 (the others) on.
pub(super) fn reduce(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let function = match attributes.op() {
        "ReduceMax" => ReduceFunction::Max,
        "ReduceMean" => ReduceFunction::Mean,
        "ReduceMin" => ReduceFunction::Min,
        "ReduceSum" => ReduceFunction::Sum,
        _ => return Err(invalid("no reduction")),
    };
    let change = if function == ReduceFunction::Sum { 13 } else { 18 };
    let by_attribute = attributes.opset() < change;
    let given = if by_attribute { attributes.ints("axes")?.map(<[i64]>::to_vec) } else { None };
    let idle = !by_attribute && attributes.flag("noop_with_empty_axes")?;
    let keep_dims = attributes.int("keepdims")?.unwrap_or(1) != 0;
    Ok(Box::new(move |scope| {
        let axes = axes(scope, given, by_attribute, change)?.unwrap_or_default();
        let x = scope.input(0)?;
        if axes.is_empty() && idle {
            return scope.finish(Identity::Identity, &[Some(x)]);
        }
        scope.finish(Reduce { function, axes, keep_dims }, &[Some(x)])
    }))
}

/// Axes from an attribute or from the second input, whichever the version of the operator has.
pub(super) fn axes(
    scope: &mut Scope<'_>,
    given: Option<Vec<i64>>,
    by_attribute: bool,
    change: i64,
) -> Result<Option<Vec<i64>>, Problem> {
    match (by_attribute, scope.len()) {
        (true, 0 | 1) => Ok(given),
        (true, _) => Err(invalid(format!("axes as an input need operator set {change}")).into()),
        (false, _) => scope.ints(1, "axes"),
    }
}

/// `Softmax` and `LogSoftmax`. Before operator set 13 they ran over all axes from `axis` on.
pub(super) fn softmax(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let log = attributes.op() == "LogSoftmax";
    let axis = attributes.int("axis")?;
    if attributes.opset() >= 13 {
        return plain(Softmax { axis: axis.unwrap_or(-1), log });
    }
    let axis = axis.unwrap_or(1);
    Ok(Box::new(move |scope| flat_softmax(scope, axis, log)))
}

fn flat_softmax(scope: &mut Scope<'_>, axis: i64, log: bool) -> Result<Outputs, Problem> {
    let x = scope.input(0)?;
    let shape = scope.fact(x).shape.clone();
    let first = shape.axis(axis).ok_or_else(|| invalid(format!("axis {axis} of {shape}")))?;
    if shape.0.iter().skip(first + 1).all(|d| d.is_one()) {
        return scope.finish(Softmax { axis, log }, &[Some(x)]);
    }
    let flat = scope.step(Flatten { axis }, &[x])?;
    let y = scope.step(Softmax { axis: -1, log }, &[flat])?;
    scope.finish(Reshape { shape }, &[Some(y)])
}
