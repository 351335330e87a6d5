//! Tests of `heatlens explain`: its output for each image, and the values of the maps.

use std::fs;

use serde_json::json;

use crate::common::{Trained, arrays, columns, explain, files, heatlens, manifest, program, save_png};

/// Settings with which every method takes few passes.
const FEW_PASSES: &str = "samples=4,steps=3,masks=20,iterations=5,sobol.grid=3,lime.samples=40,hsic.samples=20,\
    kernel_shap.samples=40,kernel_shap.segments=6";

const DEFAULT_METHODS: [&str; 3] = ["grad_cam", "guided_backprop", "guided_grad_cam"];

#[test]
fn every_image_gets_its_pictures_and_a_line_in_the_manifest() {
    let trained = Trained::new(2);
    let out = trained.path("out");
    explain(&trained.model, &trained.data, &out, "--rows 30:36").ends(0);
    let files = files(&out);
    for row in 30..36 {
        for picture in
            ["original", "heatmap_grad_cam", "overlay_grad_cam", "guided_backprop", "guided_grad_cam"]
        {
            let name = format!("data_{row}/{picture}.png");
            assert!(image::load_from_memory(&files[&name]).unwrap().width() >= 320, "{name}");
        }
    }
    assert!(image::load_from_memory(&files["sheet.png"]).is_ok());
    assert!(!files.contains_key("maps.npz"));

    let lines = manifest(&out);
    assert_eq!(lines.len(), 6);
    for (row, line) in (30..).zip(&lines) {
        assert_eq!(line["input"], format!("{}[{row}]", trained.data.display()));
        assert_eq!((&line["index"], &line["label"]), (&json!(row), &json!((row % 2).to_string())));
        let (z, p) = (line["logit"][0].as_f64().unwrap(), line["probability"].as_array().unwrap());
        assert_eq!(line["predicted"], if z > 0.0 { "1" } else { "0" });
        assert!((p[1].as_f64().unwrap() - 1.0 / (1.0 + (-z).exp())).abs() < 1e-6, "{line}");
        let maps = line["maps"].as_array().unwrap();
        let methods: Vec<&str> = maps.iter().map(|map| map["method"].as_str().unwrap()).collect();
        assert_eq!(methods, DEFAULT_METHODS);
        for map in maps {
            assert_eq!(map["target"], line["predicted"]);
            assert!(map["raw_min"].as_f64().unwrap() <= map["raw_max"].as_f64().unwrap());
        }
        assert!(maps[0]["layer"].is_string() && line["warnings"].is_array());
        for file in line["files"].as_array().unwrap() {
            assert!(files.contains_key(file.as_str().unwrap()), "{file}");
        }
    }
    let listed: usize = lines.iter().map(|line| line["files"].as_array().unwrap().len()).sum();
    assert_eq!(files.len(), listed + 3, "the manifest lists all but itself, the sheet and run.json");
}

#[test]
fn picture_files_are_explained_under_their_own_names() {
    let trained = Trained::new(2);
    let pictures = trained.path("pictures");
    save_png(&pictures.join("first cat.png"), 0, 0);
    save_png(&pictures.join("zebra.png"), 1, 1);
    explain(&trained.model, &pictures, &trained.path("out"), "--method grad_cam").ends(0);
    let lines = manifest(&trained.path("out"));
    assert_eq!(lines[0]["files"][0], "first_cat_0/original.png");
    assert_eq!(lines[1]["files"][0], "zebra_1/original.png");
    assert_eq!(lines[1]["label"], json!(null));
}

