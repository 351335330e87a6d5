//! Meaning of the outputs: probabilities other than a plain sigmoid or softmax, labels, quantities, embeddings.

use heatlens::explain::{ExplainOptions, Explainer};
use heatlens::graph::op::binary::BinaryFunction;
use heatlens::graph::op::clip::Clip;
use heatlens::graph::op::concat::Concat;
use heatlens::graph::op::softmax::Softmax;
use heatlens::graph::op::unary::{Scalar, UnaryFunction};
use heatlens::graph::{Builder, Tensor, ValueId, reference};
use heatlens::method::find;
use heatlens::model::{Activation, HeadKind, Model, ModelOptions};
use heatlens::predict::Predictor;
use heatlens::target::{Score, scores};

use super::nets::{Net, noise};

type Finish<'a> = &'a dyn Fn(&mut Builder<'_>, ValueId) -> ValueId;

/// Builds a network with `outputs` logits times `size`, followed by `finish`.
fn net(outputs: usize, size: f32, finish: Finish<'_>) -> Net {
    let (mut net, image) = Net::new(&[3, 6, 6]);
    let x = net.conv("conv", image, 4, 3, 1);
    let pooled = net.pooled(x);
    let logits = net.gemm("fc", pooled, outputs);
    let mut b = net.b();
    let scaled = b.scale(logits, size).unwrap();
    let output = finish(&mut b, scaled);
    net.graph.set_outputs(&[output]);
    net
}

fn open(net: &Net, options: &ModelOptions) -> Model {
    Model::from_graph_with(net.graph.clone(), options).unwrap()
}

fn softmax(b: &mut Builder<'_>, z: ValueId) -> ValueId {
    b.apply(Softmax { axis: 1, log: false }, &[z]).unwrap()
}

fn sigmoid(b: &mut Builder<'_>, z: ValueId) -> ValueId {
    b.unary(UnaryFunction::Sigmoid, z).unwrap()
}

fn less_from_one(b: &mut Builder<'_>, p: ValueId) -> ValueId {
    let one = b.scalar(1.0);
    b.sub(one, p).unwrap()
}

fn mean(b: &mut Builder<'_>, x: ValueId, y: ValueId) -> ValueId {
    let sum = b.add(x, y).unwrap();
    b.scale(sum, 0.5).unwrap()
}

/// Returns the model's probabilities, and the output of the file itself.
fn probabilities(net: &Net, model: &Model) -> (Vec<f64>, Vec<f64>) {
    let pixels = noise(108, 5);
    let logits = Predictor::new(model).unwrap().logits(&pixels, 1).unwrap();
    let feed = Tensor::f32(&[1, 3, 6, 6], pixels);
    let own = reference::run(&net.graph, &[feed], 1, net.graph.outputs()).unwrap()[0].to_f64();
    (model.head.probabilities(&logits), own)
}

#[test]
fn probabilities_are_given_as_the_file_gives_them() {
    let check = |what: &str, outputs, activation, scale: f64, finish: Finish<'_>| {
        let net = net(outputs, 3.0, finish);
        let model = open(&net, &ModelOptions::default());
        assert_eq!(model.head.activation, activation, "{what}: {:?}", model.notes);
        let written = heatlens::graph::onnx::read(model.to_onnx().unwrap()).unwrap();
        assert_eq!(
            written.nodes().len(),
            net.graph.nodes().len(),
            "{what}: only what the file had is written"
        );
        let (found, own) = probabilities(&net, &model);
        let own: Vec<f64> = own.into_iter().map(|p| p / scale).collect();
        let own = if let &[p] = own.as_slice() { vec![1.0 - p, p] } else { own };
        for (found, own) in found.iter().zip(&own) {
            assert!((found - own).abs() < 1e-5, "{what}: {found} {own}");
        }
        // The probability explained on request is the same.
        let mut graph = model.graph.clone();
        let p = scores(&mut graph, &model, Score::Probability).unwrap();
        let feed = Tensor::f32(&[1, 3, 6, 6], noise(108, 5));
        let explained = reference::run(&graph, &[feed], 1, &[p]).unwrap()[0].to_f64();
        let own = if explained.len() == 1 { &own[1..] } else { &own[..] };
        for (explained, own) in explained.iter().zip(own) {
            assert!((explained - own).abs() < 1e-5, "{what}, on request: {explained} {own}");
        }
    };
    let twice = |b: &mut Builder<'_>, z: ValueId| b.scale(z, -1.7).unwrap();
    check("a mean of softmaxes", 4, Activation::LogOdds, 1.0, &|b, z| {
        let other = twice(b, z);
        let (p, q) = (softmax(b, z), softmax(b, other));
        mean(b, p, q)
    });
    check("a mean of sigmoids", 1, Activation::LogOdds, 1.0, &|b, z| {
        let other = twice(b, z);
        let (p, q) = (sigmoid(b, z), sigmoid(b, other));
        mean(b, p, q)
    });
    check("1 − p and p", 1, Activation::LogOdds, 1.0, &|b, z| {
        let p = sigmoid(b, z);
        let q = less_from_one(b, p);
        b.apply(Concat { axis: 1 }, &[q, p]).unwrap()
    });
    check("an average of several labels", 4, Activation::LogOdds, 1.0, &|b, z| {
        let other = twice(b, z);
        let (p, q) = (sigmoid(b, z), sigmoid(b, other));
        mean(b, p, q)
    });
    check("smoothed", 3, Activation::LogOdds, 1.0, &|b, z| {
        let p = softmax(b, z);
        let (most, rest) = (b.scale(p, 0.7).unwrap(), b.scalar(0.1));
        b.add(most, rest).unwrap()
    });
    check("a clamped softmax", 4, Activation::Softmax, 1.0, &|b, z| {
        let p = softmax(b, z);
        b.apply(Clip { min: 1e-7, max: 1.0 - 1e-7 }, &[p]).unwrap()
    });
    check("per cent", 4, Activation::Softmax, 100.0, &|b, z| {
        let p = softmax(b, z);
        b.scale(p, 100.0).unwrap()
    });
    check("per cent of one", 1, Activation::Sigmoid, 100.0, &|b, z| {
        let p = sigmoid(b, z);
        b.scale(p, 100.0).unwrap()
    });
    check("the powers of a log-softmax", 3, Activation::Softmax, 1.0, &|b, z| {
        let log = b.apply(Softmax { axis: 1, log: true }, &[z]).unwrap();
        b.unary(UnaryFunction::Exp, log).unwrap()
    });
    check("a hard sigmoid", 1, Activation::HardSigmoid, 1.0, &|b, z| {
        let (alpha, beta) = (Scalar::new(1.0 / 6.0), Scalar::new(0.5));
        b.unary(UnaryFunction::HardSigmoid { alpha, beta }, z).unwrap()
    });
    check("a hard sigmoid written out", 2, Activation::HardSigmoid, 1.0, &|b, z| {
        let three = b.scalar(3.0);
        let shifted = b.add(z, three).unwrap();
        let clamped = b.apply(Clip { min: 0.0, max: 6.0 }, &[shifted]).unwrap();
        b.scale(clamped, 1.0 / 6.0).unwrap()
    });
}

