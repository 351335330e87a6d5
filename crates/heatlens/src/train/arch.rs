//! Networks that can be trained from scratch, one per row of [`ARCHITECTURES`].

use std::sync::Arc;

use heatlens_graph::op::batch_normalization::BatchNormalization;
use heatlens_graph::op::conv::Conv;
use heatlens_graph::op::gemm::Gemm;
use heatlens_graph::op::global_pool::{GlobalPool, GlobalPoolFunction};
use heatlens_graph::op::pool::MaxPool;
use heatlens_graph::op::reshape::Flatten;
use heatlens_graph::op::softmax::Softmax;
use heatlens_graph::op::unary::{Unary, UnaryFunction};
use heatlens_graph::op::window::Window;
use heatlens_graph::{Fact, Graph, GraphError, Operator, Shape, Tensor, ValueId};

use crate::nearest::Named;
use crate::random::{Key, Use};

/// A named network architecture.
#[derive(Debug)]
pub struct Architecture {
    /// Id used on the command line.
    pub id: &'static str,
    /// One-line description.
    pub summary: &'static str,
    /// Appends the network's body to an image; its output is pooled globally.
    body: fn(&mut Network, ValueId) -> Result<ValueId, GraphError>,
}

/// All architectures.
pub static ARCHITECTURES: &[Architecture] = &[
    Architecture {
        id: "gap-cnn",
        summary: "conv 3×3 (20) – max-pool – conv 3×3 (20) – max-pool – global average pooling – dense",
        body: gap_cnn,
    },
    Architecture {
        id: "gap-cnn-bn",
        summary: "three blocks of conv 3×3 – batch normalisation – max-pool (32, 32, 64 channels) – global average pooling – dense",
        body: gap_cnn_bn,
    },
    Architecture {
        id: "gap-cnn-deep",
        summary: "four blocks of conv 3×3 – batch normalisation (16, 32, 64, 64 channels), max-pools between them while 6 cells remain – global average pooling – dense",
        body: gap_cnn_deep,
    },
];

/// Returns all architectures with their names on the command line.
pub fn architectures() -> impl Iterator<Item = Named<&'static Architecture>> {
    ARCHITECTURES.iter().map(|architecture| (architecture.id, architecture.summary, architecture))
}

/// Returns the architecture with the given id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Architecture> {
    ARCHITECTURES.iter().find(|a| a.id == id)
}

impl Architecture {
    /// Builds the network for images of shape `[c, h, w]` and `classes` classes, with new weights: kernels
    /// Glorot-uniform (Glorot and Bengio 2010, equation 16), biases zero. Two classes share one sigmoid output;
    /// more have a softmax.
    ///
    /// # Errors
    /// If the image is too small for the network.
    pub fn build(&self, shape: [usize; 3], classes: usize, seed: u64) -> Result<Graph, GraphError> {
        let mut graph = Graph::new(self.id);
        let image = graph.add_input("image", Fact::f32(Shape::batched(&shape)));
        let mut network = Network { graph, seed, drawn: 0 };
        let features = (self.body)(&mut network, image)?;
        let pooled =
            network.node("global_average_pooling2d", GlobalPool(GlobalPoolFunction::Average), &[features])?;
        let flat = network.node("flatten", Flatten { axis: 1 }, &[pooled])?;
        let logits = network.dense("dense", flat, if classes == 2 { 1 } else { classes })?;
        let output = if classes == 2 {
            network.node("probability", Unary(UnaryFunction::Sigmoid), &[logits])?
        } else {
            network.node("probability", Softmax { axis: 1, log: false }, &[logits])?
        };
        network.graph.set_outputs(&[output]);
        Ok(network.graph)
    }
}

fn gap_cnn(n: &mut Network, image: ValueId) -> Result<ValueId, GraphError> {
    let mut x = image;
    for block in 1..=2 {
        x = n.conv(&format!("conv2d_{block}"), x, 20, 0, true)?;
        x = n.node(&format!("relu_{block}"), Unary(UnaryFunction::Relu), &[x])?;
        x = n.max_pool(&format!("max_pooling2d_{block}"), x)?;
    }
    Ok(x)
}

fn gap_cnn_bn(n: &mut Network, image: ValueId) -> Result<ValueId, GraphError> {
    let mut x = image;
    for (block, channels) in (1..).zip([32, 32, 64]) {
        // The normalization subtracts the mean, so a bias before it would have no effect.
        x = n.conv(&format!("conv2d_{block}"), x, channels, 1, false)?;
        x = n.batch_normalization(&format!("batch_normalization_{block}"), x)?;
        x = n.node(&format!("relu_{block}"), Unary(UnaryFunction::Relu), &[x])?;
        x = n.max_pool(&format!("max_pooling2d_{block}"), x)?;
    }
    Ok(x)
}

