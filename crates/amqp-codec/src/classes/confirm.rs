//! RabbitMQ's publisher confirms.

use crate::class::class;

class! {
    confirm Confirm = 85;

    Select = 10 "select" {
        no_wait: bool,
    }

    SelectOk = 11 "select-ok" {}
}
