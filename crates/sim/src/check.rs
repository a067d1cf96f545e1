//! Compares an engine that was opened on an image with what was submitted and acknowledged.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use firth_batch::{Batch, Batches};
use firth_log::{Bounds, Engine, Frame, LogId, ReadError};

use crate::keyed;
use crate::model::{Acknowledged, BEFORE, BatchModel, FrameId, LogModel, Model, NEVER};

/// What an engine shows.
pub struct Present {
    logs: BTreeMap<LogId, Bounds>,
    /// The logs of which it is known that they were created.
    created: HashSet<LogId>,
}

impl Model {
    /// Checks all that is said at the head of the crate, and appends to every log.
    pub(crate) async fn check(
        &self,
        acknowledged: &Acknowledged,
        engine: &Engine,
    ) -> Result<Present, String> {
        let quarantined = engine.stats().quarantined;
        if quarantined > 0 {
            return Err(format!("{quarantined} stretches were taken for damaged"));
        }
        let created = self
            .logs
            .iter()
            .filter(|(_, log)| acknowledged.contains(log.created));
        let mut present = Present {
            logs: BTreeMap::new(),
            created: created.map(|(id, _)| *id).collect(),
        };
        for (id, log) in &self.logs {
            let found = self
                .check_log(*id, log, acknowledged, engine)
                .await
                .map_err(|what| format!("log {}: {what}", id.0))?;
            if let Some(found) = found {
                present.logs.insert(*id, found);
            }
        }
        present.created.extend(present.logs.keys().copied());
        self.check_frames(&present)?;
        self.check_windows(&present, engine)?;
        let next = engine.allocate(1);
        match present.created.iter().find(|id| **id >= next) {
            Some(id) => Err(format!("{next:?} is given out although {id:?} was created")),
            None => Ok(present),
        }
    }

    async fn check_log(
        &self,
        id: LogId,
        log: &LogModel,
        acknowledged: &Acknowledged,
        engine: &Engine,
    ) -> Result<Option<Bounds>, String> {
        let created = acknowledged.contains(log.created);
        let deleted = log.deleted.is_some_and(|frame| acknowledged.contains(frame));
        let Some(bounds) = engine.bounds(id) else {
            return match created && log.deleted.is_none() {
                true => Err("it was created, and is not there".into()),
                false => Ok(None),
            };
        };
        if deleted {
            return Err("it was deleted, and is there".into());
        }
        check_bounds(log, acknowledged, bounds)?;
        let batches = read(engine, id, bounds).await?;
        if log.is_keyed {
            keyed::check(log, bounds, engine.compacted_to(id), &batches)?;
            return Ok(Some(bounds));
        }
        let mut at = None;
        for (base_offset, bytes) in &batches {
            let Some(submitted) = log.batches.get(base_offset) else {
                return Err(format!("nothing was submitted at offset {base_offset}"));
            };
            if submitted.bytes != bytes {
                return Err(format!(
                    "offset {base_offset} has other bytes than were submitted"
                ));
            }
            if at.is_some_and(|at| at != *base_offset) || (at.is_none() && *base_offset > bounds.start) {
                return Err(format!(
                    "there is a hole before offset {base_offset} from {at:?} in {bounds:?}"
                ));
            }
            at = Some(submitted.next_offset);
        }
        match at.unwrap_or(bounds.start) == bounds.end {
            true => Ok(Some(bounds)),
            false => Err(format!("reading ends at {at:?} in {bounds:?}")),
        }
    }

    /// A frame is there whole or not at all. Of logs that are gone nothing can be told.
    fn check_frames(&self, present: &Present) -> Result<(), String> {
        let mut seen: HashMap<FrameId, bool> = HashMap::new();
        let mut note = |frame: FrameId, is_there: bool| match seen.insert(frame, is_there) {
            Some(before) if before != is_there => Err(format!("frame {frame} is there in part")),
            _ => Ok(()),
        };
        for (id, log) in &self.logs {
            let Some(found) = present.logs.get(id) else {
                if log.deleted.is_none() {
                    let frames = log.batches.values().map(|batch| batch.frame);
                    frames
                        .chain([log.created])
                        .try_for_each(|frame| note(frame, false))?;
                }
                continue;
            };
            note(log.created, true)?;
            if let Some(deleted) = log.deleted {
                note(deleted, false)?;
            }
            for (base_offset, batch) in &log.batches {
                // What was trimmed was there before.
                note(batch.frame, *base_offset < found.end)?;
            }
            let larger = log.trims.iter().filter(|(to, _)| *to > found.start);
            for (_, frame) in larger {
                note(*frame, false)?;
            }
        }
        Ok(())
    }

