//! Execution of programs: blocks in order, samples in parallel.
//!
//! With many samples, each thread processes whole chunks of them and kernels run serially. With fewer chunks than
//! threads, or too little memory for separate buffers per thread, chunks run one after the other and the kernels
//! parallelise their own work. Both compute every element by the same operations in the same order.

use rayon::prelude::*;

use crate::error::ExecutionError;
use crate::kernel::{Workers, add_assign, on_pool, threads, with_team};
use crate::memory;
use crate::plan::{Block, Place};
use crate::profile::Clock;
use crate::program::Program;

/// Number of samples whose contributions to a sum are added sequentially; the sums of the chunks are then added
/// pairwise. Constant, because the result must not depend on the number of threads.
const CHUNK: usize = 4;

/// Buffers of a worker.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    buffers: Vec<Vec<f32>>,
    scratch: Vec<f32>,
}

/// Values kept for one sample, one array each.
pub(crate) type KeptValues = Vec<Vec<f32>>;

/// Data that a step may read in addition to the buffers of its sample.
struct Shared<'a> {
    feeds: &'a [&'a [f32]],
    globals: &'a [Vec<f32>],
    clock: Option<&'a Clock>,
}

impl Program {
    /// Runs `n` samples. `feeds` holds the inputs in the graph's order: the samples one after the other for per-sample
    /// inputs, plain arrays for others. Returns the graph's outputs in order, in the same form. (This is the row-major
    /// order of the whole value only if the batch is its first axis, as it is for images, scores and maps.)
    ///
    /// # Errors
    /// If the inputs have the wrong sizes, or the values kept for `n` samples need more memory than is available.
    pub fn run(&self, feeds: &[&[f32]], n: usize) -> Result<Vec<Vec<f32>>, ExecutionError> {
        self.run_clocked(feeds, n, None)
    }

    pub(crate) fn run_clocked(
        &self,
        feeds: &[&[f32]],
        n: usize,
        clock: Option<&Clock>,
    ) -> Result<Vec<Vec<f32>>, ExecutionError> {
        self.check(feeds, n)?;
        let mut globals: Vec<Vec<f32>> = self.plan.globals.iter().map(|&len| vec![0.0; len]).collect();
        let mut kept = self.borrow_kept(n);
        for block in &self.plan.blocks {
            self.run_once(block, feeds, &mut globals, clock);
            self.run_samples(block, feeds, &mut globals, &mut kept, clock);
        }
        let outputs = self.outputs.iter().map(|&value| self.output(value, feeds, &globals, &kept)).collect();
        if let Ok(mut spare) = self.spare_kept.lock() {
            spare.append(&mut kept);
        }
        Ok(outputs)
    }

    fn check(&self, feeds: &[&[f32]], n: usize) -> Result<(), ExecutionError> {
        if feeds.len() != self.inputs.len() {
            return Err(ExecutionError::InputCount { expected: self.inputs.len(), found: feeds.len() });
        }
        for (port, feed) in self.inputs.iter().zip(feeds) {
            let expected = if port.per_sample { port.len * n } else { port.len };
            if feed.len() != expected {
                return Err(ExecutionError::InputLen {
                    name: port.name.clone(),
                    expected,
                    found: feed.len(),
                });
            }
        }
        let bytes = self.plan.workspace_bytes() + self.plan.bytes_of(n);
        memory::fits(bytes.saturating_sub(self.spare_bytes()))
            .map_err(|available| ExecutionError::Memory { bytes, available })
    }

    /// Returns the bytes that earlier runs left for reuse.
    fn spare_bytes(&self) -> u128 {
        let spaces = self.spare.lock().map_or(0, |spare| spare.len()) as u128;
        let kept = self.spare_kept.lock().map_or(0, |spare| spare.len());
        spaces * self.plan.workspace_bytes() + self.plan.bytes_of(kept)
    }

    /// True if there is enough memory for separate buffers per thread.
    fn threads_fit(&self, threads: usize) -> bool {
        let bytes = self.plan.workspace_bytes().saturating_mul(threads as u128);
        memory::fits(bytes.saturating_sub(self.spare_bytes())).is_ok()
    }

    fn run_once(&self, block: &Block, feeds: &[&[f32]], globals: &mut [Vec<f32>], clock: Option<&Clock>) {
        let mut space = self.borrow_workspace(&[]);
        for &index in &block.once {
            let step = &self.steps[index];
            let Place::Global(target) = self.plan.places[step.output.0] else { continue };
            let mut output = std::mem::take(&mut globals[target]);
            let shared = Shared { feeds, globals, clock };
            let inputs: Vec<&[f32]> =
                step.inputs.iter().map(|i| self.read(i.0, 0, &shared, &[], &space.buffers)).collect();
            let work = || step.kernel.run(&inputs, &mut output, &mut space.scratch, Workers::Pool);
            Clock::time(clock, index, work);
            globals[target] = output;
        }
        self.return_workspace(space);
    }

