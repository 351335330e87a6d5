//! `Attention`.

use super::Recipe;
use crate::builder::Builder;
use crate::compose::attention::{Attended, Options, attend};
use crate::error::{GraphError, OpError};
use crate::fact::{DType, Dim, Shape};
use crate::graph::ValueId;
use crate::onnx::attributes::Attributes;
use crate::onnx::scope::{Problem, Scope};
use crate::op::concat::Concat;
use crate::op::invalid;
use crate::op::pad::Pad;
use crate::tensor::{Data, Tensor};

/// Maximum number of elements of a stored mask.
const MAX_MASK: usize = 1 << 28;

#[derive(Clone, Debug)]
struct Settings {
    causal: bool,
    scale: Option<f32>,
    softcap: f32,
    /// Numbers of query and key heads, if the inputs store heads side by side.
    heads: [Option<i64>; 2],
    /// Index of the scores returned as the fourth output.
    mode: usize,
    /// Number of keys to the left and right of a query that it may attend to, if bounded.
    window: [Option<usize>; 2],
}

pub(super) fn attention(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    attributes.ignore("softmax_precision"); // single precision is always used
    let mode = attributes.int("qk_matmul_output_mode")?.unwrap_or(0);
    let mode = usize::try_from(mode).ok().filter(|mode| *mode < 4);
    let heads = [attributes.int("q_num_heads")?, attributes.int("kv_num_heads")?];
    let mut window = [None; 2];
    if attributes.opset() >= 25 {
        for (side, name) in window.iter_mut().zip(["left_window_size", "right_window_size"]) {
            *side = match attributes.int(name)?.unwrap_or(-1) {
                -1 => None,
                size => Some(usize::try_from(size).map_err(|_| invalid(format!("a {name} of {size}")))?),
            };
        }
    }
    let settings = Settings {
        causal: attributes.flag("is_causal")?,
        scale: attributes.float("scale")?,
        softcap: attributes.float("softcap")?.unwrap_or(0.0),
        heads,
        mode: mode.ok_or_else(|| OpError::Unsupported("this qk_matmul_output_mode".to_owned()))?,
        window,
    };
    Ok(Box::new(move |scope| {
        let [q, k, v] = [scope.input(0)?, scope.input(1)?, scope.input(2)?];
        let past = match (scope.optional(4)?, scope.optional(5)?) {
            (None, None) => None,
            (Some(key), Some(value)) => Some((key, value)),
            _ => return Err(invalid("past keys without past values").into()),
        };
        let valid = scope.ints(6, "lengths of keys")?;
        let mask = mask(scope)?;
        scope.formulas(|b| settings.write(b, [q, k, v], past, mask, valid.as_deref()))
    }))
}

/// A mask: a boolean constant, which may need padding, or a value.
enum Mask {
    Stored(Tensor),
    Value(ValueId),
}

fn mask(scope: &mut Scope<'_>) -> Result<Option<Mask>, Problem> {
    let Some(value) = scope.optional(3)? else { return Ok(None) };
    let stored = scope.reading.graph.constant(value).filter(|t| t.dtype() == DType::Bool);
    Ok(Some(stored.cloned().map_or(Mask::Value(value), Mask::Stored)))
}

impl Settings {
    fn write(
        &self,
        b: &mut Builder<'_>,
        [q, k, v]: [ValueId; 3],
        past: Option<(ValueId, ValueId)>,
        mask: Option<Mask>,
        valid: Option<&[i64]>,
    ) -> Result<Vec<ValueId>, GraphError> {
        let flat = b.shape(q).rank() == 3;
        let [for_q, for_kv] = self.heads;
        let q = apart(b, q, for_q)?;
        let (mut k, mut v) = (apart(b, k, for_kv)?, apart(b, v, for_kv)?);
        let mut before = 0;
        if let Some((key, value)) = past {
            before = size(b, key, 2)?;
            (k, v) = (b.apply(Concat { axis: 2 }, &[key, k])?, b.apply(Concat { axis: 2 }, &[value, v])?);
        }
        let (queries, keys) = (size(b, q, 2)?, size(b, k, 2)?);
        let mut masks = Vec::new();
        if let Some(mask) = mask {
            masks.push(widen(b, mask, keys)?);
        }
        if let Some(seen) = self.seen(queries, keys, before, valid)? {
            masks.push(b.constant(seen));
        }
        let options = Options { scale: self.scale, softcap: self.softcap, masks: &masks };
        let Attended { mut output, scores } = attend(b, q, k, v, &options)?;
        if flat {
            output = together(b, output)?;
        }
        Ok(vec![output, k, v, scores[self.mode]])
    }

