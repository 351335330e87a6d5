//! DeepLIFT multipliers by the Rescale rule (Shrikumar et al. 2017, "Learning Important Features Through
//! Propagating Activation Differences").
//!
//! The graph contains the network twice: once for the image and once for a reference. The values propagated
//! backwards are multipliers, the contribution of each value's difference from the reference to that of the score,
//! per unit: m = Δy ÷ Δx through a function of one value, the plain derivative through linear operators. The paper
//! gives no rules for other operators; the following ones preserve Σ m·Δx = Δy exactly:
//!
//! - A product uses its derivative at the mean of both passes, and likewise a ratio: the two orders of replacing
//!   one factor before the other have equal weight (as in Lundberg and Lee 2017, SHAP).
//! - A maximum (max-pool) credits the winner on the image with the gain over the reference's maximum, and the
//!   winner on the reference with the loss (as in SHAP and Captum).
//! - Softmax and layer normalization are decomposed into such operators.
//!
//! Any other operator is rejected with an error that names it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use heatlens_graph::compose::normalization::standardize;
use heatlens_graph::op::binary::BinaryFunction;
use heatlens_graph::op::global_pool::GlobalPoolFunction;
use heatlens_graph::op::layer_normalization::LayerNormalization;
use heatlens_graph::op::reduce::ReduceFunction;
use heatlens_graph::op::softmax::Softmax;
use heatlens_graph::op::unary::UnaryFunction;
use heatlens_graph::op::r#where::Where;
use heatlens_graph::op::{Kind, at, require_value};
use heatlens_graph::{
    Backward, Builder, Graph, GraphError, InputGrads, Node, OpError, Rules, ValueId, differentiate,
};

use crate::rule::Network;

type Built = Result<ValueId, GraphError>;
/// Relative difference below which values differ only by rounding, and the derivative is used instead.
const ROUNDING: f32 = 1e-5;

/// The Rescale rule for an image and a reference.
#[derive(Debug)]
pub struct DeepLift {
    /// For each value that depends on the image, its counterpart on the reference.
    twins: RefCell<BTreeMap<ValueId, ValueId>>,
}

/// Rule for the multipliers of an operator.
enum Way {
    Derivative,
    Rescale,
    MeanOfBoth,
    Ratio,
    Winners,
    Softmax(Softmax),
    Normalise(LayerNormalization),
}

impl DeepLift {
    /// Appends the network applied to `reference`, which has the shape of `image`.
    ///
    /// # Errors
    /// If the reference has a different shape.
    pub fn new(
        network: &Network,
        graph: &mut Graph,
        image: ValueId,
        reference: ValueId,
    ) -> Result<Self, GraphError> {
        let rule = Self { twins: RefCell::new(BTreeMap::from([(image, reference)])) };
        let nodes: Vec<Node> = network.nodes(graph).map(|id| graph.node(id).clone()).collect();
        for node in nodes {
            let twin = rule.twin(&node);
            let id =
                graph.add_node(&format!("{}/reference", node.name), Arc::clone(&node.op), &twin.inputs)?;
            let outputs = graph.node(id).outputs.clone();
            rule.twins.borrow_mut().extend(node.outputs.iter().copied().zip(outputs));
        }
        Ok(rule)
    }

    /// Returns the counterpart of a value on the reference: the value itself if it does not depend on the image.
    fn at_reference(&self, value: ValueId) -> ValueId {
        self.twins.borrow().get(&value).copied().unwrap_or(value)
    }

    fn varies(&self, value: ValueId) -> bool {
        self.twins.borrow().contains_key(&value)
    }

    /// Returns the counterpart of a node on the reference.
    fn twin(&self, node: &Node) -> Node {
        let inputs = node.inputs.iter().map(|i| i.map(|i| self.at_reference(i))).collect();
        let outputs = node.outputs.iter().map(|&o| self.at_reference(o)).collect();
        Node { inputs, outputs, ..node.clone() }
    }

    /// Builds the difference between a value and its counterpart on the reference.
    fn difference(&self, b: &mut Builder<'_>, value: ValueId) -> Built {
        b.sub(value, self.at_reference(value))
    }

