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
            *head = Some(Head { log, next: 0 });
        }
        Ok(head)
    }
}
