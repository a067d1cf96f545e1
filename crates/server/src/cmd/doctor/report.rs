//! What the doctor found, each damage once.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use firth_log::segment;
use serde_json::json;

use crate::table::table;

#[derive(Default)]
pub(super) struct Report {
    segments: u64,
    damaged_segments: u64,
    pub(super) partitions: Vec<PartitionReport>,
    /// Stretches of logs that recovery found damaged in the WAL.
    pub(super) quarantined: u64,
    /// What people call a log.
    pub(super) names: HashMap<u64, String>,
    segment_damages: Vec<SegmentDamage>,
    /// Offsets that were given to records and cannot be read, by log.
    holes: Vec<(u64, Range<i64>)>,
    /// One sentence each.
    others: Vec<String>,
}

pub(super) struct PartitionReport {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) first_offset: i64,
    pub(super) next_offset: i64,
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// Damaged, or not there.
    pub(super) missing_offsets: i64,
}

/// What is wrong with a segment, and which offsets of which log that concerns.
pub(super) struct SegmentDamage {
    error: segment::Error,
    stretch: Option<(u64, Range<i64>)>,
}

impl From<segment::Error> for SegmentDamage {
    fn from(error: segment::Error) -> SegmentDamage {
        let stretch = match &error {
            segment::Error::Damaged {
                log,
                first_offset,
                next_offset,
                ..
            } => Some((*log, *first_offset..*next_offset)),
            _ => None,
        };
        SegmentDamage { error, stretch }
    }
}

impl SegmentDamage {
    /// Where the damage is, without saying again which offsets it concerns.
    fn place(&self) -> String {
        match &self.error {
            segment::Error::Damaged { segment, what, .. } => format!("segment {segment}: {what}"),
            error => error.to_string(),
        }
    }

    fn concerns(&self, log: u64, lost: &Range<i64>) -> bool {
        let overlaps = |(of, offsets): &(u64, Range<i64>)| {
            *of == log && offsets.start < lost.end && lost.start < offsets.end
        };
        self.stretch.as_ref().is_some_and(overlaps)
    }
}

/// Offsets as people count them: both ends are included.
pub(super) fn offsets(offsets: &Range<i64>) -> String {
    match offsets.end - offsets.start {
        1 => format!("offset {}", offsets.start),
        _ => format!("offsets {} to {}", offsets.start, offsets.end - 1),
    }
}

impl Report {
    pub(super) fn segment(&mut self, damages: impl IntoIterator<Item = SegmentDamage>) {
        let before = self.segment_damages.len();
        self.segment_damages.extend(damages);
        self.segments += 1;
        self.damaged_segments += u64::from(self.segment_damages.len() > before);
    }

    pub(super) fn hole(&mut self, log: u64, lost: Range<i64>) {
        self.holes.push((log, lost));
    }

    pub(super) fn problem(&mut self, problem: String) {
        self.others.push(problem);
    }

    pub(super) fn is_healthy(&self) -> bool {
        self.problems().is_empty()
    }

    /// One sentence for each damage: what is lost, and where it was; then the damage that costs nobody a record.
    fn problems(&self) -> Vec<String> {
        let mut problems = self.others.clone();
        let mut holes_in_wal = 0;
        for (log, lost) in &self.holes {
            let causes = self
                .segment_damages
                .iter()
                .filter(|damage| damage.concerns(*log, lost));
            let causes: Vec<_> = causes.map(SegmentDamage::place).collect();
            holes_in_wal += u64::from(causes.is_empty());
            let why = match causes.as_slice() {
                [] => "damaged, or missing".to_owned(),
                causes => format!("damaged in {}", causes.join(", and in ")),
            };
            let verb = if lost.end - lost.start == 1 { "is" } else { "are" };
            problems.push(format!("{}: {} {verb} {why}", self.name(*log), offsets(lost)));
        }
        if self.quarantined > holes_in_wal {
            problems.push(format!(
                "the WAL has {} damaged stretches, of which {holes_in_wal} are named above",
                self.quarantined
            ));
        }
        let explains =
            |damage: &SegmentDamage| self.holes.iter().any(|(log, lost)| damage.concerns(*log, lost));
        for damage in self.segment_damages.iter().filter(|damage| !explains(damage)) {
            problems.push(match &damage.stretch {
                Some((log, stretch)) => {
                    format!("{} ({} of {})", damage.place(), offsets(stretch), self.name(*log))
                }
                None => damage.place(),
            });
        }
        problems
    }

