//! Matrix products `C = op(A) · op(B)`, built on the two streaming loops.
//!
//! Usually the rows of B are streams for [`StreamGemm`]. If B is transposed and A has too few rows for transposing it
//! to pay off, the rows of both operands are contiguous along k, and [`StreamDot`] computes their dot products.

use super::simd::Isa;
use super::stream_dot::StreamDot;
use super::stream_gemm::{Epilogue, Rows, StreamGemm, StreamLayout, Streams};
use super::workers::Workers;

/// Minimum number of rows of A for which transposing B pays off.
const FEW_ROWS: usize = 8;

/// Sizes of a product: op(A) is m×k, op(B) is k×n; a transposed operand is stored with swapped axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GemmShape {
    pub(crate) m: usize,
    pub(crate) k: usize,
    pub(crate) n: usize,
    pub(crate) trans_a: bool,
    pub(crate) trans_b: bool,
}

impl GemmShape {
    /// True if the transposed product is computed, because the result is a single column.
    fn is_turned(&self) -> bool {
        self.n == 1 && self.m > 1
    }

    fn turned(&self) -> Self {
        Self { m: self.n, k: self.k, n: self.m, trans_a: !self.trans_b, trans_b: !self.trans_a }
    }
}

#[derive(Clone, Debug)]
enum Method {
    Stream { gemm: StreamGemm, in_place: bool },
    Dot(StreamDot),
}

/// Right factor of a product.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Right<'a> {
    /// As stored.
    Plain(&'a [f32]),
    /// As packed by [`Gemm::pack_right`].
    Packed(&'a [f32]),
}

/// A matrix product prepared for an instruction set.
#[derive(Clone, Debug)]
pub(crate) struct Gemm {
    /// The product as it is computed.
    shape: GemmShape,
    /// True if A and B are swapped.
    is_turned: bool,
    method: Method,
}

impl Gemm {
    pub(crate) fn new(shape: GemmShape, isa: Isa) -> Self {
        let is_turned = shape.is_turned();
        let mut shape = if is_turned { shape.turned() } else { shape };
        // A single row or column has the same layout when transposed.
        shape.trans_a &= shape.m > 1;
        shape.trans_b &= shape.n > 1 && shape.k > 1;
        let GemmShape { m, k, n, trans_b, .. } = shape;
        let method = if trans_b && m < FEW_ROWS {
            Method::Dot(StreamDot::new(isa, m, k, (0..n).map(|j| j * k).collect(), k))
        } else {
            let rows = (0..k).map(|i| i * n).collect();
            let gemm = StreamGemm::new(isa, m, rows, StreamLayout::new(1, n, n)).gathering();
            let in_place = !trans_b && gemm.stays_inside();
            Method::Stream { gemm, in_place }
        };
        Self { shape, is_turned, method }
    }

    /// Returns the number of elements of the packed right factor; `None` if packing does not help.
    pub(crate) fn packed_right_len(&self) -> Option<usize> {
        match &self.method {
            Method::Stream { gemm, .. } if !self.is_turned => Some(gemm.panels_len()),
            _ => None,
        }
    }

    /// Packs the right factor in the order the product reads it; needed only once for a constant one.
    pub(crate) fn pack_right(&self, b: &[f32], packed: &mut [f32]) {
        let GemmShape { k, n, trans_b, .. } = self.shape;
        assert_eq!(b.len(), k * n, "a matrix of another shape");
        if let Method::Stream { gemm, .. } = &self.method {
            gemm.pack_panels(packed, |i, j| if trans_b { b[j * k + i] } else { b[i * n + j] });
        }
    }

    /// Returns the number of scratch elements that [`run`](Self::run) needs.
    pub(crate) fn scratch_len(&self) -> usize {
        let GemmShape { m, k, n, trans_a, .. } = self.shape;
        match &self.method {
            Method::Stream { gemm, in_place } => {
                gemm.packed_len() + if *in_place { 0 } else { gemm.reach().max(k * n) }
            }
            Method::Dot(_) => {
                if trans_a {
                    m * k
                } else {
                    0
                }
            }
        }
    }

    /// Computes `c = op(a) · op(b)`, or adds the product to `c` if `accumulate` is set (to add a bias, write it to `c`
    /// first).
    pub(crate) fn run(
        &self,
        a: &[f32],
        b: Right<'_>,
        c: &mut [f32],
        accumulate: bool,
        scratch: &mut [f32],
        workers: Workers,
    ) {
        let scratch = &mut scratch[..self.scratch_len()];
        let epilogue = Epilogue { accumulate, ..Epilogue::default() };
        let GemmShape { m, k, n, trans_a, trans_b } = self.shape;
        let b = match (b, &self.method) {
            (Right::Plain(b), _) => b,
            (Right::Packed(panels), Method::Stream { gemm, .. }) if !self.is_turned => {
                assert_eq!((a.len(), c.len()), (m * k, m * n), "matrices of another shape");
                let rows = left_rows(gemm, (a, trans_a), &mut scratch[..gemm.packed_len()], workers);
                return gemm.run(1, rows, Streams::Panels(panels), c, epilogue, workers);
            }
            _ => unreachable!("a factor is packed only where `packed_right_len` says so"),
        };
        let (a, b) = if self.is_turned { (b, a) } else { (a, b) };
        assert_eq!((a.len(), b.len(), c.len()), (m * k, k * n, m * n), "matrices of another shape");
        match &self.method {
            Method::Dot(dot) => {
                if !accumulate {
                    c.fill(0.0);
                }
                let a = if trans_a { transposed(a, k, m, scratch) } else { a };
                dot.run(1, (a, 0), (b, 0), c, workers);
            }
            Method::Stream { gemm, in_place } => {
                let (packed, copy) = scratch.split_at_mut(gemm.packed_len());
                let rows = left_rows(gemm, (a, trans_a), packed, workers);
                let b = if *in_place {
                    b
                } else if trans_b {
                    transposed(b, n, k, copy)
                } else {
                    copy[..b.len()].copy_from_slice(b);
                    copy
                };
                gemm.run(1, rows, Streams::Spread { b, group_stride: 0 }, c, epilogue, workers);
            }
        }
    }
}

/// Returns the left factor as the product reads it, packed to `room` if needed. It is stored with swapped axes if it is
/// transposed.
fn left_rows<'a>(
    gemm: &StreamGemm,
    (a, is_transposed): (&'a [f32], bool),
    room: &'a mut [f32],
    workers: Workers,
) -> Rows<'a> {
    if is_transposed {
        let m = a.len() / gemm.depth().max(1);
        gemm.pack(room, |i, k| a[k * m + i], workers);
    } else if gemm.reads_rows() {
        return Rows::Plain(a);
    } else {
        gemm.pack_rows(room, a, workers);
    }
    Rows::Packed(room)
}

/// Writes the transpose of a `rows`×`columns` matrix to the front of `to`.
fn transposed<'a>(from: &[f32], rows: usize, columns: usize, to: &'a mut [f32]) -> &'a [f32] {
    /// Edge length of the square blocks that are transposed at a time: their lines stay in the cache.
    const BLOCK: usize = 16;
    for top in (0..rows).step_by(BLOCK) {
        for left in (0..columns).step_by(BLOCK) {
            for column in left..(left + BLOCK).min(columns) {
                for row in top..(top + BLOCK).min(rows) {
                    to[column * rows + row] = from[row * columns + column];
                }
            }
        }
    }
    to
}
