//! Deletes offsets that nobody needs any more (`offsets.retention.minutes`), and groups of which nothing is left.
//!
//! The time is retention's, so that a clock which is set ahead by mistake costs nobody his offsets.

use tokio::sync::watch;

use super::Groups;

/// The task: looks at all groups now and then, until `stop` says so.
pub(super) async fn run(groups: Groups, mut stop: watch::Receiver<bool>) {
    let mut times = groups.shared.broker.known_time();
    let mut looked_ms = None;
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            told = times.changed() => if told.is_err() { return },
        }
        let known_ms = *times.borrow_and_update();
        let interval_ms = groups.shared.settings.offsets_check_interval_ms;
        let is_due = looked_ms.is_none_or(|looked_ms| known_ms.saturating_sub(looked_ms) >= interval_ms);
        if is_due {
            looked_ms = Some(known_ms);
            expire(&groups, known_ms).await;
        }
    }
}

async fn expire(groups: &Groups, known_ms: i64) {
    let broker = &groups.shared.broker;
    let topic_name = |id| broker.topic_by_id(id).map(|topic| topic.name.clone());
    for entry in groups.all() {
        let expired = groups.turn(&entry, |group, turn| group.expire(known_ms, &topic_name, turn));
        if let Some((expired @ 1.., _)) = expired {
            tracing::info!(group = &*entry.id, expired, "offsets expired");
            groups.shared.metrics.expired(expired);
        }
        tokio::task::yield_now().await;
    }
}
