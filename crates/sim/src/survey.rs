//! What became of acknowledged data on a disk that damaged it: nothing wrong is served, and nothing is missing in silence.

use std::collections::{BTreeMap, BTreeSet};

use firth_batch::{Batch, Batches, Builder, Compression};
use firth_log::{Bounds, Engine, Frame, LogId, Read, ReadError};

use crate::model::{Acknowledged, BatchModel, LogModel, Model};

/// What a reader asks for who takes all there is.
const READ_BYTES: usize = 1 << 20;

/// What became of acknowledged data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    pub served: usize,
    /// Refused by name.
    pub quarantined: usize,
    /// Not among the log's offsets, which are not given to others. Readers go on behind them.
    pub cut_off: BTreeSet<(LogId, i64)>,
    /// Logs that nobody knows any more. Their ids are not given to others.
    pub gone: usize,
}

/// What is kept of a log.
struct Kept<'a> {
    id: LogId,
    log: &'a LogModel,
    bounds: Bounds,
    /// The batches that were acknowledged, by base offset.
    acknowledged: BTreeMap<i64, &'a BatchModel>,
}

impl Model {
    /// Checks that no byte is served that was not submitted, and that nothing acknowledged is missing in silence: neither
    /// for who asks for an offset nor for who reads on. What an earlier survey found cut off stays so.
    pub(crate) async fn survey(
        &self,
        acknowledged: &Acknowledged,
        engine: &Engine,
        earlier: Option<&Survey>,
    ) -> Result<Survey, String> {
        let mut survey = Survey::default();
        if let Some(earlier) = earlier {
            survey.cut_off.clone_from(&earlier.cut_off);
        }
        for (id, log) in &self.logs {
            if log.deleted.is_some() || !acknowledged.contains(log.created) {
                continue;
            }
            // Where the record of its creation is lost with all that it held, nothing tells that there was a log.
            let Some(bounds) = engine.bounds(*id) else {
                survey.gone += 1;
                continue;
            };
            let kept = log
                .batches
                .iter()
                .filter(|(_, batch)| acknowledged.contains(batch.frame) && batch.next_offset > bounds.start);
            let kept = Kept {
                id: *id,
                log,
                bounds,
                acknowledged: kept.map(|(base_offset, batch)| (*base_offset, batch)).collect(),
            };
            let named = |what| format!("log {}: {what}", id.0);
            kept.look_up(engine, &mut survey).await.map_err(named)?;
            kept.walk(engine, &survey).await.map_err(named)?;
            kept.check_no_offset_again(engine).map_err(named)?;
        }
        let next = engine.allocate(1);
        if let Some((id, _)) = self
            .logs
            .iter()
            .find(|(id, log)| **id >= next && acknowledged.contains(log.created))
        {
            return Err(format!("{next:?} is given out although {id:?} was created"));
        }
        let mut missing = survey.quarantined;
        if earlier.is_none() {
            missing += survey.gone + survey.cut_off.len();
        } else {
            // What was lost without a name is told for as long as something older is kept.
            let start = |log| engine.bounds(log).map(|bounds| bounds.start);
            let told = |(log, offset): &&(LogId, i64)| start(*log).is_some_and(|start| start < *offset);
            missing += survey.cut_off.iter().filter(told).count();
        }
        match missing > 0 && engine.stats().quarantined == 0 {
            true => Err(format!("data is missing in silence: {survey:?}")),
            false => Ok(survey),
        }
    }
}

