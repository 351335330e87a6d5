//! Gradient of a convolution with respect to its input.
//!
//! Input rows are divided into phases by their remainder modulo the stride. Within a phase, every tap reads dy at a
//! fixed shift, so the gradient is again a sum of shifted streams: one small convolution over the zero-padded dy per
//! phase, without multiplications by inserted zeros. With larger strides, a phase is computed in scratch memory and then
//! scattered, one copy of dx in total. With stride 1, the gradient is a [`Conv2d`] of dy with rotated kernels.
//! [`Depthwise`] convolutions have a loop of their own.

use super::conv::{Conv2d, ConvEpilogue, ConvShape, element};
use super::depthwise::Depthwise;
use super::gemm::{Gemm, Right};
use super::planes::Planes;
use super::simd::Isa;
use super::stream_gemm::{Epilogue, Rows, StreamGemm, StreamLayout, Streams};
use super::window::Window2d;
use super::workers::Workers;

/// Input positions `first, first + stride, …` along an axis, which the same taps reach.
#[derive(Clone, Debug)]
struct AxisPhase {
    first: usize,
    count: usize,
    /// Taps that reach these positions, with the position in padded dy that each reads for `first`.
    taps: Vec<(usize, usize)>,
}

/// Returns the phases along an axis, and the start and size of padded dy.
fn axis_phases(window: &Window2d, axis: usize) -> (Vec<AxisPhase>, isize, usize) {
    let (stride, pad) = (window.stride[axis], window.pad_begin[axis]);
    let tap = |k: usize| k * window.dilation[axis];
    // Input position i and tap k belong to output (i + pad − tap) ÷ stride; `reach` keeps it positive.
    let reach = tap(window.kernel[axis] - 1) / stride;
    let low = pad / stride;
    let phases: Vec<AxisPhase> = (0..stride.min(window.input[axis]))
        .map(|first| {
            let padded = first + pad;
            let hits = (0..window.kernel[axis]).filter(|&k| tap(k) % stride == padded % stride);
            let place = |k: usize| padded / stride + reach - low - tap(k) / stride;
            let taps = hits.map(|k| (k, place(k))).collect();
            AxisPhase { first, count: (window.input[axis] - first).div_ceil(stride), taps }
        })
        .collect();
    let furthest = |p: &AxisPhase| p.taps.iter().map(|t| t.1).max().unwrap_or(0) + p.count;
    let size = phases.iter().map(furthest).max().unwrap_or(0);
    (phases, low.cast_signed() - reach.cast_signed(), size)
}

#[derive(Clone, Debug)]
struct Phase {
    rows: AxisPhase,
    columns: AxisPhase,
    gemm: StreamGemm,
}

/// Gradient with respect to the input, prepared for an instruction set.
#[derive(Clone, Debug)]
pub(crate) struct Conv2dInputGrad {
    shape: ConvShape,
    way: Way,
}

/// Algorithm of the gradient.
#[derive(Clone, Debug)]
enum Way {
    Phases(GradPhases),
    Rotated(Box<Conv2d>),
    Depthwise(Depthwise),
    /// Of a single element: the weights' columns times dy.
    Element(Gemm),
}

impl Conv2dInputGrad {
    pub(crate) fn new(shape: ConvShape, isa: Isa) -> Self {
        shape.check();
        let way = Depthwise::input_grad(shape, isa).map(Way::Depthwise);
        let way = way.or_else(|| element(&shape, false).map(|product| Way::Element(Gemm::new(product, isa))));
        let way = way.or_else(|| rotated(&shape).map(|conv| Way::Rotated(Box::new(Conv2d::new(conv, isa)))));
        Self { shape, way: way.unwrap_or_else(|| Way::Phases(GradPhases::new(shape, isa))) }
    }

    /// Returns the number of elements of the packed weights.
    pub(crate) fn packed_len(&self) -> usize {
        match &self.way {
            Way::Phases(phases) => phases.packed_len(),
            Way::Rotated(conv) => conv.packed_len(),
            Way::Depthwise(depthwise) => depthwise.packed_len(),
            Way::Element(_) => self.shape.weights_len(),
        }
    }

