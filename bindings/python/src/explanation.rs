//! Explanation of one image.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use heatlens::data::Dataset;
use heatlens::explain::ZeroMap;
use heatlens::run::{PictureStyle, Save, prepare, write_explanations};
use heatlens::target::Class;
use heatlens::{Explainer, Heatmap};
use image::RgbImage;
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArray3, PyArrayDyn, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList};

use crate::focus::Focus;
use crate::pictures::Chosen;
use crate::pool::{Watch, watched};
use crate::{Error, error, show as pages};

/// Data shared by the explanations of one call.
pub(crate) struct Set {
    pub(crate) explainer: Arc<Explainer>,
    pub(crate) data: Arc<dyn Dataset>,
    /// Remarks on the choice of the target.
    pub(crate) remarks: Vec<String>,
}

/// The model's prediction for an image, and a heat map for each method, layer and class.
#[pyclass(frozen, module = "heatlens")]
pub(crate) struct Explanation {
    set: Arc<Set>,
    item: usize,
    found: Arc<heatlens::Explanation>,
    /// The only class or detection of this explanation, if there is one for each.
    only: Option<Class>,
    maps: PyOnceLock<Py<PyDict>>,
}

impl Explanation {
    pub(crate) fn new(set: Arc<Set>, item: usize, found: heatlens::Explanation) -> Self {
        Self { set, item, found: Arc::new(found), only: None, maps: PyOnceLock::new() }
    }

    /// Returns an explanation for each class or detection that the image has.
    pub(crate) fn for_each_target(set: &Arc<Set>, item: usize, found: heatlens::Explanation) -> Vec<Self> {
        let found = Arc::new(found);
        let mut classes: Vec<Class> = Vec::new();
        for (spec, map) in set.explainer.maps().iter().zip(found.heatmaps()) {
            let is_absent = map.why_empty().is_some_and(ZeroMap::is_absent);
            if !is_absent && !classes.contains(&spec.goal.class) {
                classes.push(spec.goal.class);
            }
        }
        let of = |class| {
            let (set, found) = (Arc::clone(set), Arc::clone(&found));
            Self { set, item, found, only: Some(class), maps: PyOnceLock::new() }
        };
        classes.into_iter().map(of).collect()
    }

    /// Returns the maps with their ids, which leave out the class or detection if there is only one.
    fn heatmaps(&self) -> impl Iterator<Item = (Cow<'_, str>, Heatmap<'_>)> {
        let all = self.set.explainer.maps().iter().zip(self.found.heatmaps());
        all.filter(|(spec, _)| self.only.is_none_or(|class| spec.goal.class == class)).map(|(spec, map)| {
            let id = match (self.only, spec.layer.as_ref().filter(|_| spec.several_layers)) {
                (None, _) => Cow::Borrowed(map.name()),
                (Some(_), None) => Cow::Borrowed(spec.method.id),
                (Some(_), Some(layer)) => Cow::Owned(format!("{}@{}", spec.method.id, layer.name)),
            };
            (id, map)
        })
    }

    /// Returns a map by its id or its name on the command line, or the first one if none is given.
    fn map(&self, id: Option<&str>) -> PyResult<Heatmap<'_>> {
        let is_it = |own: &str, map: &Heatmap<'_>| id.is_none_or(|id| own == id || map.name() == id);
        let found = self.heatmaps().find(|(own, map)| is_it(own, map));
        found.map(|(_, map)| map).ok_or_else(|| {
            let names: Vec<Cow<'_, str>> = self.heatmaps().map(|(id, _)| id).collect();
            let id = id.unwrap_or("any method");
            Error::new_err(format!("there is no map of {id}, only of {}", names.join(", ")))
        })
    }
}

type Picture<'py> = Bound<'py, PyArray3<u8>>;

/// Converts an image to an array, height × width × 3.
fn array<'py>(py: Python<'py>, picture: &RgbImage) -> PyResult<Picture<'py>> {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    PyArray1::from_slice(py, picture.as_raw()).reshape([height, width, 3])
}

