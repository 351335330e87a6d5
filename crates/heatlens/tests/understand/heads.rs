//! The logits are found before whatever a file applies to them.

use heatlens::graph::op::reduce::ReduceFunction;
use heatlens::graph::op::reshape::Flatten;
use heatlens::graph::op::softmax::Softmax;
use heatlens::graph::op::unary::UnaryFunction;
use heatlens::graph::{Builder, ValueId};
use heatlens::model::{Activation, HeadKind, Model, ModelOptions};

use super::nets::Net;

/// Builds a network with `outputs` logits, followed by `finish`.
fn model(outputs: usize, finish: impl Fn(&mut Builder<'_>, ValueId) -> ValueId) -> (Model, ValueId) {
    let (mut net, image) = Net::new(&[3, 6, 6]);
    let x = net.conv("conv", image, 4, 3, 1);
    let pooled = net.pooled(x);
    let logits = net.gemm("fc", pooled, outputs);
    let output = finish(&mut net.b(), logits);
    net.graph.set_outputs(&[output]);
    (Model::from_graph(net.graph).unwrap(), logits)
}

#[test]
fn activations_written_out_are_recognised() {
    let softmax = |b: &mut Builder<'_>, z: ValueId, shifted: bool| {
        let max = b.reduce(ReduceFunction::Max, z, &[1], true).unwrap();
        let z = if shifted { b.sub(z, max).unwrap() } else { z };
        let power = b.unary(UnaryFunction::Exp, z).unwrap();
        let sum = b.sum(power, &[1], true).unwrap();
        (b.div(power, sum).unwrap(), z, sum)
    };
    let check = |what: &str, outputs, activation, finish: &dyn Fn(&mut Builder<'_>, ValueId) -> ValueId| {
        let (model, logits) = model(outputs, finish);
        assert_eq!((model.head.activation, model.head.logits), (activation, logits), "{what}");
    };
    check("none", 3, Activation::None, &|_, z| z);
    check("softmax", 3, Activation::Softmax, &|b, z| softmax(b, z, false).0);
    check("shifted softmax", 3, Activation::Softmax, &|b, z| softmax(b, z, true).0);
    check("its logarithm", 3, Activation::LogSoftmax, &|b, z| {
        let p = softmax(b, z, true).0;
        b.unary(UnaryFunction::Log, p).unwrap()
    });
    check("log-softmax", 3, Activation::LogSoftmax, &|b, z| {
        let (_, z, sum) = softmax(b, z, true);
        let log = b.unary(UnaryFunction::Log, sum).unwrap();
        b.sub(z, log).unwrap()
    });
    check("sigmoid", 1, Activation::Sigmoid, &|b, z| {
        let negated = b.neg(z).unwrap();
        let power = b.unary(UnaryFunction::Exp, negated).unwrap();
        let one = b.scalar(1.0);
        let below = b.add(power, one).unwrap();
        b.unary(UnaryFunction::Reciprocal, below).unwrap()
    });
    check("a flattened softmax", 3, Activation::Softmax, &|b, z| {
        let p = b.apply(Softmax { axis: 1, log: false }, &[z]).unwrap();
        b.apply(Flatten { axis: 1 }, &[p]).unwrap()
    });
}

#[test]
fn what_only_looks_like_an_activation_is_none() {
    // Divided by the sum of something else.
    let (other, z) = model(3, |b, z| {
        let power = b.unary(UnaryFunction::Exp, z).unwrap();
        let sum = b.sum(z, &[1], true).unwrap();
        b.div(power, sum).unwrap()
    });
    assert_eq!(other.head.activation, Activation::None);
    assert_ne!(other.head.logits, z);
    // A gate: the sigmoid is multiplied by its own input.
    let (gate, _) = model(3, |b, z| {
        let s = b.unary(UnaryFunction::Sigmoid, z).unwrap();
        b.mul(s, z).unwrap()
    });
    assert_eq!((gate.head.activation, gate.head.logits), (Activation::None, gate.head.output));
}

#[test]
fn one_of_several_outputs() {
    let (mut net, image) = Net::new(&[3, 6, 6]);
    let x = net.conv("conv", image, 4, 3, 1);
    let pooled = net.pooled(x);
    let main = net.gemm("main", pooled, 3);
    let auxiliary = net.gemm("auxiliary", pooled, 5);
    let p = net.softmax(main);
    net.graph.set_outputs(&[x, p, auxiliary]);
    let model = Model::from_graph(net.graph.clone()).unwrap();
    assert_eq!((model.head.outputs, model.head.logits), (3, main), "feature maps are no scores");
    let choose = |name: &str| {
        let options = ModelOptions { output: Some(name.to_owned()), ..ModelOptions::default() };
        Model::from_graph_with(net.graph.clone(), &options)
    };
    assert_eq!(choose("auxiliary").unwrap().head.outputs, 5);
    let unknown = choose("logits").unwrap_err().to_string();
    assert!(unknown.contains("\"softmax\" (N×3)") && unknown.contains("\"auxiliary\" (N×5)"), "{unknown}");
    let maps = choose("conv").unwrap();
    let grid = maps.head.dense.as_ref().unwrap().grid;
    assert_eq!(
        (maps.head.kind, maps.head.outputs, grid),
        (HeadKind::Segmentation, 4, Some([6, 6])),
        "chosen by name"
    );
}
