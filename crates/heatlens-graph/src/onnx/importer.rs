//! Traversal of the nodes of a file.

use std::collections::{BTreeMap, HashSet};

use super::attributes::Attributes;
use super::budget::WrittenOut;
use super::constant_folding;
use super::error::{NodeError, OnnxError};
use super::inline::{self, Body};
use super::ops::{self, NEWEST, OLDEST, Row};
use super::proto::{FunctionProto, GraphProto, NodeProto, OperatorSetIdProto, TensorProto};
use super::scope::{Outputs, Problem, Reading, Scope, Slot};
use super::{node_order, positions, quantised, selection, tensor};
use crate::error::OpError;
use crate::op::invalid;

/// Maximum nesting depth of functions and branches.
const MAX_DEPTH: usize = 64;
/// Maximum number of nodes after inlining: a few nested calls could expand to billions.
const MAX_NODES: usize = 1 << 20;

const DYNAMIC: &str = "dynamically quantised model: its weights are the file's integers, its activations are computed in single \
                       precision and not rounded";

/// Functions that a file defines, by domain and name.
pub(super) type Functions<'a> = BTreeMap<(&'a str, &'a str), &'a FunctionProto>;

/// Reads the nodes in order and collects their errors.
pub(super) struct Importer<'a> {
    functions: Functions<'a>,
    pub(super) reading: Reading,
    pub(super) errors: Vec<NodeError>,
    nodes: usize,
    written_out: WrittenOut,
}

/// Context of the nodes of a body.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    /// Version of ONNX's own operator set; `None` if the body declares none.
    opset: Option<i64>,
    /// Names that are read somewhere.
    used: &'a HashSet<&'a str>,
    depth: usize,
}

/// Returns the version of ONNX's own operator set; `None` if none is declared.
///
/// # Errors
/// If the version is not supported.
pub(super) fn opset(imports: &[OperatorSetIdProto]) -> Result<Option<i64>, OnnxError> {
    let own = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    match imports.iter().find(|o| own(o.domain())).map(OperatorSetIdProto::version) {
        Some(v) if !(OLDEST..=NEWEST).contains(&v) => Err(OnnxError::Malformed(format!(
            "it asks for version {v} of the operator set, expected {OLDEST} to {NEWEST}; export it with another \
             (`opset_version`), or convert it with `onnx.version_converter`"
        ))),
        other => Ok(other),
    }
}

pub(super) fn define(reading: &mut Reading, name: &str, slot: Slot) -> Result<(), OnnxError> {
    match reading.slots.insert(name.to_owned(), slot) {
        None => Ok(()),
        Some(_) => Err(OnnxError::Malformed(format!("the name {name:?} is used for two values"))),
    }
}

/// Reads a stored array. An error is reported only if a node reads the array.
pub(super) fn initializer(reading: &mut Reading, proto: &TensorProto) -> Result<(), OnnxError> {
    let slot = match tensor::read(proto, &mut reading.external) {
        Ok(stored) => {
            if stored.rounded {
                reading.warn("double precision weights are rounded to single".to_owned());
            }
            reading.ledger.store(&stored.tensor);
            Slot::Stored(stored.tensor)
        }
        Err(error) => Slot::Unreadable(error),
    };
    reading.types.insert(proto.name().to_owned(), proto.data_type());
    define(reading, proto.name(), slot)
}

impl<'a> Importer<'a> {
    /// Creates a walk over a file of `bytes` bytes that defines `functions`.
    pub(super) fn new(reading: Reading, functions: &'a [FunctionProto], bytes: u64) -> Self {
        let functions = functions.iter().map(|f| ((f.domain(), f.name()), f)).collect();
        Self { functions, reading, errors: Vec::new(), nodes: 0, written_out: WrittenOut::new(bytes) }
    }

    /// Reads the nodes of a body at a depth of calls that `outputs` need.
    ///
    /// # Errors
    /// If the body is inconsistent; errors of single nodes are added to `errors`.
    pub(super) fn body(
        &mut self,
        nodes: &[NodeProto],
        outputs: &[&str],
        opset: Option<i64>,
        depth: usize,
    ) -> Result<(), OnnxError> {
        let nodes = node_order::needed(nodes, outputs);
        self.nodes = self.nodes.saturating_add(nodes.len());
        if self.nodes > MAX_NODES {
            let what = "more than a million nodes after expanding its functions";
            return Err(OnnxError::Malformed(what.to_owned()));
        }
        let mut used: HashSet<&str> = outputs.iter().copied().collect();
        inline::names_read(&nodes, &mut |name| {
            used.insert(name);
        });
        nodes.iter().try_for_each(|node| self.node(node, Context { opset, used: &used, depth }))
    }

