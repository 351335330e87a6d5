//! Recognition of probabilities and of the logits they are computed from.

use heatlens_graph::op::Kind;
use heatlens_graph::op::binary::BinaryFunction;
use heatlens_graph::op::clip::Clip;
use heatlens_graph::op::unary::UnaryFunction;
use heatlens_graph::{Builder, Graph, GraphError, Node, Uses, ValueId};

use super::value_bounds::{Known, is_harmless, uniform};
use super::{Activation, decomposed_softmax, log_odds, without_renaming};

/// Scale of an output in percent.
const PER_CENT: f64 = 100.0;
/// Tolerance for sums and factors, which are rounded.
const ROUNDING: f64 = 1e-4;

/// Interpretation of an output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scores {
    /// The logits, or the value they are computed from.
    from: ValueId,
    /// Factor and offset that turn a hard sigmoid's input into logits.
    affine: [f32; 2],
    /// Function from the logits to the output.
    pub(super) activation: Activation,
    /// Value in the output that represents a probability of 1.
    pub(super) scale: f64,
    /// True if the scores of a sample are known to have a constant sum, so that the classes are mutually exclusive.
    pub(super) exclusive: bool,
}

impl Scores {
    fn new(from: ValueId, activation: Activation, scale: f64, exclusive: bool) -> Self {
        Self { from, affine: [1.0, 0.0], activation, scale, exclusive }
    }

    /// Returns the logits, appending them to the graph if it has none.
    ///
    /// # Errors
    /// If the graph is too large.
    pub(super) fn logits(&self, graph: &mut Graph, known: &[Known]) -> Result<ValueId, GraphError> {
        match self.activation {
            Activation::LogOdds => log_odds::log_odds(graph, known, self.from, self.scale),
            Activation::HardSigmoid => {
                let mut b = Builder::new(graph, "hard_sigmoid");
                let scaled = b.scale(self.from, self.affine[0])?;
                let shift = b.scalar(self.affine[1]);
                b.add(scaled, shift)
            }
            _ => Ok(self.from),
        }
    }
}

/// Interprets an output of `samples` samples. `uses` lists the nodes of the file that read each value.
pub(super) fn read(graph: &Graph, uses: &Uses, known: &[Known], output: ValueId, samples: usize) -> Scores {
    if let Some(found) = step_back(graph, uses, known, output).or_else(|| hard(graph, known, output)) {
        return found;
    }
    let inner = logarithm(graph, output).unwrap_or(output);
    match range(&known[inner.index()], samples) {
        Some((scale, exclusive)) => Scores::new(inner, Activation::LogOdds, scale, exclusive),
        None => Scores::new(output, Activation::None, 1.0, false),
    }
}

/// Returns the scale of probabilities with these bounds, and true if they sum to it.
fn range(of: &Known, samples: usize) -> Option<(f64, bool)> {
    #[allow(clippy::cast_precision_loss)] // a number of images
    let total = of.total().map(|total| total / samples as f64).filter(|total| *total > 0.0);
    if let Some(total) = total.filter(|&total| of.lies_within(0.0, total)) {
        let rounded = if (total - 1.0).abs() < ROUNDING { 1.0 } else { total };
        return Some((rounded, true));
    }
    if of.lies_within(0.0, 1.0) {
        return Some((1.0, false));
    }
    let per_cent = of.lies_within(0.0, PER_CENT) && (of.high - PER_CENT).abs() < ROUNDING;
    per_cent.then_some((PER_CENT, false))
}

/// Returns the input of a final logarithm.
fn logarithm(graph: &Graph, output: ValueId) -> Option<ValueId> {
    let node = graph.node(graph.producer(without_renaming(graph, output))?);
    match node.op.kind() {
        Kind::Unary(UnaryFunction::Log) => node.inputs.first().copied().flatten(),
        _ => None,
    }
}

/// Returns the input of the sigmoid or softmax that produces the output. Between the two there may be reshapes, clamps
/// that only keep logarithms finite, a logarithm and a constant factor.
fn step_back(graph: &Graph, uses: &Uses, known: &[Known], output: ValueId) -> Option<Scores> {
    let (mut at, mut scale, mut log, mut exp) = (output, 1.0, false, false);
    loop {
        // A gate inside the network is not a head: its result is also used elsewhere.
        if at != output && uses.of(at).len() > 1 {
            return None;
        }
        let node = graph.producer(at).map(|id| graph.node(id))?;
        if let Some((logits, activation)) = decomposed_softmax::activation(graph, at).or_else(|| plain(node))
        {
            return ended(logits, activation, scale, log, exp);
        }
        let input = step(graph, known, node, &mut scale, log)?;
        match node.op.kind() {
            Kind::Unary(UnaryFunction::Log) if !log && !exp => log = true,
            Kind::Unary(UnaryFunction::Exp) if !log && !exp => exp = true,
            Kind::Unary(UnaryFunction::Log | UnaryFunction::Exp) => return None,
            _ => {}
        }
        at = input;
    }
}

