//! Class scores at every step of a sequence, as in text recognition: N×T×K or, as PyTorch's recurrent layers return
//! them, T×N×K. They are read as a segmentation with one row of T positions.

use heatlens_graph::differentiate::depends_on;
use heatlens_graph::{Builder, DType, Graph, GraphError, ValueId};

use super::segmentation::{Numbers, behind, finish};
use super::{Activation, Asked, Found};
use crate::model::ModelError;

/// Finds an output of scores at every step. Without a softmax the file must name as many classes, or the user must have
/// chosen this kind of head: the tokens of a transformer have the same shape.
pub(super) fn find(graph: &mut Graph, asked: &Asked<'_>) -> Result<Option<Found>, ModelError> {
    let from_image = depends_on(graph, &[asked.image]);
    let chosen = |id: &ValueId| asked.output.is_none_or(|name| graph.value(*id).name == name);
    let outputs: Vec<ValueId> =
        graph.outputs().iter().copied().filter(|id| from_image[id.index()] && chosen(id)).collect();
    for output in outputs {
        if let Some(found) = read(graph, asked, output).map_err(ModelError::Graph)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn read(graph: &mut Graph, asked: &Asked<'_>, output: ValueId) -> Result<Option<Found>, GraphError> {
    let fact = graph.fact(output);
    let &[first, second, _] = fact.shape.0.as_slice() else { return Ok(None) };
    let [a, b, classes] = [0, 1, 2].map(|axis| fact.shape.0[axis].at(1));
    // The axis of the samples, and the number of steps along the other one.
    let (samples, steps) = match (first == asked.samples, second == asked.samples) {
        (true, _) => (0, b),
        (false, true) => (1, a),
        (false, false) => return Ok(None),
    };
    if fact.dtype != DType::F32 || steps < 2 || classes < 2 {
        return Ok(None);
    }
    let softmax = behind(graph, output, 2)?
        .filter(|(_, activation)| matches!(activation, Activation::Softmax | Activation::LogSoftmax));
    let mut notes = Vec::new();
    let (scores, activation) = match softmax {
        Some(found) => found,
        None if asked.forced || asked.names == Some(classes) => {
            notes.push(format!(
                "the {classes} numbers at each step have no softmax; they are taken as the logits of classes that \
                 exclude each other"
            ));
            (output, Activation::None)
        }
        None => return Ok(None),
    };
    notes.push(format!("a sequence of {steps} steps, as in text recognition; each step is one position"));
    let order = if samples == 0 { [0, 2, 1] } else { [1, 2, 0] };
    let scores = Builder::new(graph, "sequence").transpose(scores, &order)?;
    let numbers = Numbers { scores, classes, grid: [1, steps], activation };
    finish(graph, asked, output, numbers, notes).map(Some)
}
