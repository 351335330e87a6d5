//! Thread pool. A forked process has none of its parent's threads, so it creates its own pool.

use std::process;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use heatlens::run::{Monitor, with_source};
use heatlens::with_pool;
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error;

/// Time between two checks for Ctrl-C.
const PERIOD: Duration = Duration::from_millis(100);

/// The pool and the process it belongs to.
static POOL: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);

/// Runs `work` on the pool while other Python threads continue.
pub(crate) fn compute<T: Send>(py: Python<'_>, work: impl Send + FnOnce() -> T) -> PyResult<T> {
    let pool = pool()?;
    Ok(py.detach(|| pool.install(work)))
}

/// Runs `work` as [`watched`] does. If it is `short`, which means a single image and no parallel loops but those of programs,
/// it runs on this thread, which saves waking another one and being woken by it.
pub(crate) fn watched_unless<T: Send>(
    py: Python<'_>,
    short: bool,
    work: impl Send + FnOnce(&Watch) -> T,
) -> PyResult<T> {
    if !short {
        return watched(py, work);
    }
    let pool = pool()?;
    Ok(py.detach(|| with_pool(&pool, || work(&Watch::default()))))
}

/// Runs `work` on the pool and checks ten times per second for Ctrl-C; then `work` is told to stop, and ends as soon as
/// finished results are safe.
pub(crate) fn watched<T: Send>(py: Python<'_>, work: impl Send + FnOnce(&Watch) -> T) -> PyResult<T> {
    let (pool, watch) = (pool()?, &Watch::default());
    let mut signal = None;
    let mut pressed = || {
        signal = signal.take().or_else(|| Python::attach(|py| py.check_signals()).err());
        watch.stop.fetch_or(signal.is_some(), Ordering::Relaxed);
    };
    let done = py.detach(|| {
        let (sender, receiver) = mpsc::channel();
        pool.in_place_scope(|scope| {
            scope.spawn(move |_| drop(sender.send(work(watch))));
            loop {
                match receiver.recv_timeout(PERIOD) {
                    Err(RecvTimeoutError::Timeout) => pressed(),
                    done => return done,
                }
            }
        })
    });
    match signal {
        Some(pressed) => Err(pressed),
        None => done.map_err(|_| error("the work ended unexpectedly")),
    }
}

/// Monitor of a call: keeps remarks and what could not be read, and stops on Ctrl-C.
#[derive(Default)]
pub(crate) struct Watch {
    stop: AtomicBool,
    strict: AtomicBool,
    remarks: Mutex<Vec<String>>,
    left_out: Mutex<Vec<String>>,
}

impl Watch {
    /// Makes the first image that cannot be read end the work.
    pub(crate) fn strict(&self) -> &Self {
        self.strict.store(true, Ordering::Relaxed);
        self
    }

    /// Returns the remarks and forgets them.
    pub(crate) fn take_remarks(&self) -> Vec<String> {
        std::mem::take(&mut *self.remarks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the inputs that could not be read, with the reasons, and forgets them.
    pub(crate) fn take_left_out(&self) -> Vec<String> {
        std::mem::take(&mut *self.left_out.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Monitor for Watch {
    fn note(&self, text: &str) {
        self.remarks.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
    }

    fn broken(&self, input: &str, reason: &str) {
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner).push(with_source(input, reason));
        self.stop.fetch_or(self.strict.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    fn advance(&self, _: usize) -> bool {
        !self.is_stopped()
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Number of threads of the pool; 0 means one per processor.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// Sets the number of threads for further computations; `None` for one per processor. It does not affect the results.
#[pyfunction]
#[pyo3(signature = (threads))]
pub(crate) fn set_threads(threads: Option<usize>) -> PyResult<()> {
    let most = std::thread::available_parallelism().map_or(1, usize::from).max(256);
    if threads.is_some_and(|threads| !(1..=most).contains(&threads)) {
        return Err(error(format!("threads: expected 1 to {most}, found {}", threads.unwrap_or(0))));
    }
    THREADS.store(threads.unwrap_or(0), Ordering::Relaxed);
    POOL.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok(())
}

/// Returns the pool. The lock is held only together with the interpreter's, so a fork never copies it in locked state.
fn pool() -> PyResult<Arc<ThreadPool>> {
    let mut kept = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((owner, pool)) = &*kept
        && *owner == process::id()
    {
        return Ok(Arc::clone(pool));
    }
    let name = |number| format!("heatlens-{number}");
    let threads = THREADS.load(Ordering::Relaxed);
    let pool =
        Arc::new(ThreadPoolBuilder::new().num_threads(threads).thread_name(name).build().map_err(error)?);
    // The parent's pool is leaked, not dropped: its threads do not exist in this process.
    std::mem::forget(kept.replace((process::id(), Arc::clone(&pool))));
    Ok(pool)
}
