//! Regions of the image, read from mask images.

use std::path::Path;

use crate::data::read_image;
use crate::model::ModelError;

/// Threshold above which a pixel is inside the mask.
const INSIDE: f32 = 0.5;

/// Reads a mask image as 0 and 1, row by row, with its height and width.
pub(super) fn read(path: &Path) -> Result<(Vec<f32>, [usize; 2]), ModelError> {
    let picture = read_image(path).map_err(|e| {
        ModelError::Region(format!("expected predicted, at:ROW,COLUMN or a mask picture; {e}"))
    })?;
    let picture = picture.with_channels(1);
    let inside = picture.values.iter().map(|&v| if v > INSIDE { 1.0 } else { 0.0 }).collect();
    Ok((inside, [picture.height, picture.width]))
}
