//! Small hand-built networks with pseudo-random weights.

use std::collections::BTreeMap;
use std::sync::Arc;

use heatlens::graph::op::conv::Conv;
use heatlens::graph::op::gemm::Gemm;
use heatlens::graph::op::global_pool::{GlobalPool, GlobalPoolFunction};
use heatlens::graph::op::matmul::MatMul;
use heatlens::graph::op::reshape::{Flatten, Reshape};
use heatlens::graph::op::softmax::Softmax;
use heatlens::graph::op::unary::{Unary, UnaryFunction};
use heatlens::graph::op::window::Window;
use heatlens::graph::{Builder, Dim, Fact, Graph, Operator, Shape, Tensor, ValueId};

/// A graph under construction, and the number of weights drawn.
pub(crate) struct Net {
    pub(crate) graph: Graph,
    drawn: usize,
}

/// Returns pseudo-random values from −1 to 1.
pub(crate) fn noise(len: usize, seed: usize) -> Vec<f32> {
    let value = |i: usize| {
        let mixed = (i + 1).wrapping_mul(2_654_435_761) ^ (seed + 1).wrapping_mul(40_503_077);
        let mixed = mixed ^ (mixed >> 13);
        (mixed.wrapping_mul(2_246_822_519) >> 7) % 2001
    };
    (0..len).map(|i| value(i) as f32 / 1000.0 - 1.0).collect()
}

impl Net {
    /// Creates a graph with an image input of these sizes after the batch axis.
    pub(crate) fn new(sizes: &[usize]) -> (Self, ValueId) {
        let mut graph = Graph::new("test");
        let image = graph.add_input("image", Fact::f32(Shape::batched(sizes)));
        (Self { graph, drawn: 0 }, image)
    }

