//! Convolution and pooling: sliding windows and their padding modes.

use super::{Recipe, plain};
use crate::compose::{blocks, norm};
use crate::error::OpError;
use crate::fact::{Dim, Shape};
use crate::onnx::attributes::Attributes;
use crate::onnx::positions::Positions;
use crate::onnx::scope::{Problem, Slot};
use crate::op::conv::Conv;
use crate::op::conv_grad::ConvInputGrad;
use crate::op::global_pool::{GlobalPool, GlobalPoolFunction};
use crate::op::invalid;
use crate::op::max_unpool::MaxUnpool;
use crate::op::pool::{AveragePool, MaxPool};
use crate::op::window::{Window, spatial_sizes};

/// Attributes of a window, before the sizes of the input are known.
struct WindowAttributes {
    kernel: Option<Vec<usize>>,
    strides: Option<Vec<usize>>,
    dilations: Option<Vec<usize>>,
    pads: Option<Vec<usize>>,
    padding: AutoPad,
}

/// ONNX's `auto_pad`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AutoPad {
    NotSet,
    Valid,
    /// Padding for ⌈input ÷ stride⌉ windows; an odd remainder goes to the end.
    SameUpper,
    /// Padding for ⌈input ÷ stride⌉ windows; an odd remainder goes to the beginning.
    SameLower,
}

impl WindowAttributes {
    fn read(attributes: &mut Attributes<'_>) -> Result<Self, OpError> {
        let padding = match attributes.text("auto_pad")? {
            None | Some("NOTSET" | "") => AutoPad::NotSet,
            Some("VALID") => AutoPad::Valid,
            Some("SAME_UPPER") => AutoPad::SameUpper,
            Some("SAME_LOWER") => AutoPad::SameLower,
            Some(other) => return Err(invalid(format!("unknown auto_pad {other:?}"))),
        };
        let pads = attributes.sizes("pads")?;
        if padding != AutoPad::NotSet && pads.iter().flatten().any(|&p| p != 0) {
            return Err(invalid("auto_pad and pads exclude each other"));
        }
        Ok(Self {
            kernel: attributes.sizes("kernel_shape")?,
            strides: attributes.sizes("strides")?,
            dilations: attributes.sizes("dilations")?,
            pads,
            padding,
        })
    }

    /// True if the padding makes the windows fit exactly, so that the rounding mode does not matter.
    fn is_same(&self) -> bool {
        matches!(self.padding, AutoPad::SameUpper | AutoPad::SameLower)
    }

    /// Returns the window over an input of spatial sizes `input`; `weights` are the kernel sizes for operators whose
    /// attribute is optional.
    fn resolve(self, input: &[usize], weights: Option<Vec<usize>>) -> Result<Window, OpError> {
        let kernel =
            self.kernel.or(weights).ok_or_else(|| invalid("expected an attribute \"kernel_shape\""))?;
        let n = kernel.len();
        let mut window = Window {
            strides: self.strides.unwrap_or_else(|| vec![1; n]),
            dilations: self.dilations.unwrap_or_else(|| vec![1; n]),
            ..Window::new(&kernel)
        };
        match self.padding {
            AutoPad::Valid => {}
            AutoPad::NotSet => {
                let pads = self.pads.unwrap_or_else(|| vec![0; 2 * n]);
                let both = pads.get(..n).zip(pads.get(n..)).filter(|(_, end)| end.len() == n);
                let (begin, end) = both.ok_or_else(|| {
                    invalid(format!("expected {} numbers of padding, found {pads:?}", 2 * n))
                })?;
                (window.pads_begin, window.pads_end) = (begin.to_vec(), end.to_vec());
            }
            AutoPad::SameUpper | AutoPad::SameLower => {
                let axes = input.iter().zip(&window.kernel).zip(&window.strides).zip(&window.dilations);
                let totals: Result<Vec<usize>, OpError> =
                    axes.map(|(((&i, &k), &s), &d)| same_padding(i, k, s, d)).collect();
                let (small, large): (Vec<usize>, Vec<usize>) =
                    totals?.iter().map(|&t| (t / 2, t - t / 2)).unzip();
                let upper = self.padding == AutoPad::SameUpper;
                (window.pads_begin, window.pads_end) = if upper { (small, large) } else { (large, small) };
            }
        }
        Ok(window)
    }
}

