//! Token models: the grid of positions is found in the graph, and Grad-CAM needs no hand-written reshape.

use heatlens::explain::{ExplainOptions, Explainer, Target};
use heatlens::graph::compose::resize::{self, Coordinates, Mode, Resampling};
use heatlens::graph::op::concat::Concat;
use heatlens::graph::op::expand::Expand;
use heatlens::graph::op::gather::Gather;
use heatlens::graph::op::slice::Slice;
use heatlens::graph::{Builder, DefaultRules, Dim, Shape, Tensor, ValueId, differentiate, reference};
use heatlens::method::find;
use heatlens::model::{Layer, Model, SpatialLayout};

use super::nets::{Net, noise};

const WIDTH: usize = 6;

/// Patches of 4×4 pixels of a 12×16 image as tokens: 3 rows of 4.
fn patches(net: &mut Net, image: ValueId) -> ValueId {
    let planes = net.conv("patch_embed/Conv", image, WIDTH, 4, 4);
    let flat = net.reshape(planes, &[1, WIDTH, 12]);
    Builder::new(&mut net.graph, "patch_embed").transpose(flat, &[0, 2, 1]).unwrap()
}

/// Adds `count` learned tokens for every sample.
fn learned(net: &mut Net, count: usize) -> ValueId {
    let token = net.weight(&[1, count, WIDTH], 0.8);
    let shape = Shape(vec![Dim::Batch(1), Dim::Fixed(count), Dim::Fixed(WIDTH)]);
    net.node("token", Expand { shape }, &[token])
}

fn part(net: &mut Net, x: ValueId, axis: usize, start: usize, len: usize) -> ValueId {
    net.node("slice", Slice { axis, start, len, step: 1 }, &[x])
}

/// Two blocks after patches with `before` tokens in front; the first tokens are averaged for the head.
pub(crate) fn vit(before: usize, heads: usize, behind: usize) -> Model {
    let (mut net, image) = Net::new(&[3, 12, 16]);
    let places = patches(&mut net, image);
    let (front, back) = (learned(&mut net, before), learned(&mut net, behind.max(1)));
    let parts = if behind > 0 { vec![front, places, back] } else { vec![front, places] };
    let tokens = net.node("concat", Concat { axis: 1 }, &parts);
    let positions = net.weight(&[1, before + 12 + behind, WIDTH], 0.3);
    let mut x = net.b().add(tokens, positions).unwrap();
    for block in 0..2 {
        x = net.block(&format!("blocks.{block}"), x);
    }
    let x = net.norm("norm", x);
    let class = part(&mut net, x, 1, 0, heads);
    let pooled = net.b().mean(class, &[1], false).unwrap();
    let logits = net.gemm("head", pooled, 3);
    net.graph.set_outputs(&[logits]);
    Model::from_graph(net.graph).unwrap()
}

/// Two blocks and the mean over all positions, after an optional class token that is dropped.
fn mean_pooled(class: bool) -> Model {
    let (mut net, image) = Net::new(&[3, 12, 16]);
    let mut x = patches(&mut net, image);
    if class {
        let token = learned(&mut net, 1);
        x = net.node("concat", Concat { axis: 1 }, &[token, x]);
    }
    for block in 0..2 {
        x = net.block(&format!("blocks.{block}"), x);
    }
    x = net.norm("norm", x);
    if class {
        x = part(&mut net, x, 1, 1, 12);
    }
    let pooled = net.b().mean(x, &[1], false).unwrap();
    let logits = net.gemm("head", pooled, 3);
    net.graph.set_outputs(&[logits]);
    Model::from_graph(net.graph).unwrap()
}