    fn way(&self, node: &Node) -> Option<Way> {
        let varying = node.inputs.iter().flatten().filter(|&&v| self.varies(v)).count();
        let varies = |i: usize| node.inputs.get(i).copied().flatten().is_some_and(|v| self.varies(v));
        use BinaryFunction as F;
        let kind = node.op.kind();
        match kind {
            _ if kind.is_moving() => Some(Way::Derivative),
            _ if kind.is_weighted_sum() && varying == 1 => Some(Way::Derivative),
            Kind::Cast(_) | Kind::AveragePool(_) | Kind::GlobalPool(GlobalPoolFunction::Average) => {
                Some(Way::Derivative)
            }
            Kind::BatchNormalization(_) => (varying == 1).then_some(Way::Derivative),
            Kind::Where => (!varies(0)).then_some(Way::Derivative),
            Kind::MatMul => Some(Way::MeanOfBoth),
            Kind::Clip(_) | Kind::Elementwise => (varying == 1).then_some(Way::Rescale),
            Kind::MaxPool(_) | Kind::GlobalPool(GlobalPoolFunction::Max) => Some(Way::Winners),
            Kind::Reduce(reduce) => match reduce.function {
                ReduceFunction::Max | ReduceFunction::Min => Some(Way::Winners),
                ReduceFunction::Sum | ReduceFunction::Mean => Some(Way::Derivative),
                _ => None,
            },
            Kind::Softmax(softmax) => (!softmax.log).then_some(Way::Softmax(*softmax)),
            Kind::LayerNormalization(norm) => (varying == 1).then_some(Way::Normalise(*norm)),
            Kind::Unary(_) => Some(Way::Rescale),
            Kind::Binary(F::Add | F::Sub) => Some(Way::Derivative),
            Kind::Binary(F::Mul) => Some(if varying == 2 { Way::MeanOfBoth } else { Way::Derivative }),
            Kind::Binary(F::Div) if varying == 2 => Some(Way::Ratio),
            Kind::Binary(F::Max | F::Min) if varying == 2 => Some(Way::Winners),
            Kind::Binary(F::Div) if varies(0) => Some(Way::Derivative),
            Kind::Binary(F::Div | F::Max | F::Min) => Some(Way::Rescale),
            Kind::Binary(F::PRelu | F::Pow) if varying == 1 && varies(0) => Some(Way::Rescale),
            _ => None,
        }
    }

    fn multipliers(&self, b: &mut Builder<'_>, node: &Node, m: ValueId, wanted: &[bool]) -> InputGrads {
        let way = self.way(node).ok_or_else(|| {
            let what = "DeepLIFT has no rule for this operator; integrated_gradients and gradient support it";
            at(node, OpError::Invalid(what.to_owned()))
        })?;
        match way {
            Way::Derivative => node.op.vjp(b, &Backward { node, output_grads: &[Some(m)], wanted }),
            Way::Rescale => self.rescale(b, node, m, wanted),
            Way::MeanOfBoth => self.mean_of_both(b, node, m, wanted),
            Way::Ratio => self.ratio(b, node, m),
            Way::Winners => self.winners(b, node, m, wanted),
            Way::Softmax(softmax) => {
                let formula = |b: &mut Builder<'_>, x: ValueId| written_softmax(b, node, softmax, x);
                self.written_out(b, node, m, &formula)
            }
            Way::Normalise(norm) => {
                let formula = |b: &mut Builder<'_>, x: ValueId| written_normalisation(b, node, norm, x);
                self.written_out(b, node, m, &formula)
            }
        }
    }

    /// Builds m · Δy ÷ Δx, or the derivative if Δx is within rounding error.
    fn rescale(&self, b: &mut Builder<'_>, node: &Node, m: ValueId, wanted: &[bool]) -> InputGrads {
        let mut found = vec![None; node.inputs.len()];
        let position = wanted.iter().position(|&wanted| wanted).unwrap_or(0);
        let x = require_value(node, position)?;
        let (dx, dy) = (self.difference(b, x)?, self.difference(b, node.outputs[0])?);
        let reference = self.at_reference(x);
        let sizes = [dx, x, reference].map(|v| b.unary(UnaryFunction::Abs, v));
        let [size, here, there] = sizes;
        let sum = b.add(here?, there?)?;
        let rounding = b.scale(sum, ROUNDING)?;
        let apart = b.binary(BinaryFunction::Greater, size?, rounding)?;
        let slope = b.div(dy, dx)?;
        let secant = b.mul(m, slope)?;
        let tangent = match node
            .op
            .vjp(b, &Backward { node, output_grads: &[Some(m)], wanted })?
            .get(position)
            .copied()
            .flatten()
        {
            Some(tangent) => tangent,
            None => b.scalar(0.0),
        };
        found[position] = Some(b.apply(Where, &[apart, secant, tangent])?);
        Ok(found)
    }

    /// Builds the derivative of a product at the mean of image and reference.
    fn mean_of_both(&self, b: &mut Builder<'_>, node: &Node, m: ValueId, wanted: &[bool]) -> InputGrads {
        let mut between = node.clone();
        for input in between.inputs.iter_mut().flatten() {
            let sum = b.add(*input, self.at_reference(*input))?;
            *input = b.scale(sum, 0.5)?;
        }
        node.op.vjp(b, &Backward { node: &between, output_grads: &[Some(m)], wanted })
    }

