//! Section 1.4, and RabbitMQ's connection.blocked and connection.update-secret.

use crate::class::class;
use crate::field_table::FieldTable;
use crate::primitives::{LongStr, ShortStr};

class! {
    connection Connection = 10;

    Start = 10 "start" {
        version_major: u8,
        version_minor: u8,
        server_properties: FieldTable,
        /// Names of SASL mechanisms with spaces between them.
        mechanisms: LongStr,
        locales: LongStr,
    }

    StartOk = 11 "start-ok" {
        client_properties: FieldTable,
        mechanism: ShortStr,
        response: LongStr,
        locale: ShortStr,
    }

    Secure = 20 "secure" {
        challenge: LongStr,
    }

    SecureOk = 21 "secure-ok" {
        response: LongStr,
    }

    Tune = 30 "tune" {
        /// The highest channel number; 0 is no limit.
        channel_max: u16,
        /// Bytes of a whole frame; 0 is no limit.
        frame_max: u32,
        /// Seconds; 0 is none.
        heartbeat: u16,
    }

    TuneOk = 31 "tune-ok" {
        channel_max: u16,
        frame_max: u32,
        heartbeat: u16,
    }

    Open = 40 "open" {
        virtual_host: ShortStr,
        (ShortStr, bool)
    }

    OpenOk = 41 "open-ok" {
        [ShortStr]
    }

    Close = 50 "close" {
        reply_code: u16,
        reply_text: ShortStr,
        /// Of the method that failed, or 0.
        class_id: u16,
        method_id: u16,
    }

    CloseOk = 51 "close-ok" {}

    Blocked = 60 "blocked" {
        reason: ShortStr,
    }

    Unblocked = 61 "unblocked" {}

    UpdateSecret = 70 "update-secret" {
        new_secret: LongStr,
        reason: ShortStr,
    }

    UpdateSecretOk = 71 "update-secret-ok" {}
}
