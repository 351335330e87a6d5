//! Functions that files spell out in several operators: SiLU as `x · σ(x)`, GELU as `x · (1 + erf(x ÷ √2)) ÷ 2`.
//!
//! Computed as one function, they take one pass over their elements instead of two and five.

use heatlens_graph::op::binary::{Binary, BinaryFunction};
use heatlens_graph::op::unary::{Unary, UnaryFunction};
use heatlens_graph::{Node, NodeId, ValueId};

use crate::lower::Lowering;
use crate::lower::elementwise::function::Function;

/// A function whose last operator is a given node.
pub(super) struct Idiom {
    pub(super) function: Function,
    pub(super) x: ValueId,
    /// Results of its other operators, which nothing else reads.
    pub(super) inner: Vec<ValueId>,
}

impl Idiom {
    /// Returns the function that ends with the node, if there is one.
    pub(super) fn ending_with(lowering: &Lowering<'_>, node: &Node) -> Option<Self> {
        silu(lowering, node).or_else(|| gelu(lowering, node))
    }

    /// Returns the last node of the function that is the only reader of the value, its argument.
    pub(super) fn reader(lowering: &Lowering<'_>, x: ValueId) -> Option<NodeId> {
        /// Operators of GELU from the last that reads x to its end.
        const LONGEST: usize = 3;
        let &[_, reader] = lowering.uses.of(x) else { return None };
        let next = |&reader: &NodeId| lowering.uses.only(lowering.graph.node(reader).outputs[0]);
        std::iter::successors(Some(reader), next).take(LONGEST).find(|&last| {
            Self::ending_with(lowering, lowering.graph.node(last)).is_some_and(|idiom| idiom.x == x)
        })
    }
}

/// A pattern of operators that is being followed from its end to its argument.
struct Trail<'l, 'a> {
    lowering: &'l Lowering<'a>,
    inner: Vec<ValueId>,
}

impl<'l> Trail<'l, '_> {
    /// Returns the node that computes the value, if only one node reads it.
    fn maker(&mut self, id: ValueId) -> Option<&'l Node> {
        let hidden = self.lowering.uses.only(id).is_some() && !self.lowering.is_output(id);
        let maker = self.lowering.graph.producer(id).filter(|_| hidden)?;
        self.inner.push(id);
        Some(self.lowering.graph.node(maker))
    }

    /// Returns the operand of a unary function.
    fn unary(&mut self, id: ValueId, function: UnaryFunction) -> Option<ValueId> {
        let node = self.maker(id)?;
        (Lowering::op(node) == Some(&Unary(function))).then_some(node.inputs[0])?
    }

    /// Returns the other operand of an operator that has the number as one of its operands.
    fn with_number(&mut self, id: ValueId, function: BinaryFunction, number: f32) -> Option<ValueId> {
        let lowering = self.lowering;
        with_number(lowering, self.maker(id)?, function, number)
    }
}

/// Returns the operands of a binary function.
fn operands(node: &Node, function: BinaryFunction) -> Option<[ValueId; 2]> {
    let &[Some(a), Some(b)] = node.inputs.as_slice() else { return None };
    (Lowering::op(node) == Some(&Binary(function))).then_some([a, b])
}

/// Returns the operand beside the number, which may be on either side unless it is divided by.
fn with_number(
    lowering: &Lowering<'_>,
    node: &Node,
    function: BinaryFunction,
    number: f32,
) -> Option<ValueId> {
    /// Relative difference of numbers with a few digits less than `f32` has.
    const NEAR: f64 = 1e-6;
    let [a, b] = operands(node, function)?;
    let is_number = |id: ValueId| {
        let tensor = lowering.graph.constant(id)?.to_f64();
        let &[value] = tensor.as_slice() else { return None };
        Some((value / f64::from(number) - 1.0).abs() < NEAR)
    };
    match (is_number(a), is_number(b)) {
        (_, Some(true)) => Some(a),
        (Some(true), _) if function != BinaryFunction::Div => Some(b),
        _ => None,
    }
}

fn silu(lowering: &Lowering<'_>, node: &Node) -> Option<Idiom> {
    let [a, b] = operands(node, BinaryFunction::Mul)?;
    [(a, b), (b, a)].into_iter().find_map(|(x, sigmoid)| {
        let mut trail = Trail { lowering, inner: Vec::new() };
        let argument = trail.unary(sigmoid, UnaryFunction::Sigmoid)?;
        (argument == x).then_some(Idiom { function: Function::Silu, x, inner: trail.inner })
    })
}

fn gelu(lowering: &Lowering<'_>, node: &Node) -> Option<Idiom> {
    let product = with_number(lowering, node, BinaryFunction::Mul, 0.5)?;
    let mut trail = Trail { lowering, inner: Vec::new() };
    let [a, b] = operands(trail.maker(product)?, BinaryFunction::Mul)?;
    let inner = trail.inner;
    [(a, b), (b, a)].into_iter().find_map(|(x, sum)| {
        let mut trail = Trail { lowering, inner: inner.clone() };
        let erf = trail.with_number(sum, BinaryFunction::Add, 1.0)?;
        let scaled = trail.unary(erf, UnaryFunction::Erf)?;
        let scale = trail.maker(scaled)?;
        let divided = with_number(lowering, scale, BinaryFunction::Div, std::f32::consts::SQRT_2);
        let times = || with_number(lowering, scale, BinaryFunction::Mul, std::f32::consts::FRAC_1_SQRT_2);
        let argument = divided.or_else(times)?;
        (argument == x).then_some(Idiom {
            function: Function::Unary(UnaryFunction::Gelu),
            x,
            inner: trail.inner,
        })
    })
}
