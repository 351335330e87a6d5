//! The same elements under another shape: `Reshape`, `Flatten`, `Squeeze`, `Unsqueeze`.
//!
//! The four differ in how the new shape is told; value and derivative are written once.

use crate::builder::Builder;
use crate::error::{GraphError, OpError};
use crate::fact::{Dim, Fact, Shape};
use crate::graph::{Node, ValueId};
use crate::op::export::{ToSizes, joined, sizes};
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

/// An operator that only renames its input's elements.
trait Renaming: std::any::Any + std::fmt::Debug + Send + Sync {
    fn spell(&self) -> Spelling;

    /// The new shape of a value of `shape`.
    fn new_shape(&self, shape: &Shape) -> Result<Shape, OpError>;

    /// The shape that has to be computed in a file, where no constant says it.
    fn computed_shape(&self) -> Option<&Shape> {
        None
    }
}

impl<T: Renaming> Operator for T {
    fn spelling(&self) -> Spelling {
        self.spell()
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let x = require(inputs, 0)?;
        Ok(vec![Fact { dtype: x.dtype, shape: self.new_shape(&x.shape)? }])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (x, shape) = (require(inputs, 0)?, first_shape(shapes)?);
        let y = x.reshaped(shape.to_vec());
        Ok(vec![y.ok_or_else(|| invalid(format!("{:?} elements do not fill {shape:?}", x.shape())))?])
    }

    fn vjp(
        &self,
        builder: &mut Builder<'_>,
        node: &Node,
        output_grads: &[Option<ValueId>],
        wanted: &[bool],
    ) -> Result<Vec<Option<ValueId>>, GraphError> {
        let (Some(grad), true) = (first_grad(output_grads), wants(wanted, 0)) else { return Ok(vec![None]) };
        let shape = builder.shape(require_value(node, 0)?);
        Ok(vec![Some(builder.reshape(grad, shape)?)])
    }

    fn lower(&self, b: &mut Builder<'_>, node: &Node) -> Result<Option<Vec<ValueId>>, GraphError> {
        let Some(shape) = self.computed_shape().cloned() else { return Ok(None) };
        let x = require_value(node, 0)?;
        let sizes = sizes(b, &shape)?;
        Ok(Some(vec![b.apply(ToSizes { expand: false, shape }, &[x, sizes])?]))
    }
}

/// Whether two shapes hold the same elements for every batch size.
fn same_elements(a: &Shape, b: &Shape) -> bool {
    let batches = |s: &Shape| s.0.iter().filter(|d| d.is_batch()).count();
    batches(a) == batches(b) && a.len_per_sample().is_some() && a.len_per_sample() == b.len_per_sample()
}

impl Renaming for Reshape {
    fn spell(&self) -> Spelling {
        // ONNX infers one size: the batch, wherever it stands.
        let size = |d: &Dim| match d {
            Dim::Batch(_) => -1,
            Dim::Fixed(d) => i64::try_from(*d).unwrap_or(i64::MAX),
        };
        let sizes: Vec<i64> = self.shape.0.iter().map(size).collect();
        let standard = self.computed_shape().is_none();
        Spelling { standard, ..Spelling::new("Reshape").with_constant(Tensor::i64(&sizes)) }
    }

    fn computed_shape(&self) -> Option<&Shape> {
        (self.shape.0.iter().filter(|d| d.is_batch()).count() > 1).then_some(&self.shape)
    }

    fn new_shape(&self, shape: &Shape) -> Result<Shape, OpError> {
        if !same_elements(shape, &self.shape) {
            return Err(invalid(format!("{} does not hold the elements of {}", self.shape, shape)));
        }
        Ok(self.shape.clone())
    }
}

impl Renaming for Flatten {
    fn spell(&self) -> Spelling {
        Spelling::new("Flatten").with("axis", Attribute::Int(self.axis))
    }

    fn new_shape(&self, shape: &Shape) -> Result<Shape, OpError> {
        let rank = i64::try_from(shape.rank()).unwrap_or(i64::MAX);
        let axis = if self.axis < 0 { self.axis + rank } else { self.axis };
        let axis = usize::try_from(axis).ok().filter(|&a| a <= shape.rank());
        let axis = axis.ok_or_else(|| invalid(format!("axis {} of {}", self.axis, shape)))?;
        let (front, back) = shape.0.split_at(axis);
        let dims = joined(front).zip(joined(back));
        let (front, back) = dims.ok_or_else(|| invalid(format!("{shape} is too large to flatten")))?;
        Ok(Shape(vec![front, back]))
    }
}

impl Renaming for Squeeze {
    fn spell(&self) -> Spelling {
        let spelling = Spelling::new("Squeeze");
        if self.axes.is_empty() { spelling } else { spelling.with_constant(Tensor::i64(&self.axes)) }
    }

    fn new_shape(&self, shape: &Shape) -> Result<Shape, OpError> {
        let mut gone: Vec<bool> = shape.0.iter().map(|d| self.axes.is_empty() && d.is_one()).collect();
        for &axis in &self.axes {
            let axis = shape.axis(axis).filter(|&a| shape.0[a].is_one());
            gone[axis
                .ok_or_else(|| invalid(format!("axes {:?} of {} are not all 1", self.axes, shape)))?] = true;
        }
        let kept = shape.0.iter().zip(gone).filter_map(|(&d, gone)| (!gone).then_some(d)).collect();
        Ok(Shape(kept))
    }
}

impl Renaming for Unsqueeze {
    fn spell(&self) -> Spelling {
        Spelling::new("Unsqueeze").with_constant(Tensor::i64(&self.axes))
    }

    fn new_shape(&self, shape: &Shape) -> Result<Shape, OpError> {
        let rank = shape.rank() + self.axes.len();
        let template = Shape(vec![Dim::Fixed(0); rank]);
        let mut dims: Vec<Option<Dim>> = vec![None; rank];
        for &axis in &self.axes {
            let slot = template.axis(axis).and_then(|a| dims.get_mut(a)).filter(|d| d.is_none());
            *slot.ok_or_else(|| invalid(format!("axes {:?} for {}", self.axes, shape)))? =
                Some(Dim::Fixed(1));
        }
        let mut old = shape.0.iter().copied();
        let dims = dims.into_iter().map(|d| d.or_else(|| old.next()).unwrap_or(Dim::Fixed(1))).collect();
        Ok(Shape(dims))
    }
}
