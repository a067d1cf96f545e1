//! A data directory that can be used and is not changed: reads come from the disk, writes stay in memory.
//!
//! `firth doctor` recovers on it exactly as the broker would. What recovery creates is small, but for a WAL file of
//! zeros; zeros beyond the end of what is on disk take no memory.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use firth_log::file::disk::Disk;
use firth_log::file::{Existence, File, Mode, Space, Storage};

const PAGE: usize = 4096;

pub(crate) struct Overlay {
    disk: Disk,
    names: Mutex<Names>,
}

#[derive(Default)]
struct Names {
    /// Files that were opened, by path. None were removed or renamed.
    files: BTreeMap<String, Option<Arc<OverlayFile>>>,
    directories: BTreeSet<String>,
}

struct OverlayFile {
    below: Option<Arc<dyn File>>,
    content: Mutex<Content>,
}

struct Content {
    len: u64,
    /// Bytes of the file on disk that are still valid; what is behind was cut off.
    below_len: u64,
    pages: BTreeMap<u64, Box<[u8; PAGE]>>,
}

impl Overlay {
    pub(crate) fn new(disk: Disk) -> Overlay {
        Overlay {
            disk,
            names: Mutex::default(),
        }
    }

    /// Paths that exist here and not on the disk.
    pub(crate) fn created(&self) -> Vec<String> {
        let names = lock(&self.names);
        let created = names
            .files
            .iter()
            .filter(|(_, file)| file.as_ref().is_some_and(|file| file.below.is_none()));
        created.map(|(path, _)| path.clone()).collect()
    }

    /// The file as it is here, opened from the disk if nobody has done so yet.
    fn find(&self, names: &mut Names, path: &str) -> io::Result<Arc<OverlayFile>> {
        match names.files.get(path) {
            Some(Some(file)) => return Ok(file.clone()),
            Some(None) => return Err(io::ErrorKind::NotFound.into()),
            None => {}
        }
        let below = self.disk.open(path, Mode::Buffered, Existence::MustExist)?;
        let len = below.len()?;
        let content = Content {
            len,
            below_len: len,
            pages: BTreeMap::new(),
        };
        let file = Arc::new(OverlayFile {
            below: Some(below),
            content: Mutex::new(content),
        });
        names.files.insert(path.to_owned(), Some(file.clone()));
        Ok(file)
    }
}

impl Storage for Overlay {
    fn place(&self) -> String {
        self.disk.place()
    }

    fn open(&self, path: &str, _mode: Mode, existence: Existence) -> io::Result<Arc<dyn File>> {
        let mut names = lock(&self.names);
        match (self.find(&mut names, path), existence) {
            (Ok(_), Existence::MustBeNew) => Err(io::ErrorKind::AlreadyExists.into()),
            (Ok(file), _) => Ok(file),
            (Err(error), Existence::CreateIfMissing | Existence::MustBeNew)
                if error.kind() == io::ErrorKind::NotFound =>
            {
                let content = Content {
                    len: 0,
                    below_len: 0,
                    pages: BTreeMap::new(),
                };
                let file = Arc::new(OverlayFile {
                    below: None,
                    content: Mutex::new(content),
                });
                names.files.insert(path.to_owned(), Some(file.clone()));
                Ok(file)
            }
            (Err(error), _) => Err(error),
        }
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let names = lock(&self.names);
        let mut listed: BTreeSet<String> = match self.disk.list(dir) {
            Ok(listed) => listed.into_iter().collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound && names.directories.contains(dir) => {
                BTreeSet::new()
            }
            Err(error) => return Err(error),
        };
        for (path, file) in &names.files {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            if parent == dir && file.is_some() {
                listed.insert(name.to_owned());
            } else if parent == dir {
                listed.remove(name);
            }
        }
        Ok(listed.into_iter().collect())
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        lock(&self.names).directories.insert(dir.to_owned());
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut names = lock(&self.names);
        let file = self.find(&mut names, from)?;
        names.files.insert(from.to_owned(), None);
        names.files.insert(to.to_owned(), Some(file));
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut names = lock(&self.names);
        self.find(&mut names, path)?;
        names.files.insert(path.to_owned(), None);
        Ok(())
    }

    fn sync_dir(&self, _dir: &str) -> io::Result<()> {
        Ok(())
    }

    fn space(&self) -> io::Result<Space> {
        self.disk.space()
    }

    fn supports_direct(&self) -> bool {
        false
    }
}

