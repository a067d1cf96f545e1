//! Class basic: one file for what belongs together.

mod consume;
mod deliver;
mod get;
mod publish;
mod settle;

use firth_amqp_codec::{Content, ReplyCode, basic};
use firth_log::AppendError;

pub(crate) use self::settle::give_back;
use super::unimplemented;
use crate::channel::Settlement;
use crate::connection::{Ending, Outgoing};
use crate::exception::Exception;
use crate::session::Session;

impl Session {
    pub(super) async fn basic(
        &mut self,
        out: &mut Outgoing,
        number: u16,
        method: basic::Method,
        content: Option<Content>,
    ) -> Result<(), Ending> {
        use basic::Method;
        match method {
            Method::Publish(publish) => self.publish(out, number, publish, content.unwrap_or_default())?,
            Method::Ack(ack) => {
                self.settle(number, ack.delivery_tag, ack.multiple, Settlement::Acknowledge)?;
            }
            Method::Nack(nack) => {
                let settlement = requeue_or_reject(nack.requeue);
                self.settle(number, nack.delivery_tag, nack.multiple, settlement)?;
            }
            Method::Reject(reject) => {
                let settlement = requeue_or_reject(reject.requeue);
                self.settle(number, reject.delivery_tag, false, settlement)?;
            }
            Method::Get(get) => self.get(out, number, &get).await?,
            Method::Consume(consume) => self.consume(out, number, consume)?,
            Method::Cancel(cancel) => self.cancel(out, number, &cancel)?,
            Method::Qos(qos) => self.qos(out, number, &qos)?,
            Method::Recover(recover) => {
                self.recover(number, recover.requeue)?;
                self.reply(out, number, &basic::RecoverOk {})?;
            }
            Method::RecoverAsync(recover) => self.recover(number, recover.requeue)?,
            Method::QosOk(_)
            | Method::ConsumeOk(_)
            | Method::CancelOk(_)
            | Method::Return(_)
            | Method::Deliver(_)
            | Method::GetOk(_)
            | Method::GetEmpty(_)
            | Method::RecoverOk(_) => return Err(unimplemented().into()),
        }
        Ok(())
    }
}

fn requeue_or_reject(requeue: bool) -> Settlement {
    match requeue {
        true => Settlement::Requeue,
        false => Settlement::Reject,
    }
}

/// Messages were not stored.
pub(super) fn not_stored(error: AppendError) -> Exception {
    let code = match error {
        AppendError::Full => ReplyCode::ResourceError,
        _ => ReplyCode::InternalError,
    };
    Exception::new(code, error.to_string())
}
