//! Tests of `heatlens audit`: its output, and that a resumed audit gives the same bytes.

use std::fs;
use std::path::Path;

use heatlens::data::NpzWriter;

use crate::common::{
    QUICK, Run, SIDE, Trained, class_folder, explain, heatlens, json, save_npz, save_png, stripes,
    stripes_npz, train,
};

fn audit(model: &Path, data: &Path, out: &Path, flags: &str) -> Run {
    heatlens(&format!("audit {flags}"), &[model, data, Path::new("--out"), out])
}

const FEW: &str = "--images 5 --method grad_cam,gradient";

#[test]
fn an_audit_judges_model_and_methods() {
    let folder = tempfile::tempdir().unwrap();
    let (data, test, run) =
        (folder.path().join("data.npz"), folder.path().join("test.npz"), folder.path().join("run"));
    stripes_npz(&data, 80, 2);
    train(&data, &run, QUICK).ends(0);
    // Other images of the same kind, one of them duplicated, and masks of the left half.
    let mut file = NpzWriter::create(&test).unwrap();
    for n in 100..130 {
        let n = if n == 129 { 127 } else { n };
        file.push("X", &[SIDE, SIDE], &stripes(n, n % 2)).unwrap();
        file.push_integers("y", &[], &[(n % 2) as i64]).unwrap();
        let left: Vec<f32> = (0..SIDE * SIDE).map(|i| if i % SIDE < SIDE / 2 { 1.0 } else { 0.0 }).collect();
        file.push("mask", &[SIDE, SIDE], &left).unwrap();
    }
    file.finish().unwrap();
    let out = folder.path().join("audit");
    let model = run.join("model.onnx");
    let said = audit(&model, &test, &out, FEW);
    said.says(
        0,
        &[
            "5 images, 5 methods",
            "about ",
            "recommended: ",
            "Accuracy ",
            "Better than chance (p = ",
            "duplicates",
            "not checked",
        ],
    );
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    for words in [
        "better than chance",
        "Grad-CAM",
        "Insertion",
        "Recommended",
        ">Kept",
        "ROC curve",
        "Confusion matrix",
    ] {
        assert!(page.to_lowercase().contains(&words.to_lowercase()), "{words} is not on the page");
    }
    let found = json(&out.join("audit.json"));
    assert_eq!(found["shortcuts"], serde_json::json!([]), "stripes fill the image");
    let of_model = &found["model"];
    assert_eq!(of_model["verdict"], "learned");
    assert_eq!(of_model["images"], 30);
    for key in ["p_value", "accuracy", "auc"] {
        assert!((0.0..=1.0).contains(&of_model[key].as_f64().unwrap()), "{key}: {of_model}");
    }
    assert!(of_model["calibration"]["expected_calibration_error"].is_number());
    the_verdict_in_numbers(of_model, &page);
    assert!(found["uninformative_metrics"].is_array());
    let methods = found["methods"].as_array().unwrap();
    assert_eq!(methods.len(), 5, "the controls are added");
    for method in methods {
        let deletion = &method["metrics"]["deletion"];
        let [low, mean, high] = ["low", "mean", "high"].map(|k| deletion[k].as_f64().unwrap());
        assert!(low <= mean && mean <= high, "{deletion}");
        assert!(method["metrics"]["iou_25"]["mean"].is_number(), "masks are measured: {method}");
        assert!(method["randomisation"]["similarity"]["mean"].is_number());
        assert!(["faithful", "weak", "ignores-model"].contains(&method["verdict"].as_str().unwrap()));
        let control = ["random", "edges", "centre"].contains(&method["id"].as_str().unwrap());
        assert_eq!(method["control"], control);
        if control {
            assert_eq!(method["verdict"], "ignores-model");
        }
    }
    assert!(["grad_cam", "gradient"].contains(&found["recommended"].as_str().unwrap_or("grad_cam")));
    assert!(found["shortcuts"].as_array().unwrap().is_empty());
    assert!(json(&out.join("timing.json"))["seconds"]["deletion"].is_number());

    // `explain` ends with the same sentences.
    let lines = || said.stdout.lines();
    let sentence = lines().find(|l| l.starts_with("Accuracy ") && l.contains("always answering")).unwrap();
    let numbers = lines().find(|l| l.contains("ROC-AUC") && l.contains("sensitivity")).unwrap();
    let explained = explain(&model, &test, &folder.path().join("explained"), "--save npz");
    explained.says(0, &[sentence, numbers, "only if the model was not trained on these images"]);

    // Detects the images that the model was trained on.
    let leak = folder.path().join("leak");
    let said = audit(&model, &data, &leak, &format!("{FEW} --train-data {}", data.display()));
    said.says(0, &["80 of 80 images were used for training"]);
}

