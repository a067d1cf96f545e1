//! What the fuzz targets call of what is private. No part of the API.

use crate::definitions::record::Entry;

/// A value of the definitions log, read and written again. `None` where it is none of this version.
pub fn definition(value: &[u8]) -> Option<Vec<u8>> {
    Entry::decode(value).ok().map(|entry| entry.encode())
}
