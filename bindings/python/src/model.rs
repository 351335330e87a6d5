//! An open model and its compiled explainers.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use heatlens::data::{ElementType, Layout, OpenOptions, Raster, open_inputs};
use heatlens::explain::Target;
use heatlens::model::ModelError;
use heatlens::predict::{self, Predictor};
use heatlens::run::{ChosenTarget, ModelRequest, Monitor, RunError, choose_target, compared};
use heatlens::{Explainer, Model};
use heatlens::{export, method};
use numpy::{PyArray1, PyReadonlyArray3, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::data::Data;
use crate::explanation::{Explanation, Set};
use crate::pictures::Pictures;
use crate::pool::{Watch, compute, watched, watched_unless};
use crate::prediction::{Answer, Boxes, Compiled};
use crate::question::Question;
use crate::{UnreadableModel, error};

/// Maximum number of compiled explainers kept.
const KEPT: usize = 8;

/// A compiled explainer, and what it was compiled for.
struct Kept {
    question: Question,
    chosen: ChosenTarget,
    explainer: Arc<Explainer>,
}

/// A model. Named `Core` because `heatlens.Model` wraps it.
#[pyclass(frozen, module = "heatlens._heatlens")]
pub(crate) struct Core {
    /// The model without reference and region.
    base: Arc<Model>,
    /// The model as it was opened; the same as `base` if it has embeddings and no reference.
    model: Arc<Model>,
    reference: Option<Vec<f32>>,
    region: Option<String>,
    explainers: Mutex<Vec<Kept>>,
    compiled: Compiled,
}

#[pymethods]
impl Core {
    /// Opens a file; `options` holds the fields of a [`ModelRequest`].
    #[new]
    fn new(py: Python<'_>, path: PathBuf, options: &Bound<'_, PyDict>) -> PyResult<Self> {
        let request = request(path, options)?;
        let open = || -> Result<Self, RunError> {
            let base = Arc::new(request.open_base()?);
            let (reference, region) = (request.reference_embedding(&base)?, request.region);
            let mut model = Arc::clone(&base);
            if reference.is_some() {
                model = Arc::new(compared(Model::clone(&model), reference.as_deref())?);
            }
            if let Some(region) = &region {
                model = Arc::new(Model::clone(&model).with_region(region)?);
            }
            let (explainers, compiled) = (Mutex::default(), Compiled::new());
            Ok(Self { base, model, reference, region, explainers, compiled })
        };
        compute(py, open)?.map_err(|reason| match reason {
            RunError::Model(ModelError::File { .. }) => UnreadableModel::new_err(reason.to_string()),
            _ => error(reason),
        })
    }

    /// The meaning of the scores, as the command line names it.
    #[getter]
    fn head(&self) -> &'static str {
        self.model.head.kind.name()
    }

    /// The embedding that images are compared with.
    #[getter]
    fn reference<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyArray1<f32>>> {
        self.reference.as_ref().map(|reference| PyArray1::from_slice(py, reference))
    }

    /// The embedding of the image in a file, or the one that is stored there.
    fn embedding_of_file<'py>(&self, py: Python<'py>, path: PathBuf) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let request = ModelRequest { reference: Some(path), ..ModelRequest::default() };
        let found = compute(py, || request.reference_embedding(&self.base))?.map_err(error)?;
        Ok(PyArray1::from_vec(py, found.unwrap_or_default()))
    }

    /// The embedding of the first image of `data`.
    fn embedding<'py>(&self, py: Python<'py>, data: &Data) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let image = py.detach(|| data.0.load(0)).map_err(error)?;
        let run = || Predictor::new(&self.base)?.logits(&image.pixels, 1);
        Ok(PyArray1::from_vec(py, compute(py, run)?.map_err(error)?))
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

    /// Explains images of `data`; all of them if `items` is not given. If the target depends on the images, there is an
    /// explanation for each class or detection that an image has.
    #[pyo3(signature = (data, question, items=None))]
    fn explain(
        &self,
        py: Python<'_>,
        data: &Data,
        question: Question,
        items: Option<Vec<usize>>,
    ) -> PyResult<Vec<Explanation>> {
        let by_target = question.looks();
        let (explainer, remarks) = self.explainer(py, question, data)?;
        let set = Arc::new(Set { explainer, data: Arc::clone(&data.0), remarks });
        let items = items.unwrap_or_else(|| (0..set.data.len()).collect());
        let explain = |watch: &Watch| {
            let (data, items) = (set.data.as_ref(), items.iter().copied());
            set.explainer.explain_items_until(data, items, &|| watch.is_stopped())
        };
        let is_short = items.len() == 1 && set.explainer.is_single_run();
        let found = items.iter().zip(watched_unless(py, is_short, explain)?.map_err(error)?);
        let of_image = |(&item, found)| match by_target {
            true => Explanation::for_each_target(&set, item, found),
            false => vec![Explanation::new(Arc::clone(&set), item, found)],
        };
        Ok(found.flat_map(of_image).collect())
    }

    /// Logits, probabilities and the predicted class of each image.
    fn answers<'py>(&self, py: Python<'py>, data: &Data) -> PyResult<Vec<Answer<'py>>> {
        self.compiled.answers(py, &self.model, data.0.as_ref())
    }

    /// Boxes, confidences and classes in each image, the most confident first.
    fn boxes<'py>(&self, py: Python<'py>, data: &Data) -> PyResult<Vec<Boxes<'py>>> {
        self.compiled.boxes(py, &self.model, data.0.as_ref())
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
        of_pixels(py, &images, |pixels, n| Predictor::new(&self.base)?.logits(pixels, n))
    }

    /// Returns the output with the scores, for preprocessed images, as the file computes it.
    fn outputs<'py>(
        &self,
        py: Python<'py>,
        images: PyReadonlyArrayDyn<'py, f32>,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        of_pixels(py, &images, |pixels, n| predict::output(&self.base, pixels, n))
    }
}

