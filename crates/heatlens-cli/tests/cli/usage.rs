//! Tests that wrong usage gives an error about the flag, without a crash and without writing files.

use std::path::Path;

use crate::common::{Run, Trained, explain, heatlens, train};

#[track_caller]
fn refused(run: &Run, words: &[&str]) {
    assert!(run.code == 1 || run.code == 2, "{run:?}");
    run.says(run.code, words);
}

#[test]
fn words_the_program_does_not_know_end_with_code_2() {
    heatlens::<&str>("trian", &[]).says(2, &["trian", "train"]);
    heatlens::<&str>("methods --loud", &[]).says(2, &["--loud"]);
    heatlens::<&str>("explain", &[]).says(2, &["MODEL"]);
    heatlens::<&str>("methods --threads 0", &[]).says(2, &["--threads 0", "expected 1 to"]);
    heatlens::<&str>("methods --threads 500000", &[]).says(2, &["--threads 500000", "expected 1 to"]);
    heatlens::<&str>("", &[]).says(2, &["Usage"]);
    heatlens::<&str>("--version", &[]).says(0, &[env!("CARGO_PKG_VERSION")]);
}

#[test]
fn numbers_that_make_no_sense_are_refused_before_training() {
    let trained = Trained::new(2);
    let out = trained.path("out");
    let cases: &[(&str, &[&str])] = &[
        ("--epochs 0", &["0 epochs", "at least 1"]),
        ("--batch-size 0", &["batch size of 0", "at least 1"]),
        ("--epochs many", &["--epochs", "many"]),
        ("--learning-rate nan", &["learning rate of NaN", "above 0"]),
        ("--learning-rate=-1", &["learning rate of -1", "above 0"]),
        ("--learning-rate 0", &["learning rate of 0", "above 0"]),
        ("--learning-rate inf", &["learning rate of inf", "above 0"]),
        ("--validation-split 1.5", &["1.5", "less than 1"]),
        ("--validation-split=-0.1", &["-0.1", "0 or more"]),
        ("--validation-split nan", &["NaN", "less than 1"]),
        ("--validation-split 0.999 --split last", &["nothing for training"]),
        ("--split first", &["'first' for '--split", "stratified, last"]),
        ("--shift 3", &["shift of 3", "from 0 to 1"]),
        ("--rotation nan", &["rotation by NaN"]),
        ("--optimizer sgd --momentum nan", &["momentum", "NaN"]),
        ("--optimizer adamw --weight-decay nan", &["weight decay", "NaN"]),
        ("--optimizer lion", &["'lion' for '--optimizer", "adam, adamw, sgd"]),
        ("--lr-schedule wild", &["'wild' for '--lr-schedule", "cosine"]),
        ("--monitor happiness", &["happiness", "history.csv"]),
        ("--class-weight 1,2,3", &["3 class weights", "expected 2"]),
        ("--class-weight heavy", &["'heavy' for '--class-weight", "balanced"]),
        ("--arch resnet", &["'resnet' for '--arch", "gap-cnn, gap-cnn-bn, gap-cnn-deep"]),
        ("--recipe cake", &["'cake' for '--recipe", "default, keras-two-class"]),
        ("--size big", &["--size big", "95x80"]),
        ("--size 0", &["--size 0", "95x80"]),
        ("--channels 0", &["channel"]),
        ("--resize stretch", &["--resize", "stretch"]),
        ("--seed=-1", &["--seed", "-1"]),
    ];
    for (flags, words) in cases {
        let run = train(&trained.data, &out, flags);
        refused(&run, words);
        assert!(!out.exists(), "{flags} left files, which are in the way of the corrected command");
    }
}

