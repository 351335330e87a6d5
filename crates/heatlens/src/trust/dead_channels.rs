//! Search for channels that are never active.

use heatlens_graph::op::Kind;
use heatlens_graph::op::reduce::ReduceFunction;
use heatlens_graph::op::unary::UnaryFunction;
use heatlens_graph::{Builder, Dim, Node, ValueId};

use crate::explain::ExplainError;
use crate::model::Model;
use crate::model::program::ImageProgram;
use crate::trust::model_problems::{DeadChannels, dead_channels, update_peaks};

/// Number of images per batch; only memory use depends on it.
const BATCH: usize = 64;

/// Returns, layer by layer, the channels after a rectifier that are zero on all of `images` (`n` images of c·h·w
/// values each).
///
/// # Errors
/// If an operator has no kernel or the images do not fit the model.
pub fn dead_layers(model: &Model, images: &[f32], n: usize) -> Result<Vec<DeadChannels>, ExplainError> {
    let mut graph = model.graph.clone();
    let mut names = Vec::new();
    let mut outputs = Vec::new();
    for node in model.graph.nodes().iter().filter(|n| rectifies(n)) {
        let shape = &graph.fact(node.outputs[0]).shape;
        if !matches!(shape.0.as_slice(), [_, Dim::Fixed(_), ..]) {
            continue;
        }
        let axes: Vec<usize> = (2..shape.rank()).collect();
        names.push(node.name.clone());
        outputs.push(largest(&mut Builder::new(&mut graph, "activity"), node.outputs[0], &axes)?);
    }
    if outputs.is_empty() || n == 0 {
        return Ok(Vec::new());
    }
    let program = ImageProgram::compile(&graph, model.image, &outputs)?;
    let mut peaks: Vec<Vec<f32>> = Vec::new();
    let len = images.len() / n;
    for batch in images.chunks(BATCH * len.max(1)) {
        let count = batch.len() / len.max(1);
        let found = program.run(&[batch], count)?;
        peaks.resize_with(found.len(), Vec::new);
        for (peaks, found) in peaks.iter_mut().zip(&found) {
            peaks.resize(found.len() / count, 0.0);
            found.chunks(peaks.len().max(1)).for_each(|sample| update_peaks(peaks, sample));
        }
    }
    Ok(names.iter().zip(&peaks).filter_map(|(name, peaks)| dead_channels(name, peaks)).collect())
}

fn rectifies(node: &Node) -> bool {
    matches!(node.op.kind(), Kind::Unary(UnaryFunction::Relu) | Kind::Clip(_))
}

/// Computes max |x| of each channel.
fn largest(b: &mut Builder<'_>, x: ValueId, axes: &[usize]) -> Result<ValueId, ExplainError> {
    let size = b.unary(UnaryFunction::Abs, x)?;
    if axes.is_empty() { Ok(size) } else { Ok(b.reduce(ReduceFunction::Max, size, axes, false)?) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::arch::find;
    use heatlens_graph::Tensor;

    #[test]
    fn a_channel_with_a_deep_bias_is_dead() {
        let mut graph = find("gap-cnn").unwrap().build([1, 14, 14], 2, 0).unwrap();
        let bias = graph.find("conv2d_2.bias").unwrap();
        let mut values = vec![0.5; 20];
        values[3] = -1e6;
        assert!(graph.set_constant(bias, Tensor::f32(&[20], values)));
        let model = Model::from_graph(graph).unwrap();
        let images: Vec<f32> = (0..70 * 196).map(|i| ((i * 31) % 17) as f32 / 17.0).collect();
        let dead = dead_layers(&model, &images, 70).unwrap();
        let second = dead.iter().find(|d| d.layer == "relu_2").unwrap();
        assert_eq!((second.dead.as_slice(), second.of), (&[3][..], 20));
    }
}
