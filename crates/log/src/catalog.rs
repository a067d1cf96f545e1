//! The catalog: a checkpoint of small values under ordered keys, in one file beside the segments.
//!
//! It is never the only place of anything: what it says follows from the records of the meta log and the footers of
//! the segments, so a catalog that is damaged is moved aside and built again. Whoever stands on it relies on few
//! things, all of which a remote transactional key-value store could serve: get, scan a prefix, and commit a set of
//! changes together with the LSN up to which they hold, all or nothing.
//!
//! The file belongs to redb (<https://github.com/cberner/redb>, file format 3). It has one table, `catalog`:
//!
//! ```text
//! key    up to 1 KiB. Keys that begin with a zero byte are this module's own:
//!          "\0format"       format version of the catalog, u32
//!          "\0applied_lsn"  u64
//! value  0  4  CRC32C of the key followed by the content
//!        4  n  content, up to 1 MiB
//! ```
//!
//! All integers are little-endian. redb checks its pages when the file is opened; the CRC in each value also finds
//! what changes between then and reading.
//!
//! Absent from here: what keys and values mean, and the decision to rebuild. All calls block.

mod backend;
mod scratch;
mod value;

#[cfg(test)]
mod tests;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redb::{Database, ReadableDatabase, StorageBackend, TableDefinition};

use self::backend::Backend;
use self::scratch::Scratch;
use crate::file::{Existence, Mode, Storage};

/// The catalog's file.
pub const PATH: &str = "catalog";
/// Damaged files are moved to this and a number.
pub const DAMAGED_PREFIX: &str = "catalog.damaged-";
pub const FORMAT_VERSION: u32 = 1;
pub const KEY_BYTES_MAX: usize = 1024;
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;

/// A new catalog gets its name when it is complete.
const NEW_PATH: &str = "catalog.new";
/// redb's cache. The catalog is read when the broker starts and then almost only written.
const CACHE_BYTES: usize = 1024 * 1024;

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("catalog");
const FORMAT_KEY: &[u8] = b"\0format";
const APPLIED_LSN_KEY: &[u8] = b"\0applied_lsn";
/// Where the callers' keys begin.
const FIRST_KEY: &[u8] = &[1];

/// The open catalog.
pub struct Catalog {
    /// Taken out only when it is dropped.
    database: Option<Database>,
    applied_lsn: AtomicU64,
    /// Set by the first damage that redb found, after which it is not asked again.
    damaged: AtomicBool,
}

