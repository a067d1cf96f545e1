//! The small threads: one keeps a WAL file ready, one flushes what `durability = "os"` only gave to the system.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::core::{Core, Disk, FullFor};
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

pub(crate) fn is_full_disk(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
    )
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
