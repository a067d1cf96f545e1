use std::sync::Arc;

use firth_broker::{Memory, Reservation};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory for records on their way to consumers: of the broker's budget at most the half, so that consumers who do not
/// read their replies keep other consumers waiting, but never a producer.
#[derive(Clone)]
pub(crate) struct ReplyMemory {
    memory: Memory,
    share: Arc<Semaphore>,
    share_bytes: usize,
}

/// What one reply takes, until it is written.
pub(crate) struct Held {
    of: ReplyMemory,
    share: Option<OwnedSemaphorePermit>,
    reservation: Reservation,
}

impl ReplyMemory {
    pub(crate) fn new(memory: &Memory) -> ReplyMemory {
        let share_bytes = (memory.bytes_max() / 2).clamp(1, Semaphore::MAX_PERMITS);
        ReplyMemory {
            memory: memory.clone(),
            share: Arc::new(Semaphore::new(share_bytes)),
            share_bytes,
        }
    }

    /// Holds nothing yet.
    pub(crate) fn nothing(&self) -> Held {
        Held {
            reservation: self.memory.reservation(),
            of: self.clone(),
            share: None,
        }
    }
}

impl Held {
    pub(crate) fn bytes(&self) -> usize {
        self.reservation.bytes()
    }

    /// Takes `bytes` more if they are free at once.
    pub(crate) fn try_grow(&mut self, bytes: usize) -> bool {
        let Ok(permit) = self
            .of
            .share
            .clone()
            .try_acquire_many_owned(self.of.permits(bytes))
        else {
            return false;
        };
        let grown = self.reservation.try_grow(bytes);
        if grown {
            self.keep(permit);
        }
        grown
    }

    /// Waits for the first `bytes`. More than the whole share is taken as the whole share: one batch may be as large.
    pub(crate) async fn grow(&mut self, bytes: usize) {
        let permits = self.of.permits(bytes);
        if let Ok(permit) = self.of.share.clone().acquire_many_owned(permits).await {
            self.keep(permit);
        }
        self.reservation.grow(bytes).await;
    }

    fn keep(&mut self, permit: OwnedSemaphorePermit) {
        match &mut self.share {
            Some(share) => share.merge(permit),
            None => self.share = Some(permit),
        }
    }

    /// Releases all but `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        self.reservation.shrink_to(bytes);
        if let Some(share) = &mut self.share {
            let excess = share.num_permits().saturating_sub(bytes);
            drop(share.split(excess));
        }
    }
}

impl ReplyMemory {
    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.min(self.share_bytes)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[tokio::test]
    async fn replies_take_half_of_the_budget_and_a_larger_batch_takes_its_turn() {
        let environment = crate::tests::environment();
        let config = firth_broker::Config {
            memory_bytes: 1000,
            ..Default::default()
        };
        let broker = firth_broker::Broker::open(crate::tests::engine(), config, environment)
            .await
            .unwrap();
        let replies = ReplyMemory::new(broker.memory());
        let mut first = replies.nothing();
        assert!(first.try_grow(300) && first.try_grow(200));
        assert!(!first.try_grow(1), "the other half is the producers'");
        assert_eq!((first.bytes(), broker.memory().bytes_reserved()), (500, 500));
        let mut large = replies.nothing();
        {
            let mut waiting = pin!(large.grow(800));
            assert!(
                waiting
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()))
                    .is_pending()
            );
            first.shrink_to(0);
            waiting.await;
        }
        assert_eq!((large.bytes(), broker.memory().bytes_reserved()), (800, 800));
        assert!(!first.try_grow(1));
        drop(large);
        assert_eq!(broker.memory().bytes_reserved(), 0);
        assert!(first.try_grow(500));
    }
}
