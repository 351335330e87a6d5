//! Arrays for the inputs of a model that are not images.

use std::path::{Path, PathBuf};

use heatlens_graph::rewrite::fix_inputs;
use heatlens_graph::tensor::Data;
use heatlens_graph::{DType, Graph, Tensor, ValueId};

use crate::data::read_npy;
use crate::model::ModelError;
use crate::model::input::describe;

/// Returns the graph with each named input replaced by the array of an `.npy` file, the same for every image.
///
/// # Errors
/// If there is no input with a given name, or an array does not fit it.
pub(super) fn fixed(graph: Graph, feeds: &[(String, PathBuf)]) -> Result<Graph, ModelError> {
    if feeds.is_empty() {
        return Ok(graph);
    }
    let mut arrays = Vec::new();
    for (name, path) in feeds {
        let id = graph.inputs().iter().copied().find(|&id| graph.value(id).name == *name);
        let found = || graph.inputs().iter().map(|&id| describe(&graph, id)).collect();
        let id = id.ok_or_else(|| ModelError::UnknownInput { name: name.clone(), found: found() })?;
        arrays.push((id, array(&graph, id, path)?));
    }
    fix_inputs(&graph, &arrays).map_err(ModelError::Graph)
}

/// Reads the array of a file as one row for an input.
fn array(graph: &Graph, id: ValueId, path: &Path) -> Result<Tensor, ModelError> {
    let name = &graph.value(id).name;
    let refused = |why: String| ModelError::Feed { name: name.clone(), path: path.to_owned(), why };
    let (found, values) = read_npy(path).map_err(|e| refused(e.to_string()))?;
    let fact = graph.fact(id);
    // The batch axis is optional.
    let expected = fact.shape.at(1);
    let inner = expected.get(1..).unwrap_or_default();
    let fits = found == expected || fact.shape.has_batch() && found == inner;
    if !fits {
        let rows = found.len() == expected.len() && found.get(1..) == Some(inner);
        let advice = match rows {
            true => "; one row is used for all images: explain images with different rows one by one",
            false => "",
        };
        return Err(refused(format!("expected an array of shape {expected:?}, found {found:?}{advice}")));
    }
    #[allow(clippy::cast_possible_truncation)] // checked to be whole
    let data = match fact.dtype {
        DType::F32 => Data::F32(values.into()),
        DType::I64 if values.iter().all(|v| v.fract() == 0.0) => {
            Data::I64(values.iter().map(|&v| v as i64).collect())
        }
        DType::I64 => return Err(refused("expected whole numbers".to_owned())),
        other => return Err(refused(format!("inputs of type {other:?} cannot be fed"))),
    };
    Tensor::new(expected, data)
        .ok_or_else(|| refused("expected as many numbers as its shape says".to_owned()))
}
