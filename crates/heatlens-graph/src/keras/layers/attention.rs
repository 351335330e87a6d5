//! Attention.

use crate::compose::attention::scaled_dot_product;
use crate::error::OpError;
use crate::fact::{Dim, Shape};
use crate::graph::ValueId;
use crate::keras::scope::{Arg, Made, Problem, Scope, Symbol};
use crate::op::invalid;
use crate::op::softmax::Softmax;

fn refuse_masks(scope: &Scope<'_>) -> Result<(), OpError> {
    for (name, arg) in &scope.kwargs {
        let given = match arg {
            Arg::Json(value) => value.as_bool() == Some(true),
            Arg::List(list) => list.iter().any(|a| matches!(a, Arg::Value(_))),
            Arg::Value(_) => true,
        };
        if given && (name.contains("mask") || name == "return_attention_scores") {
            return Err(OpError::Unsupported(format!("argument {name:?}")));
        }
    }
    Ok(())
}

fn value(scope: &mut Scope<'_>, index: usize, names: &[&str]) -> Result<Option<ValueId>, Problem> {
    match scope.argument(index, names) {
        Some(Arg::Value(symbol)) => Ok(Some(scope.plain(symbol)?)),
        _ => Ok(None),
    }
}

/// Returns the sizes of N×tokens×features.
fn tokens(scope: &Scope<'_>, x: ValueId) -> Result<[Dim; 3], OpError> {
    let shape = scope.shape(x);
    match shape.0.as_slice() {
        &[n, t, d] => Ok([n, t, d]),
        _ => Err(OpError::Unsupported(format!("attention over {shape}; expected N×tokens×features"))),
    }
}

/// Heads of attention over tokens.
struct Heads {
    count: usize,
    bias: bool,
}

impl Heads {
    /// Multiplies x by the next kernel, adds the bias, and splits the result into heads: N×heads×tokens×size.
    fn project(
        &self,
        scope: &mut Scope<'_>,
        what: &str,
        x: ValueId,
        size: usize,
    ) -> Result<ValueId, Problem> {
        let [n, t, d] = tokens(scope, x)?;
        let features = d.at(1);
        let wide = self.count.checked_mul(size).ok_or_else(|| invalid("heads overflow"))?;
        let misfit = || invalid("the array does not fit its heads");
        let w = scope.array(&format!("{what}/kernel"), &[features, self.count, size], |a| {
            a.reshaped(vec![features, wide]).ok_or_else(misfit)
        })?;
        let mut y = scope.build().matmul(x, w)?;
        if self.bias {
            let bias = scope.array(&format!("{what}/bias"), &[self.count, size], |a| {
                a.reshaped(vec![wide]).ok_or_else(misfit)
            })?;
            y = scope.build().add(y, bias)?;
        }
        let mut b = scope.build();
        let split = b.reshape(y, Shape(vec![n, t, Dim::Fixed(self.count), Dim::Fixed(size)]))?;
        Ok(b.transpose(split, &[0, 2, 1, 3])?)
    }

    /// Joins the heads and multiplies by the output kernel.
    fn join(&self, scope: &mut Scope<'_>, y: ValueId, size: usize) -> Result<ValueId, Problem> {
        let shape = scope.shape(y).0;
        let wide = self.count * size;
        let mut b = scope.build();
        let y = b.transpose(y, &[0, 2, 1, 3])?;
        let y = b.reshape(y, Shape(vec![shape[0], shape[2], Dim::Fixed(wide)]))?;
        let outputs = scope.peek()?.and_then(|s| s.last().copied());
        let outputs = outputs.ok_or_else(|| invalid("its output kernel is not in the file"))?;
        let w = scope.array("output/kernel", &[self.count, size, outputs], |a| {
            a.reshaped(vec![wide, outputs]).ok_or_else(|| invalid("the array does not fit its heads"))
        })?;
        let y = scope.build().matmul(y, w)?;
        if !self.bias {
            return Ok(y);
        }
        let bias = scope.vector("output/bias", outputs)?;
        Ok(scope.build().add(y, bias)?)
    }
}

pub(super) fn multi_head(scope: &mut Scope<'_>) -> Made {
    refuse_masks(scope)?;
    let config = &scope.config;
    let count = config.need("num_heads", config.size("num_heads")?)?;
    let key = config.need("key_dim", config.size("key_dim")?)?;
    let size = config.size("value_dim")?.unwrap_or(key);
    let heads = Heads { count, bias: config.flag("use_bias", true)? };
    if config.ints("attention_axes")?.is_some_and(|axes| axes != [1] && axes != [-2]) {
        return Err(OpError::Unsupported("setting \"attention_axes\"".to_owned()).into());
    }
    config.ignore(&[
        "dropout",
        "query_shape",
        "key_shape",
        "value_shape",
        "output_shape",
        "flash_attention",
        "softmax_robust_masking",
    ]);
    let missing = || invalid("expected a query and a value");
    let query = value(scope, 0, &["query"])?.ok_or_else(missing)?;
    let values = value(scope, 1, &["value"])?.ok_or_else(missing)?;
    let keys = value(scope, 2, &["key"])?.unwrap_or(values);
    let q = heads.project(scope, "query", query, key)?;
    let k = heads.project(scope, "key", keys, key)?;
    let v = heads.project(scope, "value", values, size)?;
    #[allow(clippy::cast_precision_loss)] // head sizes are small
    let scale = 1.0 / (key as f32).sqrt();
    let y = scaled_dot_product(&mut scope.build(), q, k, v, Some(scale), None)?;
    Ok(Symbol::plain(heads.join(scope, y, size)?))
}

/// Reads dot-product attention without projections: query, value, and key if it differs from the value.
pub(super) fn attention(scope: &mut Scope<'_>) -> Made {
    refuse_masks(scope)?;
    if scope.config.text("score_mode")?.is_some_and(|mode| mode != "dot") {
        return Err(OpError::Unsupported("setting \"score_mode\"".to_owned()).into());
    }
    scope.config.ignore(&["dropout"]);
    let scaled = scope.config.flag("use_scale", false)?;
    let inputs = scope.values();
    let (query, values, keys) = match inputs.as_slice() {
        &[query, values] => (query, values, values),
        &[query, values, keys] => (query, values, keys),
        other => {
            return Err(invalid(format!("expected a query and a value, found {} inputs", other.len())).into());
        }
    };
    let (q, v, k) = (scope.plain(query)?, scope.plain(values)?, scope.plain(keys)?);
    let k = scope.build().transpose_last(k)?;
    let mut scores = scope.build().matmul(q, k)?;
    if scaled {
        let scale = scope.array("scale", &[], Ok)?;
        scores = scope.build().mul(scores, scale)?;
    }
    let mut b = scope.build();
    let weights = b.apply(Softmax { axis: -1, log: false }, &[scores])?;
    Ok(Symbol::plain(b.matmul(weights, v)?))
}
