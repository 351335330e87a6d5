//! Properties of a value that hold for every image: bounds of its elements, and their sum.
//!
//! A sigmoid lies within 0…1, the mean of bounded values lies within the same bounds, and if p lies within 0…1, so does
//! 1 − p. The elements of a softmax sum to 1, and so do those of [1 − p, p] for any p. These properties are derived by
//! interval arithmetic, node by node, without running the network.

use std::collections::BTreeMap;

use heatlens_graph::op::Kind;
use heatlens_graph::op::binary::BinaryFunction;
use heatlens_graph::op::clip::Clip;
use heatlens_graph::op::global_pool::GlobalPoolFunction;
use heatlens_graph::op::reduce::{Reduce, ReduceFunction};
use heatlens_graph::op::unary::UnaryFunction;
use heatlens_graph::{DType, Graph, Node, ValueId};

/// Larger constants are weights; their bounds say nothing about an output.
const MOST_ELEMENTS: usize = 1 << 16;
/// Maximum number of values in a sum that is tracked.
const MOST_TERMS: usize = 64;
/// Factors below this are rounding errors.
const ROUNDING: f64 = 1e-5;
/// Maximum amount that a clamp may cut off at either end of 0…1 to count as one that only keeps logarithms finite.
const HARMLESS: f64 = 1e-3;

/// Sum of a value's elements: a constant plus multiples of the sums of other values.
#[derive(Clone, Debug, Default, PartialEq)]
struct Total {
    constant: f64,
    terms: BTreeMap<ValueId, f64>,
}

impl Total {
    fn constant(constant: f64) -> Self {
        Self { constant, terms: BTreeMap::new() }
    }

    fn of(value: ValueId) -> Self {
        Self { constant: 0.0, terms: BTreeMap::from([(value, 1.0)]) }
    }

    /// Returns `factor` · self + `shift`.
    fn affine(&self, factor: f64, shift: f64) -> Self {
        let terms = self.terms.iter().map(|(&value, own)| (value, own * factor)).collect();
        Self { constant: self.constant * factor + shift, terms }
    }

    fn plus(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        sum.constant += other.constant;
        for (&value, factor) in &other.terms {
            *sum.terms.entry(value).or_default() += factor;
        }
        sum.terms.retain(|_, factor| factor.abs() > ROUNDING);
        sum
    }
}

/// Known properties of a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Known {
    /// Lower bound of the elements.
    pub(super) low: f64,
    /// Upper bound of the elements.
    pub(super) high: f64,
    total: Total,
}

impl Known {
    fn within(value: ValueId, low: f64, high: f64) -> Self {
        let (low, high) = if low.is_nan() || high.is_nan() { UNBOUNDED } else { (low, high) };
        Self { low, high, total: Total::of(value) }
    }

    fn adding_up_to(self, total: f64) -> Self {
        Self { total: Total::constant(total), ..self }
    }

    /// Returns the sum of the elements if it is constant.
    pub(super) fn total(&self) -> Option<f64> {
        self.total.terms.is_empty().then_some(self.total.constant)
    }

    /// True if all elements lie within `low`…`high`, up to rounding.
    pub(super) fn lies_within(&self, low: f64, high: f64) -> bool {
        let slack = ROUNDING * (high - low).abs();
        self.low >= low - slack && self.high <= high + slack
    }
}

const UNBOUNDED: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);

/// Returns the known properties of each value of a graph.
pub(super) fn known(graph: &Graph) -> Vec<Known> {
    let start = |id: ValueId| {
        let (low, high) = constant_bounds(graph, id).unwrap_or(UNBOUNDED);
        Known::within(id, low, high)
    };
    let mut all: Vec<Known> = graph.value_ids().map(start).collect();
    for node in graph.nodes() {
        let &[output] = node.outputs.as_slice() else { continue };
        if graph.fact(output).dtype != DType::F32 {
            continue;
        }
        if let Some(found) = (Follow { graph, all: &all, node, output }).result() {
            all[output.index()] = found;
        }
    }
    all
}

/// True if clamping values within 0…1 only keeps them off the ends.
pub(super) fn is_harmless(clip: Clip) -> bool {
    f64::from(clip.min) <= HARMLESS && f64::from(clip.max) >= 1.0 - HARMLESS
}

