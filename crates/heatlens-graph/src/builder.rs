//! Appending nodes to a graph in few words.
//!
//! Formulas and derivatives are written with a [`Builder`]: `b.mul(a, w)?` reads like the formula
//! it stands for. The builder only names nodes and wraps single outputs; shapes are checked by
//! the operators themselves.

use std::sync::Arc;

use crate::error::GraphError;
use crate::fact::{Fact, Shape};
use crate::graph::{Graph, ValueId};
use crate::op::binary::{Binary, BinaryFunction};
use crate::op::expand::Expand;
use crate::op::matmul::MatMul;
use crate::op::reduce::{Reduce, ReduceFunction};
use crate::op::reshape::Reshape;
use crate::op::transpose::Transpose;
use crate::op::unary::{Unary, UnaryFunction};
use crate::op::r#where::Where;
use crate::op::{Operator, to_axes};
use crate::tensor::Tensor;

/// Appends nodes whose names start with a common scope.
#[derive(Debug)]
pub struct Builder<'a> {
    graph: &'a mut Graph,
    scope: String,
}

type Built = Result<ValueId, GraphError>;

impl<'a> Builder<'a> {
    /// A builder for `graph`; nodes are called `scope/Operator`.
    pub fn new(graph: &'a mut Graph, scope: &str) -> Self {
        Self { graph, scope: scope.to_owned() }
    }