#[pymethods]
impl Explanation {
    /// The raw signed maps by method, at their original resolution.
    #[getter]
    fn maps<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let make = || {
            let maps = PyDict::new(py);
            for (id, map) in self.heatmaps() {
                let raw = map.raw();
                let values: Bound<'_, PyArrayDyn<f32>> =
                    PyArray1::from_slice(py, &raw.values).reshape(raw.shape.clone())?;
                maps.set_item(id, values)?;
            }
            PyResult::Ok(maps.unbind())
        };
        Ok(self.maps.get_or_try_init(py, make)?.bind(py).clone())
    }

    /// The heat of every pixel of the image, from 0 to 1; all 0 if the map is empty.
    #[pyo3(signature = (id=None))]
    fn heat<'py>(&self, py: Python<'py>, id: Option<&str>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let map = self.map(id)?;
        let picture = self.found.image();
        let size = [picture.height() as usize, picture.width() as usize];
        let values = match (map.heat(), map.raw().shape.len(), map.why_empty()) {
            (Some(heat), ..) => heat.values().to_vec(),
            (None, 3, None) => {
                let text = format!("{} holds several patterns: take maps[{0:?}] or overlay", map.name());
                return Err(Error::new_err(text));
            }
            _ => vec![0.0; size[0] * size[1]],
        };
        values.into_pyarray(py).reshape(size)
    }

    /// The image with the heat map overlaid.
    #[pyo3(signature = (id=None))]
    fn overlay<'py>(&self, py: Python<'py>, id: Option<&str>) -> PyResult<Picture<'py>> {
        array(py, &self.map(id)?.overlay().image)
    }

    /// The map alone, as drawn by the command line.
    #[pyo3(signature = (id=None))]
    fn picture<'py>(&self, py: Python<'py>, id: Option<&str>) -> PyResult<Picture<'py>> {
        array(py, &self.map(id)?.picture().image)
    }

    /// The map alone, with evidence for the class in red and against it in blue.
    #[pyo3(signature = (id=None))]
    fn signed<'py>(&self, py: Python<'py>, id: Option<&str>) -> PyResult<Picture<'py>> {
        array(py, &self.map(id)?.signed().image)
    }

    /// The reason why a map is empty; `None` if it is not empty.
    #[pyo3(signature = (id=None))]
    fn why_empty(&self, id: Option<&str>) -> PyResult<Option<String>> {
        Ok(self.map(id)?.why_empty().map(|reason| reason.to_string()))
    }

    /// The index of the class that a map explains.
    #[pyo3(signature = (id=None))]
    fn target(&self, id: Option<&str>) -> PyResult<usize> {
        Ok(self.map(id)?.class())
    }

    /// The rank of the explained detection, from 1; `None` unless there is an explanation for each.
    #[getter]
    fn rank(&self) -> Option<usize> {
        match self.only {
            Some(Class::OfDetection(rank)) => Some(rank),
            _ => None,
        }
    }

    /// The box or the pixels whose score a map explains; `None` if it is the score of the whole image.
    #[pyo3(signature = (id=None))]
    fn focus(&self, id: Option<&str>) -> PyResult<Option<Focus>> {
        let (view, [_, h, w]) = (*self.found.view(), self.set.explainer.model().shape());
        Ok(self.map(id)?.raw().focus.clone().map(|focus| Focus::new(focus, view, [h, w])))
    }

    /// The number of the image among those of the call.
    #[getter]
    fn image_index(&self) -> usize {
        self.item
    }

    /// The image in its original size.
    #[getter]
    fn image<'py>(&self, py: Python<'py>) -> PyResult<Picture<'py>> {
        array(py, self.found.image())
    }

    #[getter]
    fn logits<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f32>> {
        PyArray1::from_slice(py, &self.found.numbers().logits)
    }

    #[getter]
    fn probabilities<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        PyArray1::from_slice(py, self.found.probabilities())
    }

    #[getter]
    fn predicted(&self) -> usize {
        self.found.predicted()
    }

    #[getter]
    fn predicted_name(&self) -> &str {
        self.found.predicted_name()
    }

    /// The name of the image, as used by the command line.
    #[getter]
    fn name(&self) -> String {
        self.set.data.name(self.item)
    }

    /// Notes to consider before trusting the maps.
    #[getter]
    fn notes(&self) -> Vec<String> {
        let notes = self.found.notes().map(str::to_owned);
        notes.chain(self.set.remarks.iter().cloned()).chain(self.set.data.notes()).collect()
    }

    /// Writes the same files for this image as the command line. See `Explanations.save`.
    #[pyo3(signature = (folder, save=vec!["png".to_owned(), "npz".to_owned()], force=false))]
    fn save(&self, py: Python<'_>, folder: PathBuf, save: Vec<String>, force: bool) -> PyResult<()> {
        write(py, &self.set, vec![self.item], folder, &save, force)
    }

    /// The raw signed values of a map, upsampled and aligned with the image; 0 for pixels the model did not see.
    #[pyo3(signature = (id=None))]
    fn projected<'py>(&self, py: Python<'py>, id: Option<&str>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let plane = self.map(id)?.raw().plane().ok_or_else(|| Error::new_err("the map is not one plane"))?;
        let placed = self.found.view().project(&plane);
        let size = [placed.height(), placed.width()];
        placed.into_values().into_pyarray(py).reshape(size)
    }

    /// A matplotlib figure with the image and every map.
    fn plot<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        show(slf.py())?.call_method1("plot", (PyList::new(slf.py(), [slf])?,))
    }

    /// Images for `wandb.log`.
    fn to_wandb<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        show(slf.py())?.call_method1("to_wandb", (slf,))
    }

    /// Adds images to a `SummaryWriter`.
    fn to_tensorboard(slf: &Bound<'_, Self>, writer: &Bound<'_, PyAny>, step: i64) -> PyResult<()> {
        show(slf.py())?.call_method1("to_tensorboard", (slf, writer, step)).map(drop)
    }

    /// Logs images to the active MLflow run.
    #[pyo3(signature = (folder="heatlens"))]
    fn to_mlflow(slf: &Bound<'_, Self>, folder: &str) -> PyResult<()> {
        show(slf.py())?.call_method1("to_mlflow", (slf, folder)).map(drop)
    }

    /// A `fiftyone.Heatmap` of a map's heat.
    #[pyo3(signature = (id=None))]
    fn to_fiftyone<'py>(slf: &Bound<'py, Self>, id: Option<&str>) -> PyResult<Bound<'py, PyAny>> {
        show(slf.py())?.call_method1("to_fiftyone", (slf, id))
    }

    fn __reduce__(&self) -> PyResult<()> {
        let hint = "an explanation stays in its process: send its arrays, such as maps, heat() and logits";
        Err(Error::new_err(hint))
    }

    fn __repr__(&self) -> String {
        let maps: Vec<String> =
            self.heatmaps().map(|(id, map)| format!("{id} {:?}", map.raw().shape)).collect();
        format!("<Explanation of {}: {}; {}>", self.title(), self.answer(), maps.join(", "))
    }

    fn _repr_html_(&self) -> PyResult<String> {
        pages::html(&self.title(), &self.answer(), &self.found, self.heatmaps()).map_err(error)
    }
}

