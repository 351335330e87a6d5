//! Models with dense outputs: maps agree with pytorch-grad-cam's targets and fall on the requested object.
//! `tools/golden/make_dense.py` trained the networks on scenes of one ring (class 1) and one cross (class 2).

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_precision_loss)] // tests may panic

mod common;
#[path = "dense/d_rise.rs"]
mod d_rise;

use std::fs;
use std::path::Path;

use common::{Tol, assert_close, golden, npy};
use heatlens::data::{OpenOptions, Raster, open_inputs};
use heatlens::detector::{Detection, Detector};
use heatlens::explain::{ExplainOptions, Explainer, Focus, ImageAttributions, Score, Target, ZeroMap};
use heatlens::graph::op::concat::Concat;
use heatlens::graph::op::conv::Conv;
use heatlens::graph::op::slice::Slice;
use heatlens::graph::op::softmax::Softmax;
use heatlens::graph::op::unary::UnaryFunction;
use heatlens::graph::op::window::Window;
use heatlens::graph::{Builder, Fact, Graph, Shape, Tensor, ValueId, onnx, reference};
use heatlens::method::find;
use heatlens::model::{Description, HeadKind, Model};
use heatlens::predict::{self, Predictor};
use heatlens::render::{CropTransform, save_png};
use heatlens::run::{self, ChosenTarget, ExplainRequest, Monitor, NoMonitor, RunError, RunOptions};
use heatlens::train::arch;
use serde_json::Value;

const SIDE: usize = 40;

fn unet() -> Model {
    Model::open(golden("dense").join("unet.onnx")).unwrap()
}

fn pixels() -> Vec<f32> {
    npy(&golden("dense").join("input.npy")).1
}

fn explain(model: &Model, ids: &[&str], class: usize) -> Vec<ImageAttributions> {
    let methods: Vec<_> = ids.iter().map(|id| find(id).unwrap()).collect();
    let options = ExplainOptions { target: Target::Class(class), ..ExplainOptions::new(&methods) };
    let pixels = pixels();
    Explainer::new(model, &options).unwrap().explain(&pixels, pixels.len() / (SIDE * SIDE)).unwrap()
}

#[test]
fn segmentation_maps_agree_with_pytorch_grad_cam() {
    let folder = golden("dense");
    let entries: Value =
        serde_json::from_str(&fs::read_to_string(folder.join("unet.json")).unwrap()).unwrap();
    for entry in entries.as_array().unwrap() {
        let text = |key: &str| entry[key].as_str().unwrap();
        let images = number(&entry["images"]);
        let (_, expected) = npy(&folder.join(text("file")));
        let maps = entry["maps"].as_array().unwrap();
        let one = expected.len() / maps.len() / images;
        for (map, expected) in maps.iter().zip(expected.chunks(images * one)) {
            let mut model = unet().with_region(map["region"].as_str().unwrap()).unwrap();
            // The other library sums the scores.
            model.head.dense.as_mut().unwrap().sum = true;
            let options = ExplainOptions {
                layers: vec![model.layer(text("layer")).unwrap()],
                target: Target::Class(number(&map["class"])),
                ..ExplainOptions::new(&[find(text("method")).unwrap()])
            };
            let explained = Explainer::new(&model, &options).unwrap();
            let explained = explained.explain(&pixels()[..images * SIDE * SIDE], images).unwrap();
            for (explained, expected) in explained.iter().zip(expected.chunks(one)) {
                let what = format!("{} of {map}", text("file"));
                assert_close(&what, &explained.attributions[0].values, expected, Tol::FRAMEWORK);
            }
        }
    }
}

#[test]
fn a_segmentation_is_known_by_its_shape_and_answers_with_shares() {
    let model = unet();
    assert_eq!(model.head.kind, HeadKind::Segmentation);
    assert_eq!((model.head.classes(), model.head.dense.as_ref().unwrap().grid), (3, Some([SIDE, SIDE])));
    let pixels = &pixels()[..SIDE * SIDE];
    let logits = Predictor::new(&model).unwrap().logits(pixels, 1).unwrap();
    let shares = model.head.probabilities(&logits);
    let expected = [1383.0, 121.0, 96.0].map(|count: f64| count / 1600.0);
    for (found, expected) in shares.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-6, "{shares:?}");
    }
    // The background, which covers most of the image, is skipped.
    assert_eq!((model.head.predicted(&logits), model.head.runner_up(&logits)), (1, 2));
    let mut options = ExplainOptions::new(&[]);
    options.take_default_methods(&model);
    assert_eq!(options.methods[0].id, "hires_cam", "Grad-CAM pools the gradient over all places");
    let explainer = Explainer::new(&model, &options).unwrap();
    assert_eq!(explainer.explain(pixels, 1).unwrap()[0].attributions[0].class, 1);
    assert_eq!(explainer.maps()[0].layer.as_ref().unwrap().shape, [8, 10, 10], "the bottom of the U");
}

