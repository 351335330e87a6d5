//! Long short-term memory, unrolled over the steps: ONNX `LSTM`.
//!
//! The length of a sequence is known, so its steps are written out one by one; results that are not needed are removed
//! later.

use super::invalid;
use crate::builder::Builder;
use crate::error::GraphError;
use crate::fact::{Dim, Shape};
use crate::graph::ValueId;
use crate::op::clip::Clip;
use crate::op::concat::Concat;
use crate::op::slice::Slice;
use crate::op::unary::UnaryFunction;

type Built = Result<ValueId, GraphError>;

/// One direction of an LSTM layer.
#[derive(Clone, Copy, Debug)]
pub struct LstmDirection<'a> {
    /// True if the sequence is processed from its end.
    pub backwards: bool,
    /// Activations of the gates, of the cell's input and of the cell's output.
    pub activations: [UnaryFunction; 3],
    /// Bound: sums are clamped to ± this value before the activation.
    pub clip: Option<f32>,
    /// True if the forget gate is 1 − the input gate.
    pub coupled: bool,
    /// Weights and initial state.
    pub weights: &'a LstmWeights,
}

/// Weights and initial state of a direction. Gates are stored in the order input, output, forget, cell.
#[derive(Clone, Copy, Debug)]
pub struct LstmWeights {
    /// Weights of the sequence: (4·size)×(input size).
    pub input: ValueId,
    /// Weights of the previous output: (4·size)×size.
    pub recurrent: ValueId,
    /// Bias of all sums: 4·size.
    pub bias: Option<ValueId>,
    /// Peephole weights from the cell to the input, output and forget gates: 3·size.
    pub peepholes: Option<ValueId>,
    /// Initial output and cell, each samples×size; zeros if `None`.
    pub start: [Option<ValueId>; 2],
}

/// Outputs of a direction.
#[derive(Clone, Debug)]
pub struct Outputs {
    /// Outputs in the order of the sequence, each samples×size.
    pub steps: Vec<ValueId>,
    /// Output of the step computed last, samples×size.
    pub last: ValueId,
    /// Cell after that step, samples×size.
    pub cell: ValueId,
}

/// Slices elements `start` to `start + len` of an axis.
fn part(b: &mut Builder<'_>, x: ValueId, axis: usize, start: usize, len: usize) -> Built {
    b.apply(Slice { axis, start, len, step: 1 }, &[x])
}

/// Runs one direction over `x`, samples×steps×(input size).
///
/// # Errors
/// If the shapes do not fit, or there are no steps.
pub fn lstm(b: &mut Builder<'_>, x: ValueId, direction: &LstmDirection<'_>) -> Result<Outputs, GraphError> {
    let weights = direction.weights;
    let shape = b.shape(x);
    let (&[samples, Dim::Fixed(steps), _], &[_, Dim::Fixed(size)]) =
        (shape.0.as_slice(), b.shape(weights.recurrent).0.as_slice())
    else {
        return Err(invalid("LSTM", format!("expected samples×steps×size, found {shape}")));
    };
    let columns = b.transpose_last(weights.input)?;
    let mut sums = b.matmul(x, columns)?;
    if let Some(bias) = weights.bias {
        sums = b.add(sums, bias)?;
    }
    let recurrent = b.transpose_last(weights.recurrent)?;
    let peepholes = match weights.peepholes {
        Some(all) => {
            Some([part(b, all, 0, 0, size)?, part(b, all, 0, size, size)?, part(b, all, 0, 2 * size, size)?])
        }
        None => None,
    };
    let cell = Cell { direction, size, recurrent, peepholes };
    let row = Shape(vec![samples, Dim::Fixed(size.saturating_mul(4))]);
    let [mut output, mut state] = weights.start;
    let mut outputs = Vec::with_capacity(steps);
    for i in 0..steps {
        let at = if direction.backwards { steps - 1 - i } else { i };
        let here = part(b, sums, 1, at, 1)?;
        let here = b.reshape(here, row.clone())?;
        let (h, c) = cell.step(b, here, output, state)?;
        (output, state) = (Some(h), Some(c));
        outputs.push(h);
    }
    if direction.backwards {
        outputs.reverse();
    }
    let (Some(last), Some(cell), true) = (output, state, steps > 0) else {
        return Err(invalid("LSTM", "expected a step, found none"));
    };
    Ok(Outputs { steps: outputs, last, cell })
}

