//! Compiles a graph for the CPU and runs it.
//!
//! [`Program::compile`] turns every node into a kernel with planned buffers; [`Program::run`] runs samples through it.
//! The stages are: `lower` (graph to list of kernels), `recompute` (what later blocks compute
//! again), `plan` (list to blocks with buffers), `run` (blocks over samples
//! and threads). The kernels themselves are plain functions in `kernel`.
//!
//! Results are bitwise reproducible: a sample is always computed by the same kernels in the same order, in its own
//! buffers; sums over samples run over chunks of a fixed size, which are added in a fixed tree. Neither the number of
//! threads nor the number of samples changes the result.

mod error;
mod kernel;
mod lower;
mod memory;
mod plan;
mod profile;
mod program;
mod recompute;
mod run;

use std::sync::Arc;

pub use error::{CompileError, ExecutionError};
pub use memory::available_memory;
pub use profile::StepTime;
pub use program::Program;
use rayon::ThreadPool;

/// Returns the name of the instruction set that the kernels use on this processor. Results may differ in the last bit
/// between instruction sets, so it is recorded with them.
#[must_use]
pub fn instruction_set() -> &'static str {
    kernel::Isa::best().name()
}

/// Makes all kernels of this process use the named instruction set: `avx512`, `avx2` or `portable`. Different machines
/// give identical bits if all are pinned to a set that each of them supports.
///
/// # Errors
/// If there is no such set, this processor does not support it, or another one is in use already.
pub fn pin_instruction_set(name: &str) -> Result<(), String> {
    kernel::Isa::pin(name)
}

/// Calls `run` on this thread. Programs that it runs use this thread and those of `pool`, even if this thread does not belong
/// to it. A single sample then needs no thread to be woken before it begins, and none after it ends. Other parallel loops in
/// `run` do not know of `pool`.
pub fn with_pool<R>(pool: &Arc<ThreadPool>, run: impl FnOnce() -> R) -> R {
    kernel::with_pool(pool, run)
}

/// Measures the peak floating-point operations per second of all threads of the current pool, with multiply-adds in
/// registers: an upper bound for any program. Takes some hundredths of a second.
#[must_use]
pub fn peak_flops() -> f64 {
    rayon::broadcast(|_| kernel::peak_flops(kernel::Isa::best())).into_iter().sum()
}
