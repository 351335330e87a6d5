//! Normalisation layers.

use crate::compose::normalization as formula;
use crate::error::OpError;
use crate::fact::{Dim, Shape};
use crate::graph::ValueId;
use crate::keras::scope::{Layout, Made, Problem, Scope, Symbol};
use crate::op::batch_normalization::BatchNormalization;
use crate::op::invalid;
use crate::op::layer_normalization::LayerNormalization;
use crate::op::unary::UnaryFunction;
use crate::tensor::Tensor;

fn fixed(dim: Dim) -> Result<usize, OpError> {
    match dim {
        Dim::Fixed(d) => Ok(d),
        Dim::Batch(_) => Err(invalid("the batch size is used where a fixed size is expected")),
    }
}

/// Adds a constant vector of equal numbers. Its length does not depend on data in the file, so it has its own limit.
fn filled(scope: &mut Scope<'_>, length: usize, value: f32) -> Result<ValueId, OpError> {
    const LONGEST: usize = 1 << 20;
    if length > LONGEST {
        return Err(invalid(format!("a normalisation of {length} features")));
    }
    Ok(scope.build().constant(Tensor::f32(&[length], vec![value; length])))
}

pub(super) fn batch(scope: &mut Scope<'_>) -> Made {
    let x = first_value(scope)?;
    let axes = scope.config.ints("axis")?.unwrap_or_else(|| vec![-1]);
    let &[axis] = axes.as_slice() else {
        return Err(OpError::Unsupported(format!("statistics over axes {axes:?}")).into());
    };
    let epsilon = scope.config.float("epsilon")?.unwrap_or(1e-3);
    let (center, scale) = (scope.config.flag("center", true)?, scope.config.flag("scale", true)?);
    let axis = scope.axis(x, axis)?;
    let shape = scope.shape(x.id);
    let channels = fixed(shape.0[axis])?;
    let gamma = if scale { scope.vector("gamma", channels)? } else { filled(scope, channels, 1.0)? };
    let beta = if center { scope.vector("beta", channels)? } else { filled(scope, channels, 0.0)? };
    let mean = scope.vector("moving_mean", channels)?;
    let variance = scope.vector("moving_variance", channels)?;
    // The operator has the channels on axis 1.
    let perm: Vec<usize> =
        std::iter::once(0).chain([axis]).chain((1..shape.rank()).filter(|&a| a != axis)).collect();
    let in_place = axis == 1;
    let moved = if in_place { x.id } else { scope.build().transpose(x.id, &perm)? };
    let y = scope.apply(BatchNormalization { epsilon }, &[moved, gamma, beta, mean, variance])?;
    let id = if in_place { y } else { scope.build().transpose(y, &inverse(&perm))? };
    Ok(Symbol { id, ..x })
}

/// Returns the first argument; masks and the training flag may follow.
fn first_value(scope: &Scope<'_>) -> Result<Symbol, OpError> {
    scope.values().first().copied().ok_or_else(|| invalid("expected an input"))
}

fn inverse(perm: &[usize]) -> Vec<usize> {
    let mut out = vec![0; perm.len()];
    for (to, &from) in perm.iter().enumerate() {
        out[from] = to;
    }
    out
}

/// Axes of the graph, and the sizes of arrays over them.
struct Over {
    axes: Vec<usize>,
    /// Sizes in the order of Keras.
    sizes: Vec<usize>,
    /// Sizes along the axes and 1 elsewhere, in the order of the graph.
    broadcast: Vec<usize>,
}

fn over(scope: &Scope<'_>, x: Symbol, axes: &[i64]) -> Result<Over, OpError> {
    let (seen, shape) = (scope.seen(x), scope.shape(x.id));
    let mut author: Vec<usize> = axes
        .iter()
        .map(|&a| shape.axis(a).ok_or_else(|| invalid(format!("axis {a}"))))
        .collect::<Result<_, _>>()?;
    author.sort_unstable();
    author.dedup();
    let mut over = Over { axes: Vec::new(), sizes: Vec::new(), broadcast: vec![1; shape.rank()] };
    for axis in author {
        let graph = scope.axis(x, i64::try_from(axis).unwrap_or(i64::MAX))?;
        let size = fixed(seen[axis])?;
        over.axes.push(graph);
        over.sizes.push(size);
        over.broadcast[graph] = size;
    }
    Ok(over)
}

/// Reads an array over the axes, reshaped so that it broadcasts.
fn stored_over(scope: &mut Scope<'_>, what: &str, over: &Over) -> Result<ValueId, Problem> {
    let mut order: Vec<usize> = (0..over.axes.len()).collect();
    order.sort_by_key(|&i| over.axes[i]);
    let shape = over.broadcast.clone();
    scope.array(what, &over.sizes, |t| {
        let t = crate::keras::scope::permuted(&t, &order)?;
        t.reshaped(shape).ok_or_else(|| invalid("the array does not fit its axes"))
    })
}

