//! Sliding windows over a plane: what convolution and pooling share.

use std::ops::Range;

/// A window that slides over planes of `input` (height, width) and stops at `output` (height,
/// width) places. Every pair is (vertical, horizontal).
///
/// The output size is given, not derived, so that ceiling modes are the caller's affair; elements
/// beyond the input are padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window2d {
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) dilation: [usize; 2],
    /// Padding above and to the left.
    pub(crate) pad_begin: [usize; 2],
    /// Padding below and to the right; only a mean that counts padding needs it.
    pub(crate) pad_end: [usize; 2],
    pub(crate) input: [usize; 2],
    pub(crate) output: [usize; 2],
}

impl Window2d {
    /// A window with the usual output size: as many places as fit.
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

    /// Elements of an input plane.
    pub(crate) fn input_area(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// Elements of an output plane.
    pub(crate) fn output_area(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Elements of the window.
    pub(crate) fn kernel_area(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// The input coordinate that element `k` of the window at place `o` sees along `axis`, or
    /// `None` in the padding.
    #[inline]
    pub(crate) fn source(&self, axis: usize, o: usize, k: usize) -> Option<usize> {
        let padded = o * self.stride[axis] + k * self.dilation[axis];
        padded.checked_sub(self.pad_begin[axis]).filter(|&i| i < self.input[axis])
    }

    /// For each place along `axis`, the input coordinates that its window sees, a dilation apart.
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
