//! Concise construction of graphs.
//!
//! Formulas and derivatives are written with a [`Builder`]: `b.mul(a, w)?` reads like the formula it computes. The
//! builder only names nodes and returns single outputs; the operators themselves check shapes.

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
    /// Returns a builder for `graph` that names nodes `scope/Operator`.
    pub fn new(graph: &'a mut Graph, scope: &str) -> Self {
        Self { graph, scope: scope.to_owned() }
    }

    /// Returns the graph being built.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        self.graph
    }

    /// Returns the graph being built, to add inputs or outputs.
    pub fn graph_mut(&mut self) -> &mut Graph {
        self.graph
    }

    /// Returns the type and shape of a value.
    #[must_use]
    pub fn fact(&self, id: ValueId) -> &Fact {
        self.graph.fact(id)
    }

    /// Returns the shape of a value.
    #[must_use]
    pub fn shape(&self, id: ValueId) -> Shape {
        self.graph.fact(id).shape.clone()
    }

    /// Applies an operator and returns its first output.
    ///
    /// # Errors
    /// If the operator rejects the inputs.
    pub fn apply(&mut self, op: impl Operator, inputs: &[ValueId]) -> Built {
        let inputs: Vec<_> = inputs.iter().map(|&i| Some(i)).collect();
        self.apply_optional(op, &inputs)
    }

    /// Applies an operator with optional inputs and returns its first output.
    ///
    /// # Errors
    /// If the operator rejects the inputs.
    pub fn apply_optional(&mut self, op: impl Operator, inputs: &[Option<ValueId>]) -> Built {
        let name = format!("{}/{}", self.scope, op.onnx_form().name);
        let node = self.graph.add_node(&name, Arc::new(op), inputs)?;
        let outputs = &self.graph.node(node).outputs;
        outputs.first().copied().ok_or_else(|| GraphError::Malformed(format!("node {name:?} has no output")))
    }

    /// Adds a constant array.
    pub fn constant(&mut self, tensor: Tensor) -> ValueId {
        let name = format!("{}/Constant", self.scope);
        self.graph.add_constant(&name, tensor)
    }

    /// Adds a constant number.
    pub fn scalar(&mut self, value: f32) -> ValueId {
        self.constant(Tensor::scalar(value))
    }

    /// Applies a function of one value elementwise.
    ///
    /// # Errors
    /// If the value is not floating point.
    pub fn unary(&mut self, function: UnaryFunction, x: ValueId) -> Built {
        self.apply(Unary(function), &[x])
    }

    /// Computes max(x, 0).
    ///
    /// # Errors
    /// If the value is not floating point.
    pub fn relu(&mut self, x: ValueId) -> Built {
        self.unary(UnaryFunction::Relu, x)
    }

    /// Computes −x.
    ///
    /// # Errors
    /// If the value is not floating point.
    pub fn neg(&mut self, x: ValueId) -> Built {
        self.unary(UnaryFunction::Neg, x)
    }

    /// Applies a function of two values elementwise, with broadcasting.
    ///
    /// # Errors
    /// If the shapes do not broadcast.
    pub fn binary(&mut self, function: BinaryFunction, a: ValueId, b: ValueId) -> Built {
        self.apply(Binary(function), &[a, b])
    }

    /// Computes a + b.
    ///
    /// # Errors
    /// If the shapes do not broadcast.
    pub fn add(&mut self, a: ValueId, b: ValueId) -> Built {
        self.binary(BinaryFunction::Add, a, b)
    }

    /// Computes a − b.
    ///
    /// # Errors
    /// If the shapes do not broadcast.
    pub fn sub(&mut self, a: ValueId, b: ValueId) -> Built {
        self.binary(BinaryFunction::Sub, a, b)
    }

    /// Computes a · b elementwise.
    ///
    /// # Errors
    /// If the shapes do not broadcast.
    pub fn mul(&mut self, a: ValueId, b: ValueId) -> Built {
        self.binary(BinaryFunction::Mul, a, b)
    }

    /// Computes a ÷ b elementwise.
    ///
    /// # Errors
    /// If the shapes do not broadcast.
    pub fn div(&mut self, a: ValueId, b: ValueId) -> Built {
        self.binary(BinaryFunction::Div, a, b)
    }

    /// Computes `x · factor`.
    ///
    /// # Errors
    /// If the value is not floating point.
    pub fn scale(&mut self, x: ValueId, factor: f32) -> Built {
        let factor = self.scalar(factor);
        self.mul(x, factor)
    }

    /// Computes the mask `x > 0`.
    ///
    /// # Errors
    /// If the value is not floating point.
    pub fn is_positive(&mut self, x: ValueId) -> Built {
        let zero = self.scalar(0.0);
        self.binary(BinaryFunction::Greater, x, zero)
    }

    /// Selects `x` where the mask is true and 0 elsewhere.
    ///
    /// # Errors
    /// If the shapes do not broadcast.
    pub fn keep_where(&mut self, mask: ValueId, x: ValueId) -> Built {
        let zero = self.scalar(0.0);
        self.apply(Where, &[mask, x, zero])
    }

    /// Sums over `axes`; with `keep`, they remain as axes of size 1.
    ///
    /// # Errors
    /// If an axis does not exist.
    pub fn sum(&mut self, x: ValueId, axes: &[usize], keep: bool) -> Built {
        self.reduce(ReduceFunction::Sum, x, axes, keep)
    }

    /// Averages over `axes`; with `keep`, they remain as axes of size 1.
    ///
    /// # Errors
    /// If an axis does not exist.
    pub fn mean(&mut self, x: ValueId, axes: &[usize], keep: bool) -> Built {
        self.reduce(ReduceFunction::Mean, x, axes, keep)
    }

    /// Reduces over `axes`; with `keep`, they remain as axes of size 1.
    ///
    /// # Errors
    /// If an axis does not exist.
    pub fn reduce(&mut self, function: ReduceFunction, x: ValueId, axes: &[usize], keep: bool) -> Built {
        self.apply(Reduce { function, axes: to_axes(axes), keep_dims: keep }, &[x])
    }

    /// Reshapes `x`; adds no node if it has this shape already.
    ///
    /// # Errors
    /// If the number of elements differs.
    pub fn reshape(&mut self, x: ValueId, shape: Shape) -> Built {
        if self.fact(x).shape == shape {
            return Ok(x);
        }
        self.apply(Reshape { shape }, &[x])
    }

    /// Broadcasts `x` to `shape`: repeats axes of size 1 and adds leading axes.
    ///
    /// # Errors
    /// If the shapes do not broadcast.
    pub fn expand(&mut self, x: ValueId, shape: Shape) -> Built {
        if self.fact(x).shape == shape {
            return Ok(x);
        }
        self.apply(Expand { shape }, &[x])
    }

    /// Permutes the axes: output axis `i` is input axis `perm[i]`.
    ///
    /// # Errors
    /// If `perm` is not a permutation.
    pub fn transpose(&mut self, x: ValueId, perm: &[usize]) -> Built {
        self.apply(Transpose { perm: perm.to_vec() }, &[x])
    }

    /// Multiplies matrices over the last two axes.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn matmul(&mut self, a: ValueId, b: ValueId) -> Built {
        self.apply(MatMul, &[a, b])
    }

    /// Swaps the last two axes.
    ///
    /// # Errors
    /// If `x` has fewer than two axes.
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
