//! Evidence of damage: copies of the WAL files that acknowledged data was damaged in, since the files themselves are
//! written over later.
//!
//! `quarantine/wal-<slot>-<lsn>` is a copy of `wal/<slot>`, made when the block `lsn` was found damaged. Nothing reads it,
//! and nothing removes it but the operator.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

use std::io;

use crate::file::{Existence, Mode, Storage};
use crate::wal::WalFile;

pub(crate) const DIRECTORY: &str = "quarantine";
const COPY_BYTES: u64 = 1024 * 1024;

/// Keeps a copy of the file, unless it was kept before for the same block.
pub(crate) fn keep(storage: &dyn Storage, file: &WalFile, lsn: u64) -> io::Result<()> {
    if !storage.list("")?.iter().any(|name| name == DIRECTORY) {
        storage.create_dir(DIRECTORY)?;
        storage.sync_dir("")?;
    }
    let name = format!("wal-{:08x}-{lsn}", file.slot);
    if storage.list(DIRECTORY)?.contains(&name) {
        return Ok(());
    }
    // A copy gets its name when it is complete.
    let path = format!("{DIRECTORY}/{name}");
    let unfinished = format!("{path}.new");
    let copy = storage.open(&unfinished, Mode::Buffered, Existence::CreateIfMissing)?;
    copy.set_len(0)?;
    let mut position = 0;
    while position < file.bytes {
        let length = (file.bytes - position).min(COPY_BYTES);
        copy.write_at(&file.read(position, length as usize)?, position)?;
        position += length;
    }
    copy.sync()?;
    storage.rename(&unfinished, &path)?;
    storage.sync_dir(DIRECTORY)
}
