//! Deletes what is older or larger than a topic's configuration keeps, one extent at a time.

use firth_log::{Change, ExtentUsage, Frame};
use tokio::sync::watch;

use crate::TopicConfig;
use crate::broker::Broker;
use crate::counters::add;
use crate::guarded_clock::GuardedClock;

/// Partitions that are looked at before others get the thread.
const PARTITIONS_PER_TURN: usize = 256;

/// The offset below which retention deletes, if it deletes anything. `extents` are a partition's, the oldest first.
///
/// By time, an extent goes when its newest record is too old; one without timestamps stays. By size, extents go from
/// the oldest on while what remains is still at least `retention.bytes`.
pub(crate) fn trim_to(extents: &[ExtentUsage], now_ms: i64, config: &TopicConfig) -> Option<i64> {
    let expired = |extent: &&ExtentUsage| {
        config.retention_ms >= 0
            && extent.max_timestamp >= 0
            && now_ms.saturating_sub(extent.max_timestamp) > config.retention_ms
    };
    let by_time = extents.iter().take_while(expired).count();

    let mut by_size = 0;
    if let Ok(keep) = u64::try_from(config.retention_bytes) {
        let mut left = extents
            .iter()
            .fold(0, |sum: u64, extent| sum.saturating_add(extent.bytes));
        for extent in extents {
            left = left.saturating_sub(extent.bytes);
            if left < keep {
                break;
            }
            by_size += 1;
        }
    }
    let last = by_time.max(by_size).checked_sub(1)?;
    extents.get(last).map(|extent| extent.next_offset)
}

/// Whether retention may delete anything. What is compacted alone keeps the latest record of each key for ever.
fn applies(config: &TopicConfig) -> bool {
    config.cleanup_policy.deletes() && (config.retention_ms >= 0 || config.retention_bytes >= 0)
}

/// The task: looks at every partition now and then, until `stop` says so.
/// It tells those who go by the same clock of each look.
pub(crate) async fn run(
    broker: Broker,
    mut clock: GuardedClock,
    times: watch::Sender<i64>,
    mut stop: watch::Receiver<bool>,
) {
    let period = broker.config().retention_check_interval;
    // Not at once: the start of a broker is no moment to delete.
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            _ = interval.tick() => {}
        }
        let now_ms = clock.now_ms(broker.clock());
        if let Some(known_ms) = clock.take_note() {
            broker.note_time(known_ms);
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = enforce(&broker, now_ms) => {}
        }
        // Compaction need not rewrite what retention deletes.
        times.send_replace(now_ms);
    }
}

/// Looks at every partition once.
pub(crate) async fn enforce(broker: &Broker, now_ms: i64) {
    let mut looked_at = 0_usize;
    for topic in broker.topics().iter() {
        if !applies(&topic.config) {
            continue;
        }
        for (index, partition) in topic.partitions.iter().enumerate() {
            looked_at += 1;
            if looked_at.is_multiple_of(PARTITIONS_PER_TURN) {
                tokio::task::yield_now().await;
            }
            let engine = broker.engine();
            let extents = engine.extents(partition.log);
            let Some(to) = trim_to(&extents, now_ms, &topic.config) else {
                continue;
            };
            // What is appended but not durable yet belongs to the newest extent, and cannot be trimmed.
            let Some(bounds) = engine.bounds(partition.log) else {
                continue;
            };
            let to = to.min(bounds.end);
            if to <= bounds.start {
                continue;
            }
            let trim = Change::Trim {
                log: partition.log,
                to,
            };
            match engine.append(Frame {
                changes: vec![trim],
                ..Frame::default()
            }) {
                Ok(_) => {
                    add(&broker.counting().retention_trims, 1);
                    tracing::debug!(topic = %topic.name, partition = index, to, "retention trimmed");
                }
                // The topic is being deleted, or the next look tries again.
                Err(error) => {
                    tracing::debug!(topic = %topic.name, partition = index, %error, "retention cannot trim");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