impl WindowAttributes {
    /// Returns the window of a transposed convolution over an input of spatial sizes `input`, and the spatial sizes of
    /// its output. If the output sizes are given, the padding is computed from them.
    fn transposed(
        self,
        input: &[usize],
        kernel: Vec<usize>,
        extra: &[usize],
        output: Option<Vec<usize>>,
    ) -> Result<(Window, Vec<usize>), OpError> {
        let upper = self.padding == AutoPad::SameUpper;
        let (same, n) = (self.is_same(), input.len());
        let plain = Self { padding: if same { AutoPad::Valid } else { self.padding }, ..self };
        let mut window = plain.resolve(input, Some(kernel))?;
        let lists = [&window.kernel, &window.strides, &window.dilations];
        if lists.iter().any(|list| list.len() != n || list.contains(&0)) || extra.len() != n {
            return Err(invalid(format!("window attributes for {n} spatial axes")));
        }
        let mut sizes = Vec::with_capacity(n);
        for i in 0..n {
            let (stride, pads) = (window.strides[i], [window.pads_begin[i], window.pads_end[i]]);
            let overflow = || invalid("window sizes overflow");
            let span = (window.kernel[i] - 1).checked_mul(window.dilations[i]).ok_or_else(overflow)?;
            let steps = input[i].saturating_sub(1).checked_mul(stride).ok_or_else(overflow)?;
            let full = steps.checked_add(span).and_then(|s| s.checked_add(extra[i])?.checked_add(1));
            let full = full.ok_or_else(overflow)?;
            let wanted = match &output {
                Some(sizes) => Some(*sizes.get(i).ok_or_else(|| invalid("output_shape for fewer axes"))?),
                None if same => Some(input[i].checked_mul(stride).ok_or_else(overflow)?),
                None => None,
            };
            let Some(wanted) = wanted else {
                let size = full.checked_sub(pads[0]).and_then(|s| s.checked_sub(pads[1])).filter(|&s| s > 0);
                sizes.push(size.ok_or_else(|| invalid(format!("padding {pads:?} of a size of {full}")))?);
                continue;
            };
            let total = full.saturating_sub(wanted);
            let (small, large) = (total / 2, total - total / 2);
            (window.pads_begin[i], window.pads_end[i]) = if upper { (small, large) } else { (large, small) };
            sizes.push(wanted);
        }
        Ok((window, sizes))
    }
}

/// Returns the total padding of an axis for ⌈input ÷ stride⌉ windows.
fn same_padding(input: usize, kernel: usize, stride: usize, dilation: usize) -> Result<usize, OpError> {
    let needed = || {
        let windows = input.checked_add(stride.checked_sub(1)?)? / stride;
        let span = kernel.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
        windows.saturating_sub(1).checked_mul(stride)?.checked_add(span)
    };
    let needed = needed().ok_or_else(|| invalid("window size and step must be at least 1"))?;
    Ok(needed.saturating_sub(input))
}

pub(super) fn conv(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let window = WindowAttributes::read(attributes)?;
    let group = attributes.int("group")?.unwrap_or(1);
    let group = usize::try_from(group).map_err(|_| invalid(format!("{group} groups")))?;
    Ok(Box::new(move |scope| {
        let inputs = scope.inputs()?;
        let (x, w) = (scope.input(0)?, scope.input(1)?);
        let sizes = scope.fact(w).shape.0.iter().skip(2);
        let fixed = |d: &Dim| if let Dim::Fixed(d) = d { Some(*d) } else { None };
        let kernel: Option<Vec<usize>> = sizes.map(fixed).collect();
        let window = window.resolve(&spatial_sizes(scope.fact(x))?, kernel)?;
        scope.finish(Conv { window, group }, &inputs)
    }))
}

