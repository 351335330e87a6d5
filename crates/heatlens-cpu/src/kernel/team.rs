//! A team: threads of the pool that stand by while a run goes from kernel to kernel.
//!
//! A kernel of a small network takes some microseconds, no longer than waking a thread that sleeps. The members of a team
//! do not sleep at once: they look for the next job for some tens of microseconds, and other programs have the processor
//! after that. Members that the pool has no time for never join, and nobody waits for them. Within a team nothing is left to
//! the pool, so nobody waits for it either.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use rayon::ThreadPool;

/// Relation of a thread to a team.
enum Role {
    /// It belongs to none.
    Alone,
    /// It may give the team a job.
    Leader(Arc<Team>),
    /// It performs tasks: a job within a task is its own.
    Member,
}

thread_local! {
    static ROLE: Cell<Role> = const { Cell::new(Role::Alone) };
    /// Pool given by [`with_pool`].
    static POOL: RefCell<Option<Arc<ThreadPool>>> = const { RefCell::new(None) };
}

/// Rounds of looking for a job, some microseconds, before other threads of the machine get a turn after each.
const PATIENCE: u32 = 1 << 10;
/// Turns for other threads before a member sleeps until the next job: some tens of microseconds on a quiet machine.
const TURNS: u32 = 1 << 6;

/// Calls `run` on this thread. Teams and parallel loops of programs in `run` consist of this thread and those of `pool`.
pub(crate) fn with_pool<R>(pool: &Arc<ThreadPool>, run: impl FnOnce() -> R) -> R {
    struct Before(Option<Arc<ThreadPool>>);
    impl Drop for Before {
        fn drop(&mut self) {
            POOL.replace(self.0.take());
        }
    }
    let _before = Before(POOL.replace(Some(Arc::clone(pool))));
    run()
}

/// Returns the number of threads that a program can use.
pub(crate) fn threads() -> usize {
    POOL.with_borrow(|pool| match pool {
        Some(pool) => pool.current_num_threads(),
        None => rayon::current_num_threads(),
    })
}

/// Calls `run` where parallel loops use the threads of the pool.
pub(crate) fn on_pool<R: Send>(run: impl FnOnce() -> R + Send) -> R {
    match POOL.with_borrow(Clone::clone) {
        Some(pool) => pool.install(run),
        None => run(),
    }
}

/// Calls `run` on this thread, which leads the other threads of the pool.
pub(crate) fn with_team<R>(run: impl FnOnce() -> R) -> R {
    let members = threads();
    let before = Taken::instead_of(Role::Member);
    if members < 2 || !matches!(before.0, Role::Alone) {
        drop(before);
        return run();
    }
    let team = Arc::new(Team { members, ..Team::default() });
    let followers = || (1..members).map(|_| Arc::clone(&team)).map(|team| move || team.follow());
    let lead = || {
        let _before = before;
        ROLE.set(Role::Leader(Arc::clone(&team)));
        let _end = End(&team);
        run()
    };
    // A thread of another pool, or of none, does not wait for members that join too late.
    if let Some(pool) = POOL.with_borrow(Clone::clone) {
        followers().for_each(|follow| pool.spawn(follow));
        lead()
    } else if rayon::current_thread_index().is_none() {
        followers().for_each(rayon::spawn);
        lead()
    } else {
        rayon::in_place_scope(|scope| {
            followers().for_each(|follow| scope.spawn(move |_| follow()));
            lead()
        })
    }
}

/// Calls `task` for every index below `count` on the team that this thread leads, or on this thread if it is a member;
/// false if it is neither.
pub(super) fn share(count: usize, task: &(dyn Fn(usize) + Sync)) -> bool {
    let role = Taken::instead_of(Role::Member);
    match &role.0 {
        Role::Alone => return false,
        Role::Leader(team) => team.work(count, task),
        Role::Member => (0..count).for_each(task),
    }
    true
}

/// The role that the thread has again when this is dropped.
struct Taken(Role);

impl Taken {
    fn instead_of(role: Role) -> Self {
        Self(ROLE.replace(role))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        ROLE.set(std::mem::replace(&mut self.0, Role::Alone));
    }
}

/// Ends the run of a team when dropped.
struct End<'a>(&'a Team);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
        self.0.wake();
    }
}

type Panic = Box<dyn Any + Send>;

/// Tasks of a kernel.
struct Job<'a> {
    task: &'a (dyn Fn(usize) + Sync),
    count: usize,
    /// Number of finished tasks.
    done: AtomicUsize,
    panic: Mutex<Option<Panic>>,
}

#[derive(Default)]
struct Team {
    /// Number of threads, including the leader.
    members: usize,
    /// Number of the current job in the upper half, number of its tasks that nobody has taken in the lower.
    state: AtomicU64,
    /// The current job; valid while one of its tasks is not finished.
    job: AtomicPtr<Job<'static>>,
    is_over: AtomicBool,
    /// Number of members that sleep, or are about to.
    sleepers: AtomicUsize,
    mutex: Mutex<()>,
    condvar: Condvar,
}

