//! `LSTM`.

use super::Recipe;
use crate::builder::Builder;
use crate::compose::lstm::{self as formula, LstmDirection, LstmWeights};
use crate::error::{GraphError, OpError};
use crate::fact::{Dim, Shape};
use crate::graph::ValueId;
use crate::onnx::attributes::Attributes;
use crate::onnx::scope::{Problem, Scope};
use crate::op::concat::Concat;
use crate::op::invalid;
use crate::op::slice::Slice;
use crate::op::unary::UnaryFunction;

/// Maximum number of nodes of the graph: each step becomes about twenty.
const MAX_NODES: usize = 1 << 18;
const NODES_OF_A_STEP: usize = 24;

/// Activations of the gates, of the cell's input and of the cell's output.
type Activations = [UnaryFunction; 3];

#[derive(Clone, Debug)]
struct Settings {
    /// For each direction, whether it runs backwards, and its activations.
    directions: Vec<(bool, Activations)>,
    clip: Option<f32>,
    coupled: bool,
    hidden: Option<i64>,
    /// True if the axis of samples precedes that of steps.
    samples_first: bool,
}

/// Inputs of the node.
#[derive(Clone, Copy, Debug)]
struct Inputs {
    x: ValueId,
    input: ValueId,
    recurrent: ValueId,
    bias: Option<ValueId>,
    start: [Option<ValueId>; 2],
    peepholes: Option<ValueId>,
}

/// Sizes derived from the shapes of the inputs.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    samples: Dim,
    steps: usize,
    features: usize,
    hidden: usize,
}

pub(super) fn lstm(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let backwards: &[bool] = match attributes.text("direction")? {
        None | Some("forward") => &[false],
        Some("reverse") => &[true],
        Some("bidirectional") => &[false, true],
        Some(other) => return Err(OpError::Unsupported(format!("direction {other:?}"))),
    };
    let activations = activations(attributes, backwards.len())?;
    let settings = Settings {
        directions: backwards.iter().copied().zip(activations).collect(),
        clip: attributes.float("clip")?,
        coupled: attributes.flag("input_forget")?,
        hidden: attributes.int("hidden_size")?,
        samples_first: attributes.opset() >= 14 && attributes.flag("layout")?,
    };
    Ok(Box::new(move |scope| {
        let inputs = Inputs {
            x: scope.input(0)?,
            input: scope.input(1)?,
            recurrent: scope.input(2)?,
            bias: scope.optional(3)?,
            start: [scope.optional(5)?, scope.optional(6)?],
            peepholes: scope.optional(7)?,
        };
        let sizes = settings.sizes(scope, &inputs)?;
        settings.check_arrays(scope, &inputs, sizes)?;
        steps_fit(scope, sizes.steps, settings.directions.len())?;
        scope.formulas(|b| settings.write(b, &inputs))
    }))
}

/// Reads the activations; those of the second direction follow those of the first.
fn activations(attributes: &mut Attributes<'_>, directions: usize) -> Result<Vec<Activations>, OpError> {
    let names = attributes.texts("activations")?;
    let names = names.unwrap_or_else(|| ["Sigmoid", "Tanh", "Tanh"].repeat(directions));
    if names.len() != 3 * directions {
        return Err(invalid(format!("expected {} activations, found {}", 3 * directions, names.len())));
    }
    let (threes, _) = names.as_chunks::<3>();
    threes.iter().map(|&[gate, input, output]| Ok([named(gate)?, named(input)?, named(output)?])).collect()
}

pub(super) fn named(name: &str) -> Result<UnaryFunction, OpError> {
    match name {
        "Sigmoid" => Ok(UnaryFunction::Sigmoid),
        "Tanh" => Ok(UnaryFunction::Tanh),
        "Relu" => Ok(UnaryFunction::Relu),
        "Softsign" => Ok(UnaryFunction::Softsign),
        "Softplus" => Ok(UnaryFunction::Softplus),
        other => Err(OpError::Unsupported(format!("activation {other:?}"))),
    }
}

/// Returns an error if a value has another shape.
pub(super) fn expect(
    scope: &Scope<'_>,
    id: Option<ValueId>,
    what: &str,
    expected: &Shape,
) -> Result<(), OpError> {
    match id.map(|id| &scope.fact(id).shape) {
        Some(found) if found != expected => {
            Err(invalid(format!("expected {what} of shape {expected}, found {found}")))
        }
        _ => Ok(()),
    }
}

impl Settings {
    fn sizes(&self, scope: &Scope<'_>, inputs: &Inputs) -> Result<Sizes, OpError> {
        let (x, recurrent) = (&scope.fact(inputs.x).shape, &scope.fact(inputs.recurrent).shape);
        let (&[first, second, Dim::Fixed(features)], &[_, _, Dim::Fixed(hidden)]) =
            (x.0.as_slice(), recurrent.0.as_slice())
        else {
            let found = format!("found {x} and {recurrent}");
            return Err(invalid(format!("expected a sequence and recurrent weights of rank 3, {found}")));
        };
        let (samples, steps) = if self.samples_first { (first, second) } else { (second, first) };
        let Dim::Fixed(steps) = steps else {
            return Err(OpError::Unsupported(format!("a sequence of shape {x}, of no fixed length,")));
        };
        match self.hidden {
            Some(said) if usize::try_from(said) != Ok(hidden) => {
                Err(invalid(format!("expected weights for a hidden_size of {said}, found {recurrent}")))
            }
            _ => Ok(Sizes { samples, steps, features, hidden }),
        }
    }