#[test]
fn all_methods_are_written_and_save_decides_what_is() {
    let trained = Trained::new(2);
    let out = trained.path("out");
    let flags = format!("--rows 0:3 --method all --save npz --set {FEW_PASSES}");
    let said = explain(&trained.model, &trained.data, &out, &flags).ends(0);
    let listed = heatlens::<&str>("methods --json", &[]);
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    let mut ids: Vec<&str> = listed.as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
    for id in ["cam", "grad_cam", "gradient", "guided_backprop", "guided_grad_cam"] {
        assert!(ids.contains(&id), "{id}");
    }
    let maps = arrays(&out.join("maps.npz"));
    let (applies, left_out): (Vec<&str>, Vec<&str>) = ids.iter().copied().partition(|id| {
        let names = |line: &str| line.contains(&format!(" {id} ")) || line.contains(&format!("\"{id}."));
        !said.lines().any(|line| line.contains("left out: ") && names(line))
    });
    assert!(left_out.contains(&"attention_rollout") && left_out.len() < 5, "{said}");
    ids = applies;
    ids.extend(["index", "logits"]);
    ids.sort_unstable();
    assert_eq!(maps.keys().map(String::as_str).collect::<Vec<_>>(), ids);
    assert_eq!(files(&out).keys().collect::<Vec<_>>(), ["manifest.jsonl", "maps.npz", "run.json"]);

    assert_eq!(maps["index"], (vec![3], vec![0.0, 1.0, 2.0]));
    assert_eq!(maps["logits"].0, [3, 1]);
    let lines = manifest(&out);
    for (line, z) in lines.iter().zip(&maps["logits"].1) {
        assert_eq!(line["logit"][0].as_f64().unwrap(), *z);
    }
    // 16×16 after two valid 3×3 convolutions, each followed by a pooling by 2: 14, 7, 5, 2.
    // CAM is defined only for the last one; Grad-CAM skips a map of four cells.
    for (id, side) in [("cam", 2), ("grad_cam", 5)] {
        assert_eq!(maps[id].0, [3, side, side], "{id}");
    }
    // Law 1: at the same layer, CAM is Grad-CAM times the area.
    let there = trained.path("there");
    let flags = "--rows 0:3 --class 1 --save npz --method cam,grad_cam --layer max_pooling2d_2";
    explain(&trained.model, &trained.data, &there, flags).ends(0);
    let maps_there = arrays(&there.join("maps.npz"));
    for (cam, grad_cam) in maps_there["cam"].1.iter().zip(&maps_there["grad_cam"].1) {
        assert!((cam - 4.0 * grad_cam).abs() <= 1e-6 * (1.0 + cam.abs()), "{cam} {grad_cam}");
    }
    for id in ["gradient", "guided_backprop", "guided_grad_cam"] {
        assert_eq!(maps[id].0, [3, 1, 16, 16], "{id}");
    }
}

#[test]
fn tensors_have_the_names_that_scripts_use_and_add_up() {
    let trained = Trained::new(2);
    let out = trained.path("out");
    explain(&trained.model, &trained.data, &out, "--rows 4:7 --class 1 --save tensors,npz --method cam")
        .ends(0);
    let tensors = arrays(&out.join("tensors.npz"));
    let names: Vec<&str> = tensors.keys().map(String::as_str).collect();
    assert_eq!(names, ["cam", "conv_grad", "conv_output", "index", "input_grad", "weights"]);
    let (shape, activations) = &tensors["conv_output"];
    let &[n, channels, h, w] = shape.as_slice() else { panic!("{shape:?}") };
    assert_eq!((n, channels), (3, 20));
    assert_eq!(tensors["conv_grad"].0, *shape);
    assert_eq!(tensors["input_grad"].0, [3, 1, 16, 16]);
    assert_eq!((&tensors["weights"].0, &tensors["cam"].0), (&vec![3, 20], &vec![3, h, w]));

    let (_, weights) = &tensors["weights"];
    let cam = &arrays(&out.join("maps.npz"))["cam"].1;
    for (i, value) in tensors["cam"].1.iter().enumerate() {
        let (sample, at) = (i / (h * w), i % (h * w));
        let sum: f64 = (0..channels)
            .map(|k| weights[sample * channels + k] * activations[(sample * channels + k) * h * w + at])
            .sum();
        assert!(
            (sum - value).abs() < 1e-5 * (1.0 + sum.abs()) && (value - cam[i]).abs() < 1e-5,
            "{sum} {value}"
        );
    }
    let table = fs::read_to_string(out.join("channels.csv")).unwrap();
    let products = columns(&table, "product");
    assert_eq!(products.len(), 3 * channels);
    // z − b is the same sum for every image: logits and sums differ by a constant, the bias.
    let biases: Vec<f64> = manifest(&out)
        .iter()
        .zip(products.chunks(channels))
        .map(|(line, products)| line["logit"][0].as_f64().unwrap() - products.iter().sum::<f64>())
        .collect();
    for bias in &biases {
        assert!((bias - biases[0]).abs() < 1e-5, "{biases:?}");
    }
    // The gradient of every pixel of a channel is the dense weight divided by the area.
    for (i, grad) in tensors["conv_grad"].1.iter().enumerate() {
        assert!((grad - weights[i / (h * w)] / (h * w) as f64).abs() < 1e-6, "{grad}");
    }
}

