//! Log odds of probabilities that are not a plain sigmoid or softmax.
//!
//! Outputs such as the mean of several models' sigmoids, [1 − p, p], or a softmax averaged over places have no logits
//! to step back to. Their log odds z = ln p − ln(1 − p) are used instead: the sigmoid of z is the probability, z ranks
//! classes as the probabilities do, and z does not saturate. Computing 1 − p by subtraction would cancel for p close to
//! 1, so the complement is propagated through the graph: 1 − sigmoid(z) = sigmoid(−z), and the complement of class k of
//! a softmax is the sum of the other classes.

use std::sync::Arc;

use heatlens_graph::op::Kind;
use heatlens_graph::op::binary::BinaryFunction;
use heatlens_graph::op::concat::Concat;
use heatlens_graph::op::global_pool::GlobalPoolFunction;
use heatlens_graph::op::reduce::ReduceFunction;
use heatlens_graph::op::unary::UnaryFunction;
use heatlens_graph::{Builder, Graph, GraphError, Node, Tensor, ValueId};

use super::value_bounds::{Known, is_harmless, uniform};
use super::{Activation, decomposed_softmax};

/// Maximum number of classes for which the sum of the others is a matrix product; with more, the matrix would be too
/// large and subtraction is used.
const MOST_CLASSES: usize = 2048;
/// Maximum depth to which the computation of a value is analysed; below it, 1 − p is computed by subtraction.
const MOST_DEEP: usize = 32;
/// Maximum number of values analysed in total.
const MOST_PAIRS: usize = 1024;
/// Lower bound of probabilities before their logarithm.
const TINY: f32 = f32::MIN_POSITIVE;
/// Tolerance for the sum of a mixture's weights, which are rounded.
const ROUNDING: f64 = 1e-5;

/// A probability and its complement, both computed without cancellation.
#[derive(Clone, Copy)]
struct Pair {
    p: ValueId,
    q: ValueId,
}

/// Appends ln(v ÷ scale) − ln(1 − v ÷ scale) for the value `v`, whose elements lie within 0…`scale`.
///
/// # Errors
/// If the graph is too large.
pub(super) fn log_odds(
    graph: &mut Graph,
    known: &[Known],
    value: ValueId,
    scale: f64,
) -> Result<ValueId, GraphError> {
    let mut odds = Odds { b: Builder::new(graph, "log_odds"), known, depth: 0, left: MOST_PAIRS };
    let Pair { p, q } = odds.pair(value, scale)?;
    let (p, q) = (odds.log(p)?, odds.log(q)?);
    odds.b.sub(p, q)
}

struct Odds<'g, 'k> {
    b: Builder<'g>,
    known: &'k [Known],
    /// Current depth of the analysis.
    depth: usize,
    /// Number of values that may still be analysed.
    left: usize,
}

type Paired = Result<Pair, GraphError>;

impl Odds<'_, '_> {
    fn log(&mut self, p: ValueId) -> Result<ValueId, GraphError> {
        let tiny = self.b.scalar(TINY);
        let p = self.b.binary(BinaryFunction::Max, p, tiny)?;
        self.b.unary(UnaryFunction::Log, p)
    }

    /// Appends a value divided by `scale`, and its complement.
    fn pair(&mut self, value: ValueId, scale: f64) -> Paired {
        if self.depth < MOST_DEEP && self.left > 0 {
            self.left -= 1;
            self.depth += 1;
            let found = if is_unit(scale) { self.structure(value)? } else { None };
            let found = if found.is_none() { self.mixture(value, scale)? } else { found };
            self.depth -= 1;
            if let Some(found) = found {
                return Ok(found);
            }
        }
        let p = if is_unit(scale) { value } else { self.scaled(value, 1.0 / scale)? };
        let total = self.known.get(value.index()).and_then(Known::total);
        let others = total.is_some_and(|total| (total / scale - 1.0).abs() < ROUNDING);
        let q = if others { self.others(p, 1)? } else { self.complement(p)? };
        Ok(Pair { p, q })
    }

