//! Brings queues what their logs have more of.

use std::sync::Arc;

use tokio::sync::watch;

use crate::queues::Queues;

/// Until the broker stops.
pub(crate) async fn run(queues: Arc<Queues>, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = queues.signal.raised() => {}
        }
        for id in queues.signal.take() {
            if let Some(queue) = queues.get(crate::QueueId(id)) {
                queue.advance();
            }
        }
    }
}