/// Returns the number that all elements of a constant are equal to.
pub(super) fn uniform(graph: &Graph, id: ValueId) -> Option<f64> {
    let (low, high) = constant_bounds(graph, id)?;
    (low.to_bits() == high.to_bits()).then_some(low)
}

fn constant_bounds(graph: &Graph, id: ValueId) -> Option<(f64, f64)> {
    let values = graph.constant(id)?.as_f32().filter(|v| !v.is_empty() && v.len() <= MOST_ELEMENTS)?;
    let bounds = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &v| {
        (low.min(f64::from(v)), high.max(f64::from(v)))
    });
    values.iter().all(|v| !v.is_nan()).then_some(bounds)
}

/// Returns the minimum and maximum of some numbers, or NaN if one of them is NaN.
fn hull(values: &[f64]) -> (f64, f64) {
    if values.iter().any(|v| v.is_nan()) {
        return (f64::NAN, f64::NAN);
    }
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)))
}

/// A node whose inputs have been processed.
struct Follow<'a> {
    graph: &'a Graph,
    all: &'a [Known],
    node: &'a Node,
    output: ValueId,
}

impl Follow<'_> {
    fn id(&self, index: usize) -> Option<ValueId> {
        self.node.inputs.get(index).copied().flatten()
    }

    fn input(&self, index: usize) -> Option<&Known> {
        Some(&self.all[self.id(index)?.index()])
    }

    fn len(&self, id: ValueId) -> Option<f64> {
        #[allow(clippy::cast_precision_loss)] // a count of scores
        self.graph.fact(id).shape.len_per_sample().map(|len| len as f64)
    }

    fn within(&self, (low, high): (f64, f64)) -> Known {
        Known::within(self.output, low, high)
    }

    fn result(&self) -> Option<Known> {
        match self.node.op.kind() {
            Kind::Unary(function) => self.unary(function),
            Kind::Binary(function) => self.binary(function),
            Kind::Softmax(softmax) if softmax.log => Some(self.within((f64::NEG_INFINITY, 0.0))),
            Kind::Softmax(softmax) => {
                let axis = self.graph.fact(self.output).shape.axis(softmax.axis)?;
                let groups = self.len(self.output)? / size(self.graph, self.output, axis)?;
                Some(self.within((0.0, 1.0)).adding_up_to(groups))
            }
            Kind::Clip(clip) => self.clip(*clip),
            Kind::Reduce(reduce) => self.reduce(reduce),
            Kind::GlobalPool(function) => {
                let input = self.input(0)?;
                let places = self.len(self.id(0)?)? / self.len(self.output)?;
                let mut found = self.within((input.low, input.high));
                if function == GlobalPoolFunction::Average {
                    found.total = input.total.affine(1.0 / places, 0.0);
                }
                Some(found)
            }
            Kind::Concat(_) => self.concat(),
            Kind::Transpose(_) => self.input(0).cloned(),
            Kind::Slice(_) | Kind::Gather(_) => self.input(0).map(|x| self.within((x.low, x.high))),
            Kind::Where => {
                let (a, b) = (self.input(1)?, self.input(2)?);
                Some(self.within((a.low.min(b.low), a.high.max(b.high))))
            }
            kind => self.input(0).filter(|_| kind.is_renaming()).cloned(),
        }
    }

    fn unary(&self, function: UnaryFunction) -> Option<Known> {
        use UnaryFunction as F;
        let x = self.input(0)?;
        let bounds = match function {
            F::Sigmoid | F::HardSigmoid { .. } => (0.0, 1.0),
            F::Tanh | F::Softsign | F::Erf | F::Sin | F::Cos | F::Sign => (-1.0, 1.0),
            F::Relu if x.low >= 0.0 => return Some(x.clone()),
            F::Relu => (0.0, x.high.max(0.0)),
            F::Softplus => (0.0, f64::INFINITY),
            F::Exp => (x.low.exp(), x.high.exp()),
            F::Abs => (0.0, x.low.abs().max(x.high.abs())),
            F::Neg => {
                let found = self.within((-x.high, -x.low));
                return Some(Known { total: x.total.affine(-1.0, 0.0), ..found });
            }
            F::Sqrt if x.low >= 0.0 => (x.low.sqrt(), x.high.sqrt()),
            F::Log if x.low >= 0.0 => (x.low.ln(), x.high.ln()),
            F::Reciprocal if x.low > 0.0 => (1.0 / x.high, 1.0 / x.low),
            _ => return None,
        };
        Some(self.within(bounds))
    }

    fn binary(&self, function: BinaryFunction) -> Option<Known> {
        use BinaryFunction as F;
        let (a, b) = (self.input(0)?, self.input(1)?);
        let products = |low: f64, high: f64| hull(&[a.low * low, a.low * high, a.high * low, a.high * high]);
        let bounds = match function {
            F::Add => (a.low + b.low, a.high + b.high),
            F::Sub => (a.low - b.high, a.high - b.low),
            F::Mul if self.id(0) == self.id(1) => (0.0, products(b.low, b.high).1),
            F::Mul => products(b.low, b.high),
            F::Div if self.is_normalised(a) => (0.0, 1.0),
            F::Div if b.low > 0.0 => products(1.0 / b.high, 1.0 / b.low),
            F::Max => (a.low.max(b.low), a.high.max(b.high)),
            F::Min => (a.low.min(b.low), a.high.min(b.high)),
            _ => return None,
        };
        let mut found = self.within(bounds);
        if let Some(total) = self.total(function, a, b).filter(|t| t.terms.len() <= MOST_TERMS) {
            found.total = total;
        }
        Some(found)
    }

    /// Returns the sum of the elements of a sum, difference, product or quotient.
    fn total(&self, function: BinaryFunction, a: &Known, b: &Known) -> Option<Total> {
        use BinaryFunction as F;
        let (left, right) = (self.id(0)?, self.id(1)?);
        let whole = |id: ValueId| self.graph.fact(id).shape == self.graph.fact(self.output).shape;
        let constant = |id: ValueId| uniform(self.graph, id);
        let len = self.len(self.output)?;
        match function {
            F::Add if whole(left) && whole(right) => Some(a.total.plus(&b.total)),
            F::Sub if whole(left) && whole(right) => Some(a.total.plus(&b.total.affine(-1.0, 0.0))),
            F::Add if whole(left) => Some(a.total.affine(1.0, constant(right)? * len)),
            F::Add if whole(right) => Some(b.total.affine(1.0, constant(left)? * len)),
            F::Sub if whole(left) => Some(a.total.affine(1.0, -constant(right)? * len)),
            F::Sub if whole(right) => Some(b.total.affine(-1.0, constant(left)? * len)),
            F::Mul if whole(left) => Some(a.total.affine(constant(right)?, 0.0)),
            F::Mul if whole(right) => Some(b.total.affine(constant(left)?, 0.0)),
            F::Div if whole(left) && self.is_normalised(a) => {
                Some(Total::constant(len / self.len(left)? * self.groups()?))
            }
            F::Div if whole(left) => Some(a.total.affine(1.0 / constant(right)?, 0.0)),
            _ => None,
        }
    }

    /// Returns the reduction that computes the divisor, if the divisor is the sum of the dividend.
    fn sum(&self) -> Option<&Reduce> {
        let sum = self.graph.node(self.graph.producer(self.id(1)?)?);
        let Kind::Reduce(reduce) = sum.op.kind() else { return None };
        let same = sum.inputs.first().copied().flatten() == self.id(0);
        (same && reduce.function == ReduceFunction::Sum && reduce.keep_dims).then_some(reduce)
    }

    /// True if a quotient divides non-negative numbers by their sum.
    fn is_normalised(&self, a: &Known) -> bool {
        a.low >= 0.0 && self.sum().is_some()
    }

    /// Returns the number of sums that a quotient divides by.
    fn groups(&self) -> Option<f64> {
        self.sum()?;
        self.len(self.id(1)?)
    }

    fn clip(&self, clip: Clip) -> Option<Known> {
        let x = self.input(0)?;
        let (min, max) = (f64::from(clip.min), f64::from(clip.max));
        let found = self.within((x.low.max(min).min(max), x.high.min(max).max(min)));
        let cuts = x.low < min || x.high > max;
        let harmless = x.lies_within(0.0, 1.0) && is_harmless(clip);
        Some(if cuts && !harmless { found } else { Known { total: x.total.clone(), ..found } })
    }

    fn reduce(&self, reduce: &Reduce) -> Option<Known> {
        let x = self.input(0)?;
        let n = self.len(self.id(0)?)? / self.len(self.output)?;
        Some(match reduce.function {
            ReduceFunction::Mean => {
                Known { total: x.total.affine(1.0 / n, 0.0), ..self.within((x.low, x.high)) }
            }
            ReduceFunction::Sum => Known { total: x.total.clone(), ..self.within((x.low * n, x.high * n)) },
            ReduceFunction::Max | ReduceFunction::Min => self.within((x.low, x.high)),
            _ => return None,
        })
    }

    fn concat(&self) -> Option<Known> {
        let inputs: Option<Vec<&Known>> = (0..self.node.inputs.len()).map(|i| self.input(i)).collect();
        let inputs = inputs?;
        let low = inputs.iter().map(|x| x.low).fold(f64::INFINITY, f64::min);
        let high = inputs.iter().map(|x| x.high).fold(f64::NEG_INFINITY, f64::max);
        let mut found = self.within((low, high));
        let total = inputs.iter().fold(Total::default(), |sum, x| sum.plus(&x.total));
        if total.terms.len() <= MOST_TERMS {
            found.total = total;
        }
        Some(found)
    }
}

