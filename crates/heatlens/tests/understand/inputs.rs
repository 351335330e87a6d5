//! The image is found among the inputs and becomes `n c h w`.

use heatlens::explain::{ExplainOptions, Explainer};
use heatlens::graph::op::reshape::Unsqueeze;
use heatlens::graph::{Dim, Fact, Graph, Shape, Tensor, ValueId, reference};
use heatlens::method::find;
use heatlens::model::{Model, ModelOptions};

use super::nets::{Net, noise};

/// Builds a small network on an image of shape `n 3 6 6`.
fn classifier(net: &mut Net, image: ValueId) -> ValueId {
    let x = net.conv("conv", image, 4, 3, 1);
    let x = net.relu("relu", x);
    let pooled = net.pooled(x);
    net.gemm("fc", pooled, 3)
}

fn explain(model: &Model, pixels: &[f32]) -> Vec<Vec<f32>> {
    let methods = ["grad_cam", "gradient"].map(|id| find(id).unwrap());
    let explainer = Explainer::new(model, &ExplainOptions::new(&methods)).unwrap();
    let explanation = explainer.explain(pixels, 1).unwrap().remove(0);
    explanation.attributions.into_iter().map(|a| a.values).chain([explanation.logits]).collect()
}

#[test]
fn channels_last_is_turned() {
    let (mut first, image) = Net::new(&[3, 6, 5]);
    let logits = classifier(&mut first, image);
    first.graph.set_outputs(&[logits]);
    let expected = Model::from_graph(first.graph).unwrap();

    let (mut last, image) = Net::new(&[6, 5, 3]);
    let turned = last.b().transpose(image, &[0, 3, 1, 2]).unwrap();
    let logits = classifier(&mut last, turned);
    last.graph.set_outputs(&[logits]);
    let model = Model::from_graph(last.graph).unwrap();

    assert_eq!((model.shape(), model.image), ([3, 6, 5], model.graph.find("image").unwrap()));
    assert!(model.notes[0].contains("N×6×5×3"), "{:?}", model.notes);
    let pixels = noise(90, 7);
    assert_eq!(explain(&model, &pixels), explain(&expected, &pixels));
    let again = Model::from_graph(heatlens::graph::onnx::read(model.to_onnx().unwrap()).unwrap()).unwrap();
    assert_eq!(again.shape(), [3, 6, 5], "what is written takes N×C×H×W");
}

#[test]
fn images_without_channels_have_one() {
    let (mut net, image) = Net::new(&[6, 5]);
    let planes = net.node("planes", Unsqueeze { axes: vec![1] }, &[image]);
    let logits = classifier(&mut net, planes);
    net.graph.set_outputs(&[logits]);
    let pixels = noise(30, 3);
    let feed = Tensor::f32(&[1, 6, 5], pixels.clone());
    let expected = reference::run(&net.graph, &[feed], 1, &[logits]).unwrap()[0].to_f64();
    let model = Model::from_graph(net.graph).unwrap();
    assert_eq!(model.shape(), [1, 6, 5]);
    let found = explain(&model, &pixels).pop().unwrap();
    for (found, expected) in found.iter().zip(expected) {
        assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} {expected}");
    }
}

#[test]
fn further_inputs() {
    let build = |needed: bool| -> Graph {
        let (mut net, image) = Net::new(&[3, 6, 6]);
        let age = net.graph.add_input("age", Fact::f32(Shape::batched(&[1])));
        let logits = classifier(&mut net, image);
        let sum = net.b().add(logits, age).unwrap();
        let plain = net.b().neg(logits).unwrap();
        net.graph.set_outputs(&[if needed { sum } else { plain }]);
        net.graph
    };
    let refusal = Model::from_graph(build(true)).unwrap_err().to_string();
    assert!(refusal.contains("more than the image: \"age\" (N×1)"), "{refusal}");
    let model = Model::from_graph(build(false)).unwrap();
    assert_eq!(model.graph.inputs().len(), 1);
    assert!(model.notes[0].contains("ignored inputs: \"age\" (N×1)"), "{:?}", model.notes);
    assert_eq!(explain(&model, &noise(108, 1))[2].len(), 3);
}

#[test]
fn one_of_two_images() {
    let (mut net, left) = Net::new(&[3, 6, 6]);
    let right = net.graph.add_input("right", Fact::f32(Shape::batched(&[3, 6, 6])));
    let [a, b] = [left, right].map(|image| classifier(&mut net, image));
    net.graph.set_outputs(&[a, b]);
    let choose = |input: Option<&str>| {
        let options = ModelOptions { input: input.map(str::to_owned), ..ModelOptions::default() };
        Model::from_graph_with(net.graph.clone(), &options)
    };
    let refusal = choose(None).unwrap_err().to_string();
    assert!(
        refusal.contains("\"image\"") && refusal.contains("\"right\"") && refusal.contains("--input"),
        "{refusal}"
    );
    let model = choose(Some("right")).unwrap();
    assert_eq!(model.graph.value(model.image).name, "right");
    assert!(model.layers().iter().all(|l| l.node.starts_with("conv_") || l.node.starts_with("relu_")));
    assert!(choose(Some("wrong")).unwrap_err().to_string().contains("no input \"wrong\""));
}

