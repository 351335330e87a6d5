//! Layers with several inputs, and arithmetic with constants.

use serde_json::Value as Json;

use crate::error::OpError;
use crate::graph::ValueId;
use crate::keras::scope::{Arg, Layout, Made, Problem, Scope, Symbol, permuted};
use crate::op::binary::BinaryFunction;
use crate::op::concat::Concat;
use crate::op::invalid;
use crate::tensor::Tensor;

/// Returns the operands of an elementwise layer or function: positional arguments with lists flattened, then keyword
/// arguments.
pub(super) fn operands(scope: &Scope<'_>) -> Vec<Arg> {
    const NAMED: [&str; 5] = ["x", "x1", "x2", "y", "inputs"];
    let named = scope.kwargs.iter().filter(|(name, _)| NAMED.contains(&name.as_str())).map(|(_, arg)| arg);
    let mut out = Vec::new();
    for arg in scope.args.iter().chain(named) {
        match arg {
            Arg::List(list) if list.iter().any(|a| matches!(a, Arg::Value(_))) => {
                out.extend(list.iter().cloned());
            }
            Arg::Json(Json::Null) => {}
            other => out.push(other.clone()),
        }
    }
    out
}

/// Returns the operands in a common layout, so that they broadcast as in Keras.
pub(super) fn aligned(scope: &mut Scope<'_>, operands: &[Arg]) -> Result<(Vec<ValueId>, Layout), Problem> {
    let symbols: Vec<Symbol> = operands
        .iter()
        .filter_map(|arg| if let Arg::Value(symbol) = arg { Some(*symbol) } else { None })
        .collect();
    let ranks: Vec<usize> = symbols.iter().map(|s| scope.shape(s.id).rank()).collect();
    let rank = ranks.iter().copied().max().ok_or_else(|| invalid("expected an input"))?;
    let moved = rank > 2
        && symbols.iter().any(|s| s.layout == Layout::ChannelsFirst)
        && ranks.iter().all(|&r| r == rank);
    let layout = if moved { Layout::ChannelsFirst } else { Layout::Plain };
    let mut ids = Vec::with_capacity(operands.len());
    for operand in operands {
        ids.push(match operand {
            Arg::Value(symbol) => scope.as_layout(*symbol, layout)?,
            other => {
                let json = crate::keras::scope::to_json(other)?;
                let id = scope.constant("a constant operand", &json)?;
                if moved { constant_in_front(scope, id, rank)? } else { id }
            }
        });
    }
    Ok((ids, layout))
}

/// Transposes a constant aligned with the last axes in Keras, for a value with the channels first.
fn constant_in_front(scope: &mut Scope<'_>, id: ValueId, rank: usize) -> Result<ValueId, Problem> {
    let misfit = || invalid("a constant with more axes than the other operand");
    let tensor = scope.reading.graph.constant(id).cloned().ok_or_else(misfit)?;
    let own = tensor.shape().len();
    if own == 0 {
        return Ok(id);
    }
    let missing = rank.checked_sub(own).ok_or_else(misfit)?;
    let shape: Vec<usize> = vec![1; missing].into_iter().chain(tensor.shape().iter().copied()).collect();
    let full = tensor.reshaped(shape).ok_or_else(misfit)?;
    let perm: Vec<usize> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
    let turned = permuted(&full, &perm)?;
    Ok(scope.build().constant(turned))
}

/// Combines operands with an elementwise function, from the left.
pub(super) fn elementwise(scope: &mut Scope<'_>, function: BinaryFunction, operands: &[Arg]) -> Made {
    let (ids, layout) = aligned(scope, operands)?;
    let mut ids = ids.into_iter();
    let mut id = ids.next().ok_or_else(|| invalid("expected an input"))?;
    for next in ids {
        id = scope.build().binary(function, id, next)?;
    }
    Ok(Symbol { id, layout })
}

pub(super) fn merge(scope: &mut Scope<'_>) -> Made {
    let function = match scope.class {
        "Subtract" => BinaryFunction::Sub,
        "Multiply" => BinaryFunction::Mul,
        "Maximum" => BinaryFunction::Max,
        "Minimum" => BinaryFunction::Min,
        _ => BinaryFunction::Add,
    };
    let operands = operands(scope);
    if scope.class == "Subtract" && operands.len() != 2 {
        return Err(invalid(format!("expected two inputs, found {}", operands.len())).into());
    }
    let y = elementwise(scope, function, &operands)?;
    if scope.class != "Average" {
        return Ok(y);
    }
    #[allow(clippy::cast_precision_loss)] // few operands
    let factor = 1.0 / operands.len() as f32;
    Ok(Symbol { id: scope.build().scale(y.id, factor)?, ..y })
}