    fn run_samples(
        &self,
        block: &Block,
        feeds: &[&[f32]],
        globals: &mut [Vec<f32>],
        kept: &mut [KeptValues],
        clock: Option<&Clock>,
    ) {
        if block.sample.is_empty() {
            return;
        }
        let new_sums =
            || -> Vec<Vec<f32>> { block.sums.iter().map(|s| vec![0.0; self.values[s.0].len]).collect() };
        let shared = Shared { feeds, globals, clock };
        let run_chunk = |(chunk, kept): (usize, &mut [KeptValues]), workers: Workers| {
            let mut sums = new_sums();
            let mut space = self.borrow_workspace(&block.buffers);
            for (i, kept) in kept.iter_mut().enumerate() {
                self.run_sample(block, chunk * CHUNK + i, &shared, kept, &mut sums, &mut space, workers);
            }
            self.return_workspace(space);
            sums
        };
        let (chunks, threads) = (kept.len().div_ceil(CHUNK), threads());
        let partial: Vec<Vec<Vec<f32>>> = if threads < 2 {
            let chunks = kept.chunks_mut(CHUNK).enumerate();
            chunks.map(|chunk| run_chunk(chunk, Workers::Serial)).collect()
        } else if chunks < threads || !self.threads_fit(threads) {
            let chunks = kept.chunks_mut(CHUNK).enumerate();
            with_team(|| chunks.map(|chunk| run_chunk(chunk, Workers::Pool)).collect())
        } else {
            let chunks = kept.par_chunks_mut(CHUNK).enumerate().with_max_len(1);
            on_pool(|| chunks.map(|chunk| run_chunk(chunk, Workers::Serial)).collect())
        };
        let totals = add_pairwise(partial).unwrap_or_else(new_sums);
        for (slot, total) in block.sums.iter().zip(totals) {
            if let Place::Global(target) = self.plan.places[slot.0] {
                globals[target] = total;
            }
        }
    }

    #[allow(clippy::too_many_arguments)] // the state of one sample, spelled out
    fn run_sample(
        &self,
        block: &Block,
        sample: usize,
        shared: &Shared<'_>,
        kept: &mut KeptValues,
        sums: &mut [Vec<f32>],
        space: &mut Workspace,
        workers: Workers,
    ) {
        let mut next_sum = 0;
        for &index in &block.sample {
            let step = &self.steps[index];
            let len = self.values[step.output.0].len;
            let place = self.plan.places[step.output.0];
            // The output is moved out while the inputs are borrowed, and moved back afterwards.
            let mut output = match place {
                Place::Buffer(i) => std::mem::take(&mut space.buffers[i]),
                Place::Kept(i) => std::mem::take(&mut kept[i]),
                _ => std::mem::take(&mut sums[next_sum]),
            };
            let inputs: Vec<&[f32]> =
                step.inputs.iter().map(|i| self.read(i.0, sample, shared, kept, &space.buffers)).collect();
            let work = || step.kernel.run(&inputs, &mut output[..len], &mut space.scratch, workers);
            Clock::time(shared.clock, index, work);
            match place {
                Place::Buffer(i) => space.buffers[i] = output,
                Place::Kept(i) => kept[i] = output,
                _ => {
                    sums[next_sum] = output;
                    next_sum += 1;
                }
            }
        }
    }

    fn read<'r>(
        &'r self,
        value: usize,
        sample: usize,
        shared: &Shared<'r>,
        kept: &'r [Vec<f32>],
        buffers: &'r [Vec<f32>],
    ) -> &'r [f32] {
        let len = self.values[value].len;
        match self.plan.places[value] {
            Place::Constant => self.constant(value).map_or(&[], |c| c),
            Place::Input(i) if self.inputs[i].per_sample => {
                &shared.feeds[i][sample * len..(sample + 1) * len]
            }
            Place::Input(i) => shared.feeds[i],
            Place::Global(i) => &shared.globals[i],
            Place::Buffer(i) => &buffers[i][..len],
            Place::Kept(i) => &kept[i],
        }
    }

    fn output(&self, value: usize, feeds: &[&[f32]], globals: &[Vec<f32>], kept: &[KeptValues]) -> Vec<f32> {
        match self.plan.places[value] {
            Place::Constant => self.constant(value).map_or_else(Vec::new, |c| c.to_vec()),
            Place::Input(i) => feeds[i].to_vec(),
            Place::Global(i) => globals[i].clone(),
            Place::Kept(i) => kept.iter().flat_map(|sample| &sample[i]).copied().collect(),
            Place::Buffer(_) => Vec::new(), // outputs are always kept
        }
    }

    /// Returns storage for the kept values of `n` samples; every step writes its output before it is read.
    fn borrow_kept(&self, n: usize) -> Vec<KeptValues> {
        let mut kept = match self.spare_kept.lock() {
            Ok(mut spare) => {
                let rest = spare.len().saturating_sub(n);
                spare.split_off(rest)
            }
            Err(_) => Vec::new(),
        };
        kept.resize_with(n, || self.plan.kept.iter().map(|&len| vec![0.0; len]).collect());
        kept
    }

    fn borrow_workspace(&self, buffers: &[usize]) -> Workspace {
        let spare = self.spare.lock().ok().and_then(|mut spare| spare.pop());
        let mut space = spare.unwrap_or_default();
        if space.buffers.len() < buffers.len() {
            space.buffers.resize_with(buffers.len(), Vec::new);
        }
        for (buffer, &len) in space.buffers.iter_mut().zip(buffers) {
            if buffer.len() < len {
                buffer.resize(len, 0.0);
            }
        }
        if space.scratch.len() < self.plan.scratch {
            space.scratch.resize(self.plan.scratch, 0.0);
        }
        space
    }

    fn return_workspace(&self, space: Workspace) {
        if let Ok(mut spare) = self.spare.lock() {
            spare.push(space);
        }
    }
}

/// Adds the sums of the chunks in a tree whose shape depends only on their number.
fn add_pairwise(mut parts: Vec<Vec<Vec<f32>>>) -> Option<Vec<Vec<f32>>> {
    let mut step = 1;
    while step < parts.len() {
        for left in (0..parts.len() - step).step_by(2 * step) {
            let right = std::mem::take(&mut parts[left + step]);
            for (a, b) in parts[left].iter_mut().zip(&right) {
                add_assign(a, b);
            }
        }
        step *= 2;
    }
    parts.into_iter().next()
}
