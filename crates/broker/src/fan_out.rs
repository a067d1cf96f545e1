//! Logs of messages that have several queues as their targets: one for each exchange that has published such a message.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use firth_log::{AppendError, Change, Frame, Kind, LogId};

use crate::queue::record;
use crate::queues::{Queues, lock};

/// Those of all exchanges. They begin anew with each start of the broker; those of earlier lives go when nothing refers to them.
#[derive(Debug, Default)]
pub(crate) struct FanOuts {
    by_virtual_host: Mutex<HashMap<Arc<str>, ByExchange>>,
    logs: Mutex<HashMap<LogId, Usage>>,
}

/// What is known of a fan-out log.
#[derive(Clone, Copy, Debug)]
struct Usage {
    /// An exchange publishes to it, and not in an earlier life.
    is_current: bool,
    /// Of its messages so many had been settled when it was rewritten without them.
    reclaimed: u64,
}

type ByExchange = HashMap<Box<[u8]>, Arc<FanOut>>;

/// The log of one exchange.
#[derive(Debug)]
pub(crate) struct FanOut {
    order: usize,
    head: Mutex<Option<Head>>,
}

/// Where the next message of a fan-out log goes. Who holds its lock is the only one who appends to it.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) log: LogId,
    pub(crate) next: i64,
}

impl FanOuts {
    /// A log that an earlier life had.
    pub(crate) fn note_earlier(&self, log: LogId) {
        self.note(log, false);
    }

    fn note(&self, log: LogId, is_current: bool) {
        let usage = Usage {
            is_current,
            reclaimed: 0,
        };
        lock(&self.logs).insert(log, usage);
    }

    pub(crate) fn forget(&self, log: LogId) {
        lock(&self.logs).remove(&log);
    }

    pub(crate) fn logs(&self) -> Vec<LogId> {
        lock(&self.logs).keys().copied().collect()
    }

    pub(crate) fn is_current(&self, log: LogId) -> bool {
        lock(&self.logs).get(&log).is_some_and(|usage| usage.is_current)
    }

    /// Returns when everybody who was publishing has told the lanes what was appended.
    pub(crate) fn wait_for_publishers(&self) {
        let all: Vec<_> = lock(&self.by_virtual_host)
            .values()
            .flat_map(|of_host| of_host.values().cloned())
            .collect();
        all.iter().for_each(|fan_out| drop(lock(&fan_out.head)));
    }

    /// Whether a log is to be rewritten in which so many messages are settled and so many kept. It is then said to be.
    pub(crate) fn is_worth_rewriting(
        &self,
        log: LogId,
        settled: u64,
        kept: u64,
        gain_min: u64,
        bytes: impl FnOnce() -> u64,
    ) -> bool {
        let mut logs = lock(&self.logs);
        let Some(usage) = logs.get_mut(&log) else {
            return false;
        };
        usage.reclaimed = usage.reclaimed.min(settled);
        let new = settled - usage.reclaimed;
        if new < kept || new == 0 {
            return false;
        }
        let gain = u128::from(bytes()) * u128::from(new) / u128::from(new + kept);
        if gain < u128::from(gain_min) {
            return false;
        }
        usage.reclaimed = settled;
        true
    }

    pub(crate) fn of(&self, virtual_host: &Arc<str>, exchange: &[u8]) -> Arc<FanOut> {
        let mut by_virtual_host = lock(&self.by_virtual_host);
        let order = by_virtual_host.values().map(HashMap::len).sum();
        let of_host = by_virtual_host.entry(virtual_host.clone()).or_default();
        if let Some(fan_out) = of_host.get(exchange) {
            return fan_out.clone();
        }
        let fan_out = Arc::new(FanOut {
            order,
            head: Mutex::default(),
        });
        of_host.insert(exchange.into(), fan_out.clone());
        fan_out
    }
}

impl FanOut {
    /// Who locks several locks them in this order.
    pub(crate) fn order(&self) -> usize {
        self.order
    }

    /// The first one to lock it creates the log.
    pub(crate) fn lock(&self, queues: &Queues) -> Result<MutexGuard<'_, Option<Head>>, AppendError> {
        let mut head = lock(&self.head);
        if head.is_none() {
            let log = queues.engine.allocate(1);
            let create = Change::Create {
                log,
                kind: Kind::Durable,
            };
            queues.append(Frame::changes(vec![create]), &[record::of_fan_out(log, true)])?;
            queues.fan_outs.note(log, true);
            *head = Some(Head { log, next: 0 });
        }
        Ok(head)
    }
}