/// Attention within windows of 2×2 of the 8×4 positions, optionally shifted by one position.
fn windows(net: &mut Net, name: &str, x: ValueId, shift: bool) -> ValueId {
    let roll = |net: &mut Net, mut x: ValueId, by: [usize; 2]| {
        for (axis, (by, size)) in (1..).zip(by.into_iter().zip([8, 4])) {
            let (front, back) = (part(net, x, axis, 0, by), part(net, x, axis, by, size - by));
            x = net.node("roll", Concat { axis: axis as i64 }, &[back, front]);
        }
        x
    };
    let normed = net.norm(&format!("{name}/norm1"), x);
    let shifted = if shift { roll(net, normed, [1, 1]) } else { normed };
    let cut = net.reshape(shifted, &[1, 4, 2, 2, 2, WIDTH]);
    let cut = net.b().transpose(cut, &[0, 1, 3, 2, 4, 5]).unwrap();
    let cut = net.reshape(cut, &[8, 4, WIDTH]);
    let attended = net.attention(&format!("{name}/attn"), cut);
    let back = net.reshape(attended, &[1, 4, 2, 2, 2, WIDTH]);
    let back = net.b().transpose(back, &[0, 1, 3, 2, 4, 5]).unwrap();
    let back = net.reshape(back, &[1, 8, 4, WIDTH]);
    let back = if shift { roll(net, back, [7, 3]) } else { back };
    Builder::new(&mut net.graph, name).add(x, back).unwrap()
}

/// A small Swin: windows, shifted windows, patch merging, and the mean over all positions.
pub(crate) fn swin() -> Model {
    let (mut net, image) = Net::new(&[3, 16, 8]);
    let planes = net.conv("patch_embed/Conv", image, WIDTH, 2, 2);
    let x = net.b().transpose(planes, &[0, 2, 3, 1]).unwrap();
    let x = windows(&mut net, "features.0", x, false);
    let x = windows(&mut net, "features.1", x, true);
    let mut parts = Vec::new();
    for (i, j) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
        let rows = net.node("merge", Slice { axis: 1, start: i, len: 4, step: 2 }, &[x]);
        parts.push(net.node("merge", Slice { axis: 2, start: j, len: 2, step: 2 }, &[rows]));
    }
    let merged = net.node("merge", Concat { axis: 3 }, &parts);
    let reduced = net.linear("features.2", merged, 2 * WIDTH);
    let x = net.norm("norm", reduced);
    let planes = net.b().transpose(x, &[0, 3, 1, 2]).unwrap();
    let pooled = net.pooled(planes);
    let logits = net.gemm("head", pooled, 3);
    net.graph.set_outputs(&[logits]);
    Model::from_graph(net.graph).unwrap()
}

/// Grad-CAM from a layer's own values, moved to positions by hand, in double precision.
fn naive(model: &Model, layer: &Layer, pixels: &[f32], class: usize) -> Vec<f32> {
    let mut graph = model.graph.clone();
    let row = (0..3).map(|k| f32::from(u8::from(k == class))).collect();
    let seed = graph.add_constant("one-hot", Tensor::f32(&[1, 3], row));
    let logits = model.head.logits;
    let gradient = differentiate(&mut graph, "g", logits, seed, &[layer.value], &DefaultRules).unwrap()[0];
    let [c, h, w] = model.shape();
    let feed = Tensor::f32(&[1, c, h, w], pixels.to_vec());
    let results = reference::run(&graph, &[feed], 1, &[layer.value, gradient]).unwrap();
    let [c, h, w] = layer.shape;
    let at = |place: usize, k: usize| match layer.grid {
        SpatialLayout::Spatial => k * h * w + place,
        SpatialLayout::ChannelsLast => place * c + k,
        SpatialLayout::Tokens { before, .. } => (before + place) * c + k,
    };
    let [a, g] = [0, 1].map(|i: usize| results[i].to_f64());
    let alpha: Vec<f64> =
        (0..c).map(|k| (0..h * w).map(|p| g[at(p, k)]).sum::<f64>() / (h * w) as f64).collect();
    (0..h * w).map(|p| (0..c).map(|k| alpha[k] * a[at(p, k)]).sum::<f64>() as f32).collect()
}