    fn node(&mut self, node: &NodeProto, context: Context<'_>) -> Result<(), OnnxError> {
        let named = node.output.iter().find(|name| !name.is_empty());
        let name = if node.name().is_empty() || node.name().ends_with('/') {
            named.map_or("", String::as_str)
        } else {
            node.name()
        };
        let values = self.reading.graph.values().len();
        let outcome = match self.chosen(node, name, context) {
            Some(outputs) => Ok(outputs),
            None => match self.body_of(node, name, context)? {
                Ok(Some((body, inner))) => return self.inline(node, name, &body, inner, context),
                Ok(None) => self.operator(node, name, context),
                Err(problem) => Err(problem),
            },
        };
        self.count(node, outcome.as_deref().unwrap_or_default(), values, context)?;
        let outputs = outcome.unwrap_or_else(|problem| {
            if let Problem::Own(source) = problem {
                self.errors.push(error(node, name, context, source));
            }
            Vec::new()
        });
        // Outputs without a result are not read by any node, or the node was rejected.
        let mut outputs = outputs.into_iter();
        for output in &node.output {
            let slot = outputs.next().unwrap_or(Slot::Lost);
            if !output.is_empty() {
                define(&mut self.reading, output, slot)?;
            }
        }
        Ok(())
    }

    /// Reads a node that makes or uses a choice.
    fn chosen(&mut self, node: &NodeProto, name: &str, context: Context<'_>) -> Option<Outputs> {
        let read = selection::read(&mut self.reading, node)?;
        self.errors.extend(read.error.map(|source| error(node, name, context, source)));
        Some(read.outputs)
    }

    /// Counts the arrays that a node added: top-level constants as stored, all others as computed.
    fn count(
        &mut self,
        node: &NodeProto,
        outputs: &[Slot],
        values: usize,
        context: Context<'_>,
    ) -> Result<(), OnnxError> {
        let Reading { ledger, graph, .. } = &mut self.reading;
        match outputs {
            // A constant in a function is stored again for each call.
            [Slot::Stored(tensor)] if node.input.is_empty() && context.depth == 0 => ledger.store(tensor),
            _ => {}
        }
        ledger.compute(outputs, graph, values)
    }

    /// Returns the replacement of a node that is a call or an `If`, with its operator set.
    ///
    /// # Errors
    /// The outer error if inlining exceeds a limit; the inner error if the node is invalid.
    #[allow(clippy::type_complexity)] // an error of the node inside an error of the file
    fn body_of(
        &mut self,
        node: &NodeProto,
        name: &str,
        context: Context<'_>,
    ) -> Result<Result<Option<(Body, Option<i64>)>, Problem>, OnnxError> {
        if let Some(&function) = self.functions.get(&(node.domain(), node.op_type())) {
            self.written_out.function(node, name, function)?;
            return Ok(called(node, name, function, context).map(Some));
        }
        if let Some(body) = quantised::expand(node, name) {
            if node.op_type() == "DynamicQuantizeLinear" {
                self.reading.warn(DYNAMIC.to_owned());
            }
            return Ok(body.map(|body| Some((body, Some(quantised::OPSET)))).map_err(Problem::Own));
        }
        if !is_standard(node) || node.op_type() != "If" {
            return Ok(Ok(None));
        }
        let branch = match self.chosen_branch(node, name) {
            Ok(branch) => branch,
            Err(problem) => return Ok(Err(problem)),
        };
        self.written_out.branch(name, branch)?;
        let body = inline::branch(node, name, branch).map(|body| Some((body, context.opset)));
        Ok(body.map_err(Problem::Own))
    }