pub(super) fn concatenate(scope: &mut Scope<'_>) -> Made {
    let axis = scope.int_arguments(1, &["axis"])?.and_then(|a| a.first().copied()).unwrap_or(-1);
    join(scope, axis)
}

pub(super) fn join(scope: &mut Scope<'_>, axis: i64) -> Made {
    let operands: Vec<Arg> = operands(scope).into_iter().filter(|arg| matches!(arg, Arg::Value(_))).collect();
    let (ids, layout) = aligned(scope, &operands)?;
    let &first = ids.first().ok_or_else(|| invalid("expected an input"))?;
    let axis = scope.axis(Symbol { id: first, layout }, axis)?;
    if ids.len() == 1 {
        return Ok(Symbol { id: first, layout });
    }
    let axis = i64::try_from(axis).map_err(|_| invalid("too many axes"))?;
    Ok(Symbol { id: scope.apply(Concat { axis }, &ids)?, layout })
}

/// Reads Keras 1's `Merge`, one layer for all of these.
pub(super) fn keras1(scope: &mut Scope<'_>) -> Made {
    let axis = scope.config.int("axis")?.unwrap_or(-1);
    scope.config.ignore(&["mode_type", "dot_axes", "output_shape", "output_shape_type", "output_mask"]);
    let function = match scope.config.text("mode")?.unwrap_or("sum") {
        "sum" | "ave" => BinaryFunction::Add,
        "mul" => BinaryFunction::Mul,
        "max" => BinaryFunction::Max,
        "concat" => return join(scope, axis),
        other => return Err(OpError::Unsupported(format!("mode {other:?}")).into()),
    };
    let operands = operands(scope);
    let y = elementwise(scope, function, &operands)?;
    if scope.config.text("mode")? != Some("ave") {
        return Ok(y);
    }
    #[allow(clippy::cast_precision_loss)] // few operands
    let factor = 1.0 / operands.len() as f32;
    Ok(Symbol { id: scope.build().scale(y.id, factor)?, ..y })
}

/// Reads Inception-ResNet's x + scale · y.
pub(super) fn scaled_sum(scope: &mut Scope<'_>) -> Made {
    let scale = scope.config.need("scale", scope.config.float("scale")?)?;
    let operands = operands(scope);
    let (ids, layout) = aligned(scope, &operands)?;
    let &[x, y] = ids.as_slice() else {
        return Err(invalid(format!("expected two inputs, found {}", ids.len())).into());
    };
    let mut b = scope.build();
    let y = b.scale(y, scale)?;
    Ok(Symbol { id: b.add(x, y)?, layout })
}

/// Reads `Dot`: the sum of products over one axis of each of two values.
pub(super) fn dot(scope: &mut Scope<'_>) -> Made {
    let axes = scope.config.need("axes", scope.config.ints("axes")?)?;
    if scope.config.flag("normalize", false)? {
        return Err(OpError::Unsupported("setting \"normalize\"".to_owned()).into());
    }
    let &[x, y] = scope.values().as_slice() else { return Err(invalid("expected two inputs").into()) };
    let (x, y) = (scope.plain(x)?, scope.plain(y)?);
    let (left, right) = match axes.as_slice() {
        [both] => (*both, *both),
        [left, right] => (*left, *right),
        _ => return Err(invalid(format!("axes {axes:?}")).into()),
    };
    let (sx, sy) = (scope.shape(x), scope.shape(y));
    let (Some(left), Some(right)) = (sx.axis(left), sy.axis(right)) else {
        return Err(invalid(format!("axes {axes:?} of {sx} and {sy}")).into());
    };
    let mut b = scope.build();
    match (sx.rank(), sy.rank()) {
        (2, 2) if left == 1 && right == 1 => {
            let product = b.mul(x, y)?;
            Ok(Symbol::plain(b.sum(product, &[1], true)?))
        }
        (3, 3) if (1..3).contains(&left) && (1..3).contains(&right) => {
            let x = if left == 2 { x } else { b.transpose(x, &[0, 2, 1])? };
            let y = if right == 1 { y } else { b.transpose(y, &[0, 2, 1])? };
            Ok(Symbol::plain(b.matmul(x, y)?))
        }
        _ => Err(OpError::Unsupported(format!("a dot product of {sx} and {sy} over axes {axes:?}")).into()),
    }
}

/// Adds a list of numbers as a constant.
pub(super) fn stored(scope: &mut Scope<'_>, shape: &[usize], values: Vec<f32>) -> Result<ValueId, Problem> {
    let tensor = Tensor::new(shape.to_vec(), crate::tensor::Data::F32(values.into()));
    let tensor = tensor.ok_or_else(|| invalid("numbers do not fill their shape"))?;
    Ok(scope.build().constant(tensor))
}
