//! Building blocks shared by several multi-pass methods.

mod baseline;
mod blur;
mod channel_masks;
mod grid_masks;
mod halton;
mod noise;
mod random_masks;
mod segments;
mod solve;

pub(super) use baseline::{baseline, blend};
pub(crate) use blur::blur;
pub(super) use channel_masks::{ChannelMasks, Views};
pub(super) use grid_masks::GridMasks;
pub(super) use halton::halton;
pub(super) use noise::{Moments, NOISE, NoisyGradients, noisy};
pub(super) use random_masks::RandomMasks;
pub(super) use segments::{Cutting, Segments};
pub(super) use solve::solve;
