//! Inverse of max pooling: values return to the positions of the maxima.

use crate::builder::Builder;
use crate::differentiate::{Backward, InputGrads};
use crate::error::{GraphError, OpError};
use crate::fact::Fact;
use crate::graph::{Node, ValueId};
use crate::op::export::{MaxPoolIndices, MaxUnpoolTo, sizes};
use crate::op::pool::MaxPool;
use crate::op::pool_grad::{MaxPoolGrad, MaxPoolSelect};
use crate::op::window::spatial_sizes;
use crate::op::{Kind, OnnxForm, Operator, at, invalid, require, require_value};
use crate::tensor::Tensor;

/// Each value at the position of its window's maximum, zeros elsewhere. Inputs: x (N×C×spatial), whose maxima have the
/// positions, and the values, shaped as the pooled x. Output: shaped as x.
///
/// ONNX's operator reads the positions instead of x, as the second output of a `MaxPool`. They are whole numbers that
/// depend on the image; a value that is computed again from x needs no kernels for those.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaxUnpool {
    /// The pooling of x, with windows that do not overlap.
    pub pool: MaxPool,
}

impl MaxUnpool {
    /// Returns the sizes to which pooled spatial sizes return if no window leaves elements over.
    ///
    /// # Errors
    /// If the window has another number of axes, or the sizes overflow.
    pub fn sizes(
        pooled: &[usize],
        kernel: &[usize],
        strides: &[usize],
        pads: [&[usize]; 2],
    ) -> Result<Vec<usize>, OpError> {
        let n = pooled.len();
        if [kernel, strides, pads[0], pads[1]].iter().any(|list| list.len() != n) {
            return Err(invalid(format!("window attributes for {n} spatial axes")));
        }
        let one = |i: usize| {
            let steps = pooled[i].checked_sub(1)?.checked_mul(strides[i])?;
            steps.checked_add(kernel[i])?.checked_sub(pads[0][i].checked_add(pads[1][i])?)
        };
        (0..n).map(|i| one(i).ok_or_else(|| invalid("window sizes overflow"))).collect()
    }

    fn grad(&self) -> MaxPoolGrad {
        MaxPoolGrad { pool: self.pool.clone() }
    }
}

impl Operator for MaxUnpool {
    fn kind(&self) -> Kind<'_> {
        Kind::MaxUnpool(&self.pool.window)
    }

    fn onnx_form(&self) -> OnnxForm {
        OnnxForm { name: "MaxUnpool", standard: false, ..self.pool.onnx_form() }
    }

    fn infer(&self, inputs: &[Option<&Fact>]) -> Result<Vec<Fact>, OpError> {
        let (x, values) = (require(inputs, 0)?, require(inputs, 1)?);
        if self.pool.infer(&[Some(x)])?.first() != Some(values) {
            return Err(invalid(format!("{} to the positions of maxima in {}", values.shape, x.shape)));
        }
        if self.pool.window.overlaps() {
            return Err(OpError::Unsupported("unpooling of windows that overlap".to_owned()));
        }
        Ok(vec![x.clone()])
    }

    fn eval(&self, inputs: &[Option<&Tensor>], shapes: &[Vec<usize>]) -> Result<Vec<Tensor>, OpError> {
        self.grad().eval(inputs, shapes)
    }

    fn vjp(&self, builder: &mut Builder<'_>, back: &Backward<'_>) -> InputGrads {
        let Some(grad) = back.grad_for(1) else { return back.nothing() };
        let x = back.input(0)?;
        Ok(vec![None, Some(builder.apply(MaxPoolSelect { pool: self.pool.clone() }, &[x, grad])?)])
    }

    /// Writes the standard operator, with the output's size where windows leave elements over. The last window of ceil
    /// mode may end behind x, and onnxruntime refuses a size below that end: then, the derivative of the pooling is
    /// written.
    fn lower(&self, b: &mut Builder<'_>, node: &Node) -> Result<Option<Vec<ValueId>>, GraphError> {
        let (x, values) = (require_value(node, 0)?, require_value(node, 1)?);
        let spatial = |b: &Builder<'_>, value| spatial_sizes(b.fact(value)).map_err(|e| at(node, e));
        let (whole, pooled) = (spatial(b, x)?, spatial(b, values)?);
        let window = &self.pool.window;
        let pads = [window.pads_begin.as_slice(), &window.pads_end];
        let covered = Self::sizes(&pooled, &window.kernel, &window.strides, pads);
        let inside = |covered: &Vec<usize>| covered.iter().zip(&whole).all(|(end, size)| end <= size);
        let Some(covered) = covered.ok().filter(inside) else { return self.grad().lower(b, node) };
        let shape = b.shape(x);
        let mut inputs = vec![values, MaxPoolIndices::append(&self.pool, b, x)?];
        if covered != whole {
            inputs.push(sizes(b, &shape)?);
        }
        let op = MaxUnpoolTo { window: window.clone(), shape };
        Ok(Some(vec![b.apply(op, &inputs)?]))
    }
}
