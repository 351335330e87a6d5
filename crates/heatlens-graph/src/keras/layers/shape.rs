//! Layers that move elements. Axes in settings are those of Keras, not those of the graph.

use super::conv::batched_like;
use super::window::spatial_axes;
use crate::error::OpError;
use crate::fact::{Dim, Shape};
use crate::graph::ValueId;
use crate::keras::config::{ints, misfit};
use crate::keras::limits::MAX_ELEMENTS;
use crate::keras::scope::{Format, Layout, Made, Problem, Scope, Symbol};
use crate::op::invalid;
use crate::op::pad::Pad;
use crate::op::slice::Slice;
use crate::op::window::spatial_sizes;

/// Flattens everything but the batch axis, in the order of Keras.
pub(super) fn flatten(scope: &mut Scope<'_>) -> Made {
    let format = scope.format()?;
    let x = scope.input()?;
    let mut id = scope.plain(x)?;
    let shape = scope.shape(id);
    // If the channels are first, Keras moves them to the end before flattening.
    if format == Format::First && shape.rank() > 2 {
        let perm: Vec<usize> = std::iter::once(0).chain(2..shape.rank()).chain([1]).collect();
        id = scope.build().transpose(id, &perm)?;
    }
    let count: usize = shape.0.iter().skip(1).map(|d| d.at(1)).product();
    Ok(Symbol::plain(scope.build().reshape(id, batched_like(&shape, &[count]))?))
}

/// Returns the sizes after the batch axis; one of `target` may be −1.
pub(super) fn target_sizes(count: usize, target: &[i64]) -> Result<Vec<usize>, OpError> {
    let bad = || invalid(format!("{count} elements as {target:?}"));
    let known =
        target.iter().filter(|&&d| d != -1).try_fold(1usize, |n, &d| n.checked_mul(usize::try_from(d).ok()?));
    let known = known.ok_or_else(bad)?;
    let open = target.iter().filter(|&&d| d == -1).count();
    let rest = if open == 0 { (known == count).then_some(1) } else { count.checked_div(known) };
    let rest = rest.filter(|r| open <= 1 && r.checked_mul(known) == Some(count)).ok_or_else(bad)?;
    Ok(target.iter().map(|&d| usize::try_from(d).unwrap_or(rest)).collect())
}

pub(super) fn reshape(scope: &mut Scope<'_>) -> Made {
    let symbol = scope.argument(0, &["inputs", "x"]);
    let Some(crate::keras::scope::Arg::Value(symbol)) = symbol else {
        return Err(invalid("expected an input").into());
    };
    // The target of the layer omits the batch axis, that of the function includes it.
    let layer = scope.config.ints("target_shape")?;
    let function = scope.int_arguments(1, &["newshape"])?;
    let target = match (layer, function) {
        (Some(target), _) => target,
        (None, Some(target)) => target.get(1..).map(<[i64]>::to_vec).unwrap_or_default(),
        (None, None) => return Err(invalid("expected a setting \"target_shape\"").into()),
    };
    reshape_to(scope, symbol, &target)
}

/// Reshapes all axes after the batch axis.
pub(super) fn reshape_to(scope: &mut Scope<'_>, symbol: Symbol, target: &[i64]) -> Made {
    let shape = scope.shape(symbol.id);
    if !shape.0.first().is_some_and(|d| d.is_batch()) {
        return Err(invalid("expected the batch as the first axis").into());
    }
    let count: usize = shape.0.iter().skip(1).map(|d| d.at(1)).product();
    let sizes = target_sizes(count, target)?;
    // N×1×1×C has the same order in both layouts, which saves a transposition in squeeze-and-excitation blocks.
    if let (&[h, w, c], true) = (sizes.as_slice(), sizes.len() == 3)
        && h * w == 1
    {
        let id = scope.plain(symbol)?;
        let id = scope.build().reshape(id, batched_like(&shape, &[c, 1, 1]))?;
        return Ok(Symbol { id, layout: Layout::ChannelsFirst });
    }
    let x = scope.plain(symbol)?;
    Ok(Symbol::plain(scope.build().reshape(x, batched_like(&shape, &sizes))?))
}

