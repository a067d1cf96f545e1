//! `/api/bindings`. Among those with the same source and destination a binding is known by its `properties_key`: the routing key, or
//! `~` for none, and behind a further `~` a digest of the arguments, if there are any.
//!
//! Every queue is bound to the default exchange by its name. That is shown, and cannot be changed.

use std::hash::Hasher;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use firth_amqp::Change;
use firth_broker::HeaderMatch;
use firth_broker::authorizer::{self, Operation, Passage};
use firth_broker::{Binding, Destination, ExchangeKind, NewBinding, VirtualHost};
use serde_json::{Value, json};
use siphasher::sip::SipHasher13;

use super::answer::{self, Answer, Error, json};
use super::arguments;
use super::body::Body;
use super::caller::Caller;
use super::exchanges::name_of;
use super::list::Wanted;
use super::virtual_hosts::visible;
use crate::Admin;

/// A binding, and the virtual host that it is in.
type Item = (Arc<str>, Arc<Binding>);

fn shown((virtual_host, binding): &Item) -> Value {
    let (kind, destination) = match &binding.destination {
        Destination::Queue(name) => ("queue", name),
        Destination::Exchange(name) => ("exchange", name),
        Destination::Topic(name) => ("topic", name),
    };
    json!({
        "source": &*binding.source,
        "vhost": &**virtual_host,
        "destination": &**destination,
        "destination_type": kind,
        "routing_key": &*binding.key,
        "arguments": arguments::shown(binding.arguments()),
        "properties_key": properties_key(binding),
    })
}

fn name((_, binding): &Item) -> String {
    binding.source.to_string()
}

fn properties_key(binding: &Binding) -> String {
    key_of(&binding.key, binding.arguments())
}

fn key_of(key: &str, arguments: &[u8]) -> String {
    let key = match key {
        "" if arguments.is_empty() => return "~".to_owned(),
        key => quoted(key),
    };
    match arguments {
        [] => key,
        arguments => {
            let mut hasher = SipHasher13::new();
            hasher.write(arguments);
            format!("{key}~{}", URL_SAFE_NO_PAD.encode(hasher.finish().to_be_bytes()))
        }
    }
}

/// As in the query of a URL.
fn quoted(key: &str) -> String {
    let mut quoted = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => quoted.push(byte.into()),
            b' ' => quoted.push('+'),
            other => quoted.push_str(&format!("%{other:02X}")),
        }
    }
    quoted
}

/// All bindings of a virtual host.
fn all_of(virtual_host: &VirtualHost) -> Vec<Arc<Binding>> {
    let queues = virtual_host.queues();
    let names = queues.iter().map(|queue| &queue.definition().name);
    let mut bindings: Vec<_> = names.map(|name| Arc::new(Binding::by_name(name))).collect();
    bindings.extend(virtual_host.bindings());
    bindings
}

async fn answered(wanted: Wanted, of: Vec<(Arc<VirtualHost>, Vec<Arc<Binding>>)>) -> Answer {
    let mut items = Vec::new();
    for (virtual_host, bindings) in of {
        virtual_host.commit().await?;
        let name = virtual_host.name();
        items.extend(bindings.into_iter().map(|binding| (name.clone(), binding)));
    }
    wanted.list(items, name, shown)
}

pub(super) async fn list(State(admin): State<Admin>, caller: Caller, wanted: Wanted) -> Answer {
    let all = visible(&admin, &caller).into_iter().map(|virtual_host| {
        let bindings = all_of(&virtual_host);
        (virtual_host, bindings)
    });
    answered(wanted, all.collect()).await
}

pub(super) async fn list_of(
    State(admin): State<Admin>,
    caller: Caller,
    Path(virtual_host): Path<String>,
    wanted: Wanted,
) -> Answer {
    let virtual_host = caller.look_at(&admin, &virtual_host)?;
    let bindings = all_of(&virtual_host);
    answered(wanted, vec![(virtual_host, bindings)]).await
}

pub(super) async fn from(
    State(admin): State<Admin>,
    caller: Caller,
    Path((virtual_host, exchange)): Path<(String, String)>,
    wanted: Wanted,
) -> Answer {
    let virtual_host = caller.look_at(&admin, &virtual_host)?;
    let exchange = virtual_host.exchange(name_of(&exchange)).ok_or(Error::NotFound)?;
    let mut bindings = match &*exchange.name {
        "" => all_of(&virtual_host),
        name => virtual_host.bindings_from(name),
    };
    bindings.retain(|binding| binding.source == exchange.name);
    answered(wanted, vec![(virtual_host, bindings)]).await
}

pub(super) async fn to_exchange(
    State(admin): State<Admin>,
    caller: Caller,
    Path((virtual_host, exchange)): Path<(String, String)>,
    wanted: Wanted,
) -> Answer {
    let virtual_host = caller.look_at(&admin, &virtual_host)?;
    let exchange = virtual_host.exchange(name_of(&exchange)).ok_or(Error::NotFound)?;
    let bindings = virtual_host.bindings_to(&Destination::Exchange(exchange.name.clone()));
    answered(wanted, vec![(virtual_host, bindings)]).await
}

pub(super) async fn to_queue(
    State(admin): State<Admin>,
    caller: Caller,
    Path((virtual_host, queue)): Path<(String, String)>,
    wanted: Wanted,
) -> Answer {
    let virtual_host = caller.look_at(&admin, &virtual_host)?;
    let queue = virtual_host.queue(&queue).ok_or(Error::NotFound)?;
    let name = &queue.definition().name;
    let mut bindings = vec![Arc::new(Binding::by_name(name))];
    bindings.extend(virtual_host.bindings_to(&Destination::Queue(name.clone())));
    answered(wanted, vec![(virtual_host, bindings)]).await
}

