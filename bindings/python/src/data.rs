//! Images opened for a model.

use std::sync::Arc;

use heatlens::data::Dataset;
use pyo3::prelude::*;

/// Images opened for a model.
#[pyclass(frozen, module = "heatlens._heatlens")]
pub(crate) struct Data(pub(crate) Arc<dyn Dataset>);

#[pymethods]
impl Data {
    fn __len__(&self) -> usize {
        self.0.len()
    }
}
