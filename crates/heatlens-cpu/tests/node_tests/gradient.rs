//! Gradient of a test's first output with respect to its first input, compared with finite differences and run as a
//! program.

use heatlens_cpu::Program;
use heatlens_graph::{
    Builder, DType, DefaultRules, Graph, GraphError, Tensor, ValueId, differentiate, reference,
};

/// Number of input elements whose slope is measured.
const PROBES: usize = 4;
const STEP: f64 = 1e-5;
/// Relative tolerance, absolute for slopes below 1.
const TOLERANCE: f64 = 1e-3;

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()).max(1.0)
}

/// Checks the gradient of the sum of the first output's elements, if it has one.
pub(crate) fn check(graph: &Graph, feeds: &[Tensor]) -> Result<(), String> {
    let (Some(&y), Some(&x)) = (graph.outputs().first(), graph.inputs().first()) else { return Ok(()) };
    if graph.fact(y).dtype != DType::F32 {
        return Ok(());
    }
    let mut derived = graph.clone();
    let one = Builder::new(&mut derived, "seed").scalar(1.0);
    let grads = match differentiate(&mut derived, "gradient", y, one, &[x], &DefaultRules) {
        // The output is independent of the input, or piecewise constant.
        Err(GraphError::Unreachable { .. }) => return Ok(()),
        other => other.map_err(|e| format!("gradient: {e}"))?,
    };
    let found = reference::run(&derived, feeds, 1, &grads).map_err(|e| format!("gradient: {e}"))?;
    let found = found.first().map(Tensor::to_f64).unwrap_or_default();
    for i in (0..found.len()).step_by((found.len() / PROBES).max(1)) {
        let [left, right] = slopes(graph, y, feeds, i)?;
        // At a kink there is no slope to compare with.
        if near(left, right) && !near(found[i], left) {
            return Err(format!("gradient: element {i} is {}, expected {left}", found[i]));
        }
    }
    derived.set_outputs(&grads);
    let Ok(program) = Program::compile(&derived) else { return Ok(()) };
    let result = crate::case::run_program(&program, feeds)?;
    match result.iter().flatten().zip(&found).position(|(&a, &b)| !near(f64::from(a), b)) {
        Some(i) => {
            Err(format!("gradient as a program: element {i} is {}, expected {}", result[0][i], found[i]))
        }
        None => Ok(()),
    }
}

/// Returns the slopes to the left and to the right of an element of the first input.
fn slopes(graph: &Graph, y: ValueId, feeds: &[Tensor], element: usize) -> Result<[f64; 2], String> {
    let sum = |delta: f64| -> Result<f64, String> {
        let mut values = feeds[0].to_f64();
        values[element] += delta;
        let mut moved = feeds.to_vec();
        moved[0] = Tensor::f64(feeds[0].shape(), values);
        let y = reference::run(graph, &moved, 1, &[y]).map_err(|e| e.to_string())?;
        Ok(y.iter().flat_map(Tensor::to_f64).sum())
    };
    let here = sum(0.0)?;
    Ok([(here - sum(-STEP)?) / STEP, (sum(STEP)? - here) / STEP])
}
