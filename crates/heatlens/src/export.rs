//! Models that explain themselves: a file with one more output, the map.
//!
//! The map is computed inside the graph, in standard operators only, so any runtime that runs the
//! model also draws where it looks. [`Model::to_onnx`] writes a model without one.

mod path;

use std::sync::Arc;

use heatlens_graph::op::identity::Identity;
use heatlens_graph::rewrite::simplify;
use heatlens_graph::{Builder, Graph, GraphError, ValueId};

use crate::explain::{ExplainError, ExplainOptions, Score, Target, append_maps};
use crate::method::formula::upsample;
use crate::method::{MapKind, Method, Settings};
use crate::model::{Layer, Model, ModelError, Placing};
use crate::target::Class;

pub use path::check_path;

/// What the output that holds the map is called.
pub const EXPLANATION: &str = "explanation";

/// Keys under which a file says what its map is.
const METADATA: &str = "heatlens.explanation.";

/// Which map a file computes beside its scores.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The method.
    pub method: &'static Method,
    /// The layer; the model's default layer if there is none.
    pub layer: Option<Layer>,
    /// The class: one of them, or whichever is predicted.
    pub target: Target,
    /// Whether the logit or the probability is explained.
    pub score: Score,
    /// How a map at a layer's resolution is laid over the image.
    pub placing: Placing,
    /// Whether a map at a layer's resolution is enlarged to the image's.
    pub image_size: bool,
}

impl Explanation {
    /// This method at the default layer, for the logit of the predicted class, at its own size.
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

/// The model as an ONNX file with one more output, called [`EXPLANATION`]: N×h×w for a layer's map,
/// N×C×H×W for an image's, signed, as [`crate::explain::Explainer`] gives them.
///
/// # Errors
/// If the method does not apply, several classes are asked for, or an operator has no standard form.
///
/// ```
/// use heatlens::export::{Explanation, with_explanation};
/// use heatlens::{graph::onnx, method, model::Model, train::arch};
///
/// let network = arch::find("gap-cnn").ok_or("no such network")?.build([1, 32, 32], 2, 0)?;
/// let file = with_explanation(&Model::from_graph(network)?, &Explanation::new(method::find("grad_cam")?))?;
/// let graph = onnx::read(file)?;
/// let map = graph.find("explanation").ok_or("no map")?;
/// assert_eq!(graph.fact(map).shape.to_string(), "N×6×6");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn with_explanation(model: &Model, explanation: &Explanation) -> Result<Vec<u8>, ExplainError> {
    if explanation.target == Target::All {
        let what = "a file holds the map of one class; choose one, or the predicted one".to_owned();
        return Err(ExplainError::Model(ModelError::Write(what.into())));
    }
    let options = ExplainOptions {
        layers: explanation.layer.iter().cloned().collect(),
        target: explanation.target.clone(),
        score: explanation.score,
        settings: Settings::default().placed(explanation.placing),
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

/// The graph with `map` as its last output, and nothing in it that no output needs.
fn with_output(graph: &Graph, map: ValueId) -> Result<Graph, GraphError> {
    let names: Vec<&str> = graph.outputs().iter().map(|&o| graph.value(o).name.as_str()).collect();
    let wanted: Vec<ValueId> = graph.outputs().iter().copied().chain([map]).collect();
    let mut simple = simplify(graph, &wanted)?.graph;
    let mut outputs = simple.outputs().to_vec();
    for (i, name) in names.into_iter().chain([EXPLANATION]).enumerate() {
        // Values that are computed once under another name get their own back.
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