fn check(what: &str, model: &Model, grid: SpatialLayout, shape: [usize; 3], default: &str) {
    let layer = model.default_layer().unwrap();
    assert_eq!((layer.grid, layer.shape), (grid, shape), "{what}: {}", layer.node);
    assert!(layer.node.starts_with(default), "{what}: {}", layer.node);
    let [c, h, w] = model.shape();
    let pixels = noise(2 * c * h * w, 5);
    let options =
        ExplainOptions { target: Target::Class(1), ..ExplainOptions::new(&[find("grad_cam").unwrap()]) };
    let found = Explainer::new(model, &options).unwrap().explain(&pixels, 2).unwrap();
    for (found, pixels) in found.iter().zip(pixels.chunks(c * h * w)) {
        let (map, expected) = (&found.attributions[0], naive(model, &layer, pixels, 1));
        assert_eq!(map.shape, &shape[1..], "{what}");
        let size = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        assert!(size > 1e-6, "{what}: an empty map shows nothing");
        for (found, expected) in map.values.iter().zip(&expected) {
            assert!((found - expected).abs() <= 1e-4 * size, "{what}: {found} {expected} of {size}");
        }
    }
}

#[test]
fn a_class_token_is_left_out_of_the_map() {
    let grid = |before, after| SpatialLayout::Tokens { before, after };
    check("class token", &vit(1, 1, 0), grid(1, 0), [WIDTH, 3, 4], "blocks.1/norm1");
    check("distilled", &vit(2, 2, 0), grid(2, 0), [WIDTH, 3, 4], "blocks.1/norm1");
    check("registers", &vit(5, 1, 0), grid(5, 0), [WIDTH, 3, 4], "blocks.1/norm1");
    check("tokens behind", &vit(1, 1, 2), grid(1, 2), [WIDTH, 3, 4], "blocks.1/norm1");
}

#[test]
fn averaged_places_are_looked_at_where_they_are_averaged() {
    check(
        "mean",
        &mean_pooled(false),
        SpatialLayout::Tokens { before: 0, after: 0 },
        [WIDTH, 3, 4],
        "norm/Add",
    );
    check(
        "without the class token",
        &mean_pooled(true),
        SpatialLayout::Tokens { before: 1, after: 0 },
        [WIDTH, 3, 4],
        "norm/Add",
    );
}

#[test]
fn windows_are_put_together_again() {
    let model = swin();
    check("swin", &model, SpatialLayout::ChannelsLast, [2 * WIDTH, 4, 2], "norm/Add");
    let layers = model.layers();
    let of = |name: &str| layers.iter().filter(|l| l.node.starts_with(name)).collect::<Vec<_>>();
    // Within windows there are no image rows, and shifted windows are not positions either.
    assert!(of("features.0/attn").is_empty() && of("features.1/attn").is_empty() && of("roll").is_empty());
    for block in ["features.0/Add", "features.1/Add"] {
        assert_eq!(of(block)[0].shape, [WIDTH, 8, 4], "{block}");
    }
}

/// The scores depend on a class token alone, after positions that were upsampled and downsampled again.
#[test]
fn resizing_is_no_attention() {
    let (mut net, image) = Net::new(&[3, 12, 16]);
    let (places, token) = (patches(&mut net, image), learned(&mut net, 1));
    let mut x = net.node("concat", Concat { axis: 1 }, &[token, places]);
    for block in 0..2 {
        x = net.block(&format!("blocks.{block}"), x);
    }
    let (class, places) = (part(&mut net, x, 1, 0, 1), part(&mut net, x, 1, 1, 12));
    let mut planes = net.b().transpose(places, &[0, 2, 1]).unwrap();
    planes = net.reshape(planes, &[1, WIDTH, 3, 4]);
    for (axis, from, to) in [(2, 3, 6), (3, 4, 8), (2, 6, 3), (3, 8, 4)] {
        let linear = Resampling {
            mode: Mode::Linear,
            coordinates: Coordinates::HalfPixel,
            exclude_outside: false,
            antialias: false,
        };
        let matrix = resize::matrix(&linear, from, to, to as f64 / from as f64).unwrap();
        planes = resize::resize(&mut net.b(), planes, axis, &matrix).unwrap();
    }
    let flat = net.reshape(planes, &[1, WIDTH, 12]);
    let places = net.b().transpose(flat, &[0, 2, 1]).unwrap();
    x = net.node("concat", Concat { axis: 1 }, &[class, places]);
    x = net.norm("norm", x);
    let class = part(&mut net, x, 1, 0, 1);
    let pooled = net.b().mean(class, &[1], false).unwrap();
    let logits = net.gemm("head", pooled, 3);
    net.graph.set_outputs(&[logits]);
    let model = Model::from_graph(net.graph).unwrap();
    let grid = SpatialLayout::Tokens { before: 1, after: 0 };
    check("resized places", &model, grid, [WIDTH, 3, 4], "blocks.1/norm1");
    // Resized planes are planes: 6×8 positions, and 3×4 with the class token in front.
    let layers = model.layers();
    assert!(
        layers.iter().any(|l| l.shape == [WIDTH, 6, 8] && l.grid == SpatialLayout::Spatial),
        "{layers:?}"
    );
    assert!(layers.iter().any(|l| l.node.starts_with("norm") && l.grid == grid), "{layers:?}");
}

