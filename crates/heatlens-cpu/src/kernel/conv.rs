//! Convolution of one sample: [`Depthwise`] if every channel has its own kernel, a product of a matrix and a vector if the
//! image is a single element, otherwise what takes the least time of three: [`Winograd`]'s algorithm, output channels in
//! the lanes of a vector ([`ChannelLanes`]), or a sum of shifted streams (see [`stream_gemm`](super::stream_gemm)).
//!
//! For streams, the input is copied once to zero-padded [`Planes`]; output element (y, x) of a tap is then stream
//! element `y · pitch + x`, whatever the stride, dilation and padding.

use super::channel_lanes::ChannelLanes;
use super::depthwise::Depthwise;
use super::elementwise::relu;
use super::gemm::{Gemm, GemmShape, Right};
use super::planes::Planes;
use super::simd::Isa;
use super::stream_gemm::{Epilogue, Rows, StreamGemm, StreamLayout, Streams};
use super::window::Window2d;
use super::winograd::Winograd;
use super::workers::Workers;

/// A convolution of C×H×W with weights M×C/group×kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConvShape {
    pub(crate) window: Window2d,
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
    pub(crate) groups: usize,
}

impl ConvShape {
    /// Returns the number of input channels per group.
    pub(crate) fn group_inputs(&self) -> usize {
        self.in_channels / self.groups
    }

    /// Returns the number of output channels per group.
    pub(crate) fn group_outputs(&self) -> usize {
        self.out_channels / self.groups
    }

    pub(crate) fn input_len(&self) -> usize {
        self.in_channels * self.window.input_area()
    }

    pub(crate) fn output_len(&self) -> usize {
        self.out_channels * self.window.output_area()
    }

    pub(crate) fn weights_len(&self) -> usize {
        self.out_channels * self.group_inputs() * self.window.kernel_area()
    }

    /// Panics if the arrays of a run have other lengths than the shape says.
    pub(super) fn check_lengths(&self, x: &[f32], epilogue: ConvEpilogue<'_>, y: &[f32]) {
        assert_eq!(x.len(), self.input_len(), "an input of another size");
        assert_eq!(y.len(), self.output_len(), "an output of another size");
        assert!(epilogue.bias.is_none_or(|bias| bias.len() == self.out_channels), "a bias of another size");
    }

    pub(super) fn check(&self) {
        let Window2d { kernel, stride, dilation, .. } = self.window;
        assert!([kernel, stride, dilation].iter().flatten().all(|&n| n > 0), "a window of size or step 0");
        let divides = |n: usize| self.groups > 0 && n.is_multiple_of(self.groups);
        assert!(divides(self.in_channels) && divides(self.out_channels), "groups do not divide the channels");
    }
}

/// Returns the layout of the input's planes and the start of each tap of each channel of a group in them, in the order
/// of an output channel's weights: channel, tap row, tap column.
pub(super) fn input_streams(shape: &ConvShape) -> (Planes, Vec<usize>) {
    shape.check();
    let Window2d { kernel, stride, dilation, pad_begin, input, output, .. } = shape.window;
    let tap = |axis: usize, k: usize| k * dilation[axis];
    // Only phases that some tap reads: a 1×1 kernel with stride 2 reads one of four.
    let phases = |axis: usize| -> Vec<usize> {
        (0..stride[axis]).filter(|p| (0..kernel[axis]).any(|k| tap(axis, k) % stride[axis] == *p)).collect()
    };
    let (rows, columns) = (phases(0), phases(1));
    let start = |axis: usize, phase: usize| phase.cast_signed() - pad_begin[axis].cast_signed();
    let starts =
        rows.iter().flat_map(|&r| columns.iter().map(move |&c| [start(0, r), start(1, c)])).collect();
    let size = |axis: usize| output[axis] + tap(axis, kernel[axis] - 1) / stride[axis];
    let planes = Planes::new(shape.in_channels, input, starts, stride, [size(0), size(1)]);
    let index = |phases: &[usize], phase: usize| phases.iter().position(|&p| p == phase).unwrap_or(0);
    let mut offsets = Vec::with_capacity(shape.group_inputs() * shape.window.kernel_area());
    for channel in 0..shape.group_inputs() {
        for (y, x) in (0..kernel[0]).flat_map(|y| (0..kernel[1]).map(move |x| (tap(0, y), tap(1, x)))) {
            let phase = index(&rows, y % stride[0]) * columns.len() + index(&columns, x % stride[1]);
            offsets.push(planes.offset(channel, phase, [y / stride[0], x / stride[1]]));
        }
    }
    (planes, offsets)
}

/// Operations applied to the sums of a convolution.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ConvEpilogue<'a> {
    /// One value per output channel.
    pub(crate) bias: Option<&'a [f32]>,
    /// True to replace negative results with zero.
    pub(crate) relu: bool,
}