pub(super) fn layer(scope: &mut Scope<'_>) -> Made {
    let x = scope.input()?;
    let axes = scope.config.ints("axis")?.unwrap_or_else(|| vec![-1]);
    let epsilon = scope.config.float("epsilon")?.unwrap_or(1e-3);
    let (center, scale) = (scope.config.flag("center", true)?, scope.config.flag("scale", true)?);
    let variance_only = scope.config.flag("rms_scaling", false)?;
    let over = over(scope, x, &axes)?;
    if variance_only {
        return deviation_only(scope, x, &over, epsilon, scale);
    }
    let last = scope.shape(x.id).rank() - 1;
    // Normalisation over the last axis (tokens), the common case, has its own operator.
    if x.layout == Layout::Plain && over.axes == [last] {
        let length = over.sizes[0];
        let gamma = if scale { scope.vector("gamma", length)? } else { filled(scope, length, 1.0)? };
        let mut inputs = vec![x.id, gamma];
        if center {
            inputs.push(scope.vector("beta", length)?);
        }
        return Ok(Symbol::plain(scope.apply(LayerNormalization { axis: -1, epsilon }, &inputs)?));
    }
    let mut y = formula::standardize(&mut scope.build(), x.id, &over.axes, epsilon)?;
    if scale {
        let gamma = stored_over(scope, "gamma", &over)?;
        y = scope.build().mul(y, gamma)?;
    }
    if center {
        let beta = stored_over(scope, "beta", &over)?;
        y = scope.build().add(y, beta)?;
    }
    Ok(Symbol { id: y, ..x })
}

/// `rms_scaling` of `LayerNormalization`: x ÷ √(variance + epsilon), not centred.
fn deviation_only(scope: &mut Scope<'_>, x: Symbol, over: &Over, epsilon: f32, scale: bool) -> Made {
    let mut b = scope.build();
    let mean = b.mean(x.id, &over.axes, true)?;
    let centred = b.sub(x.id, mean)?;
    let square = b.mul(centred, centred)?;
    let variance = b.mean(square, &over.axes, true)?;
    let epsilon = b.scalar(epsilon);
    let above_zero = b.add(variance, epsilon)?;
    let deviation = b.unary(UnaryFunction::Sqrt, above_zero)?;
    let mut y = b.div(x.id, deviation)?;
    if scale {
        let gamma = stored_over(scope, "gamma", over)?;
        y = scope.build().mul(y, gamma)?;
    }
    Ok(Symbol { id: y, ..x })
}

pub(super) fn rms(scope: &mut Scope<'_>) -> Made {
    let x = scope.input()?;
    let axes = scope.config.ints("axis")?.unwrap_or_else(|| vec![-1]);
    let epsilon = scope.config.float("epsilon")?.unwrap_or(1e-6);
    let over = over(scope, x, &axes)?;
    let scale = stored_over(scope, "scale", &over)?;
    Ok(Symbol { id: formula::rms(&mut scope.build(), x.id, &over.axes, scale, epsilon)?, ..x })
}

/// Reads `UnitNormalization`: x ÷ its L2 norm along the axes.
pub(super) fn unit(scope: &mut Scope<'_>) -> Made {
    // Lower bound of Keras 2 and 3 that avoids division by 0.
    const LEAST: f32 = 1e-12;
    let x = scope.input()?;
    let axes = scope.config.ints("axis")?.unwrap_or_else(|| vec![-1]);
    let over = over(scope, x, &axes)?;
    let mut b = scope.build();
    let square = b.mul(x.id, x.id)?;
    let sum = b.sum(square, &over.axes, true)?;
    let least = b.scalar(LEAST);
    let sum = b.binary(crate::op::binary::BinaryFunction::Max, sum, least)?;
    let length = b.unary(UnaryFunction::Sqrt, sum)?;
    Ok(Symbol { id: b.div(x.id, length)?, ..x })
}

/// Reads `GroupNormalization`: groups of channels, normalised over all other axes too.
pub(super) fn group(scope: &mut Scope<'_>) -> Made {
    let x = scope.input()?;
    let groups = scope.config.int("groups")?.unwrap_or(32);
    let axis = scope.config.int("axis")?.unwrap_or(-1);
    let epsilon = scope.config.float("epsilon")?.unwrap_or(1e-3);
    let (center, scale) = (scope.config.flag("center", true)?, scope.config.flag("scale", true)?);
    let axis = scope.axis(x, axis)?;
    let shape = scope.shape(x.id);
    let channels = fixed(shape.0[axis])?;
    let groups = if groups == -1 { Some(channels) } else { usize::try_from(groups).ok() };
    let groups = groups.filter(|&g| g > 0 && channels.is_multiple_of(g));
    let groups = groups.ok_or_else(|| invalid(format!("{channels} channels in groups")))?;
    let mut split = shape.0.clone();
    split.splice(axis..=axis, [Dim::Fixed(groups), Dim::Fixed(channels / groups)]);
    let axes: Vec<usize> = (1..split.len()).filter(|&a| a != axis).collect();
    let parts = scope.build().reshape(x.id, Shape(split))?;
    let y = formula::standardize(&mut scope.build(), parts, &axes, epsilon)?;
    let mut y = scope.build().reshape(y, shape.clone())?;
    let mut broadcast = vec![1; shape.rank()];
    broadcast[axis] = channels;
    for (wanted, what) in [(scale, "gamma"), (center, "beta")] {
        if wanted {
            let to = broadcast.clone();
            let value = scope.array(what, &[channels], |t| {
                t.reshaped(to).ok_or_else(|| invalid("the array does not fit its axis"))
            })?;
            let mut b = scope.build();
            y = if what == "gamma" { b.mul(y, value)? } else { b.add(y, value)? };
        }
    }
    Ok(Symbol { id: y, ..x })
}

/// Reads `ConvNeXt`'s factor per channel.
pub(super) fn layer_scale(scope: &mut Scope<'_>) -> Made {
    let x = scope.input()?;
    scope.config.ignore(&["init_values", "projection_dim"]);
    let over = over(scope, x, &[-1])?;
    let gamma = stored_over(scope, "gamma", &over)?;
    Ok(Symbol { id: scope.build().mul(x.id, gamma)?, ..x })
}
