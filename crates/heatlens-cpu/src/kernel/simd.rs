//! Vectors of `f32`, and selection of an instruction set at run time.
//!
//! A kernel is a [`Job`], generic over [`Vector`]. [`Isa::run`] calls it from a function with the instruction set
//! enabled, so everything inlined into it is compiled for that set.

use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// A vector of `f32` lanes.
///
/// # Safety
/// All functions require a processor with the vector's instruction set, which [`Isa::run`] ensures. Pointers must be
/// valid for the lanes that are accessed; they need not be aligned.
pub(crate) trait Vector: Copy {
    /// Number of lanes, at most 16.
    const LANES: usize;
    /// Number of vector registers of the processor.
    const REGISTERS: usize;
    /// True if the processor multiplies and adds in one instruction.
    const FUSED: bool;
    /// Boolean per lane.
    type Mask: Copy;

    /// Returns `x` in every lane.
    unsafe fn splat(x: f32) -> Self;
    /// Reads the lanes at `p`.
    unsafe fn load(p: *const f32) -> Self;
    /// Writes the lanes to `p`.
    unsafe fn store(self, p: *mut f32);
    /// Tells the processor that the cache line of `p`, which need not be valid, will soon be read.
    #[inline(always)]
    unsafe fn prefetch(_p: *const f32) {}
    /// Reads lanes `from..to` like [`load`](Self::load); the others are zero, and their memory is not accessed.
    unsafe fn load_lanes(p: *const f32, from: usize, to: usize) -> Self;
    /// Writes lanes `from..to` like [`store`](Self::store).
    unsafe fn store_lanes(self, p: *mut f32, from: usize, to: usize);
    /// Lanewise sum.
    unsafe fn add(self, other: Self) -> Self;
    /// Lanewise difference.
    unsafe fn sub(self, other: Self) -> Self;
    /// `self + a · b`, rounded once if the processor supports it.
    unsafe fn mul_add(self, a: Self, b: Self) -> Self;
    /// Replaces negative lanes with zero; NaN is preserved.
    unsafe fn relu(self) -> Self;
    /// Returns the sum of the lanes, always in the same order.
    unsafe fn sum(self) -> f32;
    /// Returns the elements at even and at odd positions of two vectors; the inverse of [`interleave`](Self::interleave).
    unsafe fn separate(self, high: Self) -> (Self, Self);
    /// Reads two vectors at `p` and returns the elements at even and at odd positions.
    #[inline(always)]
    unsafe fn load_pairs(p: *const f32) -> (Self, Self) {
        // SAFETY: the caller guarantees that two vectors are valid.
        unsafe { Self::load(p).separate(Self::load(p.add(Self::LANES))) }
    }
    /// Interleaves two vectors: `self` at even and `odd` at odd positions.
    unsafe fn interleave(self, odd: Self) -> (Self, Self);
    /// Writes `self` to even and `odd` to odd positions, starting at `p`.
    #[inline(always)]
    unsafe fn store_pairs(self, odd: Self, p: *mut f32) {
        // SAFETY: the caller guarantees that two vectors are valid.
        unsafe {
            let (low, high) = self.interleave(odd);
            low.store(p);
            high.store(p.add(Self::LANES));
        }
    }
    /// Mask of the lanes where `self` is larger than `earlier`, or is the first of the two to be NaN.
    unsafe fn beats(self, earlier: Self) -> Self::Mask;
    /// Selects `yes` where the mask is set, `no` elsewhere.
    unsafe fn pick(mask: Self::Mask, yes: Self, no: Self) -> Self;
}

/// Computation that can be compiled for any instruction set. `run` must be `#[inline(always)]`, and so must the
/// functions called in its inner loops.
pub(crate) trait Job {
    /// Performs the computation.
    ///
    /// # Safety
    /// The processor must have the instruction set of `V`.
    unsafe fn run<V: Vector>(self);
}

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isa {
    /// AVX-512: 16 lanes, 32 registers.
    Avx512,
    /// AVX2: 8 lanes with fused multiply-add, 16 registers.
    Avx2,
    /// Four lanes vectorised by the compiler, on any processor, including with NEON.
    Portable,
}

/// Instruction set of this process.
static PINNED: OnceLock<Isa> = OnceLock::new();

impl Isa {
    /// Returns the instruction sets that this processor supports, best first.
    pub(crate) fn available() -> impl Iterator<Item = Self> {
        [Self::Avx512, Self::Avx2, Self::Portable].into_iter().filter(|isa| isa.is_available())
    }

    /// Returns the pinned instruction set, or the best one that this processor supports.
    pub(crate) fn best() -> Self {
        *PINNED.get_or_init(|| Self::available().next().unwrap_or(Self::Portable))
    }

