//! Permutation of axes.

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::OpError;
use crate::fact::{Fact, Shape};
use crate::op::broadcast::{dense_strides, for_each_offset};
use crate::op::{Kind, OnnxForm, Operator, first_shape, invalid, require};
use crate::tensor::Tensor;

/// Input: x. Output: x with permuted axes; output axis `i` is axis `perm[i]` of x.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transpose {
    /// The permutation.
    pub perm: Vec<usize>,
}

impl Transpose {
    /// Returns the inverse permutation.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let mut perm = vec![0; self.perm.len()];
        for (i, &p) in self.perm.iter().enumerate() {
            perm[p] = i;
        }
        Self { perm }
    }
}

impl Operator for Transpose {
    fn kind(&self) -> Kind<'_> {
        Kind::Transpose(self)
    }

    fn onnx_form(&self) -> OnnxForm {
        OnnxForm::new("Transpose").with_sizes("perm", &self.perm)
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let x = require(inputs, 0)?;
        let mut sorted = self.perm.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..x.shape.rank()) {
            return Err(invalid(format!("perm {:?} for {}", self.perm, x.shape)));
        }
        let shape = Shape(self.perm.iter().map(|&p| x.shape.0[p]).collect());
        Ok(vec![Fact { dtype: x.dtype, shape }])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (x, shape) = (require(inputs, 0)?, first_shape(shapes)?);
        let dense = dense_strides(x.shape());
        let strides: Vec<usize> = self.perm.iter().map(|&p| dense[p]).collect();
        Tensor::assemble(&[x], shape, |emit| for_each_offset(shape, [&strides], |[at]| emit(0, at)))
    }

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let Some(grad) = back.grad_for(0) else { return back.nothing() };
        Ok(vec![Some(builder.apply(self.inverse(), &[grad])?)])
    }
}
