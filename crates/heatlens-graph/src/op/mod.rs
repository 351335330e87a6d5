//! Operators: one small struct of attributes each, with ONNX names and semantics.
//!
//! An operator implements five things: its [`Kind`], which says how results depend on inputs and where elements end up
//! ([`Operator::kind`]); type and shape of its outputs ([`Operator::infer`]); its derivative as *nodes*
//! ([`Operator::vjp`]); its value in double precision, slowly ([`Operator::eval`]); and its written form in ONNX
//! ([`Operator::onnx_form`]). No other code in the workspace matches on all operators: files are read through a registry
//! of ONNX names, programs are compiled through a registry of kernels, and analyses match on the kind.
//!
//! Operators whose names are not in the ONNX standard (`ConvInputGrad` and others) are derivatives with their own
//! kernels. [`Operator::lower`] expresses them in standard operators where possible.

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
mod kind;
pub mod layer_normalization;
pub mod matmul;
pub mod max_unpool;
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
pub mod variance;
pub mod r#where;
pub mod window;

use std::any::Any;
use std::fmt::Debug;

pub use attribute::{Attribute, OnnxForm};
pub use kind::Kind;
pub use reduce::to_axes;

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::{GraphError, OpError};
use crate::fact::Fact;
use crate::graph::{Node, ValueId};
use crate::tensor::Tensor;

/// Computation of a node.
pub trait Operator: Any + Debug + Send + Sync {
    /// Returns the written form in ONNX: name, attributes, and constants that ONNX passes as inputs.
    fn onnx_form(&self) -> OnnxForm;

    /// Returns the kind of the operator; [`Kind::Other`] if nothing is known about the positions of elements.
    fn kind(&self) -> Kind<'_>;

    /// Returns type and shape of every output.
    ///
    /// # Errors
    /// If an input is missing or its type or shape does not fit.
    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError>;

    /// Computes the outputs in double precision, as a test oracle for the fast kernels. `shapes` holds the sizes of the
    /// outputs that [`infer`](Self::infer) returned, for the actual batch size.
    ///
    /// # Errors
    /// If the inputs are not those that `infer` accepted.
    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError>;

    /// Appends the nodes that compute the gradients of `node`'s inputs from those of its outputs (the vector-Jacobian
    /// product). Returns one value per input; `None` if the input is not `wanted` or its gradient is zero. A gradient
    /// may have the shape of the broadcast result: [`differentiate`](crate::differentiate()) sums over the broadcast
    /// axes.
    ///
    /// # Errors
    /// If a wanted derivative does not exist.
    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads;

    /// Expresses a non-standard operator in standard ONNX operators; `Ok(None)` if it is standard already.
    ///
    /// # Errors
    /// If it cannot be expressed in standard operators.
    fn lower(&self, builder: &mut Builder<'_>, node: &Node) -> Result<Option<Vec<ValueId>>, GraphError> {
        let _ = (builder, node);
        Ok(None)
    }
}

impl dyn Operator {
    /// Returns the operator as type `T`, if it is one.
    #[must_use]
    pub fn downcast_ref<T: Operator>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref()
    }

    /// True if both operators have the same name and the same attributes.
    #[must_use]
    pub fn same_as(&self, other: &dyn Operator) -> bool {
        self.onnx_form() == other.onnx_form()
    }
}

/// Returns the input at `index`, or an error if it is missing.
///
/// # Errors
/// If the input is omitted.
pub fn require<'a, T: ?Sized>(inputs: &[Option<&'a T>], index: usize) -> Result<&'a T, OpError> {
    inputs.get(index).copied().flatten().ok_or(OpError::MissingInput { index })
}

/// Returns the input value at `index` of a node.
///
/// # Errors
/// If the input is omitted.
pub fn require_value(node: &Node, index: usize) -> Result<ValueId, GraphError> {
    node.inputs.get(index).copied().flatten().ok_or_else(|| at(node, OpError::MissingInput { index }))
}

/// Adds the node to an operator's error.
#[must_use]
pub fn at(node: &Node, source: OpError) -> GraphError {
    GraphError::Node { node: node.name.clone(), op: node.op.onnx_form().name.to_owned(), source }
}

pub(crate) fn invalid(message: impl Into<String>) -> OpError {
    OpError::Invalid(message.into())
}

/// Returns the sizes of the first output.
pub(crate) fn first_shape(shapes: &[Vec<usize>]) -> Result<&[usize], OpError> {
    shapes.first().map(Vec::as_slice).ok_or_else(|| invalid("no output shape was given"))
}

/// Returns a floating-point result of the reference evaluator.
pub(crate) fn float_result(shape: &[usize], values: Vec<f64>) -> Result<Vec<Tensor>, OpError> {
    Tensor::new(shape.to_vec(), crate::tensor::Data::F64(values.into()))
        .map(|t| vec![t])
        .ok_or_else(|| invalid("the result does not fill its shape"))
}
