use firth_log::LogId;
use proptest::prelude::*;

use super::replay::Replay;
use super::*;
use crate::{Error, QuotaName};

#[derive(Clone, Debug)]
enum Command {
    Create {
        name: usize,
        partitions: u32,
        retention: i64,
    },
    Delete {
        nth: usize,
    },
    CreatePartitions {
        nth: usize,
        partitions: u32,
    },
    Configure {
        nth: usize,
        retention: i64,
    },
    Reserve,
    CreateCluster {
        id: u8,
    },
    NoteTime {
        ms: i64,
    },
    AlterQuotas {
        nth: usize,
        key: usize,
        limit: u32,
    },
    Snapshot,
    /// The writer of the snapshot is killed after so many records.
    CutSnapshot {
        records: usize,
    },
}

/// Few names, so that commands meet; some collide.
const NAMES: [&str; 6] = ["a", "b.c", "b_c", "d-e", "f..", "f__"];

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        4 => (0..NAMES.len(), 1..4_u32, -1..5_i64)
            .prop_map(|(name, partitions, retention)| Command::Create { name, partitions, retention }),
        2 => (0..4_usize).prop_map(|nth| Command::Delete { nth }),
        2 => (0..4_usize, 0..6_u32)
            .prop_map(|(nth, partitions)| Command::CreatePartitions { nth, partitions }),
        2 => (0..4_usize, -1..5_i64).prop_map(|(nth, retention)| Command::Configure { nth, retention }),
        1 => Just(Command::Reserve),
        1 => any::<u8>().prop_map(|id| Command::CreateCluster { id }),
        1 => any::<i64>().prop_map(|ms| Command::NoteTime { ms }),
        2 => (0..4_usize, 0..5_usize, 0..3_u32)
            .prop_map(|(nth, key, limit)| Command::AlterQuotas { nth, key, limit }),
        1 => Just(Command::Snapshot),
        1 => (0..4_usize).prop_map(|records| Command::CutSnapshot { records }),
    ]
}

/// The live state machine, and what it wrote: each entry with the state that must come back when it is the last.
#[derive(Default)]
struct Live {
    definitions: Definitions,
    log: Vec<(Vec<u8>, Definitions)>,
    snapshots_at: Vec<usize>,
    next_id: u8,
    next_log: u64,
}

impl Live {
    fn run(&mut self, command: &Command) {
        match command {
            Command::Create {
                name,
                partitions,
                retention,
            } => {
                self.next_id += 1;
                let new = NewTopic {
                    name: NAMES[*name].to_owned(),
                    configs: retention_ms(*retention),
                    ..NewTopic::default()
                };
                let id = TopicId([self.next_id; 16]);
                let first_log = LogId(16 + self.next_log);
                self.next_log += u64::from(*partitions);
                self.decide(&Request::CreateTopic {
                    new,
                    partitions: *partitions,
                    id,
                    first_log,
                });
            }
            Command::Delete { nth } => {
                let id = self.nth(*nth);
                self.decide(&Request::DeleteTopic { id });
            }
            Command::CreatePartitions { nth, partitions } => {
                let id = self.nth(*nth);
                let first_log = LogId(16 + self.next_log);
                // Sometimes the logs of two topics lie between each other, sometimes one continues where it ended.
                self.next_log += u64::from(*partitions);
                self.decide(&Request::CreatePartitions {
                    id,
                    partitions: *partitions,
                    first_log,
                });
            }
            Command::Configure { nth, retention } => {
                let id = self.nth(*nth);
                self.decide(&Request::ConfigureTopic {
                    id,
                    change: ConfigChange::Replace(retention_ms(*retention)),
                });
            }
            Command::Reserve => self.decide(&Request::ReserveProducerIds),
            Command::CreateCluster { id } => self.decide(&Request::CreateCluster {
                id: ClusterId([*id; 16]),
            }),
            Command::NoteTime { ms } => self.decide(&Request::NoteTime { ms: *ms }),
            Command::AlterQuotas { nth, key, limit } => {
                let name = || QuotaName::named("a").unwrap();
                let entity = match nth {
                    0 => QuotaEntity::User(QuotaName::Default),
                    1 => QuotaEntity::ClientId(name()),
                    2 => QuotaEntity::UserClientId(name(), QuotaName::Default),
                    _ => QuotaEntity::Ip(Some([10, 0, 0, 1].into())),
                };
                let key = QuotaKey::ALL[*key];
                let edits = vec![(key, QuotaLimit::new(key, f64::from(*limit)).ok())];
                self.decide(&Request::AlterQuotas { entity, edits });
            }
            Command::Snapshot => {
                self.snapshots_at.push(self.log.len());
                let records = self.write_snapshot(usize::MAX);
                self.write(&Entry::SnapshotEnded { records });
            }
            Command::CutSnapshot { records } => _ = self.write_snapshot(*records),
        }
    }

