//! Principal components inside a graph: what the Eigen methods share.
//!
//! Activations are taken as places × channels. The component is found from the smaller of the two
//! Gram matrices by squaring it over and over: after n squarings all that is left is the eigenvector
//! of the largest eigenvalue, to within (λ₂ ÷ λ₁) to the power 2ⁿ. Only products and sums are needed,
//! so the map can be exported, and it costs a fraction of a singular value decomposition.

use heatlens_graph::op::binary::BinaryFunction;
use heatlens_graph::op::unary::UnaryFunction;
use heatlens_graph::op::r#where::Where;
use heatlens_graph::{Builder, GraphError, Shape, Tensor, ValueId};

use crate::method::formula::divide_or_zero;
use crate::target::one_hot_of_largest;

type Built = Result<ValueId, GraphError>;

/// tanh 1.
const TANH_1: f32 = 0.761_594_2;
/// Squarings of a Gram matrix: a second eigenvalue of 0.9999 times the first is gone.
const SQUARINGS: usize = 18;

/// The projection of x (N×C×h×w, each channel less its mean) on its first principal direction over
/// channels: N×h×w, with the sign that agrees with the mean over channels. Zero where x is constant.
///
/// # Errors
/// If x has another rank.
pub(super) fn principal_map(b: &mut Builder<'_>, x: ValueId) -> Built {
    let flat = centred(b, x)?;
    let &[_, channels, places] = b.shape(flat).at(1).as_slice() else { return Err(rank()) };
    let turned = b.transpose(flat, &[0, 2, 1])?;
    let map = if places <= channels {
        // K u ÷ √(uᵀ K u) is σ u, the projection itself.
        let gram = b.matmul(turned, flat)?;
        component(b, gram)?
    } else {
        let gram = b.matmul(flat, turned)?;
        let direction = dominant(b, gram)?;
        b.matmul(turned, direction)?
    };
    signed_map(b, map, flat, x)
}

/// As [`principal_map`], in the feature space of the kernel tanh(⟨a, b⟩ ÷ C + 1) between places:
/// kernel principal component analysis (Schölkopf et al. 1998) with scikit-learn's defaults.
///
/// # Errors
/// If x has another rank.
pub(super) fn kernel_map(b: &mut Builder<'_>, x: ValueId) -> Built {
    let flat = centred(b, x)?;
    let &[_, channels, _] = b.shape(flat).at(1).as_slice() else { return Err(rank()) };
    let turned = b.transpose(flat, &[0, 2, 1])?;
    let product = b.matmul(turned, flat)?;
    #[allow(clippy::cast_precision_loss)]
    let scaled = b.scale(product, 1.0 / channels as f32)?;
    // tanh(s + 1) − tanh 1 = (1 − tanh² 1) t ÷ (1 + t tanh 1), t = tanh s: the constant goes when the
    // kernel is centred, and would take the digits of small activations with it.
    let t = b.unary(UnaryFunction::Tanh, scaled)?;
    let at_one = TANH_1;
    let above = b.scale(t, 1.0 - at_one * at_one)?;
    let bent = b.scale(t, at_one)?;
    let one = b.scalar(1.0);
    let below = b.add(bent, one)?;
    let kernel = b.div(above, below)?;
    let (rows, columns, all) =
        (b.mean(kernel, &[2], true)?, b.mean(kernel, &[1], true)?, b.mean(kernel, &[1, 2], true)?);
    let kernel = b.sub(kernel, rows)?;
    let kernel = b.sub(kernel, columns)?;
    let kernel = b.add(kernel, all)?;
    let map = component(b, kernel)?;
    signed_map(b, map, flat, x)
}

/// x as N×C×places, each channel less its mean.
fn centred(b: &mut Builder<'_>, x: ValueId) -> Built {
    let shape = b.shape(x);
    let &[_, c, h, w] = shape.at(1).as_slice() else { return Err(rank()) };
    let flat = b.reshape(x, Shape(vec![shape.0[0], c.into(), (h * w).into()]))?;
    let mean = b.mean(flat, &[2], true)?;
    b.sub(flat, mean)
}

/// √λ u of a symmetric matrix N×n×n: N×n×1.
fn component(b: &mut Builder<'_>, matrix: ValueId) -> Built {
    let direction = dominant(b, matrix)?;
    let stretched = b.matmul(matrix, direction)?;
    let along = b.mul(stretched, direction)?;
    let eigenvalue = b.sum(along, &[1], true)?;
    let size = b.unary(UnaryFunction::Abs, eigenvalue)?;
    let root = b.unary(UnaryFunction::Sqrt, size)?;
    divide_or_zero(b, stretched, root)
}

/// The unit eigenvector of the largest eigenvalue of a symmetric matrix N×n×n: N×n×1.
fn dominant(b: &mut Builder<'_>, matrix: ValueId) -> Built {
    let &[_, n, _] = b.shape(matrix).at(1).as_slice() else { return Err(rank()) };
    let identity = (0..n * n).map(|i| if i / n == i % n { 1.0 } else { 0.0 }).collect();
    let identity = b.constant(Tensor::f32(&[1, n, n], identity));
    let mut power = by_largest(b, matrix)?;
    for _ in 0..SQUARINGS {
        let square = b.matmul(power, power)?;
        power = by_largest(b, square)?;
    }
    // What is left is u uᵀ times a number; its column with the largest diagonal element is u.
    let diagonal = b.mul(power, identity)?;
    let diagonal = b.sum(diagonal, &[2], false)?;
    let chosen = one_hot_of_largest(b, diagonal)?;
    let chosen_shape = b.shape(chosen).0.into_iter().chain([1.into()]).collect();
    let chosen = b.reshape(chosen, Shape(chosen_shape))?;
    let column = b.matmul(power, chosen)?;
    let square = b.mul(column, column)?;
    let total = b.sum(square, &[1], true)?;
    let length = b.unary(UnaryFunction::Sqrt, total)?;
    divide_or_zero(b, column, length)
}

/// A matrix over its largest element in size, so that squares neither vanish nor overflow.
fn by_largest(b: &mut Builder<'_>, matrix: ValueId) -> Built {
    let size = b.unary(UnaryFunction::Abs, matrix)?;
    let largest = b.reduce(heatlens_graph::op::reduce::ReduceFunction::Max, size, &[1, 2], true)?;
    divide_or_zero(b, matrix, largest)
}

/// The map N×places×1 as N×h×w, turned round where it disagrees with the sum over channels.
fn signed_map(b: &mut Builder<'_>, map: ValueId, flat: ValueId, x: ValueId) -> Built {
    let shape = b.shape(x);
    let flat_map_shape = Shape(b.shape(map).0.into_iter().take(2).collect());
    let map = b.reshape(map, flat_map_shape)?;
    let like = b.sum(flat, &[1], false)?;
    let product = b.mul(map, like)?;
    let agreement = b.sum(product, &[1], true)?;
    let (zero, plus, minus) = (b.scalar(0.0), b.scalar(1.0), b.scalar(-1.0));
    let against = b.binary(BinaryFunction::Less, agreement, zero)?;
    let sign = b.apply(Where, &[against, minus, plus])?;
    let map = b.mul(map, sign)?;
    b.reshape(map, Shape(vec![shape.0[0], shape.0[2], shape.0[3]]))
}

fn rank() -> GraphError {
    GraphError::Malformed("principal components need activations N×C×h×w".to_owned())
}
