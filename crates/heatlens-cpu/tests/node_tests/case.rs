//! A node test: a model, inputs and expected outputs.

use std::path::Path;

use heatlens_cpu::Program;
use heatlens_graph::{Graph, Tensor, onnx, reference};

use crate::{gradient, protobuf};

/// Result of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed { compiled: bool },
    Failed(String),
}

/// An array of the test.
struct Array {
    bytes: Vec<u8>,
    name: String,
    /// ONNX element type.
    dtype: u64,
}

const FLOAT: u64 = 1;
const FLOAT16: u64 = 10;
const DOUBLE: u64 = 11;
const BFLOAT16: u64 = 16;

impl Array {
    fn read_all(folder: &Path, kind: &str) -> Result<Vec<Self>, String> {
        let mut arrays = Vec::new();
        while let Ok(bytes) = std::fs::read(folder.join(format!("{kind}_{}.pb", arrays.len()))) {
            let (dtype, name) =
                protobuf::type_and_name(&bytes).ok_or_else(|| format!("{kind} is no array"))?;
            arrays.push(Self { bytes, name, dtype });
        }
        Ok(arrays)
    }

    fn is_float(&self) -> bool {
        [FLOAT, FLOAT16, DOUBLE, BFLOAT16].contains(&self.dtype)
    }

    /// Decodes the elements with the library's own reader, as a weight.
    fn decode(&self) -> Result<Tensor, String> {
        let graph = onnx::read(protobuf::array_model(&self.bytes, &self.name)).map_err(|e| e.to_string())?;
        let found = graph.outputs().first().and_then(|&id| graph.constant(id));
        found.cloned().ok_or_else(|| format!("{:?} is no array", self.name))
    }

    /// Returns the tolerance, which depends on the precision of the expected values.
    fn tolerance(&self) -> f64 {
        match self.dtype {
            FLOAT16 => 2e-3,
            BFLOAT16 => 2e-2,
            _ => 1e-4,
        }
    }
}

pub(crate) fn run(folder: &Path) -> Outcome {
    match try_run(folder) {
        Ok(compiled) => Outcome::Passed { compiled },
        Err(reason) => Outcome::Failed(reason.split_whitespace().collect::<Vec<_>>().join(" ")),
    }
}

/// Runs the model with as many inputs fed at run time as it accepts: all floating-point ones, then only the first
/// (others may determine shapes), then none. A model that cannot be read in one way may be readable in the next; if it
/// can be read, the results must be correct.
fn try_run(folder: &Path) -> Result<bool, String> {
    let model = std::fs::read(folder.join("model.onnx")).map_err(|e| e.to_string())?;
    let data = folder.join("test_data_set_0");
    let inputs = Array::read_all(&data, "input")?;
    let outputs = Array::read_all(&data, "output")?;
    let mut refusal = String::new();
    let quantises = folder.ends_with("test_quantizelinear")
        || folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("test_quantizelinear_"));
    let ways: [fn(usize, &Array) -> bool; 3] =
        [|_, array| array.is_float(), |index, array| index == 0 && array.is_float(), |_, _| false];
    for fed in ways {
        let mut bytes = model.clone();
        let mut feeds = Vec::new();
        for (index, input) in inputs.iter().enumerate() {
            // A size of 0 in a file means an open size, so empty arrays are stored as constants.
            match if fed(index, input) { Some(input.decode()?) } else { None } {
                Some(tensor) if !tensor.is_empty() => feeds.push(tensor),
                _ => bytes.extend(protobuf::initializer(&input.bytes)),
            }
        }
        match onnx::read(bytes) {
            Ok(graph) => return check(&graph, &feeds, &outputs, quantises),
            Err(error) => refusal = error.to_string(),
        }
    }
    Err(refusal)
}

/// Compares the results of the graph with the expected ones. Quantised values are represented as floats of the same
/// value.
fn check(graph: &Graph, feeds: &[Tensor], outputs: &[Array], quantises: bool) -> Result<bool, String> {
    let found = reference::run(graph, feeds, 1, graph.outputs()).map_err(|e| e.to_string())?;
    let mut expected = Vec::new();
    for (output, found) in outputs.iter().zip(&found) {
        let tensor = output.decode()?;
        if tensor.shape() != found.shape() || tensor.dtype() != found.dtype() && !quantises {
            let (a, b) = ((found.dtype(), found.shape()), (tensor.dtype(), tensor.shape()));
            return Err(format!("{:?} is {a:?}, expected {b:?}", output.name));
        }
        compare(output, &found.to_f64(), &tensor.to_f64())?;
        expected.push(tensor.to_f64());
    }
    // The straight-through gradient of a rounding is not its slope.
    if !quantises {
        gradient::check(graph, feeds)?;
    }
    let Ok(program) = Program::compile(graph) else { return Ok(false) };
    let found = run_program(&program, feeds)?;
    for ((output, found), expected) in outputs.iter().zip(found).zip(expected) {
        let found: Vec<f64> = found.into_iter().map(f64::from).collect();
        compare(output, &found, &expected).map_err(|e| format!("as a program: {e}"))?;
    }
    Ok(true)
}

/// Runs a compiled program and returns its outputs.
pub(crate) fn run_program(program: &Program, feeds: &[Tensor]) -> Result<Vec<Vec<f32>>, String> {
    #[allow(clippy::cast_possible_truncation)]
    let feeds: Vec<Vec<f32>> =
        feeds.iter().map(|feed| feed.to_f64().into_iter().map(|v| v as f32).collect()).collect();
    let slices: Vec<&[f32]> = feeds.iter().map(Vec::as_slice).collect();
    program.run(&slices, 1).map_err(|e| format!("as a program: {e}"))
}

fn compare(output: &Array, found: &[f64], expected: &[f64]) -> Result<(), String> {
    let tolerance = output.tolerance();
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let same = found == expected || found.is_nan() && expected.is_nan();
        let near = (found - expected).abs() <= tolerance * expected.abs() + tolerance * 1e-2;
        if !same && !near {
            return Err(format!("element {i} of {:?} is {found}, expected {expected}", output.name));
        }
    }
    if found.len() == expected.len() { Ok(()) } else { Err(format!("{} elements", found.len())) }
}
