//! Pooling over sliding windows.

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::OpError;
use crate::fact::{Fact, Shape};
use crate::op::pool_grad::{AveragePoolGrad, MaxPoolGrad};
use crate::op::window::{Window, channels, spatial_sizes};
use crate::op::{Attribute, Kind, OnnxForm, Operator, at, first_shape, float_result, require};
use crate::tensor::Tensor;

/// Maximum of each window; padding is ignored. Input: x (N×C×spatial).
///
/// As in PyTorch, a tie is resolved in favour of the first element in row-major order, and the maximum of a window that
/// contains NaN is NaN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// Window size, stride, dilation and padding.
    pub window: Window,
    /// True if the last window may extend beyond the padded input.
    pub ceil_mode: bool,
}

/// Mean of each window. Input: x (N×C×spatial).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AveragePool {
    /// Window size, stride, dilation and padding.
    pub window: Window,
    /// True if the last window may extend beyond the padded input.
    pub ceil_mode: bool,
    /// True if padding counts as zeros; otherwise the mean is taken over the elements inside the input.
    pub count_include_pad: bool,
}

fn infer(window: &Window, ceil: bool, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
    let x = require(inputs, 0)?;
    channels(x)?;
    let mut dims = x.shape.0[..2].to_vec();
    dims.extend(window.output_dims(x, ceil)?);
    Ok(vec![Fact::f32(Shape(dims))])
}

fn onnx_form(window: &Window, ceil: bool, name: &'static str) -> OnnxForm {
    let onnx_form = window.onnx_form(OnnxForm::new(name));
    if ceil { onnx_form.with("ceil_mode", Attribute::Int(1)) } else { onnx_form }
}

/// Number of planes (N·C), and spatial sizes of the input and output of a pooling.
pub(crate) struct Planes<'a> {
    pub(crate) count: usize,
    pub(crate) input: &'a [usize],
    pub(crate) output: &'a [usize],
}

impl<'a> Planes<'a> {
    pub(crate) fn new(x: &'a [usize], y: &'a [usize]) -> Self {
        Self { count: x[0] * x[1], input: &x[2..], output: &y[2..] }
    }

    pub(crate) fn in_area(&self) -> usize {
        self.input.iter().product()
    }

    pub(crate) fn out_area(&self) -> usize {
        self.output.iter().product()
    }
}

impl MaxPool {
    /// Returns for each output element the flat position of its maximum within its input plane, plane by plane.
    pub(crate) fn argmax(&self, x: &[f64], planes: &Planes<'_>) -> Vec<usize> {
        let (area, out) = (planes.in_area(), planes.out_area());
        let mut best = vec![None; planes.count * out];
        for p in 0..planes.count {
            let x = &x[p * area..(p + 1) * area];
            self.window.for_each(planes.input, planes.output, |o, _, s| {
                let slot = &mut best[p * out + o];
                let better = |old: usize| x[s] > x[old] || (x[s].is_nan() && !x[old].is_nan());
                if slot.is_none_or(better) {
                    *slot = Some(s);
                }
            });
        }
        best.into_iter().map(|b| b.unwrap_or(0)).collect()
    }
}

impl Operator for MaxPool {
    fn kind(&self) -> Kind<'_> {
        Kind::MaxPool(&self.window)
    }

    fn onnx_form(&self) -> OnnxForm {
        onnx_form(&self.window, self.ceil_mode, "MaxPool")
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        infer(&self.window, self.ceil_mode, inputs)
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (x, shape) = (require(inputs, 0)?, first_shape(shapes)?);
        let planes = Planes::new(x.shape(), shape);
        let values = x.to_f64();
        let (area, out) = (planes.in_area(), planes.out_area());
        let best = self.argmax(&values, &planes);
        let y = best.iter().enumerate().map(|(i, &s)| values[i / out * area + s]).collect();
        float_result(shape, y)
    }

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let Some(grad) = back.grad_for(0) else { return back.nothing() };
        let x = back.input(0)?;
        Ok(vec![Some(builder.apply(MaxPoolGrad { pool: self.clone() }, &[x, grad])?)])
    }
}

impl AveragePool {
    /// Returns the divisor for each output position of a plane.
    pub fn divisors(&self, input: &[usize], output: &[usize]) -> Vec<f64> {
        let mut counts = vec![0.0; output.iter().product()];
        if self.count_include_pad {
            // Of a window that ceil mode extends beyond the padding, only the elements inside count.
            let padded: Vec<usize> = (0..input.len())
                .map(|i| input[i] + self.window.pads_begin[i] + self.window.pads_end[i])
                .collect();
            let zeros = vec![0; input.len()];
            let window = Window { pads_begin: zeros.clone(), pads_end: zeros, ..self.window.clone() };
            window.for_each(&padded, output, |o, _, _| counts[o] += 1.0);
        } else {
            self.window.for_each(input, output, |o, _, _| counts[o] += 1.0);
        }
        counts
    }
}

impl Operator for AveragePool {
    fn kind(&self) -> Kind<'_> {
        Kind::AveragePool(&self.window)
    }

    fn onnx_form(&self) -> OnnxForm {
        let onnx_form = onnx_form(&self.window, self.ceil_mode, "AveragePool");
        if self.count_include_pad {
            onnx_form.with("count_include_pad", Attribute::Int(1))
        } else {
            onnx_form
        }
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        infer(&self.window, self.ceil_mode, inputs)
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (x, shape) = (require(inputs, 0)?, first_shape(shapes)?);
        let planes = Planes::new(x.shape(), shape);
        let values = x.to_f64();
        let divisors = self.divisors(planes.input, planes.output);
        let (area, out) = (planes.in_area(), planes.out_area());
        let mut y = vec![0.0; planes.count * out];
        for p in 0..planes.count {
            self.window.for_each(planes.input, planes.output, |o, _, s| {
                y[p * out + o] += values[p * area + s] / divisors[o];
            });
        }
        float_result(shape, y)
    }

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let Some(grad) = back.grad_for(0) else { return back.nothing() };
        let x = back.input(0)?;
        let input = spatial_sizes(builder.fact(x)).map_err(|e| at(back.node, e))?;
        Ok(vec![Some(builder.apply(AveragePoolGrad { pool: self.clone(), input }, &[grad])?)])
    }
}
