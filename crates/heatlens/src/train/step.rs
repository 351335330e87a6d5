//! One training step as a program that computes scores, loss and all gradients in one pass.

use std::collections::BTreeMap;

use heatlens_cpu::Program;
use heatlens_graph::op::Kind;
use heatlens_graph::rewrite::batch_statistics::with_batch_statistics;
use heatlens_graph::rewrite::simplify;
use heatlens_graph::{Builder, DefaultRules, Dim, Fact, Graph, Shape, ValueId, differentiate};

use crate::train::TrainError;
use crate::train::loss::cross_entropy;

/// A trainable array of a network.
#[derive(Clone, Debug)]
pub struct TrainableParameter {
    /// Name in the network.
    pub name: String,
    /// Value in the network's graph.
    pub value: ValueId,
    /// True if weight decay applies: to kernels, not to biases and normalizations.
    pub decays: bool,
}

/// Returns the trainable arrays of a network, in node order.
#[must_use]
pub fn parameters(graph: &Graph) -> Vec<TrainableParameter> {
    let mut found: Vec<TrainableParameter> = Vec::new();
    for node in graph.nodes() {
        let dense = match node.op.kind() {
            Kind::Conv(_) | Kind::Gemm(_) => true,
            Kind::BatchNormalization(_) => false,
            _ => continue,
        };
        for (position, input) in node.inputs.iter().enumerate().take(3).skip(1) {
            let constant = input.filter(|&i| graph.constant(i).is_some());
            if let Some(value) = constant.filter(|v| found.iter().all(|p| p.value != *v)) {
                let name = graph.value(value).name.clone();
                found.push(TrainableParameter { name, value, decays: dense && position == 1 });
            }
        }
    }
    found
}

/// Arrays of a network by name.
pub type Arrays = BTreeMap<String, Vec<f32>>;

/// A compiled training step.
#[derive(Debug)]
pub struct TrainingStep {
    program: Program,
    inputs: Vec<String>,
}

/// Results of a step.
#[derive(Debug)]
pub struct StepOutput {
    /// Σ weight · loss over the batch.
    pub loss: f32,
    /// Logits, shape `n k`.
    pub logits: Vec<f32>,
    /// Gradients, one per parameter, in order.
    pub gradients: Vec<Vec<f32>>,
}

const TARGETS: &str = "targets";
const WEIGHTS: &str = "sample_weights";
const INVERSE_BATCH: &str = "inverse_batch";

impl TrainingStep {
    /// Compiles a training step of `parameters` for a network whose logits are `logits`.
    ///
    /// # Errors
    /// If a node between parameters and logits has no derivative or no kernel.
    pub fn new(
        network: &Graph,
        logits: ValueId,
        parameters: &[TrainableParameter],
    ) -> Result<Self, TrainError> {
        let training = with_batch_statistics(network)?;
        let mut graph = training.graph;
        let moved = |value: ValueId| training.map[value.index()];
        let wrt: Vec<ValueId> = parameters.iter().map(|p| moved(p.value)).collect();
        for &parameter in &wrt {
            graph.make_input(parameter);
        }
        let logits = moved(logits);
        let outputs = graph.fact(logits).shape.clone();
        let targets = graph.add_input(TARGETS, Fact::f32(outputs));
        let weights = graph.add_input(WEIGHTS, Fact::f32(Shape(vec![Dim::Batch(1), Dim::Fixed(1)])));
        let mut b = Builder::new(&mut graph, "loss");
        let each = cross_entropy(&mut b, logits, targets)?;
        let weighted = b.mul(each, weights)?;
        let loss = b.sum(weighted, &[0, 1], false)?;
        let one = b.scalar(1.0);
        let gradients = differentiate(&mut graph, "gradient", loss, one, &wrt, &DefaultRules)?;
        let mut wanted = vec![loss, logits];
        wanted.extend(gradients);
        let graph = simplify(&graph, &wanted)?.graph;
        let inputs = graph.inputs().iter().map(|&i| graph.value(i).name.clone()).collect();
        Ok(Self { program: Program::compile(&graph)?, inputs })
    }

    /// Runs the step on `n` images, their targets (`n k`, see [`cross_entropy`]) and weights (`n`), with the given
    /// parameters.
    ///
    /// # Errors
    /// If an array has the wrong size.
    pub fn run(
        &self,
        images: &[f32],
        targets: &[f32],
        weights: &[f32],
        parameters: &Arrays,
        n: usize,
    ) -> Result<StepOutput, TrainError> {
        #[allow(clippy::cast_precision_loss)]
        let inverse_batch = [1.0 / n as f32];
        let feeds: Vec<&[f32]> = self
            .inputs
            .iter()
            .map(|name| match name.as_str() {
                TARGETS => targets,
                WEIGHTS => weights,
                INVERSE_BATCH => &inverse_batch[..],
                name => parameters.get(name).map_or(images, Vec::as_slice),
            })
            .collect();
        let mut outputs = self.program.run(&feeds, n)?.into_iter();
        let (loss, logits) = (outputs.next().unwrap_or_default(), outputs.next().unwrap_or_default());
        let loss = loss.first().copied().unwrap_or(f32::NAN);
        Ok(StepOutput { loss, logits, gradients: outputs.collect() })
    }
}
