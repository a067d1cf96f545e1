//! The records of the definitions log, as values of records in batches. All integers are little-endian.
//!
//! ```text
//! value   := version u8 = 1 | type u8 | body          bit 7 of the type: the record belongs to a snapshot
//! 1 TopicCreated         id 16 bytes | first log u64 | partitions u32 | name text | configs
//! 2 TopicDeleted         id 16 bytes
//! 3 TopicConfigured      id 16 bytes | configs          replaces the whole configuration
//! 4 ProducerIdsReserved  next i64                        every id below it may have been given out
//! 5 SnapshotBegun        (nothing)                       always with bit 7
//! 6 SnapshotEnded        records u32                     always with bit 7; how many lie between the two
//! 7 ClusterCreated       id 16 bytes                     drawn at the first start; a second one means nothing
//! 8 TimeKnown            ms i64                          the time that was believed, in milliseconds since 1970; the last counts
//! 9 PartitionsCreated    id 16 bytes | first log u64 | partitions u32      behind those that the topic has
//! 10 QuotasSet           entity | count u8 | (key u8 | limit f64)*          replaces all quotas of the entity
//! text    := length u16 | UTF-8
//! configs := count u16 | (name text | value text)*
//! entity  := 1 user name | 2 client id name | 3 user name, client id name | 4 any address | 5 IPv4 4 bytes | 6 IPv6 16 bytes
//! name    := 0 whoever has no quota of its own | 1 text
//! key     := 1 producer_byte_rate | 2 consumer_byte_rate | 3 request_percentage | 4 controller_mutation_rate
//!          | 5 connection_creation_rate
//! ```
//!
//! The logs of partitions that are created together have consecutive ids, from the first log on.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

mod quotas;

use firth_log::LogId;

use self::quotas::{decode_quotas, encode_quotas};
use crate::{ClusterId, QuotaEntity, QuotaKey, QuotaLimit, TopicId};

/// The highest version that is read, and the one that is written.
pub(crate) const VERSION: u8 = 1;

const OF_SNAPSHOT: u8 = 0x80;
const TOPIC_CREATED: u8 = 1;
const TOPIC_DELETED: u8 = 2;
const TOPIC_CONFIGURED: u8 = 3;
const PRODUCER_IDS_RESERVED: u8 = 4;
const SNAPSHOT_BEGUN: u8 = 5;
const SNAPSHOT_ENDED: u8 = 6;
const CLUSTER_CREATED: u8 = 7;
const TIME_KNOWN: u8 = 8;
const PARTITIONS_CREATED: u8 = 9;
const QUOTAS_SET: u8 = 10;

pub(crate) type Configs = Vec<(String, String)>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    TopicCreated {
        id: TopicId,
        first_log: LogId,
        partitions: u32,
        name: String,
        configs: Configs,
    },
    TopicDeleted {
        id: TopicId,
    },
    PartitionsCreated {
        id: TopicId,
        first_log: LogId,
        partitions: u32,
    },
    TopicConfigured {
        id: TopicId,
        configs: Configs,
    },
    ProducerIdsReserved {
        next: i64,
    },
    ClusterCreated {
        id: ClusterId,
    },
    TimeKnown {
        ms: i64,
    },
    QuotasSet {
        entity: QuotaEntity,
        quotas: Vec<(QuotaKey, QuotaLimit)>,
    },
}

/// A record and its part in a snapshot, if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Record(Record),
    SnapshotBegun,
    OfSnapshot(Record),
    SnapshotEnded { records: u32 },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DecodeError {
    NewerVersion(u8),
    Malformed(&'static str),
}

impl Entry {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        match self {
            Entry::Record(record) => encode_record(record, 0, &mut out),
            Entry::OfSnapshot(record) => encode_record(record, OF_SNAPSHOT, &mut out),
            Entry::SnapshotBegun => out.push(OF_SNAPSHOT | SNAPSHOT_BEGUN),
            Entry::SnapshotEnded { records } => {
                out.push(OF_SNAPSHOT | SNAPSHOT_ENDED);
                out.extend_from_slice(&records.to_le_bytes());
            }
        }
        out
    }

    /// Bytes after what this version knows are an error: what they mean would be lost by the next snapshot.
    pub(crate) fn decode(value: &[u8]) -> Result<Entry, DecodeError> {
        let mut fields = Fields { rest: value };
        match fields.u8()? {
            VERSION => {}
            0 => return Err(DecodeError::Malformed("version")),
            newer => return Err(DecodeError::NewerVersion(newer)),
        }
        let kind = fields.u8()?;
        let entry = match (kind & !OF_SNAPSHOT, kind & OF_SNAPSHOT != 0) {
            (SNAPSHOT_BEGUN, true) => Entry::SnapshotBegun,
            (SNAPSHOT_ENDED, true) => Entry::SnapshotEnded {
                records: fields.u32()?,
            },
            (kind, true) => Entry::OfSnapshot(decode_record(kind, &mut fields)?),
            (kind, false) => Entry::Record(decode_record(kind, &mut fields)?),
        };
        if fields.rest.is_empty() {
            Ok(entry)
        } else {
            Err(DecodeError::Malformed("length"))
        }
    }
}