    /// Returns the branch of an `If` selected by its condition, which must be known.
    fn chosen_branch<'n>(&mut self, node: &'n NodeProto, name: &str) -> Result<&'n GraphProto, Problem> {
        let chosen = Scope { reading: &mut self.reading, node, name }.truth(0, "a condition")?;
        let chosen = chosen.ok_or(OpError::MissingInput { index: 0 })?;
        let wanted = if chosen { "then_branch" } else { "else_branch" };
        let graph: Option<&GraphProto> =
            node.attribute.iter().find(|a| a.name() == wanted).and_then(|a| a.g.as_ref());
        Ok(graph.ok_or_else(|| invalid(format!("expected an attribute {wanted:?}")))?)
    }

    fn inline(
        &mut self,
        node: &NodeProto,
        name: &str,
        body: &Body,
        opset: Option<i64>,
        context: Context<'_>,
    ) -> Result<(), OnnxError> {
        if context.depth >= MAX_DEPTH {
            return Err(OnnxError::Malformed(format!(
                "node {name:?} ({}) contains itself, or functions are nested more than {MAX_DEPTH} deep",
                node.op_type()
            )));
        }
        for stored in &body.initializers {
            initializer(&mut self.reading, stored)?;
        }
        let inner = body.aliases.iter().map(|(_, inner)| inner);
        let outputs: Vec<&str> = node.output.iter().chain(inner).map(String::as_str).collect();
        self.body(&body.nodes, &outputs, opset, context.depth + 1)?;
        for (outer, inner) in &body.aliases {
            let slot = self.reading.slots.get(inner).cloned();
            let slot = slot.ok_or_else(|| {
                OnnxError::Malformed(format!("node {name:?}: output {inner:?} is not computed by any node"))
            })?;
            define(&mut self.reading, outer, slot)?;
        }
        // A missing output would otherwise be noticed only where it is read.
        match node.output.iter().find(|o| !o.is_empty() && !self.reading.slots.contains_key(*o)) {
            Some(output) => {
                Err(OnnxError::Malformed(format!("node {name:?}: its body does not compute {output:?}")))
            }
            None => Ok(()),
        }
    }

    fn operator(&mut self, node: &NodeProto, name: &str, context: Context<'_>) -> Result<Outputs, Problem> {
        let (row, opset) = row(node, context.opset)?;
        if !row.inputs.contains(&node.input.len()) {
            return Err(invalid(format!("found {} inputs", node.input.len())).into());
        }
        let read = |scope: &mut Scope<'_>| {
            let mut attributes = Attributes::new(node, opset)?;
            let recipe = (row.read)(&mut attributes)?;
            attributes.finish()?;
            recipe(scope)
        };
        let mut scope = Scope { reading: &mut self.reading, node, name };
        if let Some(outputs) = positions::read(&mut scope)? {
            return Ok(outputs);
        }
        let outputs = match constant_folding::fold(&mut scope, &read) {
            Ok(None) => read(&mut scope),
            folded => folded.map(Option::unwrap_or_default),
        };
        let mut outputs = outputs
            .map_err(|problem| selection::layer_behind(scope.reading, node).map_or(problem, Problem::Own))?;
        let source = selection::follow(scope.reading, node, &mut outputs);
        self.errors.extend(source.map(|source| error(node, name, context, source)));
        let further = node.output.iter().enumerate().skip(outputs.len());
        if let Some((i, output)) = further.into_iter().find(|(_, o)| context.used.contains(o.as_str())) {
            return Err(OpError::Unsupported(format!("output {i} ({output:?})")).into());
        }
        Ok(outputs)
    }
}

/// Returns the body of the function that a node calls, with its operator set.
fn called(
    node: &NodeProto,
    name: &str,
    function: &FunctionProto,
    context: Context<'_>,
) -> Result<(Body, Option<i64>), Problem> {
    let opset = opset(&function.opset_import).map_err(|e| invalid(e.to_string()))?;
    Ok((inline::function(node, name, function)?, opset.or(context.opset)))
}

/// Returns the row of the node's operator, with the version of the operator set.
fn row(node: &NodeProto, opset: Option<i64>) -> Result<(&'static Row, i64), OpError> {
    let unsupported = |what: &str| Err(OpError::Unsupported(what.to_owned()));
    if !is_standard(node) {
        return unsupported(match quantised::is_quantised(node) {
            true => {
                "this operator of a quantised model (explain the floating-point model that it was made from, or quantise it in the QDQ format)"
            }
            false => "an operator from outside the standard",
        });
    }
    let opset = opset.ok_or_else(|| invalid("the file asks for no version of the operator set"))?;
    match ops::find(node.op_type()) {
        Some(row) if row.since <= opset => Ok((row, opset)),
        Some(row) => Err(invalid(format!("it exists from operator set {} on", row.since))),
        None => unsupported("this operator"),
    }
}

fn error(node: &NodeProto, name: &str, context: Context<'_>, source: OpError) -> NodeError {
    let domain = if is_standard(node) { String::new() } else { format!("{}.", node.domain()) };
    let op = format!("{domain}{}", node.op_type());
    NodeError { node: name.to_owned(), op, opset: context.opset.unwrap_or(0), source }
}

fn is_standard(node: &NodeProto) -> bool {
    matches!(node.domain(), "" | "ai.onnx")
}
