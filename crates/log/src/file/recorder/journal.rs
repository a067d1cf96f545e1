//! The operations on a data directory in the one order in which they happened.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;

use super::chooser::Chooser;
use super::flush::FlushSite;
use super::image::Image;
use super::replay::Replay;
use super::tree::Inode;

/// One entry of the journal.
#[derive(Clone, Debug, Hash)]
pub enum Operation {
    /// An open that made the file.
    Create {
        path: Arc<str>,
        inode: Inode,
    },
    CreateDir {
        path: Arc<str>,
    },
    Rename {
        from: Arc<str>,
        to: Arc<str>,
        inode: Inode,
        replaced: Option<Inode>,
    },
    Remove {
        path: Arc<str>,
        inode: Inode,
    },
    /// The begin of a write; `flushes` if it is durable when it has ended. `path` is the name it was opened under.
    Write {
        path: Arc<str>,
        inode: Inode,
        position: u64,
        bytes: Bytes,
        flushes: bool,
    },
    SetLen {
        path: Arc<str>,
        inode: Inode,
        len: u64,
    },
    /// The begin of a flush of one file.
    Sync {
        path: Arc<str>,
        inode: Inode,
    },
    /// The begin of a flush of the names in one directory.
    SyncDir {
        path: Arc<str>,
    },
    /// The end of the write or flush that began at the entry `begin`.
    End {
        begin: usize,
        succeeded: bool,
    },
    Mark(Mark),
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operation::Create { path, .. } => write!(f, "create {path}"),
            Operation::CreateDir { path } => write!(f, "create directory {path}"),
            Operation::Rename { from, to, .. } => write!(f, "rename {from} to {to}"),
            Operation::Remove { path, .. } => write!(f, "remove {path}"),
            Operation::Write {
                path,
                position,
                bytes,
                ..
            } => write!(f, "write {path} from {position}, {} bytes", bytes.len()),
            Operation::SetLen { path, len, .. } => write!(f, "set the length of {path} to {len}"),
            Operation::Sync { path, .. } => write!(f, "flush {path}"),
            Operation::SyncDir { path } => write!(f, "flush directory {path}"),
            Operation::End {
                begin,
                succeeded: true,
            } => write!(f, "{begin} has ended"),
            Operation::End {
                begin,
                succeeded: false,
            } => write!(f, "{begin} has failed"),
            Operation::Mark(Mark::Number(number)) => write!(f, "mark {number}"),
            Operation::Mark(Mark::Label(label)) => write!(f, "mark {label}"),
        }
    }
}

/// What a test notes in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    Number(u64),
    Label(String),
}

impl From<u64> for Mark {
    fn from(number: u64) -> Mark {
        Mark::Number(number)
    }
}

impl From<&str> for Mark {
    fn from(label: &str) -> Mark {
        Mark::Label(label.to_owned())
    }
}

impl From<String> for Mark {
    fn from(label: String) -> Mark {
        Mark::Label(label)
    }
}

/// A recording; cheap to clone. A *position* in it is the number of entries before a moment, from 0 to `len`.
#[derive(Clone)]
pub struct Journal {
    base: Image,
    operations: Arc<[Operation]>,
    /// Entries whose flush is taken not to have happened.
    dropped: Arc<HashSet<usize>>,
}

impl Journal {
    pub(super) fn new(base: Image, operations: Vec<Operation>) -> Journal {
        Journal {
            base,
            operations: operations.into(),
            dropped: Arc::default(),
        }
    }

    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// The same for the same operations with the same bytes in the same order.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.operations.hash(&mut hasher);
        hasher.finish()
    }

    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// What was on the disk when the recording began.
    pub fn base(&self) -> &Image {
        &self.base
    }

    /// What a power failure at position `at` leaves, where `chooser` decides about all that was not durable.
    /// For many positions take [`Journal::replay`], which does not begin again for each.
    pub fn image(&self, at: usize, chooser: &mut dyn Chooser) -> Image {
        let mut replay = self.replay();
        replay.advance_to(at);
        replay.image(chooser)
    }

    /// Stands at position 0 and moves forward.
    pub fn replay(&self) -> Replay<'_> {
        Replay::new(self)
    }

    /// The marks that were put before position `at`, each with the position of its entry.
    pub fn marks_before(&self, at: usize) -> impl Iterator<Item = (usize, &Mark)> {
        self.operations[..at]
            .iter()
            .enumerate()
            .filter_map(|(entry, operation)| match operation {
                Operation::Mark(mark) => Some((entry, mark)),
                _ => None,
            })
    }

    /// Every site that flushed, and how often.
    pub fn flush_sites(&self) -> BTreeMap<FlushSite, usize> {
        let mut sites = BTreeMap::new();
        for site in self.operations.iter().filter_map(FlushSite::of) {
            *sites.entry(site).or_default() += 1;
        }
        sites
    }

    /// The same recording, as if the code had no flush at this site. What ran does not depend on it, so one
    /// recording shows whether each flush is needed: without it, some image must fail to recover.
    pub fn without(&self, site: &FlushSite) -> Journal {
        self.dropping(|entry| FlushSite::of(&self.operations[entry]).as_ref() == Some(site))
    }

    /// The same recording without the `nth` flush, counted from 0, at this site.
    pub fn without_nth(&self, site: &FlushSite, nth: usize) -> Journal {
        let mut at_site =
            (0..self.len()).filter(|entry| FlushSite::of(&self.operations[*entry]).as_ref() == Some(site));
        let dropped = at_site.nth(nth);
        self.dropping(|entry| Some(entry) == dropped)
    }

    fn dropping(&self, dropped: impl Fn(usize) -> bool) -> Journal {
        let more = (0..self.len()).filter(|entry| dropped(*entry));
        let dropped = Arc::new(self.dropped.iter().copied().chain(more).collect());
        Journal {
            base: self.base.clone(),
            operations: self.operations.clone(),
            dropped,
        }
    }

    /// Whether the flush that began at this entry counts.
    pub(super) fn flushes(&self, begin: usize) -> bool {
        !self.dropped.contains(&begin)
    }
}
