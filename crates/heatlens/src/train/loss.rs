//! The training loss: cross-entropy on logits, so that it never overflows.

use heatlens_graph::op::softmax::Softmax;
use heatlens_graph::op::unary::UnaryFunction;
use heatlens_graph::{Builder, GraphError, ValueId};

/// Appends the loss of each sample, shape `n 1`. `logits` have the shape `n k`; `targets` are `n 1` with 0 or 1 if
/// k = 1, otherwise one-hot `n k`.
///
/// Binary: softplus(z) − t·z, which is −t·ln σ(z) − (1 − t)·ln(1 − σ(z)).
/// Categorical: −Σₖ tₖ · log-softmax(z)ₖ.
///
/// # Errors
/// If the shapes do not match.
pub fn cross_entropy(b: &mut Builder<'_>, logits: ValueId, targets: ValueId) -> Result<ValueId, GraphError> {
    let outputs = b.shape(logits).0.get(1).map_or(0, |d| d.at(1));
    if outputs == 1 {
        let softplus = b.unary(UnaryFunction::Softplus, logits)?;
        let hit = b.mul(targets, logits)?;
        return b.sub(softplus, hit);
    }
    let log = b.apply(Softmax { axis: 1, log: true }, &[logits])?;
    let hit = b.mul(targets, log)?;
    let sum = b.sum(hit, &[1], true)?;
    b.neg(sum)
}
