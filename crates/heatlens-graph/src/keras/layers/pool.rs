//! Pooling. As in TensorFlow, padding does not count in means and maxima.

use super::window::{Padding, spatial_axes};
use crate::fact::Shape;
use crate::keras::scope::{Made, Scope, Symbol};
use crate::op::global_pool::{GlobalPool, GlobalPoolFunction};
use crate::op::pool::{AveragePool, MaxPool};
use crate::op::window::spatial_sizes;

pub(super) fn pool(scope: &mut Scope<'_>) -> Made {
    let (n, format) = (spatial_axes(scope.class), scope.format()?);
    let kernel = scope.config.sizes("pool_size", n)?.unwrap_or_else(|| vec![2; n]);
    let strides = scope.config.sizes("strides", n)?.unwrap_or_else(|| kernel.clone());
    let padding = Padding::read(scope)?;
    let x = scope.input()?;
    let x = scope.spatial(x, format)?;
    let sizes = spatial_sizes(scope.reading.graph.fact(x))?;
    let window = padding.window(&sizes, &kernel, &strides, &vec![1; n])?;
    let y = if scope.class.starts_with("Max") {
        scope.apply(MaxPool { window, ceil_mode: false }, &[x])?
    } else {
        scope.apply(AveragePool { window, ceil_mode: false, count_include_pad: false }, &[x])?
    };
    Ok(Scope::spatial_result(y, format))
}

pub(super) fn global(scope: &mut Scope<'_>) -> Made {
    let format = scope.format()?;
    let keep = scope.config.flag("keepdims", false)?;
    let x = scope.input()?;
    let x = scope.spatial(x, format)?;
    let function =
        if scope.class.contains("Max") { GlobalPoolFunction::Max } else { GlobalPoolFunction::Average };
    let y = scope.apply(GlobalPool(function), &[x])?;
    if keep {
        return Ok(Scope::spatial_result(y, format));
    }
    let matrix = Shape(scope.shape(y).0.into_iter().take(2).collect());
    Ok(Symbol::plain(scope.build().reshape(y, matrix)?))
}
