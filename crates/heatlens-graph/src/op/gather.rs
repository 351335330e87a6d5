//! Selection of elements along an axis by constant indices, and its transpose.

use std::sync::Arc;

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::{GraphError, OpError};
use crate::fact::{DType, Dim, Fact, Shape};
use crate::graph::{Node, ValueId};
use crate::op::matmul::MatMul;
use crate::op::{
    Attribute, Kind, OnnxForm, Operator, at, first_shape, float_result, invalid, require, require_value,
};
use crate::tensor::{Data, Tensor};

/// Elements `indices` along an axis. Input: x. Output: x with the axis replaced by `shape`, the shape of the index
/// array (empty for a single index, which removes the axis).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gather {
    /// The axis; not the batch axis.
    pub axis: usize,
    /// Positions along the axis, counted from the front.
    pub indices: Arc<[usize]>,
    /// Shape of the index array.
    pub shape: Vec<usize>,
}

/// Gradient of [`Gather`]: adds each element to the position it was read from. Input: dy, shaped as the gather's
/// output. Output: dx, with an axis of `size`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatherGrad {
    /// The gather.
    pub gather: Gather,
    /// Size of the gathered axis.
    pub size: usize,
}

impl Gather {
    fn check(&self, size: usize) -> Result<(), OpError> {
        if self.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)) != Some(self.indices.len()) {
            return Err(invalid(format!("{} indices in a shape of {:?}", self.indices.len(), self.shape)));
        }
        match self.indices.iter().find(|&&i| i >= size) {
            Some(i) => Err(invalid(format!("index {i} of an axis of {size} elements"))),
            None => Ok(()),
        }
    }

    /// Returns the output shape for an input of `shape`.
    fn gathered(&self, shape: &Shape) -> Result<Shape, OpError> {
        match shape.0.get(self.axis) {
            Some(&Dim::Fixed(size)) => self.check(size)?,
            Some(_) => return Err(invalid(format!("gathering along the batch of {shape}"))),
            None => return Err(invalid(format!("axis {} of {shape}", self.axis))),
        }
        let mut dims = shape.0.clone();
        dims.splice(self.axis..=self.axis, self.shape.iter().map(|&d| Dim::Fixed(d)));
        Ok(Shape(dims))
    }

    /// Calls `visit(start in x, start in the output, length)` for every contiguous run of elements.
    pub fn for_each_run(&self, x: &[usize], mut visit: impl FnMut(usize, usize, usize)) {
        let run: usize = x[self.axis + 1..].iter().product();
        let outer: usize = x[..self.axis].iter().product();
        let mut to = 0;
        for o in 0..outer {
            for &i in self.indices.iter() {
                visit((o * x[self.axis] + i) * run, to, run);
                to += run;
            }
        }
    }
}

impl Operator for Gather {
    fn kind(&self) -> Kind<'_> {
        Kind::Gather(self)
    }

    fn onnx_form(&self) -> OnnxForm {
        let indices = super::attribute::to_ints(&self.indices);
        let onnx_form = OnnxForm::new("Gather")
            .with("axis", Attribute::Int(i64::try_from(self.axis).unwrap_or(i64::MAX)));
        match Tensor::new(self.shape.clone(), Data::I64(indices.into())) {
            Some(indices) => onnx_form.with_constant(indices),
            None => onnx_form,
        }
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let x = require(inputs, 0)?;
        Ok(vec![Fact { dtype: x.dtype, shape: self.gathered(&x.shape)? }])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let x = require(inputs, 0)?;
        Tensor::assemble(&[x], first_shape(shapes)?, |emit| {
            self.for_each_run(x.shape(), |from, _, run| (from..from + run).for_each(|i| emit(0, i)));
        })
    }

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let Some(grad) = back.grad_for(0) else { return back.nothing() };
        let size = builder.shape(back.input(0)?).0[self.axis].at(1);
        Ok(vec![Some(builder.apply(GatherGrad { gather: self.clone(), size }, &[grad])?)])
    }
}

