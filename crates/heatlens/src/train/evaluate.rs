//! Evaluation of a network with its current arrays.

use heatlens_cpu::Program;
use heatlens_graph::rewrite::simplify;
use heatlens_graph::{Graph, ValueId};

use crate::train::TrainError;
use crate::train::step::Arrays;

/// A network compiled with some of its stored arrays as inputs, so that they can change between runs.
#[derive(Debug)]
pub struct Evaluation {
    program: Program,
    inputs: Vec<String>,
}

impl Evaluation {
    /// Compiles the values `wanted` of a network; the arrays named in `free` are fed at each run.
    ///
    /// # Errors
    /// If a node has no kernel.
    pub fn new(network: &Graph, free: &[String], wanted: &[ValueId]) -> Result<Self, TrainError> {
        let mut graph = network.clone();
        for name in free {
            if let Some(id) = graph.find(name) {
                graph.make_input(id);
            }
        }
        let graph = simplify(&graph, wanted)?.graph;
        let inputs = graph.inputs().iter().map(|&i| graph.value(i).name.clone()).collect();
        Ok(Self { program: Program::compile(&graph)?, inputs })
    }

    /// Runs `n` images with the given arrays.
    ///
    /// # Errors
    /// If an array has the wrong size.
    pub fn run(&self, images: &[f32], arrays: &Arrays, n: usize) -> Result<Vec<Vec<f32>>, TrainError> {
        let feed = |name: &String| arrays.get(name).map_or(images, Vec::as_slice);
        let feeds: Vec<&[f32]> = self.inputs.iter().map(feed).collect();
        Ok(self.program.run(&feeds, n)?)
    }
}
