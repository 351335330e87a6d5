//! Self-explaining models: files with the map as an additional output.
//!
//! The map is computed inside the graph with standard operators, so that any runtime that runs the model also computes
//! the map. [`Model::to_onnx`] writes a model without it.

mod path;

use std::sync::Arc;

use heatlens_graph::op::identity::Identity;
use heatlens_graph::rewrite::simplify;
use heatlens_graph::{Builder, Graph, GraphError, ValueId};

use crate::explain::{ExplainError, ExplainOptions, Score, Target, append_maps};
use crate::method::formula::upsample;
use crate::method::{MapKind, Method, MethodSettings};
use crate::model::{Layer, Model, ModelError, Placing};
use crate::target::Class;

pub use path::check_path;

/// Name of the output that holds the map.
pub const EXPLANATION: &str = "explanation";

/// Prefix of the metadata keys that describe the map.
const METADATA: &str = "heatlens.explanation.";

/// Map that a file computes in addition to its scores.
#[derive(Clone, Debug)]
pub struct ExplanationOutput {
    /// Method that computes the map.
    pub method: &'static Method,
    /// Layer to use; the model's default layer if `None`.
    pub layer: Option<Layer>,
    /// Class to explain: a fixed one, or the predicted one.
    pub target: Target,
    /// Explained score: logit or probability.
    pub score: Score,
    /// Placement of a layer map over the image.
    pub placing: Placing,
    /// True if a layer map is upsampled to the size of the image.
    pub image_size: bool,
}

impl ExplanationOutput {
    /// Returns the map of this method at the default layer, for the logit of the predicted class, at the layer's size.
    #[must_use]
    pub fn new(method: &'static Method) -> Self {
        Self {
            method,
            layer: None,
            target: Target::Predicted,
            score: Score::Logit,
            placing: Placing::default(),
            image_size: false,
        }
    }
}

/// Returns the model as an ONNX file with an additional output called [`EXPLANATION`]: N×h×w for a layer map, N×C×H×W
/// for a pixel map, signed, as computed by [`crate::explain::Explainer`].
///
/// # Errors
/// If the method does not apply, several classes are requested, or an operator has no standard form.
///
/// ```
/// use heatlens::export::{ExplanationOutput, with_explanation};
/// use heatlens::{graph::onnx, method, model::Model, train::arch};
///
/// let network = arch::find("gap-cnn").ok_or("no such network")?.build([1, 32, 32], 2, 0)?;
/// let file = with_explanation(&Model::from_graph(network)?, &ExplanationOutput::new(method::find("grad_cam")?))?;
/// let graph = onnx::read(file)?;
/// let map = graph.find("explanation").ok_or("no map")?;
/// assert_eq!(graph.fact(map).shape.to_string(), "N×6×6");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn with_explanation(model: &Model, explanation: &ExplanationOutput) -> Result<Vec<u8>, ExplainError> {
    if explanation.target == Target::All {
        let what = "a file holds the map of one class; choose one, or the predicted one".to_owned();
        return Err(ExplainError::Model(ModelError::Write(what.into())));
    }
    let options = ExplainOptions {
        layers: explanation.layer.iter().cloned().collect(),
        target: explanation.target.clone(),
        score: explanation.score,
        settings: MethodSettings::default().placed(explanation.placing),
        ..ExplainOptions::new(&[explanation.method])
    };
    let (mut graph, maps) = append_maps(model, &options)?;
    let (spec, mut map) = maps.into_iter().next().ok_or_else(|| ExplainError::NothingApplies(Vec::new()))?;
    if explanation.image_size && spec.method.kind == MapKind::Layer {
        let [_, height, width] = model.shape();
        map = upsample(&mut Builder::new(&mut graph, EXPLANATION), map, &spec.placement, [height, width])?;
    }
    let mut graph = with_output(&graph, map)?;
    let class = match spec.goal.class {
        Class::Number(class) => model.class_names.get(class).map_or("", String::as_str),
        Class::Predicted => "predicted",
        Class::RunnerUp => "runner-up",
        Class::OfDetection(_) => "a detection",
    };
    let score = match explanation.score {
        Score::Logit => "logit",
        Score::Probability => "probability",
    };
    let layer = spec.layer.as_ref().map(|l| ("layer", l.name.as_str()));
    for (key, value) in
        [("method", spec.method.id), ("class", class), ("score", score)].into_iter().chain(layer)
    {
        graph.metadata.insert(format!("{METADATA}{key}"), value.to_owned());
    }
    Ok(model.write(graph)?)
}

/// Returns the graph with `map` as its last output, without nodes that no output needs.
fn with_output(graph: &Graph, map: ValueId) -> Result<Graph, GraphError> {
    let names: Vec<&str> = graph.outputs().iter().map(|&o| graph.value(o).name.as_str()).collect();
    let wanted: Vec<ValueId> = graph.outputs().iter().copied().chain([map]).collect();
    let mut simple = simplify(graph, &wanted)?.graph;
    let mut outputs = simple.outputs().to_vec();
    for (i, name) in names.into_iter().chain([EXPLANATION]).enumerate() {
        // Outputs that were merged with a value of another name get their name back.
        if simple.value(outputs[i]).name != name {
            let named = [name.to_owned()];
            let node =
                simple.add_named_node(name, Arc::new(Identity::Identity), &[Some(outputs[i])], &named)?;
            outputs[i] = simple.node(node).outputs[0];
        }
    }
    simple.set_outputs(&outputs);
    Ok(simple)
}