/// Returns the largest |d score ÷ d pixel| of the predicted class.
fn gradient(model: &Model) -> f32 {
    let explainer = Explainer::new(model, &ExplainOptions::new(&[find("gradient").unwrap()])).unwrap();
    let explanation = explainer.explain(&noise(108, 5), 1).unwrap().remove(0);
    explanation.attributions[0].values.iter().fold(0.0, |m, v| m.max(v.abs()))
}

/// If p rounds to 1 in single precision, its gradient and that of ln p vanish, but that of the log odds does not.
#[test]
fn log_odds_do_not_saturate() {
    let finishes: [(&str, usize, Finish<'_>); 3] = [
        ("two sigmoids", 1, &|b, z| {
            let other = b.scale(z, 0.9).unwrap();
            let (p, q) = (sigmoid(b, z), sigmoid(b, other));
            mean(b, p, q)
        }),
        ("1 − p and p", 1, &|b, z| {
            let p = sigmoid(b, z);
            let q = less_from_one(b, p);
            b.apply(Concat { axis: 1 }, &[q, p]).unwrap()
        }),
        ("two softmaxes", 3, &|b, z| {
            let other = b.scale(z, 0.9).unwrap();
            let (p, q) = (softmax(b, z), softmax(b, other));
            mean(b, p, q)
        }),
    ];
    for (what, outputs, finish) in finishes {
        for sign in [1.0, -1.0] {
            let model = |size: f32| open(&net(outputs, sign * size, finish), &ModelOptions::default());
            let (modest, certain) = (gradient(&model(1.0)), gradient(&model(200.0)));
            assert!(certain > 20.0 * modest, "{what}: {modest} {certain}");
        }
    }
}

#[test]
fn labels_are_not_a_softmax() {
    let raw = net(14, 1.0, &|_, z| z);
    let model = open(&raw, &ModelOptions::default());
    assert_eq!(model.head.kind, HeadKind::Classes);
    assert!(model.notes.iter().any(|n| n.contains("--head multi-label")), "{:?}", model.notes);
    let labels = ModelOptions { head: Some(HeadKind::MultiLabel), ..ModelOptions::default() };
    let sigmoids = open(&raw, &labels).head.probabilities(&[0.0; 14]);
    assert_eq!(sigmoids, [0.5; 14]);
    let own = open(&net(14, 1.0, &|b, z| sigmoid(b, z)), &ModelOptions::default());
    assert_eq!(own.head.kind, HeadKind::MultiLabel);
    let exclusive = net(3, 1.0, &|b, z| softmax(b, z));
    let refusal = Model::from_graph_with(exclusive.graph, &labels).unwrap_err().to_string();
    assert!(refusal.contains("exclude each other"), "{refusal}");
}

#[test]
fn an_embedding_is_asked_about() {
    let ask = ModelOptions { ask: true, ..ModelOptions::default() };
    let refusal = |net: &Net| Model::from_graph_with(net.graph.clone(), &ask).unwrap_err().to_string();
    let many = net(128, 1.0, &|_, z| z);
    assert!(refusal(&many).contains("--head similarity"), "{}", refusal(&many));
    let unit = net(16, 1.0, &|b, z| {
        let square = b.mul(z, z).unwrap();
        let sum = b.sum(square, &[1], true).unwrap();
        let length = b.unary(UnaryFunction::Sqrt, sum).unwrap();
        b.div(z, length).unwrap()
    });
    assert!(refusal(&unit).contains("divided by their norm"), "{}", refusal(&unit));
    assert!(open(&many, &ModelOptions::default()).notes.iter().any(|n| n.contains("--head similarity")));
    let known = [
        ModelOptions { named: true, ..ask.clone() },
        ModelOptions { head: Some(HeadKind::Classes), ..ask.clone() },
    ];
    for options in known {
        assert_eq!(open(&many, &options).head.kind, HeadKind::Classes);
    }
    assert_eq!(open(&net(1000, 1.0, &|_, z| z), &ask).head.kind, HeadKind::Classes, "ImageNet");
    assert_eq!(open(&net(128, 1.0, &|b, z| softmax(b, z)), &ask).head.kind, HeadKind::Classes);
}

#[test]
fn similarity_is_the_cosine_with_a_reference() {
    let many = net(128, 1.0, &|_, z| z);
    let options = ModelOptions { head: Some(HeadKind::Similarity), ..ModelOptions::default() };
    let model = open(&many, &options);
    assert!(model.head.needs_reference());
    let own = Predictor::new(&model).unwrap().logits(&noise(108, 5), 1).unwrap();
    let other = Predictor::new(&model).unwrap().logits(&noise(108, 6), 1).unwrap();
    assert!(model.clone().with_reference(&[1.0; 3]).is_err());
    assert!(model.clone().with_reference(&[0.0; 128]).is_err());
    let cosine = |reference: &[f32]| {
        let held = model.clone().with_reference(reference).unwrap();
        assert_eq!((held.head.outputs, held.head.predicted(&[-1.0])), (1, 1), "what makes it more similar");
        Predictor::new(&held).unwrap().logits(&noise(108, 5), 1).unwrap()[0]
    };
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(x * y)).sum::<f64>();
    let expected = dot(&own, &other) / (dot(&own, &own) * dot(&other, &other)).sqrt();
    assert!((f64::from(cosine(&other)) - expected).abs() < 1e-5, "{} {expected}", cosine(&other));
    assert!((cosine(&own) - 1.0).abs() < 1e-5);
    let written = model.clone().with_reference(&other).unwrap().to_onnx().unwrap();
    let again = Model::from_graph(heatlens::graph::onnx::read(written).unwrap()).unwrap();
    assert!(
        again.head.is_quantity() && again.class_names[1] == "more similar",
        "what is written gives the cosine"
    );
}

