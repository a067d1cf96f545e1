use firth_amqp_codec::{FieldTable, ShortStr, exchange};
use firth_broker::authorizer::{self, Operation, Passage};
use firth_broker::{
    Destination, Exchange, ExchangeKind, HashOn, HashProperty, NewBinding, NewExchange, TopologyError,
};

use super::{RESERVED_PREFIX, check_name, check_not_default_exchange, unimplemented};
use crate::arguments::{
    binding_arguments, check_arguments, check_flag, exchange_argument, header_match, inequivalent, named,
    without_line_breaks,
};
use crate::connection::Outgoing;
use crate::exception::{Exception, fail};
use crate::session::Session;

const ALTERNATE_EXCHANGE: &str = "alternate-exchange";

impl Session {
    pub(super) fn exchange(
        &mut self,
        out: &mut Outgoing,
        number: u16,
        method: exchange::Method,
    ) -> Result<(), Exception> {
        match method {
            exchange::Method::Declare(declare) => {
                self.exchange_declare(out, &declare)?;
                self.reply_unless(out, number, declare.no_wait, &exchange::DeclareOk {})
            }
            exchange::Method::Delete(delete) => {
                self.exchange_delete(out, &delete)?;
                self.reply_unless(out, number, delete.no_wait, &exchange::DeleteOk {})
            }
            exchange::Method::Bind(bind) => {
                let binding = ToExchange {
                    destination: &bind.destination,
                    source: &bind.source,
                    key: &bind.routing_key,
                    arguments: &bind.arguments,
                };
                self.bind(out, binding.into_binding(), true)?;
                self.reply_unless(out, number, bind.no_wait, &exchange::BindOk {})
            }
            exchange::Method::Unbind(unbind) => {
                let binding = ToExchange {
                    destination: &unbind.destination,
                    source: &unbind.source,
                    key: &unbind.routing_key,
                    arguments: &unbind.arguments,
                };
                self.bind(out, binding.into_binding(), false)?;
                self.reply_unless(out, number, unbind.no_wait, &exchange::UnbindOk {})
            }
            exchange::Method::DeclareOk(_)
            | exchange::Method::DeleteOk(_)
            | exchange::Method::BindOk(_)
            | exchange::Method::UnbindOk(_) => Err(unimplemented()),
        }
    }

    fn exchange_declare(&mut self, out: &mut Outgoing, declare: &exchange::Declare) -> Result<(), Exception> {
        let name = without_line_breaks(&declare.exchange.to_string());
        if declare.passive {
            check_not_default_exchange(&name)?;
            let _ = self.find_exchange(&name)?;
            out.wait_for(self.virtual_host.commit());
            return Ok(());
        }
        let kind = exchange_kind(&declare.kind, &declare.arguments)?;
        check_not_default_exchange(&name)?;
        let of = named("exchange", &name, self.virtual_host_name());
        let alternate_exchange = exchange_argument(&declare.arguments, ALTERNATE_EXCHANGE, &of);
        let known = self.virtual_host.exchange(&name);
        let alternate = alternate_exchange.as_ref().ok().and_then(Option::as_deref);
        self.authorize(&Operation::DeclareExchange {
            exchange: &name,
            alternate_exchange: alternate.filter(|_| known.is_none()),
        })?;
        let exchange = match known {
            Some(known) => known,
            None => {
                check_name("exchange", &name)?;
                let declared = self.virtual_host.declare_exchange(NewExchange {
                    name,
                    kind: kind.clone(),
                    durable: declare.durable,
                    auto_delete: declare.auto_delete,
                    internal: declare.internal,
                    alternate_exchange: alternate_exchange?,
                    arguments: declare.arguments.as_bytes().to_vec(),
                })?;
                out.wait_for(declared.commit);
                declared.item
            }
        };
        check_equivalence(&exchange, &kind, declare, &of)?;
        out.wait_for(self.virtual_host.commit());
        Ok(())
    }

