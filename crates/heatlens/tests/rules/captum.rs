//! Expected values from Captum's own tests (BSD-3-Clause; pytorch/captum, tests/attr: `layer/test_grad_cam.py`,
//! `test_guided_backprop.py`, `test_deconvolution.py`, `test_lrp.py`, `layer/test_layer_lrp.py`,
//! `test_occlusion.py`; its networks in captum/testing/helpers/basic_models.py), on the same networks, rebuilt
//! here.

use heatlens::explain::{Compat, ExplainOptions, Explainer, ImageAttributions, Target};
use heatlens::graph::op::conv::Conv;
use heatlens::graph::op::gemm::Gemm;
use heatlens::graph::op::reshape::Flatten;
use heatlens::graph::op::window::Window;
use heatlens::graph::{Builder, Fact, Graph, Shape, Tensor, ValueId, differentiate, reference};
use heatlens::method::{MethodSettings, find};
use heatlens::model::Model;
use heatlens::rule::{Composite, LayerRule, Network, Relevance};
use heatlens::target::{Class, Goal, Score, scores_and_seed};

/// Two 3×3 convolutions of ones, a rectifier, and a dense layer of ±1. Captum's last rectifier is omitted: its
/// input is positive, and the score here is a logit.
fn one_convolution() -> Model {
    let mut graph = Graph::new("one convolution");
    let x = graph.add_input("image", Fact::f32(Shape::batched(&[1, 4, 4])));
    let mut b = Builder::new(&mut graph, "net");
    let (w, bias) = (
        b.constant(Tensor::f32(&[2, 1, 3, 3], vec![1.0; 18])),
        b.constant(Tensor::f32(&[2], vec![-50.0, -75.0])),
    );
    let conv = b.apply(Conv { window: Window::new(&[3, 3]), group: 1 }, &[x, w, bias]).unwrap();
    let relu = b.relu(conv).unwrap();
    let flat = b.apply(Flatten { axis: 1 }, &[relu]).unwrap();
    let row = [1.0, 1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0];
    let y = dense(&mut b, flat, row.repeat(4), &[0.0; 4]);
    graph.set_outputs(&[y]);
    Model::from_graph(graph).unwrap()
}

/// Builds a dense layer from its rows of weights.
fn dense(b: &mut Builder<'_>, x: ValueId, weights: Vec<f32>, bias: &[f32]) -> ValueId {
    let rows = bias.len();
    let w = b.constant(Tensor::f32(&[rows, weights.len() / rows], weights));
    let bias = b.constant(Tensor::f32(&[rows], bias.to_vec()));
    b.apply(Gemm { trans_b: true, ..Gemm::default() }, &[x, w, bias]).unwrap()
}

/// Builds a model with three values as an image of one row, and dense layers with rectifiers between them.
fn of_three(layers: &[(Vec<f32>, Vec<f32>)]) -> Model {
    let mut graph = Graph::new("three numbers");
    let x = graph.add_input("image", Fact::f32(Shape::batched(&[1, 1, 3])));
    let mut b = Builder::new(&mut graph, "net");
    let mut y = b.apply(Flatten { axis: 1 }, &[x]).unwrap();
    for (number, (weights, bias)) in layers.iter().enumerate() {
        if number > 0 {
            y = b.relu(y).unwrap();
        }
        y = dense(&mut b, y, weights.clone(), bias);
    }
    graph.set_outputs(&[y]);
    Model::from_graph(graph).unwrap()
}

fn explain(
    model: &Model,
    id: &str,
    layer: Option<&str>,
    class: usize,
    set: &[&str],
    image: &[f32],
) -> ImageAttributions {
    let mut settings = MethodSettings::default();
    set.iter().for_each(|assignment| settings.set(assignment).unwrap());
    let options = ExplainOptions {
        target: Target::Class(class),
        layers: layer
            .map(|op| model.layers().into_iter().find(|l| l.op == op).unwrap())
            .into_iter()
            .collect(),
        settings,
        tensors: layer.is_some(),
        compat: Some(Compat::Captum),
        ..ExplainOptions::new(&[find(id).unwrap()])
    };
    Explainer::new(model, &options).unwrap().explain(image, 1).unwrap().remove(0)
}

fn counted(from: u8) -> Vec<f32> {
    (from..from + 16).map(f32::from).collect()
}

#[track_caller]
fn agree(what: &str, found: &[f32], expected: &[f32]) {
    let close = found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-4 * b.abs().max(1.0));
    assert!(found.len() == expected.len() && close, "{what}: {found:?}, Captum expects {expected:?}");
}

#[test]
fn grad_cam() {
    let model = one_convolution();
    let cases: [(&str, u8, [f32; 4]); 3] = [
        ("Conv", 0, [11.25, 13.5, 20.25, 22.5]),
        ("Relu", 0, [0.0, 4.0, 28.0, 32.5]),
        // Captum adds a second input of ones.
        ("Conv", 1, [14.5, 19.0, 32.5, 37.0]),
    ];
    for (layer, from, expected) in cases {
        let found = explain(&model, "grad_cam", Some(layer), 0, &[], &counted(from));
        agree(&format!("{layer}, pixels from {from}"), &found.attributions[0].values, &expected);
    }
}

