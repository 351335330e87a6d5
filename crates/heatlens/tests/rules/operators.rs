//! Operators other than convolutions and rectifiers: conservation of relevance, and rejected operators.

use heatlens::explain::{ExplainOptions, Explainer, Score};
use heatlens::graph::compose::activation::{silu, squareplus};
use heatlens::graph::compose::normalization::rms;
use heatlens::graph::op::binary::{Binary, BinaryFunction};
use heatlens::graph::op::clip::Clip;
use heatlens::graph::op::layer_normalization::LayerNormalization;
use heatlens::graph::op::max_unpool::MaxUnpool;
use heatlens::graph::op::pool::MaxPool;
use heatlens::graph::op::slice::Slice;
use heatlens::graph::op::softmax::Softmax;
use heatlens::graph::op::unary::{Scalar, Unary, UnaryFunction as F};
use heatlens::graph::op::window::Window;
use heatlens::graph::{Builder, Dim, Fact, Graph, GraphError, Shape, Tensor, ValueId};
use heatlens::method::find;
use heatlens::model::Model;

use super::tiny::noise;
use super::{CLASS, explain};

const SIDE: usize = 6;
const CHANNELS: usize = 4;
const FEATURES: usize = 5;

type Built = Result<ValueId, GraphError>;

/// Builds a model: tokens of the image (`n 36 4`) through a dense layer, `body`, the mean over tokens and another
/// dense layer, without biases.
fn model(body: &dyn Fn(&mut Builder<'_>, ValueId) -> Built) -> Model {
    let mut graph = Graph::new("operators");
    let x = graph.add_input("input", Fact::f32(Shape::batched(&[CHANNELS, SIDE, SIDE])));
    let mut b = Builder::new(&mut graph, "body");
    let mut build = || {
        let tokens = [Dim::Batch(1), Dim::Fixed(CHANNELS), Dim::Fixed(SIDE * SIDE)];
        let h = b.reshape(x, Shape(tokens.to_vec()))?;
        let h = b.transpose(h, &[0, 2, 1])?;
        let w = b.constant(Tensor::f32(&[CHANNELS, FEATURES], noise(5, CHANNELS * FEATURES)));
        let h = b.matmul(h, w)?;
        let h = body(&mut b, h)?;
        let h = b.mean(h, &[1], false)?;
        let w = b.constant(Tensor::f32(&[FEATURES, 3], noise(6, FEATURES * 3)));
        b.matmul(h, w)
    };
    let y: Result<ValueId, GraphError> = build();
    let y = y.unwrap();
    graph.set_outputs(&[y]);
    Model::from_graph(graph).unwrap()
}

fn dense(b: &mut Builder<'_>, x: ValueId, seed: u64) -> Built {
    let w = b.constant(Tensor::f32(&[FEATURES, FEATURES], noise(seed, FEATURES * FEATURES)));
    b.matmul(x, w)
}

fn attention(b: &mut Builder<'_>, x: ValueId) -> Built {
    let (q, k, v) = (dense(b, x, 11)?, dense(b, x, 12)?, dense(b, x, 13)?);
    let k = b.transpose_last(k)?;
    let scores = b.matmul(q, k)?;
    let probabilities = b.apply(Softmax { axis: -1, log: false }, &[scores])?;
    b.matmul(probabilities, v)
}

/// Squeeze-and-excitation over the features, with the gate function `gate`.
fn squeeze(b: &mut Builder<'_>, x: ValueId, gate: F) -> Built {
    let x = b.relu(x)?;
    let mean = b.mean(x, &[1], true)?;
    let inner = dense(b, mean, 14)?;
    let inner = b.relu(inner)?;
    let weight = dense(b, inner, 15)?;
    let weight = b.unary(gate, weight)?;
    b.mul(x, weight)
}

fn images() -> Vec<Vec<f32>> {
    (0..3).map(|i| noise(40 + i, CHANNELS * SIDE * SIDE)).collect()
}

fn sum(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v)).sum()
}

