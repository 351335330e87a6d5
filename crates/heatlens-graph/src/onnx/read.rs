//! From the messages of a file to a graph.

use std::collections::BTreeSet;

use prost::Message;
use prost::bytes::Bytes;

use super::error::OnnxError;
use super::external::External;
use super::proto::{GraphProto, ModelProto, to_map};
use super::scope::{Problem, Reading, Slot};
use super::value_info::Batch;
use super::walk::{self, Context, Walk, define};
use super::{Opened, inline, limits};
use crate::error::OpError;

/// Reads a model from the bytes of its file.
///
/// # Errors
/// If the bytes are no ONNX model, ask for more than we take, are inconsistent, or hold nodes we
/// do not know; the error lists all of these.
///
/// ```
/// let error = heatlens_graph::onnx::open(b"\x89PNG\r\n\x1a\n".to_vec()).unwrap_err();
/// assert!(error.to_string().starts_with("expected an ONNX file, found a PNG image"));
/// ```
pub fn open(bytes: Vec<u8>) -> Result<Opened, OnnxError> {
    open_with(bytes, External::default())
}

/// Reads a model whose arrays may lie in other files.
pub(super) fn open_with(bytes: Vec<u8>, external: External) -> Result<Opened, OnnxError> {
    let bytes = Bytes::from(bytes);
    match decode(bytes.clone()) {
        Ok((model, graph)) => build(&model, &graph, bytes.len() as u64, external),
        Err(too_large @ OnnxError::TooLarge { .. }) => Err(too_large),
        Err(error) => Err(match crate::sniff::looks_like(&bytes) {
            Some((looks_like, advice)) => OnnxError::NotOnnx { looks_like, advice },
            None => error,
        }),
    }
}

/// The message, and the graph taken out of it.
fn decode(bytes: Bytes) -> Result<(ModelProto, GraphProto), OnnxError> {
    limits::check(&bytes)?;
    let damaged = |what: String| OnnxError::Damaged { at: None, what };
    let mut model = ModelProto::decode(bytes).map_err(|e| damaged(e.to_string()))?;
    let graph = model.graph.take();
    let graph = graph
        .ok_or_else(|| damaged("there is no graph in it (cut off, or another protobuf file)".to_owned()))?;
    Ok((model, graph))
}

fn build(model: &ModelProto, proto: &GraphProto, size: u64, external: External) -> Result<Opened, OnnxError> {
    let opset = walk::opset(&model.opset_import)?;
    let mut reading = Reading { external, ..Reading::default() };
    proto.name().clone_into(&mut reading.graph.name);
    reading.graph.metadata = to_map(&model.metadata_props);
    initializers(&mut reading, proto)?;
    inputs(&mut reading, proto)?;
    let mut used = BTreeSet::new();
    inline::names_read(&proto.node, &mut used);
    used.extend(proto.output.iter().map(|o| o.name().to_owned()));
    let mut walk = Walk::new(reading, &model.functions, size);
    walk.body(&proto.node, Context::new(opset, &used))?;
    if !walk.errors.is_empty() {
        return Err(OnnxError::Nodes(walk.errors));
    }
    let mut reading = walk.reading;
    outputs(&mut reading, proto)?;
    Ok(Opened { graph: reading.graph, warnings: reading.warnings })
}

fn initializers(reading: &mut Reading, proto: &GraphProto) -> Result<(), OnnxError> {
    for initializer in &proto.initializer {
        walk::initializer(reading, initializer)?;
    }
    for sparse in &proto.sparse_initializer {
        let name = sparse.values.as_ref().map_or("", |v| v.name());
        define(reading, name, Slot::Unreadable(OpError::Unsupported("a sparse array".to_owned())))?;
    }
    Ok(())
}

fn inputs(reading: &mut Reading, proto: &GraphProto) -> Result<(), OnnxError> {
    let mut batch = Batch::default();
    for info in &proto.input {
        // An input with a stored default is a weight (all were, in old files).
        if reading.slots.contains_key(info.name()) {
            continue;
        }
        let input = batch.input(info)?;
        if input.other_precision {
            reading.warn(format!("input {:?} is computed in single precision", info.name()));
        }
        let id = reading.graph.add_input(info.name(), input.fact);
        define(reading, info.name(), Slot::Value(id))?;
    }
    Ok(())
}

