//! Attention rollout.

use heatlens_graph::op::slice::Slice;
use heatlens_graph::{Tensor, ValueId};

use crate::method::{Formula, MapKind, Method, MethodError, Work, attention};

/// Registry entry.
pub(super) static ATTENTION_ROLLOUT: Method = Method {
    id: "attention_rollout",
    title: "Attention rollout",
    summary: "the places that a transformer's output token has read from, through all layers, whatever the \
        class",
    formula: "the class token's row (else the mean row) of Ãₗ … Ã₂ Ã₁, Ã = ½ (mean over heads of A + I)",
    paper: "Abnar and Zuidema 2020, Quantifying Attention Flow in Transformers, ACL",
    cost: "1 forward pass",
    sanity: "not in Adebayo et al. 2018; it does not depend on the class (Chefer et al. 2021)",
    kind: MapKind::Layer,
    uses_layer: true,
    caution: Some("the same picture for every class: it shows what was read, not what speaks for the class"),
    parameters: &[],
    work: Work::Graph(build),
};

fn build(f: &mut Formula<'_>) -> Result<ValueId, MethodError> {
    let (tokens, attentions) = attention::find(f, &ATTENTION_ROLLOUT)?;
    let n = tokens.all;
    let mut b = f.builder(ATTENTION_ROLLOUT.id);
    let half = (0..n * n).map(|i| if i / n == i % n { 0.5 } else { 0.0 }).collect();
    let half = b.constant(Tensor::f32(&[1, n, n], half));
    let mut rollout: Option<ValueId> = None;
    for attention in attentions {
        let by_head = attention.by_head(&mut b, attention.value)?;
        let mean = b.mean(by_head, &[1], false)?;
        let mean = b.scale(mean, 0.5)?;
        let step = b.add(mean, half)?;
        rollout = Some(match rollout {
            Some(before) => b.matmul(step, before)?,
            None => step,
        });
    }
    let rollout = rollout.ok_or_else(|| ATTENTION_ROLLOUT.not_applicable("there is no attention"))?;
    let rows = match tokens.before {
        0 => rollout,
        _ => b.apply(Slice { axis: 1, start: 0, len: 1, step: 1 }, &[rollout])?,
    };
    let row = b.mean(rows, &[1], false)?;
    Ok(tokens.as_map(&mut b, row)?)
}
