//! Explanation of images of various types.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use image::RgbImage;
use rayon::prelude::*;

use crate::data::{DataError, Dataset, Layout, Raster, changes_to, changes_to_file};
use crate::explain::{ExplainError, Explainer};
use crate::extremes::extremes;
use crate::facade::Explanation;
use crate::facade::explanation::Names;
use crate::method::{MethodError, Stop};
use crate::render::CropTransform;
use crate::run::BaseImage;

/// Batch size.
const TOGETHER: usize = 16;

/// An image with the model's input made of it.
struct Prepared {
    picture: RgbImage,
    view: CropTransform,
    pixels: Vec<f32>,
    changes: Vec<String>,
}

/// Returns the only explanation.
fn one(mut explanations: Vec<Explanation>) -> Result<Explanation, ExplainError> {
    explanations.pop().ok_or_else(|| DataError::NoSuchItem { item: 0, len: 0 }.into())
}

impl Explainer {
    /// Explains an image file, preprocessed according to the model's
    /// [`preprocessing`](crate::model::Model::preprocessing).
    ///
    /// # Errors
    /// If the file cannot be read, or as for [`explain`](Self::explain).
    pub fn explain_image(&self, path: impl AsRef<Path>) -> Result<Explanation, ExplainError> {
        let (path, wanted) = (path.as_ref(), &self.model().preprocessing);
        let image = Raster::open(path)?;
        one(self.explain_changed([(image, changes_to_file(path, wanted))])?)
    }

    /// Explains an image of any size, preprocessed like an image file.
    ///
    /// # Errors
    /// As for [`explain`](Self::explain).
    pub fn explain_pixels(&self, image: Raster) -> Result<Explanation, ExplainError> {
        one(self.explain_images([image])?)
    }

    /// Explains images of any sizes, preprocessed like image files.
    ///
    /// # Errors
    /// As for [`explain`](Self::explain).
    pub fn explain_images(
        &self,
        images: impl IntoIterator<Item = Raster>,
    ) -> Result<Vec<Explanation>, ExplainError> {
        let wanted = &self.model().preprocessing;
        self.explain_changed(images.into_iter().map(|image| {
            let changes = changes_to(&image, wanted);
            (image, changes)
        }))
    }

    /// Explains images, each given with notes on how it is changed.
    fn explain_changed(
        &self,
        images: impl IntoIterator<Item = (Raster, Vec<String>)>,
    ) -> Result<Vec<Explanation>, ExplainError> {
        let settings = &self.model().preprocessing;
        let prepared = images.into_iter().map(|(image, changes)| {
            let original = [image.height, image.width];
            let view = CropTransform::new(original, [settings.height, settings.width], settings.resize);
            let picture = image.to_picture(0.0, 1.0);
            let (_, pixels) = settings.apply(image)?;
            Ok(Prepared { picture, view, pixels, changes })
        });
        self.explain_each(prepared, |image| image, &|| false)
    }

    /// Explains an array of images at the model's input size, with pixels from 0 to 1. Scaling and normalisation are
    /// applied according to the model's [`preprocessing`](crate::model::Model::preprocessing). `shape` is
    /// `[n, c, h, w]` or `[n, h, w, c]`, or without `n` for a single image.
    ///
    /// For images that are preprocessed already, use [`explain`](Self::explain).
    ///
    /// # Errors
    /// If the shape differs from the model's, if the number of values does not match it, if they are not pixels, or as
    /// for [`explain`](Self::explain).
    pub fn explain_array(
        &self,
        values: &[f32],
        shape: &[usize],
        layout: Layout,
    ) -> Result<Vec<Explanation>, ExplainError> {
        let [c, h, w] = self.model().shape();
        let wanted = if layout == Layout::Nchw { [c, h, w] } else { [h, w, c] };
        let fits = shape.ends_with(&wanted) && (3..=4).contains(&shape.len());
        let length = shape.iter().try_fold(1_usize, |all, side| all.checked_mul(*side));
        if !fits || length != Some(values.len()) {
            let found = format!("{} values as {shape:?}", values.len());
            let expected = format!("n images of {wanted:?}; explain_images accepts other sizes");
            return Err(DataError::Pixels { found, expected }.into());
        }
        let settings = &self.model().preprocessing;
        let prepared = values.chunks((c * h * w).max(1)).map(|image| {
            let shown = match layout {
                Layout::Nchw => Raster::from_planes([c, h, w], image.to_vec())?,
                Layout::Nhwc => Raster::from_pixels([h, w, c], image)?,
            };
            let picture = shown.to_picture(0.0, 1.0);
            let mut pixels = shown.values;
            settings.prepare(&mut pixels);
            Ok(Prepared { picture, view: CropTransform::whole([h, w]), pixels, changes: Vec::new() })
        });
        self.explain_each(prepared, |image| image, &|| false)
    }

    /// Explains items of a data set that was opened for the model, as in a [run](crate::run).
    ///
    /// # Errors
    /// If an item cannot be read, or as for [`explain`](Self::explain).
    pub fn explain_items(
        &self,
        data: &dyn Dataset,
        items: impl IntoIterator<Item = usize>,
    ) -> Result<Vec<Explanation>, ExplainError> {
        self.explain_items_until(data, items, &|| false)
    }

    /// Explains items as [`explain_items`](Self::explain_items) does, but asks `stop` before each group of images and each
    /// batch of passes.
    ///
    /// # Errors
    /// As for `explain_items`, and [`MethodError::Stopped`] if `stop` returns true.
    pub fn explain_items_until(
        &self,
        data: &dyn Dataset,
        items: impl IntoIterator<Item = usize>,
        stop: &Stop<'_>,
    ) -> Result<Vec<Explanation>, ExplainError> {
        let prepare = |item| {
            let (sample, original) = data.load_with_original(item)?;
            let BaseImage { picture, view, .. } = BaseImage::of(original, data);
            Ok(Prepared { picture, view, pixels: sample.pixels, changes: Vec::new() })
        };
        self.explain_each(items.into_iter(), prepare, stop)
    }

    /// Explains images group by group. `prepare` runs in parallel for those of a group.
    fn explain_each<T: Send>(
        &self,
        mut images: impl Iterator<Item = T>,
        prepare: impl Fn(T) -> Result<Prepared, DataError> + Sync,
        stop: &Stop<'_>,
    ) -> Result<Vec<Explanation>, ExplainError> {
        let names = Arc::new(Names::of(self));
        let together = if self.takes_passes() { 1 } else { TOGETHER };
        let mut all = Vec::new();
        loop {
            let group: Vec<T> = images.by_ref().take(together).collect();
            if group.is_empty() {
                return Ok(all);
            }
            let group: Vec<_> = match group.len() {
                1 => group.into_iter().map(&prepare).collect(),
                _ => group.into_par_iter().map(&prepare).collect(),
            };
            // The first error in the order of the images.
            let group: Vec<Prepared> = group.into_iter().collect::<Result<_, _>>()?;
            if stop() {
                return Err(MethodError::Stopped.into());
            }
            let pixels = match group.as_slice() {
                [one] => Cow::Borrowed(&one.pixels),
                group => Cow::Owned(group.iter().flat_map(|image| &image.pixels).copied().collect()),
            };
            let found = self.explain_until(&pixels, group.len(), stop)?;
            all.extend(group.into_iter().zip(found).map(
                |(Prepared { picture, view, pixels, changes }, found)| {
                    let [low, high] = extremes(&pixels);
                    let remarks = changes.into_iter().chain(self.model().range_problem(low, high)).collect();
                    Explanation { found, picture, view, names: Arc::clone(&names), remarks }
                },
            ));
        }
    }
}
