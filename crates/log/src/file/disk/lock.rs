//! One process per data directory: two that append to the same files would destroy both their work.

use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::FILE_MODE;

/// Holds a data directory. The kernel releases it with the process, however that ends; the file stays.
#[derive(Debug)]
pub struct Lock {
    _file: fs::File,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another firth process ({}) uses this directory", holder(*.pid))]
    Held {
        /// Unknown in the instant between the holder's lock and its note of the pid.
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
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid)?;
                return Err(LockError::Held {
                    pid: pid.trim().parse().ok(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Lock { _file: file })
    }
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "pid not known yet".to_owned(), |pid| format!("pid {pid}"))
}
