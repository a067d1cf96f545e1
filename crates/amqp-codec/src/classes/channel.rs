//! Section 1.5.

use crate::class::class;
use crate::primitives::{LongStr, ShortStr};

class! {
    channel Channel = 20;

    Open = 10 "open" {
        [ShortStr]
    }

    OpenOk = 11 "open-ok" {
        [LongStr]
    }

    Flow = 20 "flow" {
        active: bool,
    }

    FlowOk = 21 "flow-ok" {
        active: bool,
    }

    Close = 40 "close" {
        reply_code: u16,
        reply_text: ShortStr,
        /// Of the method that failed, or 0.
        class_id: u16,
        method_id: u16,
    }

    CloseOk = 41 "close-ok" {}
}
