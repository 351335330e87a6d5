//! Networks with random weights, for the model parameter randomization test (Adebayo et al. 2018).
//!
//! A layer is a convolution or a matrix product with its bias and normalization. Its kernel is drawn from a normal
//! distribution with the same mean square, so that the scale of the activations is preserved; its bias becomes 0,
//! and the shift and scale of its normalization 0 and constant. Then the statistics of the normalizations are
//! recomputed over images, one after the other. Otherwise, a random network would be evaluated with statistics that
//! do not match it.

use std::collections::BTreeMap;
use std::ops::Range;

use heatlens_graph::differentiate::depends_on;
use heatlens_graph::op::Kind;
use heatlens_graph::rewrite::batch_statistics::with_batch_statistics;
use heatlens_graph::{Node, Tensor, ValueId};
use rayon::prelude::*;

use crate::explain::ExplainError;
use crate::model::Model;
use crate::random::Key;
use crate::train::TrainError;
use crate::train::evaluate::Evaluation;

/// Treatment of a stored array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Drawn at random.
    Kernel,
    /// Set to 0.
    Shift,
    /// Set to its root mean square.
    Scale,
}

/// Arrays of one layer.
#[derive(Clone, Debug, Default)]
struct Weights(Vec<(ValueId, Role)>);

/// A model whose layers can be randomized.
#[derive(Debug)]
pub struct Randomiser {
    model: Model,
    /// Layers, from the image to the scores.
    layers: Vec<Weights>,
    statistics: Option<Statistics>,
}

/// Program that computes the statistics of all normalizations.
#[derive(Debug)]
struct Statistics {
    program: Evaluation,
    /// Arrays it takes as inputs, with their names.
    arrays: Vec<(ValueId, String)>,
    /// Name of the input that takes 1 ÷ the number of images.
    inverse_batch: Option<String>,
    /// Stored arrays that receive the results.
    stored: Vec<ValueId>,
}

impl Randomiser {
    /// Finds the layers, and compiles the statistics if there are normalizations.
    ///
    /// # Errors
    /// If a normalization or an operator before it has no kernel.
    pub fn new(model: &Model) -> Result<Self, ExplainError> {
        let layers = layers(model);
        let statistics = match model.batch {
            None => Statistics::new(model, &layers)?,
            // The images of a group cannot be distinguished from the samples of a batch.
            Some(_) => None,
        };
        Ok(Self { model: model.clone(), layers, statistics })
    }

    /// Returns the number of layers.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Returns the model with a range of layers randomized, counted from the scores (0) towards the image, and
    /// statistics recomputed over `n` images.
    ///
    /// # Errors
    /// If the images do not fit the model.
    pub fn randomised(
        &self,
        which: Range<usize>,
        key: Key,
        pixels: &[f32],
        n: usize,
    ) -> Result<Model, ExplainError> {
        let mut model = self.model.clone();
        let count = self.layers.len();
        let chosen = count - which.end.min(count)..count - which.start.min(count);
        let old: Vec<&(ValueId, Role)> = self.layers[chosen].iter().flat_map(|layer| &layer.0).collect();
        let fresh = old.par_iter().filter_map(|(value, role)| {
            let tensor = model.graph.constant(*value)?;
            let values = role.fresh(tensor.as_f32()?, key.at(value.index() as u64));
            Some((*value, Tensor::f32(tensor.shape(), values)))
        });
        for (value, tensor) in fresh.collect::<Vec<_>>() {
            model.graph.set_constant(value, tensor);
        }
        if let Some(statistics) = self.statistics.as_ref().filter(|_| n > 0) {
            statistics.update(&mut model, pixels, n)?;
        }
        Ok(model)
    }
}

impl Role {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
    fn fresh(self, old: &[f32], key: Key) -> Vec<f32> {
        let square = old.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / old.len().max(1) as f64;
        match self {
            Self::Kernel => {
                let mut rng = key.rng();
                old.iter().map(|_| (square.sqrt() * rng.normal()) as f32).collect()
            }
            Self::Shift => vec![0.0; old.len()],
            Self::Scale => vec![square.sqrt() as f32; old.len()],
        }
    }
}

