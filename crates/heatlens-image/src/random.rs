//! Random numbers that depend on their purpose alone, not on the time or order of drawing.
//!
//! A [`Key`] identifies a use and the coordinates of a draw (such as epoch and sample); each key has its own ChaCha8
//! stream (Bernstein 2008). Resumed runs, other thread counts and other orders of work therefore see the same numbers.
//! Conversions to floats and ranges are implemented here, using the specified words of the generator and functions of
//! `libm`, so that results are bit-identical on all platforms and with all versions of crates.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// Purpose of random numbers. The discriminants are part of every key: never renumber them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Initial weights.
    Weights = 1,
    /// Order of the samples in an epoch.
    Shuffle = 2,
    /// Random augmentation of training images.
    Augment = 3,
    /// The demo's images.
    DemoData = 4,
    /// Selection of held-out images.
    Split = 5,
    /// Noise, masks, samples and references of explanation methods.
    Explain = 6,
    /// Orders, noise, weights and samples of an audit.
    Audit = 7,
    /// Initial points of clusters.
    Clusters = 8,
}

/// Identifies one stream of random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// Returns the key of a use under a seed.
    #[must_use]
    pub fn new(seed: u64, what: Use) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&(what as u64).to_le_bytes());
        Self(key)
    }

    /// Returns the key of a coordinate below this one, such as an epoch or a sample. `at(a).at(b)` and `at(b).at(a)`
    /// differ from each other and from the key itself.
    #[must_use]
    pub fn at(self, coordinate: u64) -> Self {
        // The child's 256-bit key is read from the parent's stream with this number, so any number of coordinates is
        // possible. It is read from the middle of the stream, because the start of stream 0 holds the parent's own
        // numbers.
        let mut parent = ChaCha8Rng::from_seed(self.0);
        parent.set_stream(coordinate);
        parent.set_word_pos(1 << 67);
        let mut key = [0; 32];
        parent.fill_bytes(&mut key);
        Self(key)
    }

    /// Returns the stream of this key, from its start.
    #[must_use]
    pub fn rng(self) -> Rng {
        Rng(ChaCha8Rng::from_seed(self.0))
    }
}

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// Draws uniformly from [0, 1): a multiple of 2⁻²⁴, so every value is exact in `f32`.
    #[allow(clippy::cast_precision_loss)]
    #[inline]
    pub fn uniform(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 * (1.0 / (1u32 << 24) as f32)
    }

    /// Draws uniformly from [0, 1): a multiple of 2⁻⁵³.
    #[allow(clippy::cast_precision_loss)]
    #[inline]
    pub fn uniform_f64(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Draws uniformly between `low` and `high`.
    #[inline]
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform_f64()
    }

    /// Draws uniformly from `0..bound`, without bias; returns 0 if `bound` is 0. Lemire 2019, "Fast Random Integer
    /// Generation in an Interval", algorithm 5.
    #[allow(clippy::cast_possible_truncation)]
    #[inline]
    pub fn below(&mut self, bound: usize) -> usize {
        if bound == 0 {
            return 0;
        }
        let bound = bound as u64;
        // Low words below 2⁶⁴ mod bound would make some results more likely than others.
        let rejected = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.0.next_u64()) * u128::from(bound);
            if product as u64 >= rejected {
                return (product >> 64) as usize;
            }
        }
    }

    /// Returns true with probability one half.
    #[inline]
    pub fn coin(&mut self) -> bool {
        self.0.next_u32() >> 31 == 1
    }

    /// Draws from the normal distribution with mean 0 and variance 1 (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        // 1 − u is in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * libm::log(1.0 - self.uniform_f64())).sqrt();
        radius * libm::cos(std::f64::consts::TAU * self.uniform_f64())
    }

    /// Shuffles the items; all orders are equally likely (Fisher–Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let chosen = self.below(last + 1);
            items.swap(last, chosen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(key: Key) -> [u64; 3] {
        let mut rng = key.rng();
        std::array::from_fn(|_| rng.0.next_u64())
    }

    #[test]
    fn these_bits_are_for_good() {
        assert_eq!(words(Key::new(0, Use::Weights)), FIRST);
        let mut rng = Key::new(7, Use::Shuffle).at(3).at(u64::MAX).rng();
        assert_eq!(rng.uniform().to_bits(), UNIFORM);
        assert_eq!(rng.normal().to_bits(), NORMAL);
        assert_eq!([rng.below(10), rng.below(1000), rng.below(usize::MAX)], BELOW);
    }

    // Verified with an independent ChaCha8 written from Bernstein's paper.
    const FIRST: [u64; 3] = [4_606_029_925_845_525_861, 5_881_008_411_243_030_533, 6_840_029_072_272_234_182];
    const UNIFORM: u32 = 0x3f2a_17c6;
    const NORMAL: u64 = 4_605_862_999_583_498_047;
    const BELOW: [usize; 3] = [4, 194, 14_581_836_370_582_704_613];

    #[test]
    fn keys_differ_wherever_a_coordinate_does() {
        let root = Key::new(1, Use::Shuffle);
        let keys = [
            root,
            Key::new(2, Use::Shuffle),
            Key::new(1, Use::Augment),
            root.at(0),
            root.at(1),
            root.at(0).at(0),
            root.at(0).at(1),
            root.at(1).at(0),
            root.at(u64::MAX),
        ];
        let mut streams: Vec<_> = keys.into_iter().map(words).collect();
        streams.sort_unstable();
        streams.dedup();
        assert_eq!(streams.len(), 9);
    }

    #[test]
    fn a_key_gives_its_stream_whatever_was_drawn_before() {
        let key = Key::new(5, Use::Augment).at(2);
        let mut other = key.rng();
        (0..1000).for_each(|_| _ = other.normal());
        assert_eq!(words(key), words(Key::new(5, Use::Augment).at(2)));
    }

    #[test]
    fn numbers_follow_their_distributions() {
        let mut rng = Key::new(11, Use::DemoData).rng();
        let n = 100_000;
        let uniform: Vec<f64> = (0..n).map(|_| f64::from(rng.uniform())).collect();
        let normal: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
        let moments = |x: &[f64]| {
            let mean = x.iter().sum::<f64>() / f64::from(n);
            (mean, x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / f64::from(n))
        };
        let ((mean, variance), (centre, one)) = (moments(&uniform), moments(&normal));
        // Five standard errors each.
        assert!((mean - 0.5).abs() < 0.005 && (variance - 1.0 / 12.0).abs() < 0.0012, "{mean} {variance}");
        assert!(centre.abs() < 0.016 && (one - 1.0).abs() < 0.023, "{centre} {one}");
        assert!(uniform.iter().all(|v| (0.0..1.0).contains(v)));
        let beyond = normal.iter().filter(|v| v.abs() > 1.96).count();
        assert!((4650..5350).contains(&beyond), "{beyond}");
    }

    #[test]
    fn every_order_is_equally_likely() {
        let mut rng = Key::new(3, Use::Shuffle).rng();
        let mut seen = std::collections::BTreeMap::new();
        for _ in 0..24_000 {
            let mut items = [0, 1, 2, 3];
            rng.shuffle(&mut items);
            *seen.entry(items).or_insert(0u32) += 1;
        }
        assert_eq!(seen.len(), 24);
        let chi2: f64 = seen.values().map(|&c| (f64::from(c) - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi2 < 49.7, "0.999 quantile of chi-squared with 23 degrees of freedom: {chi2}");
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.below(1), 0);
    }
}
