use firth_amqp_codec::confirm;

use super::unimplemented;
use crate::channel::{Confirms, Mode};
use crate::connection::Outgoing;
use crate::exception::{Exception, fail};
use crate::session::Session;

impl Session {
    pub(super) fn confirm(
        &mut self,
        out: &mut Outgoing,
        number: u16,
        method: confirm::Method,
    ) -> Result<(), Exception> {
        let confirm::Method::Select(select) = method else {
            return Err(unimplemented());
        };
        if let Some(channel) = self.channels.get_mut(&number) {
            match channel.mode {
                Mode::Plain => channel.mode = Mode::Confirm(Confirms::default()),
                Mode::Confirm(_) => {}
                Mode::Transaction(_) => fail!(PreconditionFailed, "cannot switch from tx to confirm mode"),
            }
        }
        self.reply_unless(out, number, select.no_wait, &confirm::SelectOk {})
    }
}