    /// Makes [`best`](Self::best) return the named instruction set.
    ///
    /// # Errors
    /// If there is no such set, this processor does not support it, or another one is in use already.
    pub(crate) fn pin(name: &str) -> Result<(), String> {
        let names = |all: &mut dyn Iterator<Item = Self>| all.map(Self::name).collect::<Vec<_>>().join(", ");
        let mut known = [Self::Avx512, Self::Avx2, Self::Portable].into_iter();
        let Some(wanted) = known.clone().find(|isa| isa.name() == name) else {
            return Err(format!("instruction set: expected {}, found {name:?}", names(&mut known)));
        };
        if !wanted.is_available() {
            return Err(format!("this processor has no {name}: use {}", names(&mut Self::available())));
        }
        match *PINNED.get_or_init(|| wanted) {
            isa if isa == wanted => Ok(()),
            isa => Err(format!("{} is in use already: pin {name} before anything is computed", isa.name())),
        }
    }

    fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512 | Self::Avx2 => false,
            Self::Portable => true,
        }
    }

    /// Returns the name used in results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Portable => "portable",
        }
    }

    /// Returns the number of lanes of a vector.
    pub(crate) fn lanes(self) -> usize {
        match self {
            Self::Avx512 => 16,
            Self::Avx2 => 8,
            Self::Portable => 4,
        }
    }

    /// Runs a job compiled for this instruction set.
    pub(crate) fn run(self, job: impl Job) {
        assert!(self.is_available(), "this processor has no {self:?}");
        // SAFETY: the instruction set was checked above.
        unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Self::Avx512 => run_avx512(job),
                #[cfg(target_arch = "x86_64")]
                Self::Avx2 => run_avx2(job),
                _ => job.run::<[f32; 4]>(),
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn run_avx512(job: impl Job) {
    // SAFETY: the caller guarantees the instruction set.
    unsafe { job.run::<__m512>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_avx2(job: impl Job) {
    // SAFETY: the caller guarantees the instruction set.
    unsafe { job.run::<__m256>() }
}

/// Implements [`Vector`] for a register type; each function is one expression of intrinsics.
#[cfg(target_arch = "x86_64")]
macro_rules! impl_vector {
    ($type:ty, $lanes:literal lanes, $registers:literal registers, $mask:ty,
     $($name:ident($($arg:tt: $of:ty),*) $(-> $result:ty)? = $body:expr;)*) => {
        impl Vector for $type {
            const LANES: usize = $lanes;
            const REGISTERS: usize = $registers;
            const FUSED: bool = true;
            type Mask = $mask;
            $(
                #[inline(always)]
                #[allow(clippy::needless_arbitrary_self_type)] // a macro cannot write a bare `self`
                unsafe fn $name($($arg: $of),*) $(-> $result)? {
                    // SAFETY: the trait's contract is that of the intrinsics.
                    unsafe { $body }
                }
            )*
        }
    };
}

// The `max` instructions return the second operand if either is NaN, so `relu` preserves NaN.
#[cfg(target_arch = "x86_64")]
impl_vector! { __m512, 16 lanes, 32 registers, u16,
    splat(x: f32) -> Self = _mm512_set1_ps(x);
    load(p: *const f32) -> Self = _mm512_loadu_ps(p);
    store(self: Self, p: *mut f32) = _mm512_storeu_ps(p, self);
    prefetch(p: *const f32) = _mm_prefetch::<_MM_HINT_T0>(p.cast());
    load_lanes(p: *const f32, from: usize, to: usize) -> Self = _mm512_maskz_loadu_ps(mask16(from, to), p);
    store_lanes(self: Self, p: *mut f32, from: usize, to: usize) = _mm512_mask_storeu_ps(p, mask16(from, to), self);
    add(self: Self, other: Self) -> Self = _mm512_add_ps(self, other);
    sub(self: Self, other: Self) -> Self = _mm512_sub_ps(self, other);
    mul_add(self: Self, a: Self, b: Self) -> Self = _mm512_fmadd_ps(a, b, self);
    relu(self: Self) -> Self = _mm512_max_ps(_mm512_setzero_ps(), self);
    sum(self: Self) -> f32 = _mm512_reduce_add_ps(self);
    separate(self: Self, high: Self) -> (Self, Self) = {
        let low = self;
        let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        let odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
        (_mm512_permutex2var_ps(low, even, high), _mm512_permutex2var_ps(low, odd, high))
    };
    interleave(self: Self, odd: Self) -> (Self, Self) = {
        let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        let high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        (_mm512_permutex2var_ps(self, low, odd), _mm512_permutex2var_ps(self, high, odd))
    };
    beats(self: Self, earlier: Self) -> u16 = {
        let number = _mm512_cmp_ps_mask::<_CMP_ORD_Q>(earlier, earlier);
        _mm512_mask_cmp_ps_mask::<_CMP_NLE_UQ>(number, self, earlier)
    };
    pick(mask: u16, yes: Self, no: Self) -> Self = _mm512_mask_blend_ps(mask, no, yes);
}

#[cfg(target_arch = "x86_64")]
impl_vector! { __m256, 8 lanes, 16 registers, Self,
    splat(x: f32) -> Self = _mm256_set1_ps(x);
    load(p: *const f32) -> Self = _mm256_loadu_ps(p);
    store(self: Self, p: *mut f32) = _mm256_storeu_ps(p, self);
    prefetch(p: *const f32) = _mm_prefetch::<_MM_HINT_T0>(p.cast());
    load_lanes(p: *const f32, from: usize, to: usize) -> Self = _mm256_maskload_ps(p, mask8(from, to));
    store_lanes(self: Self, p: *mut f32, from: usize, to: usize) = store_some(self, p, from, to);
    add(self: Self, other: Self) -> Self = _mm256_add_ps(self, other);
    sub(self: Self, other: Self) -> Self = _mm256_sub_ps(self, other);
    mul_add(self: Self, a: Self, b: Self) -> Self = _mm256_fmadd_ps(a, b, self);
    relu(self: Self) -> Self = _mm256_max_ps(_mm256_setzero_ps(), self);
    sum(self: Self) -> f32 = {
        let four = _mm_add_ps(_mm256_castps256_ps128(self), _mm256_extractf128_ps::<1>(self));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
    };
    separate(self: Self, high: Self) -> (Self, Self) = {
        let low = self;
        let even = _mm256_castps_pd(_mm256_shuffle_ps::<0b10_00_10_00>(low, high));
        let odd = _mm256_castps_pd(_mm256_shuffle_ps::<0b11_01_11_01>(low, high));
        let order = |halves| _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(halves));
        (order(even), order(odd))
    };
    interleave(self: Self, odd: Self) -> (Self, Self) = {
        let (low, high) = (_mm256_unpacklo_ps(self, odd), _mm256_unpackhi_ps(self, odd));
        (_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high))
    };
    beats(self: Self, earlier: Self) -> Self = {
        let number = _mm256_cmp_ps::<_CMP_ORD_Q>(earlier, earlier);
        _mm256_and_ps(number, _mm256_cmp_ps::<_CMP_NLE_UQ>(self, earlier))
    };
    pick(mask: Self, yes: Self, no: Self) -> Self = _mm256_blendv_ps(no, yes, mask);
}

/// Returns a mask of bits `from..to`, both at most 16.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[allow(clippy::cast_possible_truncation)] // 16 bits by construction
fn mask16(from: usize, to: usize) -> u16 {
    (((1_u32 << to) - 1) & !((1_u32 << from) - 1)) as u16
}

/// Returns lanes `from..to` with all bits set, both at most 8.
///
/// # Safety
/// The processor must have AVX2.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)] // at most 8
unsafe fn mask8(from: usize, to: usize) -> __m256i {
    // SAFETY: the caller guarantees AVX2.
    unsafe {
        let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        let below = _mm256_cmpgt_epi32(_mm256_set1_epi32(to as i32), lane);
        _mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(from as i32), lane), below)
    }
}

