use std::future::Future;
use std::sync::Mutex;

use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The broker's background tasks, each with a name, and what stops them.
#[derive(Debug)]
pub(crate) struct Tasks {
    stop: watch::Sender<bool>,
    running: Mutex<Vec<(&'static str, JoinHandle<()>)>>,
}

impl Tasks {
    pub(crate) fn new() -> Tasks {
        Tasks {
            stop: watch::Sender::new(false),
            running: Mutex::default(),
        }
    }

    /// Becomes true when the tasks are to end.
    pub(crate) fn stop(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    pub(crate) fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let handle = tokio::spawn(task);
        self.list().push((name, handle));
    }

    /// Stops all tasks and waits for their ends.
    pub(crate) async fn shutdown(&self) {
        self.stop.send_replace(true);
        let running = std::mem::take(&mut *self.list());
        for (name, handle) in running {
            if let Err(error) = handle.await {
                tracing::error!(task = name, %error, "a background task did not end well");
            }
        }
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Vec<(&'static str, JoinHandle<()>)>> {
        // The list is whole whenever the lock is free: a push and a take either happen or do not.
        self.running
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
