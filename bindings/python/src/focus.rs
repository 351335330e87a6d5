//! The part of an image whose score is explained.

use heatlens::explain;
use heatlens::render::CropTransform;
use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::prelude::*;

/// The box or the pixels whose score is explained, where a model has scores at many places.
#[pyclass(frozen, module = "heatlens")]
pub(crate) struct Focus {
    focus: explain::Focus,
    view: CropTransform,
    /// Rows and columns of the model's input.
    input: [usize; 2],
}

impl Focus {
    pub(crate) fn new(focus: explain::Focus, view: CropTransform, input: [usize; 2]) -> Self {
        Self { focus, view, input }
    }
}

type Mask<'py> = Bound<'py, PyArray2<bool>>;

fn mask<'py>(py: Python<'py>, inside: &[bool], size: [usize; 2]) -> PyResult<Mask<'py>> {
    PyArray1::from_slice(py, inside).reshape(size)
}

#[pymethods]
impl Focus {
    /// Left, top, right and bottom of a box, in pixels of the image; `None` for pixels.
    #[getter]
    fn r#box(&self) -> Option<(f64, f64, f64, f64)> {
        self.focus.bounds_in(&self.view).map(Into::into)
    }

    /// The same in pixels of the model's input, as in `manifest.jsonl`.
    #[getter]
    fn input_box(&self) -> Option<(f32, f32, f32, f32)> {
        self.focus.bounds(self.input).map(Into::into)
    }

    /// The pixels of the image that it covers.
    #[getter]
    fn mask<'py>(&self, py: Python<'py>) -> PyResult<Mask<'py>> {
        let found = self.focus.mask(&self.view);
        mask(py, &found.inside, [found.height, found.width])
    }

    /// The pixels at the size of the model's scores; `None` for a box.
    #[getter]
    fn pixels<'py>(&self, py: Python<'py>) -> PyResult<Option<Mask<'py>>> {
        match &self.focus {
            explain::Focus::Box(_) => Ok(None),
            explain::Focus::Pixels { size, inside } => mask(py, inside, *size).map(Some),
        }
    }

    fn __repr__(&self) -> String {
        match (self.r#box(), &self.focus) {
            (None, explain::Focus::Pixels { size: [h, w], inside }) => {
                format!("<Focus: {} of {h} × {w} pixels>", inside.iter().filter(|&&inside| inside).count())
            }
            (sides, _) => {
                let (left, top, right, bottom) = sides.unwrap_or_default();
                format!("<Focus: box from {left:.1}, {top:.1} to {right:.1}, {bottom:.1}>")
            }
        }
    }
}
