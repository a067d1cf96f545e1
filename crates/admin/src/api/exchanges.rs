//! `/api/exchanges`. The default exchange, which has no name, is `amq.default` in a path.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use firth_amqp::Change;
use firth_broker::authorizer::Operation;
use firth_broker::{Exchange, ExchangeKind, TopologyError, VirtualHost};
use serde_json::{Value, json};

use super::answer::{self, Answer, Error, json};
use super::body::Body;
use super::caller::Caller;
use super::list::Wanted;
use super::virtual_hosts::visible;
use super::{arguments, queues};
use crate::Admin;

/// The name of an exchange, of which the path has another.
pub(super) fn name_of(path: &str) -> &str {
    match path {
        "amq.default" => "",
        name => name,
    }
}

fn kind(kind: &ExchangeKind) -> &'static str {
    match kind {
        ExchangeKind::Direct => "direct",
        ExchangeKind::Fanout => "fanout",
        ExchangeKind::Topic => "topic",
        ExchangeKind::Headers => "headers",
        ExchangeKind::ConsistentHash(_) => "x-consistent-hash",
        ExchangeKind::Delayed(_) => "x-delayed-message",
    }
}

/// An exchange, and the virtual host that it is in.
type Item = (Arc<str>, Arc<Exchange>);

fn shown((virtual_host, exchange): &Item) -> Value {
    json!({
        "name": &*exchange.name,
        "vhost": &**virtual_host,
        "type": kind(&exchange.kind),
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "internal": exchange.internal,
        "arguments": arguments::shown(&exchange.arguments),
    })
}

fn name((_, exchange): &Item) -> String {
    exchange.name.to_string()
}

async fn of_all(all: Vec<Arc<VirtualHost>>, wanted: Wanted) -> Answer {
    let mut items = Vec::new();
    for virtual_host in all {
        let of = virtual_host.name();
        items.extend(
            virtual_host
                .exchanges()
                .into_iter()
                .map(|exchange| (of.clone(), exchange)),
        );
        virtual_host.commit().await?;
    }
    wanted.list(items, name, shown)
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
    Path((virtual_host, exchange)): Path<(String, String)>,
) -> Answer {
    let virtual_host = caller.look_at(&admin, &virtual_host)?;
    let exchange = virtual_host.exchange(name_of(&exchange)).ok_or(Error::NotFound)?;
    virtual_host.commit().await?;
    Ok(json(&shown(&(virtual_host.name().clone(), exchange))))
}

pub(super) async fn put(
    State(admin): State<Admin>,
    caller: Caller,
    Path((virtual_host, exchange)): Path<(String, String)>,
    body: Body,
) -> Answer {
    let (virtual_host, access) = caller.open(&admin, &virtual_host)?;
    let name = name_of(&exchange);
    let is_new = virtual_host.exchange(name).is_none();
    let change = Change::Exchange {
        name: name.to_owned(),
        kind: body.text("type")?.unwrap_or("direct").to_owned(),
        durable: body.flag("durable")?,
        auto_delete: body.flag("auto_delete")?,
        internal: body.flag("internal")?,
        arguments: arguments::read(body.get("arguments"))?,
    };
    admin.amqp.change(&virtual_host, access, change).await?;
    Ok(answer::put(is_new))
}

pub(super) async fn delete(
    State(admin): State<Admin>,
    caller: Caller,
    Path((virtual_host, exchange)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Answer {
    let (virtual_host, mut access) = caller.open(&admin, &virtual_host)?;
    let name = name_of(&exchange);
    access.authorize(&Operation::DeleteExchange { exchange: name })?;
    let deleted = virtual_host.delete_exchange(name, queues::is_set(query.as_deref(), "if-unused"));
    let commit = deleted.map_err(|error| match error {
        TopologyError::ExchangeInUse(_) => {
            let of = virtual_host.name();
            Error::BadRequest(format!("exchange '{name}' in vhost '{of}' in use"))
        }
        error => error.into(),
    })?;
    commit.await?;
    answer::deleted(true)
}