fn the_verdict_in_numbers(of_model: &serde_json::Value, page: &str) {
    // The page shows the bins stored in the file, and the same calibration error.
    let error = of_model["calibration"]["expected_calibration_error"].as_f64().unwrap();
    assert!(page.contains(&format!("expected calibration error of these images is {error:.3}")), "{error}");
    for key in ["sensitivity", "specificity", "precision"] {
        assert!((0.0..=1.0).contains(&of_model[key]["mean"].as_f64().unwrap()), "{key}: {of_model}");
    }
    assert!(of_model["title"].as_str().unwrap().starts_with("Accuracy "), "{of_model}");
}

#[test]
fn a_stopped_audit_goes_on_to_the_same_bytes() {
    let trained = Trained::new(3);
    let (whole, cut) = (trained.path("whole"), trained.path("cut"));
    audit(&trained.model, &trained.data, &whole, FEW).ends(0);
    audit(&trained.model, &trained.data, &cut, FEW).ends(0);
    let bytes = |out: &Path, name: &str| fs::read(out.join(name)).unwrap();
    // Simulates a process killed while writing the third line.
    let lines = fs::read_to_string(cut.join("images.jsonl")).unwrap();
    let third = lines.match_indices('\n').nth(1).unwrap().0 + 40;
    fs::write(cut.join("images.jsonl"), &lines[..third]).unwrap();
    fs::remove_file(cut.join("audit.json")).unwrap();
    let resumed = || audit(&trained.model, &trained.data, &cut, &format!("{FEW} --resume"));
    resumed().says(1, &["no unfinished run to resume", "the run there is finished"]);
    let state = fs::read_to_string(cut.join("run.json")).unwrap();
    fs::write(cut.join("run.json"), state.replace("\"finished\": true", "\"finished\": false")).unwrap();
    resumed().ends(0);
    for name in ["audit.json", "images.jsonl", "random-networks.json"] {
        assert_eq!(bytes(&whole, name), bytes(&cut, name), "{name}");
    }
    let other = audit(&trained.model, &trained.data, &cut, &format!("{FEW} --resume --seed 1"));
    other.says(1, &["started with other settings: seed was 0, is now 1", "--force"]);
    audit(&trained.model, &trained.data, &cut, FEW).says(1, &["is not empty"]);
    let nothing = audit(&trained.model, &trained.data, &trained.path("none"), &format!("{FEW} --resume"));
    nothing.says(1, &["no unfinished run to resume"]);
    // A single thread gives the same bytes.
    let single = trained.path("single");
    audit(&trained.model, &trained.data, &single, &format!("{FEW} --threads 1")).ends(0);
    assert_eq!(bytes(&whole, "audit.json"), bytes(&single, "audit.json"));
}

#[test]
fn without_labels_the_model_is_not_judged_but_the_methods_are() {
    let trained = Trained::new(2);
    let (data, out) = (trained.path("X.npz"), trained.path("out"));
    let images: Vec<Vec<f32>> = (0..6).map(|n| stripes(n, n % 2)).collect();
    save_npz(&data, &images, &[]);
    let said = audit(&trained.model, &data, &out, &format!("{FEW} --json"));
    said.ends(0);
    let printed: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(printed, json(&out.join("audit.json")));
    assert_eq!(printed["model"]["verdict"], "unknown");
    assert!(printed["model"]["auc"].is_null() && printed["model"]["p_value"].is_null());
    // Terminal and page both contain the result from training, once each.
    let said = audit(&trained.model, &data, &out, &format!("{FEW} --force"));
    let found = json(&trained.model.with_file_name("metrics.json"))["sentence"].as_str().unwrap().to_owned();
    said.says(0, &["Not judged: the images have no labels", &format!("When it was trained: {found}")]);
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert_eq!(page.matches(&found).count(), 1);
    audit(&trained.model, &data, &trained.path("wrong"), "--method no_such")
        .says(2, &["no method \"no_such\""]);
}

#[test]
fn an_image_that_cannot_be_read_is_named_once_also_if_no_method_is_measured_on_it() {
    let trained = Trained::new(2);
    let (data, training) = (trained.path("pictures"), trained.path("training"));
    for n in 0..40 {
        save_png(&data.join(format!("{n:02}.png")), n, n % 2);
    }
    class_folder(&training, &["0", "1"], 30);
    fs::write(data.join("17.png"), "broken").unwrap();
    fs::write(training.join("1/023.png"), "broken").unwrap();
    for images in [1, 40] {
        let flags =
            format!("--images {images} --method gradient --force --train-data {}", training.display());
        let said = audit(&trained.model, &data, &trained.path("audit"), &flags);
        said.says(1, &["1 of 40 images could not be read"]);
        assert_eq!(said.stderr.matches("/17.png").count(), 1, "{}", said.stderr);
        assert_eq!(said.stderr.matches("/023.png").count(), 1, "{}", said.stderr);
    }
}

#[test]
fn what_is_no_image_is_named() {
    let trained = Trained::new(2);
    let text = trained.path("notes.md");
    fs::write(&text, "# not an image").unwrap();
    let said = audit(&trained.model, &text, &trained.path("audit"), FEW);
    said.says(1, &["none of the images can be read; the first: ", "notes.md is not an image"]);
}
