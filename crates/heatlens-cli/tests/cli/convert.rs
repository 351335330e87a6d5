//! Tests of converting models, and of self-explaining models in another runtime.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use heatlens::model::{Cells, Model};
use serde_json::Value;

use crate::common::{
    QUICK, Run, SIDE, Trained, arrays, explain, heatlens, noise, program, save_npy, stripes, stripes_npz,
    train,
};
use crate::onnxruntime::python;

/// Returns the path of a small model written by another program.
fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../heatlens-graph/tests/onnx/{name}.onnx"))
}

fn convert(model: &Path, out: &Path, flags: &str) -> Run {
    heatlens(&format!("convert {flags}"), &[model, out])
}

fn inspect(model: &Path) -> Value {
    serde_json::from_str(&heatlens("inspect --json", &[model]).ends(0)).unwrap()
}

#[test]
fn a_converted_model_is_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["residual", "squeeze_excite", "conv_auto_pad"] {
        let out = folder.path().join(format!("{name}.onnx"));
        convert(&sample(name), &out, "--mean 0.5 --std 0.25").says(0, &["input x", "outputs "]);
        let (mut before, after) = (inspect(&sample(name)), inspect(&out));
        let channels = before["input"]["shape"][0].as_u64().unwrap() as usize;
        assert_ne!(before["preprocessing"], after["preprocessing"], "the flags are kept in the file");
        let mean = after["preprocessing"]["mean"].as_str().unwrap();
        assert_eq!(mean.matches("0.5").count(), channels, "{mean}");
        assert_eq!(
            (&before["preprocessing_known"], &after["preprocessing_known"]),
            (&false.into(), &true.into())
        );
        before["preprocessing"] = after["preprocessing"].clone();
        before["preprocessing_known"] = true.into();
        // Assumptions about a foreign file are stored explicitly in the converted one.
        before["notes"] = after["notes"].clone();
        assert_eq!(before, after, "{name}");
    }
    let trained = Trained::new(2);
    convert(&trained.model, &trained.path("again.onnx"), "").ends(0);
    assert_eq!(fs::read(&trained.model).unwrap(), fs::read(trained.path("again.onnx")).unwrap());
}

#[test]
fn nothing_is_replaced_by_surprise() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.onnx");
    fs::write(&out, "precious").unwrap();
    convert(&sample("residual"), &out, "").says(1, &["out.onnx", "exists already", "--force"]);
    assert_eq!(fs::read(&out).unwrap(), b"precious");
    convert(&sample("residual"), &out, "--force").ends(0);
    assert!(fs::read(&out).unwrap().len() > 1000);
    convert(&sample("residual"), folder.path(), "--force").says(2, &["is a folder"]);
    convert(&sample("residual"), &folder.path().join("no/such/folder.onnx"), "").says(1, &["cannot write"]);
}

#[test]
fn an_onnx_file_is_not_given_the_name_of_another_kind() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["out.h5", "out.KERAS", "out.pt", "out.tflite"] {
        let out = folder.path().join(name);
        convert(&sample("residual"), &out, "--force").says(2, &[name, "ONNX file", "out.onnx"]);
        assert!(!out.exists());
    }
    let nowhere = folder.path().join("no/out.onnx");
    let run = convert(&sample("residual"), &nowhere, "");
    run.says(1, &["out.onnx", "there is no folder", "create it first"]);
    assert!(!run.stderr.contains(".part"), "{}", run.stderr);
}

#[test]
fn wrong_choices_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.onnx");
    let case = |flags: &str, code: i32, words: &[&str]| {
        convert(&sample("residual"), &out, flags).says(code, words);
        assert!(!out.exists(), "{flags}");
    };
    case("--with-explanation nonsense", 2, &["no method \"nonsense\"", "`heatlens methods`"]);
    case("--with-explanation grad_cam --layer nowhere", 2, &["no layer \"nowhere\""]);
    case("--with-explanation grad_cam --class 9", 2, &["no class \"9\""]);
    case("--with-explanation grad_cam --class all", 2, &["one class"]);
    case("--layer relu_2", 2, &["--with-explanation"]);
    convert(&sample("residual"), &out, "--with-explanation gradient --layer relu_2 --explanation-size image")
        .says(0, &["--layer has no effect", "--explanation-size has no effect"]);
}

/// Returns pseudo-random images, `n`×`shape`.
fn images(n: usize, shape: [usize; 3]) -> Vec<f32> {
    let len = n * shape.iter().product::<usize>();
    (0..len).map(|i| noise(i as u64)).collect()
}

/// Result of `explain` for the first `n` images.
struct Expected {
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// A model, images for it, and a working folder.
struct Subject<'a> {
    model: &'a Path,
    images: Vec<f32>,
    shape: [usize; 3],
    folder: &'a Path,
}

