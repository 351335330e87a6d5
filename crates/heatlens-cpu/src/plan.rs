//! Planning of blocks and buffers.
//!
//! A *block* contains everything that can run for a sample before a sum over all samples is needed. Most programs are
//! one block: forward pass, backward pass and all formulas of a sample run together, in buffers that stay in the
//! processor's cache. Within a block, a buffer is reused as soon as its value has been read for the last time.

use std::collections::BTreeSet;

use crate::lower::{Lowered, Rate, Slot, Source};

/// Storage of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the program.
    Constant,
    /// Fed by the caller, at this position.
    Input(usize),
    /// Computed once, at this position of the global buffers.
    Global(usize),
    /// In the temporary buffers of a sample, at this position.
    Buffer(usize),
    /// Kept for each sample, at this position: an output, or read by a later block.
    Kept(usize),
}

/// Steps that run together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Block {
    /// Steps that run once, before the samples.
    pub(crate) once: Vec<usize>,
    /// Steps that run for each sample.
    pub(crate) sample: Vec<usize>,
    /// Values summed over the samples, in the order of their accumulators.
    pub(crate) sums: Vec<Slot>,
    /// Sizes of the temporary buffers.
    pub(crate) buffers: Vec<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) blocks: Vec<Block>,
    /// Storage of each value.
    pub(crate) places: Vec<Place>,
    /// Sizes of the global buffers.
    pub(crate) globals: Vec<usize>,
    /// Sizes of the values kept for each sample.
    pub(crate) kept: Vec<usize>,
    /// Maximum scratch size of a step.
    pub(crate) scratch: usize,
}

impl Plan {
    /// Returns the maximum number of bytes for one sample.
    pub(crate) fn bytes(&self) -> u128 {
        self.workspace_bytes() + self.bytes_of(1)
    }

    /// Returns the size in bytes of one thread's buffers.
    pub(crate) fn workspace_bytes(&self) -> u128 {
        let buffers = self.blocks.iter().map(|block| total(&block.buffers)).max().unwrap_or(0);
        4 * (buffers + self.scratch as u128)
    }

    /// Returns the size in bytes of the global buffers and of the values kept for `n` samples.
    pub(crate) fn bytes_of(&self, n: usize) -> u128 {
        4 * (total(&self.globals) + total(&self.kept).saturating_mul(n as u128))
    }
}

fn total(sizes: &[usize]) -> u128 {
    sizes.iter().map(|&size| size as u128).sum()
}

pub(crate) fn plan(lowered: &Lowered) -> Plan {
    let count = lowered
        .steps
        .iter()
        .map(|s| s.block)
        .chain(lowered.outputs.iter().map(|o| lowered.values[o.0].block));
    let mut plan = Plan {
        blocks: vec![Block::default(); count.max().unwrap_or(0) + 1],
        places: Vec::with_capacity(lowered.values.len()),
        globals: Vec::new(),
        kept: Vec::new(),
        scratch: lowered.steps.iter().map(|s| s.kernel.scratch_len()).max().unwrap_or(0),
    };
    for (index, step) in lowered.steps.iter().enumerate() {
        let block = &mut plan.blocks[step.block];
        match step.rate {
            Rate::Once => block.once.push(index),
            Rate::Sample => block.sample.push(index),
            Rate::Sum => {
                block.sample.push(index);
                block.sums.push(step.output);
            }
        }
    }
    let keep = kept_values(lowered);
    for (value, keep) in lowered.values.iter().zip(&keep) {
        let place = match value.source {
            Source::Constant(_) => Place::Constant,
            Source::Input(index) => Place::Input(index),
            Source::Step(_) if !value.per_sample => append(&mut plan.globals, value.len, Place::Global),
            Source::Step(_) if *keep => append(&mut plan.kept, value.len, Place::Kept),
            Source::Step(_) => Place::Buffer(usize::MAX),
        };
        plan.places.push(place);
    }
    let last_use = last_uses(lowered, &plan.blocks);
    for block in &mut plan.blocks {
        assign_buffers(lowered, block, &last_use, &mut plan.places);
    }
    plan
}

fn append(sizes: &mut Vec<usize>, len: usize, place: fn(usize) -> Place) -> Place {
    sizes.push(len);
    place(sizes.len() - 1)
}

