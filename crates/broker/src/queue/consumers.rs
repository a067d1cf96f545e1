//! Who of a queue's consumers gets the next message: the highest priority with credit, and within it one after the other.

use std::sync::Arc;

use smallvec::SmallVec;

use super::mailbox::{Credit, Mailbox, take_credit};

/// So many messages one consumer gets before it is the next one's turn, at most.
const TURN_MAX: u64 = 64;
/// Turns are longer than one message where each of the consumers has at least so many.
const TURNS_EACH: u64 = 16;

/// A consumer as it is registered with a queue.
#[derive(Clone, Debug)]
pub struct Consumer {
    /// What the owner of the mailbox calls it.
    pub key: u64,
    pub mailbox: Arc<Mailbox>,
    /// Consumers of a lower priority get what those of a higher one have no credit for.
    pub priority: i32,
    /// What each message takes one of.
    pub credits: SmallVec<[Arc<Credit>; 3]>,
    /// Nobody else may consume.
    pub exclusive: bool,
}

/// By priority, highest first, then in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Consumers {
    list: Vec<Consumer>,
    /// Whose turn it is, counted over all turns.
    turn: usize,
    /// Of a queue with a single active consumer, which one that is.
    active: Option<Identity>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    mailbox: usize,
    key: u64,
}

impl Identity {
    fn new(mailbox: &Arc<Mailbox>, key: u64) -> Identity {
        Identity {
            mailbox: Arc::as_ptr(mailbox).addr(),
            key,
        }
    }
}

impl Consumers {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn has_exclusive(&self) -> bool {
        self.list.iter().any(|consumer| consumer.exclusive)
    }

    pub(super) fn add(&mut self, consumer: Consumer) {
        let at = self
            .list
            .partition_point(|other| other.priority >= consumer.priority);
        // Who comes first is the active one, whatever the priority of who comes later.
        let identity = Identity::new(&consumer.mailbox, consumer.key);
        self.active.get_or_insert(identity);
        self.list.insert(at, consumer);
    }

    /// False if there is no such consumer.
    pub(super) fn remove(&mut self, mailbox: &Arc<Mailbox>, key: u64) -> bool {
        let identity = Identity::new(mailbox, key);
        let before = self.list.len();
        self.list
            .retain(|consumer| Identity::new(&consumer.mailbox, consumer.key) != identity);
        if self.active == Some(identity) {
            let next = self.list.first();
            self.active = next.map(|next| Identity::new(&next.mailbox, next.key));
        }
        self.list.len() < before
    }

    /// All of them, who are then gone.
    pub(super) fn take_all(&mut self) -> Vec<Consumer> {
        self.active = None;
        std::mem::take(&mut self.list)
    }

    /// Whether this is the one of a queue with a single active consumer.
    pub(super) fn is_active(&self, mailbox: &Arc<Mailbox>, key: u64) -> bool {
        self.active == Some(Identity::new(mailbox, key))
    }

    /// Gives what is ready to those who have credit for it: `give` hands at most so many to a consumer and says how many that were.
    pub(super) fn serve(
        &mut self,
        single_active: bool,
        mut ready: u64,
        mut give: impl FnMut(&Consumer, u64) -> u64,
    ) {
        if single_active {
            self.serve_active(ready, give);
            return;
        }
        let mut first = 0;
        while ready > 0
            && let Some(priority) = self.list.get(first).map(|consumer| consumer.priority)
        {
            let behind = self.list.partition_point(|other| other.priority >= priority);
            let equals = self.list.get(first..behind).unwrap_or_default();
            ready = serve_equals(equals, &mut self.turn, ready, &mut give);
            first = behind;
        }
    }

    /// The active consumer stays the active one until it leaves.
    fn serve_active(&self, ready: u64, mut give: impl FnMut(&Consumer, u64) -> u64) {
        let is_active =
            |consumer: &&Consumer| self.active == Some(Identity::new(&consumer.mailbox, consumer.key));
        if let Some(consumer) = self.list.iter().find(is_active) {
            give_with_credit(consumer, ready, &mut give);
        }
    }
}

/// One after the other until nothing is ready or nobody has credit. Returns what is left.
fn serve_equals(
    consumers: &[Consumer],
    turn: &mut usize,
    mut ready: u64,
    give: &mut impl FnMut(&Consumer, u64) -> u64,
) -> u64 {
    let each = ready / (consumers.len() as u64 * TURNS_EACH).max(1);
    let length = match consumers {
        [_] => u64::MAX,
        _ => each.clamp(1, TURN_MAX),
    };
    let mut without = 0;
    while ready > 0 && without < consumers.len() {
        let Some(consumer) = consumers.get(*turn % consumers.len()) else {
            break;
        };
        let given = give_with_credit(consumer, ready.min(length), give);
        ready -= given;
        without = if given == 0 { without + 1 } else { 0 };
        *turn = turn.wrapping_add(1);
    }
    ready
}

fn give_with_credit(consumer: &Consumer, wanted: u64, give: &mut impl FnMut(&Consumer, u64) -> u64) -> u64 {
    let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
    let granted = take_credit(&consumer.credits, wanted);
    if granted == 0 {
        return 0;
    }
    let given = give(consumer, granted.unsigned_abs());
    let excess = granted.saturating_sub_unsigned(given);
    if excess > 0 {
        consumer.credits.iter().for_each(|credit| credit.give(excess));
    }
    given
}
