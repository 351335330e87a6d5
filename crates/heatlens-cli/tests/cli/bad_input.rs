//! Tests that invalid input files give helpful errors and affect only themselves.

use std::fs;
use std::path::Path;

use crate::common::{
    BARELY, SIDE, Trained, class_folder, explain, files, heatlens, manifest, save_npy, save_npz, save_png,
    stripes, train,
};

fn truncate(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

#[test]
fn a_truncated_picture_costs_the_others_nothing_when_explaining() {
    let trained = Trained::new(2);
    let pictures = trained.path("pictures");
    for n in 0..40 {
        save_png(&pictures.join(format!("{n:02}.png")), n, n % 2);
    }
    truncate(&pictures.join("17.png"));
    let out = trained.path("out");
    let run = explain(&trained.model, &pictures, &out, "--method grad_cam --save png,npz");
    run.says(1, &["17.png", "39 of 40 images explained", "1 of 40 images could not be read"]);
    let lines = manifest(&out);
    assert_eq!(lines.len(), 39);
    assert!(out.join("39_39/overlay_grad_cam.png").is_file());
    assert!(!out.join("17_17").exists());
    assert_eq!(crate::common::arrays(&out.join("maps.npz"))["index"].0, [39]);

    let table = heatlens("predict", &[&trained.model, &pictures]);
    table.says(1, &["17.png", "1 of 40 images could not be read"]);
    assert_eq!(table.stdout.lines().count(), 40);
}

#[test]
fn nothing_but_broken_pictures_is_no_crash() {
    let trained = Trained::new(2);
    let picture = trained.path("only.png");
    save_png(&picture, 0, 0);
    truncate(&picture);
    explain(&trained.model, &picture, &trained.path("out"), "--save png,npz,tensors")
        .says(1, &["only.png", "1 of 1 images could not be read"]);
    assert!(manifest(&trained.path("out")).is_empty());
    heatlens("predict", &[&trained.model, &picture]).says(1, &["only.png"]);
    heatlens("predict", &[&trained.model, Path::new("/no/such.png")]).says(1, &["/no/such.png"]);
}

#[test]
fn a_truncated_picture_takes_no_part_in_training_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    class_folder(&data, &["a", "b"], 50);
    truncate(&data.join("b/033.png"));
    fs::write(data.join("a/notes.txt"), "no picture at all").unwrap();
    let run = train(&data, &out, BARELY);
    run.says(
        1,
        &["033.png", "an entry that is not an image is left out", "notes.txt", "1 image could not be read"],
    );
    for name in ["model.onnx", "history.csv", "metrics.json", "learning_curve.png"] {
        assert!(out.join(name).is_file(), "{name}");
    }
    let metrics = crate::common::json(&out.join("metrics.json"));
    let used = metrics["train_images"].as_u64().unwrap() + metrics["validation_images"].as_u64().unwrap();
    assert_eq!(used, 99);
}

#[test]
fn a_class_of_broken_pictures_only_is_no_second_class() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    class_folder(&data, &["a", "b"], 6);
    for n in 0..6 {
        truncate(&data.join(format!("b/{n:03}.png")));
    }
    train(&data, &out, BARELY).says(1, &["at least two classes"]);
    assert!(!out.join("model.onnx").exists());
}

#[test]
fn class_folders_must_hold_two_classes_with_images() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let refused = |name: &str, words: &[&str]| {
        train(&folder.path().join(name), &out, BARELY).says(1, words);
        assert!(!out.exists(), "{name}");
    };
    class_folder(&folder.path().join("gap"), &["a", "b"], 3);
    fs::create_dir(folder.path().join("gap/empty")).unwrap();
    refused("gap", &["gap/empty", "no image", "fill it or remove it"]);
    class_folder(&folder.path().join("single"), &["a"], 3);
    refused("single", &["single", "only class \"a\"", "at least two classes"]);
    save_png(&folder.path().join("flat/a.png"), 0, 0);
    refused("flat", &["flat", "no sub-folder", "at least two classes"]);
    fs::create_dir(folder.path().join("nothing")).unwrap();
    refused("nothing", &["nothing", "an empty folder"]);
    refused("absent", &["there is no file or folder", "absent"]);
    refused("gap/a/000.png", &["000.png", "a single picture"]);
    class_folder(&folder.path().join("sizes"), &["a", "b"], 3);
    image::GrayImage::new(9, 12).save(folder.path().join("sizes/b/other.png")).unwrap();
    refused("sizes", &["other.png", "12 × 9", "--size"]);
}

#[test]
fn labels_must_match_the_images() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let data = folder.path().join("data");
    let images: Vec<f32> = (0..8).flat_map(|n| stripes(n, n % 2)).collect();
    save_npy(&data.join("X.npy"), &[8, SIDE, SIDE], &images);
    train(&data, &out, BARELY).says(1, &["X.npy", "no labels"]);
    let refused = |shape: &[usize], labels: &[f32], words: &[&str]| {
        save_npy(&data.join("y.npy"), shape, labels);
        train(&data, &out, BARELY).says(1, words);
        assert!(!out.exists());
    };
    refused(&[7], &[0., 1., 0., 1., 0., 1., 0.], &["y.npy", "8 images but 7 labels"]);
    refused(&[8], &[0., 1., 0., 1., 0.5, 1., 0., 1.], &["row 4 is 0.5", "whole number"]);
    refused(&[8], &[0., 1., -1., 1., 0., 1., 0., 1.], &["row 2 is -1"]);
    refused(&[8], &[0., f32::NAN, 1., 1., 0., 1., 0., 1.], &["row 1 is NaN"]);
    refused(&[8], &[1.; 8], &["only class \"1\"", "at least two classes"]);
    refused(&[8, 2], &[0.; 16], &["8×2", "(N,) or (N, 1)"]);
}

