//! Snapshots of the definitions: what the records before one say together. The two latest are kept with what follows them.

use firth_batch::{Builder, Compression};
use firth_log::{Change, Frame, LogId};

use super::Entry;
use super::owner::{Owner, batch_of, push};
use crate::DefineError;

/// Bytes of records after which a snapshot is due, whatever its size.
const SNAPSHOT_AFTER_BYTES: usize = 1024 * 1024;
/// Bytes of one batch of a snapshot.
const SNAPSHOT_BATCH_BYTES: usize = 1024 * 1024;

impl Owner {
    pub(super) async fn snapshot_if_due(&mut self) -> Result<(), DefineError> {
        let since = self.position.bytes_since_snapshot;
        let due = self.snapshot_refused_at + SNAPSHOT_AFTER_BYTES.max(2 * self.position.snapshot_bytes);
        if since < due {
            return Ok(());
        }
        match self.snapshot().await {
            Err(DefineError::Full) => {
                self.snapshot_refused_at = since;
                Ok(())
            }
            done => done,
        }
    }

    /// Writes a snapshot, and trims the log to the one before it: should this one be damaged, that one and what
    /// follows it still say everything.
    async fn snapshot(&mut self) -> Result<(), DefineError> {
        // The begin and the end have batches of their own, so that damage between them is known to be there.
        let (begun_at, _) = self.append(batch_of([Entry::SnapshotBegun.encode()]), Vec::new())?;
        let (mut records, mut bytes) = (0, 0);
        let mut builder = Builder::new(Compression::None);
        for record in self.definitions.snapshot() {
            let value = Entry::OfSnapshot(record).encode();
            if !builder.is_empty() && builder.len() + value.len() > SNAPSHOT_BATCH_BYTES {
                let full = std::mem::replace(&mut builder, Builder::new(Compression::None));
                self.append(full.build(), Vec::new())?;
                // Very many topics are no reason to keep the thread from others.
                tokio::task::yield_now().await;
            }
            push(&mut builder, &value);
            records += 1;
            bytes += value.len();
        }
        self.append(builder.build(), Vec::new())?;
        let (_, commit) = self.append(batch_of([Entry::SnapshotEnded { records }.encode()]), Vec::new())?;
        commit.await.map_err(|_| DefineError::Stopped)?;

        let previous = self.position.snapshot.replace(begun_at);
        self.position.snapshot_bytes = bytes;
        self.position.bytes_since_snapshot = 0;
        self.snapshot_refused_at = 0;
        if let Some(to) = previous {
            let trim = Change::Trim {
                log: LogId::DEFINITIONS,
                to,
            };
            if let Err(error) = self.engine.append(Frame {
                changes: vec![trim],
                ..Frame::default()
            }) {
                // The next snapshot trims this one's share as well.
                tracing::warn!(%error, "the definitions log could not be trimmed");
            }
        }
        tracing::debug!(begun_at, records, bytes, "definitions snapshotted");
        Ok(())
    }
}
