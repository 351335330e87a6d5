//! Tests of models that are not plain classifiers, and inputs that are not images.

use std::fs;
use std::path::{Path, PathBuf};

use heatlens::data::npy_bytes;
use heatlens::graph::op::reshape::Flatten;
use heatlens::graph::{Builder, Fact, Graph, Shape, Tensor, ValueId, onnx};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{Trained, heatlens, manifest};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../heatlens/tests/golden/dense").join(name)
}

#[test]
fn a_segmentation_is_described_counted_and_explained_where_asked() {
    let (model, images, folder) = (golden("unet.onnx"), golden("input.npy"), TempDir::new().unwrap());
    heatlens("inspect", &[&model])
        .says(0, &["meaning  segmentation", "3 classes at 40×40 pixels after softmax"]);
    heatlens("predict", &[&model, &images]).says(0, &["share(0),share(1),share(2)"]);
    let out = folder.path().join("out");
    let explain = |flags: &str, out: &Path| {
        heatlens(&format!("explain {flags} --save npz --out"), &[out, &model, &images])
    };
    explain("--class 2 --region at:20,20", &out).ends(0);
    assert_eq!(manifest(&out)[0]["maps"][0]["target"], "2");
    explain("--region at:40,1", &folder.path().join("outside"))
        .refuses(&["outside the model's 40×40 pixels"]);
    explain("--region left", &folder.path().join("side"))
        .refuses(&["only boxes in a known format have sides"]);
    explain("--detection 1", &folder.path().join("none")).refuses(&["the model is not a detector"]);
    explain("--method d_rise", &folder.path().join("boxes")).refuses(&[
        "d_rise does not apply here",
        "the boxes of a detector",
        "its head: segmentation",
    ]);
    explain("--aug-smooth", &folder.path().join("smooth")).refuses(&["--aug-smooth"]);
}

#[test]
fn boxes_are_listed_and_explained_by_rank() {
    let (model, images, folder) = (golden("detector.onnx"), golden("input.npy"), TempDir::new().unwrap());
    heatlens("inspect", &[&model]).says(0, &["meaning  detection", "classes  ring, cross"]);
    heatlens("predict", &[&model, &images])
        .says(0, &["input,index,rank,class,p,x,y,width,height", ",1,ring,"]);
    let file = folder.path().join("boxes.json");
    heatlens("predict --out", &[&file, &model, &images]).ends(0);
    let coco: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(coco["annotations"].as_array().unwrap().len(), 8, "two objects in each of four images");
    assert_eq!((&coco["categories"][1]["name"], &coco["images"][0]["width"]), (&"cross".into(), &40.into()));
    let explain = |flags: &str, out: &str| {
        heatlens(&format!("explain {flags} --save npz --out"), &[&folder.path().join(out), &model, &images])
    };
    explain("--detection 2", "second").ends(0);
    explain("--detection cross --region top", "top").ends(0);
    explain("--method d_rise --set masks=20 --detection all", "d_rise").ends(0);
    let maps = manifest(&folder.path().join("d_rise"))[0]["maps"].clone();
    assert!(
        maps[1]["method"] == "d_rise" && maps[1]["box"].is_array() && maps[1]["empty_because"].is_null(),
        "{maps}"
    );
    explain("--detection 0", "zero").refuses(&["ranks start at 1"]);
    explain("--detection dog", "dog").refuses(&["no class \"dog\"", "ring, cross"]);
    explain("--detection 1 --class ring", "both").refuses(&["either --detection or --class"]);
    explain("--region at:1,1", "pixel").refuses(&["expected left, top, right, bottom"]);
}

#[test]
fn a_head_that_does_not_fit_is_refused() {
    let trained = Trained::new(2);
    let at = |flags: &str| heatlens(&format!("inspect {flags}"), &[&trained.model]);
    at("--head segmentation")
        .refuses(&["--head segmentation does not fit", "no output has scores at positions"]);
    at("--head detection").refuses(&["--head detection does not fit"]);
    at("--head boxes").refuses(&["'boxes' for '--head", "[possible values: classes, "]);
    let predict = |flags: &str| heatlens(&format!("predict {flags}"), &[&trained.model, &trained.data]);
    predict("--head similarity").refuses(&["--head similarity does not fit"]);
    predict("--region predicted")
        .refuses(&["only segmentation and detection models have scores at positions"]);
    predict("--head classes --reference x.png").refuses(&["--reference: only --head similarity"]);
}

