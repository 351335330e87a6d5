//! Global pooling over the spatial axes.

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::OpError;
use crate::fact::{Dim, Fact, Shape};
use crate::op::reduce::{Reduce, ReduceFunction};
use crate::op::window::{channels, spatial_sizes};
use crate::op::{Kind, OnnxForm, Operator, require};
use crate::tensor::Tensor;

/// Function of a global pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GlobalPoolFunction {
    /// Mean of each plane.
    Average,
    /// Maximum of each plane; tied elements share the gradient equally.
    Max,
}

/// Pools each plane to one element. Input: x (N×C×spatial). Output: N×C×1×….
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalPool(pub GlobalPoolFunction);

impl GlobalPool {
    /// Returns the equivalent reduction for a value of rank `rank`.
    #[must_use]
    pub fn as_reduce(self, rank: usize) -> Reduce {
        let function = match self.0 {
            GlobalPoolFunction::Average => ReduceFunction::Mean,
            GlobalPoolFunction::Max => ReduceFunction::Max,
        };
        let axes: Vec<usize> = (2..rank).collect();
        Reduce { function, axes: super::to_axes(&axes), keep_dims: true }
    }
}

impl Operator for GlobalPool {
    fn kind(&self) -> Kind<'_> {
        Kind::GlobalPool(self.0)
    }

    fn onnx_form(&self) -> OnnxForm {
        OnnxForm::new(match self.0 {
            GlobalPoolFunction::Average => "GlobalAveragePool",
            GlobalPoolFunction::Max => "GlobalMaxPool",
        })
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let x = require(inputs, 0)?;
        channels(x)?;
        let spatial = spatial_sizes(x)?;
        let mut dims = x.shape.0[..2].to_vec();
        dims.extend(spatial.iter().map(|_| Dim::Fixed(1)));
        Ok(vec![Fact::f32(Shape(dims))])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        self.as_reduce(require(inputs, 0)?.shape().len()).eval(inputs, shapes)
    }

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let rank = builder.shape(back.node.outputs[0]).rank();
        self.as_reduce(rank).vjp(builder, back)
    }
}
