//! A class of 0-8 and 0-9, which 0-9-1 dropped and old clients still use: RabbitMQ answers it with a ticket that means nothing.

use crate::class::class;
use crate::primitives::ShortStr;

class! {
    access Access = 30;

    Request = 10 "request" {
        realm: ShortStr,
        exclusive: bool,
        passive: bool,
        active: bool,
        write: bool,
        read: bool,
    }

    RequestOk = 11 "request-ok" {
        ticket: u16,
    }
}
