//! Exact population statistics for batch normalization.
//!
//! Running averages lag behind if an epoch has few steps, which makes validation results jump. Therefore, after
//! each epoch, the mean and variance of every normalization are computed over the whole training set, one
//! normalization after the other, so that each sees the final statistics of those before it.

use heatlens_graph::op::Kind;
use heatlens_graph::rewrite::batch_statistics::of_samples;
use heatlens_graph::{Builder, Graph, Node};

use crate::train::TrainError;
use crate::train::evaluate::Evaluation;
use crate::train::step::Arrays;

/// A normalization and the program for mean and variance of its input in each sample.
#[derive(Debug)]
struct Normalisation {
    mean: String,
    variance: String,
    samples: Evaluation,
}

/// All normalizations of a network, in order.
#[derive(Debug)]
pub struct PopulationStatistics(Vec<Normalisation>);

impl PopulationStatistics {
    /// Compiles the statistics of each normalization's input; `free` are the arrays that change.
    ///
    /// # Errors
    /// If a node has no kernel.
    pub fn new(network: &Graph, free: &[String]) -> Result<Self, TrainError> {
        let normalises = |n: &&Node| matches!(n.op.kind(), Kind::BatchNormalization(_));
        let all =
            network.nodes().iter().filter(normalises).map(|node| Normalisation::new(network, node, free));
        Ok(Self(all.collect::<Result<_, _>>()?))
    }

    /// Returns true if there are no normalizations.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the names of the arrays that [`update`](Self::update) writes.
    #[must_use]
    pub fn names(network: &Graph) -> Vec<String> {
        let mut names = Vec::new();
        for node in network.nodes().iter().filter(|n| matches!(n.op.kind(), Kind::BatchNormalization(_))) {
            let of = |i: usize| node.inputs.get(i).copied().flatten().map(|v| network.value(v).name.clone());
            names.extend(of(3));
            names.extend(of(4));
        }
        names
    }

    /// Recomputes all statistics over the batches that `each_batch` passes to its argument; it is called once per
    /// normalization and must use the same order each time.
    ///
    /// # Errors
    /// If an image cannot be read or an array has the wrong size.
    pub fn update(
        &self,
        arrays: &mut Arrays,
        each_batch: &mut dyn FnMut(&mut BatchVisitor<'_>) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        for normalisation in &self.0 {
            normalisation.update(arrays, each_batch)?;
        }
        Ok(())
    }
}

/// Receives the pixels of a batch and the number of images.
pub type BatchVisitor<'v> = dyn FnMut(&[f32], usize) -> Result<(), TrainError> + 'v;

impl Normalisation {
    fn new(network: &Graph, node: &Node, free: &[String]) -> Result<Self, TrainError> {
        let input = |i: usize| {
            let missing = || TrainError::Network(format!("{:?} has no input {i}", node.name));
            node.inputs.get(i).copied().flatten().ok_or_else(missing)
        };
        let (x, mean, variance) = (input(0)?, input(3)?, input(4)?);
        let mut graph = network.clone();
        let (means, within) = of_samples(&mut Builder::new(&mut graph, "population"), x)?;
        let wanted: Vec<_> = [means].into_iter().chain(within).collect();
        let name = |value| network.value(value).name.clone();
        let samples = Evaluation::new(&graph, free, &wanted)?;
        Ok(Self { mean: name(mean), variance: name(variance), samples })
    }

    fn update(
        &self,
        arrays: &mut Arrays,
        each_batch: &mut dyn FnMut(&mut BatchVisitor<'_>) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let channels = arrays.get(&self.mean).map_or(0, Vec::len);
        // Sums of the samples' means and mean squares, for each channel.
        let (mut first, mut second, mut count) = (vec![0.0f64; channels], vec![0.0f64; channels], 0.0f64);
        each_batch(&mut |images, n| {
            let mut found = self.samples.run(images, arrays, n)?.into_iter();
            let (means, within) = (found.next().unwrap_or_default(), found.next());
            for (i, &mean) in means.iter().enumerate() {
                let (mean, within) =
                    (f64::from(mean), within.as_ref().map_or(0.0, |within| f64::from(within[i])));
                first[i % channels] += mean;
                second[i % channels] += within + mean * mean;
            }
            #[allow(clippy::cast_precision_loss)]
            let seen = n as f64;
            count += seen;
            Ok(())
        })?;
        if count == 0.0 {
            return Ok(());
        }
        #[allow(clippy::cast_possible_truncation)]
        for c in 0..channels {
            let (centre, square) = (first[c] / count, second[c] / count);
            if let Some(mean) = arrays.get_mut(&self.mean) {
                mean[c] = centre as f32;
            }
            if let Some(variance) = arrays.get_mut(&self.variance) {
                variance[c] = (square - centre * centre).max(0.0) as f32;
            }
        }
        Ok(())
    }
}
