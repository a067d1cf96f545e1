//! The small threads: one keeps a WAL file ready, one flushes what `durability = "os"` only gave to the system.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::core::{Core, Disk, FullFor};
use crate::file::Storage;
use crate::lock::lock;

/// How often `durability = "os"` flushes.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
/// How often a full disk is looked at again.
pub(crate) const FULL_DISK_RETRY: Duration = Duration::from_secs(1);

/// Keeps a free WAL file ahead of the lanes. A full disk is no failure: producers are refused until there is space.
pub(crate) fn prepare(core: &Core, disk: &Disk) {
    loop {
        match disk.wal.prepare() {
            Ok(true) => core.set_disk_full(FullFor::Wal, false),
            Ok(false) => return,
            Err(error) if is_full_disk(&error) => {
                core.set_disk_full(FullFor::Wal, true);
                if pause(disk, FULL_DISK_RETRY) {
                    return;
                }
            }
            Err(error) => return core.fail(&format!("preparing a WAL file: {error}")),
        }
    }
}

pub(crate) fn is_full_disk(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Removes a file that was not finished, so that no later attempt finds it there: what a failed flush was to make durable,
/// its name perhaps, no other flush makes durable. Where it cannot be removed the engine cannot go on, even if it is a full
/// disk that says so.
pub(crate) fn remove_attempt(storage: &dyn Storage, path: &str) -> io::Result<()> {
    match storage.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io::Error::other(format!(
            "{path} is not finished and cannot be removed: {error}"
        ))),
        _ => Ok(()),
    }
}

/// Flushes the WAL at intervals, so that the loss of power takes a second's work at most.
pub(crate) fn flush(core: &Core, disk: &Disk) {
    let mut flushed_lsn = disk.published_lsn.load(Ordering::Acquire);
    loop {
        let closing = pause(disk, FLUSH_INTERVAL);
        let published_lsn = disk.published_lsn.load(Ordering::Acquire);
        if published_lsn > flushed_lsn {
            if let Err(error) = disk.wal.flush() {
                return core.fail(&format!("flushing the WAL: {error}"));
            }
            flushed_lsn = published_lsn;
        }
        if closing {
            return;
        }
    }
}

/// Waits, and says whether the end was asked for.
pub(crate) fn pause(disk: &Disk, duration: Duration) -> bool {
    disk.seal.wait_for_close(lock(&disk.seal.state), duration).closing
}
