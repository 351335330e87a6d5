//! Convolutions. Keras stores kernels as height × width × input × output channels.

use super::activation::activate;
use super::window::{Padding, span, spatial_axes};
use crate::error::OpError;
use crate::fact::Shape;
use crate::graph::ValueId;
use crate::keras::scope::{Format, Made, Problem, Scope, permuted};
use crate::op::conv::Conv;
use crate::op::conv_grad::ConvInputGrad;
use crate::op::invalid;
use crate::op::window::{channels, spatial_sizes};
use crate::tensor::Tensor;

/// Settings common to all convolutions.
struct Settings {
    format: Format,
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    padding: Padding,
    bias: bool,
}

impl Settings {
    fn read(scope: &Scope<'_>) -> Result<Self, OpError> {
        let (n, config) = (spatial_axes(scope.class), &scope.config);
        Ok(Self {
            format: scope.format()?,
            kernel: config.need("kernel_size", config.sizes("kernel_size", n)?)?,
            strides: config.sizes("strides", n)?.unwrap_or_else(|| vec![1; n]),
            dilations: config.sizes("dilation_rate", n)?.unwrap_or_else(|| vec![1; n]),
            padding: Padding::read(scope)?,
            bias: config.flag("use_bias", true)?,
        })
    }

    /// Returns the input as N×C×spatial, with its number of channels and spatial sizes.
    fn input(&self, scope: &mut Scope<'_>) -> Result<(ValueId, usize, Vec<usize>), Problem> {
        let symbol = scope.input()?;
        let x = scope.spatial(symbol, self.format)?;
        let fact = scope.reading.graph.fact(x).clone();
        let sizes = spatial_sizes(&fact)?;
        if sizes.len() != self.kernel.len() {
            return Err(invalid(format!("a window over {} axes on {}", self.kernel.len(), fact.shape)).into());
        }
        Ok((x, channels(&fact)?, sizes))
    }

    /// Returns the shape of a kernel with two more axes at the end.
    fn kernel_shape(&self, last: [usize; 2]) -> Vec<usize> {
        self.kernel.iter().copied().chain(last).collect()
    }

    /// Applies the activation.
    fn finish(&self, scope: &mut Scope<'_>, y: ValueId) -> Made {
        activate(scope, Scope::spatial_result(y, self.format))
    }
}

fn filters(scope: &Scope<'_>) -> Result<usize, OpError> {
    scope.config.need("filters", scope.config.size("filters")?)
}

/// Permutes height × width × input × output to output × input × height × width.
fn to_output_first(tensor: &Tensor) -> Result<Tensor, OpError> {
    let rank = tensor.shape().len();
    let perm: Vec<usize> = [rank - 1, rank - 2].into_iter().chain(0..rank - 2).collect();
    permuted(tensor, &perm)
}

pub(super) fn conv(scope: &mut Scope<'_>) -> Made {
    let settings = Settings::read(scope)?;
    let (filters, group) = (filters(scope)?, scope.config.size("groups")?.unwrap_or(1));
    let (x, c, sizes) = settings.input(scope)?;
    let inner = c.checked_div(group).ok_or_else(|| invalid("0 groups"))?;
    let w = scope.array("kernel", &settings.kernel_shape([inner, filters]), |t| to_output_first(&t))?;
    let window = settings.padding.window(&sizes, &settings.kernel, &settings.strides, &settings.dilations)?;
    let mut inputs = vec![x, w];
    if settings.bias {
        inputs.push(scope.vector("bias", filters)?);
    }
    let y = scope.apply(Conv { window, group }, &inputs)?;
    settings.finish(scope, y)
}

/// Applies the depthwise part: each channel has `multiplier` kernels.
fn depthwise_conv(
    scope: &mut Scope<'_>,
    settings: &Settings,
    x: (ValueId, usize, &[usize]),
    bias: bool,
) -> Result<(ValueId, usize), Problem> {
    let (x, c, sizes) = x;
    let multiplier = scope.config.size("depth_multiplier")?.unwrap_or(1);
    let outputs = c.checked_mul(multiplier).ok_or_else(|| invalid("depth_multiplier overflows"))?;
    let mut shape = vec![outputs, 1];
    shape.extend(&settings.kernel);
    let w = scope.array("depthwise_kernel", &settings.kernel_shape([c, multiplier]), |t| {
        let rank = t.shape().len();
        let perm: Vec<usize> = [rank - 2, rank - 1].into_iter().chain(0..rank - 2).collect();
        permuted(&t, &perm)?.reshaped(shape).ok_or_else(|| invalid("the kernel does not fit its channels"))
    })?;
    let window = settings.padding.window(sizes, &settings.kernel, &settings.strides, &settings.dilations)?;
    let mut inputs = vec![x, w];
    if bias {
        inputs.push(scope.vector("bias", outputs)?);
    }
    Ok((scope.apply(Conv { window, group: c }, &inputs)?, outputs))
}