fn stored(model: &Model, value: ValueId) -> Option<(Vec<usize>, Vec<f32>)> {
    let tensor = model.graph.constant(value)?;
    Some((tensor.shape().to_vec(), tensor.as_f32()?.to_vec()))
}

/// Returns the layers in order; a normalization belongs to the layer before it.
fn layers(model: &Model) -> Vec<Weights> {
    let graph = &model.graph;
    let from_image = depends_on(graph, &[model.image]);
    let mut seen = vec![false; graph.values().len()];
    let mut layers: Vec<Weights> = Vec::new();
    for node in graph.nodes().iter().filter(|node| node.outputs.iter().any(|o| from_image[o.index()])) {
        let roles = roles(node);
        let mut found = Weights::default();
        for (input, role) in node.inputs.iter().zip(roles).filter_map(|(i, role)| Some(((*i)?, role?))) {
            for value in constants_behind(model, input, &from_image) {
                if !std::mem::replace(&mut seen[value.index()], true) {
                    found.0.push((value, role));
                }
            }
        }
        let has_kernel = found.0.iter().any(|(_, role)| *role == Role::Kernel);
        match layers.last_mut() {
            _ if has_kernel => layers.push(found),
            Some(last) => last.0.append(&mut found.0),
            // Arrays before the first layer prepare the image.
            None => {}
        }
    }
    layers
}

/// Returns the roles of a node's inputs.
fn roles(node: &Node) -> [Option<Role>; 3] {
    match node.op.kind() {
        Kind::Conv(_) => [None, Some(Role::Kernel), Some(Role::Shift)],
        Kind::Gemm(_) => [Some(Role::Kernel), Some(Role::Kernel), Some(Role::Shift)],
        Kind::MatMul => [Some(Role::Kernel), Some(Role::Kernel), None],
        Kind::BatchNormalization(_) => [None, Some(Role::Scale), Some(Role::Shift)],
        _ => [None; 3],
    }
}

/// Returns the stored float arrays from which a value is computed, if it does not depend on the image.
fn constants_behind(model: &Model, value: ValueId, from_image: &[bool]) -> Vec<ValueId> {
    let (mut open, mut found) = (vec![value], Vec::new());
    while let Some(value) = open.pop().filter(|v| !from_image[v.index()]) {
        match model.graph.producer(value) {
            Some(node) => open.extend(model.graph.node(node).inputs.iter().flatten()),
            None if stored(model, value).is_some_and(|(_, values)| values.len() > 1) => found.push(value),
            None => {}
        }
    }
    found
}

impl Statistics {
    fn new(model: &Model, layers: &[Weights]) -> Result<Option<Self>, ExplainError> {
        let training = with_batch_statistics(&model.graph)?;
        let (mut wanted, mut stored) = (Vec::new(), Vec::new());
        for s in &training.statistics {
            wanted.extend([s.mean, s.variance]);
            stored.extend([s.stored_mean, s.stored_variance]);
        }
        if wanted.is_empty() {
            return Ok(None);
        }
        let name = |value: ValueId| training.graph.value(value).name.clone();
        let arrays: Vec<(ValueId, String)> = layers
            .iter()
            .flat_map(|l| &l.0)
            .map(|&(value, _)| (value, name(training.map[value.index()])))
            .collect();
        let free: Vec<String> = arrays.iter().map(|(_, name)| name.clone()).collect();
        let program = Evaluation::new(&training.graph, &free, &wanted).map_err(into_explain)?;
        Ok(Some(Self { program, arrays, inverse_batch: training.inverse_batch.map(name), stored }))
    }

