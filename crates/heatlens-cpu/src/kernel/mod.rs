//! Numeric kernels: plain functions and small prepared shapes over `f32` slices, one sample at a time.
//!
//! Kernels do not depend on graphs. Two inner loops do the heavy work: [`stream_gemm`] (sums of shifted streams, used
//! by convolution, its input gradient and matrix products) and [`stream_dot`] (dot products of shifted streams, used by
//! the weight gradient and thin matrix products). Both are written once over [`simd::Vector`]. Start with [`conv`] to
//! see how a convolution becomes streams, or is computed by one of the loops of its own ([`winograd`], [`channel_lanes`],
//! [`depthwise`]).
//!
//! Results are bitwise reproducible: work is divided into tasks by shape alone, and each output element is computed by
//! one task in one order, so [`Workers`] affects only the time. Instruction sets differ in the last bits (widths of
//! partial sums, fused multiply-add).

mod avg_pool;
pub(crate) mod broadcast;
mod channel_lanes;
mod conv;
mod conv_input_grad;
mod conv_weight_grad;
mod depthwise;
pub(crate) mod elementwise;
pub(crate) mod functions;
mod gemm;
pub(crate) mod layer_normalization;
mod max_pool;
mod max_pool_2x2;
mod max_pool_rows;
mod peak_flops;
mod planes;
pub(crate) mod reduce;
pub(crate) mod simd;
pub(crate) mod softmax;
mod stream_dot;
mod stream_gemm;
mod team;
#[cfg(test)]
mod tests;
mod window;
mod winograd;
mod workers;

pub(crate) use avg_pool::AvgPool2d;
pub(crate) use conv::{Conv2d, ConvEpilogue, ConvShape};
pub(crate) use conv_input_grad::Conv2dInputGrad;
pub(crate) use conv_weight_grad::Conv2dWeightGrad;
pub(crate) use elementwise::add_assign;
pub(crate) use gemm::{Gemm, GemmShape, Right};
pub(crate) use max_pool::MaxPool2d;
pub(crate) use peak_flops::peak_flops;
pub(crate) use simd::Isa;
pub(crate) use team::{on_pool, threads, with_pool, with_team};
pub(crate) use window::Window2d;
pub(crate) use workers::Workers;
