//! `/api/whoami` and `/api/overview`.

use axum::extract::State;
use serde_json::json;

use super::answer::{Answer, json, texts};
use super::caller::Caller;
use crate::Admin;

pub(super) async fn whoami(State(admin): State<Admin>, caller: Caller) -> Answer {
    let user = admin.broker.users().user(caller.principal.name());
    let tags = user.map(|user| user.tags).unwrap_or_default();
    Ok(json(
        &json!({ "name": &**caller.principal.name(), "tags": texts(&tags) }),
    ))
}

/// Of the virtual hosts that the user may see.
pub(super) async fn overview(State(admin): State<Admin>, caller: Caller) -> Answer {
    let mut virtual_hosts = admin.broker.topology().virtual_hosts();
    virtual_hosts.retain(|virtual_host| caller.sees(virtual_host.name()));
    let (mut exchanges, mut queues, mut consumers) = (0_usize, 0_usize, 0_usize);
    let (mut connections, mut ready, mut unacknowledged) = (0_u64, 0_u64, 0_u64);
    for virtual_host in virtual_hosts {
        exchanges = exchanges.saturating_add(virtual_host.exchanges().len());
        connections = connections.saturating_add(virtual_host.connection_count());
        for queue in virtual_host.queues() {
            let counts = queue.counts();
            queues = queues.saturating_add(1);
            consumers = consumers.saturating_add(counts.consumers);
            ready = ready.saturating_add(counts.ready);
            unacknowledged = unacknowledged.saturating_add(counts.unacknowledged);
        }
    }
    let version = env!("CARGO_PKG_VERSION");
    let types = [
        "direct",
        "fanout",
        "headers",
        "topic",
        "x-consistent-hash",
        "x-delayed-message",
    ];
    let types: Vec<_> = types
        .iter()
        .map(|name| json!({ "name": name, "enabled": true }))
        .collect();
    Ok(json(&json!({
        "product_name": "Firth",
        "product_version": version,
        "management_version": version,
        "cluster_name": admin.broker.cluster_id().to_string(),
        "node": super::answer::NODE,
        "rates_mode": "none",
        "exchange_types": types,
        "object_totals": {
            "connections": connections,
            "consumers": consumers,
            "exchanges": exchanges,
            "queues": queues,
        },
        "queue_totals": {
            "messages": ready.saturating_add(unacknowledged),
            "messages_ready": ready,
            "messages_unacknowledged": unacknowledged,
        },
    })))
}