impl Explanation {
    /// Returns the name of the image, with the class or detection if there is an explanation for each.
    fn title(&self) -> String {
        let name = self.name();
        let class = self.heatmaps().next().map(|(_, map)| map.class_name().to_owned()).unwrap_or_default();
        match self.only {
            Some(Class::OfDetection(rank)) => format!("{name}, box {rank} ({class})"),
            Some(_) => format!("{name}, {class}"),
            None => name,
        }
    }

    /// Returns the predicted class and its probability.
    fn answer(&self) -> String {
        let predicted = self.found.predicted();
        match self.found.probabilities().get(predicted) {
            Some(p) => format!("{} ({p:.3})", self.found.predicted_name()),
            None => format!("{:?}", self.found.numbers().logits),
        }
    }
}

/// Returns the Python module with the integrations for other tools.
fn show(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import("heatlens._show")
}

/// Writes the same files as the command line, for explanations of one call.
#[pyfunction]
pub(crate) fn save(
    py: Python<'_>,
    explanations: Vec<PyRef<'_, Explanation>>,
    folder: PathBuf,
    save: Vec<String>,
    force: bool,
) -> PyResult<()> {
    let Some(first) = explanations.first() else { return Err(Error::new_err("there is nothing to save")) };
    if explanations.iter().any(|other| !Arc::ptr_eq(&other.set, &first.set)) {
        return Err(Error::new_err(
            "these explanations have different targets or come from several calls: save each by itself",
        ));
    }
    let mut seen = BTreeSet::new();
    // The explanations of an image, one for each class or detection, are in the same files.
    let is_new = |one: &&PyRef<'_, Explanation>| one.only.is_none() || seen.insert(one.item);
    let items = explanations.iter().filter(is_new).map(|explanation| explanation.item).collect();
    write(py, &first.set, items, folder, &save, force)
}

/// Explains the images again with the writers of the command line.
fn write(
    py: Python<'_>,
    set: &Set,
    items: Vec<usize>,
    folder: PathBuf,
    parts: &[String],
    force: bool,
) -> PyResult<()> {
    let save = Save::parse(parts, PictureStyle::default()).map_err(error)?;
    if save.tensors || save.boxes || save.masks {
        return Err(Error::new_err(
            "save takes png, npz, npz16 and heat; the command line writes the others",
        ));
    }
    let _lock = prepare(&folder, force).map_err(error)?;
    let data = Chosen { of: Arc::clone(&set.data), items };
    let run =
        |watch: &Watch| write_explanations(&set.explainer, &data, &folder, &save, None, Vec::new(), watch);
    watched(py, run)?.map_err(error)?;
    Ok(())
}
