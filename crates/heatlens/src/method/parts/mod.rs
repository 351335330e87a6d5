//! What several methods of many passes are made of.

mod baseline;
mod blur;
mod channel_masks;
mod enlarge;
mod noise;

pub(super) use baseline::{baseline, blend, extremes};
pub(super) use blur::blur;
pub(super) use channel_masks::{ChannelMasks, Views};
pub(super) use enlarge::{Enlargement, Tap};
pub(super) use noise::{NOISE, NoisyGradients, noisy};
