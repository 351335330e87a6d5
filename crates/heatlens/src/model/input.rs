//! Detection of the image input and its layout.
//!
//! All other code handles images as N×C×H×W. In a graph with images as N×H×W×C or N×H×W, the input is replaced by one
//! of N×C×H×W, followed by the inverse transposition.

mod reader;

use heatlens_graph::op::reshape::Squeeze;
use heatlens_graph::rewrite::{needed_nodes, replace_input};
use heatlens_graph::{DType, Dim, Fact, Graph, Shape, Uses, ValueId};

use crate::model::ModelError;

/// A graph whose only input is the image, as N×C×H×W.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) graph: Graph,
    pub(super) value: ValueId,
    /// Shape of the image, `[c, h, w]`.
    pub(super) shape: [usize; 3],
    /// Batch size, if the file fixes it.
    pub(super) batch: Option<usize>,
    /// Shape of the input in the file, if its layout is different.
    pub(super) original: Option<String>,
    /// Other inputs, which the scores do not depend on.
    pub(super) ignored: Vec<String>,
}

/// Maximum batch size. Files with a larger fixed batch are rejected, since whole batches must be run even for few
/// images.
const MOST_IMAGES: usize = 1 << 12;

/// Layout of images in an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    ChannelsFirst,
    ChannelsLast,
    NoChannels,
}

impl Image {
    /// Finds the input called `name`, or the only one that can hold images, and converts the graph to N×C×H×W.
    pub(super) fn find(graph: Graph, name: Option<&str>) -> Result<Self, ModelError> {
        let Input { id, layout, shape, batch } = choose(&graph, name)?;
        if let Some(batch) = batch.filter(|&batch| batch > MOST_IMAGES) {
            return Err(ModelError::Batch { input: describe(&graph, id), batch, most: MOST_IMAGES });
        }
        let others = graph.inputs().iter().filter(|&&other| other != id);
        let ignored: Vec<String> = others.map(|&other| describe(&graph, other)).collect();
        if layout == Layout::ChannelsFirst && ignored.is_empty() {
            return Ok(Self { graph, value: id, shape, batch, original: None, ignored });
        }
        let original = (layout != Layout::ChannelsFirst).then(|| graph.fact(id).shape.to_string());
        let graph = arrange(&graph, id, layout, shape)?;
        let value = graph.inputs().first().copied().ok_or_else(|| ModelError::Inputs(Vec::new()))?;
        Ok(Self { graph, value, shape, batch, original, ignored })
    }
}

/// Returns the input called `name` or, without a name, the only one of rank 4 that can hold images, or of rank 3. If
/// there are several, only those that an output needs count: Keras' exporter leaves unused inputs behind after constant
/// folding.
fn choose(graph: &Graph, name: Option<&str>) -> Result<Input, ModelError> {
    let inputs = graph.inputs();
    let all = || inputs.iter().map(|&id| describe(graph, id)).collect();
    let uses = graph.uses();
    if let Some(name) = name {
        let id = inputs.iter().copied().find(|&id| graph.value(id).name == name);
        let id = id.ok_or_else(|| ModelError::UnknownInput { name: name.to_owned(), found: all() })?;
        return understand(graph, &uses, id).ok_or_else(|| ModelError::Inputs(vec![describe(graph, id)]));
    }
    for rank in [4, 3] {
        let images = inputs.iter().filter(|&&id| graph.fact(id).shape.rank() == rank);
        let mut images: Vec<Input> = images.filter_map(|&id| understand(graph, &uses, id)).collect();
        if images.len() > 1 {
            let needed = needed_values(graph, graph.outputs());
            images.retain(|image| needed[image.id.index()]);
        }
        match images.as_slice() {
            [only] => return Ok(*only),
            [] => {}
            _ => break,
        }
    }
    Err(ModelError::Inputs(all()))
}

/// Returns the inputs besides the image that the chosen output needs (or any output if none is chosen).
pub(super) fn further_inputs(graph: &Graph, image: &str, output: Option<&str>) -> Vec<String> {
    let outputs = graph.outputs().iter().filter(|&&o| output.is_none_or(|name| graph.value(o).name == name));
    let outputs: Vec<ValueId> = outputs.copied().collect();
    let needed = needed_values(graph, &outputs);
    let further = |&&id: &&ValueId| graph.value(id).name != image && needed[id.index()];
    graph.inputs().iter().filter(further).map(|&id| describe(graph, id)).collect()
}

/// Returns, for every value, true if it is one of `outputs` or one of them depends on it.
fn needed_values(graph: &Graph, outputs: &[ValueId]) -> Vec<bool> {
    let mut values = vec![false; graph.values().len()];
    outputs.iter().for_each(|o| values[o.index()] = true);
    for (node, _) in graph.nodes().iter().zip(needed_nodes(graph, outputs)).filter(|(_, needed)| *needed) {
        node.inputs.iter().flatten().for_each(|i| values[i.index()] = true);
    }
    values
}

