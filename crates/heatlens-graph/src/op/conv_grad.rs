//! The two gradients of a convolution, each an operator with its own kernel.

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::{GraphError, OpError};
use crate::fact::{DType, Dim, Fact, Shape};
use crate::graph::{Node, ValueId};
use crate::op::conv::{Conv, ConvWalk, onnx_form};
use crate::op::window::{channels, spatial_sizes};
use crate::op::{Kind, OnnxForm, Operator, at, first_shape, float_result, invalid, require};
use crate::tensor::Tensor;

/// Gradient of [`Conv`] with respect to its input. Inputs: dy (N×M×spatial), w (M×C/group×kernel). Output: dx
/// (N×C×`input`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvInputGrad {
    /// The convolution.
    pub conv: Conv,
    /// Spatial sizes of the convolution's input, which are ambiguous given stride and padding alone.
    pub input: Vec<usize>,
}

impl ConvInputGrad {
    /// Returns for each axis the number of trailing elements that no window of the convolution covers.
    fn left_over(&self) -> Vec<usize> {
        let window = &self.conv.window;
        let one = |(i, &input): (usize, &usize)| {
            let padded =
                input.checked_add(*window.pads_begin.get(i)?)?.checked_add(*window.pads_end.get(i)?)?;
            let reach = window.kernel.get(i)?.checked_sub(1)?.checked_mul(*window.dilations.get(i)?)?;
            padded.checked_sub(reach.checked_add(1)?)?.checked_rem(*window.strides.get(i)?)
        };
        self.input.iter().enumerate().map(|axis| one(axis).unwrap_or(0)).collect()
    }
}

impl Operator for ConvInputGrad {
    fn kind(&self) -> Kind<'_> {
        Kind::ConvTranspose(&self.conv)
    }

    fn onnx_form(&self) -> OnnxForm {
        // In ONNX this is a transposed convolution; `output_padding` resolves the ambiguity of the stride.
        let onnx_form = onnx_form(&self.conv.window, self.conv.group, OnnxForm::new("ConvTranspose"));
        let left_over = self.left_over();
        if left_over.iter().all(|&l| l == 0) {
            return onnx_form;
        }
        onnx_form.with_sizes("output_padding", &left_over)
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let (dy, w) = (require(inputs, 0)?, require(inputs, 1)?);
        let found = spatial_sizes(dy)?;
        if self.conv.window.output_sizes(&self.input, false)? != found {
            return Err(invalid(format!("a gradient of {} for an input of {:?}", dy.shape, self.input)));
        }
        let inner = channels(w)?;
        let mut dims = vec![dy.shape.0[0], Dim::Fixed(inner * self.conv.group)];
        dims.extend(self.input.iter().map(|&d| Dim::Fixed(d)));
        let dx = Fact::f32(Shape(dims));
        if self.conv.check(&dx, w)? != channels(dy)? {
            return Err(invalid(format!("a gradient of {} for weights of {}", dy.shape, w.shape)));
        }
        Ok(vec![dx])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (dy, w) = (require(inputs, 0)?, require(inputs, 1)?);
        let shape = first_shape(shapes)?;
        let walk = ConvWalk::new(&self.conv, shape, w.shape(), dy.shape());
        let (dy, w) = (dy.to_f64(), w.to_f64());
        let mut dx = vec![0.0; shape.iter().product()];
        walk.run(|xi, wi, yi| dx[xi] += dy[yi] * w[wi]);
        float_result(shape, dx)
    }

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let Some(grad) = back.grad() else { return back.nothing() };
        let (dy, w) = (back.input(0)?, back.input(1)?);
        let ddy = back.wants(0).then(|| builder.apply(self.conv.clone(), &[grad, w])).transpose()?;
        let dw = back
            .wants(1)
            .then(|| builder.apply(ConvWeightGrad { conv: self.conv.clone() }, &[grad, dy]))
            .transpose()?;
        Ok(vec![ddy, dw])
    }
}

/// Gradient of [`Conv`] with respect to its weights, summed over the batch. Inputs: x (N×C×spatial), dy (N×M×spatial).
/// Output: dw (M×C/group×kernel).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvWeightGrad {
    /// The convolution.
    pub conv: Conv,
}

impl Operator for ConvWeightGrad {
    fn kind(&self) -> Kind<'_> {
        Kind::Other
    }

    fn onnx_form(&self) -> OnnxForm {
        onnx_form(&self.conv.window, self.conv.group, OnnxForm::internal("ConvWeightGrad"))
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let (x, dy) = (require(inputs, 0)?, require(inputs, 1)?);
        let (c, m, g) = (channels(x)?, channels(dy)?, self.conv.group);
        let found = spatial_sizes(dy)?;
        if self.conv.window.output_dims(x, false)? != dy.shape.0[2..]
            || x.shape.0[0] != dy.shape.0[0]
            || g == 0
            || !c.is_multiple_of(g)
            || !m.is_multiple_of(g)
        {
            return Err(invalid(format!("a gradient of {found:?} for an input of {}", x.shape)));
        }
        let mut dims = vec![m, c / g];
        dims.extend(&self.conv.window.kernel);
        Ok(vec![Fact { dtype: DType::F32, shape: Shape::fixed(&dims) }])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (x, dy) = (require(inputs, 0)?, require(inputs, 1)?);
        let shape = first_shape(shapes)?;
        let walk = ConvWalk::new(&self.conv, x.shape(), shape, dy.shape());
        let (x, dy) = (x.to_f64(), dy.to_f64());
        let mut dw = vec![0.0; shape.iter().product()];
        walk.run(|xi, wi, yi| dw[wi] += x[xi] * dy[yi]);
        float_result(shape, dw)
    }

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let Some(grad) = back.grad() else { return back.nothing() };
        let (x, dy) = (back.input(0)?, back.input(1)?);
        let dx = if back.wants(0) {
            let input = spatial_sizes(builder.fact(x)).map_err(|e| at(back.node, e))?;
            Some(builder.apply(ConvInputGrad { conv: self.conv.clone(), input }, &[dy, grad])?)
        } else {
            None
        };
        let ddy = back.wants(1).then(|| builder.apply(self.conv.clone(), &[x, grad])).transpose()?;
        Ok(vec![dx, ddy])
    }

    fn lower(&self, _: &mut Builder<'_>, node: &Node) -> Result<Option<Vec<ValueId>>, GraphError> {
        Err(at(
            node,
            OpError::Unsupported("writing the weight gradient of a convolution as standard ONNX".to_owned()),
        ))
    }
}