    #[allow(clippy::cast_precision_loss)]
    fn update(&self, model: &mut Model, pixels: &[f32], n: usize) -> Result<(), ExplainError> {
        let array = |(value, name): &(ValueId, String)| Some((name.clone(), stored(model, *value)?.1));
        let mut arrays: BTreeMap<String, Vec<f32>> = self.arrays.iter().filter_map(array).collect();
        if let Some(name) = &self.inverse_batch {
            arrays.insert(name.clone(), vec![1.0 / n as f32]);
        }
        let found = self.program.run(pixels, &arrays, n).map_err(into_explain)?;
        for (&value, values) in self.stored.iter().zip(found) {
            model.graph.set_constant(value, Tensor::f32(&[values.len()], values));
        }
        Ok(())
    }
}

fn into_explain(error: TrainError) -> ExplainError {
    ExplainError::Statistics(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predict::Predictor;
    use crate::random::Use;
    use crate::train::arch;

    fn model(id: &str) -> Model {
        Model::from_graph(arch::find(id).unwrap().build([1, 24, 24], 2, 0).unwrap()).unwrap()
    }

    fn images(n: usize) -> Vec<f32> {
        let mut rng = Key::new(4, Use::Audit).rng();
        (0..n * 576).map(|_| rng.uniform()).collect()
    }

    fn kernels(model: &Model) -> Vec<Vec<f32>> {
        ["conv2d_1.weight", "conv2d_2.weight", "dense.weight"]
            .map(|name| {
                model.graph.constant(model.graph.find(name).unwrap()).unwrap().as_f32().unwrap().to_vec()
            })
            .to_vec()
    }

    #[test]
    fn layers_are_counted_from_the_scores() {
        let model = model("gap-cnn");
        let randomiser = Randomiser::new(&model).unwrap();
        assert_eq!(randomiser.layers(), 3);
        let key = Key::new(1, Use::Audit);
        let changed = |which: Range<usize>| {
            let new = kernels(&randomiser.randomised(which, key, &images(2), 2).unwrap());
            kernels(&model).iter().zip(&new).map(|(a, b)| a != b).collect::<Vec<_>>()
        };
        assert_eq!(changed(0..1), [false, false, true]);
        assert_eq!(changed(2..3), [true, false, false]);
        assert_eq!(changed(0..3), [true; 3]);
        let again = kernels(&randomiser.randomised(0..3, key, &images(2), 2).unwrap());
        assert_eq!(again, kernels(&randomiser.randomised(0..3, key, &images(2), 2).unwrap()));
        let (old, new) = (&kernels(&model)[1], &again[1]);
        let square = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>() / v.len() as f32;
        assert!((square(new) / square(old) - 1.0).abs() < 0.1, "the mean square stays");
    }

    #[test]
    fn normalisations_fit_the_random_network() {
        let model = model("gap-cnn-bn");
        let randomiser = Randomiser::new(&model).unwrap();
        let pixels = images(12);
        let random = randomiser.randomised(0..4, Key::new(2, Use::Audit), &pixels, 12).unwrap();
        // The inputs of the second normalization have the stored mean and variance.
        let graph = &random.graph;
        let node = graph.nodes().iter().find(|n| n.name == "batch_normalization_2").unwrap();
        let array = |i: usize| graph.constant(node.inputs[i].unwrap()).unwrap().as_f32().unwrap().to_vec();
        let program =
            crate::model::program::ImageProgram::compile(graph, random.image, &[node.inputs[0].unwrap()])
                .unwrap();
        let values = program.run(&[&pixels], 12).unwrap().remove(0);
        let (channels, area) = (array(3).len(), 144);
        for c in 0..channels {
            let of: Vec<f64> = (0..12 * area)
                .map(|i| f64::from(values[(i / area * channels + c) * area + i % area]))
                .collect();
            let mean = of.iter().sum::<f64>() / of.len() as f64;
            let variance = of.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / of.len() as f64;
            let (m, v) = (f64::from(array(3)[c]), f64::from(array(4)[c]));
            assert!(
                (m - mean).abs() < 1e-4 && (v - variance).abs() < 1e-3 * variance.max(1e-3),
                "{m} {mean} {v} {variance}"
            );
        }
        let logits = Predictor::new(&random).unwrap().logits(&pixels, 12).unwrap();
        assert!(logits.iter().all(|z| z.is_finite()));
    }
}
