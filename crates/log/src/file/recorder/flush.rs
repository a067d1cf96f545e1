//! The places that flush, told apart by what they flush.

use std::fmt;

use super::journal::Operation;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FlushKind {
    /// [`File::sync`](crate::file::File::sync).
    Sync,
    /// A write in [`Mode::DirectSync`](crate::file::Mode::DirectSync).
    DirectSync,
    /// [`Storage::sync_dir`](crate::file::Storage::sync_dir).
    SyncDir,
}

/// All flushes of one kind on paths that differ in numbers only: `wal/00012` and `wal/00013` are both `wal/*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlushSite {
    pub kind: FlushKind,
    pub pattern: String,
}

impl FlushSite {
    pub fn new(kind: FlushKind, path: &str) -> FlushSite {
        FlushSite {
            kind,
            pattern: pattern(path),
        }
    }

    /// Where this operation flushes, if it does.
    pub fn of(operation: &Operation) -> Option<FlushSite> {
        match operation {
            Operation::Write {
                path, flushes: true, ..
            } => Some(FlushSite::new(FlushKind::DirectSync, path)),
            Operation::Sync { path, .. } => Some(FlushSite::new(FlushKind::Sync, path)),
            Operation::SyncDir { path } => Some(FlushSite::new(FlushKind::SyncDir, path)),
            _ => None,
        }
    }
}

impl fmt::Display for FlushSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            FlushKind::Sync => "sync",
            FlushKind::DirectSync => "direct sync write",
            FlushKind::SyncDir => "sync_dir",
        };
        write!(f, "{kind} {:?}", self.pattern)
    }
}

/// Replaces each number, decimal or hexadecimal, by `*`.
fn pattern(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(first) = rest.chars().next() {
        let digits = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
        let (run, after) = rest.split_at(digits.max(first.len_utf8()));
        // A run of letters alone, such as the `ca` of `catalog`, is a part of a word.
        let number = run.contains(|c: char| c.is_ascii_digit());
        pattern.push_str(if number { "*" } else { run });
        rest = after;
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_differ_in_numbers_only_are_one_site() {
        for (path, expected) in [
            ("", ""),
            ("wal", "wal"),
            ("wal/00000012", "wal/*"),
            ("segments/1f3a", "segments/*"),
            ("segments/000a.tmp", "segments/*.tmp"),
            ("catalog", "catalog"),
            ("größe/7", "größe/*"),
        ] {
            assert_eq!(pattern(path), expected);
        }
        assert_ne!(
            FlushSite::new(FlushKind::Sync, "wal/1"),
            FlushSite::new(FlushKind::DirectSync, "wal/1")
        );
    }
}