    fn decide(&mut self, request: &Request) {
        if let Ok((Some(record), _)) = self.definitions.handle(request) {
            self.definitions.replay(&record);
            self.write(&Entry::Record(record));
        }
    }

    fn write(&mut self, entry: &Entry) {
        self.log.push((entry.encode(), self.definitions.clone()));
    }

    fn write_snapshot(&mut self, at_most: usize) -> u32 {
        self.write(&Entry::SnapshotBegun);
        let records: Vec<_> = self.definitions.snapshot().take(at_most).collect();
        records
            .iter()
            .for_each(|record| self.write(&Entry::OfSnapshot(record.clone())));
        records.len() as u32
    }

    fn nth(&self, nth: usize) -> TopicId {
        let mut ids: Vec<_> = self.definitions.topics.iter().map(|topic| topic.id).collect();
        ids.sort_unstable();
        ids.get(nth).copied().unwrap_or(TopicId([0; 16]))
    }
}

fn retention_ms(value: i64) -> Vec<(String, Option<String>)> {
    vec![("retention.ms".to_owned(), Some(value.to_string()))]
}

fn replayed(entries: &[(Vec<u8>, Definitions)]) -> Replay {
    let mut replay = Replay::default();
    for (offset, (value, _)) in entries.iter().enumerate() {
        replay.apply(offset as i64, value).unwrap();
    }
    replay
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A crash leaves a prefix of the log: nothing that was durable is lost, and nothing else appears.
    #[test]
    fn every_prefix_of_the_log_gives_the_state_of_its_time(commands in prop::collection::vec(command(), 1..40)) {
        let mut live = Live::default();
        commands.iter().for_each(|command| live.run(command));
        for len in 1..=live.log.len() {
            let replay = replayed(&live.log[..len]).finish().unwrap();
            prop_assert_eq!(&replay.definitions, &live.log[len - 1].1, "after {} entries", len);
        }
    }

    #[test]
    fn a_log_that_was_trimmed_to_any_snapshot_gives_the_same_state(commands in prop::collection::vec(command(), 1..40)) {
        let mut live = Live::default();
        live.run(&Command::Snapshot);
        commands.iter().for_each(|command| live.run(command));
        for &at in &live.snapshots_at {
            prop_assert_eq!(&replayed(&live.log[at..]).definitions, &live.definitions);
        }
        let last = live.snapshots_at.last().map(|at| *at as i64);
        prop_assert_eq!(replayed(&live.log).position.snapshot, last);
    }

    #[test]
    fn bytes_that_are_no_entry_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), flip in any::<bool>()) {
        let bytes = if flip { [&[VERSION, 1], bytes.as_slice()].concat() } else { bytes };
        if let Ok(entry) = Entry::decode(&bytes) {
            prop_assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
        }
    }
}

/// A topic, a snapshot of it, another topic; with offsets from 0.
fn with_snapshot() -> Live {
    let mut live = Live::default();
    for command in [
        Command::Create {
            name: 0,
            partitions: 1,
            retention: 1,
        },
        Command::Snapshot,
        Command::Create {
            name: 3,
            partitions: 1,
            retention: 1,
        },
    ] {
        live.run(&command);
    }
    live
}

fn with_damage(live: &Live, damage: Range<usize>) -> Result<Replay, Error> {
    let mut replay = Replay::default();
    for (offset, (value, _)) in live.log.iter().enumerate() {
        if offset == damage.start {
            replay.damaged(damage.start as i64, damage.end as i64);
        }
        if !damage.contains(&offset) {
            replay.apply(offset as i64, value).unwrap();
        }
    }
    if damage.end == live.log.len() && damage.start == damage.end {
        replay.damaged(damage.start as i64, damage.end as i64);
    }
    replay.finish()
}

#[test]
fn damage_is_an_error_unless_a_snapshot_makes_up_for_it() {
    let live = with_snapshot();
    // 0 topic, 1 begun, 2 producer ids, 3 topic, 4 ended, 5 topic
    assert_eq!(live.log.len(), 6);
    for (damage, whole) in [
        (0..1, true), // before a whole snapshot
        (2..3, true), // within a snapshot that repeats what was read
        (2..4, true),
        (1..2, false), // whether more than the begin was there is not known
        (2..5, false), // nor whether more than the end was
        (5..6, false),
        (0..4, false),
    ] {
        match with_damage(&live, damage.clone()) {
            Ok(replay) => {
                assert!(whole, "{damage:?}");
                assert_eq!(replay.definitions, live.definitions, "{damage:?}");
            }
            Err(error) => assert!(
                !whole && matches!(error, Error::Damaged { .. }),
                "{damage:?}: {error}"
            ),
        }
    }
}