    /// The last five batches of a producer in a log are in its window.
    fn check_windows(&self, present: &Present, engine: &Engine) -> Result<(), String> {
        for (id, found) in &present.logs {
            let mut windows: BTreeMap<i64, Vec<(i64, &Batch)>> = BTreeMap::new();
            let there = self.logs[id].batches.range(..found.end);
            for (base_offset, batch) in there {
                if let Some((producer_id, sent)) = &batch.sent {
                    windows
                        .entry(*producer_id)
                        .or_default()
                        .push((*base_offset, sent));
                }
            }
            for (producer_id, batches) in windows {
                for (base_offset, sent) in batches.iter().rev().take(5) {
                    let placed = engine
                        .append(Frame::batch(*id, (*sent).clone()))
                        .map(|appended| appended.placed[0]);
                    let is_original = placed
                        .as_ref()
                        .is_ok_and(|placed| placed.duplicate && placed.base_offset == *base_offset);
                    if !is_original {
                        return Err(format!(
                            "log {}: producer {producer_id}'s retry of offset {base_offset} was answered with {placed:?}",
                            id.0
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// What the next crash may not take back: readers saw it.
    pub fn of_present(&self, present: &Present) -> Model {
        let mut model = Model::default();
        for (id, before) in &self.logs {
            let Some(found) = present.logs.get(id) else {
                let created = if present.created.contains(id) {
                    BEFORE
                } else {
                    NEVER
                };
                let mut gone = LogModel::new(created);
                gone.deleted = Some(BEFORE);
                model.logs.insert(*id, gone);
                continue;
            };
            let mut log = LogModel::new(BEFORE);
            log.is_keyed = before.is_keyed;
            let there = before.batches.range(..found.end);
            for (base_offset, batch) in there {
                let batch = BatchModel {
                    frame: BEFORE,
                    ..batch.clone()
                };
                log.batches.insert(*base_offset, batch);
            }
            log.trims.push((found.start, BEFORE));
            model.logs.insert(*id, log);
        }
        model
    }
}

fn check_bounds(log: &LogModel, acknowledged: &Acknowledged, bounds: Bounds) -> Result<(), String> {
    let trims = || log.trims.iter();
    let trimmed = trims()
        .filter(|(_, frame)| acknowledged.contains(*frame))
        .map(|(to, _)| *to)
        .max()
        .unwrap_or(0);
    if bounds.start < trimmed {
        return Err(format!("it was trimmed to {trimmed}, and has {bounds:?}"));
    }
    if bounds.start > 0 && !trims().any(|(to, _)| *to == bounds.start) {
        return Err(format!("nobody trimmed it to its start: {bounds:?}"));
    }
    let acked = log
        .batches
        .values()
        .filter(|batch| acknowledged.contains(batch.frame));
    let acked_end = acked.map(|batch| batch.next_offset).max().unwrap_or(0);
    if bounds.end < acked_end || bounds.end > log.end() {
        return Err(format!(
            "acknowledged up to {acked_end}, submitted up to {}, and it has {bounds:?}",
            log.end()
        ));
    }
    Ok(())
}

async fn read(engine: &Engine, log: LogId, bounds: Bounds) -> Result<BTreeMap<i64, Bytes>, String> {
    let mut batches = BTreeMap::new();
    let mut at = bounds.start;
    while at < bounds.end {
        let read = engine.read(log, at, 64 * 1024).await;
        let read = read.map_err(|error: ReadError| format!("reading offset {at} of {bounds:?}: {error}"))?;
        let before = at;
        for slice in &read.slices {
            for batch in Batches::new(slice) {
                let (header, bytes) = batch.map_err(|error| format!("reading offset {at}: {error}"))?;
                Batch::stored(slice.slice_ref(bytes)).map_err(|error| format!("offset {at}: {error}"))?;
                batches.insert(header.base_offset, slice.slice_ref(bytes));
                at = header.next_offset();
            }
        }
        if at == before {
            return Err(format!("nothing is read at offset {at} of {bounds:?}"));
        }
    }
    Ok(batches)
}