pub(super) fn max_pool(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let window = WindowAttributes::read(attributes)?;
    let by_columns = attributes.flag("storage_order")?;
    let ceil_mode = attributes.flag("ceil_mode")? && !window.is_same();
    Ok(Box::new(move |scope| {
        let x = scope.input(0)?;
        let window = window.resolve(&spatial_sizes(scope.fact(x))?, None)?;
        let pool = MaxPool { window, ceil_mode };
        let mut outputs = scope.finish(pool.clone(), &[Some(x)])?;
        if scope.node.output.get(1).is_some_and(|name| !name.is_empty()) {
            outputs.push(match by_columns {
                true => Slot::Unreadable(OpError::Unsupported("a storage_order of 1".to_owned())),
                false => Slot::Positions(Positions::new(pool, x)),
            });
        }
        Ok(outputs)
    }))
}

/// Reads `MaxUnpool` to the positions that a `MaxPool` of the file gives.
pub(super) fn max_unpool(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let kernel = attributes.sizes("kernel_shape")?;
    let kernel = kernel.ok_or_else(|| invalid("expected an attribute \"kernel_shape\""))?;
    let strides = attributes.sizes("strides")?.unwrap_or_else(|| vec![1; kernel.len()]);
    let pads = attributes.sizes("pads")?.unwrap_or_else(|| vec![0; 2 * kernel.len()]);
    Ok(Box::new(move |scope| {
        let (values, (pool, x)) = (scope.input(0)?, scope.maxima(1)?);
        let (found, whole) = (scope.fact(values).clone(), scope.fact(x).shape.clone());
        let size = match scope.sizes(2, "a size")? {
            Some(sizes) => super::shape_values::to_shape(&sizes)?,
            None => {
                let (begin, end) = pads.split_at(pads.len() / 2);
                let sizes = MaxUnpool::sizes(&spatial_sizes(&found)?, &kernel, &strides, [begin, end])?;
                let sizes: Vec<Dim> = sizes.into_iter().map(Dim::Fixed).collect();
                Shape([&found.shape.0[..2], &sizes].concat())
            }
        };
        if size != whole {
            let what = format!(
                "unpooling to {size} by positions in {whole} (give the size of the pooling's input as output_shape)"
            );
            return Err(OpError::Unsupported(what).into());
        }
        scope.finish(MaxUnpool { pool }, &[Some(x), Some(values)])
    }))
}

pub(super) fn average_pool(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let window = WindowAttributes::read(attributes)?;
    let ceil_mode = attributes.flag("ceil_mode")? && !window.is_same();
    let count_include_pad = attributes.flag("count_include_pad")?;
    Ok(Box::new(move |scope| {
        let x = scope.input(0)?;
        let window = window.resolve(&spatial_sizes(scope.fact(x))?, None)?;
        scope.finish(AveragePool { window, ceil_mode, count_include_pad }, &[Some(x)])
    }))
}

/// Reads `ConvTranspose`: the gradient of a convolution with respect to its input.
pub(super) fn conv_transpose(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let window = WindowAttributes::read(attributes)?;
    let output_padding = attributes.sizes("output_padding")?;
    let output = attributes.sizes("output_shape")?;
    let group = attributes.int("group")?.unwrap_or(1);
    let group = usize::try_from(group).map_err(|_| invalid(format!("{group} groups")))?;
    Ok(Box::new(move |scope| {
        let (x, w, bias) = (scope.input(0)?, scope.input(1)?, scope.optional(2)?);
        let input = spatial_sizes(scope.fact(x))?;
        let kernel: Vec<usize> = scope.fact(w).shape.0.iter().skip(2).map(|d| d.at(1)).collect();
        let extra = output_padding.unwrap_or_else(|| vec![0; input.len()]);
        let (window, output) = window.transposed(&input, kernel, &extra, output)?;
        let op = ConvInputGrad { conv: Conv { window, group }, input: output };
        let Some(bias) = bias else { return scope.finish(op, &[Some(x), Some(w)]) };
        scope.formula(|b| {
            let y = b.apply(op, &[x, w])?;
            let mut shape = vec![Dim::Fixed(1); b.shape(y).rank() - 1];
            if let (Some(slot), Some(&channels)) = (shape.first_mut(), b.shape(y).0.get(1)) {
                *slot = channels;
            }
            let bias = b.reshape(bias, Shape(shape))?;
            b.add(y, bias)
        })
    }))
}

