//! Runs of the engine that repeat: which thread goes on, how long the disk takes, and what time it is follow from a seed.
//!
//! ```text
//! run(seed, main) ─> thread 0 ─ spawn ─> thread 1 ─> ...        each a thread of the system, one of which has the baton
//!                        └── lock, wait, notify, atomics, file ──> scheduler ──> who has it next, by the seed
//! ```
//!
//! - Time is virtual. It moves on when nobody can run, to the first who waits for a time; now and then, as on a machine
//!   that stalls, before that.
//! - When nobody can run and nobody waits for a time, the run has failed: [`Failure`] says who waits for what.
//! - On threads of no simulation the engine's primitives are those of the standard library. All threads that touch an
//!   engine are of the same simulation, or of none.
//!
//! Absent on purpose: reorderings of memory accesses, which the processor's own would be; threads of a runtime.

pub(crate) mod channel;
pub(crate) mod primitives;
mod scheduler;
#[cfg(test)]
mod tests;
mod thread;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use scheduler::{On, Scheduler, ThreadId, current};
pub use thread::{JoinHandle, spawn};

use crate::sync::threads;

/// Why a run did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("nobody can go on:\n{0}")]
    Deadlock(String),
    #[error("it does not end:\n{0}")]
    Endless(String),
    #[error("threads are left:\n{0}")]
    Left(String),
    #[error("{thread} panicked: {message}")]
    Panic { thread: String, message: String },
}

/// Runs `main` and all threads that it spawns as the seed says. What a run that failed had spawned stays where it is until
/// the process ends.
pub fn run<T: Send + 'static>(
    seed: u64,
    steps_max: u64,
    main: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    assert!(current().is_none(), "a simulation has no simulation within");
    let scheduler = Arc::new(Scheduler::new(seed, steps_max));
    let main_thread = thread::start(&scheduler, "main".to_owned(), || {
        catch_unwind(AssertUnwindSafe(main)).unwrap_or_else(|panic| fail(message(&*panic)))
    });
    scheduler.begin();
    scheduler.wait_for_end()?;
    Ok(main_thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

/// Virtual time since the run began; `None` on threads of no simulation.
pub fn now() -> Option<Duration> {
    current().map(|thread| thread.scheduler.now())
}

/// A number that follows from the seed; `None` on threads of no simulation.
pub fn draw() -> Option<u64> {
    current().map(|thread| thread.scheduler.draw())
}

/// Waits for virtual time. Without a simulation there is nothing to wait for.
#[track_caller]
pub fn pause(duration: Duration) {
    if let Some(thread) = current() {
        thread.wait(On::Time, Some(duration));
    }
}

/// The disk works, at least so long: others go on meanwhile.
#[track_caller]
pub(crate) fn in_flight(latency: Option<Duration>) {
    if let Some(thread) = current() {
        match latency.or_else(|| thread.scheduler.draw_latency()) {
            Some(latency) => drop(thread.wait(On::Time, Some(latency))),
            None => thread.yield_now(),
        }
    }
}

/// Others may go on here.
#[track_caller]
pub(crate) fn yield_now() {
    if let Some(thread) = current() {
        thread.yield_now();
    }
}

/// Waits on a thread that has no runtime.
#[track_caller]
pub fn block_on<F: Future>(future: F) -> F::Output {
    let Some(thread) = current() else {
        return threads::block_on(future);
    };
    let woken = Arc::new(Woken {
        scheduler: thread.scheduler.clone(),
        thread: thread.id,
        woken: AtomicBool::new(false),
    });
    let waker = Waker::from(woken.clone());
    let mut future = pin!(future);
    loop {
        thread.yield_now();
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => return result,
            Poll::Pending => {
                while !woken.woken.swap(false, Ordering::Relaxed) {
                    thread.wait(On::Waker, None);
                }
            }
        }
    }
}

struct Woken {
    scheduler: Arc<Scheduler>,
    thread: ThreadId,
    woken: AtomicBool,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
        self.scheduler.wake_waker(self.thread);
    }
}

/// Runs what blocks: in a simulation on the thread that asks for it, which blocks alone.
pub(crate) async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    // The thread's handle is not to live while this waits.
    if current().is_some() {
        return work();
    }
    threads::run_blocking(work).await
}

/// Ends the simulation that this thread is of, if it is of one, where another would end the process.
pub(crate) fn fail_if_running() {
    if current().is_some() {
        fail("it panicked while it changed the engine's state".to_owned())
    }
}

fn fail(message: String) -> ! {
    let thread = current().expect("only threads of a simulation fail it");
    thread.fail(message)
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}
