//! Threads of a simulation, or of the system where none runs.

use std::sync::Arc;

use super::scheduler::{On, Scheduler, ThreadId, current};
use crate::sync::threads;

pub struct JoinHandle<T = ()> {
    thread: std::thread::JoinHandle<T>,
    simulated: Option<(Arc<Scheduler>, ThreadId)>,
}

/// Starts a thread, of the simulation that this one is of.
#[track_caller]
pub fn spawn<T: Send + 'static>(name: String, run: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    match current() {
        Some(thread) => {
            let handle = start(&thread.scheduler, name, run);
            thread.yield_now();
            handle
        }
        None => JoinHandle {
            thread: threads::spawn(name, run),
            simulated: None,
        },
    }
}

/// Adds a thread to a simulation.
pub(super) fn start<T: Send + 'static>(
    scheduler: &Arc<Scheduler>,
    name: String,
    run: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    /// Even where the thread panics, another has the baton next.
    struct Leave(Arc<Scheduler>, ThreadId);
    impl Drop for Leave {
        fn drop(&mut self) {
            self.0.leave(self.1);
        }
    }
    let id = scheduler.add(name.clone());
    let leave = Leave(scheduler.clone(), id);
    let thread = threads::spawn(name, move || {
        let leave = leave;
        leave.0.enter(leave.1);
        run()
    });
    JoinHandle {
        thread,
        simulated: Some((scheduler.clone(), id)),
    }
}

impl<T> JoinHandle<T> {
    #[track_caller]
    pub fn join(self) -> std::thread::Result<T> {
        if let (Some((scheduler, id)), Some(thread)) = (&self.simulated, current()) {
            thread.yield_now();
            while !scheduler.has_ended(*id) {
                thread.wait(On::End(*id), None);
            }
        }
        self.thread.join()
    }
}