/// Writes lanes `from..to` of a vector: in halves, because masked stores take dozens of cycles on some processors.
///
/// # Safety
/// The processor must have AVX2, and these lanes must be valid; `p` itself may lie outside.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn store_some(vector: __m256, p: *mut f32, from: usize, to: usize) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        if from > 0 {
            let mut lanes = [0.0_f32; 8];
            _mm256_storeu_ps(lanes.as_mut_ptr(), vector);
            for (i, &lane) in lanes.iter().enumerate().take(to).skip(from) {
                *p.wrapping_add(i) = lane;
            }
        } else if to >= 8 {
            _mm256_storeu_ps(p, vector);
        } else {
            let (mut rest, mut p) = (_mm256_castps256_ps128(vector), p);
            if to & 4 != 0 {
                _mm_storeu_ps(p, rest);
                (rest, p) = (_mm256_extractf128_ps::<1>(vector), p.add(4));
            }
            if to & 2 != 0 {
                _mm_storel_pd(p.cast(), _mm_castps_pd(rest));
                (rest, p) = (_mm_movehl_ps(rest, rest), p.add(2));
            }
            if to & 1 != 0 {
                _mm_store_ss(p, rest);
            }
        }
    }
}

/// True if the compiler turns `f32::mul_add` into an instruction instead of a slow library call.
const FUSED: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));