#[test]
fn a_pixel_that_is_no_number_costs_its_row_only() {
    let trained = Trained::new(2);
    let data = trained.path("nan.npz");
    let labels: Vec<usize> = (0..40).map(|n| n % 2).collect();
    let mut images: Vec<Vec<f32>> = labels.iter().enumerate().map(|(n, &class)| stripes(n, class)).collect();
    images[7][2 * SIDE + 5] = f32::NAN;
    images[9][0] = f32::INFINITY;
    save_npz(&data, &images, &labels);
    let run = explain(&trained.model, &data, &trained.path("out"), "--method grad_cam");
    run.says(
        1,
        &[
            "nan.npz[7] holds NaN at channel 0, line 2, column 5",
            "nan.npz[9] holds inf",
            "38 of 40 images explained",
        ],
    );
    assert!(!run.stderr.contains("nan.npz[7]: "), "named once: {}", run.stderr);
    let out = trained.path("trained-on-it");
    train(&data, &out, BARELY).says(1, &["[7] holds NaN", "2 images could not be read"]);
    assert!(out.join("model.onnx").is_file());
}

#[test]
fn arrays_must_have_the_shape_of_images_that_the_model_takes() {
    let trained = Trained::new(2);
    let array = trained.path("X/array.npy");
    let refused = |shape: &[usize], words: &[&str]| {
        save_npy(&array, shape, &vec![0.5; shape.iter().product()]);
        explain(&trained.model, &array, &trained.path("out"), "").says(1, words);
        assert!(!trained.path("out").exists());
    };
    refused(&[SIDE, SIDE], &["array.npy", "16×16", "N×H×W×C"]);
    refused(&[2, SIDE, SIDE, 1, 1], &["2×16×16×1×1", "N×H×W×C"]);
    refused(&[2, SIDE, SIDE, 3], &["2×16×16×3", "1 channels"]);
    refused(&[2, SIDE, 12], &["16 × 12", "the model takes 16 × 16"]);
    refused(&[0, SIDE, SIDE], &["no rows"]);
    fs::write(&array, b"\x93NUMPY\x01\x00").unwrap();
    explain(&trained.model, &array, &trained.path("out"), "").says(1, &["array.npy"]);
}

#[test]
fn a_file_that_is_no_model_is_named_with_the_reason() {
    let trained = Trained::new(2);
    let whole = fs::read(&trained.model).unwrap();
    let bad = trained.path("bad.onnx");
    save_png(&trained.path("a.png"), 0, 0);
    let cases = [
        ("a picture", fs::read(trained.path("a.png")).unwrap()),
        ("text", b"this is a text file, not a model\n".to_vec()),
        ("an archive", fs::read(&trained.data).unwrap()),
        ("nothing", Vec::new()),
        ("zeros", vec![0; 500]),
    ];
    for (what, bytes) in cases {
        fs::write(&bad, bytes).unwrap();
        for command in ["inspect", "predict", "explain --out none"] {
            let paths = [&bad, &trained.data];
            let paths = if command == "inspect" { &paths[..1] } else { &paths[..] };
            let run = heatlens(command, paths);
            run.says(1, &["bad.onnx"]);
            assert!(run.stderr.lines().count() == 1 && run.stdout.is_empty(), "{what}: {run:?}");
        }
    }
    // Truncated or damaged at any position: the program never crashes and never accepts a truncated file.
    for share in 1..40 {
        fs::write(&bad, &whole[..whole.len() * share / 40]).unwrap();
        heatlens("predict", &[&bad, &trained.data]).says(1, &["bad.onnx"]);
        let mut damaged = whole.clone();
        damaged[whole.len() * share / 40] ^= 0x55;
        fs::write(&bad, damaged).unwrap();
        let code = heatlens("predict", &[&bad, &trained.data]).code;
        assert!(code == 0 || code == 1, "{code}");
    }
    heatlens("inspect", &[trained.path("absent.onnx")])
        .says(1, &["there is no file or folder", "absent.onnx"]);
    heatlens("inspect", &[trained.folder.path()]).says(1, &[trained.folder.path().to_str().unwrap()]);
}

#[test]
fn an_output_folder_in_use_needs_force() {
    let trained = Trained::new(2);
    let out = trained.path("out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("thesis.txt"), "years of work").unwrap();
    let run = explain(&trained.model, &trained.data, &out, "--method grad_cam");
    run.says(1, &[out.to_str().unwrap(), "not empty", "--force"]);
    assert_eq!(files(&out).len(), 1);
    explain(&trained.model, &trained.data, &out, "--method grad_cam --rows 0:2 --force").ends(0);
    assert_eq!(fs::read_to_string(out.join("thesis.txt")).unwrap(), "years of work");
    assert_eq!(manifest(&out).len(), 2);
}

#[test]
fn an_output_place_that_cannot_be_written_is_named() {
    let trained = Trained::new(2);
    let file = trained.path("file");
    fs::write(&file, "not a folder").unwrap();
    let mut places = vec![(file.clone(), "is a file"), (file.join("below"), "cannot create the folder")];
    if Path::new("/proc/self").exists() {
        places.push(("/proc/heatlens".into(), "cannot create the folder"));
    }
    for (place, reason) in places {
        for run in [explain(&trained.model, &trained.data, &place, ""), train(&trained.data, &place, BARELY)]
        {
            run.says(1, &[place.to_str().unwrap(), reason]);
        }
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "not a folder");
    let table = file.join("table.csv");
    let run = heatlens("predict", &[&trained.model, &trained.data, Path::new("--out"), &table]);
    run.says(1, &["table.csv"]);
}