impl Team {
    /// Performs a job.
    fn work(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        let Ok(tasks) = u32::try_from(count) else { return (0..count).for_each(task) };
        let job = Job { task, count, done: AtomicUsize::new(0), panic: Mutex::new(None) };
        self.job.store(std::ptr::from_ref(&job).cast_mut().cast(), Ordering::Relaxed);
        let number = (self.state.load(Ordering::Relaxed) >> 32) + 1;
        self.state.store((number << 32) | u64::from(tasks), Ordering::SeqCst);
        self.wake();
        while self.take_tasks() {}
        let mut rounds = 0;
        while job.done.load(Ordering::Acquire) < count {
            pause(&mut rounds);
        }
        if let Some(panic) = job.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
            resume_unwind(panic);
        }
    }

    /// Performs tasks until the run is over. Its leader comes here only after that.
    fn follow(&self) {
        let _before = Taken::instead_of(Role::Member);
        let mut rounds = 0;
        while !self.is_over.load(Ordering::Acquire) {
            if self.take_tasks() {
                rounds = 0;
            } else if rounds < PATIENCE + TURNS {
                pause(&mut rounds);
            } else {
                self.sleep();
                rounds = 0;
            }
        }
    }

    /// Sleeps until there is a job or the run is over. Both sides first say what they have done and then look at the other,
    /// in one order for all threads, so that no member sleeps through a job.
    fn sleep(&self) {
        let mut guard = self.mutex.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let idle = || self.state.load(Ordering::SeqCst) & u64::from(u32::MAX) == 0;
        while idle() && !self.is_over.load(Ordering::SeqCst) {
            guard = self.condvar.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    /// Wakes the members that sleep.
    fn wake(&self) {
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            drop(self.mutex.lock().unwrap_or_else(PoisonError::into_inner));
            self.condvar.notify_all();
        }
    }

    /// Performs some neighbouring tasks of the current job; false if all are taken. At first these are many, because taking
    /// tasks costs as much as a short task, and fewer towards the end, so that all members end at the same time.
    fn take_tasks(&self) -> bool {
        let state = self.state.load(Ordering::Acquire);
        let left = state & u64::from(u32::MAX);
        if left == 0 {
            return false;
        }
        let count = left.div_ceil(2 * self.members.max(1) as u64);
        let job = self.job.load(Ordering::Relaxed);
        if self.state.compare_exchange(state, state - count, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return true; // another thread took some; there may be more
        }
        // SAFETY: the exchange succeeded, so tasks of this very job were left (jobs are numbered), and `work` returns
        // only after they are finished; the pointer was stored before the state that was read.
        let job: &Job<'_> = unsafe { &*job };
        let first = job.count - left as usize;
        for index in first..first + count as usize {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (job.task)(index)))
                && let Ok(mut first) = job.panic.lock()
            {
                first.get_or_insert(panic);
            }
        }
        job.done.fetch_add(count as usize, Ordering::Release);
        true
    }
}

fn pause(rounds: &mut u32) {
    *rounds = rounds.saturating_add(1);
    if *rounds < PATIENCE { std::hint::spin_loop() } else { std::thread::yield_now() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
    }

    #[test]
    fn every_task_of_every_job_runs_once() {
        for threads in [2, 3, 5] {
            let sums: Vec<usize> = pool(threads).install(|| {
                with_team(|| {
                    let job = |count: usize| {
                        let seen: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                        assert!(share(count, &|i| {
                            seen[i].fetch_add(1, Ordering::Relaxed);
                        }));
                        assert!(seen.iter().all(|n| n.load(Ordering::Relaxed) == 1), "{count}");
                        count
                    };
                    (0..2000).map(|n| job(n % 7)).collect()
                })
            });
            assert_eq!(sums.len(), 2000);
        }
    }

    #[test]
    fn a_job_or_team_within_a_task_stays_on_its_thread() {
        let count = AtomicUsize::new(0);
        let add = |_| {
            count.fetch_add(1, Ordering::Relaxed);
        };
        pool(3).install(|| {
            with_team(|| {
                assert!(share(4, &|_| assert!(share(2, &add))));
                assert!(share(4, &|_| with_team(|| assert!(share(3, &add)))));
                with_team(|| assert!(share(5, &add)));
            });
            assert!(!share(4, &add), "the team is gone");
        });
        assert_eq!(count.into_inner(), 8 + 12 + 5);
    }

    #[test]
    fn a_thread_leads_a_pool_that_it_does_not_belong_to() {
        let own = std::thread::current().id();
        let pool = Arc::new(pool(3));
        assert_eq!(threads(), rayon::current_num_threads());
        with_pool(&pool, || {
            assert_eq!(threads(), 3);
            let ids = Mutex::new(std::collections::BTreeSet::new());
            let note = |_| {
                std::thread::sleep(std::time::Duration::from_millis(1));
                ids.lock().unwrap().insert(format!("{:?}", std::thread::current().id()));
            };
            assert!(!share(1, &note), "there is no team");
            with_team(|| {
                assert_eq!(std::thread::current().id(), own);
                assert!(share(100, &note));
            });
            assert_eq!(ids.lock().unwrap().len(), 3);
            assert!(on_pool(|| rayon::current_thread_index().is_some() && threads() == 3));
        });
        assert!(on_pool(|| rayon::current_thread_index().is_none()));
        let panics = || with_pool(&pool, || with_team(|| share(9, &|i| assert!(i != 4))));
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        assert!(on_pool(|| rayon::current_thread_index().is_none()), "also after a panic");
    }

    #[test]
    fn members_that_fell_asleep_are_woken() {
        let ids = std::sync::Mutex::new(std::collections::BTreeSet::new());
        pool(2).install(|| {
            with_team(|| {
                for _ in 0..20 {
                    std::thread::sleep(std::time::Duration::from_millis(2));
                    assert!(share(64, &|_| {
                        std::thread::sleep(std::time::Duration::from_micros(100));
                        ids.lock().unwrap().insert(format!("{:?}", std::thread::current().id()));
                    }));
                }
            });
        });
        assert_eq!(ids.into_inner().unwrap().len(), 2);
    }

    #[test]
    fn a_panic_reaches_the_leader() {
        let outcome = catch_unwind(|| {
            pool(2).install(|| with_team(|| share(100, &|i| assert!(i != 70, "seventy"))));
        });
        assert!(outcome.is_err());
    }
}
