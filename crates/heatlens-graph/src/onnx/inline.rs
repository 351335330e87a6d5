//! Inlining of functions that the file defines, and of the branches of an `If`.
//!
//! Both replace the calling node. Names defined in the body are prefixed with the node's name, so that two calls do not
//! collide and errors can be located; outputs of the body get the names of the node's outputs.

use std::collections::{BTreeMap, BTreeSet};

use super::proto::{AttributeProto, FunctionProto, GraphProto, NodeProto, TensorProto};
use crate::error::OpError;
use crate::op::invalid;

/// Replacement of a node.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) initializers: Vec<TensorProto>,
    pub(super) nodes: Vec<NodeProto>,
    /// Outputs of the node that are aliases, because the body only reads the value or outputs it twice: (the node's
    /// name, the body's name).
    pub(super) aliases: Vec<(String, String)>,
}

/// Inlines a call of a function that the file defines.
pub(super) fn function(call: &NodeProto, name: &str, function: &FunctionProto) -> Result<Body, OpError> {
    if call.input.len() > function.input.len() || call.output.len() > function.output.len() {
        return Err(invalid(format!(
            "{} inputs and {} outputs, the function has {} and {}",
            call.input.len(),
            call.output.len(),
            function.input.len(),
            function.output.len()
        )));
    }
    let mut names = Names::new(name);
    for (i, inner) in function.input.iter().enumerate() {
        names.map(inner, call.input.get(i).map_or("", String::as_str));
    }
    let mut body = Body::default();
    for (inner, outer) in function.output.iter().zip(&call.output) {
        names.hand_out(inner, outer, &mut body);
    }
    let values = attribute_values(call, function)?;
    for node in &function.node {
        let mut node = node.clone();
        set_attributes(&mut node, &values);
        names.rename_node(&mut node, &BTreeSet::new());
        body.nodes.push(node);
    }
    body.aliases = names.aliases(body.aliases);
    Ok(body)
}

/// Inlines a branch of an `If`. The branch may use names of the surrounding graph.
pub(super) fn branch(call: &NodeProto, name: &str, branch: &GraphProto) -> Result<Body, OpError> {
    if call.output.len() > branch.output.len() {
        return Err(invalid(format!(
            "{} outputs, its branch has {}",
            call.output.len(),
            branch.output.len()
        )));
    }
    let mut names = Names::new(name);
    names.open = true;
    let defined = branch.node.iter().flat_map(|n| n.output.iter().map(String::as_str));
    let stored = branch.initializer.iter().map(TensorProto::name);
    names.own = defined.chain(stored).filter(|n| !n.is_empty()).map(str::to_owned).collect();
    let mut body = Body::default();
    for (inner, outer) in branch.output.iter().zip(&call.output) {
        names.hand_out(inner.name(), outer, &mut body);
    }
    for node in &branch.node {
        let mut node = node.clone();
        names.rename_node(&mut node, &BTreeSet::new());
        body.nodes.push(node);
    }
    for stored in &branch.initializer {
        let mut stored = stored.clone();
        stored.name = Some(names.get(stored.name()));
        body.initializers.push(stored);
    }
    body.aliases = names.aliases(body.aliases);
    Ok(body)
}

/// Passes every name that nodes read to `read`, including those in their branches.
pub(super) fn names_read<'n>(nodes: &'n [NodeProto], read: &mut impl FnMut(&'n str)) {
    for node in nodes {
        node.input.iter().filter(|name| !name.is_empty()).for_each(|name| read(name));
        for graph in node.attribute.iter().flat_map(graphs) {
            names_read(&graph.node, read);
            graph.output.iter().for_each(|output| read(output.name()));
        }
    }
}

fn graphs(attribute: &AttributeProto) -> impl Iterator<Item = &GraphProto> {
    attribute.g.iter().chain(&attribute.graphs)
}

