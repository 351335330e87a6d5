//! Gated recurrent units and plain recurrent networks, unrolled over the steps: ONNX `GRU` and `RNN`.

use super::invalid;
use super::lstm::Outputs;
use crate::builder::Builder;
use crate::error::GraphError;
use crate::fact::{Dim, Shape};
use crate::graph::ValueId;
use crate::op::clip::Clip;
use crate::op::slice::Slice;
use crate::op::unary::UnaryFunction;

type Built = Result<ValueId, GraphError>;

/// Kind of recurrent unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GruUnit {
    /// f(input + previous output).
    Plain,
    /// Unit with an update gate and a reset gate.
    Gated {
        /// True if the reset gate is applied after the product with the recurrent weights.
        linear_before_reset: bool,
    },
}

impl GruUnit {
    /// Returns the number of weighted sums per step. Those of a gated unit are for the update gate, the reset gate and
    /// the output, in this order.
    #[must_use]
    pub fn sums(self) -> usize {
        match self {
            Self::Plain => 1,
            Self::Gated { .. } => 3,
        }
    }
}

/// One direction of a recurrent layer.
#[derive(Clone, Copy, Debug)]
pub struct GruDirection {
    /// Kind of unit.
    pub unit: GruUnit,
    /// True if the sequence is processed from its end.
    pub backwards: bool,
    /// Activation of the gates, if there are any.
    pub gate: UnaryFunction,
    /// Activation of the output.
    pub output: UnaryFunction,
    /// Bound: sums are clamped to ± this value before the activation.
    pub clip: Option<f32>,
    /// Weights of the sequence: (sums·size)×(input size).
    pub input: ValueId,
    /// Weights of the previous output: (sums·size)×size.
    pub recurrent: ValueId,
    /// Biases of the sums over the input and of those over the previous output, each of length sums·size.
    pub biases: Option<[ValueId; 2]>,
    /// Initial output, samples×size; zeros if `None`.
    pub start: Option<ValueId>,
}

/// Runs one direction over `x`, samples×steps×(input size). The unit has no cell: `cell` of the result is the last
/// output.
///
/// # Errors
/// If the shapes do not fit, or there are no steps.
pub fn recurrent(b: &mut Builder<'_>, x: ValueId, direction: &GruDirection) -> Result<Outputs, GraphError> {
    let shape = b.shape(x);
    let (&[samples, Dim::Fixed(steps), _], &[_, Dim::Fixed(size)]) =
        (shape.0.as_slice(), b.shape(direction.recurrent).0.as_slice())
    else {
        return Err(invalid("GRU", format!("expected samples×steps×size, found {shape}")));
    };
    let columns = b.transpose_last(direction.input)?;
    let mut sums = b.matmul(x, columns)?;
    if let Some([bias, _]) = direction.biases {
        sums = b.add(sums, bias)?;
    }
    let step = Step { direction, size, recurrent: b.transpose_last(direction.recurrent)? };
    let row = |count: usize| Shape(vec![samples, Dim::Fixed(size.saturating_mul(count))]);
    let mut output = match direction.start {
        Some(start) => start,
        None => {
            let zero = b.scalar(0.0);
            b.expand(zero, row(1))?
        }
    };
    let mut outputs = Vec::with_capacity(steps);
    for i in 0..steps {
        let start = if direction.backwards { steps - 1 - i } else { i };
        let here = b.apply(Slice { axis: 1, start, len: 1, step: 1 }, &[sums])?;
        let here = b.reshape(here, row(direction.unit.sums()))?;
        output = step.write(b, here, output)?;
        outputs.push(output);
    }
    if direction.backwards {
        outputs.reverse();
    }
    if steps == 0 {
        return Err(invalid("GRU", "expected a step, found none"));
    }
    Ok(Outputs { steps: outputs, last: output, cell: output })
}

/// Data shared by all steps.
struct Step<'a> {
    direction: &'a GruDirection,
    size: usize,
    recurrent: ValueId,
}

impl Step<'_> {
    /// Appends the output of a step, given the sums over its input and the previous output.
    fn write(&self, b: &mut Builder<'_>, sums: ValueId, before: ValueId) -> Built {
        match self.direction.unit {
            GruUnit::Plain => {
                let own = self.before(b, before, 0, 1)?;
                let sum = b.add(sums, own)?;
                self.bend(b, self.direction.output, sum)
            }
            GruUnit::Gated { linear_before_reset } => {
                let own = self.before(b, before, 0, 2)?;
                let gates = self.part(b, sums, 1, 0, 2)?;
                let gates = b.add(gates, own)?;
                let gates = self.bend(b, self.direction.gate, gates)?;
                let (update, reset) = (self.part(b, gates, 1, 0, 1)?, self.part(b, gates, 1, 1, 1)?);
                let own = if linear_before_reset {
                    let own = self.before(b, before, 2, 1)?;
                    b.mul(reset, own)?
                } else {
                    let kept = b.mul(reset, before)?;
                    self.before(b, kept, 2, 1)?
                };
                let sum = self.part(b, sums, 1, 2, 1)?;
                let sum = b.add(sum, own)?;
                let new = self.bend(b, self.direction.output, sum)?;
                // (1 − update) · new + update · before
                let change = b.sub(before, new)?;
                let change = b.mul(update, change)?;
                b.add(new, change)
            }
        }
    }

    /// Appends `count` of the sums over the previous output, starting with number `at`.
    fn before(&self, b: &mut Builder<'_>, output: ValueId, at: usize, count: usize) -> Built {
        let weights = self.part(b, self.recurrent, 1, at, count)?;
        let product = b.matmul(output, weights)?;
        match self.direction.biases {
            Some([_, bias]) => {
                let bias = self.part(b, bias, 0, at, count)?;
                b.add(product, bias)
            }
            None => Ok(product),
        }
    }

    fn part(&self, b: &mut Builder<'_>, x: ValueId, axis: usize, at: usize, count: usize) -> Built {
        if self.direction.unit.sums() == count {
            return Ok(x);
        }
        b.apply(Slice { axis, start: at * self.size, len: count * self.size, step: 1 }, &[x])
    }

    fn bend(&self, b: &mut Builder<'_>, function: UnaryFunction, mut sum: ValueId) -> Built {
        if let Some(bound) = self.direction.clip {
            sum = b.apply(Clip { min: -bound, max: bound }, &[sum])?;
        }
        b.unary(function, sum)
    }
}
