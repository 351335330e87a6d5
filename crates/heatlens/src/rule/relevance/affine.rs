//! Chains of arithmetic with constants, in any exported form.
//!
//! A batch normalization may be one operator, or a difference, a product and a sum, possibly with casts and
//! transpositions in between. Together they are x·a + c, with a factor and a shift per channel, and relevance
//! treats them as such: the same network has the same relevance, however it was exported.

use std::collections::BTreeMap;

use heatlens_graph::op::Kind;
use heatlens_graph::op::batch_normalization::BatchNormalization;
use heatlens_graph::op::binary::BinaryFunction;
use heatlens_graph::op::transpose::Transpose;
use heatlens_graph::{Builder, Dim, Graph, Node, NodeId, Shape, Tensor, ValueId};

use super::layer::over;
use super::{Built, STABILISER};
use crate::rule::Network;

/// A chain of nodes that together compute x·a + c.
#[derive(Clone, Debug)]
pub(super) struct Affine {
    /// The input x.
    pub(super) start: ValueId,
    /// Nodes in order. Each is the only user of the previous node's output.
    pub(super) nodes: Vec<NodeId>,
    /// Axis of x along which factor and shift vary; `None` if they are the same for all.
    pub(super) axis: Option<usize>,
    factor: Vec<f64>,
    shift: Vec<f64>,
    /// For each axis of the chain's output, the corresponding axis of x.
    axes: Vec<usize>,
}

/// The effect of one node.
struct Step {
    axis: Option<usize>,
    factor: Vec<f64>,
    shift: Vec<f64>,
}

impl Affine {
    /// Returns all chains of a network that contain arithmetic, in graph order.
    pub(super) fn all(network: &Network, graph: &Graph) -> Vec<Self> {
        let mut chains: Vec<Self> = Vec::new();
        // Indices of the chains by output value.
        let mut ends: BTreeMap<ValueId, usize> = BTreeMap::new();
        for id in network.nodes(graph) {
            let node = graph.node(id);
            let mut varying = network.varying(node);
            let (Some(x), None, &[y]) = (varying.next(), varying.next(), node.outputs.as_slice()) else {
                continue;
            };
            let alone = network.readers(graph, x).count() == 1;
            let known = ends.get(&x).copied().filter(|_| alone);
            let mut chain = known.map_or_else(|| Self::from(graph, x), |at| chains[at].clone());
            let at = if chain.take(graph, id, x) {
                known
            } else {
                chain = Self::from(graph, x);
                if !chain.take(graph, id, x) {
                    continue;
                }
                None
            };
            match at {
                Some(at) => chains[at] = chain,
                None => chains.push(chain),
            }
            ends.insert(y, at.unwrap_or(chains.len() - 1));
        }
        chains.retain(|chain| chain.nodes.iter().any(|&id| is_arithmetic(graph.node(id))));
        chains
    }

    /// Creates an empty chain, the identity of x.
    fn from(graph: &Graph, start: ValueId) -> Self {
        let axes = (0..graph.fact(start).shape.rank()).collect();
        Self { start, nodes: Vec::new(), axis: None, factor: vec![1.0], shift: vec![0.0], axes }
    }

    /// Appends a node if it only moves the chain's output or combines it with constants; returns false otherwise.
    fn take(&mut self, graph: &Graph, id: NodeId, x: ValueId) -> bool {
        let node = graph.node(id);
        let kind = node.op.kind();
        if let Kind::Transpose(Transpose { perm }) = kind {
            let axes: Option<Vec<usize>> = perm.iter().map(|&p| self.axes.get(p).copied()).collect();
            let Some(axes) = axes else { return false };
            self.axes = axes;
        } else if matches!(kind, Kind::Identity | Kind::Cast(_)) {
            if node.outputs.iter().any(|&y| graph.fact(y) != graph.fact(x)) {
                return false;
            }
        } else {
            let Some(step) = Step::of(graph, node, x) else { return false };
            let axis = match step.axis.map(|axis| self.axes.get(axis)) {
                None => None,
                Some(Some(&axis)) => Some(axis),
                Some(None) => return false,
            };
            if self.axis.is_some() && axis.is_some() && self.axis != axis {
                return false;
            }
            self.axis = self.axis.or(axis);
            let len = self.factor.len().max(step.factor.len()).max(step.shift.len()).max(self.shift.len());
            let by = |list: &[f64], i: usize| list.get(i).or(list.last()).copied().unwrap_or(0.0);
            let each = |of: &dyn Fn(usize) -> f64| (0..len).map(of).collect::<Vec<f64>>();
            let shift = each(&|i| by(&self.shift, i) * by(&step.factor, i) + by(&step.shift, i));
            self.factor = each(&|i| by(&self.factor, i) * by(&step.factor, i));
            self.shift = shift;
        }
        self.nodes.push(id);
        true
    }