/// Maps names in a body to names outside.
struct Names<'a> {
    prefix: &'a str,
    map: BTreeMap<String, String>,
    /// True if names that the body does not define belong to the surrounding graph.
    open: bool,
    /// Names that an open body defines.
    own: BTreeSet<String>,
}

impl<'a> Names<'a> {
    fn new(prefix: &'a str) -> Self {
        Self { prefix, map: BTreeMap::new(), open: false, own: BTreeSet::new() }
    }

    fn map(&mut self, inner: &str, outer: &str) {
        self.map.insert(inner.to_owned(), outer.to_owned());
    }

    /// Maps the body's name `inner` to `outer`, or records an alias.
    fn hand_out(&mut self, inner: &str, outer: &str, body: &mut Body) {
        if outer.is_empty() {
            return;
        }
        if self.map.contains_key(inner) || self.open && !self.own.contains(inner) {
            body.aliases.push((outer.to_owned(), inner.to_owned()));
        } else {
            self.map(inner, outer);
        }
    }

    fn aliases(&self, aliases: Vec<(String, String)>) -> Vec<(String, String)> {
        aliases.into_iter().map(|(outer, inner)| (outer, self.get(&inner))).collect()
    }

    fn get(&self, name: &str) -> String {
        match self.map.get(name) {
            Some(outer) => outer.clone(),
            None if name.is_empty() || self.open && !self.own.contains(name) => name.to_owned(),
            None => format!("{}/{name}", self.prefix),
        }
    }

    /// Renames a node; `hidden` holds the names defined by a branch within the body.
    fn rename_node(&self, node: &mut NodeProto, hidden: &BTreeSet<String>) {
        node.name = Some(format!("{}/{}", self.prefix, node.name()));
        for name in node.input.iter_mut().chain(&mut node.output) {
            if !hidden.contains(name) {
                *name = self.get(name);
            }
        }
        for attribute in &mut node.attribute {
            for graph in attribute.g.iter_mut().chain(&mut attribute.graphs) {
                self.rename_branch(graph, hidden);
            }
        }
    }

    fn rename_branch(&self, graph: &mut GraphProto, hidden: &BTreeSet<String>) {
        let mut hidden = hidden.clone();
        hidden.extend(graph.initializer.iter().map(|t| t.name().to_owned()));
        hidden.extend(graph.node.iter().flat_map(|n| n.output.iter().cloned()));
        for node in &mut graph.node {
            self.rename_node(node, &hidden);
        }
        for output in &mut graph.output {
            if !hidden.contains(output.name()) {
                output.name = Some(self.get(output.name()));
            }
        }
    }
}

/// Returns the attributes of a call, with the function's defaults.
fn attribute_values(
    call: &NodeProto,
    function: &FunctionProto,
) -> Result<BTreeMap<String, AttributeProto>, OpError> {
    let mut values: BTreeMap<String, AttributeProto> =
        function.attribute_proto.iter().map(|a| (a.name().to_owned(), a.clone())).collect();
    for attribute in &call.attribute {
        let name = attribute.name();
        if !values.contains_key(name) && !function.attribute.iter().any(|a| a == name) {
            return Err(OpError::Unsupported(format!(
                "attribute {name:?}, which the function does not have,"
            )));
        }
        values.insert(name.to_owned(), attribute.clone());
    }
    Ok(values)
}

/// Replaces references with values; an attribute without a value is omitted.
fn set_attributes(node: &mut NodeProto, values: &BTreeMap<String, AttributeProto>) {
    let old = std::mem::take(&mut node.attribute);
    for mut attribute in old {
        if attribute.ref_attr_name().is_empty() {
            for graph in attribute.g.iter_mut().chain(&mut attribute.graphs) {
                graph.node.iter_mut().for_each(|inner| set_attributes(inner, values));
            }
            node.attribute.push(attribute);
        } else if let Some(value) = values.get(attribute.ref_attr_name()) {
            node.attribute.push(AttributeProto { name: attribute.name.clone(), ..value.clone() });
        }
    }
}
