use std::sync::Arc;

use firth_broker::Queue;
use firth_broker::dead_letter::Reason;

use crate::channel::{Mode, Run, Settlement};
use crate::exception::{Exception, fail};
use crate::session::Session;

impl Session {
    /// Settles deliveries, now or with the transaction.
    pub(super) fn settle(
        &mut self,
        number: u16,
        tag: u64,
        multiple: bool,
        settlement: Settlement,
    ) -> Result<(), Exception> {
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(());
        };
        let Some(runs) = channel.unacked.take(tag, multiple) else {
            fail!(PreconditionFailed, "unknown delivery tag {tag}");
        };
        if let Mode::Transaction(transaction) = &mut channel.mode {
            transaction.settle(runs, settlement);
            return Ok(());
        }
        channel.has_settled |= !runs.is_empty();
        self.settle_now(number, runs, settlement);
        Ok(())
    }

    pub(in crate::handlers) fn settle_now(
        &mut self,
        number: u16,
        runs: Vec<(u64, Run)>,
        settlement: Settlement,
    ) {
        let freed = self.free_credit(number, &runs);
        match settlement {
            Settlement::Requeue => give_back(runs, true),
            Settlement::Acknowledge => by_queue(runs, |queue, runs| {
                queue.acknowledge(
                    runs.into_iter()
                        .map(|run| (run.taken.priority, run.taken.offsets)),
                );
            }),
            Settlement::Reject => by_queue(runs, |queue, runs| {
                queue.reject(runs.into_iter().map(|run| run.taken), Reason::Rejected);
            }),
        }
        for queue in freed {
            queue.deliver();
        }
    }

    /// Lets consumers have as many more messages. Returns the queues that are to know, besides those of the messages.
    fn free_credit(&mut self, number: u16, runs: &[(u64, Run)]) -> Vec<Arc<Queue>> {
        let Some(channel) = self.channels.get(&number) else {
            return Vec::new();
        };
        for (_, run) in runs {
            let Some(key) = run.consumer else { continue };
            let count = i64::try_from(run.len()).unwrap_or(i64::MAX);
            match self.consumers.get(&key) {
                Some(consuming) => consuming.prefetch.iter().for_each(|credit| credit.give(count)),
                // It was cancelled, and the others of its channel go on.
                None => channel.prefetch.credit().give(count),
            }
        }
        if !channel.prefetch.is_limited() {
            return Vec::new();
        }
        // What one consumer of the channel acknowledged, another may use.
        let of_channel = self
            .consumers
            .values()
            .filter(|consuming| consuming.channel == number);
        of_channel.map(|consuming| consuming.queue.clone()).collect()
    }

    /// Everything that is not acknowledged is delivered again.
    pub(super) fn recover(&mut self, number: u16, requeue: bool) -> Result<(), Exception> {
        if !requeue {
            fail!(NotImplemented, "requeue=false");
        }
        if let Some(channel) = self.channels.get_mut(&number) {
            let runs = channel.unacked.take_all();
            self.settle_now(number, runs, Settlement::Requeue);
        }
        Ok(())
    }
}

/// Deliveries go back to their queues.
pub(crate) fn give_back(runs: Vec<(u64, Run)>, delivered: bool) {
    by_queue(runs, |queue, runs| {
        queue.give_back(runs.into_iter().map(|run| run.taken), delivered);
    });
}

/// Does it once for messages of a queue that lie together.
fn by_queue(runs: Vec<(u64, Run)>, mut each: impl FnMut(&Arc<Queue>, Vec<Run>)) {
    let mut together: Vec<Run> = Vec::new();
    for (_, run) in runs {
        if let Some(first) = together.first()
            && !Arc::ptr_eq(&first.queue, &run.queue)
        {
            let queue = first.queue.clone();
            each(&queue, std::mem::take(&mut together));
        }
        together.push(run);
    }
    if let Some(first) = together.first() {
        let queue = first.queue.clone();
        each(&queue, together);
    }
}
