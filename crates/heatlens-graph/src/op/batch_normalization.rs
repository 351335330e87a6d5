//! Batch normalisation with given statistics: stored ones, as used after training, or those of the batch (see
//! [`crate::rewrite::batch_statistics`]).

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::{GraphError, OpError};
use crate::fact::{Fact, Shape};
use crate::graph::ValueId;
use crate::op::unary::UnaryFunction;
use crate::op::window::channels;
use crate::op::{Attribute, Kind, OnnxForm, Operator, first_shape, float_result, invalid, require};
use crate::tensor::Tensor;

/// `(x − mean) ÷ √(variance + epsilon) · scale + bias`, per channel. Inputs: x (N×C×…), scale, bias, mean, variance (C
/// each).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormalization {
    /// Small constant added to the variance.
    pub epsilon: f32,
}

impl BatchNormalization {
    /// Appends √(variance + epsilon)⁻¹, a vector of length C.
    fn inverse_deviation(self, b: &mut Builder<'_>, variance: ValueId) -> Result<ValueId, GraphError> {
        let epsilon = b.scalar(self.epsilon);
        let sum = b.add(variance, epsilon)?;
        let root = b.unary(UnaryFunction::Sqrt, sum)?;
        b.unary(UnaryFunction::Reciprocal, root)
    }
}

/// Reshapes a vector of length C so that it broadcasts over N×C×….
fn per_channel(b: &mut Builder<'_>, vector: ValueId, rank: usize) -> Result<ValueId, GraphError> {
    let mut shape = Shape(vec![1.into()]);
    shape.0.extend(b.shape(vector).0);
    shape.0.resize(rank, 1.into());
    b.reshape(vector, shape)
}

impl Operator for BatchNormalization {
    fn kind(&self) -> Kind<'_> {
        Kind::BatchNormalization(self)
    }

    fn onnx_form(&self) -> OnnxForm {
        OnnxForm::new("BatchNormalization").with("epsilon", Attribute::Float(self.epsilon))
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let x = require(inputs, 0)?;
        let c = channels(x)?;
        for i in 1..5 {
            let found = &require(inputs, i)?.shape;
            if *found != Shape::fixed(&[c]) {
                return Err(invalid(format!("expected {c} statistics at input {i}, found {found}")));
            }
        }
        Ok(vec![x.clone()])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let x = require(inputs, 0)?;
        let mut channel = Vec::new();
        for i in 1..5 {
            channel.push(require(inputs, i)?.to_f64());
        }
        let c = x.shape()[1];
        let area: usize = x.shape()[2..].iter().product();
        let normalise = |(i, v): (usize, f64)| {
            let k = i / area % c;
            let deviation = (channel[3][k] + f64::from(self.epsilon)).sqrt();
            (v - channel[2][k]) / deviation * channel[0][k] + channel[1][k]
        };
        float_result(first_shape(shapes)?, x.to_f64().into_iter().enumerate().map(normalise).collect())
    }

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let Some(grad) = back.grad() else { return back.nothing() };
        let rank = builder.shape(grad).rank();
        let x = back.input(0)?;
        let (scale, mean, variance) = (back.input(1)?, back.input(3)?, back.input(4)?);
        let inverse = self.inverse_deviation(builder, variance)?;
        let factor = builder.mul(scale, inverse)?;
        let dx = if back.wants(0) {
            let factor = per_channel(builder, factor, rank)?;
            Some(builder.mul(grad, factor)?)
        } else {
            None
        };
        let axes: Vec<usize> = (0..rank).filter(|&a| a != 1).collect();
        // The gradients of the statistics follow from those of scale and bias.
        let dscale = if back.wants(1) || back.wants(4) {
            let (mean, inverse) = (per_channel(builder, mean, rank)?, per_channel(builder, inverse, rank)?);
            let centred = builder.sub(x, mean)?;
            let normal = builder.mul(centred, inverse)?;
            let product = builder.mul(grad, normal)?;
            Some(builder.sum(product, &axes, false)?)
        } else {
            None
        };
        let dbias =
            if back.wants(2) || back.wants(3) { Some(builder.sum(grad, &axes, false)?) } else { None };
        let dmean = match dbias.filter(|_| back.wants(3)) {
            Some(dbias) => {
                let product = builder.mul(dbias, factor)?;
                Some(builder.neg(product)?)
            }
            None => None,
        };
        let dvariance = match dscale.filter(|_| back.wants(4)) {
            Some(dscale) => {
                let slope = builder.mul(inverse, factor)?;
                let product = builder.mul(dscale, slope)?;
                Some(builder.scale(product, -0.5)?)
            }
            None => None,
        };
        let wanted = |index: usize, grad: Option<ValueId>| grad.filter(|_| back.wants(index));
        Ok(vec![dx, wanted(1, dscale), wanted(2, dbias), dmean, dvariance])
    }
}
