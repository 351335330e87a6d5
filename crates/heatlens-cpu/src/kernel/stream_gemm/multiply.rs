//! The inner loop of a product: one tile of results.

use super::{BLOCK, StreamGemm};
use crate::kernel::simd::Vector;

/// Number of elements between those that are read and those that are prefetched: what is read while the memory answers.
/// Weights are read once for each image, so they come from memory, not from the cache.
const AHEAD: usize = 512;

/// The elements of a tile's rows at one k after the other.
pub(super) trait Left<const M: usize>: Copy {
    /// True if the vectors of a row belong to several tiles and have the same place in the stream.
    const SEVERAL: bool = false;
    /// Returns the factor of vector n of row m, `k` terms further.
    unsafe fn at(self, m: usize, n: usize, k: usize) -> f32;
    /// Moves `k` terms further.
    unsafe fn skip(self, k: usize) -> Self;
    /// Prefetches the weights of a later term: the rows, or else the stream, of which `stream` is the element at term k.
    #[inline(always)]
    unsafe fn prefetch<V: Vector>(self, _k: usize, _stream: *const f32) {}
}

#[derive(Clone, Copy)]
pub(super) struct Packed(pub(super) *const f32);

impl<const M: usize> Left<M> for Packed {
    #[inline(always)]
    unsafe fn at(self, m: usize, _: usize, k: usize) -> f32 {
        // SAFETY: the caller guarantees that the term exists.
        unsafe { *self.0.add(k * M + m) }
    }

    #[inline(always)]
    unsafe fn skip(self, k: usize) -> Self {
        Self(self.0.wrapping_add(k * M))
    }

    #[inline(always)]
    unsafe fn prefetch<V: Vector>(self, k: usize, _: *const f32) {
        // SAFETY: the caller guarantees the instruction set.
        unsafe { V::prefetch(self.0.wrapping_add(k * M + AHEAD)) }
    }
}

/// One address per row.
#[derive(Clone, Copy)]
pub(super) struct Plain<const M: usize>([*const f32; M]);

impl<const M: usize> Plain<M> {
    /// Returns the rows from `first` on, starting at term `k`. A tile at the end repeats the last row, whose results
    /// are not stored.
    #[inline(always)]
    pub(super) fn new(rows: &[f32], gemm: &StreamGemm, first: usize, k: usize) -> Self {
        let mut starts = [rows.as_ptr(); M];
        for (m, start) in starts.iter_mut().enumerate() {
            *start = start.wrapping_add((first + m).min(gemm.m - 1) * gemm.depth() + k);
        }
        Self(starts)
    }
}

impl<const M: usize> Left<M> for Plain<M> {
    #[inline(always)]
    unsafe fn at(self, m: usize, _: usize, k: usize) -> f32 {
        // SAFETY: the caller guarantees that the term exists.
        unsafe { *self.0[m].add(k) }
    }

    #[inline(always)]
    unsafe fn skip(self, k: usize) -> Self {
        Self(self.0.map(|row| row.wrapping_add(k)))
    }

    #[inline(always)]
    unsafe fn prefetch<V: Vector>(self, _: usize, stream: *const f32) {
        // SAFETY: the caller guarantees the instruction set.
        unsafe { V::prefetch(stream.wrapping_add(AHEAD)) }
    }
}

/// Packed rows of several tiles.
#[derive(Clone, Copy)]
pub(super) struct Several<const N: usize>(pub(super) [*const f32; N]);

impl<const M: usize, const N: usize> Left<M> for Several<N> {
    const SEVERAL: bool = true;

    #[inline(always)]
    unsafe fn at(self, m: usize, n: usize, k: usize) -> f32 {
        // SAFETY: the caller guarantees that the term exists.
        unsafe { *self.0[n].add(k * M + m) }
    }

    #[inline(always)]
    unsafe fn skip(self, k: usize) -> Self {
        Self(self.0.map(|rows| rows.wrapping_add(k * M)))
    }
}

/// `sums[m][j] += Σₖ a[k][m] · b[offsets[k] + j]` for packed rows at `a`.
///
/// # Safety
/// Same as [`multiply_block`].
#[inline(always)]
pub(in crate::kernel) unsafe fn multiply<V: Vector, const M: usize, const N: usize>(
    sums: &mut [[V; N]; M],
    a: *const f32,
    offsets: &[usize],
    b: *const f32,
) {
    // SAFETY: guaranteed by the caller.
    unsafe { multiply_part::<V, M, N>(sums, Packed(a), offsets, b, true) }
}

/// `sums[m][j] += Σₖ a[k][m] · b[offsets[k] + j]`, block by block. The first block of the first part is added term by
/// term, the sum of every other block at once.
///
/// # Safety
/// Same as [`multiply_block`].
#[inline(always)]
pub(super) unsafe fn multiply_part<V: Vector, const M: usize, const N: usize>(
    sums: &mut [[V; N]; M],
    a: impl Left<M>,
    offsets: &[usize],
    b: *const f32,
    is_first: bool,
) {
    let (first, rest) = offsets.split_at(if is_first { offsets.len().min(BLOCK) } else { 0 });
    // SAFETY: guaranteed by the caller; each block gets its part of `a`.
    unsafe {
        multiply_block::<V, _, M, N>(sums, a, first, b);
        let a = a.skip(first.len());
        for (block, offsets) in rest.chunks(BLOCK).enumerate() {
            let mut own = [[V::splat(0.0); N]; M];
            multiply_block::<V, _, M, N>(&mut own, a.skip(block * BLOCK), offsets, b);
            for (sums, own) in sums.iter_mut().zip(&own) {
                for (sum, &own) in sums.iter_mut().zip(own) {
                    *sum = sum.add(own);
                }
            }
        }
    }
}

/// Inner loop: `sums[m][j] += Σₖ a[k][m] · b[offsets[k] + j]`.
///
/// # Safety
/// `a` must hold M elements per offset; `b` must be readable for N vectors from each offset.
#[inline(always)]
pub(super) unsafe fn multiply_block<V: Vector, L: Left<M>, const M: usize, const N: usize>(
    sums: &mut [[V; N]; M],
    a: L,
    offsets: &[usize],
    b: *const f32,
) {
    // A local copy, so that the sums are kept in registers.
    let mut own = *sums;
    for (k, &offset) in offsets.iter().enumerate() {
        // SAFETY: guaranteed by the caller.
        unsafe {
            let mut stream = [V::splat(0.0); N];
            for (v, stream) in stream.iter_mut().enumerate() {
                *stream = V::load(b.add(if L::SEVERAL { offset } else { offset + v * V::LANES }));
            }
            a.prefetch::<V>(k, b.wrapping_add(offset));
            for (m, own) in own.iter_mut().enumerate() {
                for (n, (sum, &stream)) in own.iter_mut().zip(&stream).enumerate() {
                    *sum = sum.mul_add(V::splat(a.at(m, n, k)), stream);
                }
            }
        }
    }
    *sums = own;
}