/// Virtual host, source, kind of the destination, destination.
type Ends = (String, String, String, String);

fn destination(kind: &str, name: &str) -> Result<Destination, Error> {
    match kind {
        "q" => Ok(Destination::Queue(name.into())),
        "e" => Ok(Destination::Exchange(name_of(name).into())),
        "t" => Ok(Destination::Topic(name.into())),
        _ => Err(Error::NotFound),
    }
}

/// Those from this source to this destination.
fn between_ends(
    virtual_host: &VirtualHost,
    source: &str,
    destination: &Destination,
) -> Result<Vec<Arc<Binding>>, Error> {
    virtual_host.exchange(source).ok_or(Error::NotFound)?;
    match destination {
        Destination::Queue(name) => _ = virtual_host.queue(name).ok_or(Error::NotFound)?,
        Destination::Exchange(name) => _ = virtual_host.exchange(name).ok_or(Error::NotFound)?,
        Destination::Topic(_) => {}
    }
    if let ("", Destination::Queue(queue)) = (source, destination) {
        return Ok(vec![Arc::new(Binding::by_name(queue))]);
    }
    let mut bindings = virtual_host.bindings_to(destination);
    bindings.retain(|binding| *binding.source == *source);
    Ok(bindings)
}

pub(super) async fn between(
    State(admin): State<Admin>,
    caller: Caller,
    Path((virtual_host, source, kind, to)): Path<Ends>,
    wanted: Wanted,
) -> Answer {
    let virtual_host = caller.look_at(&admin, &virtual_host)?;
    let destination = destination(&kind, &to)?;
    let bindings = between_ends(&virtual_host, name_of(&source), &destination)?;
    answered(wanted, vec![(virtual_host, bindings)]).await
}

/// Answers with where the binding is, below its source.
pub(super) async fn post(
    State(admin): State<Admin>,
    caller: Caller,
    Path((virtual_host, source, kind, to)): Path<Ends>,
    body: Body,
) -> Answer {
    let (virtual_host, access) = caller.open(&admin, &virtual_host)?;
    let key = body.text("routing_key")?.unwrap_or_default();
    let arguments = arguments::read(body.get("arguments"))?;
    let place = format!("{}/{}", quoted(&to), quoted(&key_of(key, arguments.as_bytes())));
    let change = Change::Binding {
        source: name_of(&source).to_owned(),
        destination: destination(&kind, &to)?,
        key: key.to_owned(),
        arguments,
    };
    admin.amqp.change(&virtual_host, access, change).await?;
    Ok((StatusCode::CREATED, [(header::LOCATION, place)]).into_response())
}

fn known(bindings: Vec<Arc<Binding>>, properties: &str) -> Result<Arc<Binding>, Error> {
    let is_known = |binding: &Arc<Binding>| {
        let is_key = *binding.key == *properties && binding.arguments().is_empty();
        is_key || properties_key(binding) == properties
    };
    bindings.into_iter().find(is_known).ok_or(Error::NotFound)
}

pub(super) async fn get(
    State(admin): State<Admin>,
    caller: Caller,
    Path((virtual_host, source, kind, to, properties)): Path<(String, String, String, String, String)>,
) -> Answer {
    let virtual_host = caller.look_at(&admin, &virtual_host)?;
    let destination = destination(&kind, &to)?;
    let bindings = between_ends(&virtual_host, name_of(&source), &destination)?;
    let binding = known(bindings, &properties)?;
    virtual_host.commit().await?;
    Ok(json(&shown(&(virtual_host.name().clone(), binding))))
}

pub(super) async fn delete(
    State(admin): State<Admin>,
    caller: Caller,
    Path((virtual_host, source, kind, to, properties)): Path<(String, String, String, String, String)>,
) -> Answer {
    let (virtual_host, mut access) = caller.open(&admin, &virtual_host)?;
    let (source, destination) = (name_of(&source), destination(&kind, &to)?);
    let bindings = between_ends(&virtual_host, source, &destination)?;
    let binding = known(bindings, &properties)?;
    let unbind = Operation::Unbind {
        source: passage(&virtual_host, source, &binding.key),
        destination: as_asked(&destination),
    };
    access.authorize(&unbind)?;
    let same = NewBinding {
        source: binding.source.clone(),
        destination,
        key: binding.key.to_string(),
        arguments: binding.arguments().to_vec(),
        header_match: HeaderMatch::default(),
    };
    virtual_host.unbind(&same)?.await?;
    answer::deleted(true)
}

fn passage<'a>(virtual_host: &VirtualHost, exchange: &'a str, key: &'a str) -> Passage<'a> {
    let found = virtual_host.exchange(exchange);
    Passage {
        exchange,
        routing_key: key.as_bytes(),
        is_topic: found.is_some_and(|exchange| exchange.kind == ExchangeKind::Topic),
    }
}

fn as_asked(destination: &Destination) -> authorizer::Destination<'_> {
    match destination {
        Destination::Queue(name) => authorizer::Destination::Queue(name),
        Destination::Exchange(name) => authorizer::Destination::Exchange(name),
        Destination::Topic(name) => authorizer::Destination::Topic(name),
    }
}
