//! The same elements under another shape: `Reshape`, `Flatten`, `Squeeze`, `Unsqueeze`.

use crate::builder::Builder;
use crate::error::{GraphError, OpError};
use crate::fact::{Dim, Fact, Shape};
use crate::graph::{Node, ValueId};
use crate::op::{
    Attribute, Operator, Spelling, first_grad, first_shape, invalid, require, require_value, wants,
};
use crate::tensor::Tensor;

/// Input: x. Output: its elements in `shape`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reshape {
    /// The wanted sizes.
    pub shape: Shape,
}

/// Input: x. Output: a matrix of the axes before `axis` and the axes from it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flatten {
    /// The first axis of the second part; negative ones count from the back.
    pub axis: i64,
}

/// Input: x. Output: x without `axes` of size 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Squeeze {
    /// The axes; negative ones count from the back; none means all of size 1.
    pub axes: Vec<i64>,
}

/// Input: x. Output: x with new axes of size 1, at these positions of the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsqueeze {
    /// The axes; negative ones count from the back of the output.
    pub axes: Vec<i64>,
}

fn renamed(inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
    let (x, shape) = (require(inputs, 0)?, first_shape(shapes)?);
    let y = x.reshaped(shape.to_vec());
    Ok(vec![y.ok_or_else(|| invalid(format!("{:?} elements do not fill {shape:?}", x.shape())))?])
}

fn reshape_back(
    builder: &mut Builder<'_>,
    node: &Node,
    output_grads: &[Option<ValueId>],
    wanted: &[bool],
) -> Result<Vec<Option<ValueId>>, GraphError> {
    let (Some(grad), true) = (first_grad(output_grads), wants(wanted, 0)) else { return Ok(vec![None]) };
    let shape = builder.shape(require_value(node, 0)?);
    Ok(vec![Some(builder.reshape(grad, shape)?)])
}

/// Whether two shapes hold the same elements for every batch size.
fn same_elements(a: &Shape, b: &Shape) -> bool {
    let batches = |s: &Shape| s.0.iter().filter(|d| d.is_batch()).count();
    batches(a) == batches(b) && a.len_per_sample().is_some() && a.len_per_sample() == b.len_per_sample()
}

impl Operator for Reshape {
    fn spelling(&self) -> Spelling {
        // ONNX infers one size: the batch, wherever it stands.
        let size = |d: &Dim| match d {
            Dim::Batch(_) => -1,
            Dim::Fixed(d) => i64::try_from(*d).unwrap_or(i64::MAX),
        };
        let sizes: Vec<i64> = self.shape.0.iter().map(size).collect();
        Spelling::new("Reshape").with_constant(Tensor::i64(&sizes))
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let x = require(inputs, 0)?;
        if !same_elements(&x.shape, &self.shape) {
            return Err(invalid(format!("{} does not hold the elements of {}", self.shape, x.shape)));
        }
        Ok(vec![Fact { dtype: x.dtype, shape: self.shape.clone() }])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        renamed(inputs, shapes)
    }

    fn vjp(
        &self,
        builder: &mut Builder<'_>,
        node: &Node,
        output_grads: &[Option<ValueId>],
        wanted: &[bool],
    ) -> Result<Vec<Option<ValueId>>, GraphError> {
        reshape_back(builder, node, output_grads, wanted)
    }
}

impl Operator for Flatten {
    fn spelling(&self) -> Spelling {
        Spelling::new("Flatten").with("axis", Attribute::Int(self.axis))
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let x = require(inputs, 0)?;
        let rank = i64::try_from(x.shape.rank()).unwrap_or(i64::MAX);
        let axis = if self.axis < 0 { self.axis + rank } else { self.axis };
        let axis = usize::try_from(axis).ok().filter(|&a| a <= x.shape.rank());
        let axis = axis.ok_or_else(|| invalid(format!("axis {} of {}", self.axis, x.shape)))?;
        let product = |dims: &[Dim]| -> Option<Dim> {
            let size = dims.iter().try_fold(1usize, |n, d| n.checked_mul(d.at(1)))?;
            match dims.iter().filter(|d| d.is_batch()).count() {
                0 => Some(Dim::Fixed(size)),
                1 => Some(Dim::Batch(size)),
                _ => None,
            }
        };
        let (front, back) = x.shape.0.split_at(axis);
        let dims = product(front).zip(product(back));
        let (front, back) = dims.ok_or_else(|| invalid(format!("{} is too large to flatten", x.shape)))?;
        Ok(vec![Fact { dtype: x.dtype, shape: Shape(vec![front, back]) }])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        renamed(inputs, shapes)
    }

    fn vjp(
        &self,
        builder: &mut Builder<'_>,
        node: &Node,
        output_grads: &[Option<ValueId>],
        wanted: &[bool],
    ) -> Result<Vec<Option<ValueId>>, GraphError> {
        reshape_back(builder, node, output_grads, wanted)
    }
}

impl Operator for Squeeze {
    fn spelling(&self) -> Spelling {
        let spelling = Spelling::new("Squeeze");
        if self.axes.is_empty() { spelling } else { spelling.with_constant(Tensor::i64(&self.axes)) }
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let x = require(inputs, 0)?;
        let mut gone: Vec<bool> = x.shape.0.iter().map(|d| self.axes.is_empty() && d.is_one()).collect();
        for &axis in &self.axes {
            let axis = x.shape.axis(axis).filter(|&a| x.shape.0[a].is_one());
            gone[axis
                .ok_or_else(|| invalid(format!("axes {:?} of {} are not all 1", self.axes, x.shape)))?] =
                true;
        }
        let kept = x.shape.0.iter().zip(gone).filter_map(|(&d, gone)| (!gone).then_some(d)).collect();
        Ok(vec![Fact { dtype: x.dtype, shape: Shape(kept) }])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        renamed(inputs, shapes)
    }

    fn vjp(
        &self,
        builder: &mut Builder<'_>,
        node: &Node,
        output_grads: &[Option<ValueId>],
        wanted: &[bool],
    ) -> Result<Vec<Option<ValueId>>, GraphError> {
        reshape_back(builder, node, output_grads, wanted)
    }
}

impl Operator for Unsqueeze {
    fn spelling(&self) -> Spelling {
        Spelling::new("Unsqueeze").with_constant(Tensor::i64(&self.axes))
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let x = require(inputs, 0)?;
        let rank = x.shape.rank() + self.axes.len();
        let template = Shape(vec![Dim::Fixed(0); rank]);
        let mut dims: Vec<Option<Dim>> = vec![None; rank];
        for &axis in &self.axes {
            let slot = template.axis(axis).and_then(|a| dims.get_mut(a)).filter(|d| d.is_none());
            *slot.ok_or_else(|| invalid(format!("axes {:?} for {}", self.axes, x.shape)))? =
                Some(Dim::Fixed(1));
        }
        let mut old = x.shape.0.iter().copied();
        let dims = dims.into_iter().map(|d| d.or_else(|| old.next()).unwrap_or(Dim::Fixed(1))).collect();
        Ok(vec![Fact { dtype: x.dtype, shape: Shape(dims) }])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        renamed(inputs, shapes)
    }

    fn vjp(
        &self,
        builder: &mut Builder<'_>,
        node: &Node,
        output_grads: &[Option<ValueId>],
        wanted: &[bool],
    ) -> Result<Vec<Option<ValueId>>, GraphError> {
        reshape_back(builder, node, output_grads, wanted)
    }
}
