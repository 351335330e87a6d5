//! Matrix products.

use super::{Recipe, plain};
use crate::compose::einsum as formula;
use crate::error::OpError;
use crate::onnx::attributes::Attributes;
use crate::op::gemm::Gemm;
use crate::op::invalid;
use crate::op::matmul::MatMul;
use crate::op::reshape::{Squeeze, Unsqueeze};

pub(super) fn gemm(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    plain(Gemm {
        trans_a: attributes.flag("transA")?,
        trans_b: attributes.flag("transB")?,
        alpha: attributes.float("alpha")?.unwrap_or(1.0),
        beta: attributes.float("beta")?.unwrap_or(1.0),
    })
}

/// Reads `MatMul`: a vector is a row on the left and a column on the right, and that axis is removed from the product.
pub(super) fn matmul(_: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    Ok(Box::new(|scope| {
        let (mut a, mut b) = (scope.input(0)?, scope.input(1)?);
        let mut gone = Vec::new();
        if scope.fact(b).shape.rank() == 1 {
            b = scope.step(Unsqueeze { axes: vec![1] }, &[b])?;
            gone.push(-1);
        }
        if scope.fact(a).shape.rank() == 1 {
            a = scope.step(Unsqueeze { axes: vec![0] }, &[a])?;
            gone.push(if gone.is_empty() { -2 } else { 0 });
        }
        if gone.is_empty() {
            return scope.finish(MatMul, &[Some(a), Some(b)]);
        }
        let product = scope.step(MatMul, &[a, b])?;
        scope.finish(Squeeze { axes: gone }, &[Some(product)])
    }))
}

pub(super) fn einsum(attributes: &mut Attributes<'_>) -> Result<Recipe, OpError> {
    let equation =
        attributes.text("equation")?.ok_or_else(|| invalid("expected an attribute \"equation\""))?;
    let equation = equation.to_owned();
    Ok(Box::new(move |scope| {
        let mut operands = Vec::with_capacity(scope.len());
        for i in 0..scope.len() {
            operands.push(scope.input(i)?);
        }
        scope.formula(|b| formula::einsum(b, &equation, &operands))
    }))
}