/// The default. The receptive field of the last map's cells is 38 pixels of a large image, which fits shapes and
/// coarse textures, and the map keeps at least six cells per side, so that small images still get a useful picture.
fn gap_cnn_deep(n: &mut Network, image: ValueId) -> Result<ValueId, GraphError> {
    const CHANNELS: [usize; 4] = [16, 32, 64, 64];
    const SMALLEST_MAP: usize = 6;
    let mut x = image;
    for (block, channels) in (1..).zip(CHANNELS) {
        // Zero padding around a bright, low-contrast image would be its strongest edge, so the first layer is not
        // padded.
        let pad = usize::from(block > 1);
        x = n.conv(&format!("conv2d_{block}"), x, channels, pad, false)?;
        x = n.batch_normalization(&format!("batch_normalization_{block}"), x)?;
        x = n.node(&format!("relu_{block}"), Unary(UnaryFunction::Relu), &[x])?;
        if block < CHANNELS.len() && n.shorter_side(x) / 2 >= SMALLEST_MAP {
            x = n.max_pool(&format!("max_pooling2d_{block}"), x)?;
        }
    }
    Ok(x)
}

/// A network under construction.
#[derive(Debug)]
struct Network {
    graph: Graph,
    seed: u64,
    /// Number of kernels drawn so far; each has separate random numbers.
    drawn: u64,
}

impl Network {
    fn node(&mut self, name: &str, op: impl Operator, inputs: &[ValueId]) -> Result<ValueId, GraphError> {
        let inputs: Vec<_> = inputs.iter().map(|&i| Some(i)).collect();
        let id = self.graph.add_node(name, Arc::new(op), &inputs)?;
        Ok(self.graph.node(id).outputs[0])
    }

    fn conv(
        &mut self,
        name: &str,
        x: ValueId,
        channels: usize,
        pad: usize,
        bias: bool,
    ) -> Result<ValueId, GraphError> {
        let inputs = self.channels(x);
        let weight =
            self.glorot(&format!("{name}.weight"), &[channels, inputs, 3, 3], inputs * 9, channels * 9);
        let conv = Conv { window: Window::new(&[3, 3]).pads(&[pad, pad]), group: 1 };
        let mut operands = vec![x, weight];
        if bias {
            operands.push(self.filled(&format!("{name}.bias"), channels, 0.0));
        }
        self.node(name, conv, &operands)
    }

    fn max_pool(&mut self, name: &str, x: ValueId) -> Result<ValueId, GraphError> {
        self.node(name, MaxPool { window: Window::new(&[2, 2]).strides(&[2, 2]), ceil_mode: false }, &[x])
    }

    fn batch_normalization(&mut self, name: &str, x: ValueId) -> Result<ValueId, GraphError> {
        let c = self.channels(x);
        let part = |n: &mut Self, what: &str, value: f32| n.filled(&format!("{name}.{what}"), c, value);
        let scale = part(self, "scale", 1.0);
        let bias = part(self, "bias", 0.0);
        let mean = part(self, "mean", 0.0);
        let variance = part(self, "variance", 1.0);
        self.node(name, BatchNormalization { epsilon: 1e-3 }, &[x, scale, bias, mean, variance])
    }

    fn dense(&mut self, name: &str, x: ValueId, outputs: usize) -> Result<ValueId, GraphError> {
        let inputs = self.channels(x);
        let weight = self.glorot(&format!("{name}.weight"), &[outputs, inputs], inputs, outputs);
        let bias = self.filled(&format!("{name}.bias"), outputs, 0.0);
        self.node(name, Gemm { trans_b: true, ..Gemm::default() }, &[x, weight, bias])
    }

    fn channels(&self, x: ValueId) -> usize {
        self.graph.fact(x).shape.0.get(1).map_or(0, |d| d.at(1))
    }

    fn shorter_side(&self, x: ValueId) -> usize {
        self.graph.fact(x).shape.0.iter().skip(2).map(|d| d.at(1)).min().unwrap_or(0)
    }

    fn glorot(&mut self, name: &str, shape: &[usize], fan_in: usize, fan_out: usize) -> ValueId {
        let mut rng = Key::new(self.seed, Use::Weights).at(self.drawn).rng();
        self.drawn += 1;
        #[allow(clippy::cast_precision_loss)]
        let limit = (6.0 / (fan_in + fan_out) as f32).sqrt();
        let values = (0..shape.iter().product()).map(|_| (rng.uniform() * 2.0 - 1.0) * limit).collect();
        self.graph.add_constant(name, Tensor::f32(shape, values))
    }

    fn filled(&mut self, name: &str, len: usize, value: f32) -> ValueId {
        self.graph.add_constant(name, Tensor::f32(&[len], vec![value; len]))
    }
}
