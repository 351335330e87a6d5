//! `GridSample` and `AffineGrid`: sampling at computed positions, in two dimensions.

use super::Recipe;
use crate::compose::grid_sample::{self as formula, Interpolation, Padding, Sampling};
use crate::error::OpError;
use crate::onnx::attributes::Attributes;
use crate::op::invalid;

/// Reads `GridSample`.
pub(super) fn grid_sample(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let interpolation = match attributes.text("mode")? {
        None | Some("bilinear" | "linear") => Interpolation::Linear,
        Some("nearest") => Interpolation::Nearest,
        Some("bicubic" | "cubic") => Interpolation::Cubic,
        Some(other) => return Err(invalid(format!("unknown mode {other:?}"))),
    };
    let padding = match attributes.text("padding_mode")? {
        None | Some("zeros") => Padding::Zeros,
        Some("border") => Padding::Border,
        Some("reflection") => Padding::Reflection,
        Some(other) => return Err(invalid(format!("unknown padding_mode {other:?}"))),
    };
    let align_corners = attributes.flag("align_corners")?;
    let sampling = Sampling { interpolation, padding, align_corners };
    Ok(Box::new(move |scope| {
        let (x, grid) = (scope.input(0)?, scope.input(1)?);
        if scope.fact(x).shape.rank() != 4 {
            let what = format!("sampling of {} (only images N×C×H×W are sampled)", scope.fact(x).shape);
            return Err(OpError::Unsupported(what).into());
        }
        scope.formula(|b| formula::grid_sample(b, x, grid, sampling))
    }))
}

/// Reads `AffineGrid` of known size.
pub(super) fn affine_grid(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let align_corners = attributes.flag("align_corners")?;
    Ok(Box::new(move |scope| {
        let theta = scope.input(0)?;
        let sizes = scope.sizes(1, "a size")?.ok_or(OpError::MissingInput { index: 1 })?;
        let sizes = super::shape_values::to_shape(&sizes)?;
        let &[_, _, rows, columns] = sizes.0.as_slice() else {
            return Err(OpError::Unsupported(format!("positions in {sizes}")).into());
        };
        let size = [rows, columns].map(|dim| dim.at(1));
        scope.formula(|b| formula::affine_grid(b, theta, size, align_corners))
    }))
}
