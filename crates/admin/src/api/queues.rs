//! `/api/queues`.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use firth_amqp::Change;
use firth_broker::authorizer::Operation;
use firth_broker::{NotDeleted, Queue, QueueKind};
use firth_broker::{TopologyError, VirtualHost};
use serde_json::{Value, json};

use super::answer::{self, Answer, Error, json};
use super::arguments;
use super::body::Body;
use super::caller::Caller;
use super::list::Wanted;
use super::virtual_hosts::visible;
use crate::Admin;
use crate::query::parameter;

/// Whether a flag of the query is set.
pub(super) fn is_set(query: Option<&str>, name: &str) -> bool {
    parameter(query, name).is_some_and(|value| value == "true")
}

fn kind(queue: &Queue) -> &'static str {
    match queue.definition().options.kind {
        QueueKind::Classic => "classic",
        QueueKind::Quorum => "quorum",
        QueueKind::Stream => "stream",
    }
}

fn shown(queue: &Arc<Queue>) -> Value {
    let (definition, counts) = (queue.definition(), queue.counts());
    json!({
        "name": &*definition.name,
        "vhost": &*definition.virtual_host,
        "type": kind(queue),
        "durable": definition.durable,
        "auto_delete": definition.auto_delete,
        "exclusive": definition.exclusive.is_some(),
        "arguments": arguments::shown(&definition.arguments),
        "consumers": counts.consumers,
        "messages": counts.ready.saturating_add(counts.unacknowledged),
        "messages_ready": counts.ready,
        "messages_unacknowledged": counts.unacknowledged,
        "node": answer::NODE,
        "state": "running",
    })
}

fn name(queue: &Arc<Queue>) -> String {
    queue.name().to_owned()
}

async fn of_all(all: Vec<Arc<VirtualHost>>, wanted: Wanted) -> Answer {
    let mut queues = Vec::new();
    for virtual_host in all {
        queues.extend(virtual_host.queues());
        virtual_host.commit().await?;
    }
    wanted.list(queues, name, shown)
}

pub(super) async fn list(State(admin): State<Admin>, caller: Caller, wanted: Wanted) -> Answer {
    of_all(visible(&admin, &caller), wanted).await
}

pub(super) async fn list_of(
    State(admin): State<Admin>,
    caller: Caller,
    Path(virtual_host): Path<String>,
    wanted: Wanted,
) -> Answer {
    of_all(vec![caller.look_at(&admin, &virtual_host)?], wanted).await
}

pub(super) async fn get(
    State(admin): State<Admin>,
    caller: Caller,
    Path((virtual_host, queue)): Path<(String, String)>,
) -> Answer {
    let virtual_host = caller.look_at(&admin, &virtual_host)?;
    let queue = virtual_host.queue(&queue).ok_or(Error::NotFound)?;
    virtual_host.commit().await?;
    Ok(json(&shown(&queue)))
}

/// A queue that the user wants to change. Only its connection may change one that is exclusive.
fn to_be_changed(virtual_host: &VirtualHost, name: &str) -> Result<Arc<Queue>, Error> {
    let queue = virtual_host.queue(name).ok_or(Error::NotFound)?;
    match queue.definition().exclusive {
        None => Ok(queue),
        Some(_) => {
            let of = virtual_host.name();
            let reason = format!(
                "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}' in vhost '{of}'. It could be \
                 originally declared on another connection or the exclusive property value does not match that of the \
                 original declaration."
            );
            Err(Error::BadRequest(reason))
        }
    }
}

pub(super) async fn put(
    State(admin): State<Admin>,
    caller: Caller,
    Path((virtual_host, queue)): Path<(String, String)>,
    body: Body,
) -> Answer {
    let (virtual_host, access) = caller.open(&admin, &virtual_host)?;
    let is_new = virtual_host.queue(&queue).is_none();
    let change = Change::Queue {
        name: queue,
        durable: body.flag("durable")?,
        auto_delete: body.flag("auto_delete")?,
        arguments: arguments::read(body.get("arguments"))?,
    };
    admin.amqp.change(&virtual_host, access, change).await?;
    Ok(answer::put(is_new))
}

pub(super) async fn delete(
    State(admin): State<Admin>,
    caller: Caller,
    Path((virtual_host, queue)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Answer {
    let (virtual_host, mut access) = caller.open(&admin, &virtual_host)?;
    access.authorize(&Operation::DeleteQueue { queue: &queue })?;
    to_be_changed(&virtual_host, &queue)?;
    let query = query.as_deref();
    let (if_unused, if_empty) = (is_set(query, "if-unused"), is_set(query, "if-empty"));
    let deleted = admin
        .broker
        .delete_queue(&virtual_host, &queue, if_unused, if_empty)
        .await;
    let deleted = deleted.map_err(|error| match error {
        TopologyError::QueueNotDeleted { reason, .. } => {
            let why = match reason {
                NotDeleted::InUse => "in use",
                NotDeleted::NotEmpty => "not empty",
            };
            Error::BadRequest(format!(
                "queue '{queue}' in vhost '{}' {why}",
                virtual_host.name()
            ))
        }
        error => error.into(),
    })?;
    deleted.commit.await?;
    answer::deleted(true)
}

/// What is delivered and not acknowledged stays.
pub(super) async fn purge(
    State(admin): State<Admin>,
    caller: Caller,
    Path((virtual_host, queue)): Path<(String, String)>,
) -> Answer {
    let (virtual_host, mut access) = caller.open(&admin, &virtual_host)?;
    access.authorize(&Operation::PurgeQueue { queue: &queue })?;
    let queue = to_be_changed(&virtual_host, &queue)?;
    if queue.definition().options.kind == QueueKind::Stream {
        return Err(Error::BadRequest("a stream cannot be purged".to_owned()));
    }
    queue.purge();
    let stored = admin.broker.store_queues();
    stored
        .map_err(|error| Error::Unavailable(error.to_string()))?
        .await?;
    answer::deleted(true)
}