    /// Returns a stored mask of the keys each query may attend to, or `None` for all. `before` keys precede the first
    /// query; `valid` holds the number of keys per sample that are not padding, the last of which belongs to the last
    /// query.
    fn seen(
        &self,
        queries: usize,
        keys: usize,
        before: usize,
        valid: Option<&[i64]>,
    ) -> Result<Option<Tensor>, GraphError> {
        if !self.causal && self.window == [None; 2] && valid.is_none() {
            return Ok(None);
        }
        let [queries_i, keys_i, before] =
            [queries, keys, before].map(|size| i64::try_from(size).unwrap_or(i64::MAX));
        let mut shape = vec![queries, keys];
        let samples = match valid {
            Some(lengths) => {
                shape.splice(0..0, [lengths.len(), 1]);
                lengths.iter().map(|&n| (n, n.saturating_sub(queries_i))).collect()
            }
            None => vec![(keys_i, before)],
        };
        let len = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n <= MAX_MASK);
        let mut seen = Vec::with_capacity(len.ok_or_else(|| malformed("a mask that is too large"))?);
        let bound = |size: Option<usize>| size.map_or(i64::MAX, |s| i64::try_from(s).unwrap_or(i64::MAX));
        let [left, right] = self.window.map(bound);
        for (length, offset) in samples {
            for i in 0..queries_i {
                let here = i.saturating_add(offset);
                seen.extend((0..keys_i).map(|key| {
                    key < length
                        && !(self.causal && key > here)
                        && here.saturating_sub(key) <= left
                        && key.saturating_sub(here) <= right
                }));
            }
        }
        Ok(Tensor::new(shape, Data::Bool(seen.into())))
    }
}

fn malformed(what: &str) -> GraphError {
    GraphError::Node { node: "Attention".to_owned(), op: "Attention".to_owned(), source: invalid(what) }
}

fn size(b: &Builder<'_>, x: ValueId, axis: usize) -> Result<usize, GraphError> {
    match b.shape(x).0.get(axis) {
        Some(Dim::Fixed(size)) => Ok(*size),
        _ => Err(malformed(&format!("expected N×heads×length×size, found {}", b.shape(x)))),
    }
}

/// Reshapes N×length×(heads·size) to N×heads×length×size.
fn apart(b: &mut Builder<'_>, x: ValueId, heads: Option<i64>) -> Result<ValueId, GraphError> {
    let shape = b.shape(x);
    let (&[n, length, Dim::Fixed(width)], heads) = (shape.0.as_slice(), heads) else { return Ok(x) };
    let heads = heads.and_then(|h| usize::try_from(h).ok()).filter(|&h| h > 0 && width.is_multiple_of(h));
    let heads = heads.ok_or_else(|| malformed(&format!("heads that do not divide {shape}")))?;
    let split = b.reshape(x, Shape(vec![n, length, Dim::Fixed(heads), Dim::Fixed(width / heads)]))?;
    b.transpose(split, &[0, 2, 1, 3])
}

/// Inverse of [`apart`].
fn together(b: &mut Builder<'_>, x: ValueId) -> Result<ValueId, GraphError> {
    let moved = b.transpose(x, &[0, 2, 1, 3])?;
    let shape = b.shape(moved);
    let &[n, length, heads, width] = shape.0.as_slice() else { return Ok(moved) };
    b.reshape(moved, Shape(vec![n, length, Dim::Fixed(heads.at(1) * width.at(1))]))
}

/// Extends the mask to as many columns as there are keys; additional keys are masked.
fn widen(b: &mut Builder<'_>, mask: Mask, keys: usize) -> Result<ValueId, GraphError> {
    let shape = match &mask {
        Mask::Stored(tensor) => tensor.shape().to_vec(),
        Mask::Value(value) => b.shape(*value).at(1),
    };
    let columns = shape.last().copied().unwrap_or(1);
    let missing = if columns == 1 { 0 } else { keys.saturating_sub(columns) };
    match mask {
        Mask::Value(value) if missing == 0 => Ok(value),
        Mask::Value(value) if b.fact(value).dtype == DType::F32 => {
            let mut end = vec![0; shape.len()];
            end.last_mut().into_iter().for_each(|end| *end = missing);
            b.apply(Pad { begin: vec![0; shape.len()], end, value: f32::NEG_INFINITY }, &[value])
        }
        Mask::Value(_) => Err(malformed("a computed mask shorter than the keys")),
        Mask::Stored(tensor) => {
            let old = tensor.to_f64();
            let mut wide = Vec::new();
            for row in old.chunks(columns.max(1)) {
                wide.extend(row.iter().map(|&v| v != 0.0));
                wide.resize(wide.len() + missing, false);
            }
            let mut shape = shape;
            shape.last_mut().into_iter().for_each(|columns| *columns += missing);
            let wide = Tensor::new(shape, Data::Bool(wide.into())).ok_or_else(|| malformed("a mask"))?;
            Ok(b.constant(wide))
        }
    }
}