/// One change of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    Put { key: &'a [u8], value: &'a [u8] },
    Delete { key: &'a [u8] },
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The value of one key is not the one that was put there.
    #[error("the catalog is damaged: the value of key \"{}\" does not match its checksum", .key.escape_ascii())]
    DamagedValue { key: Vec<u8> },

    /// The file cannot be read as a whole; [`Catalog::replace`] moves it aside.
    #[error("the catalog is damaged: {what}")]
    Damaged { what: String },

    /// A newer Firth wrote this file.
    #[error("the catalog has format version {version}, this Firth reads up to {known}: use a newer one")]
    UnsupportedVersion { version: u32, known: u32 },

    #[error("the catalog: {0}")]
    Io(#[from] io::Error),
}

impl Catalog {
    /// Opens the catalog, or creates an empty one if there is none. Reads and verifies the whole file.
    pub fn open(storage: &dyn Storage) -> Result<Catalog, Error> {
        match storage.open(PATH, Mode::Buffered, Existence::MustExist) {
            Ok(file) => Self::load(Backend::new(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(storage),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads and verifies the catalog without a change to its file. `None` if there is none. What `read` commits is lost.
    pub(crate) fn peek<T>(
        storage: &dyn Storage,
        read: impl FnOnce(&Catalog) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        match storage.open(PATH, Mode::Buffered, Existence::MustExist) {
            Ok(file) => read(&Self::load(Scratch::new(file)?)?).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Moves the catalog's file aside, whatever it holds, and creates an empty catalog. Nothing is deleted.
    pub fn replace(storage: &dyn Storage) -> Result<Catalog, Error> {
        let names = storage.list("")?;
        if names.iter().any(|name| name == PATH) {
            let last = names
                .iter()
                .filter_map(|name| name.strip_prefix(DAMAGED_PREFIX)?.parse::<u32>().ok())
                .max();
            let number = last.map_or(1, |last| last.saturating_add(1));
            storage.rename(PATH, &format!("{DAMAGED_PREFIX}{number}"))?;
            storage.sync_dir("")?;
        }
        Self::create(storage)
    }

    /// Everything up to this LSN is in the catalog; 0 in a new one.
    ///
    /// After a crash redb takes a damaged last commit for one that was never finished, and goes back to the one before.
    /// A log that does not reach down to the LSN after this one any more therefore means a damaged catalog too.
    pub fn applied_lsn(&self) -> u64 {
        self.applied_lsn.load(Ordering::Acquire)
    }

    /// Makes all `changes` and `applied_lsn` durable together, with one flush.
    pub fn commit(&self, applied_lsn: u64, changes: &[Change<'_>]) -> Result<(), Error> {
        for change in changes {
            let (Change::Put { key, .. } | Change::Delete { key }) = change;
            assert!(
                *key >= FIRST_KEY && key.len() <= KEY_BYTES_MAX,
                "no key of the catalog: {}",
                key.escape_ascii()
            );
        }
        let applied = applied_lsn.to_le_bytes();
        let applied_change = Change::Put {
            key: APPLIED_LSN_KEY,
            value: &applied,
        };
        self.contained(|database| write(database, changes.iter().chain([&applied_change])))?;
        self.applied_lsn.store(applied_lsn, Ordering::Release);
        Ok(())
    }

    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let stored = self.contained(|database| {
            let table = database.begin_read()?.open_table(TABLE)?;
            Ok(table.get(key)?.map(|value| value.value().to_vec()))
        })?;
        stored
            .map(|stored| Ok(value::decode(key, &stored)?.to_vec()))
            .transpose()
    }

    /// Calls `each` with every key that begins with `prefix` and its value, in ascending order of keys, as of now. It
    /// ends at the first value that is damaged.
    pub fn scan(&self, prefix: &[u8], mut each: impl FnMut(&[u8], &[u8])) -> Result<(), Error> {
        let mut entries = self.contained(|database| {
            let table = database.begin_read()?.open_table(TABLE)?;
            Ok(table.range(prefix.max(FIRST_KEY)..)?)
        })?;
        // `each` runs outside of the containment: its panics are not the catalog's.
        while let Some((key, stored)) = self.contained(|_| Ok(entries.next().transpose()?))? {
            let key = key.value();
            if !key.starts_with(prefix) {
                break;
            }
            each(key, value::decode(key, stored.value())?);
        }
        Ok(())
    }

    fn create(storage: &dyn Storage) -> Result<Catalog, Error> {
        let file = storage.open(NEW_PATH, Mode::Buffered, Existence::CreateIfMissing)?;
        // An earlier attempt may have been interrupted.
        file.set_len(0)?;
        let catalog = Self::build(Backend::new(file))?;
        storage.rename(NEW_PATH, PATH)?;
        storage.sync_dir("")?;
        Ok(catalog)
    }

    fn build(backend: Backend) -> Result<Catalog, Error> {
        let catalog = Self::with(backend)?;
        let version = FORMAT_VERSION.to_le_bytes();
        let applied = 0u64.to_le_bytes();
        let changes = [
            Change::Put {
                key: FORMAT_KEY,
                value: &version,
            },
            Change::Put {
                key: APPLIED_LSN_KEY,
                value: &applied,
            },
        ];
        catalog.contained(|database| write(database, &changes))?;
        Ok(catalog)
    }

    fn load(backend: impl StorageBackend) -> Result<Catalog, Error> {
        let catalog = Self::with(backend)?;
        let missing = |what: &str| Error::Damaged {
            what: format!("it does not say its {what}"),
        };
        let version = catalog
            .get(FORMAT_KEY)?
            .and_then(|value| Some(u32::from_le_bytes(value.try_into().ok()?)));
        match version {
            Some(FORMAT_VERSION) => {}
            Some(version) => {
                let known = FORMAT_VERSION;
                return Err(Error::UnsupportedVersion { version, known });
            }
            None => return Err(missing("format version")),
        }
        let applied = catalog
            .get(APPLIED_LSN_KEY)?
            .and_then(|value| Some(u64::from_le_bytes(value.try_into().ok()?)));
        catalog
            .applied_lsn
            .store(applied.ok_or_else(|| missing("applied LSN"))?, Ordering::Release);
        Ok(catalog)
    }

    /// Opens the database in a file that exists and is not empty, or else creates one in it.
    fn with(backend: impl StorageBackend) -> Result<Catalog, Error> {
        let database = contain(|| {
            let mut builder = Database::builder();
            builder
                .set_cache_size(CACHE_BYTES)
                .set_check_integrity_on_open(true);
            Ok(builder.create_with_backend(backend)?)
        })?;
        Ok(Catalog {
            database: Some(database),
            applied_lsn: AtomicU64::new(0),
            damaged: AtomicBool::new(false),
        })
    }

    fn contained<T>(&self, f: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, Error> {
        let database = match &self.database {
            Some(database) if !self.damaged.load(Ordering::Acquire) => database,
            _ => {
                return Err(Error::Damaged {
                    what: "an earlier call found it damaged".to_owned(),
                });
            }
        };
        let result = contain(|| f(database));
        if matches!(result, Err(Error::Damaged { .. })) {
            self.damaged.store(true, Ordering::Release);
        }
        result
    }
}

impl Drop for Catalog {
    fn drop(&mut self) {
        let database = self.database.take();
        // redb writes when it is closed, and may find the damage only then; there is nobody left to tell.
        let _ = contain(move || {
            drop(database);
            Ok(())
        });
    }
}

fn write<'a>(
    database: &Database,
    changes: impl IntoIterator<Item = &'a Change<'a>>,
) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(TABLE)?;
        for change in changes {
            match change {
                Change::Put { key, value } => table.insert(key, value::encode(key, value).as_slice())?,
                Change::Delete { key } => table.remove(key)?,
            };
        }
    }
    Ok(transaction.commit()?)
}

/// Calls redb, and takes a panic for damage.
///
/// redb asserts what it reads from its file in places, and a file can change under it in ways that its checks do not
/// see. A panic there must not end the broker, which can rebuild all of it. Unwinding leaves nothing of ours half
/// changed: the closures own what they change, or it is redb's, which [`Catalog::contained`] does not call again.
fn contain<T>(f: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, Error> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => result.map_err(classify),
        Err(panic) => {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            let message = message
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            Err(Error::Damaged {
                what: format!("redb panicked: {message}"),
            })
        }
    }
}

/// Tells errors of the medium from those of the file's contents.
fn classify(error: redb::Error) -> Error {
    match error {
        redb::Error::Io(source) => match source.kind() {
            // redb's own word for a file that is not its own, and what a truncated file gives.
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Error::Damaged {
                what: source.to_string(),
            },
            _ => Error::Io(source),
        },
        redb::Error::PreviousIo => Error::Io(io::Error::other(error)),
        other => Error::Damaged {
            what: other.to_string(),
        },
    }
}