#[test]
fn class_picks_whose_evidence_is_shown() {
    let trained = Trained::new(2);
    let maps = |class: &str| {
        let out = trained.path(&format!("out-{class}"));
        let flags = format!("--rows 0:2 --method cam --save npz --class {class}");
        explain(&trained.model, &trained.data, &out, &flags).ends(0);
        arrays(&out.join("maps.npz"))
    };
    let (zero, one, all) = (maps("0"), maps("1"), maps("all"));
    assert!(one["cam"].1.iter().any(|&v| v != 0.0));
    assert_eq!(zero["cam"].1, one["cam"].1.iter().map(|v| -v).collect::<Vec<_>>());
    assert_eq!((&all["cam#0"], &all["cam#1"]), (&zero["cam"], &one["cam"]));
    let wrong = explain(&trained.model, &trained.data, &trained.path("none"), "--class cat");
    wrong.says(2, &["no class \"cat\"", "0, 1"]);
    assert!(!trained.path("none").exists());
}

#[test]
fn a_class_can_be_picked_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (data, run) = (folder.path().join("data"), folder.path().join("run"));
    crate::common::class_folder(&data, &["cat", "dog", "owl"], 6);
    crate::common::train(&data, &run, crate::common::BARELY).ends(0);
    let out = folder.path().join("out");
    explain(&run.join("model.onnx"), &data, &out, "--class dog --method grad_cam").ends(0);
    let lines = manifest(&out);
    assert_eq!(lines.len(), 18);
    assert!(lines.iter().all(|line| line["maps"][0]["target"] == "dog"));
    assert_eq!((&lines[0]["label"], &lines[17]["label"]), (&json!("cat"), &json!("owl")));
}

#[test]
fn layers_go_by_the_end_of_their_names() {
    let trained = Trained::new(2);
    // Layers of heatlens have plain names, those of exporters are paths. A name of the same length can be patched in.
    let mut bytes = fs::read(&trained.model).unwrap();
    for (old, new) in [(b"conv2d_1", b"body/a_1"), (b"conv2d_2", b"body/a_2")] {
        while let Some(at) = bytes.windows(8).position(|name| name == old) {
            bytes[at..at + 8].copy_from_slice(new);
        }
    }
    let renamed = trained.path("renamed.onnx");
    fs::write(&renamed, bytes).unwrap();
    let layer = |name: &str, out: &str| {
        explain(
            &renamed,
            &trained.data,
            &trained.path(out),
            &format!("--rows 0:1 --method grad_cam --layer {name}"),
        )
    };
    layer("a_2", "end").ends(0);
    assert_eq!(manifest(&trained.path("end"))[0]["maps"][0]["layer"], "body/a_2");
    layer("_2", "part").says(2, &["no layer \"_2\"", "body/a_2"]);
}

#[test]
fn several_layers_are_told_apart_and_a_wrong_name_lists_near_ones() {
    let trained = Trained::new(2);
    let inspected = heatlens("inspect --json", &[&trained.model]);
    let inspected: serde_json::Value = serde_json::from_str(&inspected.stdout).unwrap();
    let layers: Vec<&str> =
        inspected["layers"].as_array().unwrap().iter().map(|layer| layer["name"].as_str().unwrap()).collect();
    let (first, last) = (layers[0], *layers.last().unwrap());
    assert_eq!((last, &inspected["default_layer"]), ("max_pooling2d_2", &serde_json::json!("relu_2")));
    let out = trained.path("out");
    let flags = format!("--rows 0:1 --method grad_cam --save npz --layer {first},{last}");
    explain(&trained.model, &trained.data, &out, &flags).ends(0);
    let maps = arrays(&out.join("maps.npz"));
    assert_eq!(maps[&format!("grad_cam@{first}")].0, [1, 14, 14]);
    assert_eq!(manifest(&out)[0]["maps"][0]["layer"], first);

    let note = explain(
        &trained.model,
        &trained.data,
        &trained.path("noted"),
        &format!("--method gradient --layer {last}"),
    );
    note.says(0, &["--layer has no effect on gradient"]);
    let wrong = explain(&trained.model, &trained.data, &trained.path("none"), &format!("--layer {first}x"));
    wrong.says(2, &[&format!("no layer \"{first}x\""), first]);
    assert!(!trained.path("none").exists());
}