    /// Packs the convolution's weights M×C/group×kernel; needed only once for constant weights.
    pub(crate) fn pack(&self, weights: &[f32], packed: &mut [f32], workers: Workers) {
        assert_eq!(weights.len(), self.shape.weights_len(), "weights of another shape");
        match &self.way {
            Way::Phases(phases) => phases.pack(weights, packed, workers),
            Way::Rotated(conv) => conv.pack(&rotated_weights(&self.shape, weights), packed, workers),
            Way::Depthwise(depthwise) => depthwise.pack(weights, packed),
            Way::Element(_) => packed.copy_from_slice(weights),
        }
    }

    /// Returns the number of scratch elements that [`run`](Self::run) needs.
    pub(crate) fn scratch_len(&self) -> usize {
        match &self.way {
            Way::Phases(phases) => phases.scratch_len(),
            Way::Rotated(conv) => conv.scratch_len(),
            Way::Depthwise(_) => 0,
            Way::Element(product) => product.scratch_len(),
        }
    }

    /// Computes dx (C×H×W) from dy (M×H'×W'). The contents of the scratch are ignored.
    pub(crate) fn run(
        &self,
        dy: &[f32],
        packed: &[f32],
        dx: &mut [f32],
        scratch: &mut [f32],
        workers: Workers,
    ) {
        match &self.way {
            Way::Phases(phases) => phases.run(dy, packed, dx, scratch, workers),
            Way::Rotated(conv) => conv.run(dy, packed, ConvEpilogue::default(), dx, scratch, workers),
            Way::Depthwise(depthwise) => depthwise.run(dy, packed, ConvEpilogue::default(), dx, workers),
            Way::Element(product) => product.run(dy, Right::Plain(packed), dx, false, scratch, workers),
        }
    }
}

/// Returns the equivalent convolution of dy, with rotated kernels, from outputs to inputs; `None` if the stride is not 1,
/// there are groups, or there is nothing to rotate.
fn rotated(shape: &ConvShape) -> Option<ConvShape> {
    let window = &shape.window;
    let pad = |axis: usize| {
        let reach = window.dilation[axis] * (window.kernel[axis] - 1);
        reach.checked_sub(window.pad_begin[axis]).filter(|_| window.stride[axis] == 1)
    };
    if shape.groups != 1 || shape.window.kernel_area() == 1 || shape.window.output_area() == 0 {
        return None;
    }
    // The convolution does not use its padding at the end.
    let pads = [pad(0)?, pad(1)?];
    let window =
        Window2d { input: window.output, output: window.input, pad_begin: pads, pad_end: pads, ..*window };
    Some(ConvShape { window, in_channels: shape.out_channels, out_channels: shape.in_channels, ..*shape })
}

/// Returns the weights C×M×kernel of that convolution.
fn rotated_weights(shape: &ConvShape, weights: &[f32]) -> Vec<f32> {
    let area = shape.window.kernel_area();
    let mut rotated = Vec::with_capacity(weights.len());
    for channel in 0..shape.in_channels {
        for filter in weights.chunks_exact(shape.in_channels * area) {
            rotated.extend(filter[channel * area..(channel + 1) * area].iter().rev());
        }
    }
    rotated
}

/// Gradient computed phase by phase.
#[derive(Clone, Debug)]
struct GradPhases {
    shape: ConvShape,
    /// Layout of dy.
    planes: Planes,
    phases: Vec<Phase>,
    /// True if dy can be read without copying.
    in_place: bool,
}

impl GradPhases {
    fn new(shape: ConvShape, isa: Isa) -> Self {
        let window = &shape.window;
        let (rows, top, height) = axis_phases(window, 0);
        let (columns, left, width) = axis_phases(window, 1);
        let planes =
            Planes::new(shape.out_channels, window.output, vec![[top, left]], [1, 1], [height, width]);
        let phase = |(rows, columns): (&AxisPhase, &AxisPhase)| {
            let mut offsets = Vec::new();
            for m in 0..shape.group_outputs() {
                for &(_, y) in &rows.taps {
                    offsets.extend(columns.taps.iter().map(|&(_, x)| planes.offset(m, 0, [y, x])));
                }
            }
            let layout = StreamLayout::new(rows.count, columns.count, planes.pitch());
            let gemm = StreamGemm::new(isa, shape.group_inputs(), offsets, layout);
            let gemm = if shape.window.kernel_area() == 1 { gemm.gathering() } else { gemm };
            Phase { rows: rows.clone(), columns: columns.clone(), gemm }
        };
        let pairs = rows.iter().flat_map(|r| columns.iter().map(move |c| (r, c)));
        let phases: Vec<Phase> = pairs.map(phase).collect();
        let in_place = planes.is_identity() && phases.iter().all(|p| p.gemm.stays_inside());
        Self { shape, planes, phases, in_place }
    }

