//! Sliding windows of convolution and pooling.

use crate::error::OpError;
use crate::fact::{DType, Dim, Fact};
use crate::op::broadcast::for_each_index;
use crate::op::{OnnxForm, invalid};

/// Maximum size, stride, dilation or padding along an axis.
const MOST_ALONG: usize = 1 << 16;
/// Maximum number of elements of a window, and maximum product of its strides.
const MOST_ELEMENTS: usize = 1 << 24;

/// Size, stride, dilation and padding of a window, one entry per spatial axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Window sizes.
    pub kernel: Vec<usize>,
    /// Strides.
    pub strides: Vec<usize>,
    /// Distances between neighbouring window elements.
    pub dilations: Vec<usize>,
    /// Padding before each axis.
    pub pads_begin: Vec<usize>,
    /// Padding after each axis.
    pub pads_end: Vec<usize>,
}

impl Window {
    /// Returns a window with stride 1 and without padding.
    #[must_use]
    pub fn new(kernel: &[usize]) -> Self {
        let n = kernel.len();
        Self {
            kernel: kernel.to_vec(),
            strides: vec![1; n],
            dilations: vec![1; n],
            pads_begin: vec![0; n],
            pads_end: vec![0; n],
        }
    }

    /// Sets the strides.
    #[must_use]
    pub fn strides(mut self, strides: &[usize]) -> Self {
        self.strides = strides.to_vec();
        self
    }

    /// Sets the same padding before and after each axis.
    #[must_use]
    pub fn pads(mut self, pads: &[usize]) -> Self {
        self.pads_begin = pads.to_vec();
        self.pads_end = pads.to_vec();
        self
    }

    /// Returns the number of spatial axes.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.kernel.len()
    }

    /// True if an element may belong to several windows.
    #[must_use]
    pub fn overlaps(&self) -> bool {
        let spans = self.kernel.iter().zip(&self.dilations);
        let spans = spans.map(|(k, d)| k.saturating_sub(1).saturating_mul(*d).saturating_add(1));
        spans.zip(&self.strides).any(|(span, &stride)| span > stride)
    }

    /// Returns the number of elements of a window.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kernel.iter().product()
    }

    /// True if the window has no elements, which is invalid.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the output sizes for spatial input sizes. With `ceil`, a last window that starts inside the input or its
    /// front padding counts even if it extends beyond the end.
    ///
    /// # Errors
    /// If the attributes are inconsistent or no window fits.
    pub fn output_sizes(&self, input: &[usize], ceil: bool) -> Result<Vec<usize>, OpError> {
        let n = self.rank();
        let lists = [&self.strides, &self.dilations, &self.pads_begin, &self.pads_end];
        if input.len() != n || lists.iter().any(|l| l.len() != n) {
            return Err(invalid(format!("a window over {n} axes on {} spatial axes", input.len())));
        }
        if self.kernel.contains(&0) || self.strides.contains(&0) || self.dilations.contains(&0) {
            return Err(invalid("window size, step and dilation must be at least 1"));
        }
        // Kernels iterate over windows and strides; without limits, a tiny file could cause hours of work.
        let numbers = lists.into_iter().chain([&self.kernel]).flatten();
        let many = |sizes: &[usize]| {
            sizes.iter().try_fold(1usize, |n, &k| n.checked_mul(k)).is_none_or(|n| n > MOST_ELEMENTS)
        };
        if numbers.into_iter().any(|&d| d > MOST_ALONG) || many(&self.kernel) || many(&self.strides) {
            return Err(invalid(format!(
                "a window of {:?} with steps of {:?}, {:?} apart, is beyond {MOST_ALONG} along an axis or \
                 {MOST_ELEMENTS} elements",
                self.kernel, self.strides, self.dilations
            )));
        }
        (0..n).map(|i| self.output_size(i, input[i], ceil)).collect()
    }

    fn output_size(&self, i: usize, input: usize, ceil: bool) -> Result<usize, OpError> {
        let overflow = || invalid("window sizes overflow");
        let padded = input
            .checked_add(self.pads_begin[i])
            .and_then(|p| p.checked_add(self.pads_end[i]))
            .ok_or_else(overflow)?;
        let span = (self.kernel[i] - 1)
            .checked_mul(self.dilations[i])
            .and_then(|s| s.checked_add(1))
            .ok_or_else(overflow)?;
        let room = padded.checked_sub(span).ok_or_else(|| {
            invalid(format!("a window of {span} does not fit into a padded size of {padded}"))
        })?;
        let stride = self.strides[i];
        let size = if ceil { room.div_ceil(stride) } else { room / stride } + 1;
        let starts_outside = ceil && (size - 1) * stride >= input + self.pads_begin[i];
        Ok(if starts_outside { size - 1 } else { size })
    }

    /// Returns the spatial sizes of the output for an N×C×spatial input.
    ///
    /// # Errors
    /// If the input is not a floating-point value of that form, or no window fits.
    pub fn output_dims(&self, x: &Fact, ceil: bool) -> Result<Vec<Dim>, OpError> {
        let spatial = spatial_sizes(x)?;
        Ok(self.output_sizes(&spatial, ceil)?.into_iter().map(Dim::Fixed).collect())
    }

    /// Returns the flat spatial input position of window element `element` at output position `output`, or `None` if it
    /// lies in the padding.
    #[must_use]
    pub fn source(&self, output: &[usize], element: &[usize], input: &[usize]) -> Option<usize> {
        let mut flat = 0;
        for i in 0..self.rank() {
            let at = (output[i] * self.strides[i] + element[i] * self.dilations[i])
                .checked_sub(self.pads_begin[i])?;
            if at >= input[i] {
                return None;
            }
            flat = flat * input[i] + at;
        }
        Some(flat)
    }

    /// Calls `visit(output position, window element, input position)` for every non-padding element of every window, in
    /// row-major order; positions are flat.
    pub fn for_each(&self, input: &[usize], output: &[usize], mut visit: impl FnMut(usize, usize, usize)) {
        let mut o = 0;
        for_each_index(output, |out| {
            let mut k = 0;
            for_each_index(&self.kernel, |element| {
                if let Some(source) = self.source(out, element, input) {
                    visit(o, k, source);
                }
                k += 1;
            });
            o += 1;
        });
    }

    /// Adds the window's attributes to a written form.
    #[must_use]
    pub fn onnx_form(&self, onnx_form: OnnxForm) -> OnnxForm {
        let mut pads = self.pads_begin.clone();
        pads.extend(&self.pads_end);
        let mut onnx_form = onnx_form.with_sizes("kernel_shape", &self.kernel);
        for (name, values, default) in
            [("strides", &self.strides, 1), ("dilations", &self.dilations, 1), ("pads", &pads, 0)]
        {
            if values.iter().any(|&v| v != default) {
                onnx_form = onnx_form.with_sizes(name, values);
            }
        }
        onnx_form
    }
}

