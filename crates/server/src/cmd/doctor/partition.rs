//! Reads every record that a consumer could ask for.

use firth_batch::{Batch, Batches};
use firth_broker::Topic;
use firth_log::{Engine, LogId, ReadError};

use super::report::{Name, PartitionReport, Report, offsets};
use crate::progress::Progress;

const READ_BYTES: usize = 8 * 1024 * 1024;

pub(super) async fn read_topic(engine: &Engine, topic: &Topic, report: &mut Report, progress: &mut Progress) {
    for partition in topic.partition_indexes() {
        let name = Name::Partition(topic.name.clone(), partition);
        match topic.log(partition) {
            Some(log) if engine.bounds(log).is_some() => read_log(engine, log, name, report, progress).await,
            _ => report.problem(format!("{name} has no log")),
        }
    }
}

/// Reads one log from its start to its end.
pub(super) async fn read_log(
    engine: &Engine,
    log: LogId,
    name: Name,
    report: &mut Report,
    progress: &mut Progress,
) {
    let Some(bounds) = engine.bounds(log) else {
        return;
    };
    let mut read = PartitionReport {
        name: name.clone(),
        first_offset: bounds.start,
        next_offset: bounds.end,
        records: 0,
        bytes: 0,
        missing_offsets: 0,
    };
    let mut next = bounds.start;
    while next < bounds.end {
        match engine.read(log, next, READ_BYTES).await {
            Ok(found) if found.bytes == 0 => break,
            Ok(found) => {
                for slice in &found.slices {
                    for batch in Batches::new(slice) {
                        let Ok((header, batch)) = batch else { break };
                        if let Err(error) = Batch::stored(slice.slice_ref(batch)) {
                            let lost = offsets(&(header.base_offset..header.next_offset()));
                            report.problem(format!("{name}: {lost}: {error}"));
                        }
                        read.records += u64::try_from(header.record_count).unwrap_or(0);
                        read.bytes += batch.len() as u64;
                        next = header.next_offset();
                    }
                }
                progress.add(found.bytes as u64);
            }
            Err(ReadError::Damaged {
                first_offset,
                next_offset,
                ..
            }) if next_offset > next => {
                let lost = first_offset.max(next)..next_offset;
                read.missing_offsets += lost.end - lost.start;
                report.hole(log.0, lost);
                next = next_offset;
            }
            Err(error) => {
                report.problem(format!("{name}, offset {next}: {error}"));
                break;
            }
        }
    }
    report.log(log.0, read);
}
