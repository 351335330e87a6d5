//! The statistics that batch normalisation uses after training, computed exactly.
//!
//! Running averages lag behind when an epoch has few steps, and validation then jumps about. So
//! after each epoch every normalisation's mean and variance are computed over the whole training
//! set, one normalisation after the other, each seeing what the ones before it will see later.

use heatlens_graph::op::batch_normalization::BatchNormalization;
use heatlens_graph::{Builder, Graph, Node};

use crate::train::TrainError;
use crate::train::evaluate::Evaluation;
use crate::train::step::Arrays;

/// One normalisation and the program that sums over its input.
#[derive(Debug)]
struct Normalisation {
    mean: String,
    variance: String,
    /// Elements of a channel in one sample.
    area: usize,
    sums: Evaluation,
}

/// All normalisations of a network, in order.
#[derive(Debug)]
pub struct PopulationStatistics(Vec<Normalisation>);

impl PopulationStatistics {
    /// Compiles the sums over each normalisation's input; `free` are the arrays that change.
    ///
    /// # Errors
    /// If a node has no kernel.
    pub fn new(network: &Graph, free: &[String]) -> Result<Self, TrainError> {
        let normalises = |n: &&Node| n.op.downcast_ref::<BatchNormalization>().is_some();
        let all =
            network.nodes().iter().filter(normalises).map(|node| Normalisation::new(network, node, free));
        Ok(Self(all.collect::<Result<_, _>>()?))
    }

    /// Whether there is any normalisation.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names of the arrays that [`update`](Self::update) writes.
    #[must_use]
    pub fn names(network: &Graph) -> Vec<String> {
        let mut names = Vec::new();
        for node in network.nodes().iter().filter(|n| n.op.downcast_ref::<BatchNormalization>().is_some()) {
            let of = |i: usize| node.inputs.get(i).copied().flatten().map(|v| network.value(v).name.clone());
            names.extend(of(3));
            names.extend(of(4));
        }
        names
    }

    /// Recomputes all statistics over the batches that `each_batch` hands to its argument, in the
    /// same order every time.
    ///
    /// # Errors
    /// If an image can't be read or an array has the wrong size.
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

/// Receives images and their number.
pub type BatchVisitor<'v> = dyn FnMut(&[f32], usize) -> Result<(), TrainError> + 'v;

impl Normalisation {
    fn new(network: &Graph, node: &Node, free: &[String]) -> Result<Self, TrainError> {
        let input = |i: usize| {
            let missing = || TrainError::Network(format!("{:?} has no input {i}", node.name));
            node.inputs.get(i).copied().flatten().ok_or_else(missing)
        };
        let (x, mean, variance) = (input(0)?, input(3)?, input(4)?);
        let mut graph = network.clone();
        let shape = graph.fact(x).shape.clone();
        let axes: Vec<usize> = (0..shape.rank()).filter(|&a| a != 1).collect();
        let mut wide = vec![1; shape.rank()];
        wide[1] = shape.0[1].at(1);
        let mut b = Builder::new(&mut graph, "population");
        // Sums around the previous mean keep their digits.
        let centre = b.reshape(mean, heatlens_graph::Shape::fixed(&wide))?;
        let centred = b.sub(x, centre)?;
        let square = b.mul(centred, centred)?;
        let sums = [b.sum(centred, &axes, false)?, b.sum(square, &axes, false)?];
        let area = shape.0.iter().skip(2).map(|d| d.at(1)).product();
        let name = |value| network.value(value).name.clone();
        let sums = Evaluation::new(&graph, free, &sums)?;
        Ok(Self { mean: name(mean), variance: name(variance), area, sums })
    }

    fn update(
        &self,
        arrays: &mut Arrays,
        each_batch: &mut dyn FnMut(&mut BatchVisitor<'_>) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let channels = arrays.get(&self.mean).map_or(0, Vec::len);
        let (mut first, mut second, mut count) = (vec![0.0f64; channels], vec![0.0f64; channels], 0.0f64);
        each_batch(&mut |images, n| {
            let sums = self.sums.run(images, arrays, n)?;
            for (total, sum) in [&mut first, &mut second].into_iter().zip(&sums) {
                for (t, s) in total.iter_mut().zip(sum) {
                    *t += f64::from(*s);
                }
            }
            #[allow(clippy::cast_precision_loss)]
            let seen = (n * self.area) as f64;
            count += seen;
            Ok(())
        })?;
        if count == 0.0 {
            return Ok(());
        }
        #[allow(clippy::cast_possible_truncation)]
        for c in 0..channels {
            let (shift, square) = (first[c] / count, second[c] / count);
            if let Some(mean) = arrays.get_mut(&self.mean) {
                mean[c] = (f64::from(mean[c]) + shift) as f32;
            }
            if let Some(variance) = arrays.get_mut(&self.variance) {
                variance[c] = (square - shift * shift).max(0.0) as f32;
            }
        }
        Ok(())
    }
}