    fn packed_len(&self) -> usize {
        self.shape.groups * self.phases.iter().map(|p| p.gemm.packed_len()).sum::<usize>()
    }

    fn pack(&self, weights: &[f32], mut packed: &mut [f32], workers: Workers) {
        assert_eq!(packed.len(), self.packed_len(), "packed weights of another size");
        let [kernel_height, kernel_width] = self.shape.window.kernel;
        let (inputs, outputs) = (self.shape.group_inputs(), self.shape.group_outputs());
        for Phase { rows, columns, gemm } in &self.phases {
            let taps = rows.taps.len() * columns.taps.len();
            for group in 0..self.shape.groups {
                let (own, rest) = packed.split_at_mut(gemm.packed_len());
                packed = rest;
                let weight = |channel: usize, k: usize| {
                    let (m, tap) = (group * outputs + k / taps, k % taps);
                    let (y, _) = rows.taps[tap / columns.taps.len()];
                    let (x, _) = columns.taps[tap % columns.taps.len()];
                    weights[((m * inputs + channel) * kernel_height + y) * kernel_width + x]
                };
                gemm.pack(own, weight, workers);
            }
        }
    }

    /// Returns the scratch size for padded dy, and for one phase of dx if there are several.
    fn scratch_len(&self) -> usize {
        let beside = |p: &Phase| self.shape.in_channels * p.rows.count * p.columns.count;
        let largest = self.phases.iter().map(beside).max().unwrap_or(0);
        self.padded_len() + if self.phases.len() > 1 { largest } else { 0 }
    }

    fn padded_len(&self) -> usize {
        let reach = self.phases.iter().map(|p| p.gemm.reach()).max().unwrap_or(0);
        let last_group = (self.shape.groups - 1) * self.group_stride();
        if self.in_place { 0 } else { self.planes.len().max(last_group + reach) }
    }

    fn group_stride(&self) -> usize {
        self.shape.group_outputs() * self.planes.channel_len()
    }

    fn run(&self, dy: &[f32], packed: &[f32], dx: &mut [f32], scratch: &mut [f32], workers: Workers) {
        assert_eq!(dy.len(), self.shape.output_len(), "an output gradient of another size");
        assert_eq!(dx.len(), self.shape.input_len(), "an input gradient of another size");
        assert_eq!(packed.len(), self.packed_len(), "packed weights of another size");
        let (padded, beside) = scratch[..self.scratch_len()].split_at_mut(self.padded_len());
        let streams = if self.in_place {
            dy
        } else {
            self.planes.fill(dy, padded, workers);
            padded
        };
        let mut packed = packed;
        for phase in &self.phases {
            let (own, rest) = packed.split_at(self.shape.groups * phase.gemm.packed_len());
            packed = rest;
            let streams = Streams::Spread { b: streams, group_stride: self.group_stride() };
            let run = |out: &mut [f32]| {
                phase.gemm.run(
                    self.shape.groups,
                    Rows::Packed(own),
                    streams,
                    out,
                    Epilogue::default(),
                    workers,
                );
            };
            if self.phases.len() == 1 {
                run(dx);
            } else {
                let beside = &mut beside[..self.shape.in_channels * phase.rows.count * phase.columns.count];
                run(beside);
                self.scatter(phase, beside, dx, workers);
            }
        }
    }

    /// Copies the results of a phase to their positions.
    fn scatter(&self, phase: &Phase, from: &[f32], dx: &mut [f32], workers: Workers) {
        let (rows, columns) = (&phase.rows, &phase.columns);
        let ([_, width], [stride_y, stride_x]) = (self.shape.window.input, self.shape.window.stride);
        let area = rows.count * columns.count;
        workers.for_each_chunk(dx, self.shape.window.input_area(), |channel, dx| {
            let from = &from[channel * area..(channel + 1) * area];
            for (y, from) in from.chunks(columns.count).enumerate() {
                let row = &mut dx[(rows.first + y * stride_y) * width..][..width];
                for (to, &value) in row[columns.first..].iter_mut().step_by(stride_x).zip(from) {
                    *to = value;
                }
            }
        });
    }
}
