//! Tests of class names: in files, in folder names, and in `--class`.

use std::fs;
use std::path::Path;

use crate::common::{BARELY, Trained, class_folder, explain, heatlens, manifest, save_png, train};

#[test]
fn folders_match_classes_whatever_their_case() {
    let folder = tempfile::tempdir().unwrap();
    let [data, run, other] = ["data", "run", "other"].map(|name| folder.path().join(name));
    class_folder(&data, &["OK", "defect"], 6);
    train(&data, &run, BARELY).ends(0);
    class_folder(&other, &["ok", "Defect"], 4);
    let model = run.join("model.onnx");
    let predict = heatlens("predict", &[&model, &other]);
    predict.says(0, &["folders taken as the model's classes: Defect as defect, ok as OK"]);
    assert_eq!(predict.stdout.matches(",OK,").count() + predict.stdout.matches(",defect,").count(), 8);
    // If no name matches, both lists are reported, and the images have no labels.
    let strange = folder.path().join("strange");
    class_folder(&strange, &["good", "Defect"], 4);
    let out = folder.path().join("out");
    explain(&model, &strange, &out, "--method grad_cam").says(
        0,
        &[
            "no class of the model is named like the folder good",
            "the classes are OK, defect",
            "--labels FILE",
        ],
    );
    let labels: Vec<_> = manifest(&out).iter().map(|line| line["label"].clone()).collect();
    assert_eq!((labels[0].as_str(), labels[4].as_str()), (Some("defect"), None));
}

#[test]
fn parts_of_a_data_set_are_no_classes() {
    let trained = Trained::new(2);
    for part in ["train", "val"] {
        class_folder(&trained.path("data").join(part), &["0", "1"], 2);
    }
    for command in ["predict", "explain --out none", "audit --out none"] {
        heatlens(command, &[&trained.model, &trained.path("data")])
            .says(1, &["holds train and val, the parts of a data set", "data/val"]);
    }
    heatlens("predict", &[&trained.model, &trained.path("data/val")]).ends(0);
}

#[test]
fn what_is_no_image_costs_nothing() {
    let trained = Trained::new(2);
    let photos = trained.path("photos");
    class_folder(&photos, &["0", "1"], 3);
    let strangers = [
        "notes.txt",
        "labels.csv",
        ".DS_Store",
        "0/Thumbs.db",
        "0/README",
        "0/.ipynb_checkpoints/000.png",
        "1/._000.png",
        "1/y.npy",
        "__MACOSX/1/._000.png",
    ];
    for name in strangers {
        fs::create_dir_all(photos.join(name).parent().unwrap()).unwrap();
        fs::write(photos.join(name), b"\0\x05\x16\x07 not a picture").unwrap();
    }
    let run = heatlens("predict", &[&trained.model, &photos]);
    run.says(0, &["entries that are not images are left out", "more"]);
    assert_eq!(run.stdout.lines().count(), 7);
    assert_eq!(run.stderr.matches("left out").count(), 1, "{}", run.stderr);
    // A truncated image is not one of these.
    fs::write(photos.join("1/cut.png"), b"\x89PNG\r\n\x1a\n").unwrap();
    fs::write(photos.join("1/empty.jpg"), b"").unwrap();
    heatlens("predict", &[&trained.model, &photos]).says(1, &["cut.png", "empty.jpg", "2 of 8 images"]);
}

#[test]
fn names_come_from_files_of_any_form() {
    let trained = Trained::new(3);
    let picture = trained.path("a.png");
    save_png(&picture, 0, 0);
    let predict = |file: &Path| heatlens("predict", &[&trained.model, &picture, Path::new("--labels"), file]);
    let file = trained.path("names.anything");
    for text in [
        "\u{feff}tench\r\ncrane\r\nhen\r\n",
        r#"{"0": ["n01440764", "tench"], "1": ["n02012849", "crane"], "2": ["n01514668", "hen"]}"#,
        r#"{"id2label": {"0": "tench", "1": "crane", "2": "hen"}}"#,
    ] {
        fs::write(&file, text).unwrap();
        predict(&file).says(0, &["p(tench),p(crane),p(hen)"]);
    }
    fs::write(&file, b"tench\ncr\xe2ne\nhen").unwrap();
    predict(&file).says(1, &["names.anything", "neither UTF-8 nor UTF-16", "save it as UTF-8"]);
    fs::write(&file, "tench\ncrane").unwrap();
    predict(&file).says(1, &["found 2 names (tench … crane), but the model has 3 classes"]);
    predict(Path::new("/no/such.txt")).says(1, &["/no/such.txt", "no such file"]);
    fs::write(&file, "crane\nhen\ncrane").unwrap();
    let class = |class: &str| {
        let words = format!("explain --method grad_cam --force --class {class} --out");
        heatlens(&words, &[&trained.path("out"), &trained.model, &picture, Path::new("--labels"), &file])
    };
    class("crane").says(2, &["2 classes are called \"crane\": 0 crane, 2 crane", "crane#0"]);
    for (word, target) in [("crane#2", "crane"), ("2", "crane"), ("HEN", "hen")] {
        class(word).ends(0);
        assert_eq!(manifest(&trained.path("out"))[0]["maps"][0]["target"], target, "{word}");
    }
}

#[test]
fn predict_names_the_likeliest_classes() {
    let trained = Trained::new(3);
    let run =
        |flags: &str| heatlens(&format!("predict --rows 0:2 {flags}"), &[&trained.model, &trained.data]);
    let top = run("--top 2").stdout;
    assert!(top.starts_with("input,index,label,class 1,p 1,class 2,p 2\n"), "{top}");
    let fields: Vec<&str> = top.lines().nth(1).unwrap().split(',').collect();
    assert_eq!(fields.len(), 7);
    assert!(fields[4].parse::<f32>().unwrap() >= fields[6].parse::<f32>().unwrap());
    let all: serde_json::Value = serde_json::from_str(&run("--json").stdout).unwrap();
    assert_eq!((all["classes"][2].as_str(), all["images"].as_array().unwrap().len()), (Some("2"), 2));
    let image = &all["images"][0];
    assert_eq!(image["predicted"], fields[3]);
    let sum: f64 = image["probabilities"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-5 && image["logits"].as_array().unwrap().len() == 3);
    let json: serde_json::Value = serde_json::from_str(&run("--json --top 1").stdout).unwrap();
    assert_eq!(json["images"][0]["top"][0]["name"], fields[3]);
    run("--top 0").says(2, &["--top", "whole number from 1 on"]);
}
