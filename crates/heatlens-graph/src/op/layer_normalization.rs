//! Layer normalisation and its gradient.

use crate::builder::Builder;
use crate::differentiate::{Backward, DefaultRules, InputGrads, differentiate};
use crate::error::{GraphError, OpError};
use crate::fact::{DType, Fact, Shape};
use crate::graph::{Node, ValueId};
use crate::op::broadcast::{broadcast, for_each_offset, strides_in};
use crate::op::identity::Identity;
use crate::op::unary::UnaryFunction;
use crate::op::{
    Attribute, Kind, OnnxForm, Operator, at, first_shape, float_result, invalid, require, require_value,
};
use crate::tensor::Tensor;

/// `(x − mean) ÷ √(variance + epsilon) · scale + bias` over the axes from `axis` to the last, with the population
/// variance. Inputs: x, optional scale, optional bias (both broadcast to x).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNormalization {
    /// First normalised axis; negative values count from the back.
    pub axis: i64,
    /// Small constant added to the variance.
    pub epsilon: f32,
}

/// Gradient of [`LayerNormalization`] without scale with respect to x. Inputs: x, dy (shaped as x). Output: dx.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNormalizationGrad {
    /// The normalisation, without scale and bias.
    pub normalization: LayerNormalization,
}

impl LayerNormalization {
    /// Returns the first normalised axis of a value of `shape`.
    ///
    /// # Errors
    /// If it does not exist, or the batch axis would be normalised.
    pub fn axis_of(&self, shape: &Shape) -> Result<usize, OpError> {
        let axis = shape.axis(self.axis).ok_or_else(|| invalid(format!("axis {} of {shape}", self.axis)))?;
        if shape.0[axis..].iter().any(|d| d.is_batch()) {
            return Err(invalid(format!("normalising {shape} from axis {axis} on, over the batch")));
        }
        Ok(axis)
    }

    /// Returns the elements of x and the number of elements per normalised row.
    fn rows(&self, x: &Tensor) -> Result<(Vec<f64>, usize), OpError> {
        let axis = self.axis_of(&Shape::fixed(x.shape()))?;
        Ok((x.to_f64(), x.shape()[axis..].iter().product::<usize>().max(1)))
    }

    /// Returns the mean and 1 ÷ √(variance + epsilon) of a row.
    #[allow(clippy::cast_precision_loss)] // element counts are far below 2^53
    fn statistics(&self, row: &[f64]) -> (f64, f64) {
        let count = row.len() as f64;
        let mean = row.iter().sum::<f64>() / count;
        let variance = row.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / count;
        (mean, (variance + f64::from(self.epsilon)).sqrt().recip())
    }
}

impl Operator for LayerNormalization {
    fn kind(&self) -> Kind<'_> {
        Kind::LayerNormalization(self)
    }

    fn onnx_form(&self) -> OnnxForm {
        OnnxForm::new("LayerNormalization")
            .with("axis", Attribute::Int(self.axis))
            .with("epsilon", Attribute::Float(self.epsilon))
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let x = require(inputs, 0)?;
        if x.dtype != DType::F32 {
            return Err(invalid(format!("expected floating-point input, found {:?}", x.dtype)));
        }
        self.axis_of(&x.shape)?;
        for part in inputs.iter().skip(1).flatten() {
            if part.dtype != DType::F32 || broadcast(&x.shape, &part.shape)? != x.shape {
                return Err(invalid(format!("a scale or bias of {} for a value of {}", part.shape, x.shape)));
            }
        }
        Ok(vec![x.clone()])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (mut values, size) = self.rows(require(inputs, 0)?)?;
        let shape = first_shape(shapes)?;
        for row in values.chunks_mut(size) {
            let (mean, inverse) = self.statistics(row);
            row.iter_mut().for_each(|v| *v = (*v - mean) * inverse);
        }
        for (position, part) in inputs.iter().enumerate().skip(1) {
            let Some(part) = part else { continue };
            let (strides, part) = (strides_in(part.shape(), shape), part.to_f64());
            let mut elements = values.iter_mut();
            for_each_offset(shape, [&strides], |[at]| {
                let Some(v) = elements.next() else { return };
                *v = if position == 1 { *v * part[at] } else { *v + part[at] };
            });
        }
        float_result(shape, values)
    }

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let mut grads = vec![None; back.node.inputs.len()];
        let Some(grad) = back.grad() else { return Ok(grads) };
        let x = back.input(0)?;
        if back.wants(0) {
            let inner = match back.node.inputs.get(1).copied().flatten() {
                Some(scale) => builder.mul(grad, scale)?,
                None => grad,
            };
            grads[0] = Some(builder.apply(LayerNormalizationGrad { normalization: *self }, &[x, inner])?);
        }
        if back.wants(1) {
            let normal = builder.apply(*self, &[x])?;
            grads[1] = Some(builder.mul(grad, normal)?);
        }
        if back.wants(2) {
            grads[2] = Some(grad);
        }
        Ok(grads)
    }

    /// Adds a scale of ones, which ONNX requires.
    fn lower(&self, builder: &mut Builder<'_>, node: &Node) -> Result<Option<Vec<ValueId>>, GraphError> {
        let has = |index: usize| node.inputs.get(index).copied().flatten();
        if has(1).is_some() {
            return Ok(None);
        }
        let x = require_value(node, 0)?;
        let shape = builder.shape(x);
        let axis = self.axis_of(&shape).map_err(|e| at(node, e))?;
        let sizes: Vec<usize> = shape.0[axis..].iter().map(|d| d.at(1)).collect();
        let ones = vec![1.0; sizes.iter().product()];
        let scale = builder.constant(Tensor::f32(&sizes, ones));
        let mut inputs = vec![Some(x), Some(scale)];
        inputs.extend(has(2).map(Some));
        Ok(Some(vec![builder.apply_optional(*self, &inputs)?]))
    }
}

