//! Committed blocks: those that no segment holds yet, and those that memory keeps for readers of the tail.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::stored::StoredBlock;

#[derive(Default)]
pub(crate) struct Blocks {
    /// In order of their LSN; the first `unbuffered` of them are not in memory.
    unsealed: VecDeque<Arc<StoredBlock>>,
    unbuffered: usize,
    /// Sealed and still in memory, older than all unsealed ones.
    sealed: VecDeque<Arc<StoredBlock>>,
    buffered_bytes: usize,
    unsealed_bytes: u64,
    unsealed_entries: usize,
}

impl Blocks {
    /// Adds a block that recovery found: it comes before all others, and is not in memory.
    pub(crate) fn push_recovered(&mut self, block: Arc<StoredBlock>) {
        debug_assert!(self.unbuffered == self.unsealed.len());
        self.unsealed_bytes += block.payload_bytes;
        self.unsealed_entries += block.entries.len();
        self.unsealed.push_back(block);
        self.unbuffered += 1;
    }

    /// Adds a block, and gives up the memory of old ones beyond `bytes_max`. Returns what is now gone from memory and
    /// is in segments.
    pub(crate) fn push(&mut self, block: Arc<StoredBlock>, bytes_max: usize) -> Vec<Arc<StoredBlock>> {
        self.unsealed_bytes += block.payload_bytes;
        self.unsealed_entries += block.entries.len();
        self.buffered_bytes += block.buffer_bytes;
        self.unsealed.push_back(block);
        let mut gone = Vec::new();
        while self.buffered_bytes > bytes_max {
            if let Some(block) = self.sealed.pop_front() {
                self.buffered_bytes -= block.forget_buffer();
                gone.push(block);
            } else if let Some(block) = self.unsealed.get(self.unbuffered) {
                self.buffered_bytes -= block.forget_buffer();
                self.unbuffered += 1;
            } else {
                break;
            }
        }
        gone
    }

    pub(crate) fn unsealed_bytes(&self) -> u64 {
        self.unsealed_bytes
    }

    pub(crate) fn unsealed_entries(&self) -> usize {
        self.unsealed_entries
    }

    pub(crate) fn buffered_bytes(&self) -> usize {
        self.buffered_bytes
    }

    /// The oldest unsealed blocks, of about `bytes_max` bytes, and the LSN of the block behind them.
    pub(crate) fn span(&self, bytes_max: u64) -> (Vec<Arc<StoredBlock>>, Option<u64>) {
        let mut bytes = 0;
        let within = |block: &&Arc<StoredBlock>| {
            let before = bytes;
            bytes += block.payload_bytes;
            before < bytes_max.max(1)
        };
        let span: Vec<_> = self.unsealed.iter().take_while(within).cloned().collect();
        let next_lsn = self.unsealed.get(span.len()).map(|block| block.lsn);
        (span, next_lsn)
    }

    /// Segments hold everything up to `lsn`. Returns the blocks that memory does not hold either.
    pub(crate) fn seal(&mut self, lsn: u64) -> Vec<Arc<StoredBlock>> {
        let mut gone = Vec::new();
        while let Some(block) = self.unsealed.front().filter(|block| block.lsn <= lsn).cloned() {
            self.unsealed.pop_front();
            self.unsealed_bytes -= block.payload_bytes;
            self.unsealed_entries -= block.entries.len();
            block.forget_place();
            if self.unbuffered > 0 {
                self.unbuffered -= 1;
                gone.push(block);
            } else {
                self.sealed.push_back(block);
            }
        }
        gone
    }
}