/// Keras' own exporter leaves unused inputs that a folded constant has replaced.
#[test]
fn an_input_that_nothing_reads_is_no_image() {
    let (mut net, image) = Net::new(&[3, 6, 6]);
    net.graph.add_input("normalization/Sub/y", Fact::f32(Shape::fixed(&[1, 1, 1, 3])));
    let logits = classifier(&mut net, image);
    net.graph.set_outputs(&[logits]);
    let model = Model::from_graph(net.graph).unwrap();
    assert_eq!((model.shape(), model.graph.inputs().len()), ([3, 6, 6], 1));
    assert!(model.notes[0].contains("ignored inputs: \"normalization/Sub/y\""), "{:?}", model.notes);
}

#[test]
fn a_fixed_batch_is_understood() {
    let mut graph = Graph::new("fixed");
    let image = graph.add_input("image", Fact::f32(Shape::fixed(&[4, 3, 6, 6])));
    let conv = Shape(vec![Dim::Fixed(4), Dim::Fixed(3), Dim::Fixed(36)]);
    let mut b = heatlens::graph::Builder::new(&mut graph, "net");
    let doubled = b.scale(image, 2.0).unwrap();
    let flat = b.reshape(doubled, conv).unwrap();
    let logits = b.sum(flat, &[2], false).unwrap();
    graph.set_outputs(&[logits]);
    let model = Model::from_graph(graph).unwrap();
    assert_eq!((model.batch, model.head.outputs, model.shape()), (Some(4), 3, [3, 6, 6]));
    assert_eq!(model.default_layer().unwrap().value, doubled);
}

#[test]
fn a_fixed_batch_is_explained_as_an_open_one() {
    let maps = |samples: Dim| {
        let mut graph = Graph::new("batch");
        let sizes = |rest: &[usize]| {
            Shape([samples].into_iter().chain(rest.iter().map(|&size| Dim::Fixed(size))).collect())
        };
        let image = graph.add_input("image", Fact::f32(sizes(&[3, 6, 6])));
        let mut b = heatlens::graph::Builder::new(&mut graph, "net");
        let square = b.mul(image, image).unwrap();
        let flat = b.reshape(square, sizes(&[3, 36])).unwrap();
        let logits = b.sum(flat, &[2], false).unwrap();
        graph.set_outputs(&[logits]);
        let model = Model::from_graph(graph).unwrap();
        let methods = [find("gradient").unwrap(), find("occlusion").unwrap()];
        let mut options = ExplainOptions::new(&methods);
        options.settings.set("occlusion.window=2").unwrap();
        options.settings.set("occlusion.stride=2").unwrap();
        let explainer = Explainer::new(&model, &options).unwrap();
        let pixels: Vec<f32> = (0..5 * 108).map(|i| (i * 37 % 101) as f32 / 101.0).collect();
        let explained = explainer.explain(&pixels, 5).unwrap();
        explained
            .into_iter()
            .map(|e| (e.predicted, e.attributions.into_iter().map(|a| a.values).collect::<Vec<_>>()))
            .collect::<Vec<_>>()
    };
    let open = maps(Dim::Batch(1));
    assert!(open.iter().any(|image| image.0 != open[0].0), "all images are of one class");
    for fixed in [1, 4] {
        assert_eq!(maps(Dim::Fixed(fixed)), open, "batch {fixed}");
    }
}

/// One channel after eleven rows, or eleven channels of one column: the convolution determines which, not the size.
#[test]
fn an_axis_of_one_is_not_channels_because_of_its_size() {
    let (mut net, image) = Net::new(&[11, 60, 1]);
    let x = net.conv("conv", image, 4, 1, 1);
    let pooled = net.pooled(x);
    let logits = net.gemm("fc", pooled, 3);
    net.graph.set_outputs(&[logits]);
    assert_eq!(Model::from_graph(net.graph).unwrap().shape(), [11, 60, 1]);

    let (mut net, image) = Net::new(&[11, 60, 1]);
    let scaled = net.b().scale(image, 0.5).unwrap();
    let turned = net.b().transpose(scaled, &[0, 3, 1, 2]).unwrap();
    let x = net.conv("conv", turned, 4, 1, 1);
    let pooled = net.pooled(x);
    let logits = net.gemm("fc", pooled, 3);
    net.graph.set_outputs(&[logits]);
    assert_eq!(Model::from_graph(net.graph).unwrap().shape(), [1, 11, 60]);

    // With one channel, some exporters reshape where others transpose.
    let (mut net, image) = Net::new(&[3, 5, 1]);
    let turned = net.reshape(image, &[1, 1, 3, 5]);
    let x = net.conv("conv", turned, 4, 1, 1);
    let pooled = net.pooled(x);
    let logits = net.gemm("fc", pooled, 3);
    net.graph.set_outputs(&[logits]);
    assert_eq!(Model::from_graph(net.graph).unwrap().shape(), [1, 3, 5]);
}
