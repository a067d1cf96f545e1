use firth_amqp_codec::tx;

use super::unimplemented;
use crate::channel::{Buffered, Mode, Transaction};
use crate::connection::Outgoing;
use crate::exception::{Exception, fail};
use crate::session::Session;

impl Session {
    pub(super) fn tx(
        &mut self,
        out: &mut Outgoing,
        number: u16,
        method: tx::Method,
    ) -> Result<(), Exception> {
        match method {
            tx::Method::Select(_) => self.tx_select(out, number),
            tx::Method::Commit(_) => self.tx_commit(out, number),
            tx::Method::Rollback(_) => self.tx_rollback(out, number),
            tx::Method::SelectOk(_) | tx::Method::CommitOk(_) | tx::Method::RollbackOk(_) => {
                Err(unimplemented())
            }
        }
    }

    fn tx_select(&mut self, out: &mut Outgoing, number: u16) -> Result<(), Exception> {
        if let Some(channel) = self.channels.get_mut(&number) {
            match channel.mode {
                Mode::Plain => channel.mode = Mode::Transaction(Transaction::default()),
                Mode::Transaction(_) => {}
                Mode::Confirm(_) => fail!(PreconditionFailed, "cannot switch from confirm to tx mode"),
            }
        }
        self.reply(out, number, &tx::SelectOk {})
    }

    /// What the channel did since the last commit, which it is done with.
    fn take_transaction(&mut self, number: u16) -> Result<Transaction, Exception> {
        let channel = self.channels.get_mut(&number);
        match channel.map(|channel| &mut channel.mode) {
            Some(Mode::Transaction(transaction)) => Ok(std::mem::take(transaction)),
            _ => fail!(PreconditionFailed, "channel is not transactional"),
        }
    }

    /// Publishes all messages as one, then settles what was settled, and answers when both are durable.
    fn tx_commit(&mut self, out: &mut Outgoing, number: u16) -> Result<(), Exception> {
        let Transaction {
            published, settled, ..
        } = self.take_transaction(number)?;
        let mut publication = self.client.server.broker.publication();
        let mut refused = 0_usize;
        for Buffered { publish, targets } in published {
            let done = self.publish_to(&mut publication, &publish, &targets)?;
            refused = refused.saturating_add(done.refused);
            if done.is_returned {
                self.return_message(out, number, publish);
            }
        }
        if !publication.is_empty() {
            let stored = publication.store().map_err(super::basic::not_stored)?;
            out.wait_for(stored);
        }
        let has_settled = !settled.is_empty();
        for settled in settled {
            self.settle_now(number, vec![(settled.tag, settled.run)], settled.settlement);
        }
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.has_settled |= has_settled;
        }
        if refused > 0 {
            fail!(PreconditionFailed, "partial tx completion");
        }
        self.reply(out, number, &tx::CommitOk {})
    }

    fn tx_rollback(&mut self, out: &mut Outgoing, number: u16) -> Result<(), Exception> {
        let transaction = self.take_transaction(number)?;
        if let Some(channel) = self.channels.get_mut(&number) {
            let settled = transaction.settled.into_iter();
            channel
                .unacked
                .restore(settled.map(|settled| (settled.tag, settled.run)));
        }
        self.reply(out, number, &tx::RollbackOk {})
    }
}