#[test]
fn a_number_that_is_no_logit_is_a_quantity() {
    let add = |constant: f32| {
        net(1, 1.0, &|b, z| {
            let constant = b.scalar(constant);
            b.add(z, constant).unwrap()
        })
    };
    let age = open(&add(58.0), &ModelOptions::default());
    assert_eq!(age.head.kind, HeadKind::Regression);
    assert!(age.notes.iter().any(|n| n.contains("regression")), "{:?}", age.notes);
    assert_eq!(age.head.predicted(&[-3.0]), 1, "what makes it larger, whatever its sign");
    assert!(age.class_names[0].starts_with("lower") && age.class_names[1].starts_with("higher"));
    let written = heatlens::graph::onnx::read(age.to_onnx().unwrap()).unwrap();
    assert_eq!(Model::from_graph(written).unwrap().head.kind, HeadKind::Regression, "names or not");
    let logit = open(&add(0.5), &ModelOptions::default());
    assert_eq!(logit.head.kind, HeadKind::Classes);
    assert!(logit.notes.iter().any(|n| n.contains("--head regression")), "{:?}", logit.notes);
    let count =
        open(&net(1, 1.0, &|b, z| b.unary(UnaryFunction::Softplus, z).unwrap()), &ModelOptions::default());
    assert_eq!(count.head.kind, HeadKind::Regression);
    let chosen = ModelOptions { head: Some(HeadKind::Classes), ..ModelOptions::default() };
    assert_eq!(open(&add(58.0), &chosen).head.kind, HeadKind::Classes);
}

#[test]
fn which_of_several_outputs_was_taken_is_said() {
    let (mut net, image) = Net::new(&[3, 6, 6]);
    let x = net.conv("conv", image, 4, 3, 1);
    let pooled = net.pooled(x);
    let embedding = net.gemm("embedding", pooled, 128);
    let logits = net.gemm("logits", pooled, 3);
    net.graph.set_outputs(&[embedding, logits]);
    let model = Model::from_graph(net.graph.clone()).unwrap();
    assert_eq!(model.head.outputs, 3, "an embedding is passed over");
    let note = model.notes.iter().find(|n| n.contains("--output")).unwrap();
    assert!(note.contains("\"logits\" (N×3)") && note.contains("\"embedding\" (N×128)"), "{note}");
    let larger = net.b().binary(BinaryFunction::Max, logits, logits).unwrap();
    net.graph.set_outputs(&[larger]);
    assert!(!Model::from_graph(net.graph).unwrap().notes.iter().any(|n| n.contains("--output")));
}