/// Returns the numbers that `run` computes from the pixels of `n` preprocessed images.
fn of_pixels<'py, E: std::fmt::Display + Send>(
    py: Python<'py>,
    images: &PyReadonlyArrayDyn<'py, f32>,
    run: impl FnOnce(&[f32], usize) -> Result<Vec<f32>, E> + Send,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let n = images.shape().first().copied().unwrap_or(0);
    let pixels = images.as_slice().map_err(error)?;
    let found = compute(py, || run(pixels, n))?.map_err(error)?;
    Ok(PyArray1::from_vec(py, found))
}

/// Returns a request for a model file; `options` holds the fields of a [`ModelRequest`].
pub(crate) fn request(path: PathBuf, options: &Bound<'_, PyDict>) -> PyResult<ModelRequest> {
    let text = |key: &str| -> PyResult<Option<String>> {
        options.get_item(key)?.filter(|value| !value.is_none()).map(|value| value.extract()).transpose()
    };
    let numbers = |key: &str| -> PyResult<Vec<f32>> {
        options.get_item(key)?.map_or(Ok(Vec::new()), |value| value.extract())
    };
    let feed = options.get_item("feed")?.map_or(Ok(Vec::new()), |value| value.extract())?;
    Ok(ModelRequest {
        path,
        input: text("input")?,
        output: text("output")?,
        head: text("head")?,
        input_size: text("input_size")?,
        reference: text("reference")?.map(PathBuf::from),
        feed,
        region: text("region")?,
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

    /// Returns the explainer for the given options, compiled unless it is cached, and remarks on the choice of the target.
    /// The lock is held only together with the interpreter's.
    fn explainer(
        &self,
        py: Python<'_>,
        question: Question,
        data: &Data,
    ) -> PyResult<(Arc<Explainer>, Vec<String>)> {
        let looks = question.looks();
        if let Some(found) = self.kept(|kept| !looks && kept.question == question) {
            return Ok((found, Vec::new()));
        }
        let model = compute(py, || self.aimed(&question))?.map_err(error)?;
        let choose = |watch: &Watch| {
            let detection = question.detection.as_deref();
            let chosen = choose_target(&question.target, detection, &model, data.0.as_ref(), watch);
            chosen.map(|chosen| (chosen, watch.take_remarks()))
        };
        let (chosen, remarks) = watched(py, choose)?.map_err(error)?;
        if let Some(found) = self.kept(|kept| kept.question == question && kept.chosen == chosen) {
            return Ok((found, remarks));
        }
        let explainer = Arc::new(compute(py, || question.explainer(&model, &chosen))?.map_err(error)?);
        let mut kept = self.explainers.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push(Kept { question, chosen, explainer: Arc::clone(&explainer) });
        Ok((explainer, remarks))
    }

    fn kept(&self, is_it: impl Fn(&Kept) -> bool) -> Option<Arc<Explainer>> {
        let kept = self.explainers.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|kept| is_it(kept)).map(|kept| Arc::clone(&kept.explainer))
    }

    /// Returns the model with the reference and the region of a question, or else with its own.
    fn aimed(&self, question: &Question) -> Result<Arc<Model>, String> {
        let text = |e: &dyn std::fmt::Display| e.to_string();
        if !question.aims() && !self.model.head.needs_reference() {
            return Ok(Arc::clone(&self.model));
        }
        let reference = question.reference.as_deref().or(self.reference.as_deref());
        let model = compared(Model::clone(&self.base), reference).map_err(|e| text(&e))?;
        let model = match (&question.mask, question.region.as_deref().or(self.region.as_deref())) {
            (Some((size, pixels)), _) => {
                let inside: Vec<bool> = pixels.iter().map(|&pixel| pixel != 0).collect();
                model.with_region_mask(&inside, *size)
            }
            (None, Some(region)) => model.with_region(region),
            (None, None) => Ok(model),
        };
        model.map(Arc::new).map_err(|e| text(&e))
    }
}
