//! What the doctor found, each damage once.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use firth_broker::Unreadable;
use firth_log::{LogId, segment};
use serde_json::json;

use crate::table::table;

#[derive(Default)]
pub(in crate::cmd) struct Report {
    segments: u64,
    damaged_segments: u64,
    /// What was read, by topic and partition; logs without a topic last.
    logs: Vec<PartitionReport>,
    /// Stretches of logs that recovery found damaged.
    pub(super) quarantined: u64,
    names: HashMap<u64, Name>,
    segment_damages: Vec<SegmentDamage>,
    /// Offsets that were given to records and cannot be read, by log.
    holes: Vec<(u64, Range<i64>)>,
    /// What can be read of state logs and not be understood, with the reasons.
    unreadable: Vec<Unreadable>,
    /// One sentence each.
    others: Vec<String>,
}

/// What people call a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Partition(Arc<str>, i32),
    Definitions,
    Groups,
    Queues,
    Topology,
    Users,
    Meta,
    /// It belongs to no topic: the record that created its topic is lost, or was given up.
    Orphan(u64),
}

pub(super) struct PartitionReport {
    pub(super) name: Name,
    pub(super) first_offset: i64,
    pub(super) next_offset: i64,
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// Damaged, or not there.
    pub(super) missing_offsets: i64,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Partition(topic, partition) => write!(f, "partition {partition} of {topic}"),
            Name::Definitions => f.write_str("the definitions of topics"),
            Name::Groups => f.write_str("what consumer groups stored"),
            Name::Queues => f.write_str("what queues store beside their messages"),
            Name::Topology => f.write_str("what is declared in virtual hosts"),
            Name::Users => f.write_str("users and what they may do"),
            Name::Meta => f.write_str("the engine's own log"),
            Name::Orphan(log) => write!(f, "log {log}, which is no partition"),
        }
    }
}

impl Name {
    /// The log in one word, as the command line takes it.
    fn short(&self) -> String {
        match self {
            Name::Partition(topic, partition) => format!("{topic}/{partition}"),
            Name::Definitions => "definitions".to_owned(),
            Name::Groups => "groups".to_owned(),
            Name::Queues => "queues".to_owned(),
            Name::Topology => "topology".to_owned(),
            Name::Users => "users".to_owned(),
            Name::Meta => "meta".to_owned(),
            Name::Orphan(log) => format!("#{log}"),
        }
    }
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

    pub(super) fn log(&mut self, log: u64, read: PartitionReport) {
        self.names.insert(log, read.name.clone());
        self.logs.push(read);
    }

    pub(super) fn knows(&self, log: LogId) -> bool {
        self.names.contains_key(&log.0)
    }

    pub(super) fn hole(&mut self, log: u64, lost: Range<i64>) {
        self.holes.push((log, lost));
    }

    /// A broker would not start with it, so it is given up as a hole is.
    pub(super) fn unreadable(&mut self, found: Unreadable) {
        self.hole(found.log.0, found.offsets.clone());
        self.unreadable.push(found);
    }

    fn why_unreadable(&self, log: u64, lost: &Range<i64>) -> Option<String> {
        let mut unreadable = self.unreadable.iter();
        let found = unreadable.find(|found| found.log.0 == log && found.offsets == *lost)?;
        Some(format!("not to be understood: {}", found.what))
    }

    /// Each hole with its log, and the name of that as the command line takes it.
    pub(super) fn holes(&self) -> impl Iterator<Item = (LogId, String, &Range<i64>)> {
        let holes = self.holes.iter();
        holes.map(|(log, lost)| (LogId(*log), self.name(*log).short(), lost))
    }

    pub(super) fn problem(&mut self, problem: String) {
        self.others.push(problem);
    }

    pub(in crate::cmd) fn is_healthy(&self) -> bool {
        self.problems().is_empty()
    }

    /// What is known of why a stretch is lost.
    fn cause(&self, log: u64, lost: &Range<i64>) -> String {
        if let Some(why) = self.why_unreadable(log, lost) {
            return why;
        }
        let damages = self.segment_damages.iter();
        let causes = damages.filter(|damage| damage.concerns(log, lost));
        let causes: Vec<_> = causes.map(SegmentDamage::place).collect();
        match causes.as_slice() {
            [] => "damaged, or missing".to_owned(),
            causes => format!("damaged in {}", causes.join(", and in ")),
        }
    }

