//! One budget for all pictures that are being read and drawn, whatever the number of threads.
//!
//! A picture of 8000 × 8000 takes a gigabyte or two on its way to a model's input; sixteen threads would take thirty. So each
//! large picture takes a [`Room`] first, and waits where there is none. Small ones do not ask.

use std::cell::Cell;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

use heatlens_cpu::available_memory;

/// Pictures that take less do not ask: hundreds of them are no danger.
const UNASKED: u64 = 1 << 24;
/// The budget where the system does not say what is available.
const FALLBACK: u64 = 1 << 32;
/// The least that the budget is by itself.
const LEAST: u64 = 1 << 28;

static BUDGET: OnceLock<u64> = OnceLock::new();
static TAKEN: Mutex<u64> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

thread_local! {
    /// Rooms that this thread holds.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// Sets the memory in bytes that pictures may take together. Without effect once a large picture has been read; by default
/// half of what is available then.
pub fn set_memory_budget(bytes: u64) {
    let _ = BUDGET.set(bytes);
}

/// Memory that a picture may take, given back when the last copy is dropped.
#[derive(Clone, Debug)]
pub struct Room {
    _taken: Arc<Taken>,
}

#[derive(Debug)]
struct Taken {
    bytes: u64,
}

impl Room {
    /// Waits until there are so many bytes left. `None` for a small picture, which needs no room.
    ///
    /// # Errors
    /// The whole budget, where that is less.
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
        // A thread that holds a room already, and took up another picture while it waited for its own, would wait for itself.
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
        // A room that moved to another thread counts there; both only decide who waits.
        HELD.set(HELD.get().saturating_sub(1));
        FREED.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_together_stay_within_the_budget() {
        assert!(Room::take(1000).unwrap().is_none());
        let budget = Room::take(u64::MAX).unwrap_err();
        let most = std::sync::atomic::AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        let room = Room::take(budget / 3).unwrap();
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
        let budget = Room::take(u64::MAX).unwrap_err();
        let one = Room::take(budget / 2).unwrap();
        let two = Room::take(budget / 2 + UNASKED).unwrap();
        assert!(one.is_some() && two.is_some());
    }
}