    pub(crate) fn b(&mut self) -> Builder<'_> {
        Builder::new(&mut self.graph, "net")
    }

    pub(crate) fn dims(&self, x: ValueId) -> Vec<usize> {
        self.graph.fact(x).shape.at(1)
    }

    pub(crate) fn weight(&mut self, shape: &[usize], size: f32) -> ValueId {
        self.drawn += 1;
        let values = noise(shape.iter().product(), self.drawn).into_iter().map(|v| v * size).collect();
        self.graph.add_constant("weight", Tensor::f32(shape, values))
    }

    pub(crate) fn node(&mut self, name: &str, op: impl Operator, inputs: &[ValueId]) -> ValueId {
        let inputs: Vec<_> = inputs.iter().map(|&i| Some(i)).collect();
        let id = self.graph.add_node(name, Arc::new(op), &inputs).unwrap();
        self.graph.node(id).outputs[0]
    }

    /// Adds module scopes to the node that computes a value, as PyTorch's newer exporter does.
    pub(crate) fn scopes(&mut self, x: ValueId, scopes: &str) {
        let metadata = BTreeMap::from([("pkg.torch.onnx.name_scopes".to_owned(), scopes.to_owned())]);
        let node = self.graph.producer(x).unwrap();
        self.graph.set_node_metadata(node, metadata);
    }

    pub(crate) fn conv(
        &mut self,
        name: &str,
        x: ValueId,
        channels: usize,
        kernel: usize,
        stride: usize,
    ) -> ValueId {
        let c = self.dims(x)[1];
        let weight = self.weight(&[channels, c, kernel, kernel], 0.5);
        let pad = if stride == 1 { kernel / 2 } else { 0 };
        let window = Window {
            strides: vec![stride; 2],
            pads_begin: vec![pad; 2],
            pads_end: vec![pad; 2],
            ..Window::new(&[kernel, kernel])
        };
        self.node(name, Conv { window, group: 1 }, &[x, weight])
    }

    pub(crate) fn relu(&mut self, name: &str, x: ValueId) -> ValueId {
        self.node(name, Unary(UnaryFunction::Relu), &[x])
    }

    pub(crate) fn pooled(&mut self, x: ValueId) -> ValueId {
        let pooled = self.node("pool", GlobalPool(GlobalPoolFunction::Average), &[x]);
        self.node("flatten", Flatten { axis: 1 }, &[pooled])
    }

    pub(crate) fn gemm(&mut self, name: &str, x: ValueId, outputs: usize) -> ValueId {
        let width = self.dims(x)[1];
        let (weight, bias) = (self.weight(&[outputs, width], 0.7), self.weight(&[outputs], 0.1));
        let gemm = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true };
        self.node(name, gemm, &[x, weight, bias])
    }

    pub(crate) fn softmax(&mut self, x: ValueId) -> ValueId {
        self.node("softmax", Softmax { axis: -1, log: false }, &[x])
    }

    pub(crate) fn reshape(&mut self, x: ValueId, sizes: &[usize]) -> ValueId {
        let own = self.dims(x).iter().product::<usize>();
        let batch = own / sizes[1..].iter().product::<usize>();
        let mut shape = Shape::fixed(sizes);
        shape.0[0] = Dim::Batch(batch);
        self.node("reshape", Reshape { shape }, &[x])
    }

    /// x·W + b over the last axis.
    pub(crate) fn linear(&mut self, name: &str, x: ValueId, outputs: usize) -> ValueId {
        let width = self.dims(x).last().copied().unwrap();
        let (weight, bias) = (self.weight(&[width, outputs], 0.6), self.weight(&[outputs], 0.1));
        let product = self.node(&format!("{name}/MatMul"), MatMul, &[x, weight]);
        let mut b = Builder::new(&mut self.graph, name);
        b.add(product, bias).unwrap()
    }

    /// (x − mean) ÷ √(variance + ε) · γ + β over the last axis, decomposed.
    pub(crate) fn norm(&mut self, name: &str, x: ValueId) -> ValueId {
        let (rank, width) = (self.dims(x).len(), self.dims(x).last().copied().unwrap());
        let (gamma, beta) = (self.weight(&[width], 1.0), self.weight(&[width], 0.2));
        let mut b = Builder::new(&mut self.graph, name);
        let mean = b.mean(x, &[rank - 1], true).unwrap();
        let centred = b.sub(x, mean).unwrap();
        let square = b.mul(centred, centred).unwrap();
        let variance = b.mean(square, &[rank - 1], true).unwrap();
        let epsilon = b.scalar(1e-5);
        let safe = b.add(variance, epsilon).unwrap();
        let deviation = b.unary(UnaryFunction::Sqrt, safe).unwrap();
        let unit = b.div(centred, deviation).unwrap();
        let scaled = b.mul(unit, gamma).unwrap();
        b.add(scaled, beta).unwrap()
    }

    /// Self-attention with one head over `n t c`.
    pub(crate) fn attention(&mut self, name: &str, x: ValueId) -> ValueId {
        let width = self.dims(x).last().copied().unwrap();
        let [q, k, v] = ["q", "k", "v"].map(|part| self.linear(&format!("{name}/{part}"), x, width));
        let mut b = Builder::new(&mut self.graph, name);
        let k = b.transpose_last(k).unwrap();
        let scores = b.matmul(q, k).unwrap();
        let weights = b.apply(Softmax { axis: -1, log: false }, &[scores]).unwrap();
        let mixed = b.matmul(weights, v).unwrap();
        self.linear(&format!("{name}/proj"), mixed, width)
    }

    /// A transformer block: attention and a small network, each after a normalization and with a shortcut.
    pub(crate) fn block(&mut self, name: &str, x: ValueId) -> ValueId {
        let width = self.dims(x).last().copied().unwrap();
        let normed = self.norm(&format!("{name}/norm1"), x);
        let attended = self.attention(&format!("{name}/attn"), normed);
        let x = Builder::new(&mut self.graph, name).add(x, attended).unwrap();
        let normed = self.norm(&format!("{name}/norm2"), x);
        let wide = self.linear(&format!("{name}/mlp/fc1"), normed, 2 * width);
        let bent = self.relu(&format!("{name}/mlp/relu"), wide);
        let narrow = self.linear(&format!("{name}/mlp/fc2"), bent, width);
        Builder::new(&mut self.graph, name).add(x, narrow).unwrap()
    }
}
