//! Reads every record that a consumer could ask for.

use std::ops::Range;

use firth_batch::{Batch, Batches};
use firth_broker::{Broker, ReadError, Topic};

use super::report::{PartitionReport, Report, offsets};
use crate::progress::Progress;

const READ_BYTES: usize = 8 * 1024 * 1024;

pub(super) async fn read_all(broker: &Broker, report: &mut Report) {
    let stats = broker.engine_stats();
    // About what there is to read: what is trimmed is still counted, what is unsealed and in a segment twice.
    let mut progress = Progress::new("reading records", stats.segment_bytes + stats.unsealed_bytes);
    for topic in broker.topics() {
        for partition in topic.partition_indexes() {
            read(broker, &topic, partition, report, &mut progress).await;
        }
    }
}

async fn read(broker: &Broker, topic: &Topic, partition: i32, report: &mut Report, progress: &mut Progress) {
    let name = format!("partition {partition} of {}", topic.name);
    let (Some(bounds), Some(log)) = (broker.bounds(topic, partition), topic.log(partition)) else {
        report.problem(format!("{name} has no log"));
        return;
    };
    report.names.insert(log.0, name.clone());
    let mut read = PartitionReport {
        topic: topic.name.clone(),
        partition,
        first_offset: bounds.start,
        next_offset: bounds.end,
        records: 0,
        bytes: 0,
        missing_offsets: 0,
    };
    let mut next = bounds.start;
    while next < bounds.end {
        match broker.read(topic, partition, next, READ_BYTES).await {
            Ok(found) if found.bytes == 0 => {
                missing(report, &mut read, log.0, next..bounds.end);
                break;
            }
            Ok(found) => {
                for slice in &found.slices {
                    for batch in Batches::new(slice) {
                        let Ok((header, batch)) = batch else { break };
                        // Until logs are compacted, only damage leaves holes.
                        if header.base_offset > next {
                            missing(report, &mut read, log.0, next..header.base_offset);
                        }
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
            }) if next_offset > next => {
                missing(report, &mut read, log.0, first_offset.max(next)..next_offset);
                next = next_offset;
            }
            Err(error) => {
                report.problem(format!("{name}, offset {next}: {error}"));
                break;
            }
        }
    }
    report.partitions.push(read);
}

fn missing(report: &mut Report, read: &mut PartitionReport, log: u64, lost: Range<i64>) {
    read.missing_offsets += lost.end - lost.start;
    report.hole(log, lost);
}
