use std::sync::Arc;

use firth_broker::Targets;

use super::{Publish, Run};

/// What a channel has published and acknowledged since the last commit.
#[derive(Default)]
pub(crate) struct Transaction {
    pub(crate) published: Vec<Buffered>,
    pub(crate) settled: Vec<Settled>,
    bytes: usize,
}

pub(crate) struct Buffered {
    pub(crate) publish: Publish,
    pub(crate) targets: Arc<Targets>,
}

pub(crate) struct Settled {
    pub(crate) tag: u64,
    pub(crate) run: Run,
    pub(crate) settlement: Settlement,
}

/// What becomes of messages that were delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settlement {
    Acknowledge,
    Requeue,
    /// Dead-lettered, where the queue says so.
    Reject,
}

impl Transaction {
    /// Bytes of messages that are held until the commit.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn publish(&mut self, publish: Publish, targets: Arc<Targets>) {
        let bytes = publish.body.len().saturating_add(publish.properties.len());
        self.bytes = self
            .bytes
            .saturating_add(bytes)
            .saturating_add(size_of::<Buffered>());
        self.published.push(Buffered { publish, targets });
    }

    pub(crate) fn settle(&mut self, runs: Vec<(u64, Run)>, settlement: Settlement) {
        self.settled.extend(
            runs.into_iter()
                .map(|(tag, run)| Settled { tag, run, settlement }),
        );
    }
}