    /// Builds the factor and the shift as vectors of length `len`.
    pub(super) fn numbers(&self, b: &mut Builder<'_>, len: usize) -> [ValueId; 2] {
        [&self.factor, &self.shift].map(|list| {
            let numbers = list.iter().cycle().take(len).map(|&v| v as f32).collect();
            b.constant(Tensor::f32(&[len], numbers))
        })
    }

    /// Builds x·a, and x·a + c.
    pub(super) fn parts(&self, b: &mut Builder<'_>) -> Result<[ValueId; 2], heatlens_graph::GraphError> {
        let mut dims = vec![Dim::Fixed(1); b.shape(self.start).rank()];
        if let Some(dim) = self.axis.and_then(|axis| dims.get_mut(axis)) {
            *dim = Dim::Fixed(self.factor.len());
        }
        let len = self.factor.len();
        let [factor, shift] = self.numbers(b, len);
        let [factor, shift] = [b.reshape(factor, Shape(dims.clone()))?, b.reshape(shift, Shape(dims))?];
        let scaled = b.mul(self.start, factor)?;
        Ok([scaled, b.add(scaled, shift)?])
    }

    /// Builds the relevance of x; that of the shift is absorbed.
    pub(super) fn share(&self, b: &mut Builder<'_>, relevance: ValueId) -> Built {
        let [scaled, sum] = self.parts(b)?;
        let s = over(b, relevance, sum, STABILISER)?;
        b.mul(scaled, s)
    }
}

impl Step {
    /// Returns the effect of a node on its input `x`, if it is a factor and a shift per channel.
    fn of(graph: &Graph, node: &Node, x: ValueId) -> Option<Self> {
        if let Kind::BatchNormalization(BatchNormalization { epsilon }) = node.op.kind() {
            (node.inputs.first() == Some(&Some(x))).then_some(())?;
            let numbers = |i: usize| Some(graph.constant(node.inputs.get(i).copied()??)?.to_f64());
            let (scale, shift, mean, variance) = (numbers(1)?, numbers(2)?, numbers(3)?, numbers(4)?);
            let deviation = |v: &f64| (v + f64::from(*epsilon)).sqrt();
            let factor: Vec<f64> = scale.iter().zip(&variance).map(|(s, v)| s / deviation(v)).collect();
            let shift = shift.iter().zip(mean.iter().zip(&factor)).map(|(c, (m, f))| c - m * f).collect();
            return Some(Self { axis: Some(1), factor, shift });
        }
        let Kind::Binary(function) = node.op.kind() else { return None };
        let &[Some(left), Some(right)] = node.inputs.as_slice() else { return None };
        let (number, behind) = if left == x { (right, true) } else { (left, false) };
        let output = &graph.fact(*node.outputs.first()?).shape;
        (graph.fact(x).shape == *output).then_some(())?;
        let tensor = graph.constant(number)?;
        let (axis, numbers) = (axis_of(tensor, output.rank())?, tensor.to_f64());
        let each = |of: fn(f64) -> f64| numbers.iter().map(|&v| of(v)).collect();
        let (factor, shift) = match (function, behind) {
            (BinaryFunction::Add, _) => (vec![1.0], numbers),
            (BinaryFunction::Sub, true) => (vec![1.0], each(|v| -v)),
            (BinaryFunction::Sub, false) => (vec![-1.0], numbers),
            (BinaryFunction::Mul, _) => (numbers, vec![0.0]),
            (BinaryFunction::Div, true) => (each(f64::recip), vec![0.0]),
            _ => return None,
        };
        Some(Self { axis, factor, shift })
    }
}

/// Returns the axis, of `rank` axes, along which a tensor varies when it is broadcast; `Some(None)` for a single
/// value.
fn axis_of(tensor: &Tensor, rank: usize) -> Option<Option<usize>> {
    let shape = tensor.shape();
    let missing = rank.checked_sub(shape.len())?;
    let mut long = shape.iter().enumerate().filter(|(_, n)| **n != 1);
    match (long.next(), long.next()) {
        (None, _) => Some(None),
        (Some((axis, &n)), None) if n > 0 => Some(Some(missing + axis)),
        _ => None,
    }
}

/// Returns true if a node computes new values rather than moving them.
pub(super) fn is_arithmetic(node: &Node) -> bool {
    matches!(node.op.kind(), Kind::Binary(_) | Kind::BatchNormalization(_))
}
