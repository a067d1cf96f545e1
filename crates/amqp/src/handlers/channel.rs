use firth_amqp_codec::{ReplyCode, channel};

use super::unimplemented;
use crate::connection::{Ending, Outgoing};
use crate::exception::{Exception, fail};
use crate::session::Session;

impl Session {
    pub(super) fn channel(
        &mut self,
        out: &mut Outgoing,
        number: u16,
        method: channel::Method,
    ) -> Result<(), Ending> {
        match method {
            channel::Method::Open(_) => {
                Err(Exception::new(ReplyCode::ChannelError, "second 'channel.open' seen").into())
            }
            channel::Method::Flow(flow) => Ok(self.channel_flow(out, number, &flow)?),
            channel::Method::Close(_) => self.channel_close(out, number),
            channel::Method::OpenOk(_) | channel::Method::FlowOk(_) | channel::Method::CloseOk(_) => {
                Err(unimplemented().into())
            }
        }
    }

    fn channel_flow(
        &mut self,
        out: &mut Outgoing,
        number: u16,
        flow: &channel::Flow,
    ) -> Result<(), Exception> {
        if !flow.active {
            fail!(NotImplemented, "active=false");
        }
        self.reply(out, number, &channel::FlowOk { active: true })
    }

    fn channel_close(&mut self, out: &mut Outgoing, number: u16) -> Result<(), Ending> {
        self.store(out)?;
        self.release_channel(number);
        self.reply(out, number, &channel::CloseOk {})?;
        self.channels.remove(&number);
        Ok(())
    }
}
