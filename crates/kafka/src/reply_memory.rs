use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use firth_broker::{Memory, Reservation};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One reply takes at most this part of the share, but for a batch that is larger: one slow reader leaves room for others.
const REPLIES_AT_ONCE_MIN: usize = 4;
/// Replies up to this size do not wait for larger ones.
const SMALL_BYTES: usize = 64 * 1024;
/// Small replies may take this part of the share beside it, and one of them a quarter of that.
const SMALL_DIVISOR: usize = 8;

/// Memory for records on their way to consumers: of the broker's budget at most the half, so that consumers who do not
/// read their replies keep other consumers waiting, but never a producer. It is held before the records are read.
///
/// A request that waits for it holds memory itself, for its own bytes. So that requests cannot keep it from each other
/// for ever, one reply at a time may be held beyond the budget. What all replies hold is thus at most the share, or one
/// batch that is larger. Small replies have a part of their own, so that who follows the end of a log does not wait for
/// those who read all of it.
#[derive(Clone)]
pub(crate) struct ReplyMemory {
    memory: Memory,
    share: Arc<Semaphore>,
    share_bytes: usize,
    small: Arc<Semaphore>,
    overdraft: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

/// What one reply takes, until it is written.
pub(crate) struct Held {
    of: ReplyMemory,
    bytes: usize,
    share: Option<OwnedSemaphorePermit>,
    /// What a small reply has instead of the share, and then no more than that.
    small: Option<OwnedSemaphorePermit>,
    reservation: Reservation,
    /// The right to hold what the budget had no room for.
    overdraft: Option<OwnedSemaphorePermit>,
}

impl ReplyMemory {
    pub(crate) fn new(memory: &Memory) -> ReplyMemory {
        let share_bytes = (memory.bytes_max() / 2).clamp(1, Semaphore::MAX_PERMITS);
        ReplyMemory {
            memory: memory.clone(),
            share: Arc::new(Semaphore::new(share_bytes)),
            share_bytes,
            small: Arc::new(Semaphore::new(share_bytes / SMALL_DIVISOR)),
            overdraft: Arc::new(Semaphore::new(1)),
            waiting: Arc::default(),
        }
    }

    /// Whether a reply waits for memory that others hold.
    pub(crate) fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    fn is_small(&self, bytes: usize) -> bool {
        bytes <= SMALL_BYTES.min(self.share_bytes / SMALL_DIVISOR / 4)
    }

    /// Bytes of records in one reply at most, but for one batch that is larger.
    pub(crate) fn reply_bytes_max(&self) -> usize {
        self.share_bytes / REPLIES_AT_ONCE_MIN
    }

    /// Holds nothing yet.
    pub(crate) fn nothing(&self) -> Held {
        Held {
            of: self.clone(),
            bytes: 0,
            share: None,
            small: None,
            reservation: self.memory.reservation(),
            overdraft: None,
        }
    }
}

impl Held {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes `bytes` more if they are free at once.
    pub(crate) fn try_grow(&mut self, bytes: usize) -> bool {
        let Ok(permits) = u32::try_from(bytes) else {
            return false;
        };
        if self.small.is_some() {
            return false;
        }
        let Ok(permit) = self.of.share.clone().try_acquire_many_owned(permits) else {
            return false;
        };
        let grown = self.reservation.try_grow(bytes);
        if grown {
            self.bytes = self.bytes.saturating_add(bytes);
            match &mut self.share {
                Some(share) => share.merge(permit),
                None => self.share = Some(permit),
            }
        }
        grown
    }

    /// Gives back what is held and waits for `bytes`: whoever holds memory and waits for more may keep others from ever
    /// releasing theirs. For a batch that is larger than the share, the whole share is taken.
    pub(crate) async fn wait_for(&mut self, bytes: usize) {
        self.shrink_to(0);
        let counted = bytes.min(self.of.share_bytes);
        let permits = u32::try_from(counted).unwrap_or(u32::MAX);
        let _waiting = Waiting::new(&self.of.waiting);
        let share = self.of.share.clone().acquire_many_owned(permits);
        if self.of.is_small(counted) {
            let small = self.of.small.clone().acquire_many_owned(permits);
            tokio::select! {
                biased;
                permit = share => self.share = permit.ok(),
                permit = small => self.small = permit.ok(),
            }
        } else {
            self.share = share.await.ok();
        }
        tokio::select! {
            biased;
            () = self.reservation.grow(counted) => {}
            permit = self.of.overdraft.clone().acquire_owned() => self.overdraft = permit.ok(),
        }
        self.bytes = bytes;
    }

