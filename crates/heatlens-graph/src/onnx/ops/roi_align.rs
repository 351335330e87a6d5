//! `RoiAlign` of regions that are known when the file is read.

use super::Recipe;
use crate::compose::roi_align::{self as formula, BinPooling, Region, RoiAlign};
use crate::error::OpError;
use crate::onnx::attributes::Attributes;
use crate::onnx::scope::{Problem, Scope};
use crate::op::invalid;

/// Reads `RoiAlign`.
pub(super) fn roi_align(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let pooling = match attributes.text("mode")? {
        None | Some("avg") => BinPooling::Mean,
        Some("max") => BinPooling::Max,
        Some(other) => return Err(invalid(format!("unknown mode {other:?}"))),
    };
    let half_pixel = match attributes.text("coordinate_transformation_mode")? {
        None => attributes.opset() >= 16,
        Some("half_pixel") => true,
        Some("output_half_pixel") => false,
        Some(other) => return Err(invalid(format!("unknown coordinate_transformation_mode {other:?}"))),
    };
    let mut size = |name: &str| {
        let size = attributes.int(name)?.unwrap_or(1);
        usize::try_from(size).map_err(|_| invalid(format!("expected a size for {name:?}, found {size}")))
    };
    let bins = [size("output_height")?, size("output_width")?];
    let samples = attributes.int("sampling_ratio")?.unwrap_or(0);
    let samples = usize::try_from(samples).ok().filter(|&samples| samples > 0);
    let scale = attributes.float("spatial_scale")?.unwrap_or(1.0);
    let how = RoiAlign { pooling, bins, samples, scale, half_pixel };
    Ok(Box::new(move |scope| {
        let x = scope.input(0)?;
        let regions = regions(scope)?;
        if scope.fact(x).shape.has_batch() {
            scope.warn("its regions, which are those of the first image, are read in every image");
        }
        scope.formula(|b| formula::roi_align(b, x, &regions, &how))
    }))
}

/// Returns the regions, which must be known and lie in the first image.
fn regions(scope: &mut Scope<'_>) -> Result<Vec<Region>, Problem> {
    let rows = scope.constant(1, "an array of regions")?.ok_or(OpError::MissingInput { index: 1 })?;
    let images = scope.ints(2, "image numbers")?.ok_or(OpError::MissingInput { index: 2 })?;
    let (&[count, 4], Some(values)) = (rows.shape(), rows.as_f32()) else {
        return Err(invalid(format!("expected regions of four numbers, found {:?}", rows.shape())).into());
    };
    if count != images.len() {
        return Err(invalid(format!("{count} regions with {} image numbers", images.len())).into());
    }
    if let Some(image) = images.iter().find(|&&image| image != 0) {
        return Err(OpError::Unsupported(format!("a region of image {image} (only 0)")).into());
    }
    Ok(values.chunks_exact(4).map(|row| [row[0], row[1], row[2], row[3]]).collect())
}