/// A convolution prepared for an instruction set.
#[derive(Clone, Debug)]
pub(crate) struct Conv2d {
    shape: ConvShape,
    way: Way,
}

/// Algorithm of the convolution.
#[derive(Clone, Debug)]
enum Way {
    Streams(ConvStreams),
    Winograd(Winograd),
    ChannelLanes(ChannelLanes),
    Depthwise(Depthwise),
    /// Of a single element: weights times the channels.
    Element(Gemm),
}

impl Way {
    /// Returns about the time that this takes, in hundredths of a product at full speed. Loops for a kind of convolution
    /// take less than all others.
    fn cost(&self) -> u128 {
        match self {
            Self::Depthwise(_) | Self::Element(_) => 0,
            Self::Streams(streams) => streams.cost(),
            Self::Winograd(winograd) => winograd.cost(),
            Self::ChannelLanes(lanes) => lanes.cost(),
        }
    }
}

impl Conv2d {
    /// Prepares a convolution by the algorithm that takes the least time.
    pub(crate) fn new(shape: ConvShape, isa: Isa) -> Self {
        let fastest = Self::every(shape, isa).min_by_key(|conv| conv.way.cost());
        fastest.unwrap_or_else(|| Self { shape, way: Way::Streams(ConvStreams::new(shape, isa)) })
    }

    /// Prepares a convolution by every algorithm that computes it.
    pub(crate) fn every(shape: ConvShape, isa: Isa) -> impl Iterator<Item = Self> {
        shape.check();
        let ways = [
            Depthwise::new(shape, isa).map(Way::Depthwise),
            element(&shape, true).map(|product| Way::Element(Gemm::new(product, isa))),
            Winograd::new(shape, isa).map(Way::Winograd),
            ChannelLanes::new(shape, isa).map(Way::ChannelLanes),
            Some(Way::Streams(ConvStreams::new(shape, isa))),
        ];
        ways.into_iter().flatten().map(move |way| Self { shape, way })
    }

    /// Returns the number of elements of the packed weights.
    pub(crate) fn packed_len(&self) -> usize {
        match &self.way {
            Way::Streams(streams) => streams.packed_len(),
            Way::Winograd(winograd) => winograd.packed_len(),
            Way::ChannelLanes(lanes) => lanes.packed_len(),
            Way::Depthwise(depthwise) => depthwise.packed_len(),
            Way::Element(_) => self.shape.weights_len(),
        }
    }

    /// Packs the weights M×C/group×kernel; needed only once for constant weights.
    pub(crate) fn pack(&self, weights: &[f32], packed: &mut [f32], workers: Workers) {
        assert_eq!(weights.len(), self.shape.weights_len(), "weights of another shape");
        match &self.way {
            Way::Streams(streams) => streams.pack(weights, packed, workers),
            Way::Winograd(winograd) => {
                let (filters, _) = weights.as_chunks();
                winograd.pack(packed, |m, c| filters[m * self.shape.in_channels + c], workers);
            }
            Way::ChannelLanes(lanes) => lanes.pack(weights, packed, workers),
            Way::Depthwise(depthwise) => depthwise.pack(weights, packed),
            Way::Element(_) => packed.copy_from_slice(weights),
        }
    }

    /// Returns the number of scratch elements that [`run`](Self::run) needs.
    pub(crate) fn scratch_len(&self) -> usize {
        match &self.way {
            Way::Streams(streams) => streams.scratch_len(),
            Way::Winograd(winograd) => winograd.scratch_len(),
            Way::ChannelLanes(lanes) => lanes.scratch_len(),
            Way::Depthwise(_) => 0,
            Way::Element(product) => product.scratch_len(),
        }
    }

    /// Computes `y = x ∗ weights`, with x C×H×W and y M×H'×W'. The contents of the scratch are ignored.
    pub(crate) fn run(
        &self,
        x: &[f32],
        packed: &[f32],
        epilogue: ConvEpilogue<'_>,
        y: &mut [f32],
        scratch: &mut [f32],
        workers: Workers,
    ) {
        match &self.way {
            Way::Streams(streams) => streams.run(x, packed, epilogue, y, scratch, workers),
            Way::Winograd(winograd) => winograd.run(x, packed, epilogue, y, scratch, workers),
            Way::ChannelLanes(lanes) => lanes.run(x, packed, epilogue, y, scratch, workers),
            Way::Depthwise(depthwise) => depthwise.run(x, packed, epilogue, y, workers),
            Way::Element(product) => {
                match epilogue.bias {
                    Some(bias) => y.copy_from_slice(bias),
                    None => y.fill(0.0),
                }
                product.run(x, Right::Plain(packed), y, true, scratch, workers);
                if epilogue.relu {
                    y.iter_mut().for_each(|y| *y = relu(*y));
                }
            }
        }
    }
}