fn encode_record(record: &Record, flag: u8, out: &mut Vec<u8>) {
    match record {
        Record::TopicCreated {
            id,
            first_log,
            partitions,
            name,
            configs,
        } => {
            out.push(flag | TOPIC_CREATED);
            out.extend_from_slice(&id.0);
            out.extend_from_slice(&first_log.0.to_le_bytes());
            out.extend_from_slice(&partitions.to_le_bytes());
            encode_text(name, out);
            encode_configs(configs, out);
        }
        Record::TopicDeleted { id } => {
            out.push(flag | TOPIC_DELETED);
            out.extend_from_slice(&id.0);
        }
        Record::PartitionsCreated {
            id,
            first_log,
            partitions,
        } => {
            out.push(flag | PARTITIONS_CREATED);
            out.extend_from_slice(&id.0);
            out.extend_from_slice(&first_log.0.to_le_bytes());
            out.extend_from_slice(&partitions.to_le_bytes());
        }
        Record::TopicConfigured { id, configs } => {
            out.push(flag | TOPIC_CONFIGURED);
            out.extend_from_slice(&id.0);
            encode_configs(configs, out);
        }
        Record::ProducerIdsReserved { next } => {
            out.push(flag | PRODUCER_IDS_RESERVED);
            out.extend_from_slice(&next.to_le_bytes());
        }
        Record::ClusterCreated { id } => {
            out.push(flag | CLUSTER_CREATED);
            out.extend_from_slice(&id.0);
        }
        Record::TimeKnown { ms } => {
            out.push(flag | TIME_KNOWN);
            out.extend_from_slice(&ms.to_le_bytes());
        }
        Record::QuotasSet { entity, quotas } => {
            out.push(flag | QUOTAS_SET);
            encode_quotas(entity, quotas, out);
        }
    }
}

#[expect(clippy::expect_used, reason = "what is written was checked when it came in")]
fn encode_configs(configs: &Configs, out: &mut Vec<u8>) {
    let count = u16::try_from(configs.len()).expect("there are fewer settings than 2^16");
    out.extend_from_slice(&count.to_le_bytes());
    for (name, value) in configs {
        encode_text(name, out);
        encode_text(value, out);
    }
}

