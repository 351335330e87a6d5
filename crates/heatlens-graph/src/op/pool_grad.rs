//! Gradients of pooling, each an operator with its own kernel.

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::{GraphError, OpError};
use crate::fact::{Dim, Fact, Shape};
use crate::graph::{Node, ValueId};
use crate::op::conv::Conv;
use crate::op::conv_grad::ConvInputGrad;
use crate::op::export::{MaxPoolIndices, ScatterAdd, Take, flat, joined, zeros};
use crate::op::pool::{AveragePool, MaxPool, Planes};
use crate::op::window::{Window, channels, spatial_sizes};
use crate::op::{Kind, OnnxForm, Operator, at, first_shape, float_result, invalid, require, require_value};
use crate::tensor::Tensor;

/// Gradient of [`MaxPool`]: sends each window's gradient to the position of its maximum and adds up those of
/// overlapping windows. Inputs: x (N×C×spatial), dy (shaped as the pool's output). Output: dx, shaped as x.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaxPoolGrad {
    /// The pooling.
    pub pool: MaxPool,
}

/// Transpose of [`MaxPoolGrad`]: reads v at the position of each window's maximum in x. Inputs: x, v (both
/// N×C×spatial). Output: shaped as the pool's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaxPoolSelect {
    /// The pooling.
    pub pool: MaxPool,
}

/// Gradient of [`AveragePool`]: spreads each window's gradient evenly. Input: dy (shaped as the pool's output). Output:
/// N×C×`input`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AveragePoolGrad {
    /// The pooling.
    pub pool: AveragePool,
    /// Spatial sizes of the pool's input.
    pub input: Vec<usize>,
}

/// Appends the positions of the maxima of x, flattened.
fn places(pool: &MaxPool, b: &mut Builder<'_>, x: ValueId) -> Result<ValueId, GraphError> {
    let places = MaxPoolIndices::append(pool, b, x)?;
    flat(b, places)
}

impl AveragePoolGrad {
    /// Returns for each output position of a plane the factor by which its gradient reaches the elements of its window.
    #[allow(clippy::cast_possible_truncation)]
    fn shares(&self, output: &[usize]) -> Vec<f32> {
        let divisors = self.pool.divisors(&self.input, output);
        divisors.into_iter().map(|d| if d > 0.0 { (1.0 / d) as f32 } else { 0.0 }).collect()
    }

    /// Returns a window with the same output sizes without ceil mode, by enlarging the padding at the end.
    fn floor_window(&self, output: &[usize]) -> Window {
        let mut window = self.pool.window.clone();
        for (i, end) in window.pads_end.iter_mut().enumerate() {
            let reach = (window.kernel[i] - 1) * window.dilations[i] + 1;
            let last = output[i].saturating_sub(1) * window.strides[i] + reach;
            *end = last.saturating_sub(self.input[i] + window.pads_begin[i]);
        }
        window
    }
}

fn no_standard_form(node: &Node) -> GraphError {
    at(node, OpError::Unsupported("writing the gradient of a pool as standard ONNX".to_owned()))
}

impl Operator for MaxPoolGrad {
    fn kind(&self) -> Kind<'_> {
        Kind::Other
    }

    fn onnx_form(&self) -> OnnxForm {
        OnnxForm { name: "MaxPoolGrad", standard: false, ..self.pool.onnx_form() }
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

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let Some(grad) = back.grad_for(1) else { return back.nothing() };
        let x = back.input(0)?;
        let ddy = builder.apply(MaxPoolSelect { pool: self.pool.clone() }, &[x, grad])?;
        Ok(vec![None, Some(ddy)])
    }

    fn lower(&self, b: &mut Builder<'_>, node: &Node) -> Result<Option<Vec<ValueId>>, GraphError> {
        let (x, dy) = (require_value(node, 0)?, require_value(node, 1)?);
        let places = places(&self.pool, b, x)?;
        let shape = b.shape(x);
        let list = joined(&shape.0).ok_or_else(|| no_standard_form(node))?;
        let nothing = zeros(b, Shape(vec![list]))?;
        let dy = flat(b, dy)?;
        let dx = b.apply(ScatterAdd, &[nothing, places, dy])?;
        Ok(Some(vec![b.reshape(dx, shape)?]))
    }
}

impl Operator for MaxPoolSelect {
    fn kind(&self) -> Kind<'_> {
        Kind::Other
    }

    fn onnx_form(&self) -> OnnxForm {
        OnnxForm { name: "MaxPoolSelect", standard: false, ..self.pool.onnx_form() }
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

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let Some(grad) = back.grad_for(1) else { return back.nothing() };
        let x = back.input(0)?;
        let dv = builder.apply(MaxPoolGrad { pool: self.pool.clone() }, &[x, grad])?;
        Ok(vec![None, Some(dv)])
    }

    fn lower(&self, b: &mut Builder<'_>, node: &Node) -> Result<Option<Vec<ValueId>>, GraphError> {
        let (x, v) = (require_value(node, 0)?, require_value(node, 1)?);
        let mut shape = b.shape(x);
        let pooled = self.pool.window.output_dims(b.fact(x), self.pool.ceil_mode);
        shape.0.splice(2.., pooled.map_err(|e| at(node, e))?);
        let places = places(&self.pool, b, x)?;
        let v = flat(b, v)?;
        let y = b.apply(Take, &[v, places])?;
        Ok(Some(vec![b.reshape(y, shape)?]))
    }
}

impl Operator for AveragePoolGrad {
    fn kind(&self) -> Kind<'_> {
        Kind::Other
    }

    fn onnx_form(&self) -> OnnxForm {
        OnnxForm { name: "AveragePoolGrad", standard: false, ..self.pool.onnx_form() }
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

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let Some(grad) = back.grad_for(0) else { return back.nothing() };
        Ok(vec![Some(builder.apply(self.pool.clone(), &[grad])?)])
    }

    fn lower(&self, b: &mut Builder<'_>, node: &Node) -> Result<Option<Vec<ValueId>>, GraphError> {
        let dy = require_value(node, 0)?;
        let (shape, output) = (b.shape(dy), spatial_sizes(b.fact(dy)).map_err(|e| at(node, e))?);
        let shares = self.shares(&output);
        let mut sizes = vec![1, 1];
        sizes.extend(&output);
        let shares = b.constant(Tensor::f32(&sizes, shares));
        let shared = b.mul(dy, shares)?;
        // Channels are independent, so each plane is treated as a sample.
        let planes = joined(&shape.0[..2]).ok_or_else(|| no_standard_form(node))?;
        let spatial = |sizes: &[usize]| sizes.iter().map(|&d| Dim::Fixed(d)).collect::<Vec<_>>();
        let shared = b.reshape(shared, Shape([vec![planes, Dim::Fixed(1)], spatial(&output)].concat()))?;
        let conv = Conv { window: self.floor_window(&output), group: 1 };
        let mut kernel = vec![1, 1];
        kernel.extend(&self.pool.window.kernel);
        let ones = b.constant(Tensor::f32(&kernel, vec![1.0; self.pool.window.len()]));
        let dx = b.apply(ConvInputGrad { conv, input: self.input.clone() }, &[shared, ones])?;
        Ok(Some(vec![b.reshape(dx, Shape([shape.0[..2].to_vec(), spatial(&self.input)].concat()))?]))
    }
}