fn size(graph: &Graph, id: ValueId, axis: usize) -> Option<f64> {
    #[allow(clippy::cast_precision_loss)] // a number of classes
    graph.fact(id).shape.0.get(axis).map(|d| d.at(1) as f64).filter(|&d| d > 0.0)
}

#[cfg(test)]
mod tests {
    use heatlens_graph::op::concat::Concat;
    use heatlens_graph::op::softmax::Softmax;
    use heatlens_graph::{Builder, Fact, Shape, Tensor};

    use super::*;

    fn of(build: impl Fn(&mut Builder<'_>, ValueId) -> ValueId) -> Known {
        let mut graph = Graph::new("g");
        let x = graph.add_input("x", Fact::f32(Shape::batched(&[3])));
        let y = build(&mut Builder::new(&mut graph, "f"), x);
        known(&graph).swap_remove(y.index())
    }

    fn softmax(b: &mut Builder<'_>, x: ValueId) -> ValueId {
        b.apply(Softmax { axis: -1, log: false }, &[x]).unwrap()
    }

    #[test]
    fn a_mean_of_softmaxes_adds_up_to_one() {
        let found = of(|b, x| {
            let (double, constant) = (b.scale(x, 2.0).unwrap(), b.scalar(0.3));
            let (p, q) = (softmax(b, x), softmax(b, double));
            let p = b.mul(constant, p).unwrap();
            let q = b.scale(q, 0.7).unwrap();
            b.add(p, q).unwrap()
        });
        assert!(found.lies_within(0.0, 1.0), "{found:?}");
        assert!((found.total().unwrap() - 1.0).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn one_less_p_and_p_add_up_to_the_number_of_ps() {
        let found = of(|b, x| {
            let p = b.unary(UnaryFunction::Sigmoid, x).unwrap();
            let one = b.constant(Tensor::scalar(1.0));
            let q = b.sub(one, p).unwrap();
            b.apply(Concat { axis: 1 }, &[q, p]).unwrap()
        });
        assert!(found.lies_within(0.0, 1.0) && found.total() == Some(3.0), "{found:?}");
        let alone = of(|b, x| b.unary(UnaryFunction::Sigmoid, x).unwrap());
        assert!(alone.lies_within(0.0, 1.0) && alone.total().is_none());
    }

    #[test]
    fn what_is_not_bounded_has_no_bounds() {
        let found = of(|b, x| {
            let p = b.unary(UnaryFunction::Sigmoid, x).unwrap();
            b.add(p, x).unwrap()
        });
        assert_eq!((found.low, found.high), UNBOUNDED);
        let clamped = of(|b, x| {
            let p = softmax(b, x);
            b.apply(Clip { min: 0.2, max: 0.8 }, &[p]).unwrap()
        });
        assert!(clamped.lies_within(0.2, 0.8) && clamped.total().is_none(), "{clamped:?}");
    }
}