#[expect(clippy::expect_used, reason = "what is written was checked when it came in")]
fn encode_text(text: &str, out: &mut Vec<u8>) {
    let len = u16::try_from(text.len()).expect("names and values were found to be short when they came in");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn decode_record(kind: u8, fields: &mut Fields<'_>) -> Result<Record, DecodeError> {
    match kind {
        TOPIC_CREATED => Ok(Record::TopicCreated {
            id: TopicId(fields.array()?),
            first_log: LogId(u64::from_le_bytes(fields.array()?)),
            partitions: fields.u32()?,
            name: fields.text()?,
            configs: fields.configs()?,
        }),
        TOPIC_DELETED => Ok(Record::TopicDeleted {
            id: TopicId(fields.array()?),
        }),
        PARTITIONS_CREATED => Ok(Record::PartitionsCreated {
            id: TopicId(fields.array()?),
            first_log: LogId(u64::from_le_bytes(fields.array()?)),
            partitions: fields.u32()?,
        }),
        TOPIC_CONFIGURED => Ok(Record::TopicConfigured {
            id: TopicId(fields.array()?),
            configs: fields.configs()?,
        }),
        PRODUCER_IDS_RESERVED => Ok(Record::ProducerIdsReserved {
            next: i64::from_le_bytes(fields.array()?),
        }),
        CLUSTER_CREATED => Ok(Record::ClusterCreated {
            id: ClusterId(fields.array()?),
        }),
        TIME_KNOWN => Ok(Record::TimeKnown {
            ms: i64::from_le_bytes(fields.array()?),
        }),
        QUOTAS_SET => decode_quotas(fields),
        _ => Err(DecodeError::Malformed("type")),
    }
}

struct Fields<'a> {
    rest: &'a [u8],
}

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (array, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(DecodeError::Malformed("length"))?;
        self.rest = rest;
        Ok(*array)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    fn text(&mut self) -> Result<String, DecodeError> {
        let len = usize::from(self.u16()?);
        let (text, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(DecodeError::Malformed("text length"))?;
        self.rest = rest;
        String::from_utf8(text.to_vec()).map_err(|_| DecodeError::Malformed("text"))
    }

    fn configs(&mut self) -> Result<Configs, DecodeError> {
        let count = self.u16()?;
        (0..count).map(|_| Ok((self.text()?, self.text()?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples() -> Vec<Entry> {
        let id = TopicId(*b"0123456789abcdef");
        let configs = vec![
            ("retention.ms".to_owned(), "5".to_owned()),
            ("x".to_owned(), String::new()),
        ];
        let records = [
            Record::TopicCreated {
                id,
                first_log: LogId(16),
                partitions: 3,
                name: "flights".to_owned(),
                configs: configs.clone(),
            },
            Record::TopicDeleted { id },
            Record::PartitionsCreated {
                id,
                first_log: LogId(19),
                partitions: 2,
            },
            Record::TopicConfigured { id, configs },
            Record::ProducerIdsReserved { next: 2000 },
            Record::ClusterCreated {
                id: ClusterId(*b"fedcba9876543210"),
            },
            Record::TimeKnown { ms: -5 },
        ];
        let records = records.into_iter().chain(quotas::tests::examples());
        let mut entries = vec![Entry::SnapshotBegun, Entry::SnapshotEnded { records: 7 }];
        for record in records {
            entries.extend([Entry::Record(record.clone()), Entry::OfSnapshot(record)]);
        }
        entries
    }

    #[test]
    fn every_record_reads_back() {
        for entry in examples() {
            assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
        }
    }

    #[test]
    fn a_record_that_is_cut_or_continued_is_malformed() {
        for entry in examples() {
            let mut bytes = entry.encode();
            for len in 0..bytes.len() {
                assert!(
                    matches!(Entry::decode(&bytes[..len]), Err(DecodeError::Malformed(_))),
                    "{entry:?}"
                );
            }
            bytes.push(0);
            assert_eq!(Entry::decode(&bytes), Err(DecodeError::Malformed("length")));
        }
    }

    #[test]
    fn the_bytes_of_version_1_stay_what_they_are() {
        let created = Entry::Record(Record::TopicCreated {
            id: TopicId([7; 16]),
            first_log: LogId(16),
            partitions: 2,
            name: "ab".to_owned(),
            configs: vec![("c".to_owned(), "d".to_owned())],
        });
        let mut expected = vec![1, 1];
        expected.extend([7; 16]);
        expected.extend([
            16, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 2, 0, b'a', b'b', 1, 0, 1, 0, b'c', 1, 0, b'd',
        ]);
        assert_eq!(created.encode(), expected);
        let cluster = Entry::Record(Record::ClusterCreated {
            id: ClusterId([7; 16]),
        });
        assert_eq!(cluster.encode(), [[1, 7].as_slice(), &[7; 16]].concat());
        let time = Entry::Record(Record::TimeKnown { ms: 258 });
        assert_eq!(time.encode(), [1, 8, 2, 1, 0, 0, 0, 0, 0, 0]);
        let added = Entry::Record(Record::PartitionsCreated {
            id: TopicId([7; 16]),
            first_log: LogId(258),
            partitions: 3,
        });
        let numbers = [2, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0];
        assert_eq!(added.encode(), [[1, 9].as_slice(), &[7; 16], &numbers].concat());
        assert_eq!(Entry::decode(&[2, 1]), Err(DecodeError::NewerVersion(2)));
        assert_eq!(
            Entry::SnapshotEnded { records: 258 }.encode(),
            [1, 0x86, 2, 1, 0, 0]
        );
    }
}
