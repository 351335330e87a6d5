//! Quantities, such as an age, a count or an angle. The number itself is explained, and also its decrease.

use heatlens_graph::op::Kind;
use heatlens_graph::op::binary::BinaryFunction;
use heatlens_graph::{Graph, ValueId};

use super::kind::{Guess, HeadKind, Row};
use super::{Activation, End};

/// Bias above which an output is not a logit: without features it would be a probability of 0.99995, and training does
/// not end there.
const NO_LOGIT: f32 = 10.0;

pub(super) const ROW: Row = Row {
    kind: HeadKind::Regression,
    name: "regression",
    summary: "Quantities",
    about: "a quantity: what makes it larger, and what makes it smaller",
    quantity: true,
    refuses: |_, _| None,
    guess,
    dense: None,
};

/// Guesses that a single number without a sigmoid is a quantity if it is bounded, or if its last constant is far too
/// large for a logit. Several numbers without names are ambiguous; they are treated as classes, with a note.
fn guess(graph: &Graph, end: &End<'_>) -> Option<Guess> {
    if end.outputs != 1 || end.named || end.scores.activation != Activation::None {
        return None;
    }
    let known = &end.known[end.output.index()];
    let reason = if known.low.is_finite() || known.high.is_finite() {
        let (low, high) = (known.low, known.high);
        format!("it is limited to {low:.4}…{high:.4}, which a logit is not")
    } else {
        let constant = last_constant(graph, end.output).filter(|c| c.abs() > NO_LOGIT)?;
        format!("its last constant is {constant}, too large for a logit")
    };
    Some(Guess::with_note(
        HeadKind::Regression,
        format!(
            "the single output is taken as a quantity (regression): {reason}; use --head classes if it \
             separates two classes"
        ),
    ))
}

/// Returns the constant that is added last.
fn last_constant(graph: &Graph, output: ValueId) -> Option<f32> {
    let mut value = output;
    loop {
        let node = graph.node(graph.producer(value)?);
        let constant = |i: usize| {
            let id = node.inputs.get(i).copied().flatten()?;
            graph.constant(id)?.as_f32()?.first().copied()
        };
        match node.op.kind() {
            Kind::Gemm(gemm) => return Some(constant(2)? * gemm.beta),
            Kind::Binary(BinaryFunction::Add) => return constant(1).or_else(|| constant(0)),
            kind if kind.is_renaming() => {}
            _ => return None,
        }
        value = node.inputs.first().copied().flatten()?;
    }
}
