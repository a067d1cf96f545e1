//! Section 1.7.

use crate::class::class;
use crate::field_table::FieldTable;
use crate::primitives::ShortStr;

class! {
    queue Queue = 50;

    Declare = 10 "declare" {
        [u16]
        queue: ShortStr,
        passive: bool,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
        no_wait: bool,
        arguments: FieldTable,
    }

    DeclareOk = 11 "declare-ok" {
        queue: ShortStr,
        message_count: u32,
        consumer_count: u32,
    }

    Bind = 20 "bind" {
        [u16]
        queue: ShortStr,
        exchange: ShortStr,
        routing_key: ShortStr,
        no_wait: bool,
        arguments: FieldTable,
    }

    BindOk = 21 "bind-ok" {}

    Purge = 30 "purge" {
        [u16]
        queue: ShortStr,
        no_wait: bool,
    }

    PurgeOk = 31 "purge-ok" {
        message_count: u32,
    }

    Delete = 40 "delete" {
        [u16]
        queue: ShortStr,
        if_unused: bool,
        if_empty: bool,
        no_wait: bool,
    }

    DeleteOk = 41 "delete-ok" {
        message_count: u32,
    }

    Unbind = 50 "unbind" {
        [u16]
        queue: ShortStr,
        exchange: ShortStr,
        routing_key: ShortStr,
        arguments: FieldTable,
    }

    UnbindOk = 51 "unbind-ok" {}
}
