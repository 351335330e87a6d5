//! Kinds of operators: how a result depends on its inputs.

use super::batch_normalization::BatchNormalization;
use super::binary::BinaryFunction;
use super::clip::Clip;
use super::concat::Concat;
use super::conv::Conv;
use super::gather::Gather;
use super::gemm::Gemm;
use super::global_pool::GlobalPoolFunction;
use super::layer_normalization::LayerNormalization;
use super::pad::Pad;
use super::reduce::Reduce;
use super::slice::Slice;
use super::softmax::Softmax;
use super::transpose::Transpose;
use super::unary::UnaryFunction;
use super::window::Window;
use crate::fact::DType;

/// Kind of an operator, with the attributes that say where the elements of its inputs end up.
///
/// Every analysis of a graph (meaning of axes, heads, relevance rules, randomisation of weights) is a `match` on this
/// type, so an operator that reports an existing kind is handled everywhere, and the compiler lists the places that have
/// to know about a new kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind<'o> {
    /// Returns its input.
    Identity,
    /// Converts the elements to another type.
    Cast(DType),
    /// Same elements in the same order, in another shape.
    Reshape,
    /// Reorders the axes.
    Transpose(&'o Transpose),
    /// Selects a range of one axis.
    Slice(&'o Slice),
    /// Selects elements along one axis by constant indices.
    Gather(&'o Gather),
    /// Joins its inputs along one axis.
    Concat(&'o Concat),
    /// Adds constants around its input.
    Pad(&'o Pad),
    /// Repeats its input along axes of size 1.
    Expand,
    /// Applies a function to each element.
    Unary(UnaryFunction),
    /// Limits each element to a range.
    Clip(&'o Clip),
    /// Combines two inputs element by element, with broadcasting.
    Binary(BinaryFunction),
    /// Any other function of the elements at the same position of its inputs, with broadcasting.
    Elementwise,
    /// Selects the elements of the second or third input by the first.
    Where,
    /// Softmax or its logarithm along one axis.
    Softmax(&'o Softmax),
    /// Scale and shift of each channel (axis 1).
    BatchNormalization(&'o BatchNormalization),
    /// Normalises each group of elements along trailing axes.
    LayerNormalization(&'o LayerNormalization),
    /// Convolution: weights are input 1, the bias is input 2.
    Conv(&'o Conv),
    /// Transposed convolution: the derivative of a convolution with respect to its input.
    ConvTranspose(&'o Conv),
    /// Matrix product with optional transposition and bias (input 2).
    Gemm(&'o Gemm),
    /// Matrix product over the last two axes.
    MatMul,
    /// Maximum over a window.
    MaxPool(&'o Window),
    /// Each value of input 1 at the position of its window's maximum in input 0, zeros elsewhere.
    MaxUnpool(&'o Window),
    /// Mean over a window.
    AveragePool(&'o Window),
    /// Mean or maximum over all places of each channel.
    GlobalPool(GlobalPoolFunction),
    /// Sum, mean, maximum or another function over whole axes.
    Reduce(&'o Reduce),
    /// Nothing is known about positions: an element of the result may depend on any element of the inputs.
    Other,
}

impl Kind<'_> {
    /// True if the result has the same elements in the same order: identity, reshapes, conversion to single precision.
    #[must_use]
    pub fn is_renaming(self) -> bool {
        matches!(self, Self::Identity | Self::Reshape | Self::Cast(DType::F32))
    }

    /// True if every element of the result is an element of an input, or a constant of a padding.
    #[must_use]
    pub fn is_moving(self) -> bool {
        self.is_renaming()
            || matches!(
                self,
                Self::Transpose(_)
                    | Self::Slice(_)
                    | Self::Gather(_)
                    | Self::Concat(_)
                    | Self::Pad(_)
                    | Self::Expand
            )
    }

    /// True if the result has weights for sums over channels or places: convolutions and matrix products.
    #[must_use]
    pub fn is_weighted_sum(self) -> bool {
        matches!(self, Self::Conv(_) | Self::ConvTranspose(_) | Self::Gemm(_) | Self::MatMul)
    }

    /// True if an element of the result is computed from several places: sums, means and maxima.
    #[must_use]
    pub fn is_reduction(self) -> bool {
        self.is_weighted_sum()
            || matches!(self, Self::MaxPool(_) | Self::AveragePool(_) | Self::GlobalPool(_) | Self::Reduce(_))
    }
}
