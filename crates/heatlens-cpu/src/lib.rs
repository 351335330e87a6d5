//! Compiles a graph for the processor and runs it.
//!
//! [`Program::compile`] turns every node into a kernel with planned buffers; [`Program::run`] feeds
//! samples through it. The path is: `lower` (a graph becomes a list of kernels), `plan` (the list
//! becomes blocks with buffers), `run` (blocks run over samples and threads). The kernels
//! themselves are plain functions in `kernel`.
//!
//! Same input, same bits: a sample is always computed by the same kernels in the same order, alone
//! in its buffers; sums over samples run over chunks of a fixed size that are then added in a fixed
//! tree. How many threads work, and how many samples come together, changes nothing.

mod error;
mod kernel;
mod lower;
mod memory;
mod plan;
mod profile;
mod program;
mod run;

pub use error::{CompileError, RunError};
pub use memory::available_memory;
pub use profile::StepTime;
pub use program::Program;

/// The instruction set that the kernels use on this processor. Results may differ in the last bit
/// between instruction sets, so it is recorded beside them.
#[must_use]
pub fn instruction_set() -> &'static str {
    kernel::Isa::best().name()
}

/// Makes all kernels of this process use the instruction set of this name: `avx512`, `avx2` or `portable`. Machines of
/// different kinds give the same bits when all are pinned to one that each has.
///
/// # Errors
/// If there is no such set, this processor lacks it, or another one is in use already.
pub fn pin_instruction_set(name: &str) -> Result<(), String> {
    kernel::Isa::pin(name)
}

/// Floating-point operations a second that the threads of the current pool reach together on
/// multiply-adds in registers: what no program can exceed. Takes some hundredths of a second.
#[must_use]
pub fn peak_flops() -> f64 {
    rayon::broadcast(|_| kernel::peak(kernel::Isa::best())).into_iter().sum()
}
