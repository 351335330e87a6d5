//! Variance of each channel of a sample.

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::{GraphError, OpError};
use crate::fact::{DType, Fact, Shape};
use crate::graph::{Node, ValueId};
use crate::op::window::channels;
use crate::op::{Kind, OnnxForm, Operator, first_shape, float_result, invalid, require, require_value};
use crate::tensor::Tensor;

/// Mean squared deviation from the mean over all axes after the first two. Input: x (N×C×spatial). Output: N×C×1….
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variance;

impl Variance {
    /// Appends the mean over the same axes, N×C×1….
    ///
    /// # Errors
    /// If x is not N×C×spatial.
    pub fn mean(b: &mut Builder<'_>, x: ValueId) -> Result<ValueId, GraphError> {
        let axes: Vec<usize> = (2..b.shape(x).rank()).collect();
        b.mean(x, &axes, true)
    }
}

impl Operator for Variance {
    fn kind(&self) -> Kind<'_> {
        Kind::Other
    }

    fn onnx_form(&self) -> OnnxForm {
        OnnxForm { standard: false, ..OnnxForm::new("Variance") }
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let x = require(inputs, 0)?;
        channels(x)?;
        if x.shape.rank() < 3 || x.dtype != DType::F32 {
            return Err(invalid(format!("expected N×C×spatial of 32-bit floats, found {}", x.shape)));
        }
        let mut dims = x.shape.0.clone();
        dims[2..].fill(1.into());
        Ok(vec![Fact::f32(Shape(dims))])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let x = require(inputs, 0)?;
        let count = x.shape()[2..].iter().product::<usize>().max(1);
        #[allow(clippy::cast_precision_loss)] // element counts are far below 2^53
        let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / count as f64;
        let of_plane = |plane: &[f64]| {
            let centre = mean(&mut plane.iter().copied());
            mean(&mut plane.iter().map(|v| (v - centre) * (v - centre)))
        };
        float_result(first_shape(shapes)?, x.to_f64().chunks(count).map(of_plane).collect())
    }

    fn vjp(&self, b: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let Some(grad) = back.grad_for(0) else { return back.nothing() };
        let x = back.input(0)?;
        let count: usize = b.shape(x).0.iter().skip(2).map(|d| d.at(1)).product();
        let mean = Self::mean(b, x)?;
        let centred = b.sub(x, mean)?;
        #[allow(clippy::cast_precision_loss)]
        let slope = b.scale(grad, 2.0 / count.max(1) as f32)?;
        Ok(vec![Some(b.mul(centred, slope)?)])
    }

    fn lower(&self, b: &mut Builder<'_>, node: &Node) -> Result<Option<Vec<ValueId>>, GraphError> {
        let x = require_value(node, 0)?;
        let mean = Self::mean(b, x)?;
        let centred = b.sub(x, mean)?;
        let square = b.mul(centred, centred)?;
        Ok(Some(vec![Self::mean(b, square)?]))
    }
}
