//! Execution of tasks on the calling thread or the thread pool.

use std::marker::PhantomData;

use rayon::prelude::*;

use super::team;

/// Threads on which a kernel's tasks run. The results are bitwise equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workers {
    /// The calling thread: other threads are busy with other samples.
    Serial,
    /// The team that the calling thread leads, or else the threads of the pool.
    Pool,
}

impl Workers {
    /// Runs `task(0)`, `task(1)`, … `task(count - 1)`, in any order.
    pub(crate) fn for_each(self, count: usize, task: impl Fn(usize) + Sync) {
        match self {
            Self::Pool if count > 1 => {
                if !team::share(count, &task) {
                    team::on_pool(|| (0..count).into_par_iter().for_each(&task));
                }
            }
            _ => (0..count).for_each(task),
        }
    }

    /// Runs `task(i, piece)` for the `i`-th piece of `len` elements of `data`.
    pub(crate) fn for_each_chunk(
        self,
        data: &mut [f32],
        len: usize,
        task: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        let total = data.len();
        let shared = SharedSlice::new(data);
        self.for_each(if len == 0 { 0 } else { total.div_ceil(len) }, |i| {
            let start = i * len;
            // SAFETY: the pieces lie in the slice, and no two of them overlap.
            let piece = unsafe {
                std::slice::from_raw_parts_mut(shared.as_mut_ptr().add(start), len.min(total - start))
            };
            task(i, piece);
        });
    }
}

/// A slice that several tasks write to, each at different positions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SharedSlice<'a> {
    start: *mut f32,
    lifetime: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer comes from an exclusive borrow that lives as long as this value, and code that
// writes through it guarantees, in an unsafe block, that no two tasks access the same element.
unsafe impl Send for SharedSlice<'_> {}
// SAFETY: as above.
unsafe impl Sync for SharedSlice<'_> {}

impl<'a> SharedSlice<'a> {
    pub(crate) fn new(slice: &'a mut [f32]) -> Self {
        Self { start: slice.as_mut_ptr(), lifetime: PhantomData }
    }

    /// Returns a pointer to the first element, valid for the whole slice.
    pub(crate) fn as_mut_ptr(self) -> *mut f32 {
        self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_on_either() {
        for workers in [Workers::Serial, Workers::Pool] {
            let mut data = vec![0.0; 1003];
            workers.for_each_chunk(&mut data, 10, |i, piece| piece.fill(i as f32));
            assert!(data.iter().enumerate().all(|(i, &v)| v == (i / 10) as f32));
        }
    }
}
