//! A small network in two forms: as a graph for the code under test, and as plain lists of products for the oracle.
//! It has padding, a stride of 2, batch normalization, a dead channel, a max-pool with overlapping windows, a
//! fan-out whose branches meet in a sum, an average pool, global pooling and a dense layer.

use heatlens::graph::op::batch_normalization::BatchNormalization;
use heatlens::graph::op::conv::Conv;
use heatlens::graph::op::gemm::Gemm;
use heatlens::graph::op::global_pool::{GlobalPool, GlobalPoolFunction};
use heatlens::graph::op::pool::{AveragePool, MaxPool};
use heatlens::graph::op::unary::{Unary, UnaryFunction};
use heatlens::graph::op::window::Window;
use heatlens::graph::{Builder, Dim, Fact, Graph, Shape, Tensor, ValueId};
use heatlens::model::Model;

/// One step of the oracle's network; `from` are indices of earlier values, 0 is the image.
#[derive(Clone, Debug)]
pub enum Step {
    /// Σ x·w + b: (input, output, weight), and a bias per output.
    Sum {
        from: usize,
        products: Vec<(usize, usize, f64)>,
        bias: Vec<f64>,
        kind: Kind,
    },
    Relu {
        from: usize,
    },
    /// The inputs of each output's window.
    Max {
        from: usize,
        windows: Vec<Vec<usize>>,
    },
    Add {
        from: [usize; 2],
    },
}

/// Type of a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    First,
    Convolution,
    Dense,
    Mean,
}

/// A network as a list of steps.
#[derive(Clone, Debug, Default)]
pub struct Tiny {
    pub steps: Vec<Step>,
}

impl Tiny {
    /// Returns all values for an image: the image, and the result of each step.
    pub fn values(&self, image: &[f64]) -> Vec<Vec<f64>> {
        let mut values = vec![image.to_vec()];
        for step in &self.steps {
            values.push(match step {
                Step::Sum { from, products, bias, .. } => {
                    let mut y = bias.clone();
                    for &(i, o, w) in products {
                        y[o] += values[*from][i] * w;
                    }
                    y
                }
                Step::Relu { from } => values[*from].iter().map(|v| v.max(0.0)).collect(),
                Step::Max { from, windows } => {
                    windows.iter().map(|w| values[*from][winner(&values[*from], w)]).collect()
                }
                Step::Add { from: [a, b] } => {
                    values[*a].iter().zip(&values[*b]).map(|(a, b)| a + b).collect()
                }
            });
        }
        values
    }
}

/// Returns the first of the largest.
pub fn winner(x: &[f64], window: &[usize]) -> usize {
    let mut best = window[0];
    for &i in window {
        if x[i] > x[best] {
            best = i;
        }
    }
    best
}

