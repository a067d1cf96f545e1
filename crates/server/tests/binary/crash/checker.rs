//! What was read, held against what was read before and what was written.

use std::collections::{BTreeMap, HashMap};
use std::io;

use bytes::Bytes;
use firth_batch::{Batch, Batches, crc32c};
use firth_kafka_codec::ErrorCode;

use super::client::{Client, fetched};
use super::record::Tags;
use super::writer::{Fate, Writer};

pub(crate) struct Checker {
    partitions: Vec<Partition>,
}

/// What is known of a partition.
#[derive(Default)]
struct Partition {
    index: i32,
    /// Batches that were read, by base offset; those before the log start are forgotten.
    batches: BTreeMap<i64, Seen>,
    /// Where the next unseen batch begins.
    next_offset: i64,
    high_watermark: i64,
    /// Acknowledged, or seen.
    log_start: i64,
    /// A deletion may have moved the start up to here.
    log_start_max: i64,
    /// Batches that were not judged yet, by base offset.
    new: Vec<(i64, Tags)>,
    /// The sequence that is the least which each writer may come with.
    next_sequences: HashMap<u32, u64>,
}

struct Seen {
    next_offset: i64,
    digest: u32,
    tags: Tags,
}

impl Checker {
    pub(crate) fn new(partitions: i32) -> Checker {
        let partitions = (0..partitions).map(|index| Partition {
            index,
            ..Partition::default()
        });
        Checker {
            partitions: partitions.collect(),
        }
    }

    pub(crate) fn end(&self, partition: i32) -> i64 {
        self.partitions[usize::try_from(partition).unwrap()].next_offset
    }

    /// A deletion up to this offset is going to be asked for.
    pub(crate) fn may_be_trimmed(&mut self, partition: i32, to: i64) {
        let partition = &mut self.partitions[usize::try_from(partition).unwrap()];
        partition.log_start_max = partition.log_start_max.max(to);
    }

    /// A deletion up to this offset was acknowledged.
    pub(crate) fn trimmed(&mut self, partition: i32, log_start: i64) {
        self.partitions[usize::try_from(partition).unwrap()].trim(log_start);
    }

    /// Reads what is behind the last batch that was seen, once.
    pub(crate) fn read_on(&mut self, client: &mut Client, partition: i32, wait_ms: i32) -> io::Result<()> {
        let partition = &mut self.partitions[usize::try_from(partition).unwrap()];
        partition.read(client, partition.next_offset, wait_ms)?;
        Ok(())
    }

    /// Reads every partition from its first offset to its last.
    pub(crate) fn read_all(&mut self, client: &mut Client) {
        for partition in &mut self.partitions {
            let mut offset = partition.log_start;
            loop {
                let next_offset = partition.read(client, offset, 0).unwrap();
                // A deletion whose answer was lost may have moved the start.
                offset = next_offset.max(partition.log_start);
                if offset >= partition.high_watermark {
                    break;
                }
            }
            let (index, read, expected) = (partition.index, offset, partition.next_offset);
            assert!(
                read >= expected,
                "lost: partition {index} ends at {read}, {expected} was seen"
            );
        }
    }

    /// What both have read is the same: another broker holds what this one held.
    pub(crate) fn agree_with(&self, other: &Checker) {
        for (ours, theirs) in self.partitions.iter().zip(&other.partitions) {
            for (base_offset, seen) in &ours.batches {
                if let Some(other) = theirs.batches.get(base_offset) {
                    let index = ours.index;
                    assert_eq!(
                        seen.digest, other.digest,
                        "changed: partition {index} offset {base_offset}"
                    );
                }
            }
        }
    }

    /// Judges what was read since the last time, and what was acknowledged since. Everything was read before.
    pub(crate) fn judge(&mut self, writers: &mut [Writer]) {
        for partition in &mut self.partitions {
            for (base_offset, tags) in std::mem::take(&mut partition.new) {
                partition.judge_batch(base_offset, tags, writers);
            }
            for writer in &mut *writers {
                partition.judge_acknowledged(writer);
            }
        }
    }
}

