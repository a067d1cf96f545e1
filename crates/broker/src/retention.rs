//! Deletes what is older or larger than a topic's configuration keeps: by age one extent at a time, by size at chunks.

mod by_size;

use firth_log::{Change, ExtentUsage, Frame, LogId};
use tokio::sync::watch;

use self::by_size::BySize;
use crate::TopicConfig;
use crate::broker::Broker;
use crate::counters::add;
use crate::guarded_clock::GuardedClock;

/// Partitions that are looked at before others get the thread.
const PARTITIONS_PER_TURN: usize = 256;

/// The offset below which everything is too old, if anything is. `extents` are a partition's, the oldest first.
///
/// An extent goes when its newest record is too old; one without timestamps stays.
pub(crate) fn trim_to(extents: &[ExtentUsage], now_ms: i64, config: &TopicConfig) -> Option<i64> {
    let expired = |extent: &&ExtentUsage| {
        extent.max_timestamp >= 0 && now_ms.saturating_sub(extent.max_timestamp) > config.retention_ms
    };
    let last = extents.iter().take_while(expired).last()?;
    Some(last.next_offset)
}

/// Whether age alone may delete anything. What is compacted alone keeps the latest record of each key for ever.
fn applies(config: &TopicConfig) -> bool {
    config.cleanup_policy.deletes() && config.retention_ms >= 0
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
    let mut by_size = BySize::default();
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            _ = interval.tick() => {}
            () = by_size.enforce_when_they_grow(&broker) => continue,
        }
        let now_ms = clock.now_ms(broker.clock());
        broker.engine().tell_time(clock.known_ms());
        if let Some(known_ms) = clock.take_note() {
            broker.note_time(known_ms);
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = enforce(&broker, now_ms) => {}
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = by_size.enforce_all(&broker) => {}
        }
        // Compaction need not rewrite what retention deletes.
        times.send_replace(now_ms);
    }
}

/// Looks once at the age of what every partition keeps.
pub(crate) async fn enforce(broker: &Broker, now_ms: i64) {
    let mut looked_at = 0_usize;
    for topic in broker.topics().iter() {
        if !applies(&topic.config) {
            continue;
        }
        for partition in &topic.partitions {
            looked_at += 1;
            if looked_at.is_multiple_of(PARTITIONS_PER_TURN) {
                tokio::task::yield_now().await;
            }
            let extents = broker.engine().extents(partition.log);
            if let Some(to) = trim_to(&extents, now_ms, &topic.config) {
                // Where that cannot be, the next look tries again.
                trim(broker, &topic.name, partition.log, to);
            }
        }
    }
}

/// Deletes what is below an offset, and says whether that could be asked for.
fn trim(broker: &Broker, topic: &str, log: LogId, to: i64) -> bool {
    // What is appended but not durable yet belongs to the newest extent, and cannot be trimmed. The topic may be gone.
    let Some(bounds) = broker.engine().bounds(log) else {
        return false;
    };
    let to = to.min(bounds.end);
    if to <= bounds.start {
        return true;
    }
    let trim = Frame::changes(vec![Change::Trim { log, to }]);
    match broker.engine().append(trim) {
        Ok(_) => {
            add(&broker.counting().retention_trims, 1);
            tracing::debug!(topic, log = log.0, to, "retention trimmed");
            true
        }
        Err(error) => {
            tracing::debug!(topic, log = log.0, %error, "retention cannot trim");
            false
        }
    }
}

#[cfg(test)]
mod tests;
