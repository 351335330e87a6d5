//! One network in two files: with batch normalizations as operators, and decomposed into differences, products and
//! sums between casts and transpositions, as converters from TensorFlow do. The relevance is the same.

use heatlens::graph::op::batch_normalization::BatchNormalization;
use heatlens::graph::op::cast::Cast;
use heatlens::graph::op::conv::Conv;
use heatlens::graph::op::gemm::Gemm;
use heatlens::graph::op::window::Window;
use heatlens::graph::{Builder, DType, Fact, Graph, GraphError, Shape, Tensor, ValueId};
use heatlens::model::Model;

use super::explain;
use super::tiny::noise;

const SIDE: usize = 8;
const EPSILON: f32 = 1e-3;

type Built = Result<ValueId, GraphError>;

struct Writer {
    written_out: bool,
}

impl Writer {
    fn cast(&self, b: &mut Builder<'_>, x: ValueId) -> Built {
        if self.written_out { b.apply(Cast { to: DType::F32 }, &[x]) } else { Ok(x) }
    }

    fn normalise(&self, b: &mut Builder<'_>, x: ValueId, channels: usize, seed: u64) -> Built {
        let list = |at: u64| noise(seed + at, channels);
        let (scale, shift, mean) = (list(0), list(1), list(2));
        let variance: Vec<f32> = list(3).iter().map(|v| v.abs() + 0.3).collect();
        if !self.written_out {
            let numbers = [scale, shift, mean, variance].map(|v| b.constant(Tensor::f32(&[channels], v)));
            return b.apply(
                BatchNormalization { epsilon: EPSILON },
                &[x, numbers[0], numbers[1], numbers[2], numbers[3]],
            );
        }
        let factor: Vec<f32> = scale.iter().zip(&variance).map(|(s, v)| s / (v + EPSILON).sqrt()).collect();
        // Channels last for the difference and the product, channels first for the sum.
        let x = b.transpose(x, &[0, 2, 3, 1])?;
        let x = self.cast(b, x)?;
        let mean = b.constant(Tensor::f32(&[channels], mean));
        let x = b.sub(x, mean)?;
        let x = self.cast(b, x)?;
        let factor = b.constant(Tensor::f32(&[1, 1, 1, channels], factor));
        let x = b.mul(factor, x)?;
        let x = b.transpose(x, &[0, 3, 1, 2])?;
        let shift = b.constant(Tensor::f32(&[channels, 1, 1], shift));
        b.add(x, shift)
    }

    fn conv(&self, b: &mut Builder<'_>, x: ValueId, channels: [usize; 2], seed: u64) -> Built {
        let [from, to] = channels;
        let w = b.constant(Tensor::f32(&[to, from, 3, 3], noise(seed, to * from * 9)));
        let window = Window::new(&[3, 3]).pads(&[1, 1]);
        let bias = noise(seed + 1, to);
        if self.written_out {
            let z = b.apply(Conv { window, group: 1 }, &[x, w])?;
            let bias = b.constant(Tensor::f32(&[1, to, 1, 1], bias));
            return b.add(z, bias);
        }
        let bias = b.constant(Tensor::f32(&[to], bias));
        b.apply(Conv { window, group: 1 }, &[x, w, bias])
    }

    fn dense(&self, b: &mut Builder<'_>, x: ValueId) -> Built {
        let (w, bias) = (noise(70, 15), b.constant(Tensor::f32(&[3], noise(71, 3))));
        if self.written_out {
            let transposed =
                (0..5).flat_map(|c| (0..3).map(move |k| (k, c))).map(|(k, c)| w[k * 5 + c]).collect();
            let w = b.constant(Tensor::f32(&[5, 3], transposed));
            let z = b.matmul(x, w)?;
            let z = self.cast(b, z)?;
            return b.add(bias, z);
        }
        let w = b.constant(Tensor::f32(&[3, 5], w));
        b.apply(Gemm { trans_b: true, ..Gemm::default() }, &[x, w, bias])
    }

    fn network(&self, b: &mut Builder<'_>, x: ValueId) -> Built {
        let x = self.normalise(b, x, 2, 100)?; // pixels
        let x = self.conv(b, x, [2, 4], 10)?;
        let x = self.normalise(b, x, 4, 200)?; // after a convolution
        let x = b.relu(x)?;
        let x = self.cast(b, x)?;
        let y = self.normalise(b, x, 4, 300)?; // before one, with another branch using the same value
        let y = b.relu(y)?;
        let y = self.conv(b, y, [4, 4], 20)?;
        let x = b.add(x, y)?;
        let x = self.conv(b, x, [4, 5], 30)?;
        let x = self.normalise(b, x, 5, 400)?;
        let x = b.relu(x)?;
        let x = self.cast(b, x)?;
        let x = b.mean(x, &[2, 3], false)?;
        self.dense(b, x)
    }

    fn model(&self) -> Model {
        let mut graph = Graph::new("exported");
        let x = graph.add_input("input", Fact::f32(Shape::batched(&[2, SIDE, SIDE])));
        let y = self.network(&mut Builder::new(&mut graph, "net"), x).unwrap();
        graph.set_outputs(&[y]);
        Model::from_graph(graph).unwrap()
    }
}

#[test]
fn relevance_does_not_depend_on_how_a_network_is_written() {
    let [operators, written_out] = [false, true].map(|written_out| Writer { written_out }.model());
    let images: Vec<Vec<f32>> = (0..4).map(|i| noise(500 + i, 2 * SIDE * SIDE)).collect();
    let composites = [
        "epsilon_plus",
        "epsilon_plus_flat",
        "epsilon_alpha2_beta1",
        "epsilon_alpha2_beta1_flat",
        "epsilon_gamma_box",
    ]
    .map(|name| ("lrp_composite", format!("lrp_composite.composite={name}")));
    let others = ["lrp_epsilon", "lrp_gamma", "lrp_alpha_beta"].map(|id| (id, String::new()));
    for (id, set) in composites.iter().chain(&others) {
        let set: Vec<&str> = [set.as_str()].into_iter().filter(|s| !s.is_empty()).collect();
        let found = [&operators, &written_out].map(|model| explain(model, id, &set, &images));
        let mut seen = 0.0;
        for (a, b) in found[0].iter().zip(&found[1]) {
            let [a, b] = [a, b].map(|e| &e.attributions[0].values);
            let length =
                |v: &mut dyn Iterator<Item = f32>| v.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
            let (apart, size) =
                (length(&mut a.iter().zip(b).map(|(a, b)| a - b)), length(&mut a.iter().copied()));
            assert!(apart <= 1e-4 * size, "{id} {set:?}: {apart:.1e} of {size:.1e} apart");
            seen += size;
        }
        assert!(seen > 0.0, "{id} {set:?}: nothing to compare");
    }
}