    /// Releases all but `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        if bytes >= self.bytes {
            return;
        }
        self.bytes = bytes;
        self.reservation.shrink_to(bytes);
        if self.reservation.bytes() >= bytes {
            self.overdraft = None;
        }
        if let Some(share) = &mut self.share {
            let excess = share.num_permits().saturating_sub(bytes);
            drop(share.split(excess));
        }
        if let Some(small) = &mut self.small {
            let excess = small.num_permits().saturating_sub(bytes);
            drop(small.split(excess));
        }
        if bytes == 0 {
            self.small = None;
        }
    }
}

/// Somebody waits, for as long as it lives.
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn new(waiting: &Arc<AtomicUsize>) -> Waiting {
        waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(waiting.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::task::{Context, Waker};

    use firth_broker::{Broker, Config};

    use super::*;

    async fn broker(memory_bytes: usize) -> Broker {
        let config = Config {
            memory_bytes,
            ..Default::default()
        };
        Broker::open(crate::tests::engine(), config, crate::tests::environment())
            .await
            .unwrap()
    }

    fn is_pending(waiting: Pin<&mut impl Future<Output = ()>>) -> bool {
        waiting.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[tokio::test]
    async fn replies_take_half_of_the_budget_and_wait_for_each_other() {
        let broker = broker(1000).await;
        let replies = ReplyMemory::new(broker.memory());
        assert_eq!(replies.reply_bytes_max(), 125);
        let (mut first, mut second) = (replies.nothing(), replies.nothing());
        assert!(first.try_grow(300) && first.try_grow(200));
        assert!(!first.try_grow(1), "the other half is the producers'");
        assert_eq!((first.bytes(), broker.memory().bytes_reserved()), (500, 500));
        {
            let mut waiting = pin!(second.wait_for(100));
            assert!(is_pending(waiting.as_mut()));
            first.shrink_to(400);
            waiting.await;
        }
        assert_eq!((second.bytes(), broker.memory().bytes_reserved()), (100, 500));
        second.wait_for(50).await;
        assert!(second.try_grow(50) && !second.try_grow(1));
        drop((first, second));
        assert_eq!(broker.memory().bytes_reserved(), 0);
    }

    #[tokio::test]
    async fn a_batch_larger_than_the_share_takes_its_turn_and_leaves_producers_their_half() {
        let broker = broker(1000).await;
        let replies = ReplyMemory::new(broker.memory());
        let (mut first, mut large) = (replies.nothing(), replies.nothing());
        assert!(first.try_grow(1) && !large.try_grow(5000));
        {
            let mut waiting = pin!(large.wait_for(5000));
            assert!(is_pending(waiting.as_mut()));
            first.shrink_to(0);
            waiting.await;
        }
        assert_eq!((large.bytes(), broker.memory().bytes_reserved()), (5000, 500));
        assert!(!first.try_grow(1));
        large.shrink_to(200);
        assert!(first.try_grow(300) && !first.try_grow(1));
        drop((first, large));
        assert_eq!(broker.memory().bytes_reserved(), 0);
    }

    #[tokio::test]
    async fn a_small_reply_does_not_wait_for_large_ones() {
        let broker = broker(1 << 20).await;
        let replies = ReplyMemory::new(broker.memory());
        let mut large = replies.nothing();
        assert!(large.try_grow(1 << 19) && !replies.is_wanted());
        let mut waits = replies.nothing();
        let (mut first, mut second) = (replies.nothing(), replies.nothing());
        {
            let mut waiting = pin!(waits.wait_for(1 << 16));
            assert!(is_pending(waiting.as_mut()) && replies.is_wanted());
            first.wait_for(1 << 14).await;
            assert!(!first.try_grow(1), "it stays small");
            second.wait_for(1 << 14).await;
            drop(large);
            waiting.await;
        }
        assert!(!replies.is_wanted());
        drop((first, second, waits));
        assert_eq!(broker.memory().bytes_reserved(), 0);
        assert!(
            replies.nothing().try_grow(1 << 19),
            "nothing of the share is lost"
        );
    }

    #[tokio::test]
    async fn requests_that_wait_for_their_replies_cannot_keep_memory_from_each_other() {
        let broker = broker(1000).await;
        let replies = ReplyMemory::new(broker.memory());
        // The bytes of the requests themselves.
        let requests = broker.memory().reserve(1000).await;
        let (mut first, mut second) = (replies.nothing(), replies.nothing());
        first.wait_for(100).await;
        assert_eq!((first.bytes(), broker.memory().bytes_reserved()), (100, 1000));
        {
            let mut waiting = pin!(second.wait_for(100));
            assert!(is_pending(waiting.as_mut()), "one at a time");
            first.shrink_to(50);
            assert!(is_pending(waiting.as_mut()), "it is still beyond the budget");
            drop(first);
            waiting.await;
        }
        drop((second, requests));
        assert_eq!(broker.memory().bytes_reserved(), 0);
        assert!(replies.nothing().try_grow(500), "nothing of the share is lost");
    }
}
