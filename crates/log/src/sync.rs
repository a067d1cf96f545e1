//! The primitives through which the engine's threads meet: all of the engine takes them from here.
//!
//! They are those of the standard library. With the feature `simulation` they are wrapped: on a thread of a running
//! [`simulation`](crate::simulation) its scheduler decides who goes on, on any other thread they do what they always do.
//!
//! A lock within which nothing waits, and whose order is of no interest, may stay one of the standard library.

#[cfg(feature = "simulation")]
pub(crate) use crate::simulation::{
    JoinHandle, block_on,
    channel::{Receiver, Sender, channel},
    in_flight,
    primitives::{
        AtomicU8, AtomicU64, Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
    },
    run_blocking, spawn,
};

#[cfg(not(feature = "simulation"))]
pub(crate) use std::{
    sync::atomic::{AtomicU8, AtomicU64},
    sync::mpsc::{Receiver, Sender, channel},
    sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard},
    thread::JoinHandle,
};

#[cfg(not(feature = "simulation"))]
pub(crate) use threads::{block_on, in_flight, run_blocking, spawn};

pub(crate) mod threads {
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Wake, Waker};

    /// Starts a thread.
    pub(crate) fn spawn<T: Send + 'static>(
        name: String,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> std::thread::JoinHandle<T> {
        std::thread::Builder::new()
            .name(name)
            .spawn(run)
            .expect("the system has room for a handful of threads")
    }

    /// A recorded call to the disk begins to take its time.
    #[cfg(not(feature = "simulation"))]
    pub(crate) fn in_flight(_: Option<std::time::Duration>) {}

    /// Waits on a thread that has no runtime.
    pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
        struct Unpark(std::thread::Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut future = pin!(future);
        loop {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(result) => return result,
                Poll::Pending => std::thread::park(),
            }
        }
    }

    /// Runs what blocks on a thread for that.
    pub(crate) async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }
}
