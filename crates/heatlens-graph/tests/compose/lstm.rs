use heatlens_graph::compose::lstm::{LstmDirection, LstmWeights, lstm, together};
use heatlens_graph::op::unary::UnaryFunction;
use heatlens_graph::{Builder, Shape, ValueId};

use crate::common::{Array, check, refusal};

const STEPS: usize = 3;
const SIZE: usize = 2;

#[derive(Clone, Copy, Default)]
struct Case {
    backwards: bool,
    coupled: bool,
    clip: Option<f32>,
    /// True if there are a bias, peepholes and an initial state.
    full: bool,
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Scalar implementation of the specification's equations. Inputs: x, W, R, then bias, P, h, c.
fn naive(x: &[Array], case: Case) -> Array {
    let samples = x[0].shape[0];
    let mut result = Array::from_fn(&[samples, STEPS, 1, SIZE], |_| 0.0);
    for n in 0..samples {
        let start = |at: usize, j: usize| if case.full { x[at].at(&[n, j]) } else { 0.0 };
        let mut h: Vec<f64> = (0..SIZE).map(|j| start(5, j)).collect();
        let mut c: Vec<f64> = (0..SIZE).map(|j| start(6, j)).collect();
        for i in 0..STEPS {
            let t = if case.backwards { STEPS - 1 - i } else { i };
            let sum = |gate: usize, j: usize, seen: f64, peephole: Option<usize>| {
                let row = gate * SIZE + j;
                let mut sum: f64 = (0..x[0].shape[2]).map(|k| x[0].at(&[n, t, k]) * x[1].at(&[row, k])).sum();
                sum += (0..SIZE).map(|k| h[k] * x[2].at(&[row, k])).sum::<f64>();
                if case.full {
                    sum += x[3].at(&[row]);
                    sum += peephole.map_or(0.0, |p| x[4].at(&[p * SIZE + j]) * seen);
                }
                let bound = f64::from(case.clip.unwrap_or(f32::MAX));
                sum.clamp(-bound, bound)
            };
            let mut next = (Vec::new(), Vec::new());
            for (j, &seen) in c.iter().enumerate() {
                let input = sigmoid(sum(0, j, seen, Some(0)));
                let forget = if case.coupled { 1.0 - input } else { sigmoid(sum(2, j, seen, Some(2))) };
                let cell = forget * seen + input * sum(3, j, 0.0, None).tanh();
                next.0.push(sigmoid(sum(1, j, cell, Some(1))) * cell.tanh());
                next.1.push(cell);
            }
            (h, c) = next;
            for (j, &value) in h.iter().enumerate() {
                result.values[(n * STEPS + t) * SIZE + j] = value;
            }
        }
    }
    result
}

fn build(b: &mut Builder<'_>, x: &[ValueId], case: Case) -> ValueId {
    let given = |index: usize| case.full.then(|| x[index]);
    let weights = LstmWeights {
        input: x[1],
        recurrent: x[2],
        bias: given(3),
        peepholes: given(4),
        start: [given(5), given(6)],
    };
    let direction = LstmDirection {
        backwards: case.backwards,
        activations: [UnaryFunction::Sigmoid, UnaryFunction::Tanh, UnaryFunction::Tanh],
        clip: case.clip,
        coupled: case.coupled,
        weights: &weights,
    };
    let outputs = lstm(b, x[0], &direction).unwrap();
    together(b, &[outputs]).unwrap()
}

fn shapes(full: bool) -> Vec<Shape> {
    let fixed = |sizes: &[usize]| Shape::fixed(sizes);
    let mut shapes = vec![Shape::batched(&[STEPS, 3]), fixed(&[4 * SIZE, 3]), fixed(&[4 * SIZE, SIZE])];
    if full {
        shapes.extend([
            fixed(&[4 * SIZE]),
            fixed(&[3 * SIZE]),
            Shape::batched(&[SIZE]),
            Shape::batched(&[SIZE]),
        ]);
    }
    shapes
}

#[test]
fn both_directions_with_and_without_what_may_be_left_out() {
    for (name, case) in [
        ("plain", Case::default()),
        ("backwards", Case { backwards: true, ..Case::default() }),
        ("full", Case { full: true, ..Case::default() }),
        ("full, backwards", Case { full: true, backwards: true, ..Case::default() }),
        ("coupled", Case { full: true, coupled: true, ..Case::default() }),
        ("clipped", Case { full: true, clip: Some(0.4), ..Case::default() }),
    ] {
        check(name, &shapes(case.full), |b, x| build(b, x, case), |x| naive(x, case));
    }
}

#[test]
fn a_sequence_without_steps_is_refused() {
    let shapes = [Shape::batched(&[0, 3]), Shape::fixed(&[8, 3]), Shape::fixed(&[8, 2])];
    let error = refusal(&shapes, |b, x| {
        let weights =
            LstmWeights { input: x[1], recurrent: x[2], bias: None, peepholes: None, start: [None; 2] };
        let activations = [UnaryFunction::Sigmoid, UnaryFunction::Tanh, UnaryFunction::Tanh];
        let direction =
            LstmDirection { backwards: false, activations, clip: None, coupled: false, weights: &weights };
        lstm(b, x[0], &direction).map(|outputs| outputs.cell)
    });
    assert!(error.contains("expected a step"), "{error}");
}
