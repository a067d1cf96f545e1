//! One budget of bytes for everything that requests make the broker hold.
//!
//! A connection that reads a large frame holds what has arrived and waits for room for the rest. If all of them did
//! so at once, nobody would ever finish. Therefore one reservation at a time may grow beyond the budget: its owner
//! finishes, releases everything, and the next one in need goes on. What is held is thus at most the budget and one
//! frame. A client that stops in the middle of a frame must be cut off by its connection's timeout.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// The largest step of one reservation; larger ones are taken in steps.
const STEP_BYTES_MAX: usize = 1 << 30;
/// As much of one batch is opened, however much memory there is.
const OPENED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A handle to the budget; clones share it.
#[derive(Clone, Debug)]
pub struct Memory {
    budget: Arc<Semaphore>,
    overdraft: Arc<Semaphore>,
    searching: Arc<Semaphore>,
    bytes: usize,
}

/// Bytes taken from the budget until it is dropped.
#[derive(Debug)]
pub struct Reservation {
    memory: Memory,
    permit: Option<OwnedSemaphorePermit>,
    /// Bytes beyond the budget, which only the holder of the overdraft has.
    beyond: usize,
    overdraft: Option<OwnedSemaphorePermit>,
}

impl Memory {
    pub(crate) fn new(bytes: usize) -> Memory {
        let bytes = bytes.clamp(1, Semaphore::MAX_PERMITS);
        Memory {
            budget: Arc::new(Semaphore::new(bytes)),
            overdraft: Arc::new(Semaphore::new(1)),
            searching: Arc::new(Semaphore::new(1)),
            bytes,
        }
    }

    /// Waits for its turn to look into a batch, which takes memory beyond the budget: at most for the batch, and for
    /// [`Memory::opened_bytes_max`] of its records.
    pub(crate) async fn search(&self) -> SemaphorePermit<'_> {
        let turn = self.searching.acquire().await;
        turn.expect("the semaphore is never closed")
    }

    /// Bytes that one batch may decompress to.
    pub(crate) fn opened_bytes_max(&self) -> usize {
        OPENED_BYTES_MAX.min(self.bytes)
    }

    /// The whole budget, in bytes.
    pub fn bytes_max(&self) -> usize {
        self.bytes
    }

    /// Bytes of the budget that are taken now, for metrics.
    pub fn bytes_reserved(&self) -> usize {
        self.bytes.saturating_sub(self.budget.available_permits())
    }

    /// Whether somebody waits: what is free goes to the first who does, so that nothing is.
    pub fn is_wanted(&self) -> bool {
        self.budget.available_permits() == 0
    }

    /// Holds nothing yet.
    pub fn reservation(&self) -> Reservation {
        Reservation {
            memory: self.clone(),
            permit: None,
            beyond: 0,
            overdraft: None,
        }
    }

    /// Waits for `bytes`, in the order of the requests.
    pub async fn reserve(&self, bytes: usize) -> Reservation {
        let mut reservation = self.reservation();
        reservation.grow(bytes).await;
        reservation
    }
}

impl Reservation {
    /// Bytes that are held.
    pub fn bytes(&self) -> usize {
        self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits) + self.beyond
    }

    /// Takes `bytes` more if they are free at once.
    pub fn try_grow(&mut self, bytes: usize) -> bool {
        if self.overdraft.is_some() {
            self.beyond += bytes;
            return true;
        }
        let Ok(step) = u32::try_from(bytes) else {
            return false;
        };
        match self.memory.budget.clone().try_acquire_many_owned(step) {
            Ok(permit) => {
                self.keep(permit);
                true
            }
            Err(_) => false,
        }
    }

    /// Waits until `bytes` more can be taken. Dropping the future takes nothing but what it has taken so far.
    pub async fn grow(&mut self, bytes: usize) {
        let mut missing = bytes;
        while missing > 0 {
            if self.overdraft.is_some() {
                self.beyond += missing;
                return;
            }
            let step = missing.min(STEP_BYTES_MAX).min(self.memory.bytes);
            self.grow_step(step).await;
            if self.overdraft.is_none() {
                missing -= step;
            }
        }
    }

    /// Takes `step` bytes, or else the overdraft.
    async fn grow_step(&mut self, step: usize) {
        let permits = u32::try_from(step).expect("a step is at most 2^30 bytes");
        let budget = self.memory.budget.clone().acquire_many_owned(permits);
        if self.bytes() == 0 {
            // Who holds nothing keeps nobody waiting, and needs no exception.
            self.keep(budget.await.expect("the budget is never closed"));
            return;
        }
        let overdraft = self.memory.overdraft.clone().acquire_owned();
        tokio::select! {
            biased;
            permit = budget => self.keep(permit.expect("the budget is never closed")),
            permit = overdraft => self.overdraft = Some(permit.expect("the overdraft is never closed")),
        }
    }

    fn keep(&mut self, permit: OwnedSemaphorePermit) {
        match &mut self.permit {
            Some(held) => held.merge(permit),
            None => self.permit = Some(permit),
        }
    }

    /// Releases all but `bytes`, as after a frame that took less than was reserved.
    pub fn shrink_to(&mut self, bytes: usize) {
        let mut excess = self.bytes().saturating_sub(bytes);
        let beyond = excess.min(self.beyond);
        self.beyond -= beyond;
        excess -= beyond;
        if self.beyond == 0 {
            self.overdraft = None;
        }
        if let Some(held) = &mut self.permit {
            drop(held.split(excess));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn a_request_waits_for_bytes_that_another_releases() {
        let memory = Memory::new(100);
        let first = memory.reserve(70).await;
        let mut waiting = pin!(memory.reserve(40));
        assert!(poll(waiting.as_mut()).is_pending());
        assert_eq!(
            memory.bytes_reserved(),
            100,
            "what is free is set aside for the one who waits"
        );
        drop(first);
        let second = waiting.await;
        assert_eq!((second.bytes(), memory.bytes_reserved()), (40, 40));
        drop(second);
        assert_eq!(memory.bytes_reserved(), 0);
    }

    #[tokio::test]
    async fn two_growing_frames_cannot_block_each_other() {
        let memory = Memory::new(100);
        let (mut first, mut second) = (memory.reserve(50).await, memory.reserve(50).await);
        first.grow(50).await;
        assert_eq!(first.bytes(), 100);
        {
            let mut grow = pin!(second.grow(50));
            assert!(
                poll(grow.as_mut()).is_pending(),
                "the exception is for one at a time"
            );
            drop(first);
            grow.await;
        }
        assert_eq!((second.bytes(), memory.bytes_reserved()), (100, 100));
    }

    #[tokio::test]
    async fn more_than_the_whole_budget_can_be_held_by_one() {
        let memory = Memory::new(100);
        let large = memory.reserve(250).await;
        assert_eq!(large.bytes(), 250);
        drop(large);
        assert_eq!(memory.reserve(100).await.bytes(), 100);
    }

    #[tokio::test]
    async fn shrinking_gives_back_the_exception_first() {
        let memory = Memory::new(100);
        let mut held = memory.reserve(60).await;
        held.grow(60).await;
        held.shrink_to(10);
        assert_eq!((held.bytes(), memory.bytes_reserved()), (10, 10));
        assert!(held.try_grow(90));
        assert!(!held.try_grow(1));
    }
}
