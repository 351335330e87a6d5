//! Operations of the program on a file, step by step. None of them may panic, hang or allocate without bound.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use heatlens::data::{Dataset, OpenOptions, open_inputs, open_training};
use heatlens::explain::{ExplainOptions, Explainer};
use heatlens::export::{ExplanationOutput, with_explanation};
use heatlens::graph::{Graph, Origin, Tensor, keras, onnx, reference, rewrite};
use heatlens::method;
use heatlens::model::Model;
use heatlens::predict::Predictor;
use heatlens_cpu::Program;

/// Names of the steps, for reports.
pub const STEPS: [&str; 12] = [
    "nothing",
    "open",
    "write",
    "understand",
    "layers",
    "simplify",
    "compile",
    "run",
    "reference",
    "explain",
    "export",
    "data",
];

static STEP: AtomicUsize = AtomicUsize::new(0);

/// Number of times each step was begun.
static REACHED: [AtomicUsize; STEPS.len()] = [const { AtomicUsize::new(0) }; STEPS.len()];

fn step(name: &str) {
    let step = STEPS.iter().position(|s| *s == name).unwrap_or(0);
    STEP.store(step, Ordering::Relaxed);
    REACHED[step].fetch_add(1, Ordering::Relaxed);
}

/// Returns the number of times each step was begun, as text: damage that never passes the first check tests nothing.
pub fn reached() -> String {
    let count = |(name, count): (&&str, &AtomicUsize)| format!("{name} {}", count.load(Ordering::Relaxed));
    let all: Vec<String> = STEPS.iter().zip(&REACHED).skip(1).map(count).collect();
    all.join(", ")
}

/// Returns the name of the current step.
pub fn current_step() -> &'static str {
    STEPS[STEP.load(Ordering::Relaxed)]
}

/// A number that occurs only in files outside the model's folder.
pub const SECRET: f32 = 31_337.25;

/// A folder for files that are opened by path: `model` is the model's folder, `secret.bin` lies outside it, and
/// `link.bin` and `linked` in it point outside.
#[derive(Debug)]
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// Creates the folder.
    pub fn new() -> std::io::Result<Self> {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }?;
        let root = folder.path();
        let secret: Vec<u8> = SECRET.to_le_bytes().repeat(4096);
        fs::write(root.join("secret.bin"), secret)?;
        fs::create_dir_all(root.join("model/folder"))?;
        fs::write(root.join("model/weights.bin"), 0.5f32.to_le_bytes().repeat(4096))?;
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(root.join("secret.bin"), root.join("model/link.bin"))?;
            std::os::unix::fs::symlink(root, root.join("model/linked"))?;
        }
        Ok(Self { folder })
    }

    fn file(&self, name: &str, bytes: &[u8]) -> Option<PathBuf> {
        let path = self.folder.path().join("model").join(name);
        fs::write(&path, bytes).ok()?;
        Some(path)
    }
}

/// Maximum number of elements of a graph that is run: larger ones may be valid, but take too long here.
const MOST_ELEMENTS: usize = 300_000;

fn elements(graph: &Graph) -> usize {
    let len = |v: &heatlens::graph::Value| v.fact.shape.len_per_sample().unwrap_or(usize::MAX);
    graph.values().iter().fold(0, |sum, v| sum.saturating_add(len(v)))
}

/// Opens an ONNX file.
pub fn onnx(place: &Place, bytes: &[u8]) {
    step("open");
    let Some(path) = place.file("model.onnx", bytes) else { return };
    let Ok(opened) = onnx::open_file(&path) else { return };
    for value in opened.graph.values() {
        if let Origin::Constant(tensor) = &value.origin {
            let leaked = tensor.as_f32().is_some_and(|v| v.contains(&SECRET));
            assert!(!leaked, "{:?} holds what lies outside the folder", value.name);
        }
    }
    model(opened.graph);
}

/// Opens a Keras file of either kind.
pub fn keras(place: &Place, bytes: &[u8]) {
    step("open");
    let Some(path) = place.file("model.keras", bytes) else { return };
    // Models for images of any size get a size, so that more of them open.
    let options = keras::KerasOptions { input_size: Some([9, 7]) };
    match keras::open_file_with(&path, &options) {
        Ok(opened) => model(opened.graph),
        // Creates the error message of the program.
        Err(_) => drop(Model::open(&path).map_err(|error| error.to_string())),
    }
}

/// Runs everything after opening, for any format.
pub fn model(graph: Graph) {
    step("write");
    let _ = onnx::write(&graph);
    step("simplify");
    let Ok(simple) = rewrite::simplify(&graph, graph.outputs()) else { return };
    if elements(&simple.graph) <= MOST_ELEMENTS {
        run(&simple.graph);
    }
    step("understand");
    let Ok(model) = Model::from_graph(graph) else { return };
    step("layers");
    let _ = (model.layers(), model.default_layer(), model.gap_head(), model.layer("x"));
    if elements(&model.graph) > MOST_ELEMENTS {
        return;
    }
    step("compile");
    let len: usize = model.shape().iter().product();
    if let Ok(predictor) = Predictor::new(&model) {
        let _ = predictor.logits(&vec![0.25; len], 1);
    }
    step("explain");
    let chosen: Vec<_> =
        ["grad_cam", "gradient"].into_iter().filter_map(|id| method::find(id).ok()).collect();
    let options = ExplainOptions { skip_inapplicable: true, ..ExplainOptions::new(&chosen) };
    if let Ok(explainer) = Explainer::new(&model, &options) {
        let _ = explainer.explain(&vec![0.25; len], 1);
    }
    step("export");
    if let Some(&method) = chosen.first() {
        let _ = with_explanation(&model, &ExplanationOutput::new(method));
    }
}

/// Runs the graph on ones, as a program and by the reference evaluator.
fn run(graph: &Graph) {
    let len = |id| graph.fact(id).shape.len_per_sample().unwrap_or(0);
    let feeds: Vec<Vec<f32>> = graph.inputs().iter().map(|&id| vec![1.0; len(id)]).collect();
    let all_floats = graph.inputs().iter().all(|&id| graph.fact(id).dtype == heatlens::graph::DType::F32);
    step("compile");
    if let Ok(program) = Program::compile(graph) {
        step("run");
        let feeds: Vec<&[f32]> = feeds.iter().map(Vec::as_slice).collect();
        let _ = program.run(&feeds, 1);
    }
    step("reference");
    if all_floats {
        let shape = |id| graph.fact(id).shape.at(1);
        let feeds: Vec<Tensor> =
            graph.inputs().iter().zip(feeds).map(|(&id, feed)| Tensor::f32(&shape(id), feed)).collect();
        let _ = reference::run(graph, &feeds, 1, graph.outputs());
    }
}

/// Opens arrays and images; `name` is the file name.
pub fn data(place: &Place, name: &str, bytes: &[u8]) {
    step("data");
    let Some(path) = place.file(name, bytes) else { return };
    let _ = open_training(&path, &OpenOptions::default());
    if let Ok(data) = open_inputs(&[path], &OpenOptions::default()) {
        load(data.as_ref());
    }
}

fn load(data: &dyn Dataset) {
    for item in (0..data.len()).take(4) {
        let _ = (data.load(item), data.label(item), data.index(item));
    }
}
