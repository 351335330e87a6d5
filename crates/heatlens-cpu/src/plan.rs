//! From a list of steps to blocks with buffers.
//!
//! A *block* is everything that can run for a sample before some sum over all samples is needed.
//! Most programs are one block: forward, backward and all formulas of a sample run in one go, in
//! buffers that stay in the processor's cache. Inside a block a buffer is used again as soon as
//! its value has been read for the last time.

use crate::lower::{Lowered, Rate, Slot, Source};

/// Where a step finds a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the program.
    Constant,
    /// Fed from outside, at this position.
    Input(usize),
    /// Computed once, at this position of the global buffers.
    Global(usize),
    /// In a sample's short-lived buffers, at this position.
    Buffer(usize),
    /// Kept for each sample, at this position: handed out, or read by a later block.
    Kept(usize),
}

/// Steps that run together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Block {
    /// Steps that run once, before the samples.
    pub(crate) once: Vec<usize>,
    /// Steps that run for each sample.
    pub(crate) sample: Vec<usize>,
    /// The values summed over the samples, in the order of their accumulators.
    pub(crate) sums: Vec<Slot>,
    /// Sizes of the short-lived buffers.
    pub(crate) buffers: Vec<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) blocks: Vec<Block>,
    /// For each value, where it lives.
    pub(crate) places: Vec<Place>,
    /// Sizes of the global buffers.
    pub(crate) globals: Vec<usize>,
    /// Sizes of what is kept for each sample.
    pub(crate) kept: Vec<usize>,
    /// The largest scratch of any step.
    pub(crate) scratch: usize,
}

/// A program whose one sample takes more is refused: asking for the memory would end the process.
pub(crate) const MOST_BYTES: u128 = 1 << 35;

impl Plan {
    /// Bytes that one sample takes, at most.
    pub(crate) fn bytes(&self) -> u128 {
        let buffers = self.blocks.iter().map(|block| total(&block.buffers)).max().unwrap_or(0);
        4 * (buffers + total(&self.globals) + total(&self.kept) + self.scratch as u128)
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
    for block in &mut plan.blocks {
        assign_buffers(lowered, block, &mut plan.places);
    }
    plan
}

fn append(sizes: &mut Vec<usize>, len: usize, place: fn(usize) -> Place) -> Place {
    sizes.push(len);
    place(sizes.len() - 1)
}

/// For each value, whether it must outlive its block: it is an output, or a later block reads it.
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

/// Gives each short-lived value of a block a buffer: the free one that wastes least, or a new one.
fn assign_buffers(lowered: &Lowered, block: &mut Block, places: &mut [Place]) {
    let mut last_use = vec![0; lowered.values.len()];
    for (at, &step) in block.sample.iter().enumerate() {
        for input in &lowered.steps[step].inputs {
            last_use[input.0] = at;
        }
    }
    let mut free: Vec<usize> = Vec::new();
    for (at, &step) in block.sample.iter().enumerate() {
        let step = &lowered.steps[step];
        let output = step.output;
        if places[output.0] == Place::Buffer(usize::MAX) {
            let buffer = take_buffer(&mut free, &mut block.buffers, lowered.values[output.0].len);
            places[output.0] = Place::Buffer(buffer);
            last_use[output.0] = last_use[output.0].max(at);
        }
        let mut done: Vec<Slot> = step.inputs.clone();
        done.push(output);
        done.sort_unstable_by_key(|s| s.0);
        done.dedup();
        for slot in done {
            if let (Place::Buffer(buffer), true) = (places[slot.0], last_use[slot.0] == at) {
                free.push(buffer);
            }
        }
    }
}

fn take_buffer(free: &mut Vec<usize>, buffers: &mut Vec<usize>, len: usize) -> usize {
    let waste = |&(_, &b): &(usize, &usize)| (buffers[b].max(len) - buffers[b].min(len), b);
    let best = free.iter().enumerate().min_by_key(waste).map(|(i, _)| i);
    match best {
        Some(i) => {
            let buffer = free.swap_remove(i);
            buffers[buffer] = buffers[buffer].max(len);
            buffer
        }
        None => {
            buffers.push(len);
            buffers.len() - 1
        }
    }
}