impl Partition {
    /// One fetch from `offset`; returns the offset to go on from.
    fn read(&mut self, client: &mut Client, offset: i64, wait_ms: i32) -> io::Result<i64> {
        let data = client.fetch(self.index, offset, wait_ms)?;
        let index = self.index;
        let (high_watermark, log_start) = (data.high_watermark, data.log_start_offset);
        match data.error_code {
            ErrorCode::None => {}
            // A read of the disk was made to fail. What is there is read after the next start.
            ErrorCode::KafkaStorageError if wait_ms > 0 => return Ok(offset),
            ErrorCode::OffsetOutOfRange => {
                let log_start = client.log_start(index)?;
                assert!(
                    log_start > offset,
                    "lost: partition {index} does not reach {offset}"
                );
                self.trim(log_start);
                return Ok(log_start);
            }
            code => panic!("partition {index} from {offset}: {code}, log {log_start} to {high_watermark}"),
        }
        let before = self.high_watermark;
        assert!(
            high_watermark >= before,
            "high watermark of partition {index}: {high_watermark} after {before}"
        );
        self.high_watermark = high_watermark;
        let before = self.log_start;
        assert!(
            log_start >= before,
            "log start of partition {index}: {log_start} after {before}"
        );
        let bytes = fetched(data.records);
        let mut expected = None;
        for batch in Batches::new(&bytes) {
            let (header, slice) = batch.expect("whole batches are sent");
            match expected {
                Some(expected) => assert_eq!(header.base_offset, expected, "hole: partition {index}"),
                None => assert!(
                    header.base_offset <= offset && header.next_offset() > offset,
                    "hole: partition {index} has {} to {} instead of {offset}",
                    header.base_offset,
                    header.next_offset()
                ),
            }
            self.observe(bytes.slice_ref(slice));
            expected = Some(header.next_offset());
        }
        self.trim(log_start);
        let next_offset = expected.unwrap_or(offset);
        assert!(
            expected.is_some() || offset >= high_watermark || wait_ms > 0,
            "hole: nothing at {offset}"
        );
        Ok(next_offset)
    }

    fn observe(&mut self, bytes: Bytes) {
        let digest = crc32c(&bytes);
        let batch = Batch::stored(bytes).expect("phantom: a damaged batch");
        let (base_offset, next_offset) = (batch.header().base_offset, batch.header().next_offset());
        let index = self.index;
        if let Some(seen) = self.batches.get(&base_offset) {
            let same = seen.digest == digest && seen.next_offset == next_offset;
            assert!(
                same,
                "changed: partition {index} offset {base_offset}, which was {:?}",
                seen.tags
            );
            return;
        }
        assert!(
            base_offset >= self.next_offset || next_offset <= self.log_start || self.batches.is_empty(),
            "changed: partition {index} has a batch at {base_offset} that was not there"
        );
        let tags = Tags::of(&batch);
        assert_eq!(tags.partition, index, "phantom: a batch of another partition");
        assert_eq!(
            i64::try_from(tags.count).unwrap(),
            next_offset - base_offset,
            "hole: offsets without records"
        );
        self.batches.insert(
            base_offset,
            Seen {
                next_offset,
                digest,
                tags,
            },
        );
        self.new.push((base_offset, tags));
        self.next_offset = self.next_offset.max(next_offset);
    }

    fn trim(&mut self, log_start: i64) {
        let (index, max) = (self.index, self.log_start_max);
        assert!(
            log_start <= max,
            "lost: partition {index} starts at {log_start}, deleted was up to {max}"
        );
        self.log_start = self.log_start.max(log_start);
        self.next_offset = self.next_offset.max(log_start);
        let first_kept = self
            .batches
            .iter()
            .find(|(_, seen)| seen.next_offset > log_start)
            .map(|(at, _)| *at);
        self.batches = first_kept
            .map(|at| self.batches.split_off(&at))
            .unwrap_or_default();
    }

    fn judge_batch(&mut self, base_offset: i64, tags: Tags, writers: &[Writer]) {
        let index = self.index;
        let writer = writers
            .iter()
            .find(|writer| writer.id == tags.writer)
            .expect("phantom: an unknown writer");
        let sent = writer.histories[usize::try_from(index).unwrap()]
            .sent
            .get(&tags.first_sequence);
        let sent = sent.filter(|sent| sent.tags == tags);
        let sent =
            sent.unwrap_or_else(|| panic!("phantom: partition {index} offset {base_offset}: {tags:?}"));
        assert_ne!(
            sent.fate,
            Fate::Refused,
            "phantom: partition {index} offset {base_offset}: {tags:?} was refused"
        );
        let expected = self.next_sequences.entry(tags.writer).or_default();
        assert!(
            tags.first_sequence >= *expected,
            "duplicate or reorder: partition {index} offset {base_offset}: {tags:?} after {expected}"
        );
        *expected = tags.first_sequence + tags.count;
    }

    fn judge_acknowledged(&mut self, writer: &mut Writer) {
        let history = &mut writer.histories[usize::try_from(self.index).unwrap()];
        for first_sequence in std::mem::take(&mut history.acknowledged) {
            let sent = &history.sent[&first_sequence];
            let Fate::Acknowledged { base_offset } = sent.fate else {
                continue;
            };
            if base_offset + i64::try_from(sent.tags.count).unwrap() <= self.log_start {
                continue;
            }
            let found = self.batches.get(&base_offset).map(|seen| seen.tags);
            assert_eq!(
                found,
                Some(sent.tags),
                "lost: partition {} offset {base_offset}",
                self.index
            );
        }
    }
}
