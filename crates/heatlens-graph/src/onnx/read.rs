//! From the messages of a file to a graph, node by node.

use std::collections::BTreeSet;

use prost::Message;
use prost::bytes::Bytes;

use super::attributes::Attributes;
use super::error::{NodeError, OnnxError};
use super::ops::{self, NEWEST, OLDEST, Row};
use super::proto::{GraphProto, ModelProto, NodeProto, to_map};
use super::scope::{Problem, Reading, Scope, Slot};
use super::value_info::Batch;
use super::{Opened, limits, sniff, tensor};
use crate::error::OpError;
use crate::op::invalid;

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
    let bytes = Bytes::from(bytes);
    match decode(bytes.clone()) {
        Ok((model, graph)) => build(&model, &graph),
        Err(too_large @ OnnxError::TooLarge { .. }) => Err(too_large),
        Err(error) => Err(match sniff::looks_like(&bytes) {
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

fn build(model: &ModelProto, proto: &GraphProto) -> Result<Opened, OnnxError> {
    let opset = opset(model)?;
    let mut reading = Reading::default();
    proto.name().clone_into(&mut reading.graph.name);
    reading.graph.metadata = to_map(&model.metadata_props);
    initializers(&mut reading, proto)?;
    inputs(&mut reading, proto)?;
    let functions = model.functions.iter().map(|f| (f.domain(), f.name())).collect();
    let used = used_names(proto);
    let mut errors = Vec::new();
    for node in &proto.node {
        let file = File { opset, used: &used, functions: &functions };
        file.read(&mut reading, node, &mut errors)?;
    }
    if !errors.is_empty() {
        return Err(OnnxError::Nodes(errors));
    }
    outputs(&mut reading, proto)?;
    Ok(Opened { graph: reading.graph, warnings: reading.warnings })
}

/// The version of ONNX's own operator set; `None` if the file asks for none.
fn opset(model: &ModelProto) -> Result<Option<i64>, OnnxError> {
    let own = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    let version = model.opset_import.iter().find(|o| own(o.domain())).map(|o| o.version());
    match version {
        Some(v) if !(OLDEST..=NEWEST).contains(&v) => Err(OnnxError::Malformed(format!(
            "it asks for version {v} of the operator set, expected {OLDEST} to {NEWEST}; export it with another \
             (`opset_version`), or convert it with `onnx.version_converter`"
        ))),
        other => Ok(other),
    }
}

fn define(reading: &mut Reading, name: &str, slot: Slot) -> Result<(), OnnxError> {
    match reading.slots.insert(name.to_owned(), slot) {
        None => Ok(()),
        Some(_) => Err(OnnxError::Malformed(format!("the name {name:?} stands for two values"))),
    }
}

fn initializers(reading: &mut Reading, proto: &GraphProto) -> Result<(), OnnxError> {
    for initializer in &proto.initializer {
        let slot = match tensor::read(initializer) {
            Ok(stored) => {
                if stored.rounded {
                    reading.warn("double precision weights are rounded to single".to_owned());
                }
                Slot::Stored(stored.tensor)
            }
            // Harmless unless a node reads it, so it waits there.
            Err(error) => Slot::Unreadable(error),
        };
        define(reading, initializer.name(), slot)?;
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

/// Every name that some node or the outside reads.
fn used_names(proto: &GraphProto) -> BTreeSet<&str> {
    let nodes = proto.node.iter().flat_map(|node| node.input.iter().map(String::as_str));
    nodes.chain(proto.output.iter().map(|o| o.name())).filter(|name| !name.is_empty()).collect()
}

/// What a node's reading depends on besides the node.
struct File<'a> {
    opset: Option<i64>,
    used: &'a BTreeSet<&'a str>,
    functions: &'a BTreeSet<(&'a str, &'a str)>,
}

impl File<'_> {
    /// Reads one node; what is wrong with it goes to `errors`.
    fn read(
        &self,
        reading: &mut Reading,
        node: &NodeProto,
        errors: &mut Vec<NodeError>,
    ) -> Result<(), OnnxError> {
        let first = node.output.first().map_or("", String::as_str);
        let name = if node.name().is_empty() { first } else { node.name() };
        let slot = match self.convert(reading, node, name) {
            Ok(slot) => slot,
            Err(problem) => {
                if let Problem::Own(source) = problem {
                    errors.push(self.error(node, name, source));
                }
                Slot::Lost
            }
        };
        for (i, output) in node.output.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            if i == 0 {
                define(reading, output, slot.clone())?;
            } else if self.used.contains(output.as_str()) {
                // `convert` has refused the node, unless it was lost already.
                define(reading, output, Slot::Lost)?;
            }
        }
        Ok(())
    }

    fn error(&self, node: &NodeProto, name: &str, source: OpError) -> NodeError {
        let domain = if is_standard(node) { String::new() } else { format!("{}.", node.domain()) };
        let op = format!("{domain}{}", node.op_type());
        NodeError { node: name.to_owned(), op, opset: self.opset.unwrap_or(0), source }
    }

    fn convert(&self, reading: &mut Reading, node: &NodeProto, name: &str) -> Result<Slot, Problem> {
        let (row, opset) = self.row(node)?;
        let mut attributes = Attributes::new(node, opset)?;
        let recipe = (row.read)(&mut attributes)?;
        attributes.finish()?;
        if !row.inputs.contains(&node.input.len()) {
            return Err(invalid(format!("found {} inputs", node.input.len())).into());
        }
        if node.output.first().is_none_or(String::is_empty) {
            return Err(invalid("found no output").into());
        }
        let further = node.output.iter().enumerate().skip(1);
        if let Some((i, output)) = further.into_iter().find(|(_, o)| self.used.contains(o.as_str())) {
            return Err(OpError::Unsupported(format!("output {i} ({output:?})")).into());
        }
        recipe(&mut Scope { reading, node, name })
    }

    /// The node's operator and the version of the operator set.
    fn row(&self, node: &NodeProto) -> Result<(&'static Row, i64), OpError> {
        let unsupported = |what: &str| Err(OpError::Unsupported(what.to_owned()));
        if self.functions.contains(&(node.domain(), node.op_type())) {
            return unsupported(
                "a function defined in the file (inline it: `onnx.inliner.inline_local_functions`)",
            );
        }
        if !is_standard(node) {
            return unsupported("an operator from outside the standard");
        }
        let opset = self.opset.ok_or_else(|| invalid("the file asks for no version of the operator set"))?;
        match ops::find(node.op_type()) {
            Some(row) if row.since <= opset => Ok((row, opset)),
            Some(row) => Err(invalid(format!("it exists from operator set {} on", row.since))),
            None => unsupported("this operator"),
        }
    }
}

fn is_standard(node: &NodeProto) -> bool {
    matches!(node.domain(), "" | "ai.onnx")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::{Fact, Shape};
    use crate::onnx::proto::attribute_proto::AttributeType;
    use crate::onnx::proto::tensor_proto::DataLocation;
    use crate::onnx::proto::{AttributeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto};
    use crate::onnx::value_info;
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
