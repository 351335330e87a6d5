//! Operators: one small struct of attributes each, spelled as ONNX spells it.
//!
//! An operator knows four things: the facts of its outputs ([`Operator::infer`]), its derivative
//! as *nodes* ([`Operator::vjp`]), its value in double precision, slowly ([`Operator::eval`]),
//! and how ONNX writes it ([`Operator::spelling`]). Nothing else in the workspace matches on all
//! operators: files are read through a registry of spellings, programs are compiled through a
//! registry of kernels.
//!
//! Operators whose name is not in the ONNX standard (`ConvInputGrad` and friends) are derivatives
//! that deserve a kernel of their own; [`Operator::lower`] says how to write them in standard
//! operators where that is possible.

mod attribute;
pub mod batch_normalization;
pub mod binary;
pub mod broadcast;
pub mod cast;
pub mod clip;
pub mod concat;
pub mod conv;
pub mod conv_grad;
pub mod expand;
pub mod export;
pub mod gather;
pub mod gemm;
pub mod global_pool;
pub mod identity;
pub mod layer_normalization;
pub mod matmul;
pub mod pad;
pub mod pool;
pub mod pool_grad;
pub mod quantize;
pub mod reduce;
pub mod reshape;
pub mod scalar;
pub mod slice;
pub mod softmax;
pub mod transpose;
pub mod unary;
pub mod r#where;
pub mod window;

use std::any::Any;
use std::fmt::Debug;

pub use attribute::{Attribute, Spelling};
pub use reduce::to_axes;

use crate::builder::Builder;
use crate::error::{GraphError, OpError};
use crate::fact::Fact;
use crate::graph::{Node, ValueId};
use crate::tensor::Tensor;

/// What one node computes.
pub trait Operator: Any + Debug + Send + Sync {
    /// The operator as ONNX writes it: name, attributes, and constants that ONNX passes as inputs.
    fn spelling(&self) -> Spelling;

    /// Type and shape of every output.
    ///
    /// # Errors
    /// If an input is missing or its type or shape does not fit.
    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError>;

    /// The outputs, computed plainly in double precision: the oracle of the fast kernels.
    /// `shapes` are the outputs' sizes as [`infer`](Self::infer) gives them for the actual batch.
    ///
    /// # Errors
    /// If the inputs are not what `infer` accepted.
    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError>;

    /// Appends the nodes that carry the gradients of `node`'s outputs back to its inputs
    /// (the vector-Jacobian product). Returns one value for each input; `None` where the input is
    /// not `wanted` or its gradient is zero. A gradient may have the shape of the broadcast
    /// result: the walker sums it back.
    ///
    /// # Errors
    /// If a wanted derivative does not exist.
    fn vjp(
        &self,
        builder: &mut Builder<'_>,
        node: &Node,
        output_grads: &[Option<ValueId>],
        wanted: &[bool],
    ) -> Result<Vec<Option<ValueId>>, GraphError>;

    /// Writes an operator that ONNX does not know as standard operators; `Ok(None)` if it is
    /// standard already.
    ///
    /// # Errors
    /// If there is no such form.
    fn lower(&self, builder: &mut Builder<'_>, node: &Node) -> Result<Option<Vec<ValueId>>, GraphError> {
        let _ = (builder, node);
        Ok(None)
    }
}

impl dyn Operator {
    /// The operator as a concrete type, if it is that.
    #[must_use]
    pub fn downcast_ref<T: Operator>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref()
    }

    /// Whether two operators are the same in name and every attribute.
    #[must_use]
    pub fn same_as(&self, other: &dyn Operator) -> bool {
        self.spelling() == other.spelling()
    }
}

/// The input at `index`, or the error that it is missing.
///
/// # Errors
/// If the input is left out.
pub fn require<'a, T: ?Sized>(inputs: &[Option<&'a T>], index: usize) -> Result<&'a T, OpError> {
    inputs.get(index).copied().flatten().ok_or(OpError::MissingInput { index })
}

/// The input value at `index` of a node.
///
/// # Errors
/// If the input is left out.
pub fn require_value(node: &Node, index: usize) -> Result<ValueId, GraphError> {
    node.inputs.get(index).copied().flatten().ok_or_else(|| at(node, OpError::MissingInput { index }))
}

/// Adds the node to an operator's complaint.
#[must_use]
pub fn at(node: &Node, source: OpError) -> GraphError {
    GraphError::Node { node: node.name.clone(), op: node.op.spelling().name.to_owned(), source }
}

/// The gradient of a node's only differentiable output.
pub(crate) fn first_grad(output_grads: &[Option<ValueId>]) -> Option<ValueId> {
    output_grads.first().copied().flatten()
}

/// Whether the input at `index` is wanted.
pub(crate) fn wants(wanted: &[bool], index: usize) -> bool {
    wanted.get(index).copied().unwrap_or(false)
}

pub(crate) fn invalid(message: impl Into<String>) -> OpError {
    OpError::Invalid(message.into())
}

/// The only output's sizes.
pub(crate) fn first_shape(shapes: &[Vec<usize>]) -> Result<&[usize], OpError> {
    shapes.first().map(Vec::as_slice).ok_or_else(|| invalid("no output shape was given"))
}

/// A floating-point result of the reference evaluator.
pub(crate) fn float_result(shape: &[usize], values: Vec<f64>) -> Result<Vec<Tensor>, OpError> {
    Tensor::new(shape.to_vec(), crate::tensor::Data::F64(values.into()))
        .map(|t| vec![t])
        .ok_or_else(|| invalid("the result does not fill its shape"))
}
