//! Networks that go on behind a choice that depends on the image.

use super::*;
use crate::error::OpError;
use crate::onnx::NodeError;

/// Rows of four numbers, one for each place of an image of 1×4×2×3, and their scores.
fn rows() -> Vec<NodeProto> {
    vec![
        with_ints(node("Transpose", &["x"], &["last"]), "perm", &[0, 2, 3, 1]),
        node("Reshape", &["last", "row_sizes"], &["rows"]),
        with_int(node("ReduceSum", &["rows", "axis"], &["scores"]), "keepdims", 0),
    ]
}

/// Indices of the best rows.
fn best() -> NodeProto {
    with_int(node("TopK", &["scores", "three"], &["best", "chosen"]), "axis", 0)
}

/// Indices of the rows that overlap no better one.
fn distinct() -> Vec<NodeProto> {
    vec![
        node("Unsqueeze", &["rows", "zero"], &["boxes"]),
        node("Unsqueeze", &["scores", "two_axes"], &["each"]),
        node("NonMaxSuppression", &["boxes", "each", "three"], &["found"]),
        with_int(node("Gather", &["found", "column"], &["chosen"]), "axis", 1),
    ]
}

fn picked() -> NodeProto {
    with_int(node("Gather", &["rows", "chosen"], &["picked"]), "axis", 0)
}

fn open_behind(choice: Vec<NodeProto>, rest: Vec<NodeProto>) -> Result<OnnxModel, OnnxError> {
    let nodes = [rows(), choice, vec![picked()], rest].concat();
    let arrays = vec![
        ints("row_sizes", &[6, 4]),
        ints("axis", &[1]),
        ints("zero", &[0]),
        ints("three", &[3]),
        ints("two_axes", &[0, 1]),
        whole("column", 2),
        ints("image_sizes", &[1, 4, -1, 1]),
        tensor::write("square", &Tensor::f32(&[4, 4], vec![0.5; 16])),
        tensor::write("kernel", &Tensor::f32(&[2, 4, 1, 1], vec![0.5; 8])),
        tensor::write("four", &Tensor::f32(&[4], vec![0.5; 4])),
        ints("images", &[0; 6]),
    ];
    let mut model = model(nodes, arrays);
    let image = Fact::f32(Shape::fixed(&[1, 4, 2, 3]));
    model.graph.as_mut().unwrap().input = vec![value_info::write("x", &image)];
    opened(&model)
}

#[test]
fn layers_behind_a_choice_are_refused_with_the_reason() {
    let convolution = || {
        vec![
            node("Reshape", &["picked", "image_sizes"], &["image"]),
            node("Conv", &["image", "kernel"], &["y"]),
        ]
    };
    let layers: [(&str, Vec<NodeProto>); 4] = [
        ("Conv", convolution()),
        ("Gemm", vec![node("Gemm", &["picked", "square", "four"], &["y"])]),
        ("LayerNormalization", vec![node("LayerNormalization", &["picked", "four", "four"], &["y"])]),
        ("RoiAlign", vec![node("RoiAlign", &["x", "picked", "images"], &["y"])]),
    ];
    for (op, layer) in layers {
        for choice in [vec![best()], distinct()] {
            let Err(OnnxError::Nodes(nodes)) = open_behind(choice, layer.clone()) else {
                panic!("{op} behind a choice was read")
            };
            let behind: Vec<&NodeError> =
                nodes.iter().filter(|node| node.source == OpError::SecondStage).collect();
            assert!(matches!(behind[..], [node] if node.op == op && node.node == "n_y"), "{op}: {nodes:?}");
            let text = OnnxError::Nodes(nodes).to_string();
            let expected = format!(
                "{op} (operator set 18): a layer behind a choice that depends on the image (two-stage detectors such as \
                 Faster R-CNN, RT-DETR) is not supported; \"n_y\""
            );
            assert!(text.contains(&expected), "{text}");
        }
    }
}

#[test]
fn decoding_behind_a_choice_is_read() {
    for choice in [vec![best()], distinct()] {
        let decode =
            vec![node("Mul", &["picked", "four"], &["scaled"]), node("Sigmoid", &["scaled"], &["y"])];
        let opened = open_behind(choice, decode).unwrap();
        let shape = |&id: &crate::graph::ValueId| opened.graph.fact(id).shape.to_string();
        let shapes: Vec<String> = opened.graph.outputs().iter().map(shape).collect();
        assert!(shapes.contains(&"1×6×4".to_owned()), "all rows: {shapes:?}");
    }
}
