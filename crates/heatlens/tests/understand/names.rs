//! Layers have the names their authors gave them.

use heatlens::graph::op::binary::{Binary, BinaryFunction};
use heatlens::model::Model;

use super::nets::Net;

/// Two blocks with a shortcut, with the node names of PyTorch's older exporter.
fn paths() -> Model {
    let (mut net, image) = Net::new(&[3, 8, 8]);
    let mut x = net.conv("/conv1/Conv", image, 4, 3, 1);
    for block in 0..2 {
        let at = format!("/layer1/layer1.{block}");
        let inner = net.conv(&format!("{at}/conv1/Conv"), x, 4, 3, 1);
        let inner = net.relu(&format!("{at}/relu/Relu"), inner);
        let inner = net.conv(&format!("{at}/conv2/Conv"), inner, 4, 3, 1);
        let sum = net.node(&format!("{at}/Add"), Binary(BinaryFunction::Add), &[inner, x]);
        x = net.relu(&format!("{at}/relu_1/Relu"), sum);
    }
    x = net.conv("/head/conv/Conv", x, 6, 1, 1);
    let pooled = net.pooled(x);
    let logits = net.gemm("/fc/Gemm", pooled, 3);
    net.graph.set_outputs(&[logits]);
    Model::from_graph(net.graph).unwrap()
}

/// One block that uses its rectifier twice, with the node names of PyTorch's newer exporter.
fn scopes() -> Model {
    let (mut net, image) = Net::new(&[3, 8, 8]);
    let x = net.conv("node_Conv_1", image, 4, 3, 1);
    net.scopes(x, "['', 'bn1', '_native_batch_norm_legit_no_training']");
    let first = net.relu("node_relu", x);
    net.scopes(first, "['', 'layer1', 'layer1.0', 'layer1.0.relu', 'relu']");
    let sum = net.node("node_add", Binary(BinaryFunction::Add), &[first, x]);
    net.scopes(sum, "['', 'layer1', 'layer1.0', 'add']");
    let second = net.relu("node_relu_1", sum);
    net.scopes(second, "['', 'layer1', 'layer1.0', 'layer1.0.relu', 'relu_1']");
    let pooled = net.pooled(second);
    let logits = net.gemm("fc", pooled, 3);
    net.graph.set_outputs(&[logits]);
    Model::from_graph(net.graph).unwrap()
}

fn node_of(model: &Model, name: &str) -> String {
    model.layer(name).unwrap_or_else(|e| panic!("{e}")).node
}

#[test]
fn module_paths_are_names() {
    let model = paths();
    let names: Vec<String> = model.layers().into_iter().map(|l| l.name).collect();
    let block = |b: usize| {
        ["conv1", "relu", "conv2"]
            .map(|n| format!("layer1.{b}.{n}"))
            .into_iter()
            .chain([format!("layer1.{b}/Add"), format!("layer1.{b}.relu_1")])
    };
    let mut expected = vec!["conv1".to_owned()];
    expected.extend((0..2).flat_map(block));
    expected.push("head.conv".to_owned());
    assert_eq!(names, expected);
    assert_eq!(model.default_layer().unwrap().name, "head.conv");
    for (asked, node) in [
        ("layer1", "/layer1/layer1.1/relu_1/Relu"),
        ("layer1.0", "/layer1/layer1.0/relu_1/Relu"),
        ("layer1.0/Add", "/layer1/layer1.0/Add"),
        ("layer1.0.conv2", "/layer1/layer1.0/conv2/Conv"),
        ("/layer1/layer1.0/conv2/Conv", "/layer1/layer1.0/conv2/Conv"),
        ("1.conv2", "/layer1/layer1.1/conv2/Conv"),
        ("head", "/head/conv/Conv"),
        ("conv", "/head/conv/Conv"),
        ("conv1", "/conv1/Conv"),
    ] {
        assert_eq!(node_of(&model, asked), node, "{asked}");
    }
    for name in &names {
        assert_eq!(&model.layer(name).unwrap().name, name);
    }
}

#[test]
fn scopes_are_names() {
    let model = scopes();
    let names: Vec<String> = model.layers().into_iter().map(|l| l.name).collect();
    assert_eq!(names, ["bn1", "layer1.0.relu/relu", "layer1.0/add", "layer1.0.relu"]);
    for (asked, node) in [
        ("layer1", "node_relu_1"),
        ("layer1.0.relu", "node_relu_1"),
        ("layer1.0.relu/relu", "node_relu"),
        ("node_relu", "node_relu"),
        ("layer1.0/add", "node_add"),
        ("bn1", "node_Conv_1"),
    ] {
        assert_eq!(node_of(&model, asked), node, "{asked}");
    }
}

#[test]
fn wrong_and_ambiguous_names_say_what_there_is() {
    let model = paths();
    let refusal = |name: &str| model.layer(name).unwrap_err().to_string();
    let several = refusal("conv2");
    assert!(several.contains("\"layer1.0.conv2\"") && several.contains("\"layer1.1.conv2\""), "{several}");
    assert!(refusal("layer1.2").contains("\"layer1.1\""), "{}", refusal("layer1.2"));
    assert!(refusal("fc").contains("no layer \"fc\""));
    assert!(refusal("ayer1").contains("\"layer1\""));
}
