//! How much of one file is durable, and what a power failure may make of the rest.

use std::collections::VecDeque;
use std::sync::Arc;

use super::SECTOR_BYTES;
use super::chooser::{Choice, Chooser, Part};
use super::content::Content;
use super::journal::Operation;

pub(super) struct Durability {
    base: Arc<Content>,
    /// What is not in the base yet, in the order of the journal.
    pending: VecDeque<Change>,
}

/// A write or a new length.
struct Change {
    entry: usize,
    ended_at: Option<usize>,
    durable: bool,
    /// A flush that was to make it durable has failed.
    doomed: bool,
}

impl Durability {
    pub(super) fn new(base: Arc<Content>) -> Durability {
        Durability {
            base,
            pending: VecDeque::new(),
        }
    }

    pub(super) fn write_began(&mut self, entry: usize) {
        self.pending.push_back(Change {
            entry,
            ended_at: None,
            durable: false,
            doomed: false,
        });
    }

    pub(super) fn len_changed(&mut self, entry: usize) {
        self.pending.push_back(Change {
            entry,
            ended_at: Some(entry),
            durable: false,
            doomed: false,
        });
    }

    pub(super) fn write_ended(&mut self, at: usize, begin: usize, durable: bool, operations: &[Operation]) {
        if let Ok(index) = self.pending.binary_search_by_key(&begin, |change| change.entry) {
            self.pending[index].ended_at = Some(at);
            self.pending[index].durable |= durable;
        }
        self.move_base(operations);
    }

    pub(super) fn synced(&mut self, begin: usize, operations: &[Operation]) {
        for change in &mut self.pending {
            change.durable |= !change.doomed && change.ended_at.is_some_and(|ended_at| ended_at < begin);
        }
        self.move_base(operations);
    }

    pub(super) fn sync_failed(&mut self) {
        for change in &mut self.pending {
            change.doomed = true;
        }
    }

    fn move_base(&mut self, operations: &[Operation]) {
        while self.pending.front().is_some_and(|change| change.durable) {
            if let Some(change) = self.pending.pop_front() {
                apply(Arc::make_mut(&mut self.base), &operations[change.entry]);
            }
        }
    }

    pub(super) fn after_failure(&self, operations: &[Operation], chooser: &mut dyn Chooser) -> Arc<Content> {
        let mut content = self.base.clone();
        if !self.pending.is_empty() {
            let content = Arc::make_mut(&mut content);
            for change in &self.pending {
                let operation = &operations[change.entry];
                if change.durable {
                    apply(content, operation);
                } else {
                    apply_in_part(content, operation, change.entry, chooser);
                }
            }
        }
        content
    }
}

fn apply(content: &mut Content, operation: &Operation) {
    match operation {
        Operation::Write { position, bytes, .. } => content.write(*position, bytes),
        Operation::SetLen { len, .. } => content.set_len(*len),
        _ => {}
    }
}

fn apply_in_part(content: &mut Content, operation: &Operation, entry: usize, chooser: &mut dyn Chooser) {
    match operation {
        Operation::Write { position, bytes, .. } if !bytes.is_empty() => {
            tear(content, *position, bytes, entry, chooser);
        }
        Operation::SetLen { len, .. } if chooser.choose(Choice::new(entry, Part::Length)) => {
            content.set_len(*len);
        }
        _ => {}
    }
}

/// Writes the sectors that were chosen, and perhaps the length without them.
fn tear(content: &mut Content, position: u64, bytes: &[u8], entry: usize, chooser: &mut dyn Chooser) {
    let end = position + bytes.len() as u64;
    if end > content.len() && chooser.choose(Choice::new(entry, Part::Length)) {
        content.set_len(end);
    }
    // The first sector may be one that the write begins in the middle of.
    let lead = (position % SECTOR_BYTES as u64) as usize;
    let count = (lead + bytes.len()).div_ceil(SECTOR_BYTES);
    let begin_of = |sector: usize| (sector * SECTOR_BYTES).saturating_sub(lead).min(bytes.len());
    let mut chosen = |index| chooser.choose(Choice::new(entry, Part::Sector { index, count }));
    let mut sector = 0;
    while sector < count {
        let from = sector;
        while sector < count && chosen(sector) {
            sector += 1;
        }
        let run = begin_of(from)..begin_of(sector);
        content.write(position + run.start as u64, &bytes[run]);
        // The sector that ended the run was asked about and is missing.
        sector += 1;
    }
}
