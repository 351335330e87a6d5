//! Tests of `heatlens train`: from every kind of data to a model, a history and a verdict.

use std::fs;
use std::path::Path;

use crate::common::{
    BARELY, QUICK, Run, SIDE, Trained, class_folder, columns, files, json, manifest, noise, program,
    save_npy, save_npz, stripes, stripes_npz, train,
};

const RUN: [&str; 7] = [
    "checkpoint.safetensors",
    "history.csv",
    "learning_curve.png",
    "metrics.json",
    "model.onnx",
    "run.json",
    "timing.csv",
];

fn names(folder: &Path) -> Vec<String> {
    files(folder).into_keys().collect()
}

#[test]
fn two_class_folders_are_learned_and_leave_a_whole_run() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    class_folder(&data, &["lying", "standing"], 40);
    let said = train(&data, &out, QUICK).ends(0);
    assert_eq!(names(&out), RUN);
    let metrics = json(&out.join("metrics.json"));
    assert_eq!(metrics["verdict"], "learned", "{said}");
    assert_eq!(metrics["classes"], serde_json::json!(["lying", "standing"]));
    assert!(!said.to_lowercase().contains("nothing to see"), "{said}");
    assert!(image::open(out.join("learning_curve.png")).unwrap().width() > 300);
    assert_eq!(json(&out.join("run.json"))["request"]["epochs"], 30);
    let history = fs::read_to_string(out.join("history.csv")).unwrap();
    assert!(history.starts_with("epoch,loss,accuracy,"), "{history}");
    let loss = columns(&history, "loss");
    assert!(loss[loss.len() - 1] < 0.5 * loss[0], "{loss:?}");
    let timing = fs::read_to_string(out.join("timing.csv")).unwrap();
    assert_eq!(timing.lines().count(), history.lines().count());
}

#[test]
fn three_class_folders_give_a_softmax_model_that_knows_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    class_folder(&data, &["lying", "standing", "board"], 40); // numbered in alphabetical order
    train(&data, &out, &format!("{QUICK} --arch gap-cnn-bn")).ends(0);
    assert_eq!(json(&out.join("metrics.json"))["verdict"], "learned");
    let model = out.join("model.onnx");
    let inspected = crate::common::heatlens("inspect --json", &[&model]);
    let inspected: serde_json::Value = serde_json::from_str(&inspected.stdout).unwrap();
    assert_eq!(inspected["classes"], serde_json::json!(["board", "lying", "standing"]));
    assert_eq!((&inspected["activation"], &inspected["outputs"]), (&"softmax".into(), &3.into()));

    let table = crate::common::heatlens("predict", &[&model, &data]).stdout;
    assert!(table.starts_with("input,index,label,predicted,p(board),p(lying),p(standing)\n"), "{table}");
    let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 120);
    let right = rows.iter().filter(|row| row[2] == row[3]).count();
    assert!(right > 110, "{right} of 120 right");
    for row in columns(&table, "p(").chunks(3) {
        assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{row:?}");
    }
}

#[test]
fn a_folder_with_x_npy_and_y_npy_is_learned() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    let count = 80;
    let images: Vec<f32> = (0..count).flat_map(|n| stripes(n, n % 2)).collect();
    let labels: Vec<f32> = (0..count).map(|n| (n % 2) as f32).collect();
    save_npy(&data.join("X.npy"), &[count, SIDE, SIDE, 1], &images);
    save_npy(&data.join("y.npy"), &[count, 1], &labels);
    train(&data, &out, QUICK).ends(0);
    assert_eq!(names(&out), RUN);
    assert_eq!(json(&out.join("metrics.json"))["verdict"], "learned");
}

#[test]
fn random_labels_end_in_a_plain_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data.npz"), folder.path().join("run"));
    let count = 160;
    let images: Vec<Vec<f32>> = (0..count).map(|n| stripes(n, n % 2)).collect();
    let labels: Vec<usize> = (0..count).map(|n| usize::from(noise(n as u64 + 999) > 0.5)).collect();
    save_npz(&data, &images, &labels);
    let run = train(
        &data,
        &out,
        "--recipe keras-two-class --epochs 3 --batch-size 16 --learning-rate 0.01 --validation-split 0.3",
    );
    run.says(0, &["Accuracy ", "No evidence that the model learned", "p = "]);
    assert_eq!(json(&out.join("metrics.json"))["verdict"], "chance");
    assert_eq!(names(&out), RUN);
}