impl OverlayFile {
    /// One page as it is, zeros where nothing was written.
    fn page(&self, content: &Content, index: u64) -> io::Result<Box<[u8; PAGE]>> {
        if let Some(page) = content.pages.get(&index) {
            return Ok(page.clone());
        }
        let mut page = Box::new([0; PAGE]);
        let start = index * PAGE as u64;
        let valid = usize::try_from(content.below_len.saturating_sub(start))
            .unwrap_or(PAGE)
            .min(PAGE);
        if let Some(below) = self.below.as_ref().filter(|_| valid > 0) {
            below.read_at(&mut page[..valid], start)?;
        }
        Ok(page)
    }
}

impl File for OverlayFile {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<()> {
        let content = lock(&self.content);
        if position + buf.len() as u64 > content.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(below) = self.below.as_ref().filter(|_| content.pages.is_empty())
            && position + buf.len() as u64 <= content.below_len
        {
            return below.read_at(buf, position);
        }
        for (index, within, part) in parts(position, buf.len()) {
            let page = self.page(&content, index)?;
            buf[part.clone()].copy_from_slice(&page[within..within + part.len()]);
        }
        Ok(())
    }

    fn write_at(&self, buf: &[u8], position: u64) -> io::Result<()> {
        let mut content = lock(&self.content);
        for (index, within, part) in parts(position, buf.len()) {
            let untouched = !content.pages.contains_key(&index) && index * PAGE as u64 >= content.below_len;
            if untouched && buf[part.clone()].iter().all(|byte| *byte == 0) {
                continue;
            }
            let mut page = self.page(&content, index)?;
            page[within..within + part.len()].copy_from_slice(&buf[part]);
            content.pages.insert(index, page);
        }
        content.len = content.len.max(position + buf.len() as u64);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.content).len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut content = lock(&self.content);
        let (index, within) = (len / PAGE as u64, usize::try_from(len % PAGE as u64).unwrap_or(0));
        content.pages.retain(|kept, _| *kept <= index);
        if let Some(page) = content.pages.get_mut(&index) {
            page[within..].fill(0);
        }
        content.below_len = content.below_len.min(len);
        content.len = len;
        Ok(())
    }
}

/// The pages that a stretch touches: index, position within the page, and the part of the stretch.
fn parts(position: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = position + done as u64;
        let within = usize::try_from(at % PAGE as u64).unwrap_or(0);
        let part = done..len.min(done + PAGE - within);
        done = part.end;
        Some((at / PAGE as u64, within, part))
    })
}

/// A panic elsewhere leaves these maps whole, and nothing is kept of them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlay() -> (tempfile::TempDir, Overlay) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("wal")).unwrap();
        std::fs::write(directory.path().join("wal/0"), vec![7; 10_000]).unwrap();
        let disk = Disk::open(directory.path()).unwrap();
        (directory, Overlay::new(disk))
    }

    fn read(file: &Arc<dyn File>) -> Vec<u8> {
        let mut bytes = vec![1; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn what_is_written_is_read_and_the_disk_stays_as_it_was() {
        let (directory, overlay) = overlay();
        let file = overlay
            .open("wal/0", Mode::DirectSync, Existence::MustExist)
            .unwrap();
        file.write_at(&[9; 100], 4050).unwrap();
        file.write_at(&[5; 10], 12_000).unwrap();
        let mut expected = vec![7; 10_000];
        expected[4050..4150].fill(9);
        expected.resize(12_000, 0);
        expected.extend([5; 10]);
        assert_eq!(read(&file), expected);
        file.set_len(4100).unwrap();
        file.set_len(9000).unwrap();
        expected.truncate(4100);
        expected.resize(9000, 0);
        assert_eq!(read(&file), expected);
        assert!(file.read_at(&mut [0; 2], 8999).is_err());
        assert_eq!(
            std::fs::read(directory.path().join("wal/0")).unwrap(),
            [7; 10_000]
        );
    }

    #[test]
    fn names_change_here_alone() {
        let (directory, overlay) = overlay();
        overlay.create_dir("segments").unwrap();
        overlay
            .open("segments/1", Mode::Buffered, Existence::MustBeNew)
            .unwrap();
        overlay.rename("wal/0", "wal/1").unwrap();
        assert_eq!(overlay.list("wal").unwrap(), ["1"]);
        assert_eq!(overlay.list("segments").unwrap(), ["1"]);
        assert!(
            overlay
                .open("wal/0", Mode::Buffered, Existence::MustExist)
                .is_err()
        );
        assert!(
            overlay
                .open("wal/1", Mode::Buffered, Existence::MustBeNew)
                .is_err()
        );
        overlay.remove("wal/1").unwrap();
        assert_eq!(overlay.list("wal").unwrap(), [""; 0]);
        assert_eq!(overlay.created(), ["segments/1"]);
        assert!(directory.path().join("wal/0").exists() && !directory.path().join("segments").exists());
    }
}
