//! Dense layers: a matrix product over the last axis in Keras.

use super::activation::activate;
use crate::fact::Dim;
use crate::keras::scope::{Layout, Made, Scope, Symbol, permuted};
use crate::op::conv::Conv;
use crate::op::gemm::Gemm;
use crate::op::invalid;
use crate::op::window::Window;

pub(super) fn dense(scope: &mut Scope<'_>) -> Made {
    let x = scope.input()?;
    let units = scope.config.need("units", scope.config.size("units")?)?;
    let bias = scope.config.flag("use_bias", true)?;
    if scope.config.size("lora_rank")?.is_some() {
        return Err(
            crate::error::OpError::Unsupported("a low-rank adaptation (merge it first)".to_owned()).into()
        );
    }
    let seen = scope.seen(x);
    let Some(&Dim::Fixed(features)) = seen.last() else {
        return Err(invalid("expected features on the last axis").into());
    };
    let y = if x.layout == Layout::ChannelsFirst && seen.len() > 2 {
        pointwise(scope, x, [features, units], bias)?
    } else {
        let w = scope.array("kernel", &[features, units], Ok)?;
        let bias = if bias { Some(scope.vector("bias", units)?) } else { None };
        let x = scope.plain(x)?;
        Symbol::plain(match (seen.len(), bias) {
            (2, Some(bias)) => {
                let gemm = Gemm { trans_a: false, trans_b: false, alpha: 1.0, beta: 1.0 };
                scope.apply(gemm, &[x, w, bias])?
            }
            (_, bias) => {
                let y = scope.build().matmul(x, w)?;
                match bias {
                    Some(bias) => scope.build().add(y, bias)?,
                    None => y,
                }
            }
        })
    };
    activate(scope, y)
}

/// Applies the matrix to an image, as a convolution with a 1×1 window.
fn pointwise(scope: &mut Scope<'_>, x: Symbol, [features, units]: [usize; 2], bias: bool) -> Made {
    let ones = vec![1; scope.shape(x.id).rank() - 2];
    let shape: Vec<usize> = [units, features].into_iter().chain(ones.iter().copied()).collect();
    let w = scope.array("kernel", &[features, units], |t| {
        permuted(&t, &[1, 0])?.reshaped(shape).ok_or_else(|| invalid("the kernel does not fit its channels"))
    })?;
    let mut inputs = vec![x.id, w];
    if bias {
        inputs.push(scope.vector("bias", units)?);
    }
    let id = scope.apply(Conv { window: Window::new(&ones), group: 1 }, &inputs)?;
    Ok(Symbol { id, layout: Layout::ChannelsFirst })
}