pub(super) fn describe(graph: &Graph, id: ValueId) -> String {
    let fact = graph.fact(id);
    let of = match fact.dtype {
        DType::I64 => ", whole numbers",
        DType::Bool => ", truth values",
        _ => "",
    };
    format!("{:?} ({}{of})", graph.value(id).name, fact.shape)
}

/// An input that can hold images.
#[derive(Clone, Copy, Debug)]
struct Input {
    id: ValueId,
    layout: Layout,
    /// Shape of the image, `[c, h, w]`.
    shape: [usize; 3],
    batch: Option<usize>,
}

/// Returns the layout of an input, if it can hold images.
fn understand(graph: &Graph, uses: &Uses, id: ValueId) -> Option<Input> {
    let fact = graph.fact(id);
    let (samples, rest) = fact.shape.0.split_first()?;
    let batch = match *samples {
        Dim::Batch(1) => None,
        Dim::Fixed(batch) if batch > 0 => Some(batch),
        _ => return None,
    };
    let sizes: Option<Vec<usize>> = rest
        .iter()
        .map(|d| if let Dim::Fixed(size) = *d { Some(size).filter(|&s| s > 0) } else { None })
        .collect();
    let (layout, shape) = match *sizes?.as_slice() {
        [h, w, c] if is_channels_last(graph, uses, id, [h, w, c]) => (Layout::ChannelsLast, [c, h, w]),
        [c, h, w] => (Layout::ChannelsFirst, [c, h, w]),
        [h, w] => (Layout::NoChannels, [1, h, w]),
        _ => return None,
    };
    (fact.dtype == DType::F32).then_some(Input { id, layout, shape, batch })
}

/// True if the last axis holds the channels. This follows from the first layer that reads channels. Without such a
/// layer (a network without convolutions), the last axis must have the size of a colour axis and the second one must
/// not.
fn is_channels_last(graph: &Graph, uses: &Uses, id: ValueId, [first, _, last]: [usize; 3]) -> bool {
    let colours = |size: usize| matches!(size, 1 | 3 | 4);
    match reader::channel_axis(graph, uses, id) {
        Some(axis) => axis == 3,
        None => colours(last) && !colours(first),
    }
}

fn arrange(graph: &Graph, id: ValueId, layout: Layout, [c, h, w]: [usize; 3]) -> Result<Graph, ModelError> {
    let mut dims = vec![graph.fact(id).shape.0.first().copied().unwrap_or(Dim::Batch(1))];
    dims.extend([c, h, w].map(Dim::Fixed));
    let arranged = replace_input(graph, id, Fact::f32(Shape(dims)), |b, image| match layout {
        Layout::ChannelsFirst => Ok(image),
        Layout::ChannelsLast => b.transpose(image, &[0, 2, 3, 1]),
        Layout::NoChannels => b.apply(Squeeze { axes: vec![1] }, &[image]),
    });
    Ok(arranged.map_err(ModelError::Graph)?.graph)
}

#[cfg(test)]
mod tests {
    use heatlens_graph::Builder;

    use super::*;
    use crate::model::Model;

    #[test]
    fn a_batch_that_no_machine_takes_is_refused() {
        let open = |batch: usize| {
            let mut graph = Graph::new("pooled");
            let x = graph.add_input("x", Fact::f32(Shape::fixed(&[batch, 3, 8, 8])));
            let y = Builder::new(&mut graph, "f").mean(x, &[2, 3], false).unwrap();
            graph.set_outputs(&[y]);
            Model::from_graph(graph).map(|model| model.batch)
        };
        assert_eq!(open(8).unwrap(), Some(8));
        let error = open(1 << 40).unwrap_err().to_string();
        assert!(error.contains("1099511627776 images at a time, expected at most 4096"), "{error}");
    }

    #[test]
    fn inputs_that_no_output_needs_do_not_count() {
        let mut graph = Graph::new("two");
        let unused = graph.add_input("unused", Fact::f32(Shape::batched(&[3, 8, 8])));
        let x = graph.add_input("x", Fact::f32(Shape::batched(&[3, 8, 8])));
        let mut b = Builder::new(&mut graph, "f");
        let y = b.mean(x, &[2, 3], false).unwrap();
        b.relu(unused).unwrap();
        graph.set_outputs(&[y]);
        assert_eq!(choose(&graph, None).unwrap().id, x);
        assert_eq!(needed_values(&graph, &[y]), [false, true, true, false]);
    }
}