    fn exchange_delete(&mut self, out: &mut Outgoing, delete: &exchange::Delete) -> Result<(), Exception> {
        let name = without_line_breaks(&delete.exchange.to_string());
        check_not_default_exchange(&name)?;
        let of = named("exchange", &name, self.virtual_host_name());
        if name.starts_with(RESERVED_PREFIX) {
            fail!(AccessRefused, "deletion of system {of} not allowed");
        }
        self.authorize(&Operation::DeleteExchange { exchange: &name })?;
        match self.virtual_host.delete_exchange(&name, delete.if_unused) {
            Ok(commit) => out.wait_for(commit),
            // That it is gone is what was asked for.
            Err(TopologyError::UnknownExchange { .. }) => out.wait_for(self.virtual_host.commit()),
            Err(TopologyError::ExchangeInUse(_)) => fail!(PreconditionFailed, "{of} in use"),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    pub(super) fn find_exchange(&self, name: &str) -> Result<std::sync::Arc<Exchange>, Exception> {
        match self.virtual_host.exchange(name) {
            Some(exchange) => Ok(exchange),
            None => fail!(
                NotFound,
                "no {}",
                named("exchange", name, self.virtual_host_name())
            ),
        }
    }

    /// Whether there is any binding between the two.
    fn is_bound(&self, source: &str, destination: &Destination) -> bool {
        let bindings = self.virtual_host.bindings_to(destination);
        bindings.iter().any(|binding| *binding.source == *source)
    }

    /// Binds or unbinds.
    pub(crate) fn bind(
        &mut self,
        out: &mut Outgoing,
        binding: Binding<'_>,
        is_new: bool,
    ) -> Result<(), Exception> {
        let Binding {
            source,
            destination,
            key,
            arguments,
        } = binding;
        let virtual_host = self.virtual_host.clone();
        let exchange = virtual_host.exchange(&source);
        let key_text = key.to_string();
        let passage = Passage {
            exchange: &source,
            routing_key: key.as_bytes(),
            is_topic: exchange.as_ref().is_some_and(|exchange| is_topic(exchange)),
        };
        let to = match &destination {
            Destination::Queue(name) => authorizer::Destination::Queue(name),
            Destination::Exchange(name) => authorizer::Destination::Exchange(name),
            Destination::Topic(name) => authorizer::Destination::Topic(name),
        };
        self.authorize(&match is_new {
            true => Operation::Bind {
                source: passage,
                destination: to,
            },
            false => Operation::Unbind {
                source: passage,
                destination: to,
            },
        })?;
        check_not_default_exchange(&source)?;
        if let Destination::Exchange(name) = &destination {
            check_not_default_exchange(name)?;
        }
        if !is_new && !self.is_bound(&source, &destination) {
            // That it is not bound is what was asked for.
            out.wait_for(virtual_host.commit());
            return Ok(());
        }
        let exchange = self.find_exchange(&source)?;
        match &destination {
            Destination::Queue(name) => _ = self.find_queue(name)?,
            Destination::Exchange(name) => _ = self.find_exchange(name)?,
            Destination::Topic(_) => {}
        }
        let is_headers = is_new && matches!(matching(&exchange.kind), ExchangeKind::Headers);
        let new = NewBinding {
            source: exchange.name.clone(),
            destination,
            key: key_text,
            arguments: binding_arguments(arguments),
            header_match: header_match(arguments, is_headers)?,
        };
        let commit = match is_new {
            true => virtual_host.bind(new)?,
            false => virtual_host.unbind(&new)?,
        };
        out.wait_for(commit);
        Ok(())
    }
}

/// A binding as a method names it.
pub(crate) struct Binding<'a> {
    pub(crate) source: String,
    pub(crate) destination: Destination,
    pub(crate) key: &'a ShortStr,
    pub(crate) arguments: &'a FieldTable,
}

struct ToExchange<'a> {
    destination: &'a ShortStr,
    source: &'a ShortStr,
    key: &'a ShortStr,
    arguments: &'a FieldTable,
}

impl<'a> ToExchange<'a> {
    fn into_binding(self) -> Binding<'a> {
        let destination = without_line_breaks(&self.destination.to_string());
        Binding {
            source: without_line_breaks(&self.source.to_string()),
            destination: Destination::Exchange(destination.into()),
            key: self.key,
            arguments: self.arguments,
        }
    }
}

