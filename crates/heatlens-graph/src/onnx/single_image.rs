//! Inputs that hold one image without a batch axis, C×H×W, as torchvision's detectors are exported with.

use std::collections::{BTreeMap, BTreeSet};

use super::proto::{GraphProto, NodeProto};
use crate::fact::{DType, Dim, Fact, Shape};

/// Operators between such an input and the first convolution.
const PREPARING: [&str; 16] = [
    "Add",
    "Cast",
    "Concat",
    "Div",
    "Expand",
    "Gather",
    "Identity",
    "Mul",
    "Pad",
    "Reshape",
    "Resize",
    "Slice",
    "Split",
    "Squeeze",
    "Sub",
    "Unsqueeze",
];

/// Returns the shape 1×C×H×W of an image, if the input holds a single image: its first axis has the size of the channels
/// that the first convolution reads.
pub(super) fn batched(graph: &GraphProto, input: &str, fact: &Fact) -> Option<Shape> {
    let &[Dim::Fixed(channels), Dim::Fixed(_), Dim::Fixed(_)] = fact.shape.0.as_slice() else { return None };
    // An image of one channel is the same numbers either way.
    if channels < 2 || fact.dtype != DType::F32 {
        return None;
    }
    (first_convolution(graph, input) == Some(channels))
        .then(|| Shape([&[Dim::Fixed(1)], fact.shape.0.as_slice()].concat()))
}

/// Returns the number of channels that the first convolution behind an input reads.
fn first_convolution(graph: &GraphProto, input: &str) -> Option<usize> {
    let weights: BTreeMap<&str, &[i64]> =
        graph.initializer.iter().map(|t| (t.name(), t.dims.as_slice())).collect();
    let mut names = BTreeSet::from([input]);
    for node in &graph.node {
        if !node.input.iter().any(|name| names.contains(name.as_str())) {
            continue;
        }
        match node.op_type() {
            "Conv" => return channels(node, weights.get(node.input.get(1)?.as_str())?),
            op if PREPARING.contains(&op) => names.extend(node.output.iter().map(String::as_str)),
            _ => {}
        }
    }
    None
}

fn channels(node: &NodeProto, dims: &[i64]) -> Option<usize> {
    let groups = node.attribute.iter().find(|a| a.name() == "group").map_or(1, |a| a.i());
    let &[_, channels, _, _] = dims else { return None };
    usize::try_from(channels.checked_mul(groups)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::tensor;
    use crate::tensor::Tensor;

    #[test]
    fn an_image_without_a_batch_axis_is_known_by_its_convolution() {
        let node = |op: &str, input: &[&str], output: &str| NodeProto {
            op_type: Some(op.to_owned()),
            input: input.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        };
        let graph = |channels: usize| GraphProto {
            node: vec![
                node("Sub", &["x", "mean"], "centred"),
                node("Unsqueeze", &["centred", "axis"], "batch"),
                node("Conv", &["batch", "w"], "y"),
            ],
            initializer: vec![tensor::write("w", &Tensor::f32(&[1, channels, 1, 1], vec![1.0; channels]))],
            ..GraphProto::default()
        };
        let shape =
            |channels, fact: &Fact| batched(&graph(channels), "x", fact).map(|shape| shape.to_string());
        let image = Fact::f32(Shape::fixed(&[3, 8, 9]));
        assert_eq!(shape(3, &image).as_deref(), Some("1×3×8×9"));
        assert_eq!(shape(1, &image), None, "three grey images");
        assert_eq!(shape(3, &Fact::f32(Shape::batched(&[8, 9]))), None, "grey images");
    }
}