impl Subject<'_> {
    /// Writes the self-explaining file, and the expected second output for 1 and 3 images.
    fn case(&self, method: &str, flags: &str) {
        self.case_of(method, flags, flags, |expected| expected);
    }

    fn case_of(&self, method: &str, flags: &str, more: &str, change: impl Fn(Expected) -> Expected) {
        let [c, h, w] = self.shape;
        let name = format!("{}_{method}{more}", self.model.file_stem().unwrap().to_string_lossy());
        let name = name.replace(' ', "_");
        let [input, maps] = ["input.npy", "maps"].map(|part| self.folder.join(&name).join(part));
        save_npy(&input, &[3, c, h, w], &self.images);
        explain(self.model, &input, &maps, &format!("--save npz --method {method} {flags}")).ends(0);
        let (shape, values) = arrays(&maps.join("maps.npz")).remove(method).unwrap();
        for n in [1, 3] {
            let case = self.folder.join("cases").join(format!("{name}_{n}"));
            save_npy(&case.join("input_0.npy"), &[n, c, h, w], &self.images[..n * c * h * w]);
            let values = values[..n * values.len() / 3].iter().map(|&v| v as f32).collect();
            let map = change(Expected { shape: [&[n], &shape[1..]].concat(), values });
            assert!(map.values.iter().any(|v| *v != 0.0), "{name} is empty");
            save_npy(&case.join("output_1.npy"), &map.shape, &map.values);
            convert(self.model, &case.join("model.onnx"), &format!("--with-explanation {method} {more}"))
                .ends(0);
        }
    }
}

/// Checks that onnxruntime reproduces every case of the folder.
fn check(folder: &Path, count: usize) {
    let Some(python) = python() else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/onnxruntime_cases.py");
    let output = Command::new(python).arg(script).arg(folder.join("cases")).arg("1e-4").output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!("{count} cases, 0 disagree")), "{said}");
}

#[test]
fn our_own_network_explains_itself_in_onnxruntime() {
    let folder = tempfile::tempdir().unwrap();
    let (data, run) = (folder.path().join("data.npz"), folder.path().join("run"));
    stripes_npz(&data, 36, 2);
    train(&data, &run, &format!("{QUICK} --arch gap-cnn-bn")).ends(0);
    let images: Vec<f32> = [0, 1, 2].into_iter().flat_map(|n| stripes(n, n % 2)).collect();
    let (model, shape) = (run.join("model.onnx"), [1, SIDE, SIDE]);
    let subject = Subject { model: &model, images, shape, folder: folder.path() };
    subject.case("cam", "");
    subject.case("grad_cam", "--class 0");
    subject.case("guided_grad_cam", "");
    check(folder.path(), 6);
}

#[test]
fn a_residual_network_explains_itself_in_onnxruntime() {
    let folder = tempfile::tempdir().unwrap();
    let (model, shape) = (sample("residual"), [3, 22, 20]);
    let subject = Subject { model: &model, images: images(3, shape), shape, folder: folder.path() };
    subject.case("grad_cam", "");
    subject.case("grad_cam", "--layer relu_2 --class 2");
    subject.case("gradient", "--score probability");
    subject.case("guided_grad_cam", "--layer relu_10 --class 3");
    subject.case_of("grad_cam", "--layer relu_2", "--layer relu_2 --explanation-size image", |map| {
        let [n, h, w] = [map.shape[0], map.shape[1], map.shape[2]];
        let cells = Model::open(&model).unwrap().layer("relu_2").unwrap().cells.map(Option::unwrap);
        assert!(cells[0].step > 1.0, "nothing to place");
        let (rows, columns) = (tents(&cells[0], h, 22), tents(&cells[1], w, 20));
        let pixel = |i: usize| {
            let (map, y, x) = (&map.values[i / 440 * h * w..], i % 440 / 20, i % 20);
            let cell = |j: usize| rows[y * h + j / w] * columns[x * w + j % w] * map[j];
            (0..h * w).map(cell).sum()
        };
        Expected { shape: vec![n, 22, 20], values: (0..n * 440).map(pixel).collect() }
    });
    check(folder.path(), 10);
}

/// Returns the weights of an axis' cells for each of `to` pixels: they fall linearly with the distance from the pixel
/// to the cell's centre and reach zero at the next cell; beyond the outermost cells, their weight is constant for one
/// cell and fades over the next.
fn tents(cells: &Cells, from: usize, to: usize) -> Vec<f32> {
    let weight = |pixel: usize, cell: usize| {
        let at = (pixel as f64 - cells.offset) / cells.step;
        let held = at.clamp(0.0, from as f64 - 1.0);
        let fading = 1.0 - ((at - held).abs() - 1.0).max(0.0);
        ((1.0 - (held - cell as f64).abs()).max(0.0) * fading.max(0.0)) as f32
    };
    (0..to * from).map(|i| weight(i / from, i % from)).collect()
}

#[test]
fn depthwise_convolutions_and_gates_explain_themselves_in_onnxruntime() {
    let folder = tempfile::tempdir().unwrap();
    let (model, shape) = (sample("squeeze_excite"), [3, 15, 16]);
    let subject = Subject { model: &model, images: images(3, shape), shape, folder: folder.path() };
    subject.case("grad_cam", "");
    subject.case("gradient", "--class 1");
    check(folder.path(), 4);
}

/// Returns the path of a tiny model of a family, as exported by another framework.
fn family(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../heatlens/tests/zoo").join(name).join("model.onnx")
}

#[test]
fn whole_families_explain_themselves_in_onnxruntime() {
    let folder = tempfile::tempdir().unwrap();
    let shape = [3, 32, 32];
    for name in ["resnet", "mobilenet_v3", "efficientnet_v2", "deit", "pit"] {
        let model = folder.path().join(format!("{name}.onnx"));
        fs::copy(family(name), &model).unwrap();
        let subject = Subject { model: &model, images: images(3, shape), shape, folder: folder.path() };
        subject.case("grad_cam", "--class 2");
        subject.case("gradient", "");
    }
    check(folder.path(), 20);
}

#[test]
fn help_names_the_command() {
    let run = Run::of(&program().args(["convert", "--help"]).output().unwrap());
    run.says(0, &["--with-explanation", "--explanation-size", "--force"]);
}