type Body = Box<dyn Fn(&mut Builder<'_>, ValueId) -> Built>;

fn bodies() -> Vec<(&'static str, Body)> {
    let unary = |f: F| -> Body { Box::new(move |b, x| b.unary(f, x)) };
    vec![
        ("attention", Box::new(attention)),
        ("squeeze and excitation", Box::new(|b, x| squeeze(b, x, F::Sigmoid))),
        (
            "hard sigmoid gate",
            Box::new(|b, x| {
                squeeze(b, x, F::HardSigmoid { alpha: Scalar::new(0.2), beta: Scalar::new(0.5) })
            }),
        ),
        (
            "layer normalisation",
            Box::new(|b, x| {
                let scale = b.constant(Tensor::f32(&[FEATURES], vec![0.5, 1.0, 1.5, 2.0, -1.0]));
                b.apply(LayerNormalization { axis: -1, epsilon: 1e-5 }, &[x, scale])
            }),
        ),
        (
            "root mean square",
            Box::new(|b, x| {
                let scale = b.constant(Tensor::f32(&[FEATURES], vec![0.5, 1.0, 1.5, 2.0, -1.0]));
                rms(b, x, &[2], scale, 1e-5)
            }),
        ),
        (
            "a product without a gate",
            Box::new(|b, x| {
                let other = dense(b, x, 16)?;
                b.mul(x, other)
            }),
        ),
        (
            "a skip connection",
            Box::new(|b, x| {
                let inner = dense(b, x, 17)?;
                let inner = b.relu(inner)?;
                b.add(x, inner)
            }),
        ),
        (
            "maxout",
            Box::new(|b, x| {
                let other = dense(b, x, 18)?;
                b.binary(BinaryFunction::Max, x, other)
            }),
        ),
        ("silu written out", Box::new(silu)),
        ("gelu", unary(F::Gelu)),
        ("hard swish", unary(F::HardSwish)),
        ("mish", unary(F::Mish)),
        ("tanh", unary(F::Tanh)),
        ("leaky", unary(F::LeakyRelu(Scalar::new(0.1)))),
        ("clip", Box::new(|b, x| b.apply(Clip { min: 0.0, max: 0.5 }, &[x]))),
        (
            "slopes",
            Box::new(|b, x| {
                let slopes = b.constant(Tensor::f32(&[FEATURES], vec![0.1, 0.2, 0.3, 0.4, 0.5]));
                b.apply(Binary(BinaryFunction::PRelu), &[x, slopes])
            }),
        ),
    ]
}

/// Without biases, relevance is conserved through every operator that has a rule.
#[test]
fn relevance_is_conserved_through_every_rule() {
    for (name, body) in bodies() {
        let model = model(&*body);
        for id in ["lrp_epsilon", "lrp_gamma"] {
            for found in explain(&model, id, &[], &images()) {
                let (sum, score) = (sum(&found.attributions[0].values), f64::from(found.logits[CLASS]));
                assert!(score.abs() > 1e-3, "{name}: no score to hand back");
                assert!((sum - score).abs() <= 2e-3 * score.abs(), "{id}, {name}: {sum} against {score}");
            }
        }
    }
}

/// Max pooling of the tokens' grid over windows of 2×2, and unpooling of the doubled maxima.
fn unpooling(b: &mut Builder<'_>, x: ValueId) -> Built {
    let grid = [Dim::Batch(1), Dim::Fixed(FEATURES), Dim::Fixed(SIDE), Dim::Fixed(SIDE)];
    let (tokens, x) = (b.shape(x), b.transpose(x, &[0, 2, 1])?);
    let x = b.reshape(x, Shape(grid.to_vec()))?;
    let pool = MaxPool { window: Window { strides: vec![2, 2], ..Window::new(&[2, 2]) }, ceil_mode: false };
    let maxima = b.apply(pool.clone(), &[x])?;
    let doubled = b.scale(maxima, 2.0)?;
    let y = b.apply(MaxUnpool { pool }, &[x, doubled])?;
    let y = b.reshape(y, Shape(vec![tokens.0[0], tokens.0[2], tokens.0[1]]))?;
    b.transpose(y, &[0, 2, 1])
}

/// Returns for each token if it holds the maximum of its window for some feature.
fn holds_a_maximum(image: &[f32]) -> Vec<bool> {
    let weights = noise(5, CHANNELS * FEATURES);
    let feature = |token: usize, f: usize| -> f32 {
        (0..CHANNELS).map(|c| image[c * SIDE * SIDE + token] * weights[c * FEATURES + f]).sum()
    };
    let window = |token: usize| {
        let corner = token / SIDE / 2 * 2 * SIDE + token % SIDE / 2 * 2;
        [corner, corner + 1, corner + SIDE, corner + SIDE + 1]
    };
    let wins = |token, f| window(token).iter().all(|&other| feature(other, f) <= feature(token, f));
    (0..SIDE * SIDE).map(|token| (0..FEATURES).any(|f| wins(token, f))).collect()
}

/// Relevance goes from an unpooled value to the maximum at its position, and none to the positions themselves.
#[test]
fn relevance_returns_to_the_maxima_through_an_unpooling() {
    for id in ["lrp_epsilon", "lrp_gamma"] {
        for (image, found) in images().iter().zip(explain(&model(&unpooling), id, &[], &images())) {
            let (map, score) = (&found.attributions[0].values, f64::from(found.logits[CLASS]));
            assert!((sum(map) - score).abs() <= 2e-3 * score.abs(), "{id}: {} against {score}", sum(map));
            let maxima = holds_a_maximum(image);
            assert!(maxima.iter().filter(|&&held| !held).count() > 3, "{id}: nothing to tell apart");
            for (i, relevance) in map.iter().enumerate() {
                assert_eq!(*relevance == 0.0, !maxima[i % (SIDE * SIDE)], "{id}: element {i}: {relevance}");
            }
        }
    }
}

/// Turns a value into a gate.
type Gate<'a> = &'a dyn Fn(&mut Builder<'_>, ValueId) -> Built;

/// The first token is only a gate for the others: gates receive no relevance, whichever factor they are.
#[test]
fn a_gate_takes_no_relevance() {
    let tokens = |b: &mut Builder<'_>, x: ValueId, start: usize, len: usize| {
        b.apply(Slice { axis: 1, start, len, step: 1 }, &[x])
    };
    let rest = SIDE * SIDE - 1;
    let gates: [Gate<'_>; 3] = [
        &|b, x| {
            let (first, others) = (tokens(b, x, 0, 1)?, tokens(b, x, 1, rest)?);
            let gate = b.unary(F::Sigmoid, first)?;
            b.mul(others, gate)
        },
        &|b, x| {
            let (first, others) = (tokens(b, x, 0, 1)?, tokens(b, x, 1, rest)?);
            let gate = b.unary(F::Sigmoid, first)?;
            b.mul(gate, others)
        },
        &|b, x| {
            let (first, others) = (tokens(b, x, 0, 1)?, tokens(b, x, 1, rest)?);
            let w = b.constant(Tensor::f32(&[FEATURES, rest], noise(19, FEATURES * rest)));
            let scores = b.matmul(first, w)?;
            let probabilities = b.apply(Softmax { axis: -1, log: false }, &[scores])?;
            b.matmul(probabilities, others)
        },
    ];
    for (number, gate) in gates.into_iter().enumerate() {
        for found in explain(&model(gate), "lrp_epsilon", &[], &images()) {
            for plane in found.attributions[0].values.chunks(SIDE * SIDE) {
                assert_eq!(plane[0], 0.0, "gate {number}");
                assert!(plane[1..].iter().any(|v| v.abs() > 1e-6), "gate {number}: nothing for the others");
            }
        }
    }
}

/// DeepLIFT is complete through all of them, too.
#[test]
fn differences_are_conserved_through_every_operator() {
    for (name, body) in bodies() {
        let model = model(&*body);
        let zero = explain(&model, "gradient", &[], &[vec![0.0; CHANNELS * SIDE * SIDE]]);
        for found in explain(&model, "deep_lift", &[], &images()) {
            let sum = sum(&found.attributions[0].values);
            let expected = f64::from(found.logits[CLASS]) - f64::from(zero[0].logits[CLASS]);
            assert!(
                (sum - expected).abs() <= 1e-3 * expected.abs().max(0.1),
                "{name}: {sum} against {expected}"
            );
        }
    }
}

/// Returns the error of method `id` for a model with this body.
fn refusal(id: &str, body: &dyn Fn(&mut Builder<'_>, ValueId) -> Built) -> Option<String> {
    let options = ExplainOptions::new(&[find(id).unwrap()]);
    Explainer::new(&model(body), &options).err().map(|e| e.to_string())
}

#[test]
fn rectifier_rules_refuse_other_activations_by_name() {
    let smooth = [F::Gelu, F::GeluTanh, F::HardSwish, F::Mish, F::Tanh, F::Sigmoid, F::Softplus, F::Erf];
    let bent = [F::Elu(Scalar::new(1.0)), F::Celu(Scalar::new(1.0)), F::Softsign, F::Abs, F::Sin];
    for id in ["guided_backprop", "deconvnet", "guided_grad_cam"] {
        for function in smooth.into_iter().chain(bent) {
            let text = refusal(id, &|b, x| b.apply(Unary(function), &[x]))
                .unwrap_or_else(|| panic!("{id} takes {function:?}"));
            assert!(text.contains(function.name()) && text.contains("body/"), "{id}: {text}");
        }
        let text = refusal(id, &silu).unwrap();
        assert!(text.contains("Sigmoid"), "{id}: {text}");
        let text = refusal(id, &|b, x| {
            let (three, sixth) = (b.scalar(3.0), b.scalar(1.0 / 6.0));
            let shifted = b.add(x, three)?;
            let gate = b.apply(Clip { min: 0.0, max: 6.0 }, &[shifted])?;
            let gate = b.mul(gate, sixth)?;
            b.mul(x, gate)
        });
        assert!(text.unwrap().contains("HardSwish"), "{id} takes a hard swish that is written out");
        let text = refusal(id, &|b, x| squareplus(b, x, 4.0));
        assert!(text.unwrap().contains("SquarePlus"), "{id} takes a SquarePlus");
        let normalised = |b: &mut Builder<'_>, x| {
            let scale = b.scalar(1.5);
            rms(b, x, &[2], scale, 1e-5)
        };
        assert!(text_free(id, &normalised), "{id} refuses a normalisation");
        let text = refusal(id, &|b, x| b.apply(Clip { min: -1.0, max: 1.0 }, &[x]));
        assert!(text.unwrap().contains("does not start at 0"), "{id} takes a hard tanh");
        assert!(text_free(id, &|b, x| squeeze(b, x, F::Sigmoid)), "{id} refuses a gate");
        assert!(
            text_free(id, &|b, x| b.unary(F::LeakyRelu(Scalar::new(0.1)), x)),
            "{id} refuses a leaky ReLU"
        );
    }
}

fn text_free(id: &str, body: &dyn Fn(&mut Builder<'_>, ValueId) -> Built) -> bool {
    // Guided Grad-CAM needs a layer with rows and columns, which tokens may not have.
    refusal(id, body).is_none_or(|text| !text.contains("not supported"))
}

/// A rectifier written as the maximum of a value and 0 is recognized.
#[test]
fn a_rectifier_is_known_however_it_is_written() {
    let images = images();
    for id in ["guided_backprop", "deconvnet"] {
        let plain = explain(&model(&|b, x| b.relu(x)), id, &[], &images);
        let spelled = model(&|b, x| {
            let zero = b.scalar(0.0);
            b.binary(BinaryFunction::Max, zero, x)
        });
        for (plain, spelled) in plain.iter().zip(explain(&spelled, id, &[], &images)) {
            assert_eq!(plain.attributions[0].values, spelled.attributions[0].values, "{id}");
        }
    }
}

#[test]
fn relevance_refuses_what_it_has_no_rule_for() {
    for function in [F::Exp, F::Sqrt, F::Sin] {
        for id in ["lrp_epsilon", "lrp_gamma", "lrp_alpha_beta", "lrp_composite"] {
            let text = refusal(id, &|b, x| b.apply(Unary(function), &[x])).unwrap();
            assert!(text.contains(function.name()) && text.contains("no rule"), "{id}: {text}");
        }
    }
}

/// Relevance is propagated from the logit, however the file computes the probability.
#[test]
fn relevance_refuses_probabilities() {
    type Head = fn(&mut Builder<'_>, ValueId) -> Built;
    let softmax: Head = |b, y| b.apply(Softmax { axis: -1, log: false }, &[y]);
    let sigmoid: Head = |b, y| {
        let w = b.constant(Tensor::f32(&[3, 1], noise(7, 3)));
        let one = b.matmul(y, w)?;
        b.unary(F::Sigmoid, one)
    };
    for (name, head) in [("Softmax", softmax), ("Sigmoid", sigmoid)] {
        let mut graph = model(&|b, x| b.relu(x)).graph;
        let y = graph.outputs()[0];
        let p = head(&mut Builder::new(&mut graph, "head"), y).unwrap();
        graph.set_outputs(&[p]);
        let model = Model::from_graph(graph).unwrap();
        for id in ["lrp_epsilon", "lrp_composite", "lrp_alpha_beta"] {
            let logit = ExplainOptions::new(&[find(id).unwrap()]);
            let probability = ExplainOptions { score: Score::Probability, ..logit.clone() };
            let text = Explainer::new(&model, &probability).unwrap_err().to_string();
            assert!(text.contains(name) && text.contains("explain the logit"), "{id}: {text}");
            assert!(Explainer::new(&model, &logit).is_ok(), "{id} refuses the logit of a {name}");
        }
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    for (id, set) in [
        ("lrp_epsilon", "lrp_epsilon.epsilon=0"),
        ("lrp_gamma", "lrp_gamma.gamma=-1"),
        ("lrp_alpha_beta", "alpha=0.5"),
        ("lrp_composite", "high=-3"),
    ] {
        let mut settings = heatlens::method::MethodSettings::default();
        settings.set(set).unwrap();
        let options = ExplainOptions { settings, ..ExplainOptions::new(&[find(id).unwrap()]) };
        let text = Explainer::new(&model(&|b, x| b.relu(x)), &options).unwrap_err().to_string();
        assert!(text.contains("expected a number from"), "{id}: {text}");
    }
}