/// Tokens of 2×2 positions each, extracted by indices as PyTorch exports `unfold`.
#[test]
fn windows_cut_out_by_indices_are_places() {
    let (mut net, image) = Net::new(&[3, 12, 16]);
    let planes = net.conv("pixel_embed/Conv", image, WIDTH, 2, 2);
    let cut = |net: &mut Net, x, axis, count: usize| {
        let indices = (0..2 * count).map(|i| i / count + 2 * (i % count)).collect();
        net.node("unfold", Gather { axis, indices, shape: vec![2, count] }, &[x])
    };
    let rows = cut(&mut net, planes, 2, 3);
    let windows = cut(&mut net, rows, 4, 4);
    let tokens = net.b().transpose(windows, &[0, 3, 5, 1, 2, 4]).unwrap();
    // A separate network within each window, as in a transformer in a transformer.
    let within = net.reshape(tokens, &[12, WIDTH, 2, 2]);
    let within = net.conv("within/Conv", within, WIDTH, 1, 1);
    let positions = net.weight(&[1, WIDTH, 2, 2], 0.3);
    let within = net.b().add(within, positions).unwrap();
    let tokens = net.reshape(within, &[1, 12, 4 * WIDTH]);
    let x = net.linear("proj", tokens, WIDTH);
    let x = net.block("blocks.0", x);
    let x = net.norm("norm", x);
    let pooled = net.b().mean(x, &[1], false).unwrap();
    let logits = net.gemm("head", pooled, 3);
    net.graph.set_outputs(&[logits]);
    let model = Model::from_graph(net.graph).unwrap();
    check("unfold", &model, SpatialLayout::Tokens { before: 0, after: 0 }, [WIDTH, 3, 4], "norm/Add");
}

#[test]
fn attention_is_no_picture() {
    // 12 tokens attend to 12 tokens: a square, but without rows and columns of the image.
    let layers = mean_pooled(false).layers();
    assert!(layers.iter().all(|l| l.op != "Softmax" && l.shape[1..] == [3, 4]), "{layers:?}");
}

/// Law 1 with tokens as positions: CAM = Grad-CAM × area, and the map sums to area × (logit − bias).
#[test]
fn class_activation_maps_of_averaged_tokens() {
    for (what, model) in
        [("tokens", mean_pooled(false)), ("behind a class token", mean_pooled(true)), ("swin", swin())]
    {
        let gap = model.gap_head().unwrap_or_else(|| panic!("{what}"));
        assert_eq!(gap.features, model.default_layer().unwrap().value, "{what}");
        let [c, h, w] = model.shape();
        let methods = ["cam", "grad_cam"].map(|id| find(id).unwrap());
        let options = ExplainOptions { target: Target::Class(2), ..ExplainOptions::new(&methods) };
        let pixels = noise(c * h * w, 9);
        let explained = Explainer::new(&model, &options).unwrap().explain(&pixels, 1).unwrap().remove(0);
        let [cam, grad_cam] = [0, 1].map(|i: usize| &explained.attributions[i].values);
        let area = cam.len() as f32;
        let size = cam.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        for (cam, grad_cam) in cam.iter().zip(grad_cam) {
            assert!((cam - grad_cam * area).abs() <= 1e-4 * size, "{what}: {cam} {grad_cam}");
        }
        let (sum, score) = (cam.iter().sum::<f32>() / area, explained.logits[2] - gap.bias[2]);
        assert!((sum - score).abs() <= 1e-4 * size, "{what}: {sum} {score}");
    }
    assert!(vit(1, 1, 0).gap_head().is_none());
}