#[test]
fn an_unknown_method_is_answered_with_the_nearest() {
    let trained = Trained::new(2);
    let wrong = explain(&trained.model, &trained.data, &trained.path("out"), "--method grad_cma");
    wrong.says(2, &["no method \"grad_cma\"", "did you mean grad_cam"]);
}

#[test]
fn threads_make_no_difference() {
    let trained = Trained::new(3);
    for (name, threads) in [("one", 1), ("two", 2), ("three", 3)] {
        let flags = format!(
            "--method all --class all --save png,npz,tensors --picture-size 100 --rows 0:4 --threads {threads} --set {FEW_PASSES}"
        );
        explain(&trained.model, &trained.data, &trained.path(name), &flags).ends(0);
    }
    let one = files(&trained.path("one"));
    for other in ["two", "three"] {
        let other = files(&trained.path(other));
        assert!(one.keys().eq(other.keys()));
        for (name, bytes) in &one {
            assert!(*bytes == other[name], "{name} differs");
        }
    }
}

#[test]
fn one_image_alone_looks_as_it_does_among_others() {
    let trained = Trained::new(2);
    explain(&trained.model, &trained.data, &trained.path("all"), "--save png").ends(0);
    explain(&trained.model, &trained.data, &trained.path("alone"), "--save png --rows 33").ends(0);
    let (all, alone) = (files(&trained.path("all")), files(&trained.path("alone")));
    for (name, bytes) in alone.iter().filter(|(name, _)| name.starts_with("data_33/")) {
        assert!(all[name] == *bytes, "{name} differs");
    }
    assert_eq!(manifest(&trained.path("all"))[33], manifest(&trained.path("alone"))[0]);
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_finished_images_and_whole_lines() {
    let trained = Trained::new(2);
    let (data, out) = (trained.path("many.npz"), trained.path("out"));
    crate::common::stripes_npz(&data, 3000, 2);
    let child = program()
        .args(["explain".as_ref(), trained.model.as_path(), &data, "--out".as_ref(), &out])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    while fs::metadata(out.join("manifest.jsonl")).map_or(0, |m| m.len()) == 0 {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let run = crate::common::Run::of(&child.wait_with_output().unwrap());
    run.says(130, &["interrupted", "of 3000 images explained", "--resume"]);
    let lines = manifest(&out);
    assert!(!lines.is_empty() && lines.len() < 3000, "{}", lines.len());
    let files = files(&out);
    for name in lines.iter().flat_map(|line| line["files"].as_array().unwrap()) {
        image::load_from_memory(&files[name.as_str().unwrap()]).unwrap();
    }
    assert!(files.contains_key("sheet.png"));
    assert!(!files.keys().any(|name| name.contains(".part")));
}

/// One image may take hours: it is not waited for.
#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_passes_of_one_image() {
    let trained = Trained::new(2);
    let out = trained.path("out");
    let words = "--method rise --set masks=5000000";
    let mut child = program()
        .args(["explain".as_ref(), trained.model.as_path(), &trained.data, "--out".as_ref(), &out])
        .args(words.split(' '))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    while !out.join("run.json").exists() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before it began");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let run = crate::common::Run::of(&child.wait_with_output().unwrap());
    run.says(130, &["interrupted", "0 of", "images explained", "--resume"]);
    assert!(manifest(&out).is_empty());
}

/// An interrupted and resumed run is identical to an uninterrupted one, even if it was killed while writing.
#[cfg(unix)]
#[test]
fn a_resumed_run_is_one_run() {
    let trained = Trained::new(2);
    let data = trained.path("some.npz");
    crate::common::stripes_npz(&data, 40, 2);
    let words = "--method rise,grad_cam --set masks=600 --save png,npz,tensors,boxes --report";
    explain(&trained.model, &data, &trained.path("whole"), words).ends(0);
    let out = trained.path("parts");
    let child = program()
        .arg("explain")
        .args(words.split(' '))
        .args([trained.model.as_path(), &data, "--out".as_ref(), &out])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    while fs::read_to_string(out.join("manifest.jsonl")).map_or(0, |text| text.lines().count()) < 3 {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    drop(child.wait_with_output().unwrap());
    let done = manifest(&out).len();
    assert!((3..40).contains(&done), "{done} of 40 images when it was stopped");
    // Truncates the last image's record and leaves half a line.
    let kept = fs::read(out.join("explanations.bin")).unwrap();
    fs::write(out.join("explanations.bin"), &kept[..kept.len() - 5]).unwrap();
    let lines = fs::read_to_string(out.join("manifest.jsonl")).unwrap();
    fs::write(out.join("manifest.jsonl"), format!("{lines}{{\"input\":")).unwrap();
    let other = explain(&trained.model, &data, &out, "--method cam --resume");
    other.says(1, &["started with other settings: methods was", "rise", "is now [\"cam\"]", "--force"]);
    let made = || fs::metadata(out.join("some_00/original.png")).unwrap().modified().unwrap();
    let before = made();
    explain(&trained.model, &data, &out, &format!("{words} --resume")).says(0, &["40 of 40 images"]);
    assert_eq!(made(), before, "finished images are not made again");
    let (whole, parts) = (files(&trained.path("whole")), files(&out));
    assert_eq!(whole.keys().collect::<Vec<_>>(), parts.keys().collect::<Vec<_>>());
    for (name, bytes) in &whole {
        assert!(parts[name] == *bytes, "{name} differs");
    }
    explain(&trained.model, &data, &out, &format!("{words} --resume"))
        .says(1, &["no unfinished run", "without"]);
}

/// Explanations are not lost if the page cannot be written.
#[test]
fn a_page_that_cannot_be_written_loses_no_image() {
    let trained = Trained::new(2);
    let (data, out) = (trained.path("some.npz"), trained.path("out"));
    crate::common::stripes_npz(&data, 6, 2);
    explain(&trained.model, &data, &out, "--report").ends(0);
    let whole = files(&out);
    let old = fs::read(out.join("manifest.jsonl")).unwrap();
    fs::remove_dir_all(&out).unwrap();
    fs::create_dir_all(out.join("report.html")).unwrap();
    explain(&trained.model, &data, &out, "--report --force").says(1, &["report.html"]);
    assert_eq!(fs::read(out.join("manifest.jsonl")).unwrap(), old, "all images are done");
    fs::remove_dir(out.join("report.html")).unwrap();
    let made = || fs::metadata(out.join("some_0/original.png")).unwrap().modified().unwrap();
    let before = made();
    explain(&trained.model, &data, &out, "--report --resume").ends(0);
    assert_eq!(made(), before, "finished images are not made again");
    assert!(files(&out) == whole);
}

/// A run is identified by the contents of its files, not by their location or time stamps.
#[test]
fn a_moved_run_goes_on_and_another_model_is_refused() {
    let trained = Trained::new(2);
    let (data, out) = (trained.path("some.npz"), trained.path("out"));
    let other = trained.path("other");
    crate::common::train(&trained.data, &other, "--recipe keras-two-class --epochs 1 --seed 7").ends(0);
    crate::common::stripes_npz(&data, 6, 2);
    explain(&trained.model, &data, &out, "--shard 1/2").ends(0);
    let state = fs::read_to_string(out.join("run.json")).unwrap();
    fs::write(out.join("run.json"), state.replace("\"finished\": true", "\"finished\": false")).unwrap();
    // Moves everything to another folder.
    let elsewhere = tempfile::tempdir().unwrap();
    let place = |name: &str| elsewhere.path().join(name);
    fs::copy(&trained.model, place("model.onnx")).unwrap();
    fs::copy(&data, place("some.npz")).unwrap();
    fs::rename(&out, place("out")).unwrap();
    let resume = || explain(&place("model.onnx"), &place("some.npz"), &place("out"), "--shard 1/2 --resume");
    let written = fs::metadata(&trained.model).unwrap().modified().unwrap();
    fs::copy(other.join("model.onnx"), place("model.onnx")).unwrap();
    fs::File::options().write(true).open(place("model.onnx")).unwrap().set_modified(written).unwrap();
    resume().says(1, &["started with other settings: model was"]);
    fs::copy(&trained.model, place("model.onnx")).unwrap();
    let made = || fs::metadata(place("out/some_0/original.png")).unwrap().modified().unwrap();
    let before = made();
    resume().says(0, &["3 of 3 images explained"]);
    assert_eq!(made(), before, "finished images are not made again");
    // Other images under the same name.
    fs::write(place("out/run.json"), state.replace("\"finished\": true", "\"finished\": false")).unwrap();
    crate::common::stripes_npz(&place("some.npz"), 8, 2);
    resume().says(1, &["started with other settings: images was 6, is now 8"]);
}