#[test]
fn chosen_rows_train_and_other_rows_are_explained_in_one_command() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data.npz"), folder.path().join("run"));
    stripes_npz(&data, 60, 2);
    let flags =
        "--rows 0:40 --split last --keep last --epochs 2 --validation-split 0.25 --explain-rows 50:60";
    let said = train(&data, &out, flags).ends(0);
    assert!(said.contains("30 images of 1×16×16 to train on"), "{said}");
    assert!(said.contains("10 held out"), "{said}");
    let lines = manifest(&out.join("explain"));
    let indices: Vec<i64> = lines.iter().map(|line| line["index"].as_i64().unwrap()).collect();
    assert_eq!(indices, (50..60).collect::<Vec<i64>>());
    for picture in ["original", "heatmap_grad_cam", "overlay_grad_cam", "guided_backprop", "guided_grad_cam"]
    {
        assert!(out.join(format!("explain/data_57/{picture}.png")).is_file(), "{picture}");
    }
}

#[test]
fn rows_to_explain_that_are_not_there_are_refused_before_training() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data.npz"), folder.path().join("run"));
    stripes_npz(&data, 20, 2);
    train(&data, &out, &format!("{BARELY} --explain-rows 15:25")).says(1, &["15:25", "20 rows"]);
    assert!(!out.exists());
    train(&data, &out, &format!("{BARELY} --explain-rows some")).says(2, &["--explain-rows", "some"]);
    let pictures = folder.path().join("pictures");
    class_folder(&pictures, &["a", "b"], 4);
    train(&pictures, &out, &format!("{BARELY} --explain-rows 0:2")).says(1, &["from arrays only"]);
}

#[test]
fn json_is_one_object_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data.npz"), folder.path().join("run"));
    stripes_npz(&data, 40, 2);
    let run = train(&data, &out, &format!("{BARELY} --json"));
    run.ends(0);
    let printed: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(printed, json(&out.join("metrics.json")));
    let run = train(&data, &out, &format!("{BARELY} --force --json --rows 0:30 --explain-rows 30:34"));
    run.ends(0);
    let parsed: Result<serde_json::Value, _> = serde_json::from_str(&run.stdout);
    assert!(parsed.is_ok(), "pictures must not speak between the lines of JSON: {}", run.stdout);
    assert!(out.join("explain/sheet.png").is_file());
}

#[test]
fn a_size_brings_pictures_to_it_and_leaves_grey_grey() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    class_folder(&data, &["a", "b"], 8);
    let said = train(&data, &out, &format!("{BARELY} --size 20x24")).ends(0);
    assert!(said.contains("images of 1×20×24"), "{said}");
    let array = folder.path().join("data.npz");
    stripes_npz(&array, 20, 2);
    let other = folder.path().join("other");
    train(&array, &other, &format!("{BARELY} --size 20")).says(1, &["size", "arrays are not resized"]);
}

#[test]
fn a_folder_in_use_is_left_alone_without_force() {
    let trained = Trained::new(2);
    let out = trained.path("run");
    let before = files(&out);
    train(&trained.data, &out, BARELY).says(1, &["not empty", "--force", out.to_str().unwrap()]);
    assert_eq!(files(&out), before);
    train(&trained.data, &out, &format!("{BARELY} --force --seed 7")).ends(0);
    assert_ne!(files(&out)["model.onnx"], before["model.onnx"]);
}

#[test]
fn a_folder_is_learned_without_any_flag() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    class_folder(&data, &["lying", "standing"], 60);
    let said = train(&data, &out, "").ends(0);
    for words in
        ["80 images of 1×16×16", "40 held out", "gap-cnn-deep, 60 epochs of 5 steps", "at most about"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    let metrics = json(&out.join("metrics.json"));
    assert_eq!(metrics["verdict"], "learned", "{said}");
    assert!(metrics["kept"]["val_accuracy"].as_f64().unwrap() > 0.95, "{said}");
    assert_eq!(json(&out.join("run.json"))["request"]["recipe"], "default");
    assert!(!said.contains("Next"), "{said}");
}

