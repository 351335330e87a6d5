//! Tests that arrays and image files with the same pixels give the same results.

use std::fs;
use std::path::Path;

use image::RgbImage;

use crate::common::{
    BARELY, SIDE, Trained, arrays, bytes, class_folder, explain, heatlens, manifest, save_bytes, save_npy,
    train,
};

/// Writes stripes of two classes, ten each, as class folders and as an array of bytes with labels.
fn both(folder: &Path) {
    class_folder(&folder.join("files"), &["0", "1"], 10);
    let pixels: Vec<u8> = (0..20).flat_map(|n| bytes(n % 10, n / 10)).collect();
    save_bytes(&folder.join("array/X.npy"), &[20, SIDE, SIDE, 1], &pixels);
    let labels: Vec<u8> = (0..20).map(|n| n / 10).collect();
    save_bytes(&folder.join("array/y.npy"), &[20], &labels);
}

#[test]
fn bytes_and_pictures_give_the_same_model_and_the_same_answers_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    both(folder.path());
    let [files, array] = ["files", "array"].map(|name| folder.path().join(name));
    let [of_files, of_array] = ["run-files", "run-array"].map(|name| folder.path().join(name));
    train(&files, &of_files, BARELY).ends(0);
    train(&array, &of_array, BARELY).ends(0);
    let model = of_files.join("model.onnx");
    assert!(fs::read(&model).unwrap() == fs::read(of_array.join("model.onnx")).unwrap(), "the models differ");
    let logits = |data: &Path, out: &str| {
        let out = folder.path().join(out);
        explain(&model, data, &out, "--method grad_cam --save npz").ends(0);
        arrays(&out.join("maps.npz"))["logits"].1.iter().map(|z| z.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(logits(&files, "a"), logits(&array, "b"));
    let table = |data: &Path| {
        let table = heatlens("predict", &[&model, data]).stdout;
        table.lines().map(|line| line.split(',').skip(2).collect::<Vec<_>>().join(",")).collect::<Vec<_>>()
    };
    assert_eq!(table(&files), table(&array));
    // Floats from 0 to 255 are treated as the same pixels too, with a note.
    let floats: Vec<f32> = (0..20).flat_map(|n| bytes(n % 10, n / 10)).map(f32::from).collect();
    save_npy(&folder.path().join("floats/X.npy"), &[20, SIDE, SIDE, 1], &floats);
    fs::copy(array.join("y.npy"), folder.path().join("floats/y.npy")).unwrap();
    let floats = folder.path().join("floats");
    assert_eq!(table(&floats), table(&array));
    let run = folder.path().join("run-floats");
    train(&floats, &run, BARELY)
        .says(0, &["taken as pixels from 0 to 255 and divided by 255", "--scale raw"]);
    assert!(fs::read(run.join("model.onnx")).unwrap() == fs::read(&model).unwrap());
}

#[test]
fn raw_arrays_go_in_as_they_are_and_pictures_as_the_same_numbers() {
    let folder = tempfile::tempdir().unwrap();
    both(folder.path());
    let [array, run] = ["array", "run"].map(|name| folder.path().join(name));
    train(&array, &run, &format!("{BARELY} --scale raw")).ends(0);
    let model = run.join("model.onnx");
    heatlens("inspect", &[&model]).says(0, &["pixels   0…255", "as the file specifies"]);
    let table = |data: &Path, flags: &str| heatlens(&format!("predict {flags}"), &[&model, data]).ends(0);
    let answers = |text: String| {
        text.lines()
            .filter_map(|l| l.split_once(',')?.1.split_once(',').map(|p| p.1.to_owned()))
            .collect::<Vec<_>>()
    };
    let of_files = answers(table(&folder.path().join("files"), ""));
    assert_eq!(of_files, answers(table(&array, "")));
    assert_eq!(of_files, answers(table(&array, "--scale raw")));
    assert_ne!(of_files, answers(table(&array, "--scale 1")));
    heatlens("predict --scale rwa", &[&model, &array]).says(2, &["--scale", "raw, found \"rwa\""]);
    train(&array, &folder.path().join("none"), "--scale 3").says(2, &["--scale", "expected raw"]);
}

#[test]
fn whatever_is_changed_is_said_once() {
    let trained = Trained::new(2);
    let photos = trained.path("photos");
    fs::create_dir(&photos).unwrap();
    for n in 0..3 {
        RgbImage::from_pixel(40, 20, image::Rgb([200, n, 9])).save(photos.join(format!("{n}.png"))).unwrap();
    }
    let said = explain(&trained.model, &photos, &trained.path("out"), "--method grad_cam").ends(0);
    for words in [
        "all 3 images: in colour, and made grey for the model",
        "all 3 images: resized to the model's 16 × 16",
        "all 3 images, squashed (--resize crop keeps the aspect)",
    ] {
        assert_eq!(said.matches(words).count(), 1, "{words}: {said}");
    }
    let crop = explain(
        &trained.model,
        &photos,
        &trained.path("crop"),
        "--method grad_cam --resize shorter:20 --crop 16",
    );
    crop.says(0, &["the shorter side to 20, and the middle is taken"]);
    assert_eq!(manifest(&trained.path("crop"))[0]["preprocessing"]["resize"], "shorter:20");
    let wrong = |flags: &str, words: &[&str]| {
        explain(&trained.model, &photos, &trained.path("none"), flags).says(2, words);
    };
    wrong("--resize shorter:20 --crop 18", &["crop is 18 × 18, expected the model's own size, 16 × 16"]);
    wrong("--resize shorter:10", &["covers the model's 16 × 16"]);
    wrong("--resize stretch", &["--resize", "squash, crop or shorter:256"]);
}
