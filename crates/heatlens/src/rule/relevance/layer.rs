//! Rules for layers with weights: convolutions and matrix products with constant matrices.

use std::sync::Arc;

use heatlens_graph::op::binary::BinaryFunction;
use heatlens_graph::op::gemm::Gemm;
use heatlens_graph::op::r#where::Where;
use heatlens_graph::op::{Kind, at, require_value};
use heatlens_graph::{Backward, Builder, Graph, GraphError, Node, OpError, Shape, ValueId};

use super::affine::Affine;
use super::{Built, STABILISER};
use crate::rule::Network;

/// Rule by which a layer z = Σ x·w + b distributes the relevance of its outputs to its inputs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LayerRule {
    /// In proportion to x·w; this value keeps the denominator away from 0. The bias absorbs its share.
    Epsilon(f32),
    /// In proportion to x·w, with terms of the sign of z amplified by this factor.
    Gamma(f32),
    /// alpha times in proportion to the positive x·w, minus alpha − 1 times in proportion to the negative ones.
    AlphaBeta {
        /// Weight of the positive part.
        alpha: f32,
        /// True if the bias absorbs its share.
        bias: bool,
    },
    /// In proportion to x·w − low·max(w, 0) − high·min(w, 0), for inputs between two bounds.
    Box {
        /// Smallest possible input value.
        low: f32,
        /// Largest possible input value.
        high: f32,
    },
    /// Evenly, regardless of inputs and weights.
    Flat,
}

/// A node interpreted as a layer with weights.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layer {
    x: usize,
    w: usize,
    bias: usize,
    dense: bool,
}

impl Layer {
    /// Interprets a node as a layer; `None` if it is not a layer with weights.
    pub(super) fn of(network: &Network, node: &Node) -> Option<Self> {
        let kind = node.op.kind();
        let dense = matches!(kind, Kind::Gemm(_) | Kind::MatMul);
        if !kind.is_weighted_sum() {
            return None;
        }
        let varies = |i: usize| node.inputs.get(i).copied().flatten().is_some_and(|v| network.varies(v));
        match [0, 1, 2].map(varies) {
            [true, false, false] => Some(Self { x: 0, w: 1, bias: 2, dense }),
            [false, true, false] if dense => Some(Self { x: 1, w: 0, bias: 2, dense }),
            _ => None,
        }
    }

    pub(super) fn is_dense(self) -> bool {
        self.dense
    }

    pub(super) fn x_position(self) -> usize {
        self.x
    }

    /// Returns the input value of the layer, which `of` has checked to exist.
    pub(super) fn x(self, node: &Node) -> ValueId {
        node.inputs.get(self.x).copied().flatten().unwrap_or(node.outputs[0])
    }

    /// Returns true if a factor and a shift along an axis of the outputs can be merged into the layer.
    pub(super) fn takes(self, graph: &Graph, node: &Node, axis: Option<usize>) -> bool {
        let rank = node.outputs.first().map_or(0, |&y| graph.fact(y).shape.rank());
        let channels = if self.dense { rank.checked_sub(1) } else { Some(1) };
        let transposed = matches!(node.op.kind(), Kind::ConvTranspose(_));
        self.x == 0 && !transposed && (axis.is_none() || axis == channels)
    }

    /// Returns the layer's weights and bias, merged with those of the arithmetic after it.
    pub(super) fn merge(
        self,
        b: &mut Builder<'_>,
        node: &Node,
        after: Option<&Affine>,
    ) -> Result<Merged, GraphError> {
        let x = require_value(node, self.x)?;
        let mut w = require_value(node, self.w)?;
        let mut bias = node.inputs.get(self.bias).copied().flatten();
        let mut op = Arc::clone(&node.op);
        if let Kind::Gemm(gemm) = node.op.kind() {
            // Factors are merged into weights and bias, which then have the correct signs.
            w = b.scale(w, gemm.alpha)?;
            bias = bias.map(|bias| b.scale(bias, gemm.beta)).transpose()?;
            op = Arc::new(Gemm { alpha: 1.0, beta: 1.0, ..*gemm });
        }
        let mut y = node.outputs[0];
        if let Some(after) = after {
            let shape = b.shape(y);
            let channels = if self.dense { shape.0.last() } else { shape.0.get(1) };
            let [factor, shift] = after.numbers(b, channels.map_or(1, |dim| dim.at(1)));
            let along = self.along_outputs(b, node, factor)?;
            w = b.mul(w, along)?;
            bias = Some(match bias {
                Some(bias) => {
                    let scaled = b.mul(bias, factor)?;
                    b.add(scaled, shift)?
                }
                None => shift,
            });
            [_, y] = after.parts(b)?;
        }
        Ok(Merged { node: Node { op, ..node.clone() }, layer: self, x, w, bias, y })
    }