#[test]
fn a_folder_that_was_split_by_hand_is_used_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    for (part, each) in [("train", 12), ("Val", 7), ("test", 5)] {
        class_folder(&data.join(part), &["lying", "standing"], each);
    }
    let said = train(&data, &out, BARELY).ends(0);
    for words in
        ["24 images", "12 of lying, 12 of standing", "14 held out", "test is not used", "heatlens audit"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    fs::remove_dir_all(data.join("Val")).unwrap();
    let said = train(&data, &out, &format!("{BARELY} --force")).ends(0);
    assert!(said.contains("16 images") && said.contains("8 held out"), "{said}");
}

#[test]
fn parts_without_classes_are_not_taken_for_classes() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    class_folder(&data, &["train", "val"], 4);
    train(&data, &folder.path().join("run"), BARELY)
        .says(1, &["train/ and val/", "one folder for each class"]);
}

/// Returns the words of the command in the last line.
fn next_command(said: &str) -> Vec<String> {
    let last = said.trim_end().lines().next_back().unwrap();
    let command = last.split_once(": heatlens ").unwrap_or_else(|| panic!("no command in {last:?}")).1;
    command.split(' ').map(str::to_owned).collect()
}

#[test]
fn what_was_not_learned_ends_with_a_command_that_works() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data.npz"), folder.path().join("run"));
    let count = 60;
    let images: Vec<Vec<f32>> = (0..count).map(|n| stripes(n, n % 2)).collect();
    let labels: Vec<usize> = (0..count).map(|n| usize::from(noise(n as u64 + 999) > 0.5)).collect();
    save_npz(&data, &images, &labels);
    let first = train(&data, &out, "--recipe keras-two-class");
    first.ends(0);
    // First more held-out images are suggested, then the default recipe, because one epoch is not enough to learn.
    let words = next_command(&first.stdout);
    let told = |flags: &str, run: &str| format!("{flags} --out {}-{run}", out.display());
    assert!(words.join(" ").ends_with(&told("--validation-split 0.4", "2")), "{words:?}");
    let second = Run::of(&program().args(&words).output().unwrap());
    second.ends(0);
    let words = next_command(&second.stdout);
    assert!(words.join(" ").ends_with(&told("--recipe default", "3")), "{words:?}");
    assert!(!words.contains(&"keras-two-class".to_owned()), "{words:?}");
    let third = Run::of(&program().args(&words).output().unwrap());
    third.ends(0);
    assert_eq!(json(&folder.path().join("run-3/metrics.json"))["verdict"], "chance");
    let words = next_command(&third.stdout).join(" ");
    assert!(
        words.contains("--epochs 120 --horizontal-flip --shift 0.1") || words.contains("--epochs 180"),
        "{words}"
    );
}

#[test]
fn large_pictures_of_several_sizes_are_brought_to_one() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    class_folder(&data, &["a", "b"], 12);
    for name in ["a/000.png", "b/000.png"] {
        let small = image::open(data.join(name)).unwrap();
        small.resize_exact(600, 300, image::imageops::FilterType::Nearest).save(data.join(name)).unwrap();
    }
    let said = train(&data, &out, "--epochs 1").ends(0);
    assert!(said.contains("images of 1×16×16"), "the median size: {said}");
    assert!(said.contains("300×600 (height × width) to 16×16"), "{said}");
    let refused = train(&data, &out, &format!("{BARELY} --force"));
    refused.says(1, &["the pictures differ"]);
    for entry in ["a", "b"].iter().flat_map(|class| fs::read_dir(data.join(class)).unwrap()) {
        let path = entry.unwrap().path();
        let small = image::open(&path).unwrap();
        small.resize_exact(600, 300, image::imageops::FilterType::Nearest).save(&path).unwrap();
    }
    let said = train(&data, &out, "--epochs 1 --force").ends(0);
    assert!(said.contains("images of 1×90×181") && said.contains("--size 300x600"), "{said}");
}

#[test]
fn what_makes_a_run_inconclusive_is_said_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    class_folder(&data, &["a", "b"], 6);
    fs::copy(data.join("a/000.png"), data.join("b/copy.png")).unwrap();
    let said = train(&data, &out, "--epochs 1").ends(0);
    for words in
        ["too few to tell a perfect model from chance", "only 4 of \"a\", 4 of \"b\"", "under another class"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    let quiet = train(&data, &out, "--epochs 1 --force --json");
    quiet.ends(0);
    assert!(!quiet.stderr.contains("too few"), "{}", quiet.stderr);
}
