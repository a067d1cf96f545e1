//! Section 1.6, and RabbitMQ's bindings between exchanges.

use crate::class::class;
use crate::field_table::FieldTable;
use crate::primitives::ShortStr;

class! {
    exchange Exchange = 40;

    Declare = 10 "declare" {
        [u16]
        exchange: ShortStr,
        kind: ShortStr,
        passive: bool,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        no_wait: bool,
        arguments: FieldTable,
    }

    DeclareOk = 11 "declare-ok" {}

    Delete = 20 "delete" {
        [u16]
        exchange: ShortStr,
        if_unused: bool,
        no_wait: bool,
    }

    DeleteOk = 21 "delete-ok" {}

    Bind = 30 "bind" {
        [u16]
        destination: ShortStr,
        source: ShortStr,
        routing_key: ShortStr,
        no_wait: bool,
        arguments: FieldTable,
    }

    BindOk = 31 "bind-ok" {}

    Unbind = 40 "unbind" {
        [u16]
        destination: ShortStr,
        source: ShortStr,
        routing_key: ShortStr,
        no_wait: bool,
        arguments: FieldTable,
    }

    UnbindOk = 51 "unbind-ok" {}
}
