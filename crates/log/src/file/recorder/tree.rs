//! The names of a data directory: what exists under which path, and what the recorded operations do to that.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::journal::Operation;

/// A file apart from its names, in the order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Inode(pub(super) usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Directory,
    File(Inode),
}

#[derive(Clone, Default)]
pub(super) struct Tree {
    nodes: BTreeMap<Arc<str>, Node>,
}

impl Tree {
    pub(super) fn get(&self, path: &str) -> Option<Node> {
        self.nodes.get(path).copied()
    }

    pub(super) fn insert(&mut self, path: Arc<str>, node: Node) {
        self.nodes.insert(path, node);
    }

    /// All paths, sorted, which puts a directory before what it holds.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, Node)> {
        self.nodes.iter().map(|(path, node)| (path, *node))
    }

    pub(super) fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.check_directory(dir)?;
        let inside = self.nodes.keys().filter(|path| parent(path) == dir);
        Ok(inside
            .map(|path| path.rsplit('/').next().unwrap_or(path).to_owned())
            .collect())
    }

    pub(super) fn check_directory(&self, dir: &str) -> io::Result<()> {
        match self.get(dir) {
            _ if dir.is_empty() => Ok(()),
            Some(Node::Directory) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// The file of this name, or the error that the file system gives for anything else.
    pub(super) fn file(&self, path: &str) -> io::Result<Inode> {
        match self.get(path) {
            Some(Node::File(inode)) => Ok(inode),
            Some(Node::Directory) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Does what the operation did, if things are as it found them. After a power failure they may not be: an
    /// earlier operation on the same names was lost, and this one goes with it.
    pub(super) fn apply(&mut self, operation: &Operation) -> bool {
        match operation {
            Operation::Create { path, inode } => self.create(path, Node::File(*inode)),
            Operation::CreateDir { path } => self.create(path, Node::Directory),
            Operation::Rename {
                from,
                to,
                inode,
                replaced,
            } => {
                let as_found = self.get(from) == Some(Node::File(*inode))
                    && self.get(to) == replaced.map(Node::File)
                    && self.check_directory(parent(to)).is_ok();
                if as_found {
                    self.nodes.remove(from);
                    self.insert(to.clone(), Node::File(*inode));
                }
                as_found
            }
            Operation::Remove { path, inode } => {
                let as_found = self.get(path) == Some(Node::File(*inode));
                if as_found {
                    self.nodes.remove(path);
                }
                as_found
            }
            _ => false,
        }
    }

    fn create(&mut self, path: &Arc<str>, node: Node) -> bool {
        let free = self.get(path).is_none() && self.check_directory(parent(path)).is_ok();
        if free {
            self.insert(path.clone(), node);
        }
        free
    }
}

/// The directory that holds `path`.
pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}