/// Returns for each value whether it must outlive its block: it is an output, or a later block reads it.
fn kept_values(lowered: &Lowered) -> Vec<bool> {
    let mut keep = vec![false; lowered.values.len()];
    for output in &lowered.outputs {
        keep[output.0] = true;
    }
    for step in &lowered.steps {
        for input in &step.inputs {
            if let Source::Step(maker) = lowered.values[input.0].source {
                keep[input.0] |= lowered.steps[maker].block < step.block;
            }
        }
    }
    keep
}

/// Returns for each temporary value the position in its block of the last step that reads it, or of the step that
/// computes it if none does.
fn last_uses(lowered: &Lowered, blocks: &[Block]) -> Vec<usize> {
    let mut last_use = vec![0; lowered.values.len()];
    for block in blocks {
        for (at, &step) in block.sample.iter().enumerate() {
            let step = &lowered.steps[step];
            for slot in step.inputs.iter().chain([&step.output]) {
                last_use[slot.0] = at;
            }
        }
    }
    last_use
}

/// Assigns a buffer to each temporary value of a block: the best fit among the free ones, or a new one.
fn assign_buffers(lowered: &Lowered, block: &mut Block, last_use: &[usize], places: &mut [Place]) {
    let mut free = FreeBuffers::default();
    for (at, &step) in block.sample.iter().enumerate() {
        let step = &lowered.steps[step];
        let output = step.output;
        if places[output.0] == Place::Buffer(usize::MAX) {
            let buffer = free.take(&mut block.buffers, lowered.values[output.0].len);
            places[output.0] = Place::Buffer(buffer);
        }
        let mut done: Vec<Slot> = step.inputs.clone();
        done.push(output);
        done.sort_unstable_by_key(|s| s.0);
        done.dedup();
        for slot in done {
            if let (Place::Buffer(buffer), true) = (places[slot.0], last_use[slot.0] == at) {
                free.put(buffer, &block.buffers);
            }
        }
    }
}

/// Buffers whose values have been read for the last time, ordered by size and number, so that the best fit is found in
/// logarithmic time.
#[derive(Debug, Default)]
struct FreeBuffers(BTreeSet<(usize, usize)>);

impl FreeBuffers {
    fn put(&mut self, buffer: usize, sizes: &[usize]) {
        self.0.insert((sizes[buffer], buffer));
    }

    /// Takes the free buffer with the size nearest to `len`, the first of several, and enlarges it if needed; a new one
    /// if none is free.
    fn take(&mut self, sizes: &mut Vec<usize>, len: usize) -> usize {
        let above = self.0.range((len, 0)..).next().copied();
        // The largest of those that are too small, and the first of these.
        let below = self.0.range(..(len, 0)).next_back().copied();
        let below = below.and_then(|(size, _)| self.0.range((size, 0)..).next().copied());
        let waste = |&(size, buffer): &(usize, usize)| (size.abs_diff(len), buffer);
        match above.into_iter().chain(below).min_by_key(waste) {
            Some(best @ (size, buffer)) => {
                self.0.remove(&best);
                sizes[buffer] = size.max(len);
                buffer
            }
            None => {
                sizes.push(len);
                sizes.len() - 1
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Best fit as chosen by [`FreeBuffers::take`], by a linear search.
    fn nearest(free: &[usize], sizes: &[usize], len: usize) -> Option<usize> {
        free.iter().copied().min_by_key(|&buffer| (sizes[buffer].abs_diff(len), buffer))
    }

    #[test]
    fn the_free_buffer_that_wastes_least_is_taken() {
        let mut sizes: Vec<usize> = (0..60).map(|i| (i * 37) % 23 * 10).collect();
        let mut free = FreeBuffers::default();
        let mut listed: Vec<usize> = (0..sizes.len()).collect();
        listed.iter().for_each(|&buffer| free.put(buffer, &sizes));
        for round in 0..60 {
            let len = (round * 53) % 260;
            let expected = nearest(&listed, &sizes, len);
            assert_eq!(Some(free.take(&mut sizes, len)), expected, "{len}");
            listed.retain(|&buffer| Some(buffer) != expected);
        }
        assert_eq!(free.take(&mut sizes, 5), 60, "none is free: a new one");
    }
}
