//! The module `heatlens._heatlens`: Python bindings of the library. Parts that are easier to write in Python are in
//! `python/heatlens/`.

mod data;
mod explanation;
mod focus;
mod model;
mod pictures;
mod pool;
mod prediction;
mod question;
mod runs;
mod show;

use std::fmt::Display;

use heatlens::method::METHODS;
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

create_exception!(
    heatlens,
    Error,
    PyException,
    "An error of heatlens, with the message of the command line."
);

create_exception!(heatlens, UnreadableModel, Error, "The file cannot be read as a model.");

/// Converts an error of the library to a Python exception.
fn error(cause: impl Display) -> PyErr {
    Error::new_err(cause.to_string())
}

/// Makes all further computations use the named instruction set.
#[pyfunction]
fn pin_instruction_set(name: &str) -> PyResult<()> {
    heatlens::pin_instruction_set(name).map_err(error)
}

/// Returns the name of the instruction set in use.
#[pyfunction]
fn instruction_set() -> &'static str {
    heatlens::instruction_set()
}

/// Returns the ids of all methods.
#[pyfunction]
fn methods() -> Vec<&'static str> {
    METHODS.iter().map(|method| method.id).collect()
}

#[pymodule]
fn _heatlens(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("Error", module.py().get_type::<Error>())?;
    module.add("UnreadableModel", module.py().get_type::<UnreadableModel>())?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<model::Core>()?;
    module.add_class::<data::Data>()?;
    module.add_class::<explanation::Explanation>()?;
    module.add_class::<focus::Focus>()?;
    module.add_function(wrap_pyfunction!(methods, module)?)?;
    module.add_function(wrap_pyfunction!(pin_instruction_set, module)?)?;
    module.add_function(wrap_pyfunction!(instruction_set, module)?)?;
    module.add_function(wrap_pyfunction!(pool::set_threads, module)?)?;
    module.add_function(wrap_pyfunction!(runs::audit, module)?)?;
    module.add_function(wrap_pyfunction!(runs::train, module)?)?;
    module.add_function(wrap_pyfunction!(explanation::save, module)?)
}