/// Data shared by all steps.
struct Cell<'a> {
    direction: &'a LstmDirection<'a>,
    size: usize,
    recurrent: ValueId,
    peepholes: Option<[ValueId; 3]>,
}

impl Cell<'_> {
    /// Appends output and cell of a step, given the sums over its input and the previous output and cell; `None` means
    /// zeros.
    fn step(
        &self,
        b: &mut Builder<'_>,
        mut sums: ValueId,
        output: Option<ValueId>,
        cell: Option<ValueId>,
    ) -> Result<(ValueId, ValueId), GraphError> {
        let [gate, candidate, last] = self.direction.activations;
        if let Some(output) = output {
            let recurrent = b.matmul(output, self.recurrent)?;
            sums = b.add(sums, recurrent)?;
        }
        let input = self.gate(b, sums, 0, gate, self.peephole(0, cell))?;
        let new = self.gate(b, sums, 3, candidate, None)?;
        let mut next = b.mul(input, new)?;
        if let Some(cell) = cell {
            let forget = if self.direction.coupled {
                let one = b.scalar(1.0);
                b.sub(one, input)?
            } else {
                self.gate(b, sums, 2, gate, self.peephole(2, Some(cell)))?
            };
            let kept = b.mul(forget, cell)?;
            next = b.add(kept, next)?;
        }
        let open = self.gate(b, sums, 1, gate, self.peephole(1, Some(next)))?;
        let shown = b.unary(last, next)?;
        Ok((b.mul(open, shown)?, next))
    }

    /// Returns the weights of a peephole, paired with the cell it reads.
    fn peephole(&self, gate: usize, cell: Option<ValueId>) -> Option<(ValueId, ValueId)> {
        self.peepholes.and_then(|all| all.get(gate).copied()).zip(cell)
    }

    /// Appends the activation of one quarter of the sums.
    fn gate(
        &self,
        b: &mut Builder<'_>,
        sums: ValueId,
        index: usize,
        activation: UnaryFunction,
        peephole: Option<(ValueId, ValueId)>,
    ) -> Built {
        let mut sum = part(b, sums, 1, index * self.size, self.size)?;
        if let Some((weights, cell)) = peephole {
            let seen = b.mul(weights, cell)?;
            sum = b.add(sum, seen)?;
        }
        if let Some(bound) = self.direction.clip {
            sum = b.apply(Clip { min: -bound, max: bound }, &[sum])?;
        }
        b.unary(activation, sum)
    }
}

/// Joins the outputs of all directions: samples×steps×directions×size.
///
/// # Errors
/// If there are no directions, or their shapes differ.
pub fn together(b: &mut Builder<'_>, directions: &[Outputs]) -> Built {
    let mut all = Vec::with_capacity(directions.len());
    for outputs in directions {
        let mut steps = Vec::with_capacity(outputs.steps.len());
        for &step in &outputs.steps {
            steps.push(between(b, step, 2)?);
        }
        all.push(b.apply(Concat { axis: 1 }, &steps)?);
    }
    b.apply(Concat { axis: 2 }, &all)
}

/// Inserts `count` axes of size 1 between the two axes of a value samples×size.
///
/// # Errors
/// If the value does not have that shape.
pub fn between(b: &mut Builder<'_>, x: ValueId, count: usize) -> Built {
    let mut shape = b.shape(x);
    shape.0.splice(1..1, std::iter::repeat_n(Dim::Fixed(1), count));
    b.reshape(x, shape)
}
