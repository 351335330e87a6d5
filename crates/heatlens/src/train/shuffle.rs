//! Order of the samples in an epoch.

use crate::random::{Key, Use};

/// Returns the samples `0..n` in the random order of an epoch, which depends on the seed and the epoch alone, so
/// that a resumed run is identical to an uninterrupted one.
#[must_use]
pub fn epoch_order(n: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    Key::new(seed, Use::Shuffle).at(epoch).rng().shuffle(&mut order);
    order
}

/// Splits an order into batches of `size` (at least 1); the last may be smaller.
pub fn batches(order: &[usize], size: usize) -> impl ExactSizeIterator<Item = &[usize]> {
    order.chunks(size.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_sees_every_sample_once_in_an_order_of_its_own() {
        let order = epoch_order(1900, 7, 3);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1900).collect::<Vec<_>>());
        assert_eq!(order, epoch_order(1900, 7, 3));
        for other in [epoch_order(1900, 7, 4), epoch_order(1900, 8, 3), sorted] {
            assert!(order.iter().zip(&other).filter(|(a, b)| a == b).count() < 20);
        }
    }

    #[test]
    fn the_last_batch_is_what_is_left() {
        let order = epoch_order(100, 0, 0);
        let sizes: Vec<usize> = batches(&order, 64).map(<[usize]>::len).collect();
        assert_eq!(sizes, [64, 36]);
        assert_eq!(batches(&order, 64).collect::<Vec<_>>().concat(), order);
        assert_eq!(batches(&order, 0).len(), 100);
        assert_eq!(batches(&[], 64).len(), 0);
    }
}
