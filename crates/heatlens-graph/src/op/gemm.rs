//! General matrix product, used by dense layers.

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::{GraphError, OpError};
use crate::fact::{DType, Dim, Fact, Shape};
use crate::graph::ValueId;
use crate::op::broadcast::{broadcast, offset, strides_in};
use crate::op::{Attribute, Kind, OnnxForm, Operator, first_shape, float_result, invalid, require};
use crate::tensor::Tensor;

/// `alpha · A′B′ + beta · C`, where A′ and B′ are A and B or their transposes. Inputs: A (M×K), B (K×N), optional C
/// that broadcasts to M×N.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gemm {
    /// True if A is transposed first.
    pub trans_a: bool,
    /// True if B is transposed first.
    pub trans_b: bool,
    /// Factor of the product.
    pub alpha: f32,
    /// Factor of C.
    pub beta: f32,
}

impl Default for Gemm {
    fn default() -> Self {
        Self { trans_a: false, trans_b: false, alpha: 1.0, beta: 1.0 }
    }
}

/// Returns rows and columns of a matrix after an optional transpose.
fn matrix(fact: &Fact, transposed: bool) -> Result<(Dim, Dim), OpError> {
    match (fact.dtype, fact.shape.0.as_slice(), transposed) {
        (DType::F32, &[rows, columns], false) => Ok((rows, columns)),
        (DType::F32, &[rows, columns], true) => Ok((columns, rows)),
        _ => Err(invalid(format!("expected a floating-point matrix, found {:?} {}", fact.dtype, fact.shape))),
    }
}

impl Gemm {
    /// Appends `alpha ·` the product of two matrices, each transposed first if its flag is set.
    fn product(
        self,
        b: &mut Builder<'_>,
        left: (ValueId, bool),
        right: (ValueId, bool),
    ) -> Result<ValueId, GraphError> {
        let op = Self { trans_a: left.1, trans_b: right.1, ..Self::default() };
        let product = b.apply(op, &[left.0, right.0])?;
        if self.alpha.to_bits() == 1.0f32.to_bits() { Ok(product) } else { b.scale(product, self.alpha) }
    }
}

impl Operator for Gemm {
    fn kind(&self) -> Kind<'_> {
        Kind::Gemm(self)
    }

    fn onnx_form(&self) -> OnnxForm {
        let mut onnx_form = OnnxForm::new("Gemm");
        for (name, value) in [("alpha", self.alpha), ("beta", self.beta)] {
            if value.to_bits() != 1.0f32.to_bits() {
                onnx_form = onnx_form.with(name, Attribute::Float(value));
            }
        }
        for (name, value) in [("transA", self.trans_a), ("transB", self.trans_b)] {
            if value {
                onnx_form = onnx_form.with(name, Attribute::Int(1));
            }
        }
        onnx_form
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let (a, b) = (require(inputs, 0)?, require(inputs, 1)?);
        let ((rows, inner), (other, columns)) = (matrix(a, self.trans_a)?, matrix(b, self.trans_b)?);
        if inner != other {
            return Err(invalid(format!("matrices {} and {} do not fit", a.shape, b.shape)));
        }
        let shape = Shape(vec![rows, columns]);
        if let Some(c) = inputs.get(2).copied().flatten()
            && broadcast(&c.shape, &shape)? != shape
        {
            return Err(invalid(format!("an addend of {} for a product of {shape}", c.shape)));
        }
        Ok(vec![Fact::f32(shape)])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (a, b, shape) = (require(inputs, 0)?, require(inputs, 1)?, first_shape(shapes)?);
        let inner = a.shape()[usize::from(!self.trans_a)];
        let (step_a, step_b) = (a.shape()[1], b.shape()[1]);
        let (va, vb) = (a.to_f64(), b.to_f64());
        let addend = inputs.get(2).copied().flatten();
        let addend = addend.map(|c| (c.to_f64(), strides_in(c.shape(), shape)));
        let mut values = Vec::with_capacity(shape.iter().product());
        for i in 0..shape[0] {
            for j in 0..shape[1] {
                let term = |k: usize| {
                    let x = if self.trans_a { va[k * step_a + i] } else { va[i * step_a + k] };
                    let y = if self.trans_b { vb[j * step_b + k] } else { vb[k * step_b + j] };
                    x * y
                };
                let product = f64::from(self.alpha) * (0..inner).map(term).sum::<f64>();
                let rest = addend.as_ref().map_or(0.0, |(c, strides)| c[offset(&[i, j], strides)]);
                values.push(product + f64::from(self.beta) * rest);
            }
        }
        float_result(shape, values)
    }

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let Some(grad) = back.grad() else { return back.nothing() };
        let (a, b) = (back.input(0)?, back.input(1)?);
        let da = back.wants(0).then(|| match self.trans_a {
            false => self.product(builder, (grad, false), (b, !self.trans_b)),
            true => self.product(builder, (b, self.trans_b), (grad, true)),
        });
        let da = da.transpose()?;
        let db = back.wants(1).then(|| match self.trans_b {
            false => self.product(builder, (a, !self.trans_a), (grad, false)),
            true => self.product(builder, (grad, true), (a, self.trans_a)),
        });
        let db = db.transpose()?;
        let dc = back.wants(2).then(|| match self.beta.to_bits() == 1.0f32.to_bits() {
            true => Ok(grad),
            false => builder.scale(grad, self.beta),
        });
        Ok(vec![da, db, dc.transpose()?])
    }
}