/// Reads `Col2Im`: sums overlapping windows, which are stored as columns.
pub(super) fn col2im(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let window = WindowAttributes::read(attributes)?;
    Ok(Box::new(move |scope| {
        let mut sizes = |index, what: &str| {
            let sizes = scope.ints(index, what)?.ok_or(OpError::MissingInput { index })?;
            let sizes: Result<Vec<usize>, _> = sizes.into_iter().map(usize::try_from).collect();
            sizes.map_err(|_| Problem::from(invalid(format!("a size below 0 in {what}"))))
        };
        let (image, block) = (sizes(1, "image_shape")?, sizes(2, "block_shape")?);
        let window = window.resolve(&image, Some(block))?;
        let x = scope.input(0)?;
        scope.formula(|b| blocks::col2im(b, x, &window, &image))
    }))
}

/// Reads `LpPool`, without dilations and ceil mode before operator set 18.
pub(super) fn lp_pool(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let window = WindowAttributes::read(attributes)?;
    let ceil_mode = attributes.flag("ceil_mode")? && !window.is_same();
    let p = attributes.int("p")?.unwrap_or(2);
    Ok(Box::new(move |scope| {
        let x = scope.input(0)?;
        let window = window.resolve(&spatial_sizes(scope.fact(x))?, None)?;
        scope.formula(|b| norm::pool(b, x, &window, ceil_mode, p))
    }))
}

pub(super) fn global_lp_pool(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let p = attributes.int("p")?.unwrap_or(2);
    Ok(Box::new(move |scope| {
        let x = scope.input(0)?;
        scope.formula(|b| norm::global_pool(b, x, p))
    }))
}

pub(super) fn global_average_pool(_: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    plain(GlobalPool(GlobalPoolFunction::Average))
}

pub(super) fn global_max_pool(_: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    plain(GlobalPool(GlobalPoolFunction::Max))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(padding: AutoPad) -> Window {
        let attributes = WindowAttributes {
            kernel: Some(vec![4, 3]),
            strides: Some(vec![1, 2]),
            dilations: None,
            pads: None,
            padding,
        };
        attributes.resolve(&[5, 6], None).unwrap()
    }

    #[test]
    fn an_odd_rest_goes_where_its_name_says() {
        let upper = window(AutoPad::SameUpper);
        assert_eq!((upper.pads_begin, upper.pads_end), (vec![1, 0], vec![2, 1]));
        let lower = window(AutoPad::SameLower);
        assert_eq!((lower.pads_begin, lower.pads_end), (vec![2, 1], vec![1, 0]));
        assert_eq!(window(AutoPad::Valid), Window::new(&[4, 3]).strides(&[1, 2]));
    }

    #[test]
    fn same_padding_gives_the_promised_size() {
        for input in 1..9 {
            for (kernel, stride, dilation) in
                [(1, 1, 1), (1, 3, 1), (3, 1, 1), (3, 2, 1), (2, 4, 1), (3, 2, 2)]
            {
                let total = same_padding(input, kernel, stride, dilation).unwrap();
                let mut window = Window::new(&[kernel]).strides(&[stride]);
                (window.dilations, window.pads_end) = (vec![dilation], vec![total]);
                assert_eq!(window.output_sizes(&[input], false).unwrap(), [input.div_ceil(stride)]);
            }
        }
        assert!(same_padding(5, 3, 0, 1).is_err());
    }
}
