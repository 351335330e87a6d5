//! An open model and its compiled explainers.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use heatlens::data::{ElementType, Layout, OpenOptions, Raster, open_inputs};
use heatlens::explain::{Score, Target};
use heatlens::predict::Predictor;
use heatlens::run::{self, ModelRequest};
use heatlens::{Explainer, Model};
use heatlens::{export, method};
use numpy::{PyArray1, PyReadonlyArray3, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::data::Data;
use crate::error;
use crate::explanation::{Explanation, Set};
use crate::pictures::Pictures;
use crate::pool::compute;

/// Maximum number of compiled explainers kept.
const KEPT: usize = 8;
/// Number of images between two checks for Ctrl-C.
const TOGETHER: usize = 16;

/// Options of an explainer.
#[derive(Clone, Debug, PartialEq, FromPyObject)]
struct Question {
    method: Vec<String>,
    layer: Vec<String>,
    target: String,
    against: Option<String>,
    counterfactual: bool,
    seed: u64,
    set: Vec<String>,
    score: String,
}

/// A model. Named `Core` because `heatlens.Model` wraps it.
#[pyclass(frozen, module = "heatlens._heatlens")]
pub(crate) struct Core {
    model: Arc<Model>,
    explainers: Mutex<Vec<(Question, Arc<Explainer>)>>,
}

#[pymethods]
impl Core {
    /// Opens a file; `words` holds the fields of a [`ModelRequest`].
    #[new]
    fn new(py: Python<'_>, path: PathBuf, words: &Bound<'_, PyDict>) -> PyResult<Self> {
        let request = request(path, words)?;
        let model = compute(py, || request.open())?.map_err(error)?;
        Ok(Self { model: Arc::new(model), explainers: Mutex::new(Vec::new()) })
    }

    #[getter]
    fn layers(&self) -> Vec<String> {
        let layers = self.model.layers();
        let default = self.model.default_layer().ok();
        let outline = self.model.outline(&layers, default.as_ref());
        outline.into_iter().map(|layer| layer.name.clone()).collect()
    }

    #[getter]
    fn class_names(&self) -> Vec<String> {
        self.model.class_names.clone()
    }

    #[getter]
    fn notes(&self) -> Vec<String> {
        self.model.notes()
    }

    /// Channels, height and width.
    #[getter]
    fn input_shape(&self) -> (usize, usize, usize) {
        self.model.shape().into()
    }

    /// Images in an array, read as from a file. `kind` is the letter of NumPy's type, `bytes` its size.
    #[pyo3(signature = (values, kind, bytes, layout))]
    fn array(
        &self,
        py: Python<'_>,
        values: PyReadonlyArrayDyn<'_, f32>,
        kind: &str,
        bytes: u8,
        layout: Option<&str>,
    ) -> PyResult<Data> {
        let element = match kind {
            "b" => ElementType::Bool,
            "u" => ElementType::Unsigned(bytes),
            "i" => ElementType::Signed(bytes),
            _ => ElementType::Float(bytes),
        };
        let shape = values.shape().to_vec();
        let values = values.as_slice().map_err(error)?.to_vec();
        let options = self.options(layout)?;
        let read = || heatlens::data::ArrayDataset::from_values("x", &shape, element, values, &options);
        Ok(Data(Arc::new(py.detach(read).map_err(error)?)))
    }

    /// Images of any size, as bytes of height × width × channels.
    fn pictures(&self, images: Vec<PyReadonlyArray3<'_, u8>>) -> PyResult<Data> {
        let rasters = images.iter().map(|image| {
            let [h, w, c] = [0, 1, 2].map(|axis| image.shape()[axis]);
            Raster::from_bytes([h, w, c], image.as_slice().map_err(error)?).map_err(error)
        });
        Ok(Data(Arc::new(Pictures::new(rasters.collect::<PyResult<_>>()?, &self.model))))
    }

    /// Files and folders, as on the command line.
    #[pyo3(signature = (paths, layout))]
    fn paths(&self, py: Python<'_>, paths: Vec<PathBuf>, layout: Option<&str>) -> PyResult<Data> {
        let options = self.options(layout)?;
        let data = py.detach(|| open_inputs(&paths, &options)).map_err(error)?;
        Ok(Data(data.into()))
    }

    /// Explains images of `data`; all of them if `items` is not given.
    #[pyo3(signature = (data, question, items=None))]
    fn explain(
        &self,
        py: Python<'_>,
        data: &Data,
        question: Question,
        items: Option<Vec<usize>>,
    ) -> PyResult<Vec<Explanation>> {
        let explainer = self.explainer(py, question)?;
        let data = Arc::clone(&data.0);
        let set = Arc::new(Set { explainer, data });
        let group = if set.explainer.takes_passes() { 1 } else { TOGETHER };
        let mut all = Vec::with_capacity(set.data.len());
        let items = items.unwrap_or_else(|| (0..set.data.len()).collect());
        for items in items.chunks(group) {
            let explain = || set.explainer.explain_items(set.data.as_ref(), items.iter().copied());
            let found = compute(py, explain)?.map_err(error)?;
            let found = items.iter().zip(found);
            all.extend(found.map(|(&item, found)| Explanation::new(Arc::clone(&set), item, found)));
            py.check_signals()?;
        }
        Ok(all)
    }

    /// An ONNX file of the model with the map of a method as an additional output.
    #[pyo3(signature = (method, layer, target, score, image_size))]
    fn with_explanation<'py>(
        &self,
        py: Python<'py>,
        method: &str,
        layer: Option<&str>,
        target: &str,
        score: &str,
        image_size: bool,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let model = &self.model;
        let explanation = export::ExplanationOutput {
            layer: layer.map(|name| model.layer(name)).transpose().map_err(error)?,
            target: Target::parse(target, model).map_err(error)?,
            score: score.parse().map_err(error)?,
            image_size,
            ..export::ExplanationOutput::new(method::find(method).map_err(error)?)
        };
        let file = compute(py, || export::with_explanation(model, &explanation))?.map_err(error)?;
        Ok(PyBytes::new(py, &file))
    }

    /// The logits of preprocessed images, one image after the other.
    fn logits<'py>(
        &self,
        py: Python<'py>,
        images: PyReadonlyArrayDyn<'py, f32>,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let n = images.shape().first().copied().unwrap_or(0);
        let pixels = images.as_slice().map_err(error)?;
        let run = || Predictor::new(&self.model)?.logits(pixels, n);
        let logits = compute(py, run)?.map_err(error)?;
        Ok(PyArray1::from_vec(py, logits))
    }
}

