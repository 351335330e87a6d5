//! Conversion of a graph to the bytes of a standard ONNX file.

use std::collections::BTreeSet;

use prost::Message;
use prost::bytes::Bytes;

use super::error::OnnxError;
use super::limits::MAX_FILE;
use super::lower::{lowered, no_form, standard_form};
use super::proto::attribute_proto::AttributeType;
use super::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, from_map,
};
use super::{tensor, value_info};
use crate::error::{GraphError, OpError};
use crate::graph::{Graph, Node, Origin, ValueId};
use crate::op::pool::AveragePool;
use crate::op::{Attribute, at};
use crate::rewrite::needed_nodes;

/// Operator set of written files, the one [`crate::op::OnnxForm`] uses.
const OPSET: i64 = 18;
/// Version of the file format released with it.
const IR_VERSION: i64 = 8;

/// Writes a graph as a standard ONNX file. Names and metadata are kept and the batch size is the symbol `N`. The same
/// graph gives the same bytes. Constants that are not read are omitted.
///
/// # Errors
/// If an operator cannot be expressed in standard operators, an output is listed twice, or the file would exceed 2 GiB.
///
/// ```
/// use heatlens_graph::{Builder, Fact, Graph, Shape, onnx};
/// let mut graph = Graph::new("doubled");
/// let x = graph.add_input("x", Fact::f32(Shape::batched(&[2])));
/// let y = Builder::new(&mut graph, "f").scale(x, 2.0)?;
/// graph.set_outputs(&[y]);
/// let file = onnx::write(&graph)?;
/// assert_eq!(onnx::read(file)?.nodes().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write(graph: &Graph) -> Result<Vec<u8>, OnnxError> {
    let lowered = lowered(graph).map_err(OnnxError::Write)?;
    let graph = lowered.as_ref().unwrap_or(graph);
    let model = ModelProto {
        ir_version: Some(IR_VERSION),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(OPSET) }],
        producer_name: Some("heatlens".to_owned()),
        producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        graph: Some(graph_proto(graph).map_err(OnnxError::Write)?),
        metadata_props: from_map(&graph.metadata),
        ..ModelProto::default()
    };
    let found = model.encoded_len() as u64;
    if found > MAX_FILE {
        return Err(OnnxError::TooLarge { what: "the file", found, limit: MAX_FILE });
    }
    Ok(model.encode_to_vec())
}

fn graph_proto(graph: &Graph) -> Result<GraphProto, GraphError> {
    let mut seen = BTreeSet::new();
    if let Some(&twice) = graph.outputs().iter().find(|&&o| !seen.insert(o)) {
        let name = &graph.value(twice).name;
        return Err(GraphError::Malformed(format!(
            "{name:?} is listed as an output twice; ONNX names each once"
        )));
    }
    // Nodes that no output depends on (scores appended for an explanation) are not part of the model.
    let needed = match graph.outputs() {
        [] => vec![true; graph.nodes().len()],
        outputs => needed_nodes(graph, outputs),
    };
    let mut initializer = constants(graph, &needed);
    let mut names = BTreeSet::new();
    let mut node = Vec::with_capacity(graph.nodes().len());
    for (n, _) in graph.nodes().iter().zip(&needed).filter(|(_, needed)| **needed) {
        node.push(NodeProto {
            name: Some(node_name(graph, n, &mut names)),
            ..node_proto(graph, n, &mut initializer)?
        });
    }
    let declare = |ids: &[ValueId]| {
        ids.iter().map(|&i| value_info::write(&graph.value(i).name, graph.fact(i))).collect()
    };
    Ok(GraphProto {
        // The format requires a name.
        name: Some(if graph.name.is_empty() { "graph".to_owned() } else { graph.name.clone() }),
        node,
        initializer,
        input: declare(graph.inputs()),
        output: declare(graph.outputs()),
        ..GraphProto::default()
    })
}

/// Returns the constants that needed nodes read, in order.
fn constants(graph: &Graph, needed: &[bool]) -> Vec<TensorProto> {
    let read: BTreeSet<ValueId> = graph
        .nodes()
        .iter()
        .zip(needed)
        .filter(|(_, needed)| **needed)
        .flat_map(|(n, _)| n.inputs.iter().flatten())
        .chain(graph.outputs())
        .copied()
        .collect();
    let constant = |id: ValueId| match &graph.value(id).origin {
        Origin::Constant(array) => Some(tensor::write(&graph.value(id).name, array)),
        _ => None,
    };
    read.into_iter().filter_map(constant).collect()
}

/// Returns the node's name if it is not taken, else that of its first output: names in a file must be unique.
fn node_name(graph: &Graph, node: &Node, taken: &mut BTreeSet<String>) -> String {
    let mut name = node.name.clone();
    if name.is_empty() || taken.contains(&name) {
        name = node.outputs.first().map_or(String::new(), |&o| graph.value(o).name.clone());
    }
    while taken.contains(&name) {
        name.push('\'');
    }
    taken.insert(name.clone());
    name
}

fn node_proto(
    graph: &Graph,
    node: &Node,
    initializer: &mut Vec<TensorProto>,
) -> Result<NodeProto, GraphError> {
    check(node)?;
    let onnx_form = standard_form(graph, node).ok_or_else(|| no_form(node))?;
    let name = |id: ValueId| graph.value(id).name.clone();
    let mut input: Vec<String> = node.inputs.iter().map(|i| i.map_or(String::new(), name)).collect();
    let output: Vec<String> = node.outputs.iter().map(|&o| name(o)).collect();
    for (i, constant) in onnx_form.constants.iter().enumerate() {
        let name = free_name(graph, &format!("{}/{i}", output.first().map_or("", String::as_str)));
        initializer.push(tensor::write(&name, constant));
        input.push(name);
    }
    while input.last().is_some_and(String::is_empty) {
        input.pop();
    }
    Ok(NodeProto {
        input,
        output,
        op_type: Some(onnx_form.name.to_owned()),
        attribute: onnx_form.attributes.iter().map(|(name, value)| attribute(name, value)).collect(),
        metadata_props: from_map(&node.metadata),
        ..NodeProto::default()
    })
}

/// Rejects nodes that cannot be expressed in the operator set of written files.
fn check(node: &Node) -> Result<(), GraphError> {
    let dilated =
        node.op.downcast_ref::<AveragePool>().is_some_and(|p| p.window.dilations.iter().any(|&d| d != 1));
    if dilated {
        let what = format!("writing a dilated average pool for operator set {OPSET}");
        return Err(at(node, OpError::Unsupported(what)));
    }
    Ok(())
}

/// Returns a name that is not taken by a value of the graph.
fn free_name(graph: &Graph, wanted: &str) -> String {
    let mut name = wanted.to_owned();
    while graph.find(&name).is_some() {
        name.push('\'');
    }
    name
}

fn attribute(name: &str, value: &Attribute) -> AttributeProto {
    let mut proto = AttributeProto { name: Some(name.to_owned()), ..AttributeProto::default() };
    let kind = match value {
        Attribute::Int(i) => {
            proto.i = Some(*i);
            AttributeType::Int
        }
        Attribute::Ints(ints) => {
            proto.ints.clone_from(ints);
            AttributeType::Ints
        }
        Attribute::Float(f) => {
            proto.f = Some(*f);
            AttributeType::Float
        }
        Attribute::Text(text) => {
            proto.s = Some(Bytes::from_static(text.as_bytes()));
            AttributeType::String
        }
    };
    proto.r#type = Some(kind.into());
    proto
}
