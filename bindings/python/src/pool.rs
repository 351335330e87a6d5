//! Thread pool. A forked process has none of its parent's threads, so it creates its own pool.

use std::process;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use heatlens::run::Monitor;
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error;

/// The pool and the process it belongs to.
static POOL: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);

/// Runs `work` on the pool while other Python threads continue.
pub(crate) fn compute<T: Send>(py: Python<'_>, work: impl Send + FnOnce() -> T) -> PyResult<T> {
    let pool = pool()?;
    Ok(py.detach(|| pool.install(work)))
}

/// Runs `work` on the pool and checks ten times per second for Ctrl-C; then `work` is told to stop, and ends as soon as
/// finished results are safe.
pub(crate) fn watched<T: Send>(py: Python<'_>, work: impl Send + FnOnce(&AtomicBool) -> T) -> PyResult<T> {
    let (pool, stop, waiting) = (pool()?, AtomicBool::new(false), std::thread::current());
    let mut signal = None;
    let done = py.detach(|| {
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let done = pool.install(|| work(&stop));
                waiting.unpark();
                done
            });
            while !worker.is_finished() {
                std::thread::park_timeout(Duration::from_millis(100));
                if signal.is_none()
                    && let Err(pressed) = Python::attach(|py| py.check_signals())
                {
                    signal = Some(pressed);
                    stop.store(true, Ordering::Relaxed);
                }
            }
            worker.join()
        })
    });
    match (signal, done) {
        (Some(pressed), _) => Err(pressed),
        (None, Ok(done)) => Ok(done),
        (None, Err(_)) => Err(error("the work ended unexpectedly")),
    }
}

/// Monitor that keeps remarks and stops on request.
pub(crate) struct Remarks<'s> {
    stop: &'s AtomicBool,
    texts: Mutex<Vec<String>>,
}

impl<'s> Remarks<'s> {
    pub(crate) fn new(stop: &'s AtomicBool) -> Self {
        Self { stop, texts: Mutex::default() }
    }

    pub(crate) fn into_texts(self) -> Vec<String> {
        self.texts.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Monitor for Remarks<'_> {
    fn note(&self, text: &str) {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
    }

    fn advance(&self, _: usize) -> bool {
        !self.stop.load(Ordering::Relaxed)
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