    /// One sentence for each damage: what is lost, and where it was; then the damage that costs nobody a record.
    pub(in crate::cmd) fn problems(&self) -> Vec<String> {
        let mut problems = self.others.clone();
        let explains =
            |damage: &SegmentDamage| self.holes.iter().any(|(log, lost)| damage.concerns(*log, lost));
        let mut holes_in_wal = 0;
        for (log, lost) in &self.holes {
            let mut damages = self.segment_damages.iter();
            let is_explained = damages.any(|damage| damage.concerns(*log, lost));
            holes_in_wal += u64::from(!is_explained && self.why_unreadable(*log, lost).is_none());
            let verb = if lost.end - lost.start == 1 { "is" } else { "are" };
            let why = self.cause(*log, lost);
            problems.push(format!("{}: {} {verb} {why}", self.name(*log), offsets(lost)));
        }
        if self.quarantined > holes_in_wal {
            problems.push(format!(
                "the WAL has {} damaged stretches, of which {holes_in_wal} are named above",
                self.quarantined
            ));
        }
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

    fn name(&self, log: u64) -> Name {
        self.names.get(&log).cloned().unwrap_or(Name::Orphan(log))
    }

    /// Logs of topics, and those that belong to none; not those that are our own.
    fn listed(&self) -> impl Iterator<Item = &PartitionReport> {
        let is_ours = |name: &Name| {
            use Name::{Definitions, Groups, Meta, Queues, Topology, Users};
            matches!(name, Definitions | Groups | Queues | Topology | Users | Meta)
        };
        self.logs.iter().filter(move |read| !is_ours(&read.name))
    }

    fn orphans(&self) -> impl Iterator<Item = &PartitionReport> {
        self.logs
            .iter()
            .filter(|read| matches!(read.name, Name::Orphan(_)))
    }

    /// What the directory holds: topics, partitions, records and bytes of these.
    pub(in crate::cmd) fn holds(&self) -> Holds {
        let mut holds = Holds::default();
        let mut last = None;
        for read in &self.logs {
            let Name::Partition(topic, _) = &read.name else {
                continue;
            };
            holds.topics += u64::from(last.replace(topic) != Some(topic));
            holds.partitions += 1;
            holds.records += read.records;
            holds.bytes += read.bytes;
        }
        holds
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
            let (topic, partition) = match &read.name {
                Name::Partition(topic, partition) => (topic.to_string(), partition.to_string()),
                name => (name.short(), "-".to_owned()),
            };
            let offsets = [read.first_offset, read.next_offset].map(|offset| offset.to_string());
            let counts = [read.records, read.bytes].map(|count| count.to_string());
            let cells = [topic, partition].into_iter().chain(offsets).chain(counts);
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
        let mut text = table(&head, &self.listed().map(row).collect::<Vec<_>>());
        text += &self.segments_line();
        for orphan in self.orphans() {
            text += &format!(
                "{} belongs to no topic: the record of its topic is lost; what it holds is kept\n",
                orphan.name.short()
            );
        }
        let problems = self.problems();
        for problem in &problems {
            text += &format!("PROBLEM {problem}\n");
        }
        text += &self.advice(data);
        text += &match problems.len() {
            0 => format!("{} is healthy\n", data.display()),
            1 => format!("{} has 1 problem; nothing was changed\n", data.display()),
            count => format!("{} has {count} problems; nothing was changed\n", data.display()),
        };
        text
    }

    /// What holes mean, and what can be done about them.
    fn advice(&self, data: &Path) -> String {
        if self.holes.is_empty() {
            return String::new();
        }
        let data = data.display();
        let mut text = String::from(
            "\nHoles are offsets that were acknowledged and cannot be read. A consumer that comes to one gets\n\
             KAFKA_STORAGE_ERROR there until it goes on behind it; what lies before and behind can be read, and producers\n\
             are not concerned. Each of them, with the number of records that it had at most:\n",
        );
        for (_, name, lost) in self.holes() {
            let (first, last) = (lost.start, lost.end - 1);
            text += &format!("    {name}:{first}-{last}  {}\n", lost.end - lost.start);
        }
        text += &format!(
            "What can be done:\n\
             \x20 - put a segment that was moved away back into {data}/segments: what can be read again is no hole;\n\
             \x20 - restore a backup into another directory: firth restore FILE --data DIR;\n\
             \x20 - give up what is lost, so that consumers pass it: firth doctor --data {data} --accept LOG:FIRST-LAST\n\n"
        );
        text
    }

    pub(super) fn as_json(&self) -> serde_json::Value {
        let row = |read: &PartitionReport| {
            let mut row = json!({
                "log": read.name.short(),
                "first_offset": read.first_offset,
                "next_offset": read.next_offset,
                "records": read.records,
                "bytes": read.bytes,
                "missing_offsets": read.missing_offsets,
            });
            if let Name::Partition(topic, partition) = &read.name {
                row["topic"] = json!(&**topic);
                row["partition"] = json!(partition);
            }
            row
        };
        let hole = |(log, lost): &(u64, Range<i64>)| {
            json!({
                "log": self.name(*log).short(),
                "first_offset": lost.start,
                "last_offset": lost.end - 1,
                "records_max": lost.end - lost.start,
                "why": self.cause(*log, lost),
            })
        };
        let in_topic = |read: &&PartitionReport| matches!(read.name, Name::Partition(..));
        json!({
            "healthy": self.is_healthy(),
            "segments": self.segments,
            "damaged_segments": self.damaged_segments,
            "partitions": self.logs.iter().filter(in_topic).map(row).collect::<Vec<_>>(),
            "orphans": self.orphans().map(row).collect::<Vec<_>>(),
            "holes": self.holes.iter().map(hole).collect::<Vec<_>>(),
            "problems": self.problems(),
        })
    }
}

/// What a data directory holds.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::cmd) struct Holds {
    pub(in crate::cmd) topics: u64,
    pub(in crate::cmd) partitions: u64,
    pub(in crate::cmd) records: u64,
    pub(in crate::cmd) bytes: u64,
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
        report.names.insert(16, Name::Partition("t".into(), 0));
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
