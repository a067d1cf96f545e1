//! A channel whose receiver waits as a simulation says.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvError, SendError, TryRecvError};

use super::scheduler::{On, current};

pub(crate) struct Sender<T> {
    /// Gone when it is dropped, before the receiver looks again.
    sender: Option<mpsc::Sender<T>>,
    identity: Arc<Identity>,
}

pub(crate) struct Receiver<T> {
    receiver: mpsc::Receiver<T>,
    identity: Arc<Identity>,
}

/// A channel is known by where this lies, so it takes a place.
struct Identity(#[expect(dead_code, reason = "nothing but its place counts")] u8);

impl Identity {
    fn on(self: &Arc<Self>) -> On {
        On::Channel(Arc::as_ptr(self).addr())
    }
}

pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = mpsc::channel();
    let identity = Arc::new(Identity(0));
    let sender = Sender {
        sender: Some(sender),
        identity: identity.clone(),
    };
    (sender, Receiver { receiver, identity })
}

impl<T> Sender<T> {
    #[track_caller]
    pub(crate) fn send(&self, value: T) -> Result<(), SendError<T>> {
        super::yield_now();
        let sender = self.sender.as_ref().expect("it is there until it is dropped");
        let sent = sender.send(value);
        self.wake();
        sent
    }

    fn wake(&self) {
        if let Some(thread) = current() {
            thread.scheduler.wake(self.identity.on());
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        Sender {
            sender: self.sender.clone(),
            identity: self.identity.clone(),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.sender = None;
        self.wake();
    }
}

impl<T> Receiver<T> {
    #[track_caller]
    pub(crate) fn recv(&self) -> Result<T, RecvError> {
        let Some(thread) = current() else {
            return self.receiver.recv();
        };
        thread.yield_now();
        loop {
            match self.receiver.try_recv() {
                Ok(value) => return Ok(value),
                Err(TryRecvError::Disconnected) => return Err(RecvError),
                Err(TryRecvError::Empty) => drop(thread.wait(self.identity.on(), None)),
            }
        }
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter(self)
    }
}

pub(crate) struct IntoIter<T>(Receiver<T>);

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.0.recv().ok()
    }
}
