//! The part of the graph that rules operate on.

use heatlens_graph::differentiate::depends_on;
use heatlens_graph::op::binary::BinaryFunction;
use heatlens_graph::op::unary::UnaryFunction;
use heatlens_graph::op::{Kind, at};
use heatlens_graph::rewrite::needed_nodes;
use heatlens_graph::{Graph, GraphError, Node, NodeId, OpError, Uses, ValueId};

/// The part of a graph from an image to scores, excluding formulas appended later.
#[derive(Clone, Debug)]
pub struct Network {
    varies: Vec<bool>,
    needed: Vec<bool>,
    uses: Uses,
    /// For each value, its origin; see [`behind`](Self::behind).
    behind: Vec<ValueId>,
}

impl Network {
    /// Analyses the network from `image` to `scores`.
    #[must_use]
    pub fn new(graph: &Graph, image: ValueId, scores: ValueId) -> Self {
        let mut network = Self {
            varies: depends_on(graph, &[image]),
            needed: needed_nodes(graph, &[scores]),
            uses: graph.uses(),
            behind: graph.value_ids().collect(),
        };
        for node in graph.nodes() {
            if let Some(inner) = network.carried(node) {
                let behind = network.behind[inner.index()];
                node.outputs.iter().for_each(|output| network.behind[output.index()] = behind);
            }
        }
        network
    }

    /// Returns true if a value of the network depends on the image.
    #[must_use]
    pub fn varies(&self, value: ValueId) -> bool {
        self.varies.get(value.index()).copied().unwrap_or(false)
    }

    /// Returns the inputs of a node that depend on the image.
    pub fn varying<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = ValueId> + 'a {
        node.inputs.iter().flatten().copied().filter(|&input| self.varies(input))
    }

    /// Returns the nodes between image and scores, in graph order.
    pub fn nodes<'a>(&'a self, graph: &'a Graph) -> impl Iterator<Item = NodeId> + 'a {
        graph.node_ids().take(self.needed.len()).filter(|&id| self.holds(graph, id))
    }

    /// Returns true if a node lies between image and scores.
    fn holds(&self, graph: &Graph, id: NodeId) -> bool {
        let needed = self.needed.get(id.index()).copied().unwrap_or(false);
        needed && graph.node(id).outputs.iter().any(|&output| self.varies(output))
    }

    /// Returns the nodes of the network that use a value, in graph order.
    pub fn readers<'a>(
        &'a self,
        graph: &'a Graph,
        value: ValueId,
    ) -> impl DoubleEndedIterator<Item = &'a Node> + 'a {
        let known = value.index() < self.varies.len();
        let readers = if known { self.uses.of(value) } else { &[] };
        readers.iter().filter(|&&id| self.holds(graph, id)).map(|&id| graph.node(id))
    }

    /// Returns the only varying input of a node that merely moves it or combines it with constants.
    fn carried(&self, node: &Node) -> Option<ValueId> {
        let moves = copies(node);
        let counts = match node.op.kind() {
            Kind::BatchNormalization(_) => true,
            Kind::Binary(function) => is_arithmetic(function),
            _ => false,
        };
        let mut inputs = self.varying(node);
        let carried = inputs.next().filter(|_| moves || counts)?;
        inputs.next().is_none().then_some(carried)
    }

    /// Returns the origin of a value: its source before reshapes, copies and arithmetic with constants.
    #[must_use]
    pub fn behind(&self, value: ValueId) -> ValueId {
        self.behind.get(value.index()).copied().unwrap_or(value)
    }

    /// Returns an error if the scores are the output of a softmax or sigmoid.
    ///
    /// # Errors
    /// If they are: relevance is propagated from logits.
    pub fn refuse_probability(&self, graph: &Graph, scores: ValueId) -> Result<(), GraphError> {
        let Some(id) = graph.producer(self.behind(scores)) else { return Ok(()) };
        let node = graph.node(id);
        if !matches!(node.op.kind(), Kind::Unary(UnaryFunction::Sigmoid) | Kind::Softmax(_)) {
            return Ok(());
        }
        let advice = "relevance of a probability (relevance starts at the logit; explain the logit)";
        Err(at(node, OpError::Unsupported(advice.to_owned())))
    }

    /// Returns the other factors of all products of two varying values that use a value as a factor; `None` if it
    /// has any other use.
    #[must_use]
    pub fn products(&self, graph: &Graph, value: ValueId) -> Option<Vec<ValueId>> {
        let mut others = Vec::new();
        // Stack of uses still to visit, the next one last: chains may be longer than a call stack is deep.
        let mut open: Vec<(ValueId, &Node)> = self.readers(graph, value).rev().map(|r| (value, r)).collect();
        while let Some((value, reader)) = open.pop() {
            if self.carried(reader).is_some() {
                let output = *reader.outputs.first()?;
                open.extend(self.readers(graph, output).rev().map(|next| (output, next)));
                continue;
            }
            let Kind::Binary(BinaryFunction::Mul) = reader.op.kind() else { return None };
            others.push(self.varying(reader).find(|&other| other != value)?);
        }
        Some(others).filter(|others| !others.is_empty())
    }
}

/// Returns true if a node outputs its only input unchanged except for shape or type.
pub(super) fn copies(node: &Node) -> bool {
    let kind = node.op.kind();
    kind.is_renaming() || matches!(kind, Kind::Transpose(_) | Kind::Expand | Kind::Cast(_))
}

fn is_arithmetic(function: BinaryFunction) -> bool {
    use BinaryFunction::{Add, Div, Mul, Sub};
    matches!(function, Add | Sub | Mul | Div)
}