    /// Reshapes one value per output channel so that it broadcasts over the weights.
    fn along_outputs(self, b: &mut Builder<'_>, node: &Node, vector: ValueId) -> Built {
        let rank = b.shape(require_value(node, self.w)?).rank();
        let last = match node.op.kind() {
            Kind::Gemm(gemm) => self.w == 1 && !gemm.trans_b,
            _ => self.dense,
        };
        let mut dims = b.shape(vector).0;
        if !last {
            dims.resize(rank, 1.into());
        }
        b.reshape(vector, Shape(dims))
    }
}

/// A layer with merged weights.
pub(super) struct Merged {
    node: Node,
    layer: Layer,
    x: ValueId,
    w: ValueId,
    bias: Option<ValueId>,
    y: ValueId,
}

/// The layer with other inputs and weights.
#[derive(Clone, Copy)]
struct Part {
    x: ValueId,
    w: ValueId,
    bias: Option<ValueId>,
}

impl Merged {
    fn variant(&self, part: Part) -> Node {
        let mut node = self.node.clone();
        node.inputs = vec![None; 3];
        node.inputs[self.layer.x] = Some(part.x);
        node.inputs[self.layer.w] = Some(part.w);
        node.inputs[self.layer.bias] = part.bias.filter(|_| self.takes_bias());
        while node.inputs.last() == Some(&None) {
            node.inputs.pop();
        }
        node
    }

    /// Builds Σ x·w + b of a part.
    fn forward(&self, b: &mut Builder<'_>, part: Part) -> Built {
        let node = self.variant(part);
        let name = format!("{}/part", node.name);
        let id = b.graph_mut().add_node(&name, Arc::clone(&node.op), &node.inputs)?;
        let sum = b.graph().node(id).outputs[0];
        match part.bias.filter(|_| !self.takes_bias()) {
            Some(bias) => b.add(sum, bias),
            None => Ok(sum),
        }
    }

    /// Returns true if the operator adds a bias itself. Of the others only a matrix product gets one, along its
    /// last axis.
    fn takes_bias(&self) -> bool {
        self.node.op.kind() != Kind::MatMul
    }

    /// Builds x ⊙ Σ s·w of a part.
    fn backward(&self, b: &mut Builder<'_>, part: Part, s: ValueId) -> Built {
        let node = self.variant(part);
        let wanted: Vec<bool> = (0..node.inputs.len()).map(|i| i == self.layer.x).collect();
        let grads = node.op.vjp(b, &Backward { node: &node, output_grads: &[Some(s)], wanted: &wanted })?;
        let grad = grads.get(self.layer.x).copied().flatten();
        let grad = grad.ok_or_else(|| at(&self.node, OpError::NoDerivative { index: self.layer.x }))?;
        b.mul(part.x, grad)
    }

    /// Builds the relevance of the layer's input, given that of its output.
    pub(super) fn share(&self, b: &mut Builder<'_>, rule: LayerRule, relevance: ValueId) -> Built {
        match rule {
            LayerRule::Epsilon(epsilon) => {
                let s = over(b, relevance, self.y, epsilon)?;
                self.backward(b, Part { x: self.x, w: self.w, bias: None }, s)
            }
            LayerRule::Gamma(gamma) => self.gamma(b, gamma, relevance),
            LayerRule::AlphaBeta { alpha, bias } => self.alpha_beta(b, alpha, bias, relevance),
            LayerRule::Box { low, high } => self.boxed(b, [low, high], relevance),
            LayerRule::Flat => self.flat(b, relevance),
        }
    }

    /// Pairs inputs of one sign with `same` and those of the other sign with `other`.
    fn pair(&self, b: &mut Builder<'_>, same: Sided, other: ValueId) -> Result<[Part; 2], GraphError> {
        let [positive, negative] = [positive(b, self.x)?, negative(b, self.x)?];
        Ok([Part { x: positive, w: same.w, bias: same.bias }, Part { x: negative, w: other, bias: None }])
    }

    /// Distributes `relevance` in proportion to the terms of `parts`.
    fn divide(&self, b: &mut Builder<'_>, parts: [Part; 2], relevance: ValueId) -> Built {
        let [first, second] = [self.forward(b, parts[0])?, self.forward(b, parts[1])?];
        let sum = b.add(first, second)?;
        let s = over(b, relevance, sum, STABILISER)?;
        let [first, second] = [self.backward(b, parts[0], s)?, self.backward(b, parts[1], s)?];
        b.add(first, second)
    }

