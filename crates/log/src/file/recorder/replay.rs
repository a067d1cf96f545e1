//! Tells at each position of a journal what is durable, and builds images from there.
//!
//! Names and each file have a *base*, to which the operations are applied that are durable together with all before
//! them, and a queue of the others in their order. The base is moved along with the position and shared with the
//! images, so an image costs what is in the queues, not what the journal holds.
//!
//! A write is durable when it has ended and flushes by itself, or when a flush of its file that began after its end
//! has ended; a length likewise. A name is durable when each directory it concerns was flushed after it. What is in
//! a queue and not durable is there, or not, or torn, and does not wait for what is before it: only names are bound
//! to the earlier operations on the same names, as every file system keeps the history of one name in order.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::chooser::{Choice, Chooser, Part};
use super::durability::Durability;
use super::image::Image;
use super::journal::{Journal, Operation};
use super::tree::{Inode, Tree, parent};

/// A power failure that can be moved forward through a journal.
pub struct Replay<'a> {
    journal: &'a Journal,
    at: usize,
    tree: Tree,
    names: VecDeque<Name>,
    files: Vec<Durability>,
}

/// A change of names that is not in the base yet.
struct Name {
    entry: usize,
    /// Directories to be flushed before it is durable.
    waits_for: Vec<Arc<str>>,
    /// A flush that was to make it durable has failed.
    doomed: bool,
}

impl<'a> Replay<'a> {
    pub(super) fn new(journal: &'a Journal) -> Replay<'a> {
        let (tree, contents) = journal.base().open();
        let files = contents.into_iter().map(Durability::new).collect();
        Replay {
            journal,
            at: 0,
            tree,
            names: VecDeque::new(),
            files,
        }
    }

    pub fn position(&self) -> usize {
        self.at
    }

    /// Moves on to position `at`.
    ///
    /// # Panics
    /// If it lies before the present one or behind the end of the journal.
    pub fn advance_to(&mut self, at: usize) {
        assert!(
            (self.at..=self.journal.len()).contains(&at),
            "a replay goes forward, within the journal"
        );
        for entry in self.at..at {
            self.advance(entry);
        }
        self.at = at;
    }

    fn advance(&mut self, entry: usize) {
        match &self.journal.operations()[entry] {
            Operation::Create { path, .. } => {
                self.files.push(Durability::new(Arc::default()));
                self.name_changed(entry, vec![path]);
            }
            Operation::CreateDir { path } | Operation::Remove { path, .. } => {
                self.name_changed(entry, vec![path]);
            }
            Operation::Rename { from, to, .. } => self.name_changed(entry, vec![from, to]),
            Operation::Write { inode, .. } => self.file(*inode).write_began(entry),
            Operation::SetLen { inode, .. } => self.file(*inode).len_changed(entry),
            Operation::End { begin, succeeded } => self.ended(entry, *begin, *succeeded),
            Operation::Sync { .. } | Operation::SyncDir { .. } | Operation::Mark(_) => {}
        }
    }

    fn name_changed(&mut self, entry: usize, paths: Vec<&Arc<str>>) {
        let mut waits_for: Vec<Arc<str>> = paths.into_iter().map(|path| parent(path).into()).collect();
        waits_for.dedup();
        self.names.push_back(Name {
            entry,
            waits_for,
            doomed: false,
        });
    }

    fn ended(&mut self, entry: usize, begin: usize, succeeded: bool) {
        let operations = self.journal.operations();
        let flushes = self.journal.flushes(begin);
        match &operations[begin] {
            // A write that failed is in flight for ever.
            Operation::Write {
                inode,
                flushes: by_itself,
                ..
            } if succeeded => {
                self.file(*inode)
                    .write_ended(entry, begin, *by_itself && flushes, operations);
            }
            Operation::Sync { inode, .. } if !succeeded => self.file(*inode).sync_failed(),
            Operation::Sync { inode, .. } if flushes => self.file(*inode).synced(begin, operations),
            Operation::SyncDir { path } if !succeeded => self.sync_dir_failed(path),
            Operation::SyncDir { path } if flushes => self.synced_dir(path, begin),
            _ => {}
        }
        self.move_base();
    }

    fn file(&mut self, Inode(inode): Inode) -> &mut Durability {
        &mut self.files[inode]
    }

    fn synced_dir(&mut self, dir: &str, begin: usize) {
        for name in self
            .names
            .iter_mut()
            .filter(|name| name.entry < begin && !name.doomed)
        {
            name.waits_for.retain(|waited| **waited != *dir);
        }
    }

    fn sync_dir_failed(&mut self, dir: &str) {
        for name in &mut self.names {
            name.doomed |= name.waits_for.iter().any(|waited| **waited == *dir);
        }
    }

    fn move_base(&mut self) {
        while self.names.front().is_some_and(Name::is_durable) {
            if let Some(name) = self.names.pop_front() {
                self.tree.apply(&self.journal.operations()[name.entry]);
            }
        }
    }

    /// What a power failure at this position leaves, where `chooser` decides about all that is not durable.
    pub fn image(&self, chooser: &mut dyn Chooser) -> Image {
        let tree = self.tree_after_failure(chooser);
        let operations = self.journal.operations();
        Image::close(&tree, |Inode(inode)| {
            self.files[inode].after_failure(operations, chooser)
        })
    }

    fn tree_after_failure(&self, chooser: &mut dyn Chooser) -> Tree {
        let operations = self.journal.operations();
        let chosen = |name: &Name| name.is_durable() || chooser.choose(Choice::new(name.entry, Part::Name));
        let mut present: Vec<bool> = self.names.iter().map(chosen).collect();
        // What is there brings the whole history of its names with it.
        let mut settled = HashSet::new();
        for (name, present) in self.names.iter().zip(&mut present).rev() {
            let paths = touched(&operations[name.entry]);
            *present |= paths.iter().flatten().any(|path| settled.contains(path));
            if *present {
                settled.extend(paths.into_iter().flatten());
            }
        }
        let mut tree = self.tree.clone();
        for (name, _) in self.names.iter().zip(present).filter(|(_, present)| *present) {
            tree.apply(&operations[name.entry]);
        }
        tree
    }
}

impl Name {
    fn is_durable(&self) -> bool {
        self.waits_for.is_empty()
    }
}

fn touched(operation: &Operation) -> [Option<&str>; 2] {
    match operation {
        Operation::Create { path, .. } | Operation::CreateDir { path } | Operation::Remove { path, .. } => {
            [Some(path), None]
        }
        Operation::Rename { from, to, .. } => [Some(from), Some(to)],
        _ => [None, None],
    }
}
