//! Scaling of pixels within the graph.

use std::path::{Path, PathBuf};

use heatlens::data::{NpzWriter, OpenOptions, Preset, Scale, npy_bytes};
use heatlens::graph::op::concat::Concat;
use heatlens::graph::op::gather::Gather;
use heatlens::graph::op::slice::Slice;
use heatlens::graph::{Tensor, ValueId};
use heatlens::model::{Model, PixelRange, Preparation};

use super::nets::Net;

/// Builds a network on the result of `begin` for the image.
fn model(begin: impl Fn(&mut Net, ValueId) -> ValueId) -> Model {
    let (mut net, image) = Net::new(&[3, 6, 6]);
    let x = begin(&mut net, image);
    let x = net.conv("conv", x, 4, 3, 1);
    let pooled = net.pooled(x);
    let logits = net.gemm("fc", pooled, 3);
    net.graph.set_outputs(&[logits]);
    Model::from_graph(net.graph).unwrap()
}

/// Builds x · factor + shift, with a shift per channel.
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
        let about_pixels = model.notes.iter().filter(|note| note.contains("pixels go in")).count();
        assert_eq!(about_pixels, usize::from(expected.is_some()), "{what}: {:?}", model.notes);
    }
}

/// Scales and shifts each channel separately, and concatenates them in this order.
fn channels(order: [usize; 3], factor: f32, shifts: [f32; 3]) -> Model {
    model(|net, image| {
        let mut b = net.b();
        let parts: Vec<ValueId> = order
            .iter()
            .map(|&c| {
                let part = b.apply(Slice { axis: 1, start: c, len: 1, step: 1 }, &[image]).unwrap();
                let scaled = b.scale(part, factor).unwrap();
                let shift = b.scalar(shifts[c]);
                b.add(scaled, shift).unwrap()
            })
            .collect();
        b.apply(Concat { axis: 1 }, &parts).unwrap()
    })
}

#[test]
fn channels_in_another_order_are_still_pixels() {
    let caffe = channels([2, 1, 0], 1.0, [-123.68, -116.779, -103.939]);
    assert_eq!(caffe.own_scaling, Some(PixelRange::Bytes));
    assert!(!caffe.preprocessing_assumed());
    // Inception takes normalized pixels and changes their mean and deviation, so the range cannot be inferred.
    let inception = channels([0, 1, 2], 0.458, [-0.03, -0.088, -0.188]);
    assert_eq!(inception.own_scaling, None);
    assert!(inception.preprocessing_assumed());
    let reversed = model(|net, image| {
        let mut b = net.b();
        let turned =
            b.apply(Gather { axis: 1, indices: [2, 1, 0].into(), shape: vec![3] }, &[image]).unwrap();
        b.scale(turned, 1.0 / 127.5).unwrap()
    });
    assert_eq!(reversed.own_scaling, Some(PixelRange::Bytes));
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

/// Writes an image file and arrays of the same bytes, as integers and as floats.
fn pictures(folder: &Path) -> [PathBuf; 3] {
    let [file, integers, floats] = ["a.png", "integers.npz", "floats.npy"].map(|name| folder.join(name));
    let byte = |at: u32| (at * 37 % 256) as u8;
    image::RgbImage::from_fn(6, 6, |x, y| image::Rgb([0, 1, 2].map(|c| byte(c * 36 + y * 6 + x))))
        .save(&file)
        .unwrap();
    let bytes: Vec<u8> = (0..108).map(byte).collect();
    let mut archive = NpzWriter::create(&integers).unwrap();
    archive.push_integers("X", &[3, 6, 6], &bytes.iter().map(|&b| i64::from(b)).collect::<Vec<_>>()).unwrap();
    archive.finish().unwrap();
    std::fs::write(
        &floats,
        npy_bytes(&[1, 3, 6, 6], &bytes.iter().map(|&b| f32::from(b)).collect::<Vec<_>>()),
    )
    .unwrap();
    [file, integers, floats]
}

#[test]
fn arrays_and_files_arrive_alike() {
    let folder = tempfile::tempdir().unwrap();
    let [file, integers, floats] = pictures(folder.path());
    let preset = |preset| Preparation { preset: Some(preset), ..Preparation::default() };
    let raw = Preparation { scale: Some(Scale::Raw), ..Preparation::default() };
    for (what, mut model, said, largest, floats_too) in [
        ("nothing known", model(|_, image| image), Preparation::default(), 1.0, false),
        ("bytes wanted by the graph", affine(1.0 / 255.0, [0.0; 3]), Preparation::default(), 255.0, true),
        ("0 to 1 wanted by the graph", affine(4.4, [-2.1, -2.0, -1.8]), Preparation::default(), 1.0, false),
        ("--preset tf", model(|_, image| image), preset(Preset::Tf), 1.0, true),
        ("--preset caffe", model(|_, image| image), preset(Preset::Caffe), 151.1, true),
        ("--scale raw", model(|_, image| image), raw, 255.0, true),
    ] {
        model.prepare(&said).unwrap();
        let pixels: Vec<Vec<f32>> = [&file, &integers, &floats]
            .iter()
            .map(|path| {
                let data = model.open_inputs(&[(*path).clone()], &OpenOptions::default()).unwrap();
                data.load(0).unwrap().pixels
            })
            .collect();
        assert_eq!(pixels[0], pixels[1], "{what}");
        assert_eq!(pixels[0] == pixels[2], floats_too, "{what}");
        let max = pixels[0].iter().copied().fold(f32::MIN, f32::max);
        assert!((max - largest).abs() < 0.1, "{what}: {max}");
        if !floats_too {
            // As fed to the network in Python, with a warning about the unusual range.
            assert!(pixels[2].contains(&255.0), "{what}");
            assert!(model.range_problem(0.0, 255.0).unwrap().contains("--preset"), "{what}");
        }
    }
}

#[test]
fn the_assumption_is_said_and_can_be_asked_for() {
    let mut plain = model(|_, image| image);
    assert!(plain.preprocessing_assumed());
    plain.prepare(&Preparation::default()).unwrap();
    assert!(plain.notes.iter().any(|note| note.contains("--preset changes that")), "{:?}", plain.notes);
    let mut told = model(|_, image| image);
    told.prepare(&Preparation { preset: Some(Preset::Unit), ..Preparation::default() }).unwrap();
    let about_pixels = told.notes.iter().any(|note| note.contains("--preset"));
    assert!(!told.preprocessing_assumed() && !about_pixels, "{:?}", told.notes);
    let wrong = Preparation { std: vec![0.0], ..Preparation::default() };
    assert!(told.prepare(&wrong).unwrap_err().to_string().contains("std is 0"));
    assert_eq!(told.preprocessing.std, [1.0; 3], "refused settings change nothing");
}