impl LayerNormalizationGrad {
    /// Appends the gradient in primitive operators: (dy − mean(dy) − x̂ · mean(dy · x̂)) ÷ deviation.
    fn formula(self, b: &mut Builder<'_>, x: ValueId, dy: ValueId) -> Result<ValueId, GraphError> {
        let rank = b.shape(x).rank();
        // `infer` has checked that the axis exists.
        let first = b.shape(x).axis(self.normalization.axis).unwrap_or(0);
        let axes: Vec<usize> = (first..rank).collect();
        let mean = b.mean(x, &axes, true)?;
        let centred = b.sub(x, mean)?;
        let square = b.mul(centred, centred)?;
        let variance = b.mean(square, &axes, true)?;
        let epsilon = b.scalar(self.normalization.epsilon);
        let sum = b.add(variance, epsilon)?;
        let root = b.unary(UnaryFunction::Sqrt, sum)?;
        let normal = b.div(centred, root)?;
        let level = b.mean(dy, &axes, true)?;
        let product = b.mul(dy, normal)?;
        let tilt = b.mean(product, &axes, true)?;
        let tilted = b.mul(normal, tilt)?;
        let rest = b.sub(dy, level)?;
        let rest = b.sub(rest, tilted)?;
        b.div(rest, root)
    }
}

impl Operator for LayerNormalizationGrad {
    fn kind(&self) -> Kind<'_> {
        Kind::Other
    }

    fn onnx_form(&self) -> OnnxForm {
        OnnxForm::internal("LayerNormalizationGrad")
            .with("axis", Attribute::Int(self.normalization.axis))
            .with("epsilon", Attribute::Float(self.normalization.epsilon))
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let (x, dy) = (require(inputs, 0)?, require(inputs, 1)?);
        if x != dy {
            return Err(invalid(format!("a gradient of {} for a value of {}", dy.shape, x.shape)));
        }
        self.normalization.infer(&[Some(x)])
    }

    #[allow(clippy::cast_precision_loss)] // element counts are far below 2^53
    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (mut values, size) = self.normalization.rows(require(inputs, 0)?)?;
        let dy = require(inputs, 1)?.to_f64();
        for (row, dy) in values.chunks_mut(size).zip(dy.chunks(size)) {
            let (mean, inverse) = self.normalization.statistics(row);
            row.iter_mut().for_each(|v| *v = (*v - mean) * inverse);
            let level = dy.iter().sum::<f64>() / size as f64;
            let tilt = dy.iter().zip(&*row).map(|(g, v)| g * v).sum::<f64>() / size as f64;
            row.iter_mut().zip(dy).for_each(|(v, g)| *v = (g - level - *v * tilt) * inverse);
        }
        float_result(first_shape(shapes)?, values)
    }

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let Some(grad) = back.grad() else { return back.nothing() };
        // Differentiates the formula. Copies of the inputs make x and dy independent leaves, because dy may depend on
        // x.
        let x = builder.apply(Identity::Identity, &[back.input(0)?])?;
        let dy = builder.apply(Identity::Identity, &[back.input(1)?])?;
        let dx = self.formula(builder, x, dy)?;
        let sides: Vec<ValueId> =
            [x, dy].into_iter().zip(back.wanted).filter_map(|(v, &wanted)| wanted.then_some(v)).collect();
        let found = differentiate(builder.graph_mut(), &back.node.name, dx, grad, &sides, &DefaultRules)?;
        let mut found = found.into_iter();
        Ok(back.wanted.iter().map(|&wanted| if wanted { found.next() } else { None }).collect())
    }

    fn lower(&self, builder: &mut Builder<'_>, node: &Node) -> Result<Option<Vec<ValueId>>, GraphError> {
        let (x, dy) = (require_value(node, 0)?, require_value(node, 1)?);
        Ok(Some(vec![self.formula(builder, x, dy)?]))
    }
}
