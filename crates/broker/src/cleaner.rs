//! Compacts partitions when their topic's configuration says so, the one that gains most first, and state logs as if they
//! were such partitions.

use firth_log::{Compaction, Keep, LogId, RewriteError};
use tokio::sync::watch;

use crate::TopicConfig;
use crate::broker::Broker;
use crate::compaction::{self, Due, Usage};
use crate::counters::add;

/// Memory for the keys of one compaction, 32 bytes for each: a million keys.
const KEYS_BYTES: usize = 32 * 1024 * 1024;
/// Partitions that are looked at before others get the thread.
const PARTITIONS_PER_TURN: usize = 256;

/// The task: looks at all compacted topics whenever retention tells the time, until `stop` says so.
pub(crate) async fn run(broker: Broker, mut times: watch::Receiver<i64>, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            told = times.changed() => if told.is_err() { return },
        }
        let now_ms = *times.borrow_and_update();
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = clean(&broker, now_ms) => {}
        }
    }
}

/// Compacts everything that is due at `now_ms`, by retention's clock.
pub(crate) async fn clean(broker: &Broker, now_ms: i64) {
    let mut due = all_due(broker, now_ms).await;
    // What is late comes first, then what has most to give.
    due.sort_by(|(a, ..), (b, ..)| {
        let by_lateness = b.is_late.cmp(&a.is_late);
        by_lateness.then(b.dirty_ratio().total_cmp(&a.dirty_ratio()))
    });
    for (due, log, config, topic) in due {
        let compaction = Compaction {
            to: due.to,
            now_ms,
            delete_horizon_ms: compaction::delete_horizon_ms(&config, now_ms, broker.clock().wall_ms()),
            memory_bytes: KEYS_BYTES,
        };
        match broker.engine().rewrite(log, Keep::LatestOfKey(compaction)).await {
            Ok(rewritten) => {
                let counting = broker.counting();
                add(&counting.compactions, 1);
                let freed = rewritten.bytes_before.saturating_sub(rewritten.bytes_after);
                add(&counting.compacted_bytes, freed);
                tracing::debug!(%topic, log = log.0, to = rewritten.compacted_to, freed, "compacted");
            }
            // The topic was deleted, or the next look tries again.
            Err(RewriteError::UnknownLog(_) | RewriteError::Stopped) => {}
            Err(error) => tracing::warn!(%topic, log = log.0, %error, "a partition is not compacted"),
        }
    }
}

async fn all_due(broker: &Broker, now_ms: i64) -> Vec<(Due, LogId, TopicConfig, String)> {
    let mut all = Vec::new();
    let mut looked_at = 0_usize;
    for topic in broker.topics().iter() {
        if !topic.config.cleanup_policy.compacts() {
            continue;
        }
        for partition in &topic.partitions {
            looked_at += 1;
            if looked_at.is_multiple_of(PARTITIONS_PER_TURN) {
                tokio::task::yield_now().await;
            }
            if let Some(due) = due(broker, &topic.config, partition.log, now_ms) {
                all.push((
                    due,
                    partition.log,
                    (*topic.config).clone(),
                    topic.name.to_string(),
                ));
            }
        }
    }
    for state in broker.state_logs() {
        if let Some(due) = due(broker, state.config(), state.id(), now_ms) {
            all.push((due, state.id(), state.config().clone(), state.name().to_owned()));
        }
    }
    all
}

fn due(broker: &Broker, config: &TopicConfig, log: LogId, now_ms: i64) -> Option<Due> {
    let extents = broker.engine().extents(log);
    let usage = Usage {
        extents: &extents,
        compacted_to: broker.engine().compacted_to(log),
        compactable_to: compaction::compactable_to(&extents, config, now_ms),
    };
    compaction::due(&usage, config, now_ms)
}
