//! Predictions without explanations.

use heatlens::Model;
use heatlens::data::Dataset;
use heatlens::detector::{Detector, ImageDetections};
use heatlens::explain::ExplainError;
use heatlens::predict::{ImageResults, Predictor};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::error;
use crate::pool::{compute, watched_unless};

/// Logits, probabilities and the predicted class of an image.
pub(crate) type Answer<'py> = (Bound<'py, PyArray1<f32>>, Bound<'py, PyArray1<f64>>, usize);
/// Boxes of an image (left, top, right, bottom), their confidences and classes, the most confident first.
pub(crate) type Boxes<'py> =
    (Bound<'py, PyArray2<f64>>, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<i64>>);

/// The compiled network of a model; compiled at the first call.
pub(crate) struct Compiled {
    predictor: PyOnceLock<Predictor>,
    detector: PyOnceLock<Detector>,
}

impl Compiled {
    pub(crate) const fn new() -> Self {
        Self { predictor: PyOnceLock::new(), detector: PyOnceLock::new() }
    }

    /// Returns the answer for each image.
    pub(crate) fn answers<'py>(
        &self,
        py: Python<'py>,
        model: &Model,
        data: &dyn Dataset,
    ) -> PyResult<Vec<Answer<'py>>> {
        let compile = || compute(py, || Predictor::new(model))?.map_err(error);
        let predictor = self.predictor.get_or_try_init(py, compile)?;
        let found = watched_unless(py, data.len() == 1, |watch| predictor.of_images(data, watch.strict()))?;
        let answer = |logits: Vec<f32>| {
            let probabilities = model.head.probabilities(&logits).into_pyarray(py);
            let predicted = model.head.predicted(&logits);
            (logits.into_pyarray(py), probabilities, predicted)
        };
        Ok(complete(found)?.map(answer).collect())
    }

    /// Returns the boxes in each image.
    pub(crate) fn boxes<'py>(
        &self,
        py: Python<'py>,
        model: &Model,
        data: &dyn Dataset,
    ) -> PyResult<Vec<Boxes<'py>>> {
        let compile = || compute(py, || Detector::new(model))?.map_err(error);
        let detector = self.detector.get_or_try_init(py, compile)?;
        let found = watched_unless(py, data.len() == 1, |watch| detector.of_images(data, watch.strict()))?;
        let boxes = |ImageDetections { placed, .. }: ImageDetections| {
            let bounds: Vec<f64> = placed.iter().flat_map(|(_, bounds)| *bounds).collect();
            let bounds = bounds.into_pyarray(py).reshape([placed.len(), 4])?;
            let scores: Vec<f64> = placed.iter().map(|(detection, _)| detection.confidence).collect();
            let classes: Vec<i64> = placed.iter().map(|(detection, _)| detection.class as i64).collect();
            Ok((bounds, scores.into_pyarray(py), classes.into_pyarray(py)))
        };
        complete(found)?.map(boxes).collect()
    }
}

/// Returns the results of all images, or the reason why one cannot be read.
fn complete<T>(found: Result<ImageResults<T>, ExplainError>) -> PyResult<impl Iterator<Item = T>> {
    let ImageResults { images, broken, .. } = found.map_err(error)?;
    match broken.into_iter().next() {
        Some((_, reason)) => Err(error(reason)),
        None => Ok(images.into_iter().map(|(_, result)| result)),
    }
}