    /// Checks the shapes of all arrays, so that the formula can rely on them.
    fn check_arrays(&self, scope: &Scope<'_>, inputs: &Inputs, sizes: Sizes) -> Result<(), OpError> {
        let Sizes { samples, features, hidden, .. } = sizes;
        let (directions, times) = (self.directions.len(), |n| hidden.saturating_mul(n));
        expect(scope, Some(inputs.input), "weights", &Shape::fixed(&[directions, times(4), features]))?;
        let recurrent = Shape::fixed(&[directions, times(4), hidden]);
        expect(scope, Some(inputs.recurrent), "recurrent weights", &recurrent)?;
        expect(scope, inputs.bias, "a bias", &Shape::fixed(&[directions, times(8)]))?;
        expect(scope, inputs.peepholes, "peepholes", &Shape::fixed(&[directions, times(3)]))?;
        let mut start = vec![Dim::Fixed(directions), samples, Dim::Fixed(hidden)];
        if self.samples_first {
            start.swap(0, 1);
        }
        let start = Shape(start);
        inputs.start.iter().try_for_each(|&id| expect(scope, id, "a first state", &start))
    }

    fn write(&self, b: &mut Builder<'_>, inputs: &Inputs) -> Result<Vec<ValueId>, GraphError> {
        let x = if self.samples_first { inputs.x } else { b.transpose(inputs.x, &[1, 0, 2])? };
        let (mut all, mut lasts, mut cells) = (Vec::new(), Vec::new(), Vec::new());
        for (index, &(backwards, activations)) in self.directions.iter().enumerate() {
            let weights = self.weights(b, inputs, index)?;
            let (clip, coupled) = (self.clip, self.coupled);
            let direction = LstmDirection { backwards, activations, clip, coupled, weights: &weights };
            let outputs = formula::lstm(b, x, &direction)?;
            lasts.push(formula::between(b, outputs.last, 1)?);
            cells.push(formula::between(b, outputs.cell, 1)?);
            all.push(outputs);
        }
        let sequence = formula::together(b, &all)?;
        let (last, cell) = (b.apply(Concat { axis: 1 }, &lasts)?, b.apply(Concat { axis: 1 }, &cells)?);
        if self.samples_first {
            return Ok(vec![sequence, last, cell]);
        }
        let sequence = b.transpose(sequence, &[1, 2, 0, 3])?;
        Ok(vec![sequence, b.transpose(last, &[1, 0, 2])?, b.transpose(cell, &[1, 0, 2])?])
    }

    /// Returns the arrays of one direction.
    fn weights(&self, b: &mut Builder<'_>, inputs: &Inputs, index: usize) -> Result<LstmWeights, GraphError> {
        let axis = usize::from(self.samples_first);
        let mut optional = |id: Option<ValueId>, axis| id.map(|id| row(b, id, axis, index)).transpose();
        let [output, cell] = inputs.start;
        let start = [optional(output, axis)?, optional(cell, axis)?];
        let (bias, peepholes) = (optional(inputs.bias, 0)?, optional(inputs.peepholes, 0)?);
        Ok(LstmWeights {
            input: row(b, inputs.input, 0, index)?,
            recurrent: row(b, inputs.recurrent, 0, index)?,
            bias: bias.map(|both| sum_of_halves(b, both)).transpose()?,
            peepholes,
            start,
        })
    }
}

/// Checks that all sequences have full length, and that they are short enough to be unrolled.
pub(super) fn steps_fit(scope: &mut Scope<'_>, steps: usize, directions: usize) -> Result<(), Problem> {
    if let Some(lengths) = scope.ints(4, "lengths of sequences")?
        && lengths.iter().any(|&length| usize::try_from(length) != Ok(steps))
    {
        let what = format!("a batch of sequences of lengths {lengths:?}, padded to {steps},");
        return Err(OpError::Unsupported(what).into());
    }
    let more = steps.saturating_mul(directions).saturating_mul(NODES_OF_A_STEP);
    if scope.reading.graph.nodes().len().saturating_add(more) > MAX_NODES {
        let what = format!("a sequence of {steps} steps, which makes a graph of over {MAX_NODES} nodes,");
        return Err(OpError::Unsupported(what).into());
    }
    Ok(())
}

/// Appends element `index` of an axis, which is removed.
pub(super) fn row(b: &mut Builder<'_>, x: ValueId, axis: usize, index: usize) -> Result<ValueId, GraphError> {
    let row = b.apply(Slice { axis, start: index, len: 1, step: 1 }, &[x])?;
    let mut shape = b.shape(row);
    shape.0.remove(axis);
    b.reshape(row, shape)
}

/// Appends the sum of the bias of the input and that of the previous output.
fn sum_of_halves(b: &mut Builder<'_>, both: ValueId) -> Result<ValueId, GraphError> {
    let len = b.shape(both).at(1).iter().product::<usize>() / 2;
    let [first, second] = [0, len].map(|start| Slice { axis: 0, start, len, step: 1 });
    let (first, second) = (b.apply(first, &[both])?, b.apply(second, &[both])?);
    b.add(first, second)
}