/// Returns the input of a node that does not change the meaning of the output.
fn step(graph: &Graph, known: &[Known], node: &Node, scale: &mut f64, log: bool) -> Option<ValueId> {
    let kind = node.op.kind();
    if let Kind::Binary(function) = kind {
        let &[Some(a), Some(b)] = node.inputs.as_slice() else { return None };
        let (input, factor) = match (function, uniform(graph, a), uniform(graph, b)) {
            (BinaryFunction::Mul, _, Some(factor)) => (a, factor),
            (BinaryFunction::Mul, Some(factor), None) => (b, factor),
            (BinaryFunction::Div, _, Some(divisor)) => (a, 1.0 / divisor),
            _ => return None,
        };
        *scale *= factor;
        return (!log && *scale > 0.0).then_some(input);
    }
    let input = node.inputs.first().copied().flatten()?;
    let neutral = match kind {
        Kind::Clip(clip) => known[input.index()].lies_within(0.0, 1.0) && is_harmless(*clip),
        Kind::Unary(UnaryFunction::Log | UnaryFunction::Exp) => true,
        kind => kind.is_renaming(),
    };
    neutral.then_some(input)
}

/// Returns the activation computed by a node, and its input.
fn plain(node: &Node) -> Option<(ValueId, Activation)> {
    let input = node.inputs.first().copied().flatten()?;
    match node.op.kind() {
        Kind::Softmax(softmax) if softmax.log => Some((input, Activation::LogSoftmax)),
        Kind::Softmax(_) => Some((input, Activation::Softmax)),
        Kind::Unary(UnaryFunction::Sigmoid) => Some((input, Activation::Sigmoid)),
        _ => None,
    }
}

/// Returns the interpretation if factor and logarithm are consistent with the activation found.
fn ended(logits: ValueId, activation: Activation, scale: f64, log: bool, exp: bool) -> Option<Scores> {
    let is = |wanted: f64| (scale - wanted).abs() < ROUNDING * wanted;
    let (activation, fits) = match activation {
        Activation::Softmax if log => (Activation::LogSoftmax, is(1.0)),
        Activation::LogSoftmax if exp => (Activation::Softmax, true),
        Activation::Softmax => (Activation::Softmax, !exp),
        Activation::Sigmoid => (Activation::Sigmoid, !exp && !log && (is(1.0) || is(PER_CENT))),
        other => (other, !log && !exp && is(1.0)),
    };
    let exclusive = matches!(activation, Activation::Softmax | Activation::LogSoftmax);
    fits.then(|| Scores::new(logits, activation, scale, exclusive))
}

/// Recognises a final hard sigmoid: α · x + β, clamped to 0…1. The explained value is α · x + β − ½, without the clamp.
fn hard(graph: &Graph, known: &[Known], output: ValueId) -> Option<Scores> {
    let (mut at, mut scale) = (output, 1.0);
    loop {
        let node = graph.node(graph.producer(at)?);
        let input = node.inputs.first().copied().flatten()?;
        let kind = node.op.kind();
        if let Kind::Unary(UnaryFunction::HardSigmoid { alpha, beta }) = kind {
            return clamped(input, [alpha.get(), beta.get() - 0.5], scale);
        }
        if let Kind::Clip(&Clip { min, max }) = kind {
            let ends = [f64::from(min) * scale, f64::from(max) * scale];
            let cuts = !known[input.index()].lies_within(f64::from(min), f64::from(max));
            let unit = cuts && ends[0].abs() < ROUNDING && (ends[1] - 1.0).abs() < ROUNDING;
            #[allow(clippy::cast_possible_truncation)] // it came from single precision
            return if unit { clamped(input, [scale as f32, -0.5], 1.0) } else { None };
        }
        at = step(graph, known, node, &mut scale, false)
            .filter(|_| kind.is_renaming() || matches!(kind, Kind::Binary(_)))?;
    }
}

fn clamped(x: ValueId, affine: [f32; 2], scale: f64) -> Option<Scores> {
    let fits = (scale - 1.0).abs() < ROUNDING || (scale - PER_CENT).abs() < ROUNDING;
    fits.then(|| Scores { affine, ..Scores::new(x, Activation::HardSigmoid, scale, false) })
}
