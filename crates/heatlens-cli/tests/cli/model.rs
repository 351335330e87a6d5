//! Tests of model descriptions, and of selecting inputs and outputs.

use crate::common::{Trained, explain, heatlens, manifest};

#[test]
fn inspect_draws_the_stages_and_marks_the_default() {
    let trained = Trained::new(2);
    let run = heatlens("inspect", &[&trained.model]);
    run.says(
        0,
        &[
            "pixels   0…1",
            "as the file specifies",
            "stages\n",
            "▇▇",
            "relu_1",
            "  * relu_2",
            "\"max_pooling2d_2\" has only 2×2 cells",
        ],
    );
    let smaller = |line: &&str| line.contains('▇');
    let bars: Vec<usize> = run.stdout.lines().filter(smaller).map(|l| l.matches('▇').count()).collect();
    assert!(bars.len() > 2 && bars.windows(2).all(|pair| pair[0] >= pair[1]), "{bars:?}");
    let json = heatlens("inspect --json", &[&trained.model]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["default_layer"], "relu_2");
    assert_eq!(json["layers"][0]["grid"], "spatial");
    assert_eq!(json["stages"].as_array().unwrap().len(), bars.len());
}

#[test]
fn inputs_and_outputs_go_by_name() {
    let trained = Trained::new(2);
    let at = |flags: &str| heatlens(&format!("inspect {flags}"), &[&trained.model]);
    at("--input image --output probability").ends(0);
    at("--input picture").says(1, &["no input \"picture\"", "\"image\" (N×1×16×16)"]);
    at("--output logits").says(1, &["no output \"logits\"", "\"probability\""]);
}

#[test]
fn presets_set_how_pixels_are_prepared() {
    let trained = Trained::new(2);
    let run = |out: &str, flags: &str| {
        let flags = format!("--rows 0:1 --method grad_cam {flags}");
        explain(&trained.model, &trained.data, &trained.path(out), &flags)
    };
    run("tf", "--preset tf").ends(0);
    let prepared = &manifest(&trained.path("tf"))[0]["preprocessing"];
    assert_eq!((&prepared["scale"], &prepared["mean"]), (&"2".into(), &"1".into()));
    run("own", "--preset tf --scale 3").ends(0);
    assert_eq!(manifest(&trained.path("own"))[0]["preprocessing"]["scale"], "3");
    run("none", "--preset keras")
        .says(2, &["--preset", "keras", "imagenet, torchvision, tf, caffe, unit, raw"]);
    run("none", "--preset caffe").says(2, &["caffe for a model of 1 channels"]);
    assert!(!trained.path("none").exists());
}
