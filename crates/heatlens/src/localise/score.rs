//! Overlap between the found regions and the annotated objects.

use crate::localise::{Mask, Object, PixelBox};

/// Overlap on one image.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LocalisationScore {
    /// IoU of all regions and all objects, if their shapes are known.
    pub mask: Option<f64>,
    /// IoU of the largest region's bounding box with the best matching object's box.
    pub bounds: Option<f64>,
}

impl LocalisationScore {
    /// Compares the regions, the largest first, with the annotated objects of an image.
    #[must_use]
    pub fn of(parts: &[Mask], [height, width]: [usize; 2], truth: &[Object]) -> Self {
        let mut found = Mask::empty(height, width);
        parts.iter().for_each(|part| found.add(part));
        // One mask at a time, because there may be many objects and large images.
        let mut objects = Mask::empty(height, width);
        let mut boxes: Vec<PixelBox> = Vec::new();
        let mut known = !truth.is_empty();
        for object in truth {
            let shape = object.mask(height, width);
            boxes.extend(object.bounds.or_else(|| shape.as_ref()?.bounds()));
            known &= shape.is_some();
            if let Some(shape) = shape {
                objects.add(&shape);
            }
        }
        let largest = parts.first().and_then(Mask::bounds);
        let best = |b: PixelBox| boxes.iter().map(|t| t.iou(&b)).fold(0.0, f64::max);
        Self {
            mask: known.then(|| found.iou(&objects)).flatten(),
            bounds: (!boxes.is_empty()).then(|| largest.map_or(0.0, best)),
        }
    }
}

/// Mean scores over several images.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MeanLocalisationScore {
    /// Mean IoU of the masks, and the number of images.
    pub mask: Option<(f64, usize)>,
    /// Mean IoU of the boxes, and the number of images.
    pub bounds: Option<(f64, usize)>,
    /// Share of images whose box has an IoU of at least ½: the localization accuracy of Zhou et al. 2016 for a
    /// known class.
    pub accuracy: Option<f64>,
}

impl MeanLocalisationScore {
    /// Returns the means of the given scores.
    #[must_use]
    pub fn of<'a>(scores: impl Iterator<Item = &'a LocalisationScore> + Clone) -> Self {
        let mean = |values: Vec<f64>| {
            (!values.is_empty()).then(|| (values.iter().sum::<f64>() / values.len() as f64, values.len()))
        };
        let boxes: Vec<f64> = scores.clone().filter_map(|s| s.bounds).collect();
        let hits: Vec<f64> = boxes.iter().map(|b| f64::from(u8::from(*b >= 0.5))).collect();
        Self {
            mask: mean(scores.filter_map(|s| s.mask).collect()),
            accuracy: mean(hits).map(|m| m.0),
            bounds: mean(boxes),
        }
    }
}
