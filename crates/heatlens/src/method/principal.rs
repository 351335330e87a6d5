//! Principal components within a graph, used by the Eigen methods.
//!
//! Activations form a matrix of positions × channels. The component is found by repeatedly squaring the smaller of
//! the two Gram matrices: after n squarings, only the eigenvector of the largest eigenvalue remains, up to (λ₂ ÷
//! λ₁) to the power 2ⁿ. This takes only products and sums, so the map can be exported, and costs a fraction of a
//! singular value decomposition.

use heatlens_graph::op::binary::BinaryFunction;
use heatlens_graph::op::unary::UnaryFunction;
use heatlens_graph::op::r#where::Where;
use heatlens_graph::{Builder, GraphError, Shape, Tensor, ValueId};

use crate::method::formula::divide_or_zero;
use crate::target::one_hot_of_largest;

type Built = Result<ValueId, GraphError>;

/// tanh 1.
const TANH_1: f32 = 0.761_594_2;
/// Number of squarings of a Gram matrix; enough to suppress a second eigenvalue of 0.9999 times the first.
const SQUARINGS: usize = 18;

/// Projects x (`n c h w`, each channel minus its mean) on its first principal direction over channels, with the
/// sign that agrees with the mean over channels. Returns `n h w`; zero if x is constant.
///
/// # Errors
/// If x does not have rank 4.
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

/// Like [`principal_map`], but in the feature space of the kernel tanh(⟨a, b⟩ ÷ C + 1) between positions: kernel
/// principal component analysis (Schölkopf et al. 1998) with scikit-learn's defaults.
///
/// # Errors
/// If x does not have rank 4.
pub(super) fn kernel_map(b: &mut Builder<'_>, x: ValueId) -> Built {
    let flat = centred(b, x)?;
    let &[_, channels, _] = b.shape(flat).at(1).as_slice() else { return Err(rank()) };
    let turned = b.transpose(flat, &[0, 2, 1])?;
    let product = b.matmul(turned, flat)?;
    #[allow(clippy::cast_precision_loss)]
    let scaled = b.scale(product, 1.0 / channels as f32)?;
    // tanh(s + 1) − tanh 1 = (1 − tanh² 1) t ÷ (1 + t tanh 1), t = tanh s. Centring the kernel removes the
    // constant, which would otherwise cost small activations their precision.
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

/// Reshapes x to `n c positions` and subtracts the mean of each channel.
fn centred(b: &mut Builder<'_>, x: ValueId) -> Built {
    let shape = b.shape(x);
    let &[_, c, h, w] = shape.at(1).as_slice() else { return Err(rank()) };
    let flat = b.reshape(x, Shape(vec![shape.0[0], c.into(), (h * w).into()]))?;
    let mean = b.mean(flat, &[2], true)?;
    b.sub(flat, mean)
}

/// Returns √λ u of a symmetric matrix of shape `n m m`, as `n m 1`.
fn component(b: &mut Builder<'_>, matrix: ValueId) -> Built {
    let direction = dominant(b, matrix)?;
    let stretched = b.matmul(matrix, direction)?;
    let along = b.mul(stretched, direction)?;
    let eigenvalue = b.sum(along, &[1], true)?;
    let size = b.unary(UnaryFunction::Abs, eigenvalue)?;
    let root = b.unary(UnaryFunction::Sqrt, size)?;
    divide_or_zero(b, stretched, root)
}

/// Returns the unit eigenvector of the largest eigenvalue of a symmetric matrix of shape `n m m`, as `n m 1`.
fn dominant(b: &mut Builder<'_>, matrix: ValueId) -> Built {
    let &[_, n, _] = b.shape(matrix).at(1).as_slice() else { return Err(rank()) };
    let identity = (0..n * n).map(|i| if i / n == i % n { 1.0 } else { 0.0 }).collect();
    let identity = b.constant(Tensor::f32(&[1, n, n], identity));
    let mut power = by_largest(b, matrix)?;
    for _ in 0..SQUARINGS {
        let square = b.matmul(power, power)?;
        power = by_largest(b, square)?;
    }
    // The result is u uᵀ times a factor; its column with the largest diagonal element is proportional to u.
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

/// Divides a matrix by its largest absolute element, so that squares neither vanish nor overflow.
fn by_largest(b: &mut Builder<'_>, matrix: ValueId) -> Built {
    let size = b.unary(UnaryFunction::Abs, matrix)?;
    let largest = b.reduce(heatlens_graph::op::reduce::ReduceFunction::Max, size, &[1, 2], true)?;
    divide_or_zero(b, matrix, largest)
}

/// Reshapes the map from `n positions 1` to `n h w`, negated if it disagrees with the sum over channels.
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
