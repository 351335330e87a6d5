//! Constant padding, and the transpose of [`Slice`].

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::{GraphError, OpError};
use crate::fact::{DType, Dim, Fact};
use crate::graph::{Node, ValueId};
use crate::op::broadcast::{dense_strides, for_each_index, offset};
use crate::op::cast::Cast;
use crate::op::slice::Slice;
use crate::op::{Kind, OnnxForm, Operator, first_shape, invalid, require, require_value};
use crate::tensor::Tensor;

/// Pads x with `value`. Input: x.
#[derive(Clone, Debug, PartialEq)]
pub struct Pad {
    /// Number of elements inserted before each axis.
    pub begin: Vec<usize>,
    /// Number of elements appended to each axis.
    pub end: Vec<usize>,
    /// Value of the padding.
    pub value: f32,
}

/// Transpose of a slice: puts x at the positions of the slice of an axis of `size`, zeros elsewhere. Input: x, shaped
/// as the slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unslice {
    /// The slice.
    pub slice: Slice,
    /// Size of the whole axis.
    pub size: usize,
}

/// Builds a tensor of `shape` with element `from[i] − 1` of x at position i, or `padding` if `from[i]` is 0.
fn surrounded(x: &Tensor, padding: f32, shape: &[usize], from: Vec<usize>) -> Result<Vec<Tensor>, OpError> {
    let padding = Cast { to: x.dtype() }.eval(&[Some(&Tensor::scalar(padding))], &[Vec::new()])?;
    Tensor::assemble(&[padding.first().unwrap_or(x), x], shape, |emit| {
        from.into_iter().for_each(|place| if place == 0 { emit(0, 0) } else { emit(1, place - 1) });
    })
}

impl Operator for Pad {
    fn kind(&self) -> Kind<'_> {
        Kind::Pad(self)
    }

    fn onnx_form(&self) -> OnnxForm {
        let pads: Vec<usize> = self.begin.iter().chain(&self.end).copied().collect();
        OnnxForm::new("Pad")
            .with_constant(Tensor::i64(&super::attribute::to_ints(&pads)))
            .with_constant(Tensor::scalar(self.value))
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let x = require(inputs, 0)?;
        let mut fact = x.clone();
        let bad = || invalid(format!("padding {:?} and {:?} of {}", self.begin, self.end, x.shape));
        let whole = x.dtype == DType::F32 || self.value.fract() == 0.0;
        if !whole || self.begin.len() != x.shape.rank() || self.end.len() != x.shape.rank() {
            return Err(bad());
        }
        for (i, dim) in fact.shape.0.iter_mut().enumerate() {
            match (self.begin[i], self.end[i], *dim) {
                (0, 0, _) => {}
                (front, back, Dim::Fixed(d)) => {
                    let size = d.checked_add(front).and_then(|d| d.checked_add(back));
                    *dim = Dim::Fixed(size.ok_or_else(bad)?);
                }
                _ => return Err(bad()),
            }
        }
        Ok(vec![fact])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (x, shape) = (require(inputs, 0)?, first_shape(shapes)?);
        let strides = dense_strides(shape);
        let origin = offset(&self.begin, &strides);
        // For each output element, one more than its position in x; 0 for padding.
        let mut from = vec![0usize; shape.iter().product()];
        let mut place = 0;
        for_each_index(x.shape(), |i| {
            place += 1;
            from[origin + offset(i, &strides)] = place;
        });
        surrounded(x, self.value, shape, from)
    }

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let (Some(mut grad), true) = (back.grad(), back.wants(0)) else {
            return Ok(vec![None]);
        };
        let shape = builder.shape(back.input(0)?);
        for (axis, dim) in shape.0.iter().enumerate() {
            if self.begin[axis] + self.end[axis] > 0 {
                let inside = Slice { axis, start: self.begin[axis], len: dim.at(1), step: 1 };
                grad = builder.apply(inside, &[grad])?;
            }
        }
        Ok(vec![Some(grad)])
    }
}

impl Operator for Unslice {
    fn kind(&self) -> Kind<'_> {
        Kind::Other
    }

    fn onnx_form(&self) -> OnnxForm {
        let Slice { axis, start, len, step } = self.slice;
        OnnxForm::internal("Unslice").with_sizes("slice", &[axis, start, len, step, self.size])
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let x = require(inputs, 0)?;
        let mut fact = x.clone();
        match fact.shape.0.get_mut(self.slice.axis) {
            Some(dim) if *dim == Dim::Fixed(self.slice.len) && self.slice.fits(self.size) => {
                *dim = Dim::Fixed(self.size);
            }
            _ => return Err(invalid(format!("{self:?} of {}", x.shape))),
        }
        Ok(vec![fact])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (x, shape) = (require(inputs, 0)?, first_shape(shapes)?);
        let mut from = vec![0usize; shape.iter().product()];
        self.slice.for_each_run(shape, |to, part, run| (0..run).for_each(|i| from[to + i] = part + i + 1));
        surrounded(x, 0.0, shape, from)
    }

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let Some(grad) = back.grad_for(0) else { return back.nothing() };
        Ok(vec![Some(builder.apply(self.slice, &[grad])?)])
    }

    fn lower(&self, builder: &mut Builder<'_>, node: &Node) -> Result<Option<Vec<ValueId>>, GraphError> {
        let Slice { axis, start, len, step } = self.slice;
        let mut x = require_value(node, 0)?;
        let mut shape = builder.shape(x);
        let rank = shape.rank();
        // Steps: append step − 1 zeros to every element on a new axis, then merge the two axes.
        let spread = if len > 1 { len * step } else { len };
        if spread != len {
            shape.0.insert(axis + 1, Dim::Fixed(1));
            x = builder.reshape(x, shape.clone())?;
            let (begin, mut end) = (vec![0; rank + 1], vec![0; rank + 1]);
            end[axis + 1] = step - 1;
            x = builder.apply(Pad { begin, end, value: 0.0 }, &[x])?;
            shape.0.remove(axis + 1);
            shape.0[axis] = Dim::Fixed(spread);
            x = builder.reshape(x, shape)?;
        }
        let room = self.size - start;
        if spread > room {
            x = builder.apply(Slice { axis, start: 0, len: room, step: 1 }, &[x])?;
        }
        let (mut begin, mut end) = (vec![0; rank], vec![0; rank]);
        begin[axis] = start;
        end[axis] = room.saturating_sub(spread);
        Ok(Some(vec![builder.apply(Pad { begin, end, value: 0.0 }, &[x])?]))
    }
}
