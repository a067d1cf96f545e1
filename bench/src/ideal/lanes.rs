//! Group commit: blocks between the reader, the lanes that write them, and their replies.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;

use super::{Shape, block::Block};
use crate::recycled::{Circle, Lane};

/// One gathers, the lanes write two, and the others wait to be written or answered.
const BLOCKS: u32 = 6;

#[derive(Debug)]
pub(crate) struct Lanes {
    shape: Shape,
    state: Mutex<State>,
    /// A block can be written.
    work: Condvar,
    /// A block is free to gather in.
    free: Condvar,
    published: Mutex<Published>,
}

#[derive(Debug)]
struct State {
    /// The block that gathers; `None` while the reader holds it.
    gathering: Option<Block>,
    full: VecDeque<Block>,
    free: Vec<Block>,
    writing: usize,
    waiting: usize,
    next_lsn: u64,
    circle: Circle,
}

/// Blocks that are durable before an earlier one is.
#[derive(Debug, Default)]
struct Published {
    next_lsn: u64,
    early: BTreeMap<u64, Block>,
}

impl Lanes {
    pub(crate) fn new(file_bytes: u64, shape: Shape) -> Self {
        let state = State {
            gathering: None,
            full: VecDeque::new(),
            free: (0..BLOCKS)
                .map(|index| Block::new(index, shape.block_bytes_full))
                .collect(),
            writing: 0,
            waiting: 0,
            next_lsn: 0,
            circle: Circle::new(file_bytes),
        };
        Self {
            shape,
            state: Mutex::new(state),
            work: Condvar::new(),
            free: Condvar::new(),
            published: Mutex::default(),
        }
    }

    /// The block to gather in; waits until one is free.
    pub(crate) fn take_gathering(&self) -> Block {
        let mut state = self.lock();
        loop {
            if let Some(block) = state.gathering.take() {
                return block;
            }
            if let Some(block) = state.free.pop() {
                return block;
            }
            state = self.free.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The reader is done with the block for now; a lane may take it.
    pub(crate) fn put_gathering(&self, block: Block) {
        let mut state = self.lock();
        if block.length() >= self.shape.block_bytes_full {
            state.full.push_back(block);
        } else {
            state.gathering = Some(block);
        }
        if state.waiting > 0 && state.is_ready(self.shape) {
            self.work.notify_one();
        }
    }

    /// The space of the next write, for a reader that writes without a lane.
    pub(crate) fn next_offset(&self, bytes: usize) -> u64 {
        self.lock().circle.take(bytes as u64)
    }

    /// Writes blocks as they become ready, for ever.
    pub(crate) fn run(&self, lane: &Lane) -> Result<()> {
        loop {
            let (lsn, block, offset) = self.take_ready();
            lane.write(block.aligned(), offset)?;
            self.lock().writing -= 1;
            self.publish(lsn, block);
        }
    }

    fn take_ready(&self) -> (u64, Block, u64) {
        let mut state = self.lock();
        loop {
            if state.is_ready(self.shape) {
                let full = state.full.pop_front();
                let block = full
                    .or_else(|| state.gathering.take())
                    .expect("a ready state has a block");
                let lsn = state.next_lsn;
                state.next_lsn += 1;
                state.writing += 1;
                let offset = state.circle.take(block.aligned().len() as u64);
                return (lsn, block, offset);
            }
            state.waiting += 1;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
    }

    /// Answers this block and those that waited for it. Holding the lock while sending keeps each connection's replies in order.
    fn publish(&self, lsn: u64, block: Block) {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        published.early.insert(lsn, block);
        loop {
            let next = published.next_lsn;
            let Some(mut block) = published.early.remove(&next) else {
                return;
            };
            block.answer();
            published.next_lsn += 1;
            self.lock().free.push(block);
            self.free.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A lane that panicked took the process with it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_ready(&self, shape: Shape) -> bool {
        let gathered = self.gathering.as_ref().map_or(0, Block::length);
        let enough = if self.writing == 0 {
            1
        } else {
            shape.overlap_bytes_min
        };
        !self.full.is_empty() || gathered >= enough
    }
}