/// Returns pseudo-random weights.
fn noise(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919 % 101) as f32 - 50.0) / 101.0).collect()
}

/// Writes a network from images of 8×8 to `outputs` numbers; `more` may extend it.
fn network(outputs: usize, more: impl FnOnce(&mut Builder<'_>, ValueId) -> ValueId, path: &Path) {
    let mut graph = Graph::new("net");
    let image = graph.add_input("image", Fact::f32(Shape::batched(&[1, 8, 8])));
    let mut b = Builder::new(&mut graph, "net");
    let flat = b.apply(Flatten { axis: 1 }, &[image]).unwrap();
    let weights = b.constant(Tensor::f32(&[64, outputs], noise(64 * outputs)));
    let numbers = b.matmul(flat, weights).unwrap();
    let numbers = more(&mut b, numbers);
    graph.set_outputs(&[numbers]);
    fs::write(path, onnx::write(&graph).unwrap()).unwrap();
}

fn array(path: &Path, shape: &[usize], values: &[f32]) {
    fs::write(path, npy_bytes(shape, values)).unwrap();
}

#[test]
fn images_are_held_against_an_image_or_an_embedding() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    network(80, |_, numbers| numbers, &at("net.onnx"));
    array(&at("images.npy"), &[2, 1, 8, 8], &noise(128));
    let run = |flags: &str| heatlens(&format!("predict {flags}"), &[at("net.onnx"), at("images.npy")]);
    run("").refuses(&["--head similarity --reference"]);
    run("--head similarity").refuses(&["needs a reference"]);
    let with = |reference: &Path| {
        let flags = format!("predict --reference {}", reference.display());
        heatlens(&flags, &[at("net.onnx"), at("images.npy")])
    };
    array(&at("first.npy"), &[1, 1, 8, 8], &noise(64));
    let found = with(&at("first.npy")).ends(0);
    let value: f64 = found.lines().nth(1).unwrap().rsplit(',').next().unwrap().parse().unwrap();
    assert!((value - 1.0).abs() < 1e-5, "an image is like itself: {found}");
    array(&at("short.npy"), &[7], &noise(7));
    with(&at("short.npy")).refuses(&["expected one embedding of 80 numbers, found an array of shape [7]"]);
    with(&at("none.npy")).refuses(&["there is no file or folder"]);
}

#[test]
fn further_inputs_are_fed() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let table = |b: &mut Builder<'_>, numbers: ValueId| {
        let age = b.graph_mut().add_input("age", Fact::f32(Shape::batched(&[2])));
        let weights = b.constant(Tensor::f32(&[2, 3], vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0]));
        let own = b.matmul(age, weights).unwrap();
        b.add(numbers, own).unwrap()
    };
    network(3, table, &at("net.onnx"));
    array(&at("images.npy"), &[2, 1, 8, 8], &noise(128));
    array(&at("age.npy"), &[2], &[30.0, 0.0]);
    let run = |flags: &str| {
        let flags = format!("predict --json {}", flags.replace("AT", folder.path().to_str().unwrap()));
        heatlens(&flags, &[at("net.onnx"), at("images.npy")])
    };
    let logits = |flags: &str| -> Vec<f64> {
        let run = run(flags);
        run.ends(0);
        let json: Value = serde_json::from_str(&run.stdout).unwrap();
        json["images"][1]["logits"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    };
    let fed = logits("--feed age=AT/age.npy");
    array(&at("none.npy"), &[1, 2], &[0.0, 0.0]);
    let plain = logits("--feed age=AT/none.npy");
    let difference: Vec<f64> = fed.iter().zip(&plain).map(|(a, b)| a - b).collect();
    for (found, expected) in difference.iter().zip([30.0, 0.0, 0.0]) {
        assert!((found - expected).abs() < 1e-4, "{difference:?}");
    }
    run("").refuses(&["depend on more than the image: \"age\" (N×2)", "--feed NAME=FILE.npy"]);
    run("--feed age").refuses(&["expected NAME=FILE.npy"]);
    run("--feed old=AT/age.npy").refuses(&["no input \"old\"", "\"age\" (N×2)"]);
    array(&at("long.npy"), &[3], &[0.0; 3]);
    run("--feed age=AT/long.npy").refuses(&["expected an array of shape [1, 2], found [3]"]);
    array(&at("rows.npy"), &[2, 2], &[0.0; 4]);
    run("--feed age=AT/rows.npy").refuses(&["found [2, 2]", "one row is used for all images"]);
}
