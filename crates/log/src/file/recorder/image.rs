//! What a disk holds at one moment: the content of each path.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::content::Content;
use super::tree::{Inode, Node, Tree};

/// A disk image. A copy shares the content; tests damage one and leave the others whole.
#[derive(Clone, Default, PartialEq)]
pub struct Image {
    entries: BTreeMap<Arc<str>, Entry>,
}

#[derive(Clone, PartialEq)]
enum Entry {
    Directory,
    File(Arc<Content>),
}

impl Image {
    /// Paths of all files, sorted.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.entries
            .iter()
            .filter(|(_, entry)| matches!(entry, Entry::File(_)))
            .map(|(path, _)| &**path)
    }

    /// Paths of all directories, sorted; the data directory itself is not among them.
    pub fn directories(&self) -> impl Iterator<Item = &str> {
        self.entries
            .iter()
            .filter(|(_, entry)| matches!(entry, Entry::Directory))
            .map(|(path, _)| &**path)
    }

    /// The bytes of a file, if there is one of this path.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.content(path).map(|content| content.to_vec())
    }

    /// The length of a file, if there is one of this path.
    pub fn len(&self, path: &str) -> Option<u64> {
        self.content(path).map(|content| content.len())
    }

    /// The same for the same files with the same bytes.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (path, entry) in &self.entries {
            let content = match entry {
                Entry::Directory => None,
                Entry::File(content) => Some(content.to_vec()),
            };
            (path, content).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Puts a file there, or replaces it, with the directories above it.
    pub fn insert(&mut self, path: &str, bytes: &[u8]) {
        for (end, _) in path.match_indices('/') {
            self.entries.entry(path[..end].into()).or_insert(Entry::Directory);
        }
        self.entries
            .insert(path.into(), Entry::File(Arc::new(Content::from(bytes))));
    }

    /// Takes a file away, or a directory with all it holds.
    pub fn remove(&mut self, path: &str) {
        self.entries.retain(|entry, _| {
            let inside = entry
                .strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            !inside
        });
    }

    /// Flips one bit, `bit` in 0..8, of the byte at `position`.
    ///
    /// # Panics
    /// Where there is no such file or byte: the test would prove nothing.
    pub fn flip(&mut self, path: &str, position: u64, bit: u32) {
        let content = self.content_mut(path);
        let mut byte = [0];
        content
            .read(position, &mut byte)
            .expect("the byte to flip lies within the file");
        content.write(position, &[byte[0] ^ (1 << bit)]);
    }

    /// Overwrites a part of a file, which grows where the bytes reach beyond its end.
    ///
    /// # Panics
    /// Where there is no such file.
    pub fn write(&mut self, path: &str, position: u64, bytes: &[u8]) {
        self.content_mut(path).write(position, bytes);
    }

    /// Shortens a file, or lengthens it with zeros.
    ///
    /// # Panics
    /// Where there is no such file.
    pub fn set_len(&mut self, path: &str, len: u64) {
        self.content_mut(path).set_len(len);
    }

    fn content(&self, path: &str) -> Option<&Content> {
        match self.entries.get(path)? {
            Entry::File(content) => Some(content),
            Entry::Directory => None,
        }
    }

    fn content_mut(&mut self, path: &str) -> &mut Content {
        match self.entries.get_mut(path) {
            Some(Entry::File(content)) => Arc::make_mut(content),
            _ => panic!("the image has no file {path}"),
        }
    }

    /// The names with the contents that they refer to.
    pub(super) fn open(&self) -> (Tree, Vec<Arc<Content>>) {
        let mut tree = Tree::default();
        let mut contents = Vec::new();
        for (path, entry) in &self.entries {
            let node = match entry {
                Entry::Directory => Node::Directory,
                Entry::File(content) => {
                    contents.push(content.clone());
                    Node::File(Inode(contents.len() - 1))
                }
            };
            tree.insert(path.clone(), node);
        }
        (tree, contents)
    }

    pub(super) fn close(tree: &Tree, mut content: impl FnMut(Inode) -> Arc<Content>) -> Image {
        let entries = tree.iter().map(|(path, node)| match node {
            Node::Directory => (path.clone(), Entry::Directory),
            Node::File(inode) => (path.clone(), Entry::File(content(inode))),
        });
        Image {
            entries: entries.collect(),
        }
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.entries.iter().map(|(path, entry)| match entry {
                Entry::Directory => (path, "directory".to_owned()),
                Entry::File(content) => (path, format!("{} bytes", content.len())),
            }))
            .finish()
    }
}
