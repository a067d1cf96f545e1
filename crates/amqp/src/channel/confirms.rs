use std::collections::VecDeque;

use bytes::BytesMut;
use firth_amqp_codec::{basic, write_method};

/// The numbers of messages that are to be confirmed.
#[derive(Default)]
pub(crate) struct Confirms {
    last: u64,
    /// Of what was published since the last storing.
    outcomes: VecDeque<Outcome>,
}

/// What the publisher is told of messages that follow each other: that they are safe, or that they were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) last: u64,
    count: u64,
    is_refused: bool,
}

impl Confirms {
    /// Numbers the next message.
    pub(crate) fn published(&mut self, is_refused: bool) {
        self.last = self.last.saturating_add(1);
        let last = self.last;
        match self.outcomes.back_mut() {
            Some(outcome) if !is_refused && !outcome.is_refused => {
                outcome.last = last;
                outcome.count = outcome.count.saturating_add(1);
            }
            _ => self.outcomes.push_back(Outcome {
                last,
                count: 1,
                is_refused,
            }),
        }
    }

    /// What there is to tell when all that was published is stored.
    pub(crate) fn take(&mut self) -> VecDeque<Outcome> {
        std::mem::take(&mut self.outcomes)
    }
}

impl Outcome {
    /// It was not stored, so that it is not told that it was.
    pub(crate) fn refuse(self) -> Outcome {
        Outcome {
            is_refused: true,
            ..self
        }
    }

    /// Tells of this one and the one behind it together, if one answer can do that.
    pub(crate) fn joined(self, next: Outcome) -> Option<Outcome> {
        (self.is_refused == next.is_refused).then(|| Outcome {
            last: next.last,
            count: self.count.saturating_add(next.count),
            is_refused: self.is_refused,
        })
    }

    /// Everything before it was told of.
    pub(crate) fn write(self, buf: &mut BytesMut, channel: u16) {
        let (delivery_tag, multiple) = (self.last, self.count > 1);
        match self.is_refused {
            false => write_method(
                buf,
                channel,
                &basic::Ack {
                    delivery_tag,
                    multiple,
                },
            ),
            true => write_method(
                buf,
                channel,
                &basic::Nack {
                    delivery_tag,
                    multiple,
                    requeue: false,
                },
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written of outcomes, joined as far as that goes.
    fn told(outcomes: impl IntoIterator<Item = Outcome>) -> Vec<(&'static str, u64, bool)> {
        let mut joined: Vec<Outcome> = Vec::new();
        for outcome in outcomes {
            match joined.last().and_then(|last| last.joined(outcome)) {
                Some(both) => _ = joined.splice(joined.len() - 1.., [both]),
                None => joined.push(outcome),
            }
        }
        let word = |outcome: &Outcome| if outcome.is_refused { "nack" } else { "ack" };
        let told = joined
            .iter()
            .map(|outcome| (word(outcome), outcome.last, outcome.count > 1));
        told.collect()
    }

    #[test]
    fn what_was_refused_is_told_between_what_was_not() {
        let mut confirms = Confirms::default();
        for is_refused in [false, false, true, false, true, true] {
            confirms.published(is_refused);
        }
        assert_eq!(
            told(confirms.take()),
            [
                ("ack", 2, true),
                ("nack", 3, false),
                ("ack", 4, false),
                ("nack", 6, true)
            ]
        );
        confirms.published(false);
        assert_eq!(told(confirms.take()), [("ack", 7, false)]);
        assert_eq!(told(confirms.take()), []);
    }

    #[test]
    fn what_was_not_stored_is_refused() {
        let mut confirms = Confirms::default();
        confirms.published(false);
        confirms.published(false);
        let refused = confirms.take().into_iter().map(Outcome::refuse);
        assert_eq!(told(refused), [("nack", 2, true)]);
    }
}
