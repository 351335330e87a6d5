//! Gradient of a convolution with respect to its weights, for one sample.
//!
//! For a large image, each weight's gradient is one dot product of two long streams: dy is stored with the row pitch of
//! the input's planes, with zeros where the window extends beyond the edge. (An infinite input is multiplied by these
//! zeros too, which makes its channel's gradient NaN.) For a small image with many channels the streams are too short;
//! then the input is copied to a matrix of patches, which is multiplied by dy.

use super::conv::{ConvShape, input_streams};
use super::planes::Planes;
use super::simd::Isa;
use super::stream_dot::StreamDot;
use super::stream_gemm::{Epilogue, Rows, StreamGemm, StreamLayout, Streams};
use super::workers::Workers;

/// Maximum number of output positions of a small image.
const SMALL_AREA: usize = 64;
/// Minimum number of rows for which copying patches pays off.
const FEW_ROWS: usize = 8;

#[derive(Clone, Debug)]
enum Method {
    /// `output` is the layout of dy with zeros after each row.
    Streams { output: Planes, dot: StreamDot },
    /// Patches are rows, one per output position, with one element per weight of an output channel.
    Patches { gemm: StreamGemm, offsets: Vec<usize> },
}

/// Gradient with respect to the weights, prepared for an instruction set.
#[derive(Clone, Debug)]
pub(crate) struct Conv2dWeightGrad {
    shape: ConvShape,
    input: Planes,
    method: Method,
}

impl Conv2dWeightGrad {
    pub(crate) fn new(shape: ConvShape, isa: Isa) -> Self {
        let (input, offsets) = input_streams(&shape);
        let ([height, width], rows) = (shape.window.output, shape.group_outputs());
        let method = if height * width <= SMALL_AREA && rows >= FEW_ROWS {
            let depth = offsets.len();
            let patches = (0..height * width).map(|place| place * depth).collect();
            let gemm = StreamGemm::new(isa, rows, patches, StreamLayout::new(1, depth, depth));
            Method::Patches { gemm, offsets }
        } else {
            let pitch = input.pitch();
            let size = [height, pitch];
            let output = Planes::new(shape.out_channels, [height, width], vec![[0, 0]], [1, 1], size);
            let len = (height * pitch + width).saturating_sub(pitch);
            Method::Streams { dot: StreamDot::new(isa, rows, output.channel_len(), offsets, len), output }
        };
        Self { shape, input, method }
    }

    /// Returns the number of scratch elements that [`run`](Self::run) needs.
    pub(crate) fn scratch_len(&self) -> usize {
        let method = match &self.method {
            Method::Streams { output, .. } => copied_len(output),
            Method::Patches { gemm, offsets } => self.patches_len(gemm, offsets) + gemm.packed_len(),
        };
        copied_len(&self.input) + method
    }

    /// Returns the number of elements of a group's patches.
    fn patches_len(&self, gemm: &StreamGemm, offsets: &[usize]) -> usize {
        gemm.reach().max(offsets.len() * self.shape.window.output_area())
    }

    /// Adds the gradient of the sample to dw (M×C/group×kernel), from x (C×H×W) and dy (M×H'×W').
    pub(crate) fn run(&self, x: &[f32], dy: &[f32], dw: &mut [f32], scratch: &mut [f32], workers: Workers) {
        assert_eq!(x.len(), self.shape.input_len(), "an input of another size");
        assert_eq!(dy.len(), self.shape.output_len(), "an output gradient of another size");
        assert_eq!(dw.len(), self.shape.weights_len(), "a weight gradient of another size");
        let (input, scratch) = scratch[..self.scratch_len()].split_at_mut(copied_len(&self.input));
        let x = laid_out(&self.input, x, input, workers);
        match &self.method {
            Method::Streams { output, dot } => {
                let dy = laid_out(output, dy, scratch, workers);
                let dy_stride = self.shape.group_outputs() * output.channel_len();
                dot.run(self.shape.groups, (dy, dy_stride), (x, self.group_stride()), dw, workers);
            }
            Method::Patches { gemm, offsets } => {
                let (patches, packed) = scratch.split_at_mut(self.patches_len(gemm, offsets));
                let group_len = dw.len() / self.shape.groups;
                for (group, dw) in dw.chunks_mut(group_len.max(1)).enumerate() {
                    self.copy_patches(&x[group * self.group_stride()..], offsets, patches, workers);
                    let (area, rows) = (self.shape.window.output_area(), self.shape.group_outputs());
                    gemm.pack_rows(packed, &dy[group * rows * area..(group + 1) * rows * area], workers);
                    let epilogue = Epilogue { accumulate: true, ..Epilogue::default() };
                    let patches = Streams::Spread { b: patches, group_stride: 0 };
                    gemm.run(1, Rows::Packed(packed), patches, dw, epilogue, workers);
                }
            }
        }
    }

    /// Returns the distance between the input planes of adjacent groups.
    fn group_stride(&self) -> usize {
        self.shape.group_inputs() * self.input.channel_len()
    }

    fn copy_patches(&self, x: &[f32], offsets: &[usize], patches: &mut [f32], workers: Workers) {
        let width = self.shape.window.output[1];
        let (patches, slack) = patches.split_at_mut(offsets.len() * self.shape.window.output_area());
        slack.fill(0.0);
        workers.for_each_chunk(patches, offsets.len(), |place, patch| {
            let x = &x[place / width * self.input.pitch() + place % width..];
            for (to, &offset) in patch.iter_mut().zip(offsets) {
                *to = x[offset];
            }
        });
    }
}

/// Returns the scratch size for planes: 0 if the image has this layout already.
fn copied_len(planes: &Planes) -> usize {
    if planes.is_identity() { 0 } else { planes.len() }
}

fn laid_out<'a>(planes: &Planes, image: &'a [f32], scratch: &'a mut [f32], workers: Workers) -> &'a [f32] {
    if planes.is_identity() {
        return image;
    }
    planes.fill(image, scratch, workers);
    scratch
}