/// Returns the spatial sizes of an N×C×spatial value.
///
/// # Errors
/// If the value is not floating point, has fewer than three axes, or a spatial size contains the batch size.
pub fn spatial_sizes(x: &Fact) -> Result<Vec<usize>, OpError> {
    if x.dtype != DType::F32 || x.shape.rank() < 3 {
        return Err(invalid(format!(
            "expected a floating-point N×C×… value, found {:?} {}",
            x.dtype, x.shape
        )));
    }
    x.shape.0[2..]
        .iter()
        .map(|d| match d {
            Dim::Fixed(d) => Ok(*d),
            Dim::Batch(_) => Err(invalid(format!("the batch is a spatial axis of {}", x.shape))),
        })
        .collect()
}

/// Returns the number of channels of an N×C×… value.
///
/// # Errors
/// If the value has no such axis.
pub fn channels(x: &Fact) -> Result<usize, OpError> {
    match x.shape.0.get(1) {
        Some(Dim::Fixed(c)) => Ok(*c),
        _ => Err(invalid(format!("expected N×C×…, found {}", x.shape))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_standard() {
        let window = Window::new(&[3, 3]).strides(&[2, 2]).pads(&[1, 1]);
        assert_eq!(window.output_sizes(&[112, 7], false).unwrap(), [56, 4]);
        let pool = Window::new(&[2, 2]).strides(&[2, 2]);
        assert_eq!(pool.output_sizes(&[7, 8], false).unwrap(), [3, 4]);
        assert_eq!(pool.output_sizes(&[7, 8], true).unwrap(), [4, 4]);
        let odd = Window::new(&[1, 1]).strides(&[3, 3]);
        assert_eq!(odd.output_sizes(&[2, 2], true).unwrap(), [1, 1], "no window starts outside");
        assert!(Window::new(&[5, 5]).output_sizes(&[3, 3], false).is_err());
    }

    #[test]
    fn a_window_beyond_reason_is_refused() {
        let wide = Window::new(&[2, 2]).strides(&[1 << 31, 1]);
        assert!(wide.output_sizes(&[7, 8], false).unwrap_err().to_string().contains("beyond"));
        let large = Window { pads_begin: vec![1 << 15; 2], ..Window::new(&[1 << 15, 1 << 15]) };
        assert!(large.output_sizes(&[7, 8], false).is_err());
        let endless = Window { pads_end: vec![usize::MAX - 9, 0], ..Window::new(&[usize::MAX / 2, 2]) };
        assert!(endless.output_sizes(&[7, 8], false).is_err());
        assert_eq!(Window::new(&[1024, 1024]).output_sizes(&[1024, 1024], false).unwrap(), [1, 1]);
    }

    #[test]
    fn padding_has_no_source() {
        let window = Window::new(&[3]).pads(&[1]);
        assert_eq!(window.source(&[0], &[0], &[4]), None);
        assert_eq!(window.source(&[0], &[1], &[4]), Some(0));
        assert_eq!(window.source(&[3], &[2], &[4]), None);
    }
}