#[test]
fn rows_are_checked_against_the_array() {
    let trained = Trained::new(2);
    let out = trained.path("out");
    let cases: &[(&str, &[&str])] = &[
        ("--rows nonsense", &["--rows", "nonsense", "0:2000"]),
        ("--rows 5:2", &["5:2"]),
        ("--rows 30:60", &["30:60", "36 rows"]),
        ("--rows 36", &["36", "36 rows"]),
        ("--rows 99999999999999999999", &["--rows"]),
    ];
    for (flags, words) in cases {
        refused(&explain(&trained.model, &trained.data, &out, flags), words);
        refused(&train(&trained.data, &out, flags), words);
        assert!(!out.exists(), "{flags}");
    }
}

#[test]
fn what_explain_does_not_know_is_refused() {
    let trained = Trained::new(2);
    let out = trained.path("out");
    for flags in
        ["--save jpg", "--score sum", "--class 2", "--class=-1", "--method ,", "--layer ,", "--layout hwc"]
    {
        explain(&trained.model, &trained.data, &out, flags).ends(2);
        assert!(!out.exists(), "{flags}");
    }
}

#[test]
fn methods_go_by_the_names_of_the_field() {
    let trained = Trained::new(2);
    let out = trained.path("out");
    let run = heatlens(
        "explain --rows 0:1 --method Grad-CAM,gradcam++,saliency -o",
        &[&out, &trained.model, &trained.data],
    );
    run.ends(0);
    for id in ["grad_cam", "grad_cam_pp", "gradient"] {
        let drawn = std::fs::read_dir(out.join("data_00")).unwrap();
        let drawn: Vec<_> = drawn.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        assert!(drawn.iter().any(|name| name.ends_with(&format!("{id}.png"))), "{id}: {drawn:?}");
    }
    let none = trained.path("none");
    let slip = explain(&trained.model, &trained.data, &none, "--method gradcma");
    slip.says(2, &["no method \"gradcma\"", "did you mean grad_cam", "`heatlens methods`"]);
    let error = slip.stderr.lines().find(|line| line.starts_with("error: ")).unwrap();
    assert!(error.len() < 200, "{error}");
    refused(&explain(&trained.model, &trained.data, &none, "--layer con2"), &["no layer \"con2\"", "conv"]);
    assert!(!none.exists());
}

#[test]
fn one_method_is_shown_by_itself() {
    let run = heatlens::<&str>("methods gradcam", &[]);
    run.says(0, &["grad_cam ", "cost: 1 forward pass", "goes into a file: yes"]);
    assert!(run.stdout.lines().count() < 10 && !run.stdout.contains("hires_cam"), "{}", run.stdout);
    let run = heatlens::<&str>("methods --json ig saliency", &[]);
    let rows: serde_json::Value = serde_json::from_str(&run.ends(0)).unwrap();
    let ids: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["integrated_gradients", "gradient"]);
    heatlens::<&str>("methods nonsense", &[]).says(2, &["no method \"nonsense\""]);
}

#[test]
fn short_names_of_flags_are_understood() {
    let trained = Trained::new(2);
    let run = trained.path("short");
    let words = "train --epochs 1 --batch-size 16 --lr 0.01 --validation-split 0.3 -o";
    heatlens(words, &[&run, &trained.data]).ends(0);
    let settings = std::fs::read_to_string(run.join("run.json")).unwrap();
    let settings: serde_json::Value = serde_json::from_str(&settings).unwrap();
    assert!((settings["request"]["learning_rate"].as_f64().unwrap() - 0.01).abs() < 1e-6, "{settings}");
    let again = trained.path("again.onnx");
    heatlens("convert -o", &[&again, &trained.model]).ends(0);
    assert_eq!(std::fs::read(again).unwrap(), std::fs::read(&trained.model).unwrap());
}

#[test]
fn quiet_leaves_out_notes_but_neither_results_nor_errors() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("a.png");
    image::GrayImage::from_pixel(24, 20, image::Luma([90])).save(&image).unwrap();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../heatlens/tests/zoo/resnet/model.onnx");
    let loud = heatlens("predict", &[Path::new(model), &image]);
    let quiet = heatlens("predict -q", &[Path::new(model), &image]);
    loud.says(0, &["note: "]);
    assert_eq!(quiet.ends(0), loud.stdout);
}