    /// The graph being built.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        self.graph
    }

    /// The graph being built, to add inputs or outputs.
    pub fn graph_mut(&mut self) -> &mut Graph {
        self.graph
    }

    /// Type and shape of a value.
    #[must_use]
    pub fn fact(&self, id: ValueId) -> &Fact {
        self.graph.fact(id)
    }

    /// Shape of a value.
    #[must_use]
    pub fn shape(&self, id: ValueId) -> Shape {
        self.graph.fact(id).shape.clone()
    }

    /// Applies an operator and returns its first output.
    ///
    /// # Errors
    /// If the operator refuses the inputs.
    pub fn apply(&mut self, op: impl Operator, inputs: &[ValueId]) -> Built {
        let inputs: Vec<_> = inputs.iter().map(|&i| Some(i)).collect();
        self.apply_optional(op, &inputs)
    }

    /// Applies an operator some of whose inputs may be left out, and returns its first output.
    ///
    /// # Errors
    /// If the operator refuses the inputs.
    pub fn apply_optional(&mut self, op: impl Operator, inputs: &[Option<ValueId>]) -> Built {
        let name = format!("{}/{}", self.scope, op.spelling().name);
        let node = self.graph.add_node(&name, Arc::new(op), inputs)?;
        let outputs = &self.graph.node(node).outputs;
        outputs.first().copied().ok_or_else(|| GraphError::Malformed(format!("node {name:?} has no output")))
    }

    /// A stored array.
    pub fn constant(&mut self, tensor: Tensor) -> ValueId {
        let name = format!("{}/Constant", self.scope);
        self.graph.add_constant(&name, tensor)
    }

    /// A stored number.
    pub fn scalar(&mut self, value: f32) -> ValueId {
        self.constant(Tensor::scalar(value))
    }

    /// A function of one value, element by element.
    ///
    /// # Errors
    /// If the value is not floating point.
    pub fn unary(&mut self, function: UnaryFunction, x: ValueId) -> Built {
        self.apply(Unary(function), &[x])
    }

    /// max(x, 0).
    ///
    /// # Errors
    /// If the value is not floating point.
    pub fn relu(&mut self, x: ValueId) -> Built {
        self.unary(UnaryFunction::Relu, x)
    }

    /// −x.
    ///
    /// # Errors
    /// If the value is not floating point.
    pub fn neg(&mut self, x: ValueId) -> Built {
        self.unary(UnaryFunction::Neg, x)
    }

    /// A function of two values with broadcasting.
    ///
    /// # Errors
    /// If the shapes do not broadcast.
    pub fn binary(&mut self, function: BinaryFunction, a: ValueId, b: ValueId) -> Built {
        self.apply(Binary(function), &[a, b])
    }

    /// a + b.
    ///
    /// # Errors
    /// If the shapes do not broadcast.
    pub fn add(&mut self, a: ValueId, b: ValueId) -> Built {
        self.binary(BinaryFunction::Add, a, b)
    }

    /// a − b.
    ///
    /// # Errors
    /// If the shapes do not broadcast.
    pub fn sub(&mut self, a: ValueId, b: ValueId) -> Built {
        self.binary(BinaryFunction::Sub, a, b)
    }

    /// a · b, element by element.
    ///
    /// # Errors
    /// If the shapes do not broadcast.
    pub fn mul(&mut self, a: ValueId, b: ValueId) -> Built {
        self.binary(BinaryFunction::Mul, a, b)
    }

    /// a ÷ b.
    ///
    /// # Errors
    /// If the shapes do not broadcast.
    pub fn div(&mut self, a: ValueId, b: ValueId) -> Built {
        self.binary(BinaryFunction::Div, a, b)
    }

    /// `x · factor`.
    ///
    /// # Errors
    /// If the value is not floating point.
    pub fn scale(&mut self, x: ValueId, factor: f32) -> Built {
        let factor = self.scalar(factor);
        self.mul(x, factor)
    }

    /// `x > 0`, as a mask.
    ///
    /// # Errors
    /// If the value is not floating point.
    pub fn is_positive(&mut self, x: ValueId) -> Built {
        let zero = self.scalar(0.0);
        self.binary(BinaryFunction::Greater, x, zero)
    }

    /// `x` where the mask holds, 0 elsewhere.
    ///
    /// # Errors
    /// If the shapes do not broadcast.
    pub fn keep_where(&mut self, mask: ValueId, x: ValueId) -> Built {
        let zero = self.scalar(0.0);
        self.apply(Where, &[mask, x, zero])
    }

    /// Sum over `axes`; with `keep` they stay as sizes of 1.
    ///
    /// # Errors
    /// If an axis does not exist.
    pub fn sum(&mut self, x: ValueId, axes: &[usize], keep: bool) -> Built {
        self.reduce(ReduceFunction::Sum, x, axes, keep)
    }

    /// Mean over `axes`; with `keep` they stay as sizes of 1.
    ///
    /// # Errors
    /// If an axis does not exist.
    pub fn mean(&mut self, x: ValueId, axes: &[usize], keep: bool) -> Built {
        self.reduce(ReduceFunction::Mean, x, axes, keep)
    }

    /// A reduction over `axes`; with `keep` they stay as sizes of 1.
    ///
    /// # Errors
    /// If an axis does not exist.
    pub fn reduce(&mut self, function: ReduceFunction, x: ValueId, axes: &[usize], keep: bool) -> Built {
        self.apply(Reduce { function, axes: to_axes(axes), keep_dims: keep }, &[x])
    }

    /// The same elements under another shape.
    ///
    /// # Errors
    /// If the number of elements differs.
    pub fn reshape(&mut self, x: ValueId, shape: Shape) -> Built {
        if self.fact(x).shape == shape {
            return Ok(x);
        }
        self.apply(Reshape { shape }, &[x])
    }

    /// Repeated along sizes of 1 (and new leading axes) until it has `shape`.
    ///
    /// # Errors
    /// If the shapes do not broadcast.
    pub fn expand(&mut self, x: ValueId, shape: Shape) -> Built {
        if self.fact(x).shape == shape {
            return Ok(x);
        }
        self.apply(Expand { shape }, &[x])
    }

    /// Axes in another order: output axis `i` is input axis `perm[i]`.
    ///
    /// # Errors
    /// If `perm` is not a permutation.
    pub fn transpose(&mut self, x: ValueId, perm: &[usize]) -> Built {
        self.apply(Transpose { perm: perm.to_vec() }, &[x])
    }

    /// The matrix product of the last two axes.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn matmul(&mut self, a: ValueId, b: ValueId) -> Built {
        self.apply(MatMul, &[a, b])
    }

    /// Swaps the last two axes.
    ///
    /// # Errors
    /// If there are fewer than two.
    pub fn transpose_last(&mut self, x: ValueId) -> Built {
        let rank = self.fact(x).shape.rank();
        let mut perm: Vec<usize> = (0..rank).collect();
        if rank < 2 {
            return Err(GraphError::Malformed(
                "a value of rank below 2 has no matrix to transpose".to_owned(),
            ));
        }
        perm.swap(rank - 1, rank - 2);
        self.transpose(x, &perm)
    }
}
