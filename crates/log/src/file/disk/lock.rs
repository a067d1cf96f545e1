//! One process per data directory: two that append to the same files would destroy both their work.

use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::FILE_MODE;

/// Holds a data directory. The kernel releases it with the process, however that ends; the file stays.
#[derive(Debug)]
pub struct Lock {
    _file: Option<fs::File>,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another firth process ({}) uses this directory", holder(*.pid))]
    Held {
        /// Unknown in the instant between the holder's lock and its note of the pid, and of one that only looks.
        pid: Option<u32>,
    },
    #[error("cannot lock the data directory: {0}")]
    Io(#[from] io::Error),
}

impl Lock {
    pub(super) fn acquire(path: &Path) -> Result<Lock, LockError> {
        // The holder's pid is in the file, so opening it truncates nothing.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(error) => return Err(refused(&mut file, error)),
        }
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Lock { _file: Some(file) })
    }

    /// Keeps everyone from acquiring the lock, but for others who share it. Nothing is written: where the file is missing,
    /// no process uses the directory, and none could be kept from it.
    pub(super) fn share(path: &Path) -> Result<Lock, LockError> {
        let mut file = match fs::File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Lock { _file: None }),
            file => file?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Lock { _file: Some(file) }),
            Err(error) => Err(refused(&mut file, error)),
        }
    }
}

fn refused(file: &mut fs::File, error: TryLockError) -> LockError {
    let mut pid = String::new();
    match (error, file.read_to_string(&mut pid)) {
        (TryLockError::WouldBlock, Ok(_)) => LockError::Held {
            pid: pid.trim().parse().ok().filter(|pid| runs(*pid)),
        },
        (TryLockError::Error(error), _) | (_, Err(error)) => LockError::Io(error),
    }
}

/// Who shares the lock leaves the number of the last process that had the directory.
fn runs(pid: u32) -> bool {
    let pid = pid.try_into().ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "its pid is not known".to_owned(), |pid| format!("pid {pid}"))
}