    fn name(&self, log: u64) -> String {
        let name = self.names.get(&log).cloned();
        name.unwrap_or_else(|| format!("log {log}, which is no partition"))
    }

    fn segments_line(&self) -> String {
        let segments = match self.segments {
            0 => return "no segments\n".to_owned(),
            1 => "1 segment".to_owned(),
            count => format!("{count} segments"),
        };
        match self.damaged_segments {
            0 => format!("{segments}, every checksum verified\n"),
            damaged => format!("{segments}, of which {damaged} damaged\n"),
        }
    }

    pub(super) fn as_text(&self, data: &Path) -> String {
        let row = |read: &PartitionReport| {
            let partition = read.partition.to_string();
            let offsets = [read.first_offset, read.next_offset].map(|offset| offset.to_string());
            let counts = [read.records, read.bytes].map(|count| count.to_string());
            let cells = [read.topic.to_string(), partition].into_iter();
            let cells = cells.chain(offsets).chain(counts);
            cells.chain([read.missing_offsets.to_string()]).collect()
        };
        let head = [
            "topic",
            "partition",
            "first",
            "next",
            "records",
            "bytes",
            "missing",
        ];
        let mut text = table(&head, &self.partitions.iter().map(row).collect::<Vec<_>>());
        text += &self.segments_line();
        let problems = self.problems();
        for problem in &problems {
            text += &format!("PROBLEM {problem}\n");
        }
        text += &match problems.len() {
            0 => format!("{} is healthy\n", data.display()),
            1 => format!("{} has 1 problem; nothing was changed\n", data.display()),
            count => format!("{} has {count} problems; nothing was changed\n", data.display()),
        };
        text
    }

    pub(super) fn as_json(&self) -> serde_json::Value {
        let row = |read: &PartitionReport| {
            json!({
                "topic": &*read.topic,
                "partition": read.partition,
                "first_offset": read.first_offset,
                "next_offset": read.next_offset,
                "records": read.records,
                "bytes": read.bytes,
                "missing_offsets": read.missing_offsets,
            })
        };
        json!({
            "healthy": self.is_healthy(),
            "segments": self.segments,
            "damaged_segments": self.damaged_segments,
            "partitions": self.partitions.iter().map(row).collect::<Vec<_>>(),
            "problems": self.problems(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firth_log::segment::SegmentId;

    fn damage(log: u64, offsets: Range<i64>) -> SegmentDamage {
        SegmentDamage::from(segment::Error::Damaged {
            segment: SegmentId(3),
            log,
            first_offset: offsets.start,
            next_offset: offsets.end,
            what: "the chunk's checksum does not match",
        })
    }

    fn report() -> Report {
        let mut report = Report::default();
        report.names.insert(16, "partition 0 of t".to_owned());
        report
    }

    #[test]
    fn damage_of_a_segment_is_named_once_with_what_it_costs() {
        let mut report = report();
        report.segment([]);
        report.segment([damage(16, 4..10), damage(17, 0..1)]);
        report.hole(16, 9..10);
        report.hole(16, 20..22);
        assert_eq!(
            report.problems(),
            [
                "partition 0 of t: offset 9 is damaged in segment 0000000000000003: the chunk's checksum does not match",
                "partition 0 of t: offsets 20 to 21 are damaged, or missing",
                "segment 0000000000000003: the chunk's checksum does not match (offset 0 of log 17, which is no partition)",
            ]
        );
        assert_eq!(report.segments_line(), "2 segments, of which 1 damaged\n");
    }

    #[test]
    fn damage_in_the_wal_is_counted_where_no_partition_names_it() {
        let mut report = report();
        report.quarantined = 1;
        report.hole(16, 0..1);
        assert_eq!(report.problems().len(), 1);
        report.quarantined = 2;
        let problems = report.problems();
        assert_eq!(
            problems.last().unwrap(),
            "the WAL has 2 damaged stretches, of which 1 are named above"
        );
        assert_eq!(report.segments_line(), "no segments\n");
        report.segment([]);
        assert_eq!(report.segments_line(), "1 segment, every checksum verified\n");
    }
}