/// Maximum size of the matrix used to express the gradient in standard operators.
const MAX_MATRIX: usize = 1 << 24;

impl GatherGrad {
    /// Returns the shape of dx for a dy of `shape`.
    fn whole(&self, shape: &Shape) -> Result<Shape, OpError> {
        let mut dims = shape.0.clone();
        let end = self.gather.axis + self.gather.shape.len();
        if end <= dims.len() {
            dims.splice(self.gather.axis..end, [Dim::Fixed(self.size)]);
            let whole = Shape(dims);
            if self.gather.gathered(&whole)? == *shape {
                return Ok(whole);
            }
        }
        Err(invalid(format!("a gradient of {shape} for {} gathered elements", self.gather.indices.len())))
    }
}

impl Operator for GatherGrad {
    fn kind(&self) -> Kind<'_> {
        Kind::Other
    }

    fn onnx_form(&self) -> OnnxForm {
        let size = Attribute::Int(i64::try_from(self.size).unwrap_or(i64::MAX));
        OnnxForm { name: "GatherGrad", standard: false, ..self.gather.onnx_form() }.with("size", size)
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let dy = require(inputs, 0)?;
        if dy.dtype != DType::F32 {
            return Err(invalid(format!("expected floating-point input, found {:?}", dy.dtype)));
        }
        Ok(vec![Fact::f32(self.whole(&dy.shape)?)])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (dy, shape) = (require(inputs, 0)?.to_f64(), first_shape(shapes)?);
        let mut dx = vec![0.0; shape.iter().product()];
        self.gather.for_each_run(shape, |whole, part, run| {
            dx[whole..whole + run].iter_mut().zip(&dy[part..part + run]).for_each(|(sum, g)| *sum += g);
        });
        float_result(shape, dx)
    }

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let Some(grad) = back.grad_for(0) else { return back.nothing() };
        Ok(vec![Some(builder.apply(self.gather.clone(), &[grad])?)])
    }

    /// Multiplies with a 0/1 matrix that maps gathered elements to their source positions.
    fn lower(&self, builder: &mut Builder<'_>, node: &Node) -> Result<Option<Vec<ValueId>>, GraphError> {
        let dy = require_value(node, 0)?;
        let whole = self.whole(&builder.shape(dy)).map_err(|e| at(node, e))?;
        let (axis, count) = (self.gather.axis, self.gather.indices.len());
        let len = self.size.checked_mul(count).filter(|&len| len <= MAX_MATRIX).ok_or_else(|| {
            let what = format!("writing the gradient of {count} elements gathered of {} in ONNX", self.size);
            at(node, OpError::Unsupported(what))
        })?;
        let mut matrix = vec![0.0; len];
        for (column, &row) in self.gather.indices.iter().enumerate() {
            matrix[row * count + column] = 1.0;
        }
        let matrix = builder.constant(Tensor::f32(&[self.size, count], matrix));
        // The gathered axis becomes the second to last; the axes behind it move forward.
        let rank = whole.rank();
        let order: Vec<usize> = (0..axis).chain(axis + 1..rank).chain([axis]).collect();
        let mut parted = whole;
        parted.0[axis] = Dim::Fixed(count);
        let dy = builder.reshape(dy, parted)?;
        let turned = builder.transpose(dy, &order)?;
        let mut columns = builder.shape(turned);
        columns.0.push(Dim::Fixed(1));
        let turned = builder.reshape(turned, columns)?;
        let product = builder.apply(MatMul, &[matrix, turned])?;
        let mut flat = builder.shape(product);
        flat.0.pop();
        let product = builder.reshape(product, flat)?;
        let back: Vec<usize> = (0..axis).chain([rank - 1]).chain(axis..rank - 1).collect();
        Ok(Some(vec![builder.transpose(product, &back)?]))
    }
}