pub(super) fn depthwise(scope: &mut Scope<'_>) -> Made {
    let settings = Settings::read(scope)?;
    // Written by the base class, not used here.
    scope.config.ignore(&["filters", "groups"]);
    let (x, c, sizes) = settings.input(scope)?;
    let (y, _) = depthwise_conv(scope, &settings, (x, c, &sizes), settings.bias)?;
    settings.finish(scope, y)
}

pub(super) fn separable(scope: &mut Scope<'_>) -> Made {
    let settings = Settings::read(scope)?;
    let filters = filters(scope)?;
    scope.config.ignore(&["groups"]);
    let (x, c, sizes) = settings.input(scope)?;
    let (y, outputs) = depthwise_conv(scope, &settings, (x, c, &sizes), false)?;
    let ones = vec![1; settings.kernel.len()];
    let shape: Vec<usize> = ones.iter().copied().chain([outputs, filters]).collect();
    let w = scope.array("pointwise_kernel", &shape, |t| to_output_first(&t))?;
    let mut inputs = vec![y, w];
    if settings.bias {
        inputs.push(scope.vector("bias", filters)?);
    }
    let window = crate::op::window::Window::new(&ones);
    let y = scope.apply(Conv { window, group: 1 }, &inputs)?;
    settings.finish(scope, y)
}

/// Reads a transposed convolution: the input gradient of the convolution whose input has the sizes of this output.
pub(super) fn transposed(scope: &mut Scope<'_>) -> Made {
    let settings = Settings::read(scope)?;
    let filters = filters(scope)?;
    scope.config.ignore(&["groups"]);
    let n = settings.kernel.len();
    let extra = scope.config.sizes("output_padding", n)?;
    let (x, c, sizes) = settings.input(scope)?;
    let mut output = Vec::with_capacity(n);
    for (i, &size) in sizes.iter().enumerate() {
        let extra = extra.as_ref().map(|e| e[i]);
        output.push(settings.transposed_size(i, size, extra).ok_or_else(|| invalid("sizes overflow"))?);
    }
    // Stored as height × width × output × input, as for that convolution.
    let w = scope.array("kernel", &settings.kernel_shape([filters, c]), |t| to_output_first(&t))?;
    let window =
        settings.padding.window(&output, &settings.kernel, &settings.strides, &settings.dilations)?;
    let conv = Conv { window, group: 1 };
    let mut y = scope.apply(ConvInputGrad { conv, input: output }, &[x, w])?;
    if settings.bias {
        let column: Vec<usize> = std::iter::once(filters).chain(vec![1; n]).collect();
        let bias = scope.array("bias", &[filters], |t| {
            t.reshaped(column).ok_or_else(|| invalid("the bias does not fit its channels"))
        })?;
        y = scope.build().add(y, bias)?;
    }
    settings.finish(scope, y)
}

impl Settings {
    /// Returns the output size of a transposed convolution along an axis.
    fn transposed_size(&self, axis: usize, size: usize, extra: Option<usize>) -> Option<usize> {
        let (stride, kernel) = (self.strides[axis], span(self.kernel[axis], self.dilations[axis])?);
        let between = size.checked_sub(1)?.checked_mul(stride)?;
        match (extra, self.padding) {
            (None, Padding::Same) => size.checked_mul(stride),
            (None, _) => size.checked_mul(stride)?.checked_add(kernel.saturating_sub(stride)),
            (Some(extra), Padding::Same) => {
                between.checked_add(kernel)?.checked_add(extra)?.checked_sub(2 * (kernel / 2))
            }
            (Some(extra), _) => between.checked_add(kernel)?.checked_add(extra),
        }
    }
}

/// Returns the batch axis of `shape` followed by `sizes`.
pub(super) fn batched_like(shape: &Shape, sizes: &[usize]) -> Shape {
    let first = shape.0.first().copied();
    Shape(first.into_iter().chain(sizes.iter().map(|&d| d.into())).collect())
}