    /// Appends a value with elements within 0…1 and its complement, according to the node that computes it.
    fn structure(&mut self, value: ValueId) -> Result<Option<Pair>, GraphError> {
        if let Some((z, activation)) = decomposed_softmax::activation(self.b.graph(), value) {
            return match activation {
                Activation::Sigmoid => self.sigmoid(value, z).map(Some),
                Activation::Softmax => {
                    Ok(Some(Pair { p: value, q: self.others(value, self.b.shape(value).rank() - 1)? }))
                }
                _ => Ok(None),
            };
        }
        let Some(node) = self.b.graph().producer(value).map(|id| self.b.graph().node(id).clone()) else {
            return Ok(None);
        };
        let kind = node.op.kind();
        if let Kind::Concat(concat) = kind {
            return self.concat(*concat, &node);
        }
        let Some(input) = node.inputs.first().copied().flatten() else { return Ok(None) };
        if kind == Kind::Unary(UnaryFunction::Sigmoid) {
            return self.sigmoid(value, input).map(Some);
        }
        if let Kind::Softmax(softmax) = kind
            && !softmax.log
        {
            let axis = self.b.shape(value).axis(softmax.axis).unwrap_or(1);
            return Ok(Some(Pair { p: value, q: self.others(value, axis)? }));
        }
        if let Kind::Clip(clip) = kind {
            let within = self.known.get(input.index()).is_some_and(|x| x.lies_within(0.0, 1.0));
            return if within && is_harmless(*clip) { self.pair(input, 1.0).map(Some) } else { Ok(None) };
        }
        if carries(&node) && self.known.get(input.index()).is_some_and(|x| x.lies_within(0.0, 1.0)) {
            let Pair { p, q } = self.pair(input, 1.0)?;
            return Ok(Some(Pair { p: self.again(&node, p)?, q: self.again(&node, q)? }));
        }
        Ok(None)
    }

    fn sigmoid(&mut self, value: ValueId, z: ValueId) -> Paired {
        let negated = self.b.neg(z)?;
        Ok(Pair { p: value, q: self.b.unary(UnaryFunction::Sigmoid, negated)? })
    }

    fn concat(&mut self, concat: Concat, node: &Node) -> Result<Option<Pair>, GraphError> {
        let (mut ps, mut qs) = (Vec::new(), Vec::new());
        for input in node.inputs.iter().flatten() {
            let within = self.known.get(input.index()).is_some_and(|x| x.lies_within(0.0, 1.0));
            if !within {
                return Ok(None);
            }
            let Pair { p, q } = self.pair(*input, 1.0)?;
            ps.push(p);
            qs.push(q);
        }
        Ok(Some(Pair { p: self.b.apply(concat, &ps)?, q: self.b.apply(concat, &qs)? }))
    }

    /// Appends the same node again with another input.
    fn again(&mut self, node: &Node, input: ValueId) -> Result<ValueId, GraphError> {
        let graph = self.b.graph_mut();
        let id = graph.add_node(&format!("log_odds/{}", node.name), Arc::clone(&node.op), &[Some(input)])?;
        let output = graph.node(id).outputs.first().copied();
        output.ok_or_else(|| GraphError::Malformed(format!("node {:?} has no output", node.name)))
    }

    /// Appends a weighted sum of probabilities and its complement. A negative weight becomes a positive one on the
    /// complement: 1 − p is 0 + 1 · (1 − p).
    fn mixture(&mut self, value: ValueId, scale: f64) -> Result<Option<Pair>, GraphError> {
        let Some(sum) = affine(self.b.graph(), value) else { return Ok(None) };
        let plain = sum.terms.as_slice() == [(value, 1.0)];
        let probabilities = |&(id, _): &(ValueId, f64)| {
            let within = self.known.get(id.index()).is_some_and(|x| x.lies_within(0.0, 1.0));
            within && self.b.shape(id) == self.b.shape(value)
        };
        if plain || !sum.terms.iter().all(probabilities) {
            return Ok(None);
        }
        let negative: f64 = sum.terms.iter().map(|t| t.1.min(0.0)).sum();
        let base = (sum.constant + negative) / scale;
        let weights: f64 = sum.terms.iter().map(|t| t.1.abs()).sum::<f64>() / scale;
        let rest = 1.0 - base - weights;
        if base < -ROUNDING || rest < -ROUNDING {
            return Ok(None);
        }
        let (mut p, mut q) = (None, None);
        for (id, weight) in sum.terms {
            let inner = self.pair(id, 1.0)?;
            let (one, other) = if weight > 0.0 { (inner.p, inner.q) } else { (inner.q, inner.p) };
            p = Some(self.plus(p, one, weight.abs() / scale)?);
            q = Some(self.plus(q, other, weight.abs() / scale)?);
        }
        let (Some(p), Some(q)) = (p, q) else { return Ok(None) };
        Ok(Some(Pair { p: self.shifted(p, base)?, q: self.shifted(q, rest)? }))
    }

    fn plus(&mut self, sum: Option<ValueId>, x: ValueId, weight: f64) -> Result<ValueId, GraphError> {
        let x = if is_unit(weight) { x } else { self.scaled(x, weight)? };
        sum.map_or(Ok(x), |sum| self.b.add(sum, x))
    }

