//! Matrix product as in NumPy.

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::OpError;
use crate::fact::{DType, Fact, Shape};
use crate::op::broadcast::{broadcast, for_each_offset, strides_in};
use crate::op::{Kind, OnnxForm, Operator, first_shape, float_result, invalid, require};
use crate::tensor::Tensor;

/// Matrix product over the last two axes; leading axes broadcast. Inputs: a (…×M×K), b (…×K×N), both of rank 2 or more
/// (vectors are converted to matrices on reading).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatMul;

impl Operator for MatMul {
    fn kind(&self) -> Kind<'_> {
        Kind::MatMul
    }

    fn onnx_form(&self) -> OnnxForm {
        OnnxForm::new("MatMul")
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let (a, b) = (require(inputs, 0)?, require(inputs, 1)?);
        let (ra, rb) = (a.shape.rank(), b.shape.rank());
        if ra < 2 || rb < 2 || a.dtype != DType::F32 || b.dtype != DType::F32 {
            return Err(invalid(format!(
                "expected floating-point matrices, found {} and {}",
                a.shape, b.shape
            )));
        }
        if a.shape.0[ra - 1] != b.shape.0[rb - 2] {
            return Err(invalid(format!("matrices {} and {} do not fit", a.shape, b.shape)));
        }
        let outer = |shape: &Shape| Shape(shape.0[..shape.rank() - 2].to_vec());
        let mut shape = broadcast(&outer(&a.shape), &outer(&b.shape))?;
        shape.0.extend([a.shape.0[ra - 2], b.shape.0[rb - 1]]);
        Ok(vec![Fact::f32(shape)])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (a, b, shape) = (require(inputs, 0)?, require(inputs, 1)?, first_shape(shapes)?);
        let (ra, rb, r) = (a.shape().len(), b.shape().len(), shape.len());
        let (rows, inner, columns) = (shape[r - 2], a.shape()[ra - 1], shape[r - 1]);
        let outer = &shape[..r - 2];
        let (sa, sb) = (strides_in(&a.shape()[..ra - 2], outer), strides_in(&b.shape()[..rb - 2], outer));
        let (va, vb) = (a.to_f64(), b.to_f64());
        let mut values = Vec::with_capacity(shape.iter().product());
        for_each_offset(outer, [&sa, &sb], |[a, b]| {
            let (a, b) = (&va[a * rows * inner..], &vb[b * inner * columns..]);
            for i in 0..rows {
                for j in 0..columns {
                    values.push((0..inner).map(|k| a[i * inner + k] * b[k * columns + j]).sum());
                }
            }
        });
        float_result(shape, values)
    }

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let Some(grad) = back.grad() else { return back.nothing() };
        let (a, b) = (back.input(0)?, back.input(1)?);
        let da = if back.wants(0) {
            let transposed = builder.transpose_last(b)?;
            Some(builder.matmul(grad, transposed)?)
        } else {
            None
        };
        let db = if back.wants(1) {
            let transposed = builder.transpose_last(a)?;
            Some(builder.matmul(transposed, grad)?)
        } else {
            None
        };
        Ok(vec![da, db])
    }
}
