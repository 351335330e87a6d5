//! Convolution.

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::OpError;
use crate::fact::{Dim, Fact, Shape};
use crate::op::conv_grad::{ConvInputGrad, ConvWeightGrad};
use crate::op::window::{Window, channels, spatial_sizes};
use crate::op::{Attribute, Kind, OnnxForm, Operator, at, first_shape, float_result, invalid, require};
use crate::tensor::Tensor;

/// Cross-correlation over any number of spatial axes. Inputs: x (N×C×spatial), w (M×C/group×kernel), optional bias (M).
/// Output: N×M×spatial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Kernel size, stride, dilation and padding.
    pub window: Window,
    /// Number of channel groups; each output channel reads the input channels of its group only.
    pub group: usize,
}

impl Conv {
    /// Checks x against w and returns the number of output channels.
    ///
    /// # Errors
    /// If channels, groups or kernel sizes do not match.
    pub fn check(&self, x: &Fact, w: &Fact) -> Result<usize, OpError> {
        let c = channels(x)?;
        let kernel: Vec<Dim> = self.window.kernel.iter().map(|&k| Dim::Fixed(k)).collect();
        let (Some(&Dim::Fixed(m)), Some(&Dim::Fixed(inner)), Some(found)) =
            (w.shape.0.first(), w.shape.0.get(1), w.shape.0.get(2..))
        else {
            return Err(invalid(format!("expected weights M×C×kernel, found {}", w.shape)));
        };
        let g = self.group;
        if found != kernel.as_slice() {
            return Err(invalid(format!(
                "kernel_shape {:?} against weights {}",
                self.window.kernel, w.shape
            )));
        }
        if g == 0 || !m.is_multiple_of(g) || inner.checked_mul(g) != Some(c) {
            return Err(invalid(format!(
                "input {} and weights {} do not fit with {g} groups",
                x.shape, w.shape
            )));
        }
        Ok(m)
    }
}

impl Operator for Conv {
    fn kind(&self) -> Kind<'_> {
        Kind::Conv(self)
    }

    fn onnx_form(&self) -> OnnxForm {
        onnx_form(&self.window, self.group, OnnxForm::new("Conv"))
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let (x, w) = (require(inputs, 0)?, require(inputs, 1)?);
        let m = self.check(x, w)?;
        if let Some(bias) = inputs.get(2).copied().flatten()
            && bias.shape != Shape::fixed(&[m])
        {
            return Err(invalid(format!("expected a bias of {m}, found {}", bias.shape)));
        }
        let mut dims = vec![x.shape.0[0], Dim::Fixed(m)];
        dims.extend(self.window.output_dims(x, false)?);
        Ok(vec![Fact::f32(Shape(dims))])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        let (x, w) = (require(inputs, 0)?, require(inputs, 1)?);
        let bias = inputs.get(2).copied().flatten().map(Tensor::to_f64);
        let shape = first_shape(shapes)?;
        let walk = ConvWalk::new(self, x.shape(), w.shape(), shape);
        let (x, w) = (x.to_f64(), w.to_f64());
        let mut y = vec![0.0; shape.iter().product()];
        if let Some(bias) = bias {
            for (plane, b) in y.chunks_mut(walk.out_area.max(1)).zip(bias.iter().cycle()) {
                plane.fill(*b);
            }
        }
        walk.run(|xi, wi, yi| y[yi] += x[xi] * w[wi]);
        float_result(shape, y)
    }

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let Some(grad) = back.grad() else { return back.nothing() };
        let (x, w) = (back.input(0)?, back.input(1)?);
        let dx = if back.wants(0) {
            let input = spatial_sizes(builder.fact(x)).map_err(|e| at(back.node, e))?;
            Some(builder.apply(ConvInputGrad { conv: self.clone(), input }, &[grad, w])?)
        } else {
            None
        };
        let dw = back
            .wants(1)
            .then(|| builder.apply(ConvWeightGrad { conv: self.clone() }, &[x, grad]))
            .transpose()?;
        let axes: Vec<usize> = (0..builder.shape(grad).rank()).filter(|&a| a != 1).collect();
        let db = back.wants(2).then(|| builder.sum(grad, &axes, false)).transpose()?;
        Ok(vec![dx, dw, db])
    }
}

pub(crate) fn onnx_form(window: &Window, group: usize, onnx_form: OnnxForm) -> OnnxForm {
    let onnx_form = window.onnx_form(onnx_form);
    match i64::try_from(group) {
        Ok(1) | Err(_) => onnx_form,
        Ok(group) => onnx_form.with("group", Attribute::Int(group)),
    }
}

/// Triples (input, weight, output) of a convolution: the forward pass and both gradients sum over the same triples.
pub(crate) struct ConvWalk<'a> {
    conv: &'a Conv,
    n: usize,
    c: usize,
    m: usize,
    input: &'a [usize],
    output: &'a [usize],
    out_area: usize,
}

impl<'a> ConvWalk<'a> {
    /// Creates a walk; `x`, `w` and `y` are the full shapes of input, weights and output.
    pub(crate) fn new(conv: &'a Conv, x: &'a [usize], w: &[usize], y: &'a [usize]) -> Self {
        let (input, output) = (&x[2..], &y[2..]);
        Self { conv, n: x[0], c: x[1], m: w[0], input, output, out_area: output.iter().product() }
    }

    /// Calls `visit(x position, w position, y position)`; positions are flat.
    pub(crate) fn run(&self, mut visit: impl FnMut(usize, usize, usize)) {
        let (inner, outer) = (self.c / self.conv.group, self.m / self.conv.group);
        let in_area: usize = self.input.iter().product();
        let taps = self.conv.window.len();
        for n in 0..self.n {
            for m in 0..self.m {
                for ci in 0..inner {
                    let x_plane = (n * self.c + m / outer * inner + ci) * in_area;
                    let w_plane = (m * inner + ci) * taps;
                    let y_plane = (n * self.m + m) * self.out_area;
                    self.conv.window.for_each(self.input, self.output, |o, k, s| {
                        visit(x_plane + s, w_plane + k, y_plane + o);
                    });
                }
            }
        }
    }
}