    #[allow(clippy::cast_possible_truncation)] // weights came from single precision
    fn scaled(&mut self, x: ValueId, factor: f64) -> Result<ValueId, GraphError> {
        self.b.scale(x, factor as f32)
    }

    #[allow(clippy::cast_possible_truncation)]
    fn shifted(&mut self, x: ValueId, by: f64) -> Result<ValueId, GraphError> {
        if by.abs() <= ROUNDING {
            return Ok(x);
        }
        let by = self.b.scalar(by as f32);
        self.b.add(x, by)
    }

    fn complement(&mut self, p: ValueId) -> Result<ValueId, GraphError> {
        let one = self.b.scalar(1.0);
        self.b.sub(one, p)
    }

    /// Appends, for each class, the sum of all others along `axis`.
    fn others(&mut self, p: ValueId, axis: usize) -> Result<ValueId, GraphError> {
        let shape = self.b.shape(p);
        let classes = shape.0.get(axis).map_or(1, |d| d.at(1));
        if shape.rank() == 2 && axis == 1 && classes <= MOST_CLASSES {
            let row = |k: usize| (0..classes).map(move |j| if j == k { 0.0 } else { 1.0 });
            let matrix = (0..classes).flat_map(row).collect();
            let matrix = self.b.constant(Tensor::f32(&[classes, classes], matrix));
            return self.b.matmul(p, matrix);
        }
        let sum = self.b.sum(p, &[axis], true)?;
        self.b.sub(sum, p)
    }
}

fn is_unit(factor: f64) -> bool {
    (factor - 1.0).abs() < ROUNDING
}

/// True if a node that maps x to y maps 1 − x to 1 − y: it rearranges, selects or averages elements.
fn carries(node: &Node) -> bool {
    match node.op.kind() {
        Kind::Transpose(_)
        | Kind::Slice(_)
        | Kind::Gather(_)
        | Kind::GlobalPool(GlobalPoolFunction::Average) => true,
        Kind::Reduce(reduce) => reduce.function == ReduceFunction::Mean,
        kind => kind.is_renaming(),
    }
}

/// A constant plus weighted values.
#[derive(Default)]
struct Affine {
    constant: f64,
    terms: Vec<(ValueId, f64)>,
}

/// Maximum number of terms in a sum; longer sums are not analysed.
const MOST_TERMS: usize = 64;
/// Maximum number of steps in which a sum is expanded.
const MOST_STEPS: usize = 1024;

/// Returns a value as a weighted sum of values that are not sums themselves.
fn affine(graph: &Graph, value: ValueId) -> Option<Affine> {
    let mut sum = Affine::default();
    let mut open = vec![(value, 1.0)];
    // A value repeatedly added to itself would take exponentially many steps.
    let mut steps = 0;
    while let Some((id, weight)) = open.pop() {
        steps += 1;
        if sum.terms.len() + open.len() > MOST_TERMS || steps > MOST_STEPS {
            return None;
        }
        if let Some(constant) = uniform(graph, id) {
            sum.constant += weight * constant;
            continue;
        }
        let node = graph.producer(id).map(|node| graph.node(node));
        let parts = node.and_then(|node| parts(graph, node, weight));
        match parts {
            Some(parts) => open.extend(parts),
            None => match sum.terms.iter_mut().find(|(known, _)| *known == id) {
                Some((_, known)) => *known += weight,
                None => sum.terms.push((id, weight)),
            },
        }
    }
    sum.terms.sort_by_key(|(id, _)| *id);
    Some(sum)
}

/// Returns the weighted values that a node sums up, if it is a sum.
fn parts(graph: &Graph, node: &Node, weight: f64) -> Option<Vec<(ValueId, f64)>> {
    use BinaryFunction as F;
    let constant = |id: ValueId| uniform(graph, id);
    let function = match node.op.kind() {
        Kind::Unary(UnaryFunction::Neg) => {
            return Some(vec![(node.inputs.first().copied().flatten()?, -weight)]);
        }
        Kind::Binary(function) => function,
        _ => return None,
    };
    let &[Some(a), Some(b)] = node.inputs.as_slice() else { return None };
    match function {
        F::Add => Some(vec![(b, weight), (a, weight)]),
        F::Sub => Some(vec![(b, -weight), (a, weight)]),
        F::Mul => match (constant(a), constant(b)) {
            (_, Some(factor)) => Some(vec![(a, weight * factor)]),
            (Some(factor), None) => Some(vec![(b, weight * factor)]),
            (None, None) => None,
        },
        F::Div => constant(b).map(|divisor| vec![(a, weight / divisor)]),
        _ => None,
    }
}