/// Returns the product that a 1×1 convolution of a single element is: channels times weights, whose rows are those of
/// the output channels (`forward`), or, for the gradient, of the input channels. `None` for another convolution.
pub(super) fn element(shape: &ConvShape, forward: bool) -> Option<GemmShape> {
    let window = &shape.window;
    let is_element =
        [window.kernel, window.input, window.output] == [[1; 2]; 3] && window.pad_begin == [0; 2];
    let (k, n) = (shape.in_channels, shape.out_channels);
    let (k, n) = if forward { (k, n) } else { (n, k) };
    let product = GemmShape { m: 1, k, n, trans_a: false, trans_b: forward };
    (is_element && shape.groups == 1).then_some(product)
}

/// A convolution as a sum of shifted streams.
#[derive(Clone, Debug)]
struct ConvStreams {
    shape: ConvShape,
    planes: Planes,
    gemm: StreamGemm,
    /// True if the input can be read without copying.
    in_place: bool,
}

impl ConvStreams {
    fn new(shape: ConvShape, isa: Isa) -> Self {
        let (planes, offsets) = input_streams(&shape);
        let [height, width] = shape.window.output;
        let layout = StreamLayout::new(height, width, planes.pitch());
        let gemm = StreamGemm::new(isa, shape.group_outputs(), offsets, layout);
        let gemm = if shape.window.kernel_area() == 1 { gemm.gathering() } else { gemm };
        let in_place = planes.is_identity() && gemm.stays_inside();
        Self { shape, planes, gemm, in_place }
    }

    /// Returns about the time that this takes, in hundredths of a product at full speed: streams shifted by single
    /// elements cross cache lines, and those of a strided convolution are copied element by element before.
    fn cost(&self) -> u128 {
        let window = &self.shape.window;
        let percent = match (window.kernel_area(), window.stride) {
            (1, _) => 100,
            (_, [1, 1]) => 120,
            _ => 140,
        };
        percent * self.shape.groups as u128 * self.gemm.products()
    }

    fn packed_len(&self) -> usize {
        self.shape.groups * self.gemm.packed_len()
    }

    fn pack(&self, weights: &[f32], packed: &mut [f32], workers: Workers) {
        assert_eq!(packed.len(), self.packed_len(), "packed weights of another size");
        let depth = self.shape.group_inputs() * self.shape.window.kernel_area();
        let group_len = self.shape.group_outputs() * depth;
        for group in 0..self.shape.groups {
            let weights = &weights[group * group_len..(group + 1) * group_len];
            let len = self.gemm.packed_len();
            self.gemm.pack_rows(&mut packed[group * len..(group + 1) * len], weights, workers);
        }
    }

    fn scratch_len(&self) -> usize {
        let last_group = (self.shape.groups - 1) * self.group_stride();
        if self.in_place { 0 } else { self.planes.len().max(last_group + self.gemm.reach()) }
    }

    fn group_stride(&self) -> usize {
        self.shape.group_inputs() * self.planes.channel_len()
    }

    fn run(
        &self,
        x: &[f32],
        packed: &[f32],
        epilogue: ConvEpilogue<'_>,
        y: &mut [f32],
        scratch: &mut [f32],
        workers: Workers,
    ) {
        self.shape.check_lengths(x, epilogue, y);
        let streams = if self.in_place {
            x
        } else {
            let planes = &mut scratch[..self.scratch_len()];
            self.planes.fill(x, planes, workers);
            planes
        };
        let epilogue = Epilogue { bias: epilogue.bias, relu: epilogue.relu, accumulate: false };
        let streams = Streams::Spread { b: streams, group_stride: self.group_stride() };
        self.gemm.run(self.shape.groups, Rows::Packed(packed), streams, y, epilogue, workers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_algorithm_fits_the_shape() {
        let way = |channels: [usize; 2], kernel: usize, stride: usize, size: usize| {
            let window = Window2d::fitting(
                [kernel; 2],
                [stride; 2],
                [1; 2],
                [kernel / 2; 2],
                [kernel / 2; 2],
                [size; 2],
            );
            let [in_channels, out_channels] = channels;
            let shape = ConvShape { window: window.unwrap(), in_channels, out_channels, groups: 1 };
            Isa::available().map(move |isa| Conv2d::new(shape, isa).way)
        };
        assert!(way([64, 64], 3, 1, 56).all(|way| matches!(way, Way::Winograd(_))));
        assert!(way([4, 4], 3, 1, 40).all(|way| !matches!(way, Way::Winograd(_))), "too few channels");
        assert!(way([3, 64], 7, 2, 224).all(|way| matches!(way, Way::ChannelLanes(_))));
        assert!(way([1, 20], 3, 1, 95).all(|way| matches!(way, Way::Streams(_))), "too few terms");
        assert!(way([64, 64], 1, 1, 56).all(|way| matches!(way, Way::Streams(_))));
        assert!(way([64, 64], 1, 1, 1).all(|way| matches!(way, Way::Element(_))));
    }
}
