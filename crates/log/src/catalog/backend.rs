//! redb's view of the catalog's file: every byte of it passes the [`File`] seam too.

use std::fmt;
use std::io;
use std::sync::Arc;

use redb::StorageBackend;

use crate::file::File;

pub(super) struct Backend(Arc<dyn File>);

impl Backend {
    pub(super) fn new(file: Arc<dyn File>) -> Backend {
        Backend(file)
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(data, offset)
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("catalog")
    }
}
