//! Compiled graphs.

use std::sync::{Arc, Mutex};

use heatlens_graph::differentiate::depends_on;
use heatlens_graph::{Graph, ValueId};

use crate::error::CompileError;
use crate::lower::{Lowered, LoweredValue, Source, Step, lower};
use crate::memory;
use crate::plan::{Plan, plan};
use crate::recompute::recompute;
use crate::run::{KeptValues, Workspace};

/// A graph compiled to kernels with planned buffers. It can run any number of samples, from any number of threads.
///
/// ```
/// use heatlens_cpu::Program;
/// use heatlens_graph::{Builder, Fact, Graph, Shape};
/// let mut graph = Graph::new("square");
/// let x = graph.add_input("x", Fact::f32(Shape::batched(&[2])));
/// let y = Builder::new(&mut graph, "f").mul(x, x)?;
/// graph.set_outputs(&[y]);
/// let program = Program::compile(&graph)?;
/// let outputs = program.run(&[&[1.0, 2.0, 3.0, 4.0]], 2)?;
/// assert_eq!(outputs, [[1.0, 4.0, 9.0, 16.0]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Program {
    pub(crate) values: Vec<LoweredValue>,
    pub(crate) steps: Vec<Step>,
    pub(crate) plan: Plan,
    pub(crate) outputs: Vec<usize>,
    pub(crate) inputs: Vec<InputPort>,
    /// Buffers of earlier runs for reuse: allocating memory costs more than the computation in it.
    pub(crate) spare: Mutex<Vec<Workspace>>,
    /// Kept values of earlier runs for reuse.
    pub(crate) spare_kept: Mutex<Vec<KeptValues>>,
}

#[derive(Clone, Debug)]
pub(crate) struct InputPort {
    pub(crate) name: String,
    pub(crate) len: usize,
    pub(crate) per_sample: bool,
}

impl Program {
    /// Compiles the nodes that the graph's outputs depend on.
    ///
    /// # Errors
    /// If nodes have no kernel (all of them are listed), or one sample needs more memory than is
    /// [available](crate::available_memory), or more than 32 GiB.
    pub fn compile(graph: &Graph) -> Result<Self, CompileError> {
        Self::with(graph, graph.values().iter().map(|v| v.fact.shape.has_batch()).collect())
    }

    /// Compiles a graph whose batch size is a fixed number B in every shape, as in files exported for a fixed batch.
    /// [`run`](Self::run) then treats a group of B samples as one sample: all inputs, and everything computed from
    /// them, exist per group.
    ///
    /// # Errors
    /// Same as [`compile`](Self::compile).
    pub fn compile_in_groups(graph: &Graph) -> Result<Self, CompileError> {
        Self::with(graph, depends_on(graph, graph.inputs()))
    }

    fn with(graph: &Graph, per_sample: Vec<bool>) -> Result<Self, CompileError> {
        Self::of(graph, recompute(lower(graph, per_sample)?))
    }

    /// Plans a lowered graph.
    pub(crate) fn of(graph: &Graph, lowered: Lowered) -> Result<Self, CompileError> {
        let plan = plan(&lowered);
        let port = |(index, &id): (usize, &ValueId)| {
            let (name, len) = (graph.value(id).name.clone(), graph.fact(id).shape.at(1).iter().product());
            // Inputs are the first values.
            InputPort { name, len, per_sample: lowered.values[index].per_sample }
        };
        let inputs: Vec<InputPort> = graph.inputs().iter().enumerate().map(port).collect();
        let fed: u128 = inputs.iter().map(|input| 4 * input.len as u128).sum();
        let bytes = plan.bytes() + fed;
        if let Err(available) = memory::fits(bytes) {
            return Err(CompileError::Memory { bytes, available });
        }
        Ok(Self {
            inputs,
            outputs: lowered.outputs.iter().map(|o| o.0).collect(),
            values: lowered.values,
            steps: lowered.steps,
            plan,
            spare: Mutex::new(Vec::new()),
            spare_kept: Mutex::new(Vec::new()),
        })
    }

    /// Returns the stored elements of a value, if it is constant.
    pub(crate) fn constant(&self, value: usize) -> Option<&Arc<[f32]>> {
        match &self.values[value].source {
            Source::Constant(values) => Some(values),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use heatlens_graph::{Builder, Fact, Shape};

    #[test]
    fn a_sample_that_no_memory_holds_is_refused() {
        let mut graph = Graph::new("outer");
        let x = graph.add_input("x", Fact::f32(Shape::batched(&[200_000, 1])));
        let mut b = Builder::new(&mut graph, "f");
        let turned = b.transpose(x, &[0, 2, 1]).unwrap();
        let product = b.matmul(x, turned).unwrap();
        let y = b.mean(product, &[1, 2], false).unwrap();
        graph.set_outputs(&[y]);
        let refused = Program::compile(&graph).unwrap_err();
        assert!(
            matches!(refused, CompileError::Memory { bytes, available } if bytes >= 160_000_000_000 && available <= 1 << 35),
            "{refused}"
        );
    }
}
