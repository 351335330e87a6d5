//! Slicing along an axis.

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::OpError;
use crate::fact::{Dim, Fact};
use crate::op::pad::Unslice;
use crate::op::{Kind, OnnxForm, Operator, first_shape, invalid, require};
use crate::tensor::Tensor;

/// Elements `start`, `start + step`, … of one axis, `len` of them. Input: x. Slicing several axes takes several of
/// these operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The axis.
    pub axis: usize,
    /// Position of the first element.
    pub start: usize,
    /// Number of elements.
    pub len: usize,
    /// Distance between elements, at least 1.
    pub step: usize,
}

impl Slice {
    /// Calls `visit(start in x, start in the slice, length)` for every contiguous run of elements.
    pub(crate) fn for_each_run(&self, x: &[usize], mut visit: impl FnMut(usize, usize, usize)) {
        let run: usize = x[self.axis + 1..].iter().product();
        let outer: usize = x[..self.axis].iter().product();
        for o in 0..outer {
            for i in 0..self.len {
                let from = (o * x[self.axis] + self.start + i * self.step) * run;
                visit(from, (o * self.len + i) * run, run);
            }
        }
    }

    /// True if the slice lies within an axis of `size`.
    pub(crate) fn fits(&self, size: usize) -> bool {
        let last = self
            .len
            .checked_sub(1)
            .and_then(|n| n.checked_mul(self.step))
            .and_then(|n| n.checked_add(self.start));
        self.step > 0 && last.is_none_or(|last| last < size) && (self.len == 0 || last.is_some())
    }
}

impl Operator for Slice {
    fn kind(&self) -> Kind<'_> {
        Kind::Slice(self)
    }

    fn onnx_form(&self) -> OnnxForm {
        let int = |v: usize| Tensor::i64(&super::attribute::to_ints(&[v]));
        OnnxForm::new("Slice")
            .with_constant(int(self.start))
            .with_constant(int(self.start
                + self.len.saturating_sub(1) * self.step
                + usize::from(self.len > 0)))
            .with_constant(int(self.axis))
            .with_constant(int(self.step))
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let x = require(inputs, 0)?;
        let mut fact = x.clone();
        match fact.shape.0.get_mut(self.axis) {
            Some(dim @ Dim::Fixed(_)) if self.fits(dim.at(1)) => *dim = Dim::Fixed(self.len),
            _ => return Err(invalid(format!("{self:?} of {}", x.shape))),
        }
        Ok(vec![fact])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (x, shape) = (require(inputs, 0)?, first_shape(shapes)?);
        Tensor::assemble(&[x], shape, |emit| {
            self.for_each_run(x.shape(), |from, _, run| (from..from + run).for_each(|i| emit(0, i)));
        })
    }

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let Some(grad) = back.grad_for(0) else { return back.nothing() };
        let size = builder.shape(back.input(0)?).0[self.axis].at(1);
        Ok(vec![Some(builder.apply(Unslice { slice: *self, size }, &[grad])?)])
    }
}