    fn alpha_beta(&self, b: &mut Builder<'_>, alpha: f32, bias: bool, relevance: ValueId) -> Built {
        let bias = self.bias.filter(|_| bias);
        let [up, down] = [positive(b, self.w)?, negative(b, self.w)?];
        let same = Sided { w: up, bias: bias.map(|v| positive(b, v)).transpose()? };
        let parts = self.pair(b, same, down)?;
        let gain = self.divide(b, parts, relevance)?;
        let gain = b.scale(gain, alpha)?;
        if alpha <= 1.0 {
            return Ok(gain);
        }
        let same = Sided { w: down, bias: bias.map(|v| negative(b, v)).transpose()? };
        let parts = self.pair(b, same, up)?;
        let loss = self.divide(b, parts, relevance)?;
        let loss = b.scale(loss, alpha - 1.0)?;
        b.sub(gain, loss)
    }

    /// Builds the γ-rule of Andéol et al. 2021, which amplifies terms with the sign of the output; it equals
    /// Montavon's rule if nothing is negative.
    fn gamma(&self, b: &mut Builder<'_>, gamma: f32, relevance: ValueId) -> Built {
        let raised = |b: &mut Builder<'_>, value: ValueId, part: fn(&mut Builder<'_>, ValueId) -> Built| {
            let part = part(b, value)?;
            let more = b.scale(part, gamma)?;
            b.add(value, more)
        };
        let [up, down] = [raised(b, self.w, positive)?, raised(b, self.w, negative)?];
        let zero = b.scalar(0.0);
        let above = b.binary(BinaryFunction::Greater, self.y, zero)?;
        let below = b.binary(BinaryFunction::Less, self.y, zero)?;
        let bias = self.bias.map(|v| raised(b, v, positive)).transpose()?;
        let parts = self.pair(b, Sided { w: up, bias }, down)?;
        let part = b.keep_where(above, relevance)?;
        let of_positive = self.divide(b, parts, part)?;
        let bias = self.bias.map(|v| raised(b, v, negative)).transpose()?;
        let parts = self.pair(b, Sided { w: down, bias }, up)?;
        let part = b.keep_where(below, relevance)?;
        let of_negative = self.divide(b, parts, part)?;
        b.add(of_positive, of_negative)
    }

    fn boxed(&self, b: &mut Builder<'_>, [low, high]: [f32; 2], relevance: ValueId) -> Built {
        let shape = b.shape(self.x);
        let constant = |b: &mut Builder<'_>, value: f32| {
            let value = b.scalar(value);
            b.expand(value, shape.clone())
        };
        let [up, down] = [positive(b, self.w)?, negative(b, self.w)?];
        let (low, high) = (constant(b, low)?, constant(b, high)?);
        let all = Part { x: self.x, w: self.w, bias: None };
        let parts = [Part { x: low, w: up, bias: None }, Part { x: high, w: down, bias: None }];
        let mut sum = self.forward(b, all)?;
        for part in parts {
            let term = self.forward(b, part)?;
            sum = b.sub(sum, term)?;
        }
        let s = over(b, relevance, sum, STABILISER)?;
        let mut share = self.backward(b, all, s)?;
        for part in parts {
            let term = self.backward(b, part, s)?;
            share = b.sub(share, term)?;
        }
        Ok(share)
    }

    fn flat(&self, b: &mut Builder<'_>, relevance: ValueId) -> Built {
        let one = b.scalar(1.0);
        let (x, w) = (b.shape(self.x), b.shape(self.w));
        let part = Part { x: b.expand(one, x)?, w: b.expand(one, w)?, bias: None };
        let sum = self.forward(b, part)?;
        let s = over(b, relevance, sum, STABILISER)?;
        self.backward(b, part, s)
    }
}

/// Weights and bias for inputs of one sign.
#[derive(Clone, Copy)]
struct Sided {
    w: ValueId,
    bias: Option<ValueId>,
}

fn positive(b: &mut Builder<'_>, x: ValueId) -> Built {
    b.relu(x)
}

fn negative(b: &mut Builder<'_>, x: ValueId) -> Built {
    let zero = b.scalar(0.0);
    b.binary(BinaryFunction::Min, x, zero)
}

/// Builds relevance ÷ (z + epsilon · sign z), where the sign of 0 is +.
pub(super) fn over(b: &mut Builder<'_>, relevance: ValueId, z: ValueId, epsilon: f32) -> Built {
    let (zero, plus, minus) = (b.scalar(0.0), b.scalar(epsilon), b.scalar(-epsilon));
    let below = b.binary(BinaryFunction::Less, z, zero)?;
    let step = b.apply(Where, &[below, minus, plus])?;
    let z = b.add(z, step)?;
    b.div(relevance, z)
}
