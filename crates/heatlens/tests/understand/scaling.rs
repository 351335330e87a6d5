//! What a graph does to pixels by itself.

use heatlens::graph::{Tensor, ValueId};
use heatlens::model::{Model, PixelRange};

use super::nets::Net;

/// A network on what `begin` makes of the image.
fn model(begin: impl Fn(&mut Net, ValueId) -> ValueId) -> Model {
    let (mut net, image) = Net::new(&[3, 6, 6]);
    let x = begin(&mut net, image);
    let x = net.conv("conv", x, 4, 3, 1);
    let pooled = net.pooled(x);
    let logits = net.gemm("fc", pooled, 3);
    net.graph.set_outputs(&[logits]);
    Model::from_graph(net.graph).unwrap()
}

/// x · factor + shift, with a shift for each channel.
fn affine(factor: f32, shift: [f32; 3]) -> Model {
    model(|net, image| {
        let shift = net.graph.add_constant("shift", Tensor::f32(&[1, 3, 1, 1], shift.to_vec()));
        let mut b = net.b();
        let scaled = b.scale(image, factor).unwrap();
        b.add(scaled, shift).unwrap()
    })
}

#[test]
fn arithmetic_at_the_start_tells_the_range() {
    for (what, model, expected) in [
        ("none", model(|_, image| image), None),
        ("x / 255", affine(1.0 / 255.0, [0.0; 3]), Some(PixelRange::Bytes)),
        ("x / 127.5 - 1", affine(1.0 / 127.5, [-1.0; 3]), Some(PixelRange::Bytes)),
        ("x - mean of bytes", affine(1.0, [-103.9, -116.8, -123.7]), Some(PixelRange::Bytes)),
        ("bytes to normal", affine(1.0 / 58.4, [-2.1, -2.0, -1.8]), Some(PixelRange::Bytes)),
        ("2 x - 1", affine(2.0, [-1.0; 3]), Some(PixelRange::Unit)),
        ("0...1 to normal", affine(4.4, [-2.1, -2.0, -1.8]), Some(PixelRange::Unit)),
    ] {
        assert_eq!(model.own_scaling, expected, "{what}");
        let scale = if expected == Some(PixelRange::Bytes) { 255.0 } else { 1.0 };
        assert_eq!(model.preprocessing.scale, scale, "{what}");
        assert_eq!(model.notes.len(), usize::from(expected.is_some()), "{what}: {:?}", model.notes);
    }
}

#[test]
fn a_rectifier_ends_the_arithmetic() {
    let late = model(|net, image| {
        let x = net.relu("relu", image);
        net.b().scale(x, 1.0 / 255.0).unwrap()
    });
    assert_eq!(late.own_scaling, None);
}

#[test]
fn a_range_that_cannot_be_meant_is_named() {
    let bytes = affine(1.0 / 255.0, [0.0; 3]);
    let unit = affine(4.4, [-2.1, -2.0, -1.8]);
    let plain = model(|_, image| image);
    assert!(bytes.range_problem(0.0, 1.0).unwrap().contains("from 0 to 1, but the model scales"));
    assert!(unit.range_problem(0.0, 255.0).unwrap().contains("divide by 255"));
    assert!(plain.range_problem(0.0, 255.0).unwrap().contains("nothing in the model scales"));
    for (model, min, max) in [
        (&bytes, 0.0, 255.0),
        (&unit, 0.0, 1.0),
        (&plain, 0.0, 1.0),
        (&plain, -120.0, 150.0),
        (&bytes, 0.0, 0.0),
    ] {
        assert_eq!(model.range_problem(min, max), None, "{min} {max}");
    }
    let mut own = plain;
    own.described = true;
    assert_eq!(own.range_problem(0.0, 255.0), None, "trained on arrays as they are");
}