    /// Builds the multipliers of x ÷ d, as the product of x and 1 ÷ d.
    fn ratio(&self, b: &mut Builder<'_>, node: &Node, m: ValueId) -> InputGrads {
        let (x, d) = (require_value(node, 0)?, require_value(node, 1)?);
        let (x0, d0) = (self.at_reference(x), self.at_reference(d));
        let [inverse, inverse0] = [d, d0].map(|d| b.unary(UnaryFunction::Reciprocal, d));
        let (inverse, inverse0) = (inverse?, inverse0?);
        let sum = b.add(inverse, inverse0)?;
        let mean = b.scale(sum, 0.5)?;
        let of_x = b.mul(m, mean)?;
        let sum = b.add(x, x0)?;
        let mean = b.scale(sum, -0.5)?;
        let slope = b.mul(inverse, inverse0)?;
        let slope = b.mul(mean, slope)?;
        Ok(vec![Some(of_x), Some(b.mul(m, slope)?)])
    }

    /// Divides the change of a maximum between its winners on the image and on the reference.
    fn winners(&self, b: &mut Builder<'_>, node: &Node, m: ValueId, wanted: &[bool]) -> InputGrads {
        let twin = self.twin(node);
        let (y, y0) = (node.outputs[0], twin.outputs[0]);
        let least = match node.op.kind() {
            Kind::Binary(function) => function == BinaryFunction::Min,
            Kind::Reduce(reduce) => reduce.function == ReduceFunction::Min,
            _ => false,
        };
        let further = if least { BinaryFunction::Min } else { BinaryFunction::Max };
        let best = b.binary(further, y, y0)?;
        let (gain, loss) = (b.sub(best, y0)?, b.sub(y, best)?);
        let (gain, loss) = (b.mul(m, gain)?, b.mul(m, loss)?);
        let gains = node.op.vjp(b, &Backward { node, output_grads: &[Some(gain)], wanted })?;
        let losses = node.op.vjp(b, &Backward { node: &twin, output_grads: &[Some(loss)], wanted })?;
        let mut found = vec![None; node.inputs.len()];
        for (position, (gain, loss)) in gains.into_iter().zip(losses).enumerate() {
            let (Some(gain), Some(loss)) = (gain, loss) else { continue };
            let owed = b.add(gain, loss)?;
            let dx = self.difference(b, require_value(node, position)?)?;
            let zero = b.scalar(0.0);
            let same = b.binary(BinaryFunction::Equal, dx, zero)?;
            let per_unit = b.div(owed, dx)?;
            found[position] = Some(b.apply(Where, &[same, zero, per_unit])?);
        }
        Ok(found)
    }

    /// Builds the multipliers of an operator through an equivalent formula.
    fn written_out(
        &self,
        b: &mut Builder<'_>,
        node: &Node,
        m: ValueId,
        formula: &dyn Fn(&mut Builder<'_>, ValueId) -> Built,
    ) -> InputGrads {
        let x = require_value(node, 0)?;
        let first = b.graph().values().len();
        let y = formula(b, x)?;
        let between = b.graph().values().len();
        formula(b, self.at_reference(x))?;
        // The same formula appends the same values in the same order.
        let ids: Vec<ValueId> = b.graph().value_ids().skip(first).collect();
        let (here, there) = ids.split_at(between - first);
        let varies = heatlens_graph::differentiate::depends_on(b.graph(), &[x]);
        let pairs = here.iter().copied().zip(there.iter().copied());
        self.twins.borrow_mut().extend(pairs.filter(|(here, _)| varies[here.index()]));
        let mut found = vec![None; node.inputs.len()];
        found[0] = differentiate(b.graph_mut(), &node.name, y, m, &[x], self)?.first().copied();
        Ok(found)
    }
}

/// Builds e^(x − max x) ÷ Σ e^(x − max x).
fn written_softmax(b: &mut Builder<'_>, node: &Node, softmax: Softmax, x: ValueId) -> Built {
    let shape = b.shape(x);
    let axis = shape.axis(softmax.axis);
    let axis = axis.ok_or_else(|| at(node, OpError::Invalid(format!("axis {} of {shape}", softmax.axis))))?;
    let largest = b.reduce(ReduceFunction::Max, x, &[axis], true)?;
    let below = b.sub(x, largest)?;
    let power = b.unary(UnaryFunction::Exp, below)?;
    let sum = b.sum(power, &[axis], true)?;
    b.div(power, sum)
}

/// Builds (x − mean) ÷ deviation · scale + bias.
fn written_normalisation(b: &mut Builder<'_>, node: &Node, norm: LayerNormalization, x: ValueId) -> Built {
    let shape = b.shape(x);
    let first = norm.axis_of(&shape).map_err(|e| at(node, e))?;
    let axes: Vec<usize> = (first..shape.rank()).collect();
    let mut y = standardize(b, x, &axes, norm.epsilon)?;
    if let Some(scale) = node.inputs.get(1).copied().flatten() {
        y = b.mul(y, scale)?;
    }
    match node.inputs.get(2).copied().flatten() {
        Some(bias) => b.add(y, bias),
        None => Ok(y),
    }
}

impl Rules for DeepLift {
    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> Option<InputGrads> {
        let Some(m) = back.grad() else { return Some(back.nothing()) };
        Some(self.multipliers(builder, back.node, m, back.wanted))
    }
}