/// The state that is left where a part of the log was given up.
fn with_gap(live: &Live, gap: Range<usize>) -> Replay {
    let mut replay = Replay::default();
    for (offset, (value, _)) in live.log.iter().enumerate() {
        if offset == gap.start {
            replay.gap();
        }
        if !gap.contains(&offset) {
            replay.apply(offset as i64, value).unwrap();
        }
    }
    replay.finish().unwrap()
}

#[test]
fn what_was_given_up_costs_what_it_said_and_no_producer_id_twice() {
    let mut live = with_snapshot();
    live.run(&Command::Reserve);
    // 0 topic, 1 begun, 2 producer ids, 3 topic, 4 ended, 5 topic, 6 producer ids
    for (gap, topics, made_up_for) in [
        (0..1, 2, true),  // the snapshot has it
        (3..4, 2, false), // the snapshot is none, and repeats what was read
        (4..5, 2, false),
        (5..6, 1, false),
        (0..5, 1, false),
    ] {
        let replay = with_gap(&live, gap.clone());
        assert_eq!(replay.definitions.topics().len(), topics, "{gap:?}");
        assert_eq!(replay.has_gap, !made_up_for, "{gap:?}");
        let reserved = replay.definitions.producer_ids_reserved;
        assert_eq!(reserved >= 1 << 32, !made_up_for, "{gap:?}: {reserved}");
        assert!(
            reserved >= live.definitions.producer_ids_reserved,
            "{gap:?}: {reserved}"
        );
    }
}

/// A name is used again after its topic was deleted by a record that is lost.
#[test]
fn the_last_topic_of_a_name_is_the_one_that_exists() {
    let mut live = Live::default();
    let create = Command::Create {
        name: 0,
        partitions: 2,
        retention: 1,
    };
    live.run(&create);
    live.run(&Command::Delete { nth: 0 });
    live.run(&create);
    let replay = with_gap(&live, 1..2);
    assert_eq!(replay.definitions.topics(), live.definitions.topics());
}

#[test]
fn names_that_differ_in_dots_alone_collide_until_the_first_is_deleted() {
    let mut live = Live::default();
    live.run(&Command::Create {
        name: 1,
        partitions: 1,
        retention: 1,
    });
    let new = NewTopic {
        name: "b_c".to_owned(),
        ..NewTopic::default()
    };
    assert_eq!(
        live.definitions.check_new(&new, 1),
        Err(DefineError::NameCollision("b_c".to_owned(), "b.c".to_owned()))
    );
    live.run(&Command::Delete { nth: 0 });
    assert_eq!(live.definitions.check_new(&new, 1), Ok(Vec::new()));
}

#[test]
fn a_number_of_partitions_out_of_range_is_refused() {
    let new = NewTopic {
        name: "t".to_owned(),
        ..NewTopic::default()
    };
    let definitions = Definitions::default();
    for partitions in [0, PARTITIONS_MAX + 1] {
        let error = definitions.check_new(&new, partitions).unwrap_err();
        assert_eq!(error, DefineError::InvalidPartitions(partitions.into()));
    }
    assert!(definitions.check_new(&new, PARTITIONS_MAX).is_ok());
}

#[test]
fn a_broker_has_so_many_partitions_and_no_more() {
    let mut definitions = Definitions::default();
    let request = |nth: u8, partitions| Request::CreateTopic {
        new: NewTopic {
            name: format!("t{nth}"),
            ..NewTopic::default()
        },
        partitions,
        id: TopicId([nth; 16]),
        first_log: LogId(16),
    };
    for nth in 0..100 {
        let (record, _) = definitions.handle(&request(nth, PARTITIONS_MAX)).unwrap();
        definitions.replay(&record.unwrap());
    }
    let exist = PARTITIONS_TOTAL_MAX;
    assert_eq!(
        definitions.handle(&request(100, 1)).unwrap_err(),
        DefineError::TooManyPartitions { exist }
    );
    definitions.replay(&Record::TopicDeleted { id: TopicId([7; 16]) });
    assert!(definitions.handle(&request(100, PARTITIONS_MAX)).is_ok());
}
