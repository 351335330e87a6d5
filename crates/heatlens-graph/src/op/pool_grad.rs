//! The gradients of pooling, each an operator with a kernel of its own.

use crate::builder::Builder;
use crate::error::{GraphError, OpError};
use crate::fact::{Dim, Fact, Shape};
use crate::graph::{Node, ValueId};
use crate::op::pool::{AveragePool, MaxPool, Planes};
use crate::op::window::{channels, spatial_sizes};
use crate::op::{
    Operator, Spelling, at, first_grad, first_shape, float_result, invalid, require, require_value, wants,
};
use crate::tensor::Tensor;

/// Sends each window's gradient to its maximum. Inputs: x (N×C×spatial), dy (as the pool's
/// output). Output: dx, shaped as x. Windows that overlap add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaxPoolGrad {
    /// The pool.
    pub pool: MaxPool,
}

/// Picks from v, at the place of each window's maximum in x: the transpose of [`MaxPoolGrad`].
/// Inputs: x, v (both N×C×spatial). Output: as the pool's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaxPoolSelect {
    /// The pool.
    pub pool: MaxPool,
}

/// Spreads each window's gradient evenly. Input: dy (as the pool's output). Output: N×C×`input`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AveragePoolGrad {
    /// The pool.
    pub pool: AveragePool,
    /// Spatial sizes of the pool's input.
    pub input: Vec<usize>,
}

fn no_standard_form(node: &Node) -> GraphError {
    at(node, OpError::Unsupported("writing the gradient of a pool as standard ONNX".to_owned()))
}

impl Operator for MaxPoolGrad {
    fn spelling(&self) -> Spelling {
        Spelling { name: "MaxPoolGrad", standard: false, ..self.pool.spelling() }
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let (x, dy) = (require(inputs, 0)?, require(inputs, 1)?);
        let y = self.pool.infer(&[Some(x)])?;
        if y.first() != Some(dy) {
            return Err(invalid(format!("a gradient of {} for a pooled {}", dy.shape, x.shape)));
        }
        Ok(vec![x.clone()])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (x, dy, shape) = (require(inputs, 0)?, require(inputs, 1)?, first_shape(shapes)?);
        let planes = Planes::new(x.shape(), dy.shape());
        let best = self.pool.argmax(&x.to_f64(), &planes);
        let mut dx = vec![0.0; x.len()];
        let (area, out) = (planes.in_area(), planes.out_area());
        for (i, (s, g)) in best.iter().zip(dy.to_f64()).enumerate() {
            dx[i / out * area + s] += g;
        }
        float_result(shape, dx)
    }

    fn vjp(
        &self,
        builder: &mut Builder<'_>,
        node: &Node,
        output_grads: &[Option<ValueId>],
        wanted: &[bool],
    ) -> Result<Vec<Option<ValueId>>, GraphError> {
        let (Some(grad), true) = (first_grad(output_grads), wants(wanted, 1)) else {
            return Ok(vec![None; 2]);
        };
        let x = require_value(node, 0)?;
        let ddy = builder.apply(MaxPoolSelect { pool: self.pool.clone() }, &[x, grad])?;
        Ok(vec![None, Some(ddy)])
    }

    fn lower(&self, _: &mut Builder<'_>, node: &Node) -> Result<Option<Vec<ValueId>>, GraphError> {
        Err(no_standard_form(node))
    }
}

impl Operator for MaxPoolSelect {
    fn spelling(&self) -> Spelling {
        Spelling { name: "MaxPoolSelect", standard: false, ..self.pool.spelling() }
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let (x, v) = (require(inputs, 0)?, require(inputs, 1)?);
        if x != v {
            return Err(invalid(format!("values of {} selected by {}", v.shape, x.shape)));
        }
        self.pool.infer(&[Some(x)])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (x, v, shape) = (require(inputs, 0)?, require(inputs, 1)?, first_shape(shapes)?);
        let planes = Planes::new(x.shape(), shape);
        let best = self.pool.argmax(&x.to_f64(), &planes);
        let (area, out) = (planes.in_area(), planes.out_area());
        let v = v.to_f64();
        float_result(shape, best.iter().enumerate().map(|(i, s)| v[i / out * area + s]).collect())
    }

    fn vjp(
        &self,
        builder: &mut Builder<'_>,
        node: &Node,
        output_grads: &[Option<ValueId>],
        wanted: &[bool],
    ) -> Result<Vec<Option<ValueId>>, GraphError> {
        let (Some(grad), true) = (first_grad(output_grads), wants(wanted, 1)) else {
            return Ok(vec![None; 2]);
        };
        let x = require_value(node, 0)?;
        let dv = builder.apply(MaxPoolGrad { pool: self.pool.clone() }, &[x, grad])?;
        Ok(vec![None, Some(dv)])
    }

    fn lower(&self, _: &mut Builder<'_>, node: &Node) -> Result<Option<Vec<ValueId>>, GraphError> {
        Err(no_standard_form(node))
    }
}

impl Operator for AveragePoolGrad {
    fn spelling(&self) -> Spelling {
        Spelling { name: "AveragePoolGrad", standard: false, ..self.pool.spelling() }
            .with_sizes("input_shape", &self.input)
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let dy = require(inputs, 0)?;
        channels(dy)?;
        let found = spatial_sizes(dy)?;
        if self.pool.window.output_sizes(&self.input, self.pool.ceil_mode)? != found {
            return Err(invalid(format!("a gradient of {} for an input of {:?}", dy.shape, self.input)));
        }
        let mut dims = dy.shape.0[..2].to_vec();
        dims.extend(self.input.iter().map(|&d| Dim::Fixed(d)));
        Ok(vec![Fact::f32(Shape(dims))])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (dy, shape) = (require(inputs, 0)?, first_shape(shapes)?);
        let planes = Planes::new(shape, dy.shape());
        let divisors = self.pool.divisors(planes.input, planes.output);
        let (area, out) = (planes.in_area(), planes.out_area());
        let values = dy.to_f64();
        let mut dx = vec![0.0; planes.count * area];
        for p in 0..planes.count {
            self.pool.window.for_each(planes.input, planes.output, |o, _, s| {
                dx[p * area + s] += values[p * out + o] / divisors[o];
            });
        }
        float_result(shape, dx)
    }

    fn vjp(
        &self,
        builder: &mut Builder<'_>,
        _: &Node,
        output_grads: &[Option<ValueId>],
        wanted: &[bool],
    ) -> Result<Vec<Option<ValueId>>, GraphError> {
        let (Some(grad), true) = (first_grad(output_grads), wants(wanted, 0)) else { return Ok(vec![None]) };
        Ok(vec![Some(builder.apply(self.pool.clone(), &[grad])?)])
    }

    fn lower(&self, _: &mut Builder<'_>, node: &Node) -> Result<Option<Vec<ValueId>>, GraphError> {
        Err(no_standard_form(node))
    }
}