/// Returns pseudo-random values between −1 and 1.
pub fn noise(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// Shape `c h w` of the image.
pub const IMAGE: [usize; 3] = [2, 7, 9];
const CLASSES: usize = 3;

/// All weights of the network.
pub struct Numbers {
    stem: Vec<f32>,
    stem_bias: Vec<f32>,
    norm: [Vec<f32>; 4],
    left: Vec<f32>,
    right: Vec<f32>,
    right_bias: Vec<f32>,
    dense: Vec<f32>,
    dense_bias: Vec<f32>,
}

impl Numbers {
    pub fn new(seed: u64) -> Self {
        let some = |k: u64, n: usize, scale: f32| -> Vec<f32> {
            noise(seed * 16 + k, n).into_iter().map(|v| v * scale).collect()
        };
        let mut norm = [some(2, 4, 0.4), some(3, 4, 0.3), some(4, 4, 0.3), some(5, 4, 0.5)];
        norm[0].iter_mut().for_each(|v| *v += 1.0);
        norm[3].iter_mut().for_each(|v| *v += 1.0);
        norm[1][2] = -50.0; // the dead channel
        Self {
            stem: some(0, 4 * 2 * 9, 0.5),
            stem_bias: some(1, 4, 0.2),
            norm,
            left: some(6, 3 * 4, 0.8),
            right: some(7, 3 * 4 * 9, 0.4),
            right_bias: some(8, 3, 0.2),
            dense: some(9, CLASSES * 3, 1.0),
            dense_bias: some(10, CLASSES, 0.3),
        }
    }

    /// Returns the graph.
    pub fn model(&self) -> Model {
        let mut graph = Graph::new("tiny");
        let x = graph.add_input("input", Fact::f32(Shape::batched(&IMAGE)));
        let mut b = Builder::new(&mut graph, "tiny");
        let y = self.append(&mut b, x).unwrap();
        graph.set_outputs(&[y]);
        Model::from_graph(graph).unwrap()
    }

    fn append(&self, b: &mut Builder<'_>, x: ValueId) -> Result<ValueId, heatlens::graph::GraphError> {
        let conv = |kernel: usize, stride: usize| {
            let window = Window::new(&[kernel, kernel]).strides(&[stride, stride]).pads(&[kernel / 2; 2]);
            Conv { window, group: 1 }
        };
        let w = b.constant(Tensor::f32(&[4, 2, 3, 3], self.stem.clone()));
        let bias = b.constant(Tensor::f32(&[4], self.stem_bias.clone()));
        let mut h = b.apply(conv(3, 2), &[x, w, bias])?;
        let statistics: Vec<ValueId> =
            self.norm.iter().map(|v| b.constant(Tensor::f32(&[4], v.clone()))).collect();
        let inputs: Vec<ValueId> = [h].into_iter().chain(statistics).collect();
        h = b.apply(BatchNormalization { epsilon: 1e-3 }, &inputs)?;
        h = b.apply(Unary(UnaryFunction::Relu), &[h])?;
        h = b.apply(MaxPool { window: Window::new(&[2, 2]), ceil_mode: false }, &[h])?;
        let w = b.constant(Tensor::f32(&[3, 4, 1, 1], self.left.clone()));
        let left = b.apply(conv(1, 1), &[h, w])?;
        let w = b.constant(Tensor::f32(&[3, 4, 3, 3], self.right.clone()));
        let bias = b.constant(Tensor::f32(&[3], self.right_bias.clone()));
        let right = b.apply(conv(3, 1), &[h, w, bias])?;
        h = b.add(left, right)?;
        h = b.apply(Unary(UnaryFunction::Relu), &[h])?;
        let window = Window::new(&[2, 2]).strides(&[1, 2]);
        h = b.apply(AveragePool { window, ceil_mode: false, count_include_pad: false }, &[h])?;
        h = b.apply(GlobalPool(GlobalPoolFunction::Average), &[h])?;
        h = b.reshape(h, Shape(vec![Dim::Batch(1), Dim::Fixed(3)]))?;
        let w = b.constant(Tensor::f32(&[CLASSES, 3], self.dense.clone()));
        let bias = b.constant(Tensor::f32(&[CLASSES], self.dense_bias.clone()));
        b.apply(Gemm { trans_b: true, ..Gemm::default() }, &[h, w, bias])
    }

    /// Returns the lists. With `merged`, the normalization is merged into the first convolution.
    pub fn steps(&self, merged: bool) -> Tiny {
        let wide = |v: &[f32]| -> Vec<f64> { v.iter().map(|&v| f64::from(v)).collect() };
        let mut steps = Vec::new();
        let (mut products, size) = convolution(&self.stem, IMAGE, 4, 3, 2);
        let area = size[0] * size[1];
        let mut bias = repeat(&wide(&self.stem_bias), area);
        let norm: Vec<Vec<f64>> = self.norm.iter().map(|v| wide(v)).collect();
        let factor: Vec<f64> = (0..4).map(|c| norm[0][c] / (norm[3][c] + 1e-3).sqrt()).collect();
        let level: Vec<f64> = (0..4).map(|c| norm[1][c] - norm[2][c] * factor[c]).collect();
        if merged {
            products.iter_mut().for_each(|(_, o, w)| *w *= factor[*o / area]);
            bias.iter_mut().enumerate().for_each(|(o, v)| *v = *v * factor[o / area] + level[o / area]);
            steps.push(Step::Sum { from: 0, products, bias, kind: Kind::First });
        } else {
            steps.push(Step::Sum { from: 0, products, bias, kind: Kind::First });
            let products = (0..4 * area).map(|i| (i, i, factor[i / area])).collect();
            steps.push(Step::Sum { from: 1, products, bias: repeat(&level, area), kind: Kind::Mean });
        }
        steps.push(Step::Relu { from: steps.len() });
        steps.push(Step::Max { from: steps.len(), windows: windows([4, size[0], size[1]], [1, 1]).0 });
        let (pooled, size) = (steps.len(), [size[0] - 1, size[1] - 1]);
        let shape = [4, size[0], size[1]];
        let area = size[0] * size[1];
        let (products, _) = convolution(&self.left, shape, 3, 1, 1);
        let bias = vec![0.0; 3 * area];
        steps.push(Step::Sum { from: pooled, products, bias, kind: Kind::Convolution });
        let (products, _) = convolution(&self.right, shape, 3, 3, 1);
        let bias = repeat(&wide(&self.right_bias), area);
        steps.push(Step::Sum { from: pooled, products, bias, kind: Kind::Convolution });
        steps.push(Step::Add { from: [pooled + 1, pooled + 2] });
        steps.push(Step::Relu { from: steps.len() });
        let (list, size) = windows([3, size[0], size[1]], [1, 2]);
        let mean = |list: &[Vec<usize>]| -> Vec<(usize, usize, f64)> {
            let one = |(o, w): (usize, &Vec<usize>)| {
                let share = 1.0 / w.len() as f64;
                w.iter().map(|&i| (i, o, share)).collect::<Vec<_>>()
            };
            list.iter().enumerate().flat_map(one).collect()
        };
        let bias = vec![0.0; list.len()];
        steps.push(Step::Sum { from: steps.len(), products: mean(&list), bias, kind: Kind::Mean });
        let area = size[0] * size[1];
        let planes: Vec<Vec<usize>> = (0..3).map(|c| (c * area..(c + 1) * area).collect()).collect();
        steps.push(Step::Sum {
            from: steps.len(),
            products: mean(&planes),
            bias: vec![0.0; 3],
            kind: Kind::Mean,
        });
        let products = (0..CLASSES * 3).map(|k| (k % 3, k / 3, f64::from(self.dense[k]))).collect();
        let bias = wide(&self.dense_bias);
        steps.push(Step::Sum { from: steps.len(), products, bias, kind: Kind::Dense });
        Tiny { steps }
    }
}

fn repeat(values: &[f64], times: usize) -> Vec<f64> {
    values.iter().flat_map(|&v| vec![v; times]).collect()
}

/// Returns the products of a convolution with a padding of half its kernel, and the size of its output.
fn convolution(
    w: &[f32],
    [c, height, width]: [usize; 3],
    m: usize,
    k: usize,
    stride: usize,
) -> (Vec<(usize, usize, f64)>, [usize; 2]) {
    let pad = k / 2;
    let [rows, columns] = [height, width].map(|n| (n + 2 * pad - k) / stride + 1);
    let mut products = Vec::new();
    for o in 0..m * rows * columns {
        let (out, row, column) = (o / (rows * columns), o / columns % rows, o % columns);
        for t in 0..c * k * k {
            let (channel, dy, dx) = (t / (k * k), t / k % k, t % k);
            let (y, x) = (row * stride + dy, column * stride + dx);
            if y >= pad && x >= pad && y < height + pad && x < width + pad {
                let i = (channel * height + y - pad) * width + x - pad;
                products.push((i, o, f64::from(w[out * c * k * k + t])));
            }
        }
    }
    (products, [rows, columns])
}

/// Returns the windows of 2×2 without padding, and their number along each axis.
fn windows([c, height, width]: [usize; 3], [down, right]: [usize; 2]) -> (Vec<Vec<usize>>, [usize; 2]) {
    let (rows, columns) = ((height - 2) / down + 1, (width - 2) / right + 1);
    let mut list = Vec::new();
    for channel in 0..c {
        for row in 0..rows {
            for column in 0..columns {
                let at = |dy, dx| (channel * height + row * down + dy) * width + column * right + dx;
                list.push(vec![at(0, 0), at(0, 1), at(1, 0), at(1, 1)]);
            }
        }
    }
    (list, [rows, columns])
}
