//! Concatenation.

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::OpError;
use crate::fact::{Dim, Fact, Shape};
use crate::op::slice::Slice;
use crate::op::{Attribute, Kind, OnnxForm, Operator, at, first_shape, invalid, require};
use crate::tensor::Tensor;

/// Concatenates any number of values along `axis`; their other sizes must be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concat {
    /// Axis; negative values count from the back.
    pub axis: i64,
}

impl Concat {
    fn axis_of(&self, shape: &Shape) -> Result<usize, OpError> {
        let axis = shape.axis(self.axis).filter(|&a| !shape.0[a].is_batch());
        axis.ok_or_else(|| invalid(format!("joining values of shape {shape} along axis {}", self.axis)))
    }
}

impl Operator for Concat {
    fn kind(&self) -> Kind<'_> {
        Kind::Concat(self)
    }

    fn onnx_form(&self) -> OnnxForm {
        OnnxForm::new("Concat").with("axis", Attribute::Int(self.axis))
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let first = require(inputs, 0)?;
        let axis = self.axis_of(&first.shape)?;
        let mut total = 0usize;
        for i in 0..inputs.len() {
            let x = require(inputs, i)?;
            let mut template = x.shape.clone();
            let size = template.0.get(axis).copied();
            if let (Some(slot), Some(&own)) = (template.0.get_mut(axis), first.shape.0.get(axis)) {
                *slot = own;
            }
            let (true, Some(Dim::Fixed(size))) = (template == first.shape && x.dtype == first.dtype, size)
            else {
                return Err(invalid(format!(
                    "{} and {} do not join along axis {axis}",
                    first.shape, x.shape
                )));
            };
            total = total.checked_add(size).ok_or_else(|| invalid("sizes overflow"))?;
        }
        let mut shape = first.shape.clone();
        shape.0[axis] = Dim::Fixed(total);
        Ok(vec![Fact { dtype: first.dtype, shape }])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let shape = first_shape(shapes)?;
        let axis = self.axis_of(&Shape::fixed(shape))?;
        let rows: usize = shape[..axis].iter().product();
        let steps: Vec<usize> = inputs.iter().flatten().map(|x| x.len() / rows.max(1)).collect();
        let parts: Vec<&Tensor> = inputs.iter().flatten().copied().collect();
        Tensor::assemble(&parts, shape, |emit| {
            for row in 0..rows {
                for (part, &step) in steps.iter().enumerate() {
                    (row * step..(row + 1) * step).for_each(|i| emit(part, i));
                }
            }
        })
    }

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let Some(grad) = back.grad() else { return back.nothing() };
        let axis = self.axis_of(&builder.shape(grad)).map_err(|e| at(back.node, e))?;
        let mut start = 0;
        let mut grads = Vec::with_capacity(back.node.inputs.len());
        for i in 0..back.node.inputs.len() {
            let size = builder.shape(back.input(i)?).0[axis].at(1);
            let part = Slice { axis, start, len: size, step: 1 };
            grads.push(back.wants(i).then(|| builder.apply(part, &[grad])).transpose()?);
            start += size;
        }
        Ok(grads)
    }
}
