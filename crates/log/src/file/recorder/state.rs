//! The directory as the running process sees it, and the journal it fills.

use std::io;
use std::sync::Arc;

use super::super::{Existence, Mode, Space};
use super::Errno;
use super::content::Content;
use super::fault::Faults;
use super::image::Image;
use super::journal::Operation;
use super::tree::{Inode, Node, Tree, parent};

const TOTAL_BYTES: u64 = 1 << 40;

pub(super) struct State {
    pub(super) base: Image,
    pub(super) operations: Vec<Operation>,
    pub(super) tree: Tree,
    contents: Vec<Arc<Content>>,
    pub(super) faults: Faults,
    pub(super) total_bytes: u64,
    pub(super) supports_direct: bool,
}

impl State {
    pub(super) fn new(base: Image) -> State {
        let (tree, contents) = base.open();
        State {
            base,
            operations: Vec::new(),
            tree,
            contents,
            faults: Faults::default(),
            total_bytes: TOTAL_BYTES,
            supports_direct: true,
        }
    }

    /// Returns the position of the entry.
    pub(super) fn record(&mut self, operation: Operation) -> usize {
        self.operations.push(operation);
        self.operations.len() - 1
    }

    pub(super) fn image(&self) -> Image {
        Image::close(&self.tree, |Inode(inode)| self.contents[inode].clone())
    }

    pub(super) fn open(&mut self, path: &str, mode: Mode, existence: Existence) -> io::Result<Inode> {
        if mode != Mode::Buffered && !self.supports_direct {
            return Err(Errno::INVAL.into());
        }
        match self.tree.get(path) {
            Some(_) if existence == Existence::MustBeNew => return Err(io::ErrorKind::AlreadyExists.into()),
            None if existence != Existence::MustExist => {}
            _ => return self.tree.file(path),
        }
        self.tree.check_directory(parent(path))?;
        let inode = Inode(self.contents.len());
        self.contents.push(Arc::default());
        self.change_names(Operation::Create {
            path: path.into(),
            inode,
        });
        Ok(inode)
    }

    pub(super) fn create_dir(&mut self, dir: &str) -> io::Result<()> {
        match self.tree.get(dir) {
            Some(Node::Directory) => return Ok(()),
            Some(Node::File(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            None => self.tree.check_directory(parent(dir))?,
        }
        self.change_names(Operation::CreateDir { path: dir.into() });
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let inode = self.tree.file(from)?;
        self.tree.check_directory(parent(to))?;
        let replaced = match self.tree.get(to) {
            Some(Node::Directory) => return Err(io::ErrorKind::IsADirectory.into()),
            Some(Node::File(replaced)) if replaced == inode => return Ok(()),
            Some(Node::File(replaced)) => Some(replaced),
            None => None,
        };
        self.change_names(Operation::Rename {
            from: from.into(),
            to: to.into(),
            inode,
            replaced,
        });
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &str) -> io::Result<()> {
        let inode = self.tree.file(path)?;
        self.change_names(Operation::Remove {
            path: path.into(),
            inode,
        });
        Ok(())
    }

    fn change_names(&mut self, operation: Operation) {
        let applied = self.tree.apply(&operation);
        assert!(applied, "checked against the names as they are: {operation:?}");
        self.record(operation);
    }

    pub(super) fn content(&self, inode: Inode) -> &Content {
        &self.contents[inode.0]
    }

    pub(super) fn write(&mut self, inode: Inode, position: u64, bytes: &[u8]) -> io::Result<()> {
        let end = position
            .checked_add(bytes.len() as u64)
            .ok_or(io::ErrorKind::FileTooLarge)?;
        self.claim_space(inode, end)?;
        Arc::make_mut(&mut self.contents[inode.0]).write(position, bytes);
        Ok(())
    }

    pub(super) fn set_len(&mut self, inode: Inode, len: u64) -> io::Result<()> {
        self.claim_space(inode, len)?;
        Arc::make_mut(&mut self.contents[inode.0]).set_len(len);
        Ok(())
    }

    fn claim_space(&self, inode: Inode, len: u64) -> io::Result<()> {
        let growth = len.saturating_sub(self.content(inode).len());
        if growth > 0 && growth > self.space().free_bytes {
            return Err(Errno::NOSPC.into());
        }
        Ok(())
    }

    pub(super) fn space(&self) -> Space {
        let files = self.tree.iter().filter_map(|(_, node)| match node {
            Node::File(inode) => Some(self.content(inode).len()),
            Node::Directory => None,
        });
        let free_bytes = self.total_bytes.saturating_sub(files.sum());
        Space {
            total_bytes: self.total_bytes,
            free_bytes,
        }
    }
}