fn detector() -> Model {
    Model::open(golden("dense").join("detector.onnx")).unwrap()
}

fn entries() -> Vec<Value> {
    let text = fs::read_to_string(golden("dense").join("detector.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

#[test]
fn detection_maps_are_those_of_odam() {
    for entry in entries() {
        let (image, class) = (number(&entry["image"]), number(&entry["class"]));
        let (_, expected) = npy(&golden("dense").join(entry["file"].as_str().unwrap()));
        let scores = entry["scores"].as_array().unwrap();
        for (score, expected) in scores.iter().zip(expected.chunks(expected.len() / scores.len())) {
            let mut model = detector();
            if score != "class" {
                model = model.with_region(score.as_str().unwrap()).unwrap();
            }
            let options = ExplainOptions {
                layers: vec![model.layer(entry["layer"].as_str().unwrap()).unwrap()],
                target: Target::Class(class),
                ..ExplainOptions::new(&[find("hires_cam").unwrap()])
            };
            let pixels = &pixels()[image * SIDE * SIDE..(image + 1) * SIDE * SIDE];
            let explained = Explainer::new(&model, &options).unwrap().explain(pixels, 1).unwrap();
            let map = &explained[0].attributions[0];
            assert_close(
                &format!("{score} of class {class} on {image}"),
                &map.values,
                expected,
                Tol::FRAMEWORK,
            );
            let logit = f64::from(explained[0].logits[class]);
            assert!((logit - entry["logit"].as_f64().unwrap()).abs() < 1e-4 * logit.abs(), "{logit}");
        }
    }
}

/// pytorch-grad-cam's target for detectors is the probability of the box's class, plus its overlap with itself.
#[test]
fn probabilities_of_boxes_have_the_maps_of_pytorch_grad_cam() {
    let text = fs::read_to_string(golden("dense").join("box_score.json")).unwrap();
    let entries: Vec<Value> = serde_json::from_str(&text).unwrap();
    let (_, maps) = npy(&golden("dense").join("box_score.npy"));
    let (model, mut rest) = (detector(), maps.as_slice());
    assert!(entries.len() >= 8, "{} maps", entries.len());
    for entry in &entries {
        let (image, text) = (number(&entry["image"]), |key: &str| entry[key].as_str().unwrap());
        let options = ExplainOptions {
            layers: vec![model.layer(text("layer")).unwrap()],
            target: Target::Class(number(&entry["class"])),
            score: Score::Probability,
            ..ExplainOptions::new(&[find(text("method")).unwrap()])
        };
        let pixels = &pixels()[image * SIDE * SIDE..(image + 1) * SIDE * SIDE];
        let explained = Explainer::new(&model, &options).unwrap().explain(pixels, 1).unwrap();
        let (expected, others) = rest.split_at(number(&entry["len"]));
        assert_close(&entry.to_string(), &explained[0].attributions[0].values, expected, Tol::FRAMEWORK);
        rest = others;
    }
    assert!(rest.is_empty());
}

#[test]
fn detections_are_found_named_and_ranked() {
    let model = detector();
    assert_eq!(
        (model.head.kind, model.class_names.as_slice()),
        (HeadKind::Detection, &["ring".into(), "cross".into()][..])
    );
    let found = Detector::new(&model).unwrap().detect(&pixels(), 4).unwrap();
    for entry in entries() {
        let of_class = |d: &&Detection| d.class == number(&entry["class"]);
        let best = found[number(&entry["image"])].iter().find(of_class).unwrap();
        assert_eq!(best.place, number(&entry["place"]));
        let sides: Vec<f64> = entry["box"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        for (found, expected) in best.bounds.iter().zip(sides) {
            assert!((found - expected).abs() < 1e-3, "{:?}", best.bounds);
        }
    }
    // Duplicate detections of an object are removed.
    assert!(found.iter().all(|of| of.len() == 2), "{found:?}");
}

#[test]
fn boxes_of_a_data_set_are_in_pixels_of_its_images() {
    let (model, folder) = (detector(), tempfile::tempdir().unwrap());
    // Each pixel becomes two rows and three columns.
    let [h, w] = [2 * SIDE, 3 * SIDE];
    for (number, scene) in pixels().chunks(SIDE * SIDE).take(4).enumerate() {
        let value = |i: usize| (scene[i / w / 2 * SIDE + i % w / 3] * 255.0).clamp(0.0, 255.0) as u8;
        let bytes: Vec<u8> = (0..h * w).map(value).collect();
        let picture = Raster::from_bytes([h, w, 1], &bytes).unwrap().to_picture(0.0, 1.0);
        save_png(&picture, folder.path().join(format!("{number}.png"))).unwrap();
    }
    let preprocessing = Some(model.preprocessing.clone());
    let options = OpenOptions { preprocessing, ..OpenOptions::default() };
    let data = open_inputs(&[folder.path()], &options).unwrap();
    let detector = Detector::new(&model).unwrap();
    let found = detector.of_images(data.as_ref(), &NoMonitor).unwrap();
    assert_eq!((found.images.len(), found.broken.len(), found.stopped), (4, 0, false));
    for ((_, found), expected) in found.images.iter().zip(detector.detect(&pixels(), 4).unwrap()) {
        assert_eq!((found.size, found.placed.len()), ([h, w], 2));
        for (detection, bounds) in &found.placed {
            let own = expected.iter().find(|own| own.class == detection.class).unwrap();
            for ((bound, side), factor) in bounds.iter().zip(own.bounds).zip([3.0, 2.0, 3.0, 2.0]) {
                assert!((bound - factor * side).abs() < factor, "{bounds:?} {:?}", own.bounds);
            }
        }
    }
}

/// Returns the share of a map's heat in the box of one object and in that of the other, and the share of pixels in the
/// first.
fn in_boxes(explained: &ImageAttributions, map: usize, own: &Detection, other: &Detection) -> [f64; 3] {
    let heat = explained.attributions[map].heat_over([SIDE, SIDE]).unwrap();
    let inside = |d: &Detection, i: usize| {
        let (x, y) = ((i % SIDE) as f64 + 0.5, (i / SIDE) as f64 + 0.5);
        d.bounds[0] <= x && x <= d.bounds[2] && d.bounds[1] <= y && y <= d.bounds[3]
    };
    let total: f64 = heat.iter().map(|&v| f64::from(v)).sum();
    let on =
        |d: &Detection| (0..heat.len()).filter(|&i| inside(d, i)).map(|i| f64::from(heat[i])).sum::<f64>();
    let area = (0..heat.len()).filter(|&i| inside(own, i)).count() as f64 / heat.len() as f64;
    [on(own) / total, on(other) / total, area]
}

#[test]
fn a_detection_map_lies_in_its_own_box_whatever_its_level() {
    let model = detector();
    let pixels = pixels();
    let found = Detector::new(&model).unwrap().detect(&pixels, 4).unwrap();
    for rank in [1, 2] {
        let mut options = ExplainOptions { target: Target::Detection(rank), ..ExplainOptions::new(&[]) };
        options.take_default_methods(&model);
        let explainer = Explainer::new(&model, &options).unwrap();
        let explained = explainer.explain(&pixels, 4).unwrap();
        for (image, (explained, found)) in explained.iter().zip(&found).enumerate() {
            let (own, other) = (&found[rank - 1], &found[2 - rank]);
            let map = &explained.attributions[0];
            assert_eq!(
                (map.method.id, map.class, map.shape.as_slice()),
                ("hires_cam", own.class, &[20, 20][..])
            );
            let channels = if own.place < 400 { 16 } else { 24 };
            assert_eq!(map.layer.as_ref().unwrap().shape[0], channels, "the level of the box");
            let [share, elsewhere, chance] = in_boxes(explained, 0, own, other);
            assert!(
                share >= 3.0 * chance && share >= 5.0 * elsewhere,
                "{image}: {share} {elsewhere} {chance}"
            );
        }
    }
}

#[test]
fn every_detection_has_a_map_and_a_box() {
    let (model, pixels) = (detector(), pixels());
    let found = Detector::new(&model).unwrap().detect(&pixels, 4).unwrap();
    let methods = [find("hires_cam").unwrap()];
    let options = ExplainOptions { target: Target::Detections(3), ..ExplainOptions::new(&methods) };
    let explainer = Explainer::new(&model, &options).unwrap();
    let names: Vec<&str> = explainer.maps().iter().map(|map| map.name.as_str()).collect();
    assert_eq!(names, ["hires_cam#1", "hires_cam#2", "hires_cam#3"]);
    for (explained, found) in explainer.explain(&pixels, 4).unwrap().iter().zip(&found) {
        for (map, detection) in explained.attributions.iter().zip(found) {
            let bounds = map.focus.as_ref().and_then(|focus| focus.bounds([SIDE, SIDE])).unwrap();
            for (found, expected) in bounds.iter().zip(detection.bounds) {
                assert!((f64::from(*found) - expected).abs() < 1e-3, "{bounds:?} {detection:?}");
            }
            assert_eq!((map.class, map.zero), (detection.class, None));
        }
        let absent = &explained.attributions[2];
        assert!(absent.zero.is_some_and(ZeroMap::is_absent) && absent.focus.is_none());
    }
}

fn options(out: &Path) -> RunOptions {
    RunOptions { out: out.to_owned(), shard: None, resume: false, force: true, command: String::new() }
}

/// Runs `explain` on the scenes; returns the lines of the manifest.
fn run(
    model: &Path,
    change: impl FnOnce(&mut ExplainRequest),
) -> Result<(tempfile::TempDir, Vec<Value>), String> {
    let out = tempfile::tempdir().unwrap();
    let scenes = golden("dense").join("input.npy");
    let mut request = ExplainRequest::new(model, vec![scenes]);
    request.model.scale = Some("raw".to_owned());
    change(&mut request);
    run::explain(&request, &options(out.path()), &NoMonitor).map_err(|e| e.to_string())?;
    let lines = fs::read_to_string(out.path().join("manifest.jsonl")).unwrap();
    Ok((out, lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()))
}

#[test]
fn boxes_are_drawn_and_those_that_are_not_there_are_left_out() {
    let file = golden("dense").join("detector.onnx");
    let (out, lines) = run(&file, |request| {
        request.methods = vec!["hires_cam".to_owned()];
        request.detection = Some("all".to_owned());
    })
    .unwrap();
    for line in &lines {
        assert_eq!(line["maps"].as_array().unwrap().len(), 2, "no image has more");
        let files: Vec<&str> =
            line["files"].as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect();
        let overlay = files.iter().find(|file| file.contains("overlay_hires_cam#2")).unwrap();
        let picture = image::open(out.path().join(overlay)).unwrap().to_rgb8();
        assert!(picture.pixels().any(|pixel| pixel.0 == [0, 200, 255]), "the box is outlined");
        assert_eq!(line["maps"][1]["box"].as_array().unwrap().len(), 4);
    }
    let refused = run(&file, |request| request.detection = Some("0".to_owned())).unwrap_err();
    assert!(refused.contains("ranks start at 1"), "{refused}");
    let both = |request: &mut ExplainRequest| {
        request.detection = Some("all".to_owned());
        request.class = "above:0.5".to_owned();
    };
    let refused = run(&file, both).unwrap_err();
    assert!(refused.contains("either --detection or --class"), "{refused}");
}

#[test]
fn a_choice_of_targets_that_is_interrupted_ends_the_run() {
    #[derive(Debug)]
    struct Stops;
    impl Monitor for Stops {
        fn advance(&self, _: usize) -> bool {
            false
        }
    }
    let out = tempfile::tempdir().unwrap();
    let mut request =
        ExplainRequest::new(golden("dense").join("detector.onnx"), vec![golden("dense").join("input.npy")]);
    request.model.scale = Some("raw".to_owned());
    request.detection = Some("all".to_owned());
    let ended = run::explain(&request, &options(out.path()), &Stops).unwrap_err();
    assert!(matches!(ended, RunError::Interrupted), "{ended}");
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0, "nothing is written");
}

#[test]
fn classes_above_a_probability_are_explained_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.onnx");
    let mut network = arch::find("gap-cnn").unwrap().build([1, SIDE, SIDE], 3, 0).unwrap();
    let logits = network.outputs()[0];
    let mut b = Builder::new(&mut network, "labels");
    // Sure of the first label, never of the second, and of the third by the image.
    let bias = b.constant(Tensor::f32(&[1, 3], vec![9.0, -9.0, 0.0]));
    let sum = b.add(logits, bias).unwrap();
    let labels = b.unary(UnaryFunction::Sigmoid, sum).unwrap();
    network.set_outputs(&[labels]);
    fs::write(&file, Model::from_graph(network).unwrap().to_onnx().unwrap()).unwrap();
    let (_, lines) = run(&file, |request| request.class = "above:0.9".to_owned()).unwrap();
    for line in &lines {
        let targets: Vec<&str> =
            line["maps"].as_array().unwrap().iter().map(|map| map["target"].as_str().unwrap()).collect();
        assert!(targets.iter().all(|target| *target == "0"), "{targets:?}");
    }
    let refused = run(&file, |request| request.class = "above:0.99999".to_owned()).unwrap_err();
    assert!(refused.contains("no class is above 0.99999") && refused.contains("0.9"), "{refused}");
    let refused = run(&file, |request| request.class = "above:2".to_owned()).unwrap_err();
    assert!(refused.contains("expected above: and a probability"), "{refused}");
}

#[test]
fn a_rank_that_no_box_has_is_told() {
    let options =
        ExplainOptions { target: Target::Detection(9), ..ExplainOptions::new(&[find("hires_cam").unwrap()]) };
    let explained = Explainer::new(&detector(), &options).unwrap().explain(&pixels(), 4).unwrap();
    assert!(explained.iter().all(|e| e.attributions[0].zero == Some(ZeroMap::NoPlace)));
}

/// Returns the detector with its output rearranged, and its scores.
fn rearranged(arrange: impl FnOnce(&mut Builder<'_>, [ValueId; 2]) -> Vec<ValueId>) -> (Model, Vec<f64>) {
    let (graph, own) = rearranged_graph(arrange);
    (Model::from_graph(graph).unwrap(), own)
}

fn rearranged_graph(
    arrange: impl FnOnce(&mut Builder<'_>, [ValueId; 2]) -> Vec<ValueId>,
) -> (Graph, Vec<f64>) {
    let bytes = fs::read(golden("dense").join("detector.onnx")).unwrap();
    let mut graph = onnx::read(bytes).unwrap();
    let output = graph.outputs()[0];
    let mut b = Builder::new(&mut graph, "arranged");
    let part =
        |b: &mut Builder<'_>, start, len| b.apply(Slice { axis: 1, start, len, step: 1 }, &[output]).unwrap();
    let parts = [part(&mut b, 0, 4), part(&mut b, 4, 2)];
    let outputs = arrange(&mut b, parts);
    graph.set_outputs(&outputs);
    let feed = Tensor::f32(&[1, 1, SIDE, SIDE], pixels()[..SIDE * SIDE].to_vec());
    let own = reference::run(&graph, &[feed], 1, &outputs[..1]).unwrap()[0].to_f64();
    (graph, own)
}

fn surest(model: &Model) -> Vec<f64> {
    let logits = Predictor::new(model).unwrap().logits(&pixels()[..SIDE * SIDE], 1).unwrap();
    model.head.probabilities(&logits)
}

#[test]
fn every_layout_of_boxes_is_understood() {
    let plain = surest(&detector());
    let close = |found: &[f64], expected: &[f64]| {
        found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5)
    };
    // Scores and boxes as separate outputs, positions first, as in SSD and DETR.
    let (pair, _) =
        rearranged(|b, parts| parts.iter().rev().map(|&p| b.transpose(p, &[0, 2, 1]).unwrap()).collect());
    assert_eq!(pair.head.kind, HeadKind::Detection);
    assert!(close(&surest(&pair), &plain), "{:?} {plain:?}", surest(&pair));
    let found = |model: &Model| Detector::new(model).unwrap().detect(&pixels(), 4).unwrap();
    assert_eq!(found(&pair), found(&detector()));
    // With an objectness score before the classes, positions first: YOLOv5.
    let (object, own) = rearranged(|b, [boxes, classes]| {
        let first = b.apply(Slice { axis: 1, start: 0, len: 1, step: 1 }, &[boxes]).unwrap();
        let first = b.scale(first, 0.05).unwrap();
        let object = b.unary(UnaryFunction::Sigmoid, first).unwrap();
        let joined = b.apply(Concat { axis: 1 }, &[boxes, object, classes]).unwrap();
        vec![b.transpose(joined, &[0, 2, 1]).unwrap()]
    });
    let best = |class: usize| own.chunks(7).map(|row| row[4] * row[5 + class]).fold(0.0, f64::max);
    assert!(close(&surest(&object), &[best(0), best(1)]), "{:?} {:?}", surest(&object), [best(0), best(1)]);
    assert!(object.notes.iter().any(|note| note.contains("an object")), "{:?}", object.notes);
    // Sigmoids of everything are not boxes.
    let bytes = fs::read(golden("dense").join("detector.onnx")).unwrap();
    let mut graph = onnx::read(bytes).unwrap();
    let output = graph.outputs()[0];
    let all = Builder::new(&mut graph, "all").unary(UnaryFunction::Sigmoid, output).unwrap();
    graph.set_outputs(&[all]);
    assert!(Model::from_graph(graph).unwrap_err().to_string().contains("expected class scores"));
}

#[test]
fn numbers_behind_the_scores_are_not_classes() {
    let found = |model: &Model| Detector::new(model).unwrap().detect(&pixels(), 4).unwrap();
    let rest = |b: &mut Builder<'_>, [boxes, classes]: [ValueId; 2], more: &[ValueId]| {
        let parts: Vec<ValueId> = [boxes, classes].iter().chain(more).copied().collect();
        b.apply(Concat { axis: 1 }, &parts).unwrap()
    };
    let part = |b: &mut Builder<'_>, x: ValueId, len| {
        let part = b.apply(Slice { axis: 1, start: 0, len, step: 1 }, &[x]).unwrap();
        b.scale(part, 0.01).unwrap()
    };
    // Coefficients of masks, with the masks as a second output that looks like a segmentation.
    let (segment, _) = rearranged_graph(|b, parts| {
        let coefficients = part(b, parts[0], 3);
        let image = b.graph().inputs()[0];
        let masks = b.apply(Concat { axis: 1 }, &[image; 3]).unwrap();
        vec![rest(b, parts, &[coefficients]), masks]
    });
    // Key points with a sigmoid for their visibility.
    let (pose, _) = rearranged_graph(|b, parts| {
        let point = part(b, parts[0], 2);
        let seen = b.unary(UnaryFunction::Sigmoid, point).unwrap();
        let seen = b.apply(Slice { axis: 1, start: 0, len: 1, step: 1 }, &[seen]).unwrap();
        vec![rest(b, parts, &[point, seen])]
    });
    // An angle: as many numbers as with an objectness score.
    let (turned, _) = rearranged_graph(|b, parts| {
        let angle = part(b, parts[0], 1);
        let angle = b.unary(UnaryFunction::Sigmoid, angle).unwrap();
        let angle = b.scale(angle, 3.0).unwrap();
        vec![rest(b, parts, &[angle])]
    });
    for named in [segment, pose, turned] {
        let mut nameless = named.clone();
        assert!(nameless.metadata.remove("names").is_some());
        for graph in [named, nameless] {
            let model = Model::from_graph(graph).unwrap();
            assert_eq!((model.head.kind, model.head.outputs), (HeadKind::Detection, 2), "{:?}", model.notes);
            assert_eq!(found(&model), found(&detector()));
            assert!(model.notes.iter().any(|note| note.contains("behind the scores")), "{:?}", model.notes);
        }
    }
}

#[test]
fn a_file_that_ends_in_a_choice_is_read_up_to_it() {
    let model = Model::open(golden("dense").join("chosen.onnx")).unwrap();
    assert_eq!(model.head.kind, HeadKind::Detection, "{:?}", model.notes);
    let found = |model: &Model| Detector::new(model).unwrap().detect(&pixels(), 4).unwrap();
    let bounds =
        |found: Vec<Vec<Detection>>| -> Vec<[f64; 4]> { found.concat().iter().map(|d| d.bounds).collect() };
    assert_eq!(bounds(found(&model)), bounds(found(&detector())));
    assert!(model.notes.iter().any(|note| note.contains("are read instead")), "{:?}", model.notes);
    // Everything before the choice is an output: few are listed.
    let described = Description::of(&model).text(false);
    let others = described.lines().find(|line| line.starts_with("others")).unwrap();
    assert!(others.contains(" more; --json lists all") && others.len() < 200, "{others}");
}

/// Returns the share of a map's heat on the pixels of a class, and the share of these pixels.
fn energy(explained: &ImageAttributions, map: usize, image: usize, class: usize) -> (f64, f64) {
    let heat = explained.attributions[map].heat_over([SIDE, SIDE]).unwrap();
    let (_, classes) = npy(&golden("dense").join("classes.npy"));
    let classes = &classes[image * SIDE * SIDE..(image + 1) * SIDE * SIDE];
    let on = |i: &usize| (classes[*i] - class as f32).abs() < 0.5;
    let inside: f64 = (0..heat.len()).filter(on).map(|i| f64::from(heat[i])).sum();
    let total: f64 = heat.iter().map(|&v| f64::from(v)).sum();
    (inside / total, (0..heat.len()).filter(on).count() as f64 / heat.len() as f64)
}

#[test]
fn a_segmentation_map_lies_on_its_own_object() {
    let model = unet();
    // Occlusion's grey square is as large as the objects, so its map is wider and touches the other object.
    let methods = [
        ("hires_cam", 3.0, 5.0),
        ("layer_cam", 3.0, 5.0),
        ("input_x_gradient", 3.0, 5.0),
        ("occlusion", 2.0, 3.0),
    ];
    let ids = methods.map(|(id, ..)| id);
    for class in [1, 2] {
        for (image, explained) in explain(&model, &ids, class).iter().enumerate() {
            for (map, (id, times, apart)) in methods.iter().enumerate() {
                let (own, chance) = energy(explained, map, image, class);
                let (other, _) = energy(explained, map, image, 3 - class);
                assert!(own >= times * chance, "{id} of class {class} on image {image}: {own} and {chance}");
                assert!(own >= apart * other, "{id} of class {class} on image {image}: {own} and {other}");
            }
        }
    }
}

#[test]
fn a_region_without_pixels_is_told() {
    let mut blank = pixels();
    blank.truncate(SIDE * SIDE);
    blank.fill(0.3);
    let options =
        ExplainOptions { target: Target::Class(2), ..ExplainOptions::new(&[find("grad_cam").unwrap()]) };
    let explainer = Explainer::new(&unet(), &options).unwrap();
    assert_eq!(explainer.explain(&blank, 1).unwrap()[0].attributions[0].zero, Some(ZeroMap::NoPlace));
    let refused = |region: &str| unet().with_region(region).unwrap_err().to_string();
    assert!(refused("at:40,3").contains("lies outside the model's 40×40 pixels"), "{}", refused("at:40,3"));
    assert!(refused("at:4").contains("at:ROW,COLUMN"));
    assert!(refused("nowhere.png").contains("nowhere.png"));
}

#[test]
fn a_mask_in_memory_counts_like_its_pixels() {
    let mut inside = vec![false; 4 * SIDE * SIDE];
    // Of twice the size: the pixels of row 15, column 12 of the model's input.
    for (row, column) in [(30, 24), (30, 25), (31, 24), (31, 25)] {
        inside[row * 2 * SIDE + column] = true;
    }
    let maps = |model: &Model| explain(model, &["grad_cam"], 1)[0].attributions[0].values.clone();
    let masked = unet().with_region_mask(&inside, [2 * SIDE, 2 * SIDE]).unwrap();
    assert_eq!(maps(&masked), maps(&unet().with_region("at:15,12").unwrap()));
    let refused =
        |model: Model, inside: &[bool], size| model.with_region_mask(inside, size).unwrap_err().to_string();
    assert!(refused(unet(), &inside, [SIDE, SIDE]).contains("expected a mask of 40×40 values, found 6400"));
    assert!(refused(unet(), &[false; 4], [2, 2]).contains("covers no pixel"));
    assert!(refused(detector(), &[true; 4], [2, 2]).contains("boxes, not pixels"));
}

#[test]
fn the_output_is_that_of_the_file() {
    let found = predict::output(&detector(), &pixels(), 4).unwrap();
    let bytes = fs::read(golden("dense").join("detector.onnx")).unwrap();
    let graph = onnx::read(bytes).unwrap();
    let images = Tensor::f32(&[4, 1, SIDE, SIDE], pixels());
    let expected = reference::run(&graph, &[images], 4, graph.outputs()).unwrap()[0].to_f64();
    let expected: Vec<f32> = expected.iter().map(|&value| value as f32).collect();
    assert_close("output", &found, &expected, Tol::FRAMEWORK);
}

#[test]
fn targets_that_depend_on_images_are_told() {
    let told = ChosenTarget::depends_on_images;
    assert!(told("above:0.5", None) && told("predicted", Some("all")));
    assert!(!told("all", None) && !told("predicted", Some("2")) && !told("predicted", None));
}

#[test]
fn a_box_lies_in_the_image_where_the_model_sees_it() {
    let boxed = Focus::Box([0.25, 0.5, 0.75, 1.0]);
    let view = CropTransform { original: [100, 200], seen: [0.0, 50.0, 100.0, 100.0] };
    assert_eq!(boxed.bounds_in(&view), Some([75.0, 50.0, 125.0, 100.0]));
    let mask = boxed.mask(&view);
    assert_eq!(mask.inside.iter().filter(|inside| **inside).count(), 50 * 50);
    assert_eq!(Focus::Pixels { size: [1, 1], inside: vec![true] }.bounds_in(&view), None);
}

/// Torchvision's detectors select boxes by level and decode them afterwards (RetinaNet, FCOS), or select them by label
/// from a softmax whose first class means no object (SSD).
#[test]
fn selections_of_torchvision_change_neither_boxes_nor_maps() {
    let found = |model: &Model| Detector::new(model).unwrap().detect(&pixels(), 4).unwrap();
    let plain = found(&detector());
    for (file, nothing) in [("by_level", 0), ("by_label", 1)] {
        let model = Model::open(golden("dense").join(format!("{file}.onnx"))).unwrap();
        assert_eq!((model.head.kind, model.head.outputs), (HeadKind::Detection, 2 + nothing), "{file}");
        for (found, plain) in found(&model).iter().zip(&plain) {
            assert_eq!(found.len(), plain.len(), "{file}");
            for (found, plain) in found.iter().zip(plain) {
                assert_eq!((found.class, found.place), (plain.class + nothing, plain.place), "{file}");
                for (found, expected) in found.bounds.iter().zip(plain.bounds) {
                    assert!((found - expected).abs() < 1e-4, "{file}: {found} {expected}");
                }
            }
        }
        for (class, layer) in [(0, "fine.1"), (1, "fine.1"), (0, "coarse.1.1"), (1, "coarse.1.1")] {
            let maps = |model: &Model, class| {
                let options = ExplainOptions {
                    layers: vec![model.layer(layer).unwrap()],
                    target: Target::Class(class),
                    ..ExplainOptions::new(&[find("hires_cam").unwrap(), find("grad_cam").unwrap()])
                };
                let explained = Explainer::new(model, &options).unwrap().explain(&pixels(), 4).unwrap();
                explained.into_iter().flat_map(|e| e.attributions).map(|a| a.values).collect::<Vec<_>>()
            };
            for (own, plain) in maps(&model, class + nothing).iter().zip(&maps(&detector(), class)) {
                assert_close(&format!("{file}, {layer}"), own, plain, Tol::F32);
            }
        }
    }
}

/// Text recognition: the classes of columns, as T×N×K. A bright column has class 1.
#[test]
fn the_steps_of_a_sequence_are_positions() {
    let mut graph = Graph::new("reader");
    let image = graph.add_input("image", Fact::f32(Shape::batched(&[1, 4, 12])));
    let mut b = Builder::new(&mut graph, "reader");
    let weights = b.constant(Tensor::f32(&[3, 1, 4, 1], [[-1.0; 4], [1.0; 4], [-2.0; 4]].concat()));
    let columns = b.apply(Conv { window: Window::new(&[4, 1]), group: 1 }, &[image, weights]).unwrap();
    let columns = b.reshape(columns, Shape::batched(&[3, 12])).unwrap();
    let steps = b.transpose(columns, &[2, 0, 1]).unwrap();
    let bias = b.constant(Tensor::f32(&[3], vec![2.0, 0.0, 0.0]));
    let steps = b.add(steps, bias).unwrap();
    let output = b.apply(Softmax { axis: 2, log: true }, &[steps]).unwrap();
    graph.set_outputs(&[output]);
    let model = Model::from_graph(graph).unwrap();
    let dense = model.head.dense.as_ref().unwrap();
    assert_eq!((model.head.kind, dense.grid, model.head.outputs), (HeadKind::Segmentation, Some([1, 12]), 3));
    let mut pixels = vec![0.0; 48];
    (0..4).for_each(|row| pixels[row * 12 + 7] = 1.0);
    let shares = model.head.probabilities(&Predictor::new(&model).unwrap().logits(&pixels, 1).unwrap());
    assert!((shares[1] - 1.0 / 12.0).abs() < 1e-6, "{shares:?}");
    let options =
        ExplainOptions { target: Target::Class(1), ..ExplainOptions::new(&[find("gradient").unwrap()]) };
    let explained = Explainer::new(&model, &options).unwrap().explain(&pixels, 1).unwrap();
    let heat = &explained[0].attributions[0].values;
    assert!((0..48).all(|i| (heat[i] != 0.0) == (i % 12 == 7)), "{heat:?}");
}
