//! Scaled dot-product attention: softmax(q·kᵀ·scale + mask)·v, as in ONNX `Attention`.

use super::invalid;
use crate::builder::Builder;
use crate::error::GraphError;
use crate::fact::{DType, Dim, Shape};
use crate::graph::ValueId;
use crate::op::binary::BinaryFunction;
use crate::op::reduce::ReduceFunction;
use crate::op::softmax::Softmax;
use crate::op::unary::UnaryFunction;
use crate::op::r#where::Where;
use crate::tensor::Data;

type Built = Result<ValueId, GraphError>;

/// Optional parts of attention.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Factor of the scores; 1 ÷ √(head size) if `None`.
    pub scale: Option<f32>,
    /// Bound of the scores, applied as cap · tanh(score ÷ cap); 0 for no bound.
    pub softcap: f32,
    /// Masks that broadcast to the scores: boolean masks select the keys a query may attend to, others are added to the
    /// scores.
    pub masks: &'a [ValueId],
}

/// Output of attention and its intermediate scores.
#[derive(Clone, Copy, Debug)]
pub struct Attended {
    /// Output, N×heads×queries×value size.
    pub output: ValueId,
    /// Scores after scaling, capping, masking and softmax, in this order; each N×heads×queries×keys.
    pub scores: [ValueId; 4],
}

/// softmax(q·kᵀ·scale + mask)·v. `q` is N×heads×queries×size, `k` and `v` are N×heads×keys×size; if they have fewer
/// heads, each is shared by a group of consecutive heads of `q`. The output is 0 for a query whose keys are all masked.
///
/// # Errors
/// If the shapes do not fit.
pub fn scaled_dot_product(
    b: &mut Builder<'_>,
    q: ValueId,
    k: ValueId,
    v: ValueId,
    scale: Option<f32>,
    mask: Option<ValueId>,
) -> Built {
    let options = Options { scale, softcap: 0.0, masks: mask.as_slice() };
    attend(b, q, k, v, &options).map(|attended| attended.output)
}

/// Same as [`scaled_dot_product`], with all options; also returns the intermediate scores.
///
/// # Errors
/// If the shapes do not fit.
pub fn attend(
    b: &mut Builder<'_>,
    q: ValueId,
    k: ValueId,
    v: ValueId,
    options: &Options<'_>,
) -> Result<Attended, GraphError> {
    let [_, heads, _, size] = four(b, q)?;
    let (k, v) = (repeat_heads(b, k, heads)?, repeat_heads(b, v, heads)?);
    #[allow(clippy::cast_precision_loss)] // head sizes are small
    let scale = options.scale.unwrap_or_else(|| 1.0 / (size.at(1) as f32).sqrt());
    let q = b.scale(q, scale)?;
    let keys = b.transpose_last(k)?;
    let scaled = b.matmul(q, keys)?;
    let capped = if options.softcap > 0.0 { cap(b, scaled, options.softcap)? } else { scaled };
    let mut masked = capped;
    for &mask in options.masks {
        masked = apply_mask(b, masked, mask)?;
    }
    let probabilities = softmax(b, masked, options.masks)?;
    let output = b.matmul(probabilities, v)?;
    Ok(Attended { output, scores: [scaled, capped, masked, probabilities] })
}

fn four(b: &Builder<'_>, x: ValueId) -> Result<[Dim; 4], GraphError> {
    let shape = b.shape(x);
    <[Dim; 4]>::try_from(shape.0.as_slice())
        .map_err(|_| invalid("Attention", format!("expected N×heads×length×size, found {shape}")))
}

/// Repeats each head of `x` so that there are `heads` in total.
fn repeat_heads(b: &mut Builder<'_>, x: ValueId, heads: Dim) -> Built {
    let [n, own, length, size] = four(b, x)?;
    if own == heads {
        return Ok(x);
    }
    let (Dim::Fixed(all), Dim::Fixed(few)) = (heads, own) else {
        return Err(invalid("Attention", format!("{own} heads for {heads}")));
    };
    if few == 0 || !all.is_multiple_of(few) {
        return Err(invalid("Attention", format!("{few} heads of keys for {all} of queries")));
    }
    let apart = b.reshape(x, Shape(vec![n, own, Dim::Fixed(1), length, size]))?;
    let repeated = b.expand(apart, Shape(vec![n, own, Dim::Fixed(all / few), length, size]))?;
    b.reshape(repeated, Shape(vec![n, heads, length, size]))
}

fn cap(b: &mut Builder<'_>, scores: ValueId, softcap: f32) -> Built {
    let softcap = b.scalar(softcap);
    let ratio = b.div(scores, softcap)?;
    let bent = b.unary(UnaryFunction::Tanh, ratio)?;
    b.mul(bent, softcap)
}

fn apply_mask(b: &mut Builder<'_>, scores: ValueId, mask: ValueId) -> Built {
    if b.fact(mask).dtype == DType::Bool {
        let never = b.scalar(f32::NEG_INFINITY);
        return b.apply(Where, &[mask, scores, never]);
    }
    b.add(scores, mask)
}

/// Softmax over the keys. If a mask may hide all keys of a query, the row is 0 instead of 0 ÷ 0.
fn softmax(b: &mut Builder<'_>, scores: ValueId, masks: &[ValueId]) -> Built {
    let plain = Softmax { axis: -1, log: false };
    let safe = match masks {
        [] => true,
        [mask] => !may_hide_a_row(b, *mask),
        _ => false,
    };
    if safe {
        return b.apply(plain, &[scores]);
    }
    let last = b.shape(scores).rank() - 1;
    let best = b.reduce(ReduceFunction::Max, scores, &[last], true)?;
    let never = b.scalar(f32::NEG_INFINITY);
    let sees = b.binary(BinaryFunction::Greater, best, never)?;
    let scores = b.keep_where(sees, scores)?;
    let probabilities = b.apply(plain, &[scores])?;
    b.keep_where(sees, probabilities)
}

/// True if a mask may hide every key of some query; masks that are not constant count as such.
fn may_hide_a_row(b: &Builder<'_>, mask: ValueId) -> bool {
    let Some(tensor) = b.graph().constant(mask) else { return true };
    let row = tensor.shape().last().copied().unwrap_or(1).max(1);
    match tensor.data() {
        Data::Bool(values) => values.chunks(row).any(|row| !row.contains(&true)),
        Data::F32(values) => values.chunks(row).any(|row| row.iter().all(|&v| v == f32::NEG_INFINITY)),
        _ => true,
    }
}
