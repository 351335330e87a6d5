//! What a rule must know of the network around a node.

use heatlens_graph::differentiate::depends_on;
use heatlens_graph::op::at;
use heatlens_graph::op::batch_normalization::BatchNormalization;
use heatlens_graph::op::binary::{Binary, BinaryFunction};
use heatlens_graph::op::cast::Cast;
use heatlens_graph::op::expand::Expand;
use heatlens_graph::op::identity::Identity;
use heatlens_graph::op::reshape::{Flatten, Reshape, Squeeze, Unsqueeze};
use heatlens_graph::op::softmax::Softmax;
use heatlens_graph::op::transpose::Transpose;
use heatlens_graph::op::unary::{Unary, UnaryFunction};
use heatlens_graph::rewrite::needed_nodes;
use heatlens_graph::{Graph, GraphError, Node, NodeId, OpError, Operator, Uses, ValueId};

/// The part of a graph that leads from an image to scores, apart from every formula appended later.
#[derive(Clone, Debug)]
pub struct Network {
    varies: Vec<bool>,
    needed: Vec<bool>,
    uses: Uses,
    /// For each value, what lies behind it: see [`behind`](Self::behind).
    behind: Vec<ValueId>,
}

impl Network {
    /// The network from `image` to `scores`.
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

    /// Whether a value of the network depends on the image.
    #[must_use]
    pub fn varies(&self, value: ValueId) -> bool {
        self.varies.get(value.index()).copied().unwrap_or(false)
    }

    /// The inputs of a node that depend on the image.
    pub fn varying<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = ValueId> + 'a {
        node.inputs.iter().flatten().copied().filter(|&input| self.varies(input))
    }

    /// The nodes on the way from image to scores, in order.
    pub fn nodes<'a>(&'a self, graph: &'a Graph) -> impl Iterator<Item = NodeId> + 'a {
        graph.node_ids().take(self.needed.len()).filter(|&id| self.holds(graph, id))
    }

    /// Whether a node is on the way from image to scores.
    fn holds(&self, graph: &Graph, id: NodeId) -> bool {
        let needed = self.needed.get(id.index()).copied().unwrap_or(false);
        needed && graph.node(id).outputs.iter().any(|&output| self.varies(output))
    }

    /// The nodes of the network that read a value, in order.
    pub fn readers<'a>(
        &'a self,
        graph: &'a Graph,
        value: ValueId,
    ) -> impl DoubleEndedIterator<Item = &'a Node> + 'a {
        let known = value.index() < self.varies.len();
        let readers = if known { self.uses.of(value) } else { &[] };
        readers.iter().filter(|&&id| self.holds(graph, id)).map(|&id| graph.node(id))
    }

    /// The one value that a node only moves, or changes by numbers that no image changes.
    fn carried(&self, node: &Node) -> Option<ValueId> {
        let moves = copies(node);
        let counts = is::<BatchNormalization>(node)
            || node.op.downcast_ref::<Binary>().is_some_and(|Binary(function)| is_arithmetic(*function));
        let mut inputs = self.varying(node);
        let carried = inputs.next().filter(|_| moves || counts)?;
        inputs.next().is_none().then_some(carried)
    }

    /// The value behind reshapes, copies and arithmetic with numbers.
    #[must_use]
    pub fn behind(&self, value: ValueId) -> ValueId {
        self.behind.get(value.index()).copied().unwrap_or(value)
    }

    /// An error where the scores are what a softmax or sigmoid made of logits.
    ///
    /// # Errors
    /// As said: what relevance hands back are logits.
    pub fn refuse_probability(&self, graph: &Graph, scores: ValueId) -> Result<(), GraphError> {
        let Some(id) = graph.producer(self.behind(scores)) else { return Ok(()) };
        let node = graph.node(id);
        let sigmoid = matches!(node.op.downcast_ref(), Some(Unary(UnaryFunction::Sigmoid)));
        if !sigmoid && !is::<Softmax>(node) {
            return Ok(());
        }
        let advice = "relevance of a probability (what is handed back is the logit; explain the logit)";
        Err(at(node, OpError::Unsupported(advice.to_owned())))
    }

    /// The products of two varying values that a value becomes a factor of, each with the other
    /// factor; `None` if it also goes elsewhere.
    #[must_use]
    pub fn products(&self, graph: &Graph, value: ValueId) -> Option<Vec<ValueId>> {
        let mut others = Vec::new();
        // What still has to be looked at, the next one last: chains can be longer than a call stack is deep.
        let mut open: Vec<(ValueId, &Node)> = self.readers(graph, value).rev().map(|r| (value, r)).collect();
        while let Some((value, reader)) = open.pop() {
            if self.carried(reader).is_some() {
                let output = *reader.outputs.first()?;
                open.extend(self.readers(graph, output).rev().map(|next| (output, next)));
                continue;
            }
            let Some(Binary(BinaryFunction::Mul)) = reader.op.downcast_ref::<Binary>() else { return None };
            others.push(self.varying(reader).find(|&other| other != value)?);
        }
        Some(others).filter(|others| !others.is_empty())
    }
}

/// Whether a node hands all of its only input on, in another shape or type.
pub(super) fn copies(node: &Node) -> bool {
    is::<Reshape>(node)
        || is::<Flatten>(node)
        || is::<Squeeze>(node)
        || is::<Unsqueeze>(node)
        || is::<Transpose>(node)
        || is::<Expand>(node)
        || is::<Identity>(node)
        || is::<Cast>(node)
}

/// Whether a node's operator is a `T`.
pub(super) fn is<T: Operator>(node: &Node) -> bool {
    node.op.downcast_ref::<T>().is_some()
}

fn is_arithmetic(function: BinaryFunction) -> bool {
    use BinaryFunction::{Add, Div, Mul, Sub};
    matches!(function, Add | Sub | Mul | Div)
}
