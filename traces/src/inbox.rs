//! What a server sent and no line of the trace has asked for yet.

use std::collections::{BTreeSet, HashMap};

use crate::script::Place;

/// A frame as the trace has it.
pub(crate) struct Shown {
    pub place: Place,
    pub text: String,
    is_confirm: bool,
    /// How many frames came before it.
    at: u64,
}

/// What a line of the trace found.
pub(crate) enum Found {
    Same,
    Other(String),
    NotYet,
}

#[derive(Default)]
pub(crate) struct Inbox {
    shown: Vec<Shown>,
    arrived: u64,
    /// Messages that were published and not confirmed, by their number, of each channel that confirms.
    unconfirmed: HashMap<Place, (u64, BTreeSet<u64>)>,
    /// The return that was asked for last: the confirm of its message comes after it.
    returned: Option<(Place, u64)>,
}

impl Inbox {
    pub(crate) fn confirming(&mut self, place: &Place) {
        self.unconfirmed.entry(place.clone()).or_default();
    }

    pub(crate) fn published(&mut self, place: &Place) {
        if let Some((count, unconfirmed)) = self.unconfirmed.get_mut(place) {
            *count += 1;
            unconfirmed.insert(*count);
        }
    }

    /// A channel that is gone confirms no more.
    pub(crate) fn closed(&mut self, place: &Place) {
        self.unconfirmed.remove(place);
    }

    pub(crate) fn push(&mut self, place: Place, text: String) {
        self.arrived += 1;
        let (at, is_confirm) = (self.arrived, false);
        self.shown.push(Shown {
            place,
            text,
            is_confirm,
            at,
        });
    }

    /// Takes a confirm apart into one for each message, as how many share one is a matter of time.
    pub(crate) fn push_confirm(&mut self, place: Place, name: &str, tag: u64, multiple: bool) {
        let unconfirmed = self.unconfirmed.entry(place.clone()).or_default();
        let up_to = if tag == 0 { u64::MAX } else { tag };
        let mut tags = vec![tag];
        if multiple {
            tags = unconfirmed.1.range(..=up_to).copied().collect();
        }
        self.arrived += 1;
        for tag in tags {
            let known = unconfirmed.1.remove(&tag);
            let note = if known {
                ""
            } else {
                " (of no message that waits for it)"
            };
            let text = format!("{name} delivery-tag={tag}{note}");
            let (place, at) = (place.clone(), self.arrived);
            self.shown.push(Shown {
                place,
                text,
                is_confirm: true,
                at,
            });
        }
    }

    /// Looks for what a line of the trace says. The frames of a channel come in order, but confirms come in any.
    pub(crate) fn take(&mut self, place: &Place, text: &str) -> Found {
        let is_confirm = text.starts_with("basic.ack ") || text.starts_with("basic.nack ");
        let mut here = self
            .shown
            .iter()
            .enumerate()
            .filter(|(_, shown)| shown.place == *place);
        let found = match is_confirm {
            true => here.find(|(_, shown)| shown.is_confirm && tag_of(&shown.text) == tag_of(text)),
            false => here.find(|(_, shown)| !shown.is_confirm),
        };
        let Some((index, _)) = found else {
            return Found::NotYet;
        };
        let shown = self.shown.remove(index);
        if shown.text != text {
            return Found::Other(shown.text);
        }
        if let Some((returned, at)) = self.returned.take()
            && is_confirm
            && returned == *place
            && shown.at < at
        {
            return Found::Other(format!("{} before the return of its message", shown.text));
        }
        if text.starts_with("basic.return ") {
            self.returned = Some((place.clone(), shown.at));
        }
        Found::Same
    }

    /// The first frame that has come to `place` and is no confirm.
    pub(crate) fn take_reply(&mut self, place: &Place) -> Option<Shown> {
        let at = self
            .shown
            .iter()
            .position(|shown| shown.place == *place && !shown.is_confirm)?;
        Some(self.shown.remove(at))
    }

    pub(crate) fn put_back(&mut self, shown: Shown) {
        self.shown.insert(0, shown);
    }

    pub(crate) fn has(&self, place: &Place, text: &str) -> bool {
        self.shown
            .iter()
            .any(|shown| shown.place == *place && shown.text.starts_with(text))
    }

    /// Whether what was sent to `place` has its answer: on a channel that confirms, that is all confirms.
    pub(crate) fn answered(&self, place: &Place) -> bool {
        self.shown.iter().any(|shown| shown.place == *place) && !self.awaits_confirms(place)
    }

    pub(crate) fn awaits_confirms(&self, place: &Place) -> bool {
        self.unconfirmed
            .get(place)
            .is_some_and(|(_, unconfirmed)| !unconfirmed.is_empty())
    }

    /// All that is here, by channel, each in the order in which it came.
    pub(crate) fn drain(&mut self) -> Vec<String> {
        let mut shown = std::mem::take(&mut self.shown);
        shown.sort_by(|a, b| a.place.cmp(&b.place));
        shown.iter().map(Shown::line).collect()
    }
}

impl Shown {
    fn line(&self) -> String {
        format!("{}< {}", self.place.print(), self.text)
    }
}

/// The second word of a confirm.
fn tag_of(confirm: &str) -> Option<&str> {
    confirm.split_whitespace().nth(1)
}