impl Kept<'_> {
    /// Asks for each batch at its own offset.
    async fn look_up(&self, engine: &Engine, survey: &mut Survey) -> Result<(), String> {
        for (base_offset, batch) in &self.acknowledged {
            let is_cut_off = survey.cut_off.contains(&(self.id, *base_offset));
            let from = (*base_offset).max(self.bounds.start);
            match engine.read(self.id, from, 1).await {
                Ok(read) if read.slices.first().is_some_and(|slice| *slice == batch.bytes) => {
                    survey.served += 1;
                }
                Ok(read) if read.slices.is_empty() && self.bounds.end <= from => {
                    survey.cut_off.insert((self.id, *base_offset));
                }
                Err(ReadError::OutOfRange(bounds)) if bounds.end <= from => {
                    survey.cut_off.insert((self.id, *base_offset));
                }
                Ok(_) if is_cut_off => {}
                Err(ReadError::Damaged {
                    first_offset,
                    next_offset,
                    ..
                }) if (first_offset..next_offset).contains(&from) => survey.quarantined += 1,
                Ok(read) => {
                    return Err(format!(
                        "reading offset {from} gives {} other bytes in {:?}",
                        read.bytes, read.bounds
                    ));
                }
                Err(error) => return Err(format!("reading offset {from} fails: {error}")),
            }
        }
        Ok(())
    }

    /// Reads from the start to the end, as much at once as there is, and steps over what is refused by name alone.
    async fn walk(&self, engine: &Engine, survey: &Survey) -> Result<(), String> {
        let mut at = self.bounds.start;
        while at < self.bounds.end {
            at = match engine.read(self.id, at, READ_BYTES).await {
                Ok(read) => match self.check_read(&read, at, survey)? {
                    Some(next_offset) => next_offset,
                    None => return self.check_passed(at, self.bounds.end, survey),
                },
                Err(ReadError::Damaged {
                    first_offset,
                    next_offset,
                    ..
                }) if next_offset > at => {
                    self.check_passed(at, first_offset, survey)?;
                    next_offset
                }
                Err(error) => return Err(format!("reading on at offset {at} fails: {error}")),
            };
        }
        Ok(())
    }

    /// Checks what was read at an offset, and gives the one where it ends.
    fn check_read(&self, read: &Read, from: i64, survey: &Survey) -> Result<Option<i64>, String> {
        let mut at = from;
        for slice in &read.slices {
            for batch in Batches::new(slice) {
                let (header, bytes) = batch.map_err(|error| format!("reading on at offset {at}: {error}"))?;
                let base_offset = header.base_offset;
                let submitted = self.log.batches.get(&base_offset);
                // What is behind the model's end was appended by an earlier survey.
                if submitted.is_none_or(|submitted| submitted.bytes != bytes) && base_offset < self.log.end()
                {
                    return Err(format!(
                        "offset {base_offset} has other bytes than were submitted"
                    ));
                }
                Batch::stored(slice.slice_ref(bytes))
                    .map_err(|error| format!("offset {base_offset}: {error}"))?;
                self.check_passed(at, base_offset, survey)?;
                at = header.next_offset();
            }
        }
        Ok((at > from).then_some(at))
    }

    /// Nothing acknowledged lies between two offsets that one read has passed.
    fn check_passed(&self, from: i64, to: i64, survey: &Survey) -> Result<(), String> {
        let passed = self.acknowledged.iter().find(|(base_offset, batch)| {
            from.max(**base_offset) < to
                && batch.next_offset > from
                && !survey.cut_off.contains(&(self.id, **base_offset))
        });
        match passed {
            Some((base_offset, _)) => Err(format!(
                "reading on from offset {from} goes on at {to} and steps over {base_offset} in silence"
            )),
            None => Ok(()),
        }
    }

    fn check_no_offset_again(&self, engine: &Engine) -> Result<(), String> {
        let mut builder = Builder::new(Compression::None);
        builder.push(0, None, Some(b"after"), &[]);
        let appended = engine
            .append(Frame::batch(self.id, builder.build()))
            .map_err(|error| format!("it takes nothing: {error}"))?;
        let base_offset = appended.placed[0].base_offset;
        match base_offset >= self.log.end() {
            true => Ok(()),
            false => Err(format!(
                "offset {base_offset} is given out again, it had {}",
                self.log.end()
            )),
        }
    }
}
