//! `GRU` and `RNN`.

use super::Recipe;
use super::lstm::{expect, named, row, steps_fit};
use crate::builder::Builder;
use crate::compose::gru::{GruDirection, GruUnit, recurrent};
use crate::compose::lstm::{between, together};
use crate::error::{GraphError, OpError};
use crate::fact::{Dim, Shape};
use crate::graph::ValueId;
use crate::onnx::attributes::Attributes;
use crate::onnx::scope::{Problem, Scope};
use crate::op::concat::Concat;
use crate::op::invalid;
use crate::op::slice::Slice;
use crate::op::unary::UnaryFunction;

#[derive(Clone, Debug)]
struct Settings {
    unit: GruUnit,
    /// For each direction, whether it runs backwards, and the activations of gates and output.
    directions: Vec<(bool, [UnaryFunction; 2])>,
    clip: Option<f32>,
    /// True if the axis of samples precedes that of steps.
    samples_first: bool,
}

#[derive(Clone, Copy, Debug)]
struct Inputs {
    x: ValueId,
    input: ValueId,
    recurrent: ValueId,
    bias: Option<ValueId>,
    start: Option<ValueId>,
}

pub(super) fn gru(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let linear_before_reset = attributes.flag("linear_before_reset")?;
    read(attributes, GruUnit::Gated { linear_before_reset }, &["Sigmoid", "Tanh"])
}

pub(super) fn rnn(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    read(attributes, GruUnit::Plain, &["Tanh"])
}

fn read(attributes: &mut Attributes<'_>, unit: GruUnit, usual: &[&str]) -> Result<Recipe, OpError> {
    let backwards: &[bool] = match attributes.text("direction")? {
        None | Some("forward") => &[false],
        Some("reverse") => &[true],
        Some("bidirectional") => &[false, true],
        Some(other) => return Err(OpError::Unsupported(format!("direction {other:?}"))),
    };
    let expected = usual.len() * backwards.len();
    let names = attributes.texts("activations")?.unwrap_or_else(|| usual.repeat(backwards.len()));
    if names.len() != expected {
        return Err(invalid(format!("expected {expected} activations, found {}", names.len())));
    }
    let pair = |names: &[&str]| Ok([named(names[0])?, named(names[names.len() - 1])?]);
    let activations = names.chunks(usual.len()).map(pair).collect::<Result<Vec<_>, OpError>>()?;
    let settings = Settings {
        unit,
        directions: backwards.iter().copied().zip(activations).collect(),
        clip: attributes.float("clip")?,
        samples_first: attributes.opset() >= 14 && attributes.flag("layout")?,
    };
    let hidden = attributes.int("hidden_size")?;
    Ok(Box::new(move |scope| {
        let inputs = Inputs {
            x: scope.input(0)?,
            input: scope.input(1)?,
            recurrent: scope.input(2)?,
            bias: scope.optional(3)?,
            start: scope.optional(5)?,
        };
        settings.check(scope, &inputs, hidden)?;
        scope.formulas(|b| settings.write(b, &inputs))
    }))
}

impl Settings {
    /// Checks the shapes of all arrays, so that the formula can rely on them.
    fn check(&self, scope: &mut Scope<'_>, inputs: &Inputs, said: Option<i64>) -> Result<(), Problem> {
        let (x, recurrent) = (scope.fact(inputs.x).shape.clone(), scope.fact(inputs.recurrent).shape.clone());
        let (&[first, second, Dim::Fixed(features)], &[_, _, Dim::Fixed(hidden)]) =
            (x.0.as_slice(), recurrent.0.as_slice())
        else {
            let found = format!("found {x} and {recurrent}");
            return Err(
                invalid(format!("expected a sequence and recurrent weights of rank 3, {found}")).into()
            );
        };
        if said.is_some_and(|said| usize::try_from(said) != Ok(hidden)) {
            return Err(invalid(format!(
                "expected weights for a hidden_size of {said:?}, found {recurrent}"
            ))
            .into());
        }
        let (samples, steps) = if self.samples_first { (first, second) } else { (second, first) };
        let Dim::Fixed(steps) = steps else {
            return Err(OpError::Unsupported(format!("a sequence of shape {x}, of no fixed length,")).into());
        };
        let (directions, rows) = (self.directions.len(), hidden.saturating_mul(self.unit.sums()));
        expect(scope, Some(inputs.input), "weights", &Shape::fixed(&[directions, rows, features]))?;
        expect(
            scope,
            Some(inputs.recurrent),
            "recurrent weights",
            &Shape::fixed(&[directions, rows, hidden]),
        )?;
        expect(scope, inputs.bias, "a bias", &Shape::fixed(&[directions, rows.saturating_mul(2)]))?;
        let mut start = vec![Dim::Fixed(directions), samples, Dim::Fixed(hidden)];
        if self.samples_first {
            start.swap(0, 1);
        }
        expect(scope, inputs.start, "a first state", &Shape(start))?;
        steps_fit(scope, steps, directions)
    }

    fn write(&self, b: &mut Builder<'_>, inputs: &Inputs) -> Result<Vec<ValueId>, GraphError> {
        let x = if self.samples_first { inputs.x } else { b.transpose(inputs.x, &[1, 0, 2])? };
        let (mut all, mut lasts) = (Vec::new(), Vec::new());
        for (index, &(backwards, [gate, output])) in self.directions.iter().enumerate() {
            let axis = usize::from(self.samples_first);
            let direction = GruDirection {
                unit: self.unit,
                backwards,
                gate,
                output,
                clip: self.clip,
                input: row(b, inputs.input, 0, index)?,
                recurrent: row(b, inputs.recurrent, 0, index)?,
                biases: inputs.bias.map(|bias| halves(b, bias, index)).transpose()?,
                start: inputs.start.map(|start| row(b, start, axis, index)).transpose()?,
            };
            let outputs = recurrent(b, x, &direction)?;
            lasts.push(between(b, outputs.last, 1)?);
            all.push(outputs);
        }
        let sequence = together(b, &all)?;
        let last = b.apply(Concat { axis: 1 }, &lasts)?;
        if self.samples_first {
            return Ok(vec![sequence, last]);
        }
        Ok(vec![b.transpose(sequence, &[1, 2, 0, 3])?, b.transpose(last, &[1, 0, 2])?])
    }
}

/// Returns the bias of the input and that of the previous output.
fn halves(b: &mut Builder<'_>, bias: ValueId, index: usize) -> Result<[ValueId; 2], GraphError> {
    let both = row(b, bias, 0, index)?;
    let len = b.shape(both).at(1).iter().product::<usize>() / 2;
    let mut half = |start| b.apply(Slice { axis: 0, start, len, step: 1 }, &[both]);
    Ok([half(0)?, half(len)?])
}
