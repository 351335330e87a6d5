//! Reductions and softmax.

use super::{Recipe, plain};
use crate::builder::Builder;
use crate::compose::norm;
use crate::error::{GraphError, OpError};
use crate::fact::DType;
use crate::graph::ValueId;
use crate::onnx::attributes::Attributes;
use crate::onnx::scope::{Outputs, Problem, Scope};
use crate::op::binary::BinaryFunction;
use crate::op::cast::Cast;
use crate::op::identity::Identity;
use crate::op::invalid;
use crate::op::reduce::{Reduce, ReduceFunction};
use crate::op::reshape::{Flatten, Reshape};
use crate::op::softmax::Softmax;
use crate::op::unary::UnaryFunction;
use crate::tensor::{Data, Tensor};

/// Reads `ReduceSum` and similar operators: the axes are an attribute in early versions, an input since operator set 13
/// (`ReduceSum`) or 18 (others).
pub(super) fn reduce(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let function = match attributes.op() {
        "ReduceMax" => ReduceFunction::Max,
        "ReduceMean" => ReduceFunction::Mean,
        "ReduceMin" => ReduceFunction::Min,
        "ReduceProd" => ReduceFunction::Prod,
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
        let reduce = Reduce { function, axes, keep_dims };
        if scope.fact(x).dtype == DType::Bool {
            // False is 0 and true is 1. The maximum over no elements is below both, hence false.
            let zero = Tensor::new(Vec::new(), Data::I64([0].into())).ok_or_else(|| invalid("no zero"))?;
            return scope.formula(|b| {
                let number = b.apply(Cast { to: DType::I64 }, &[x])?;
                let (reduced, zero) = (b.apply(reduce, &[number])?, b.constant(zero));
                b.binary(BinaryFunction::Greater, reduced, zero)
            });
        }
        scope.finish(reduce, &[Some(x)])
    }))
}

/// Reads `ReduceL1`, `ReduceL2`, `ReduceSumSquare`, `ReduceLogSum` or `ReduceLogSumExp`: a sum with functions applied
/// before and after.
pub(super) fn composed(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let around = Around::of(attributes.op()).ok_or_else(|| invalid("no reduction"))?;
    let by_attribute = attributes.opset() < 18;
    let given = if by_attribute { attributes.ints("axes")?.map(<[i64]>::to_vec) } else { None };
    let idle = !by_attribute && attributes.flag("noop_with_empty_axes")?;
    let keep_dims = attributes.int("keepdims")?.unwrap_or(1) != 0;
    Ok(Box::new(move |scope| {
        let axes = axes(scope, given, by_attribute, 18)?.unwrap_or_default();
        let x = scope.input(0)?;
        let sum = if axes.is_empty() && idle { None } else { Some((axes, keep_dims)) };
        scope.formula(|b| around.write(b, x, sum))
    }))
}

/// Functions applied before and after the sum.
#[derive(Clone, Copy, Debug)]
enum Around {
    L1,
    L2,
    SumSquare,
    LogSum,
    LogSumExp,
}

impl Around {
    fn of(op: &str) -> Option<Self> {
        Some(match op {
            "ReduceL1" => Self::L1,
            "ReduceL2" => Self::L2,
            "ReduceSumSquare" => Self::SumSquare,
            "ReduceLogSum" => Self::LogSum,
            "ReduceLogSumExp" => Self::LogSumExp,
            _ => return None,
        })
    }

    /// Appends the formula; without a sum only the functions around it.
    fn write(
        self,
        b: &mut Builder<'_>,
        x: ValueId,
        sum: Option<(Vec<i64>, bool)>,
    ) -> Result<ValueId, GraphError> {
        let reduce = |b: &mut Builder<'_>, function, x, keep: Option<bool>| match &sum {
            None => Ok(x),
            Some((axes, keep_dims)) => {
                let keep_dims = keep.unwrap_or(*keep_dims);
                b.apply(Reduce { function, axes: axes.clone(), keep_dims }, &[x])
            }
        };
        match self {
            Self::L1 => {
                let size = b.unary(UnaryFunction::Abs, x)?;
                reduce(b, ReduceFunction::Sum, size, None)
            }
            Self::L2 | Self::SumSquare => {
                let square = b.mul(x, x)?;
                let sum = reduce(b, ReduceFunction::Sum, square, None)?;
                if matches!(self, Self::L2) { norm::root(b, sum, 2) } else { Ok(sum) }
            }
            Self::LogSum => {
                let sum = reduce(b, ReduceFunction::Sum, x, None)?;
                b.unary(UnaryFunction::Log, sum)
            }
            Self::LogSumExp => {
                // Subtracts the maximum to avoid overflow.
                let largest = reduce(b, ReduceFunction::Max, x, Some(true))?;
                let below = b.sub(x, largest)?;
                let power = b.unary(UnaryFunction::Exp, below)?;
                let sum = reduce(b, ReduceFunction::Sum, power, None)?;
                let log = b.unary(UnaryFunction::Log, sum)?;
                let shape = b.shape(log);
                let largest = b.reshape(largest, shape)?;
                b.add(log, largest)
            }
        }
    }
}

/// Returns the axes, from an attribute or the second input, depending on the version of the operator.
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

/// Reads `Softmax` or `LogSoftmax`. Before operator set 13, they run over all axes from `axis` to the last.
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
