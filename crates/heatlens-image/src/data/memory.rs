//! Memory budget for all images being read and drawn, whatever the number of threads.
//!
//! An image of 8000 × 8000 pixels takes one or two gigabytes on its way to a model's input; sixteen threads would take
//! thirty. Each large image therefore reserves a [`MemoryReservation`] first, and waits if the budget is exhausted. Small images
//! need no reservation.

use std::cell::Cell;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

use heatlens_cpu::available_memory;

/// Size in bytes below which no reservation is needed: hundreds of such images are harmless.
const UNASKED: u64 = 1 << 24;
/// Default budget if the available memory is unknown.
const FALLBACK: u64 = 1 << 32;
/// Minimum of the default budget.
const LEAST: u64 = 1 << 28;

static BUDGET: OnceLock<u64> = OnceLock::new();
static TAKEN: Mutex<u64> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

thread_local! {
    /// Number of rooms held by this thread.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// Sets the memory budget for all images, in bytes. It has no effect after a large image has been read; the default is
/// half of the memory available at that time.
pub fn set_memory_budget(bytes: u64) {
    let _ = BUDGET.set(bytes);
}

/// Memory reservation of an image, released when the last copy is dropped.
#[derive(Clone, Debug)]
pub struct MemoryReservation {
    _taken: Arc<Taken>,
}

#[derive(Debug)]
struct Taken {
    bytes: u64,
}

impl MemoryReservation {
    /// Waits until `bytes` are available and reserves them. Returns `None` for a small image, which needs no
    /// reservation.
    ///
    /// # Errors
    /// The whole budget, if it is less than `bytes`.
    pub(super) fn take(bytes: u64) -> Result<Option<Self>, u64> {
        if bytes < UNASKED {
            return Ok(None);
        }
        let budget =
            *BUDGET.get_or_init(|| available_memory().map_or(FALLBACK, |most| (most / 2).max(LEAST)));
        if bytes > budget {
            return Err(budget);
        }
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        // Without this condition, a thread that holds a room already and starts another image while waiting would
        // deadlock.
        while *taken + bytes > budget && HELD.get() == 0 {
            taken = FREED.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        *taken += bytes;
        HELD.set(HELD.get() + 1);
        Ok(Some(Self { _taken: Arc::new(Taken { bytes }) }))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        *taken -= self.bytes;
        // A room that moved to another thread is subtracted there. The count only decides which threads wait.
        HELD.set(HELD.get().saturating_sub(1));
        FREED.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_together_stay_within_the_budget() {
        assert!(MemoryReservation::take(1000).unwrap().is_none());
        let budget = MemoryReservation::take(u64::MAX).unwrap_err();
        let most = std::sync::atomic::AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        let room = MemoryReservation::take(budget / 3).unwrap();
                        let now = *TAKEN.lock().unwrap();
                        most.fetch_max(now, std::sync::atomic::Ordering::Relaxed);
                        std::thread::sleep(std::time::Duration::from_millis(1));
                        drop(room);
                    }
                });
            }
        });
        let most = most.into_inner();
        assert!(most <= budget && most >= budget / 3, "{most} of {budget}");
        assert_eq!(*TAKEN.lock().unwrap(), 0);
    }

    #[test]
    fn a_thread_does_not_wait_for_itself() {
        let budget = MemoryReservation::take(u64::MAX).unwrap_err();
        let one = MemoryReservation::take(budget / 2).unwrap();
        let two = MemoryReservation::take(budget / 2 + UNASKED).unwrap();
        assert!(one.is_some() && two.is_some());
    }
}
