use std::collections::BTreeMap;
use std::sync::Arc;

use firth_broker::{Queue, Taken};

/// Deliveries that are not acknowledged yet, by their tags. Those that follow each other, of one queue to one consumer, are kept
/// together.
#[derive(Default)]
pub(crate) struct Unacked {
    /// By the tag of the first message of each.
    runs: BTreeMap<u64, Run>,
}

/// Messages of a queue that were delivered one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) queue: Arc<Queue>,
    /// As many offsets as messages.
    pub(crate) taken: Taken,
    /// Who received them; None for basic.get.
    pub(crate) consumer: Option<u64>,
    /// When the first of them was delivered, in milliseconds of the monotonic clock.
    pub(crate) delivered_ms: u64,
}

impl Run {
    pub(crate) fn len(&self) -> u64 {
        u64::try_from(self.taken.offsets.end.saturating_sub(self.taken.offsets.start)).unwrap_or(0)
    }

    /// Takes the messages from this one on.
    fn split_off(&mut self, at: u64) -> Run {
        let mut rest = self.clone();
        let middle = self.taken.offsets.start.saturating_add_unsigned(at);
        self.taken.offsets.end = middle;
        rest.taken.offsets.start = middle;
        rest
    }
}

impl Unacked {
    /// Adds a run of one message, with the highest tag so far.
    pub(crate) fn push(&mut self, tag: u64, run: Run) {
        if let Some(mut last) = self.runs.last_entry() {
            let (first, last) = (*last.key(), last.get_mut());
            let follows = first.saturating_add(last.len()) == tag
                && Arc::ptr_eq(&last.queue, &run.queue)
                && last.consumer == run.consumer
                && last.taken.offsets.end == run.taken.offsets.start
                && (last.taken.priority, last.taken.redelivered, last.taken.returns)
                    == (run.taken.priority, run.taken.redelivered, run.taken.returns);
            if follows {
                last.taken.offsets.end = run.taken.offsets.end;
                return;
            }
        }
        self.runs.insert(tag, run);
    }

    /// Puts back what was taken.
    pub(crate) fn restore(&mut self, runs: impl IntoIterator<Item = (u64, Run)>) {
        self.runs.extend(runs);
    }

    /// Takes the delivery with this tag, or with `multiple` all up to it. With 0 that is all. None if there is no such delivery.
    pub(crate) fn take(&mut self, tag: u64, multiple: bool) -> Option<Vec<(u64, Run)>> {
        if tag == 0 && multiple {
            return Some(self.take_all());
        }
        let (&first, run) = self.runs.range(..=tag).next_back()?;
        let at = tag.checked_sub(first).filter(|at| *at < run.len())?;
        let mut run = self.runs.remove(&first)?;
        let after = at.saturating_add(1);
        if after < run.len() {
            let rest = run.split_off(after);
            self.runs.insert(first.saturating_add(after), rest);
        }
        let mut taken = Vec::new();
        if multiple {
            let later = self.runs.split_off(&tag);
            taken.extend(std::mem::replace(&mut self.runs, later));
            taken.push((first, run));
        } else if at > 0 {
            let only = run.split_off(at);
            self.runs.insert(first, run);
            taken.push((tag, only));
        } else {
            taken.push((first, run));
        }
        Some(taken)
    }

    pub(crate) fn take_all(&mut self) -> Vec<(u64, Run)> {
        std::mem::take(&mut self.runs).into_iter().collect()
    }

    /// When the oldest of them was delivered.
    pub(crate) fn oldest_ms(&self) -> Option<u64> {
        self.runs.values().map(|run| run.delivered_ms).min()
    }
}