/// Captum's `attr_dim_summation=False`: the contribution of each channel, from the returned tensors.
#[test]
fn grad_cam_channel_by_channel() {
    let found = explain(&one_convolution(), "grad_cam", Some("Conv"), 0, &[], &counted(0)).tensors.unwrap();
    let parts = found.conv_output.chunks(4).zip(&found.weights);
    let parts: Vec<f32> = parts.flat_map(|(plane, w)| plane.iter().map(move |a| w * a)).collect();
    agree("channels", &parts, &[-3.75, 3.0, 23.25, 30.0, 15.0, 10.5, -3.0, -7.5]);
}

#[test]
fn rules_for_rectifiers() {
    #[rustfmt::skip]
    let cases: [(&str, [f32; 16]); 2] = [
        ("guided_backprop", [0.0, 1.0, 1.0, 1.0, 1.0, 3.0, 3.0, 2.0, 1.0, 3.0, 3.0, 2.0, 1.0, 2.0, 2.0, 1.0]),
        ("deconvnet", [2.0, 3.0, 3.0, 1.0, 3.0, 5.0, 5.0, 2.0, 3.0, 5.0, 5.0, 2.0, 1.0, 2.0, 2.0, 1.0]),
    ];
    for (id, expected) in cases {
        agree(
            id,
            &explain(&one_convolution(), id, None, 0, &[], &counted(0)).attributions[0].values,
            &expected,
        );
    }
}

#[test]
fn relevance_by_the_epsilon_rule() {
    let found = explain(&one_convolution(), "lrp_epsilon", None, 0, &[], &counted(0));
    #[rustfmt::skip]
    let expected = [0.0, 1.0, 2.0, 3.0, 0.0, 5.0, 6.0, 7.0, 0.0, 9.0, 10.0, 11.0, 0.0, 0.0, 0.0, 0.0];
    agree("one convolution", &found.attributions[0].values, &expected);
}

/// `LayerLRP` at the convolution.
#[test]
fn relevance_of_a_layer() {
    let model = one_convolution();
    let mut graph = model.graph.clone();
    let goal = Goal { class: Class::Number(0), against: None, counterfactual: false, score: Score::Logit };
    let (scores, seed) = scores_and_seed(&mut graph, &model, &goal).unwrap();
    let network = Network::new(&graph, model.image, scores);
    let rules = Relevance::new(&network, &graph, model.image, Composite::uniform(LayerRule::Epsilon(1e-6)));
    let conv = model.layers().into_iter().find(|l| l.op == "Conv").unwrap().value;
    let start = Builder::new(&mut graph, "start").mul(scores, seed).unwrap();
    let wanted = differentiate(&mut graph, "relevance", scores, start, &[conv], &rules).unwrap();
    let found = reference::run(&graph, &[Tensor::f32(&[1, 1, 4, 4], counted(0))], 1, &wanted).unwrap();
    let found: Vec<f32> = found[0].to_f64().into_iter().map(|v| v as f32).collect();
    agree("at the convolution", &found, &[0.0, 4.0, 31.0, 40.0, 0.0, 0.0, -6.0, -15.0]);
}

/// Captum's `SimpleLRPModel`: a dense layer of 2s, a rectifier, a dense layer of 3s.
#[test]
fn relevance_through_two_dense_layers() {
    let network = |first: f32| {
        let mut weights = vec![2.0; 9];
        weights[0] = first;
        of_three(&[(weights, vec![0.0; 3]), (vec![3.0; 3], vec![0.0])])
    };
    let cases: [(&str, &[&str], f32, [f32; 3]); 3] = [
        ("lrp_epsilon", &[], 2.0, [18.0, 36.0, 54.0]),
        ("lrp_gamma", &["lrp_gamma.gamma=1"], -2.0, [28.0 / 3.0, 104.0 / 3.0, 52.0]),
        ("lrp_alpha_beta", &["lrp_alpha_beta.alpha=1"], -2.0, [12.0, 33.6, 50.4]),
    ];
    for (id, set, first, expected) in cases {
        let found = explain(&network(first), id, None, 1, set, &[1.0, 2.0, 3.0]);
        agree(id, &found.attributions[0].values, &expected);
    }
}

/// Captum's `BasicModel_MultiLayer`, with one value occluded at a time.
#[test]
fn occlusion() {
    let identity = vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    let model = of_three(&[
        (identity, vec![0.0; 3]),
        (vec![1.0; 12], vec![-10.0, 1.0, 1.0, 1.0]),
        (vec![1.0; 8], vec![-1.0, 1.0]),
    ]);
    let set = ["occlusion.window=1", "occlusion.stride=1"];
    let found = explain(&model, "occlusion", None, 0, &set, &[20.0, 50.0, 30.0]);
    agree("occlusion", &found.attributions[0].values, &[80.0, 200.0, 120.0]);
}