fn outputs(reading: &mut Reading, proto: &GraphProto) -> Result<(), OnnxError> {
    let mut outputs = Vec::with_capacity(proto.output.len());
    for info in &proto.output {
        let id = reading.value(info.name()).map_err(|problem| {
            let what = match problem {
                Problem::Own(error) => error.to_string(),
                Problem::Upstream => "it could not be read".to_owned(),
            };
            OnnxError::Malformed(format!("output {:?}: {what}", info.name()))
        })?;
        outputs.push(id);
    }
    if outputs.is_empty() {
        return Err(OnnxError::Malformed("the graph has no outputs".to_owned()));
    }
    reading.graph.set_outputs(&outputs);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::{Fact, Shape};
    use crate::onnx::proto::NodeProto;
    use crate::onnx::proto::attribute_proto::AttributeType;
    use crate::onnx::proto::tensor_proto::DataLocation;
    use crate::onnx::proto::{AttributeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto};
    use crate::onnx::{tensor, value_info};
    use crate::tensor::Tensor;

    fn node(op: &str, input: &[&str], output: &[&str]) -> NodeProto {
        let names = |list: &[&str]| list.iter().map(|&n| n.to_owned()).collect();
        NodeProto {
            op_type: Some(op.to_owned()),
            name: Some(format!("the {op}")),
            input: names(input),
            output: names(output),
            ..NodeProto::default()
        }
    }

    /// A model from `x` (N×2×3×3) to `y`.
    fn model(opset: i64, nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> ModelProto {
        let fact = Fact::f32(Shape::batched(&[2, 3, 3]));
        let graph = GraphProto {
            node: nodes,
            initializer,
            input: vec![value_info::write("x", &fact)],
            output: vec![value_info::write("y", &fact)],
            ..GraphProto::default()
        };
        let opset = OperatorSetIdProto { domain: None, version: Some(opset) };
        ModelProto { graph: Some(graph), opset_import: vec![opset], ..ModelProto::default() }
    }

    fn open_model(model: &ModelProto) -> Result<Opened, OnnxError> {
        open(model.encode_to_vec())
    }

    fn refusal(opset: i64, nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> String {
        open_model(&model(opset, nodes, initializer)).unwrap_err().to_string()
    }

    fn statistics(last: &str) -> (Vec<TensorProto>, NodeProto) {
        let ones = Tensor::f32(&[2], vec![1.0; 2]);
        let arrays = ["s", "b", "m", "v"].map(|name| tensor::write(name, &ones)).to_vec();
        (arrays, node("BatchNormalization", &["x", "s", "b", "m", "v"], &["y", last]))
    }

    #[test]
    fn nodes_after_a_lost_one_are_checked_but_not_blamed() {
        let mut odd = node("Relu", &["a"], &["b"]);
        odd.attribute.push(AttributeProto { name: Some("slope".to_owned()), ..AttributeProto::default() });
        let foreign = NodeProto { domain: Some("com.example".to_owned()), ..node("Magic", &["b"], &["c"]) };
        let nodes = vec![node("Nonsense", &["x"], &["a"]), odd, foreign, node("Relu", &["c"], &["y"])];
        let Err(OnnxError::Nodes(nodes)) = open_model(&model(17, nodes, Vec::new())) else {
            panic!("expected a list")
        };
        let found: Vec<String> = nodes.iter().map(|n| format!("{}: {}", n.op, n.source)).collect();
        assert_eq!(
            found,
            [
                "Nonsense: this operator is not supported",
                "Relu: attribute \"slope\" is not supported",
                "com.example.Magic: an operator from outside the standard is not supported",
            ]
        );
    }

    #[test]
    fn inconsistent_files_are_refused() {
        let relu = |from: &str, to: &str| node("Relu", &[from], &[to]);
        let y = Tensor::scalar(1.0);
        let external = TensorProto {
            data_location: Some(DataLocation::External.into()),
            external_data: vec![StringStringEntryProto {
                key: Some("location".to_owned()),
                value: Some("w.bin".to_owned()),
            }],
            ..tensor::write("w", &y)
        };
        for (opset, nodes, arrays, expected) in [
            (17, vec![relu("x", "y"), relu("x", "y")], vec![], "stands for two values"),
            (
                17,
                vec![relu("z", "y"), relu("x", "z")],
                vec![],
                "\"z\" is read but computed by no earlier node",
            ),
            (17, vec![relu("x", "z")], vec![], "output \"y\""),
            (6, vec![relu("x", "y")], vec![], "expected 7 to 28"),
            (29, vec![relu("x", "y")], vec![], "expected 7 to 28"),
            (17, vec![node("Relu", &["x", "x"], &["y"])], vec![], "found 2 inputs"),
            (17, vec![node("Relu", &["x"], &[""])], vec![], "found no output"),
            (17, vec![node("Dropout", &["x"], &["y", "m"]), relu("m", "z")], vec![], "output 1 (\"m\")"),
            (11, vec![node("GreaterOrEqual", &["x", "x"], &["y"])], vec![], "from operator set 12 on"),
            (17, vec![node("Reshape", &["x", "x"], &["y"])], vec![], "a shape that is computed"),
            (17, vec![node("Add", &["x", "w"], &["y"])], vec![external], "\"w.bin\""),
        ] {
            let error = refusal(opset, nodes, arrays);
            assert!(error.contains(expected), "expected {expected}, found {error}");
        }
    }

    #[test]
    fn training_mode_runs_as_inference_and_says_so() {
        let (arrays, mut norm) = statistics("");
        norm.attribute.push(AttributeProto {
            name: Some("training_mode".to_owned()),
            r#type: Some(AttributeType::Int.into()),
            i: Some(1),
            ..AttributeProto::default()
        });
        let opened = open_model(&model(15, vec![norm], arrays)).unwrap();
        assert!(opened.warnings[0].contains("exported in training mode"), "{:?}", opened.warnings);
        let (arrays, norm) = statistics("running");
        let opened = open_model(&model(9, vec![norm], arrays.clone())).unwrap();
        assert_eq!(opened.warnings.len(), 1);
        let (_, norm) = statistics("");
        assert!(open_model(&model(9, vec![norm], arrays)).unwrap().warnings.is_empty());
    }

    #[test]
    fn weights_of_old_files_are_inputs_with_a_default() {
        let w = Tensor::f32(&[1], vec![2.0]);
        let mut model = model(8, vec![node("Mul", &["x", "w"], &["y"])], vec![tensor::write("w", &w)]);
        let fact = Fact::f32(Shape::fixed(&[1]));
        model.graph.as_mut().unwrap().input.push(value_info::write("w", &fact));
        let graph = open_model(&model).unwrap().graph;
        assert_eq!(graph.inputs().len(), 1);
        assert_eq!(graph.constant(graph.find("w").unwrap()), Some(&w));
    }
}
