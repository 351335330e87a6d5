//! Predictions without explanations.

use heatlens::Model;
use heatlens::data::Dataset;
use heatlens::detector::{Detection, Detector};
use heatlens::predict::Predictor;
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::error;
use crate::pool::compute;

/// Number of images that are computed together, between two checks for Ctrl-C.
const TOGETHER: usize = 16;

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
        let run = |pixels: &[f32], n: usize| {
            let logits = predictor.logits(pixels, n).map_err(|e| e.to_string())?;
            Ok(logits.chunks_exact((logits.len() / n).max(1)).map(<[f32]>::to_vec).collect())
        };
        let answer = |(_, logits): (usize, Vec<f32>)| {
            let probabilities = model.head.probabilities(&logits).into_pyarray(py);
            let predicted = model.head.predicted(&logits);
            Ok((logits.into_pyarray(py), probabilities, predicted))
        };
        of_images(py, data, run)?.into_iter().map(answer).collect()
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
        let run = |pixels: &[f32], n: usize| detector.detect(pixels, n).map_err(|e| e.to_string());
        let [_, h, w] = model.shape();
        let boxes = |(item, found): (usize, Vec<Detection>)| {
            let size = data.original_size(item).map_err(error)?;
            let bounds = found.iter().flat_map(|d| d.in_image(size, [h, w], model.preprocessing.resize));
            let bounds = bounds.collect::<Vec<f64>>().into_pyarray(py).reshape([found.len(), 4])?;
            let scores: Vec<f64> = found.iter().map(|detection| detection.confidence).collect();
            let classes: Vec<i64> = found.iter().map(|detection| detection.class as i64).collect();
            Ok((bounds, scores.into_pyarray(py), classes.into_pyarray(py)))
        };
        of_images(py, data, run)?.into_iter().map(boxes).collect()
    }
}

/// Returns the index of each image of `data` and its part of what `run` returns for the pixels of several images.
fn of_images<T: Send>(
    py: Python<'_>,
    data: &dyn Dataset,
    run: impl Fn(&[f32], usize) -> Result<Vec<T>, String> + Sync,
) -> PyResult<Vec<(usize, T)>> {
    let mut all = Vec::with_capacity(data.len());
    for begin in (0..data.len()).step_by(TOGETHER) {
        let items = begin..data.len().min(begin + TOGETHER);
        let group = || {
            let mut pixels = Vec::new();
            for item in items.clone() {
                pixels.extend(data.load(item).map_err(|e| e.to_string())?.pixels);
            }
            run(&pixels, items.len())
        };
        let found = compute(py, group)?.map_err(error)?;
        all.extend(items.clone().zip(found));
        py.check_signals()?;
    }
    Ok(all)
}
