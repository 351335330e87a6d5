//! Sliding windows over a plane, for convolution and pooling.

use std::ops::Range;

/// A window that slides over planes of size `input` (height, width) and takes `output` (height, width) positions. Every
/// pair is (vertical, horizontal).
///
/// The output size is given, not derived, so ceil mode is up to the caller; elements beyond the input are padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window2d {
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) dilation: [usize; 2],
    /// Padding at the top and left.
    pub(crate) pad_begin: [usize; 2],
    /// Padding at the bottom and right; used only by averages that count padding.
    pub(crate) pad_end: [usize; 2],
    pub(crate) input: [usize; 2],
    pub(crate) output: [usize; 2],
}

impl Window2d {
    /// Returns a window with the usual output size: as many positions as fit.
    #[cfg(test)]
    pub(crate) fn fitting(
        kernel: [usize; 2],
        stride: [usize; 2],
        dilation: [usize; 2],
        pad_begin: [usize; 2],
        pad_end: [usize; 2],
        input: [usize; 2],
    ) -> Option<Self> {
        let mut output = [0; 2];
        for i in 0..2 {
            let span = (kernel[i] - 1) * dilation[i] + 1;
            let room = (input[i] + pad_begin[i] + pad_end[i]).checked_sub(span)?;
            output[i] = room / stride[i] + 1;
        }
        Some(Self { kernel, stride, dilation, pad_begin, pad_end, input, output })
    }

    /// Returns the number of elements of an input plane.
    pub(crate) fn input_area(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// Returns the number of elements of an output plane.
    pub(crate) fn output_area(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Returns the number of elements of the window.
    pub(crate) fn kernel_area(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Returns the input coordinate along `axis` of window element `k` at output position `o`, or `None` in the
    /// padding.
    #[inline]
    pub(crate) fn source(&self, axis: usize, o: usize, k: usize) -> Option<usize> {
        let padded = o * self.stride[axis] + k * self.dilation[axis];
        padded.checked_sub(self.pad_begin[axis]).filter(|&i| i < self.input[axis])
    }

    /// Returns for each output position along `axis` the range of input coordinates of its window, which are a dilation
    /// apart.
    pub(crate) fn spans(&self, axis: usize) -> Vec<Range<usize>> {
        let span = |o: usize| {
            let mut seen = (0..self.kernel[axis]).filter_map(|k| self.source(axis, o, k));
            let first = seen.next().unwrap_or(0);
            let last = seen.next_back().unwrap_or(first);
            if (0..self.kernel[axis]).any(|k| self.source(axis, o, k).is_some()) {
                first..last + 1
            } else {
                0..0
            }
        };
        (0..self.output[axis]).map(span).collect()
    }
}
