//! Section 1.8, and RabbitMQ's basic.nack. Publisher confirms are basic.ack and basic.nack from the server.

use crate::class::class;
use crate::field_table::FieldTable;
use crate::primitives::ShortStr;

class! {
    basic Basic = 60;

    Qos = 10 "qos" {
        prefetch_size: u32,
        prefetch_count: u16,
        global: bool,
    }

    QosOk = 11 "qos-ok" {}

    Consume = 20 "consume" {
        [u16]
        queue: ShortStr,
        consumer_tag: ShortStr,
        no_local: bool,
        no_ack: bool,
        exclusive: bool,
        no_wait: bool,
        arguments: FieldTable,
    }

    ConsumeOk = 21 "consume-ok" {
        consumer_tag: ShortStr,
    }

    Cancel = 30 "cancel" {
        consumer_tag: ShortStr,
        no_wait: bool,
    }

    CancelOk = 31 "cancel-ok" {
        consumer_tag: ShortStr,
    }

    Publish = 40 "publish" content {
        [u16]
        exchange: ShortStr,
        routing_key: ShortStr,
        mandatory: bool,
        immediate: bool,
    }

    Return = 50 "return" content {
        reply_code: u16,
        reply_text: ShortStr,
        exchange: ShortStr,
        routing_key: ShortStr,
    }

    Deliver = 60 "deliver" content {
        consumer_tag: ShortStr,
        delivery_tag: u64,
        redelivered: bool,
        exchange: ShortStr,
        routing_key: ShortStr,
    }

    Get = 70 "get" {
        [u16]
        queue: ShortStr,
        no_ack: bool,
    }

    GetOk = 71 "get-ok" content {
        delivery_tag: u64,
        redelivered: bool,
        exchange: ShortStr,
        routing_key: ShortStr,
        message_count: u32,
    }

    GetEmpty = 72 "get-empty" {
        [ShortStr]
    }

    Ack = 80 "ack" {
        delivery_tag: u64,
        multiple: bool,
    }

    Reject = 90 "reject" {
        delivery_tag: u64,
        requeue: bool,
    }

    RecoverAsync = 100 "recover-async" {
        requeue: bool,
    }

    Recover = 110 "recover" {
        requeue: bool,
    }

    RecoverOk = 111 "recover-ok" {}

    Nack = 120 "nack" {
        delivery_tag: u64,
        multiple: bool,
        requeue: bool,
    }
}