/// Whether there are permissions for its routing keys.
pub(super) fn is_topic(exchange: &Exchange) -> bool {
    matches!(exchange.kind, ExchangeKind::Topic)
}

/// The kind that decides about destinations.
fn matching(kind: &ExchangeKind) -> &ExchangeKind {
    match kind {
        ExchangeKind::Delayed(inner) => matching(inner),
        kind => kind,
    }
}

fn exchange_kind(name: &ShortStr, arguments: &FieldTable) -> Result<ExchangeKind, Exception> {
    if name.is_empty() {
        fail!(CommandInvalid, "invalid exchange type ''");
    }
    let Some(kind) = kind_of(name.as_bytes(), arguments)? else {
        fail!(CommandInvalid, "unknown exchange type '{name}'");
    };
    Ok(kind)
}

/// None if there is no such kind.
fn kind_of(name: &[u8], arguments: &FieldTable) -> Result<Option<ExchangeKind>, Exception> {
    Ok(Some(match name {
        b"direct" => ExchangeKind::Direct,
        b"fanout" => ExchangeKind::Fanout,
        b"topic" => ExchangeKind::Topic,
        b"headers" => ExchangeKind::Headers,
        b"x-consistent-hash" => ExchangeKind::ConsistentHash(hash_on(arguments)?),
        b"x-delayed-message" => ExchangeKind::Delayed(Box::new(delayed_kind(arguments)?)),
        _ => return Ok(None),
    }))
}

/// How a delayed exchange routes what has waited.
fn delayed_kind(arguments: &FieldTable) -> Result<ExchangeKind, Exception> {
    let name = arguments.get("x-delayed-type").and_then(|value| value.as_str());
    // It does not wait twice.
    let name = name
        .filter(|name| *name != "x-delayed-message")
        .unwrap_or_default();
    match kind_of(name.as_bytes(), arguments)? {
        Some(kind) => Ok(kind),
        None => fail!(
            PreconditionFailed,
            "Invalid argument, 'x-delayed-type' must be an existing exchange type"
        ),
    }
}

fn hash_on(arguments: &FieldTable) -> Result<HashOn, Exception> {
    let text = |name: &str| arguments.get(name).and_then(|value| value.as_str());
    Ok(match (text("hash-header"), text("hash-property")) {
        (None, None) => HashOn::RoutingKey,
        (Some(header), None) => HashOn::Header(header.into()),
        (None, Some("message_id")) => HashOn::Property(HashProperty::MessageId),
        (None, Some("correlation_id")) => HashOn::Property(HashProperty::CorrelationId),
        (None, Some("timestamp")) => HashOn::Property(HashProperty::Timestamp),
        (None, Some(property)) => fail!(PreconditionFailed, "Unsupported property: {property}"),
        (Some(_), Some(_)) => fail!(
            PreconditionFailed,
            "hash-header and hash-property are mutually exclusive"
        ),
    })
}

fn kind_name(kind: &ExchangeKind) -> &'static str {
    match kind {
        ExchangeKind::Direct => "direct",
        ExchangeKind::Fanout => "fanout",
        ExchangeKind::Topic => "topic",
        ExchangeKind::Headers => "headers",
        ExchangeKind::ConsistentHash(_) => "x-consistent-hash",
        ExchangeKind::Delayed(_) => "x-delayed-message",
    }
}

fn check_equivalence(
    exchange: &Exchange,
    kind: &ExchangeKind,
    declare: &exchange::Declare,
    of: &str,
) -> Result<(), Exception> {
    if kind_name(kind) != kind_name(&exchange.kind) {
        let received = format!("'{}'", kind_name(kind));
        return Err(inequivalent(
            "type",
            of,
            received,
            format!("'{}'", kind_name(&exchange.kind)),
        ));
    }
    check_flag("durable", of, declare.durable, exchange.durable)?;
    check_flag("auto_delete", of, declare.auto_delete, exchange.auto_delete)?;
    check_flag("internal", of, declare.internal, exchange.internal)?;
    let current =
        FieldTable::try_from(bytes::Bytes::copy_from_slice(&exchange.arguments)).unwrap_or_default();
    check_arguments(&[ALTERNATE_EXCHANGE], of, &declare.arguments, &current)
}