/// Returns a request for a model file; `words` holds the fields of a [`ModelRequest`].
pub(crate) fn request(path: PathBuf, words: &Bound<'_, PyDict>) -> PyResult<ModelRequest> {
    let text = |key: &str| -> PyResult<Option<String>> {
        words.get_item(key)?.filter(|value| !value.is_none()).map(|value| value.extract()).transpose()
    };
    let numbers = |key: &str| -> PyResult<Vec<f32>> {
        words.get_item(key)?.map_or(Ok(Vec::new()), |value| value.extract())
    };
    Ok(ModelRequest {
        path,
        input: text("input")?,
        output: text("output")?,
        head: text("head")?,
        input_size: text("input_size")?,
        reference: text("reference")?.map(PathBuf::from),
        feed: Vec::new(),
        region: None,
        labels: text("labels")?.map(PathBuf::from),
        resize: text("resize")?,
        crop: text("crop")?,
        preset: text("preset")?,
        scale: text("scale")?,
        mean: numbers("mean")?,
        std: numbers("std")?,
    })
}

impl Core {
    fn options(&self, layout: Option<&str>) -> PyResult<OpenOptions> {
        let layout: Option<Layout> = layout.map(str::parse).transpose().map_err(error)?;
        Ok(OpenOptions {
            layout,
            preprocessing: Some(self.model.preprocessing.clone()),
            class_names: Some(self.model.class_names.clone()),
            names_assumed: !self.model.named,
            numbers: self.model.arrays,
            ..OpenOptions::default()
        })
    }

    /// Returns the explainer for the given options, compiled unless it is cached. The lock is held only together with
    /// the interpreter's.
    fn explainer(&self, py: Python<'_>, question: Question) -> PyResult<Arc<Explainer>> {
        let kept = || self.explainers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = kept().iter().find(|(asked, _)| *asked == question) {
            return Ok(Arc::clone(found));
        }
        let build = || question.explainer(&self.model);
        let made = Arc::new(compute(py, build)?.map_err(error)?);
        let mut kept = kept();
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push((question, Arc::clone(&made)));
        Ok(made)
    }
}

impl Question {
    fn explainer(&self, model: &Model) -> Result<Explainer, String> {
        let text = |e: &dyn std::fmt::Display| e.to_string();
        let methods = run::methods(&self.method).map_err(|e| text(&e))?;
        let score = Score::ALL.iter().find(|(name, _)| *name == self.score);
        let wrong = || format!("--score: expected logit, probability, found {:?}", self.score);
        let mut builder = Explainer::builder(model)
            .methods(methods)
            .class(self.target.as_str())
            .score(score.ok_or_else(wrong)?.1)
            .seed(self.seed);
        if self.method == ["all"] {
            builder = builder.skip_inapplicable();
        }
        if self.counterfactual {
            builder = builder.counterfactual();
        }
        if let Some(against) = &self.against {
            builder = builder.against(against.as_str());
        }
        builder = self.layer.iter().fold(builder, |builder, name| builder.layer(name));
        builder = self.set.iter().fold(builder, |builder, assignment| builder.set(assignment));
        builder.build().map_err(|e| text(&e))
    }
}