/// Permutes axes, numbered as in Keras, starting with 1 after the batch axis.
pub(super) fn permute(scope: &mut Scope<'_>) -> Made {
    let x = scope.input()?;
    let dims = scope.config.need("dims", scope.config.ints("dims")?)?;
    let perm: Vec<i64> = std::iter::once(0).chain(dims).collect();
    permute_by(scope, x, &perm)
}

pub(super) fn permute_by(scope: &mut Scope<'_>, x: Symbol, perm: &[i64]) -> Made {
    let id = scope.plain(x)?;
    let shape = scope.shape(id);
    let perm: Option<Vec<usize>> = perm.iter().map(|&a| shape.axis(a)).collect();
    let perm = perm.ok_or_else(|| invalid(format!("axes of a value {shape}")))?;
    Ok(Symbol::plain(scope.build().transpose(id, &perm)?))
}

pub(super) fn repeat_vector(scope: &mut Scope<'_>) -> Made {
    let x = scope.input()?;
    let n = scope.config.need("n", scope.config.size("n")?)?;
    let x = scope.plain(x)?;
    let shape = scope.shape(x);
    let &[batch, features] = shape.0.as_slice() else {
        return Err(invalid(format!("expected N×features, found {shape}")).into());
    };
    let mut b = scope.build();
    let row = b.reshape(x, Shape(vec![batch, Dim::Fixed(1), features]))?;
    Ok(Symbol::plain(b.expand(row, Shape(vec![batch, Dim::Fixed(n), features]))?))
}

/// Reads the margins before and after each spatial axis.
fn margins(scope: &Scope<'_>, key: &str) -> Result<Vec<(usize, usize)>, OpError> {
    let n = spatial_axes(scope.class);
    let value = scope.config.need(key, scope.config.json(key))?;
    let size = |v: i64| usize::try_from(v).map_err(|_| misfit(key, "sizes", value));
    let pair = |value: &serde_json::Value| -> Result<(usize, usize), OpError> {
        match ints(key, value)?.as_slice() {
            [both] => Ok((size(*both)?, size(*both)?)),
            [begin, end] => Ok((size(*begin)?, size(*end)?)),
            _ => Err(misfit(key, "pairs of sizes", value)),
        }
    };
    match value.as_array() {
        Some(list) if n == 1 || list.len() != n => Ok(vec![pair(value)?]),
        Some(list) => list.iter().map(pair).collect(),
        None => Ok(vec![pair(value)?; n]),
    }
    .and_then(
        |pairs| if pairs.len() == n { Ok(pairs) } else { Err(misfit(key, "a pair for each axis", value)) },
    )
}

pub(super) fn zero_padding(scope: &mut Scope<'_>) -> Made {
    let (margins, format) = (margins(scope, "padding")?, scope.format()?);
    let x = scope.input()?;
    let x = scope.spatial(x, format)?;
    check_axes(scope, x, margins.len())?;
    let begin = [0, 0].into_iter().chain(margins.iter().map(|m| m.0)).collect();
    let end = [0, 0].into_iter().chain(margins.iter().map(|m| m.1)).collect();
    let y = scope.apply(Pad { begin, end, value: 0.0 }, &[x])?;
    Ok(Scope::spatial_result(y, format))
}

pub(super) fn cropping(scope: &mut Scope<'_>) -> Made {
    let (margins, format) = (margins(scope, "cropping")?, scope.format()?);
    let x = scope.input()?;
    let mut x = scope.spatial(x, format)?;
    let sizes = check_axes(scope, x, margins.len())?;
    for (i, (&(begin, end), size)) in margins.iter().zip(sizes).enumerate() {
        let len = size.checked_sub(begin).and_then(|rest| rest.checked_sub(end)).filter(|&len| len > 0);
        let len = len.ok_or_else(|| invalid(format!("{begin} and {end} of {size} elements")))?;
        x = slice(scope, x, i + 2, begin, len)?;
    }
    Ok(Scope::spatial_result(x, format))
}