impl Vector for [f32; 4] {
    const LANES: usize = 4;
    const REGISTERS: usize = 16;
    const FUSED: bool = FUSED;
    type Mask = [bool; 4];

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: the caller guarantees that the lanes are valid.
        unsafe { p.cast::<Self>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: the caller guarantees that the lanes are valid.
        unsafe { p.cast::<Self>().write_unaligned(self) }
    }
    #[inline(always)]
    unsafe fn load_lanes(p: *const f32, from: usize, to: usize) -> Self {
        let mut lanes = [0.0; 4];
        for (i, lane) in lanes.iter_mut().enumerate().take(to).skip(from) {
            // SAFETY: the caller guarantees that these lanes are valid; `p` itself may lie outside.
            *lane = unsafe { *p.wrapping_add(i) };
        }
        lanes
    }
    #[inline(always)]
    unsafe fn store_lanes(self, p: *mut f32, from: usize, to: usize) {
        for (i, lane) in self.into_iter().enumerate().take(to).skip(from) {
            // SAFETY: the caller guarantees that these lanes are valid; `p` itself may lie outside.
            unsafe { *p.wrapping_add(i) = lane };
        }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        std::array::from_fn(|i| self[i] + other[i])
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        std::array::from_fn(|i| self[i] - other[i])
    }
    #[inline(always)]
    unsafe fn mul_add(self, a: Self, b: Self) -> Self {
        std::array::from_fn(|i| if FUSED { a[i].mul_add(b[i], self[i]) } else { self[i] + a[i] * b[i] })
    }
    #[inline(always)]
    unsafe fn relu(self) -> Self {
        self.map(super::elementwise::relu)
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        (self[0] + self[2]) + (self[1] + self[3])
    }
    #[inline(always)]
    unsafe fn separate(self, high: Self) -> (Self, Self) {
        ([self[0], self[2], high[0], high[2]], [self[1], self[3], high[1], high[3]])
    }
    #[inline(always)]
    unsafe fn interleave(self, odd: Self) -> (Self, Self) {
        ([self[0], odd[0], self[1], odd[1]], [self[2], odd[2], self[3], odd[3]])
    }
    #[inline(always)]
    unsafe fn beats(self, earlier: Self) -> [bool; 4] {
        std::array::from_fn(|i| self[i] > earlier[i] || (self[i].is_nan() && !earlier[i].is_nan()))
    }
    #[inline(always)]
    unsafe fn pick(mask: [bool; 4], yes: Self, no: Self) -> Self {
        std::array::from_fn(|i| if mask[i] { yes[i] } else { no[i] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Check;

    impl Job for Check {
        #[inline(always)]
        unsafe fn run<V: Vector>(self) {
            let n = V::LANES;
            let x: Vec<f32> = (0..n).map(|i| i as f32 - 2.0).collect();
            for (from, to) in (0..=n).flat_map(|from| (from..=n).map(move |to| (from, to))) {
                let inside = |i: usize| i >= from && i < to;
                let mut y = vec![9.0; n];
                // SAFETY: all lanes lie in `x` and `y`.
                unsafe { V::load_lanes(x.as_ptr(), from, to).store_lanes(y.as_mut_ptr(), 0, n) };
                assert!(
                    (0..n).all(|i| y[i] == if inside(i) { x[i] } else { 0.0 }),
                    "load {from}..{to}: {y:?}"
                );
                y.fill(9.0);
                // SAFETY: as above.
                unsafe { V::load(x.as_ptr()).store_lanes(y.as_mut_ptr(), from, to) };
                assert!(
                    (0..n).all(|i| y[i] == if inside(i) { x[i] } else { 9.0 }),
                    "store {from}..{to}: {y:?}"
                );
            }
            let mut y = vec![0.0; n];
            // SAFETY: as above.
            let total = unsafe {
                V::load(x.as_ptr()).mul_add(V::splat(2.0), V::splat(-1.0)).relu().store(y.as_mut_ptr());
                V::load(x.as_ptr()).add(V::splat(1.0)).sum()
            };
            assert!((0..n).all(|i| y[i] == (x[i] - 2.0).max(0.0)), "{y:?}");
            assert_eq!(total, x.iter().map(|v| v + 1.0).sum::<f32>());
            // SAFETY: as above.
            unsafe { V::splat(f32::NAN).relu().store(y.as_mut_ptr()) };
            assert!(y.iter().all(|v| v.is_nan()));
        }
    }

    #[test]
    fn vectors_agree_with_scalars() {
        for isa in Isa::available() {
            isa.run(Check);
        }
    }
}
