//! Profiling of programs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::ExecutionError;
use crate::program::Program;

/// Time spent in one kernel of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepTime {
    /// Name of the node that the kernel computes.
    pub node: String,
    /// Operator of the node, with its ONNX name if it has one.
    pub op: &'static str,
    /// Time in the kernel, summed over samples and threads.
    pub time: Duration,
    /// Multiplications and additions of matrix products and convolutions, summed over samples; 0 for other operators,
    /// which are memory-bound.
    pub flops: u64,
}

/// Nanoseconds and number of runs of each step.
#[derive(Debug)]
pub(crate) struct Clock(Vec<[AtomicU64; 2]>);

impl Clock {
    /// Runs a step and measures its time if there is a clock.
    pub(crate) fn time(clock: Option<&Self>, step: usize, work: impl FnOnce()) {
        let Some([time, runs]) = clock.and_then(|clock| clock.0.get(step)) else { return work() };
        let start = Instant::now();
        work();
        let passed = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        time.fetch_add(passed, Ordering::Relaxed);
        runs.fetch_add(1, Ordering::Relaxed);
    }
}

impl Program {
    /// Runs `n` samples like [`run`](Self::run) and returns the time spent in each kernel, in execution order.
    ///
    /// # Errors
    /// If the inputs have the wrong sizes.
    pub fn profile(&self, feeds: &[&[f32]], n: usize) -> Result<Vec<StepTime>, ExecutionError> {
        let clock = Clock(self.steps.iter().map(|_| Default::default()).collect());
        self.run_clocked(feeds, n, Some(&clock))?;
        let steps = self.steps.iter().zip(&clock.0).map(|(step, [time, runs])| StepTime {
            node: step.node.clone(),
            op: step.op,
            time: Duration::from_nanos(time.load(Ordering::Relaxed)),
            flops: step.kernel.flops() * runs.load(Ordering::Relaxed),
        });
        Ok(steps.collect())
    }

    /// Returns the bytes of buffers and kept values for one sample, without weights.
    #[must_use]
    pub fn bytes_per_sample(&self) -> u128 {
        self.plan.bytes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use heatlens_graph::{Builder, Fact, Graph, Shape, Tensor};

    #[test]
    fn every_kernel_is_timed_and_products_are_counted() {
        let mut graph = Graph::new("dense");
        let x = graph.add_input("x", Fact::f32(Shape::batched(&[5])));
        let mut b = Builder::new(&mut graph, "f");
        let w = b.constant(Tensor::f32(&[5, 7], vec![0.5; 35]));
        let product = b.matmul(x, w).unwrap();
        let y = b.relu(product).unwrap();
        graph.set_outputs(&[y]);
        let steps = Program::compile(&graph).unwrap().profile(&[&[1.0; 15]], 3).unwrap();
        let found: Vec<(&str, u64)> = steps.iter().map(|s| (s.op, s.flops)).collect();
        assert_eq!(found, [("MatMul", 3 * 2 * 5 * 7), ("Relu", 0)]);
        assert!(steps.iter().all(|s| s.time > Duration::ZERO && !s.node.is_empty()));
    }
}