/// Slices an axis; adds no node if all elements are kept.
pub(super) fn slice(
    scope: &mut Scope<'_>,
    x: ValueId,
    axis: usize,
    start: usize,
    len: usize,
) -> Result<ValueId, Problem> {
    if start == 0 && scope.shape(x).0.get(axis) == Some(&Dim::Fixed(len)) {
        return Ok(x);
    }
    scope.apply(Slice { axis, start, len, step: 1 }, &[x])
}

/// Returns the spatial sizes, if there are `n` of them.
fn check_axes(scope: &Scope<'_>, x: ValueId, n: usize) -> Result<Vec<usize>, OpError> {
    let fact = scope.reading.graph.fact(x);
    let sizes = spatial_sizes(fact)?;
    if sizes.len() == n {
        Ok(sizes)
    } else {
        Err(invalid(format!("{n} spatial axes expected, found {}", fact.shape)))
    }
}

pub(super) fn up_sampling(scope: &mut Scope<'_>) -> Made {
    let (n, format) = (spatial_axes(scope.class), scope.format()?);
    let factors = scope.config.sizes("size", n)?.unwrap_or_else(|| vec![2; n]);
    let interpolation = scope.config.text("interpolation")?.unwrap_or("nearest");
    let symbol = scope.input()?;
    let x = scope.spatial(symbol, format)?;
    let sizes = check_axes(scope, x, n)?;
    let y = match interpolation {
        "nearest" => repeated(scope, x, &sizes, &factors)?,
        "bilinear" => {
            let target = sizes.iter().zip(&factors).map(|(&s, &f)| s.saturating_mul(f)).collect::<Vec<_>>();
            super::preprocessing::resize_bilinear(scope, x, &target)?
        }
        other => return Err(OpError::Unsupported(format!("interpolation {other:?}")).into()),
    };
    Ok(Scope::spatial_result(y, format))
}

/// Repeats every element `factors` times along each spatial axis.
fn repeated(
    scope: &mut Scope<'_>,
    x: ValueId,
    sizes: &[usize],
    factors: &[usize],
) -> Result<ValueId, Problem> {
    let front: Vec<Dim> = scope.shape(x).0.into_iter().take(2).collect();
    let (mut thin, mut wide, mut joined) = (front.clone(), front.clone(), front);
    for (&size, &factor) in sizes.iter().zip(factors) {
        let whole = size.checked_mul(factor).filter(|&w| w > 0).ok_or_else(|| invalid("sizes overflow"))?;
        thin.extend([Dim::Fixed(size), Dim::Fixed(1)]);
        wide.extend([Dim::Fixed(size), Dim::Fixed(factor)]);
        joined.push(Dim::Fixed(whole));
    }
    if Shape(joined.clone()).len_per_sample().is_none_or(|len| len > MAX_ELEMENTS) {
        return Err(invalid(format!("{sizes:?} elements {factors:?} times")).into());
    }
    let mut b = scope.build();
    let thin = b.reshape(x, Shape(thin))?;
    let wide = b.expand(thin, Shape(wide))?;
    Ok(b.reshape(wide, Shape(joined))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_size_may_be_left_open() {
        assert_eq!(target_sizes(12, &[3, -1]), Ok(vec![3, 4]));
        assert_eq!(target_sizes(12, &[3, 4]), Ok(vec![3, 4]));
        for bad in [&[5, -1][..], &[3, 3], &[-1, -1], &[-2, 6], &[0, -1]] {
            assert!(target_sizes(12, bad).is_err(), "{bad:?}");
        }
    }
}
