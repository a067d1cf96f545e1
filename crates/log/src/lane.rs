//! The lanes of the commit loop: each takes the block that gathered, writes it, and publishes it.
//!
//! There is no linger timer. While a lane's flush runs the next block gathers; the second lane writes beside the first
//! where there is enough to write.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::block;
use crate::core::{Core, Disk, Written};
use crate::lock::{abort, lock};
use crate::sequencer::{BLOCK_BYTES_TARGET, Gathering, Take, Waiting};
use crate::stats::Counters;
use crate::stored::{Place, StoredBlock};

/// After this much idleness a block tells recovery that the last one was durable.
const IDLE: Duration = Duration::from_millis(100);

/// What a lane does next.
enum Work {
    Write(Gathering),
    NeedsFile(u64),
    Stop,
}

/// Runs a lane until the engine is closed or a flush fails.
pub(crate) fn run(core: &Core, disk: &Disk, lane: usize) {
    while let Some((gathering, place)) = next_block(core, disk) {
        let (lsn, fate) = (gathering.lsn, gathering.fate.clone());
        if let Err(error) = write(core, disk, lane, gathering, place) {
            core.fail(&format!("writing WAL block {lsn}: {error}"));
            fate.resolve(false);
            return;
        }
        let mut sequencer = lock(&core.sequencer);
        let wakes_lane = sequencer.lane_is_free();
        let failed = sequencer.is_failed();
        drop(sequencer);
        if failed {
            // The other lane failed, perhaps before this block came to those that wait to be published. What was
            // published before keeps its fate.
            fate.resolve(false);
        }
        if wakes_lane {
            core.work.notify_one();
        }
    }
}

fn next_block(core: &Core, disk: &Disk) -> Option<(Gathering, Place)> {
    // One lane at a time looks for work, so that blocks lie in the files in the order of their LSN.
    let _turn = lock(&disk.turn);
    loop {
        match wait_for_work(core, disk, disk.wal.room()) {
            Work::Stop => return None,
            Work::NeedsFile(bytes) => {
                // The WAL may be full, which only sealing changes. The sealer looks at what is wanted when it is told.
                disk.wal.want(bytes);
                disk.seal.want();
                disk.wal.next_file(bytes)?;
            }
            Work::Write(gathering) => {
                disk.gate.pass(gathering.bytes as u64);
                let place = disk.wal.reserve(gathering.file_bytes(), gathering.lsn);
                return Some((gathering, place));
            }
        }
    }
}

fn wait_for_work(core: &Core, disk: &Disk, room: u64) -> Work {
    let mut sequencer = lock(&core.sequencer);
    let mut idle_for_long = false;
    loop {
        match sequencer.take(room) {
            Take::Block(gathering) => return Work::Write(gathering),
            Take::NeedsFile(bytes) => return Work::NeedsFile(bytes),
            Take::Nothing => {}
        }
        let closing = sequencer.is_closed();
        let unrecorded = disk.recorded_lsn.load(Ordering::Acquire) < disk.data_lsn.load(Ordering::Acquire);
        if sequencer.is_idle() && unrecorded && (idle_for_long || closing) {
            return match sequencer.take_empty(room) {
                Some(gathering) => Work::Write(gathering),
                None => Work::NeedsFile(block::padded(0).max(crate::file::ALIGNMENT) as u64),
            };
        }
        if closing && (sequencer.is_idle() || sequencer.is_failed()) {
            return Work::Stop;
        }
        (sequencer, idle_for_long) = if unrecorded {
            sequencer.lane_waits(Waiting::ForWorkOrIdleness);
            let waited = core.work.wait_timeout(sequencer, IDLE);
            let (sequencer, timeout) = waited.unwrap_or_else(|_| abort());
            (sequencer, timeout.timed_out())
        } else {
            sequencer.lane_waits(Waiting::ForWork);
            (core.work.wait(sequencer).unwrap_or_else(|_| abort()), false)
        };
    }
}

fn write(core: &Core, disk: &Disk, lane: usize, gathering: Gathering, place: Place) -> std::io::Result<()> {
    let Gathering {
        lsn,
        mut items,
        bytes,
        records,
        fate,
    } = gathering;
    let durable_lsn = disk.published_lsn.load(Ordering::Acquire);
    let mut buffer = disk
        .buffers
        .take(block::padded(block::bytes_bound(items.len(), bytes)));
    let batches = items.len() as u64;
    let entries = block::assemble(&mut buffer, &mut items, disk.incarnation, lsn, durable_lsn);
    // The producers' own buffers are given back before the flush, not after it.
    drop(items);
    place.file.write(lane, buffer.as_slice(), place.position)?;

    let written_bytes = buffer.len();
    Counters::add(&core.counters.commits, 1);
    Counters::add(
        &core.counters.full_blocks,
        u64::from(bytes >= BLOCK_BYTES_TARGET / 2),
    );
    Counters::add(&core.counters.wal_written_bytes, written_bytes as u64);
    Counters::add(&core.counters.batches, batches);
    Counters::add(&core.counters.batch_bytes, bytes as u64);
    disk.recorded_lsn.fetch_max(durable_lsn, Ordering::AcqRel);
    // An empty block has nothing to be read, and must not hold its file.
    let block = if entries.is_empty() {
        StoredBlock::empty(lsn)
    } else {
        StoredBlock::on_disk(lsn, entries, place, Some(buffer))
    };
    core.publish(
        disk,
        Written {
            block: Arc::new(block),
            records,
            fate,
        },
    );
    let unsealed = core.counters.unsealed_bytes.load(Ordering::Relaxed);
    // What the other lane waits for may be in the very block that was written here, which the sealer did not see.
    if unsealed >= core.options.segment_bytes || disk.wal.is_wanted() {
        disk.seal.want();
    }
    Ok(())
}
