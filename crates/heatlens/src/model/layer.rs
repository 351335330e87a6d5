//! The values of a network that one can look at: those with rows and columns.

use heatlens_graph::differentiate::depends_on;
use heatlens_graph::rewrite::needed_nodes;
use heatlens_graph::{DType, Dim, Graph, ValueId};

use crate::model::{Model, ModelError};

/// A spatial value, N×C×H×W.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The value.
    pub value: ValueId,
    /// The name of the node that computes it.
    pub name: String,
    /// The operator of that node.
    pub op: &'static str,
    /// `[c, h, w]`.
    pub shape: [usize; 3],
}

impl Model {
    /// Every value with rows and columns that lies between the image and the logits, in order.
    #[must_use]
    pub fn layers(&self) -> Vec<Layer> {
        let graph = &self.graph;
        let from_image = depends_on(graph, &[self.image]);
        let needed = needed_nodes(graph, &[self.head.logits]);
        let nodes = graph.nodes().iter().zip(needed).filter(|(_, needed)| *needed);
        nodes
            .flat_map(|(node, _)| node.outputs.iter().map(move |&value| (node, value)))
            .filter(|(_, value)| from_image[value.index()])
            .filter_map(|(node, value)| {
                let (name, op) = (node.name.clone(), node.op.spelling().name);
                spatial_shape(graph, value).map(|shape| Layer { value, name, op, shape })
            })
            .collect()
    }

    /// The layer that is looked at unless another is named: the last one with rows and columns,
    /// which is what the final pooling or flattening reads.
    ///
    /// # Errors
    /// If no value has rows and columns.
    pub fn default_layer(&self) -> Result<Layer, ModelError> {
        self.layers().pop().ok_or(ModelError::NoSpatialLayer)
    }

    /// The layer called `name`: its node's or value's name, or the end of one if that is unambiguous.
    ///
    /// # Errors
    /// If there is none, or several; the error lists near names.
    pub fn layer(&self, name: &str) -> Result<Layer, ModelError> {
        let layers = self.layers();
        let value_name = |l: &Layer| &self.graph.value(l.value).name;
        if let Some(layer) = layers.iter().find(|l| l.name == name || value_name(l) == name) {
            return Ok(layer.clone());
        }
        let ends: Vec<&Layer> = layers.iter().filter(|l| ends_with_part(&l.name, name)).collect();
        if let [layer] = ends.as_slice() {
            return Ok((*layer).clone());
        }
        let near = if ends.is_empty() {
            near_names(&layers, name)
        } else {
            ends.iter().map(|l| format!("{:?}", l.name)).collect()
        };
        Err(ModelError::UnknownLayer { name: name.to_owned(), near })
    }
}

fn spatial_shape(graph: &Graph, value: ValueId) -> Option<[usize; 3]> {
    let fact = graph.fact(value);
    match fact.shape.0.as_slice() {
        &[Dim::Batch(1), Dim::Fixed(c), Dim::Fixed(h), Dim::Fixed(w)] if h * w > 1 => {
            (fact.dtype == DType::F32).then_some([c, h, w])
        }
        _ => None,
    }
}

/// Whether `name` ends in `part`, counted in whole parts between `/` and `.`.
fn ends_with_part(name: &str, part: &str) -> bool {
    name.strip_suffix(part).is_some_and(|front| front.is_empty() || front.ends_with(['/', '.']))
}

/// Up to eight names, the most similar first.
fn near_names(layers: &[Layer], name: &str) -> Vec<String> {
    let mut scored: Vec<(f64, &str)> =
        layers.iter().map(|l| (strsim::jaro_winkler(&l.name, name), l.name.as_str())).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.iter().take(8).map(|(_, n)| format!("{n:?}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_parts_count_as_an_ending() {
        assert!(ends_with_part("/layer4/layer4.1/conv2/Conv", "conv2/Conv"));
        assert!(ends_with_part("block.relu", "relu"));
        assert!(!ends_with_part("block_relu", "relu"));
    }
}
