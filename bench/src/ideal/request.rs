//! Reads requests where they lie in a block, checks what a floor must check, and encodes the replies.

use anyhow::{Result, bail, ensure};

use crate::{
    batch::Head,
    protocol::{API_VERSIONS, CREATE_TOPICS, FETCH, LIST_OFFSETS, METADATA, PRODUCE},
    wire::{Decoder, Encoder},
};

/// key, first and last version. Fetch is listed since librdkafka takes the record format from it, and is not answered.
const VERSIONS: [(i16, i16, i16); 6] = [
    (PRODUCE, 0, 9),
    (FETCH, 4, 12),
    (LIST_OFFSETS, 2, 2),
    (METADATA, 0, 7),
    (API_VERSIONS, 0, 0),
    (CREATE_TOPICS, 2, 4),
];
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const UNSUPPORTED_VERSION: i16 = 35;
const NODE_ID: i32 = 1;

/// The topics that were named, and the next offset of each partition: all the state there is.
#[derive(Debug)]
pub(crate) struct Topics {
    topics: Vec<Topic>,
    host: String,
    port: i32,
}

#[derive(Debug)]
struct Topic {
    name: Vec<u8>,
    next_offsets: Vec<i64>,
}

impl Topics {
    pub(crate) fn new(host: String, port: u16) -> Self {
        Self {
            topics: Vec::new(),
            host,
            port: i32::from(port),
        }
    }

    /// Checks one request (behind its size) and appends the reply to it, if it gets one.
    pub(crate) fn answer(&mut self, frame: &[u8], replies: &mut Vec<u8>) -> Result<()> {
        let mut decoder = Decoder::new(frame);
        let (api_key, api_version, correlation_id) = (decoder.i16()?, decoder.i16()?, decoder.i32()?);
        decoder.string()?;
        match api_key {
            PRODUCE => return self.produce(api_version, correlation_id, decoder, replies),
            METADATA => replies.extend(self.metadata(api_version, correlation_id, decoder)?),
            CREATE_TOPICS => replies.extend(self.create_topics(api_version, correlation_id, decoder)?),
            LIST_OFFSETS => replies.extend(self.list_offsets(api_version, correlation_id, decoder)?),
            API_VERSIONS => replies.extend(api_versions(api_version, correlation_id)),
            _ => bail!("API {api_key} is not one of a floor"),
        }
        Ok(())
    }

    fn produce(
        &mut self,
        version: i16,
        id: i32,
        mut decoder: Decoder<'_>,
        replies: &mut Vec<u8>,
    ) -> Result<()> {
        ensure!((3..=9).contains(&version), "Produce {version} is not spoken here");
        let flexible = version >= 9;
        if flexible {
            decoder.tags()?;
            decoder.compact_bytes()?;
        } else {
            decoder.string()?;
        }
        let acks = decoder.i16()?;
        decoder.i32()?;
        let mut reply = Encoder::appending(std::mem::take(replies), id);
        if flexible {
            reply.u8(0);
        }
        let topics = produce_count(&mut decoder, &mut reply, flexible)?;
        for _ in 0..topics {
            let name = if flexible {
                decoder.compact_bytes()?
            } else {
                decoder.string()?
            };
            if flexible {
                reply.uvarint(name.len() as u32 + 1).raw(name);
            } else {
                reply.i16(name.len() as i16).raw(name);
            }
            let topic = self.topic(name);
            for _ in 0..produce_count(&mut decoder, &mut reply, flexible)? {
                let partition = decoder.i32()?;
                let records = if flexible {
                    decoder.compact_bytes()?
                } else {
                    decoder.bytes()?
                };
                let base_offset = topic.append(partition, records)?;
                reply.i32(partition).i16(0).i64(base_offset).i64(-1);
                if version >= 5 {
                    reply.i64(0);
                }
                match version {
                    9 => {
                        decoder.tags()?;
                        // No record errors, no message, the partition's tags.
                        reply.uvarint(1).u8(0).u8(0);
                    }
                    8 => {
                        reply.i32(0).i16(-1);
                    }
                    _ => {}
                }
            }
            if flexible {
                decoder.tags()?;
                reply.u8(0);
            }
        }
        reply.i32(0);
        if flexible {
            reply.u8(0);
        }
        *replies = reply.finish_appended(acks != 0);
        Ok(())
    }

    fn metadata(&mut self, version: i16, id: i32, mut decoder: Decoder<'_>) -> Result<Vec<u8>> {
        ensure!(
            (0..=7).contains(&version),
            "Metadata {version} is not spoken here"
        );
        let mut named = Vec::new();
        for _ in 0..decoder.array_length()? {
            let name = decoder.string()?;
            self.topic(name).grow(1);
            named.push(name.to_vec());
        }
        let mut reply = Encoder::response(id);
        if version >= 3 {
            reply.i32(0);
        }
        reply.i32(1).i32(NODE_ID).string(&self.host).i32(self.port);
        if version >= 1 {
            reply.i16(-1);
        }
        if version >= 2 {
            reply.i16(-1);
        }
        if version >= 1 {
            reply.i32(NODE_ID);
        }
        let topics = self.topics.iter().filter(|topic| named.contains(&topic.name));
        reply.i32(topics.clone().count() as i32);
        for topic in topics {
            reply.i16(0).i16(topic.name.len() as i16).raw(&topic.name);
            if version >= 1 {
                reply.u8(0);
            }
            reply.i32(topic.next_offsets.len() as i32);
            for partition in 0..topic.next_offsets.len() {
                reply.i16(0).i32(partition as i32).i32(NODE_ID);
                if version >= 7 {
                    reply.i32(0);
                }
                reply.i32(1).i32(NODE_ID).i32(1).i32(NODE_ID);
                if version >= 5 {
                    reply.i32(0);
                }
            }
        }
        Ok(reply.finish())
    }

    fn create_topics(&mut self, version: i16, id: i32, mut decoder: Decoder<'_>) -> Result<Vec<u8>> {
        ensure!(
            (2..=4).contains(&version),
            "CreateTopics {version} is not spoken here"
        );
        ensure!(decoder.array_length()? == 1, "one topic at a time");
        let name = decoder.string()?;
        let partitions = usize::try_from(decoder.i32()?).unwrap_or(1);
        self.topic(name).grow(partitions);
        let mut reply = Encoder::response(id);
        reply
            .i32(0)
            .i32(1)
            .i16(name.len() as i16)
            .raw(name)
            .i16(0)
            .i16(-1);
        Ok(reply.finish())
    }

    /// The latest offset, whichever was asked for: nothing can be read from here anyway.
    fn list_offsets(&mut self, version: i16, id: i32, mut decoder: Decoder<'_>) -> Result<Vec<u8>> {
        ensure!(version == 2, "ListOffsets {version} is not spoken here");
        decoder.i32()?;
        decoder.u8()?;
        let topics = decoder.array_length()?;
        let mut reply = Encoder::response(id);
        reply.i32(0).i32(topics as i32);
        for _ in 0..topics {
            let name = decoder.string()?;
            let partitions = decoder.array_length()?;
            reply.i16(name.len() as i16).raw(name).i32(partitions as i32);
            for _ in 0..partitions {
                let partition = decoder.i32()?;
                decoder.i64()?;
                let next = self.topic(name).next_offsets.get(partition as usize).copied();
                let error_code = if next.is_some() {
                    0
                } else {
                    UNKNOWN_TOPIC_OR_PARTITION
                };
                reply
                    .i32(partition)
                    .i16(error_code)
                    .i64(-1)
                    .i64(next.unwrap_or(-1));
            }
        }
        Ok(reply.finish())
    }

    fn topic(&mut self, name: &[u8]) -> &mut Topic {
        let known = self.topics.iter().position(|topic| topic.name == name);
        let index = known.unwrap_or_else(|| {
            self.topics.push(Topic {
                name: name.to_vec(),
                next_offsets: Vec::new(),
            });
            self.topics.len() - 1
        });
        &mut self.topics[index]
    }
}

impl Topic {
    fn grow(&mut self, partitions: usize) {
        if self.next_offsets.len() < partitions {
            self.next_offsets.resize(partitions, 0);
        }
    }

    /// Checks the batch and gives it its offset.
    fn append(&mut self, partition: i32, records: &[u8]) -> Result<i64> {
        let head = Head::parse(records)?;
        head.check_crc()?;
        let Some(next) = self.next_offsets.get_mut(partition as usize) else {
            bail!("there is no partition {partition}")
        };
        let base_offset = *next;
        *next += i64::from(head.last_offset_delta) + 1;
        Ok(base_offset)
    }
}

/// The count of an array in a Produce request, which the reply repeats.
fn produce_count(decoder: &mut Decoder<'_>, reply: &mut Encoder, flexible: bool) -> Result<usize> {
    let count = if flexible {
        decoder.compact_array_length()?
    } else {
        decoder.array_length()?
    };
    if flexible {
        reply.uvarint(count as u32 + 1);
    } else {
        reply.i32(count as i32);
    }
    Ok(count)
}

/// Version 0, which also answers any other version, with the error that makes a client ask again (KIP-511).
fn api_versions(version: i16, correlation_id: i32) -> Vec<u8> {
    let mut reply = Encoder::response(correlation_id);
    reply
        .i16(if version == 0 { 0 } else { UNSUPPORTED_VERSION })
        .i32(VERSIONS.len() as i32);
    for (key, first, last) in VERSIONS {
        reply.i16(key).i16(first).i16(last);
    }
    reply.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        batch::Batch,
        protocol::{
            PRODUCE_TAIL, create_topic, metadata, partitions_with_leader, produce_prefix, produced,
            topic_created,
        },
    };

    fn fresh() -> Topics {
        Topics::new("127.0.0.1".to_owned(), 9092)
    }

    fn produce(batch: &Batch) -> Vec<u8> {
        let mut request = produce_prefix(7, "t", 1, -1, batch.bytes.len());
        request.extend_from_slice(&batch.bytes);
        request.extend_from_slice(&PRODUCE_TAIL);
        request
    }

    /// The body of the only reply to a request; both have their size in front.
    fn answer(topics: &mut Topics, request: &[u8]) -> Result<Vec<u8>> {
        let mut replies = Vec::new();
        topics.answer(&request[4..], &mut replies)?;
        let size = i32::from_be_bytes(replies[..4].try_into()?);
        assert_eq!(size as usize, replies.len() - 4);
        Ok(replies.split_off(4))
    }

    #[test]
    fn batches_get_offsets_that_follow_each_other() {
        let mut topics = fresh();
        topic_created(&answer(&mut topics, &create_topic(1, "t", 2, &[])).unwrap()[4..]).unwrap();
        let described = answer(&mut topics, &metadata(2, "t")).unwrap();
        assert_eq!(partitions_with_leader(&described[4..]).unwrap(), 2);
        let batch = Batch::filled(100, 500, 0);
        for lap in 0..3 {
            let reply = produced(&answer(&mut topics, &produce(&batch)).unwrap()).unwrap();
            assert_eq!(
                (reply.correlation_id, reply.partition, reply.error_code),
                (7, 1, 0)
            );
            assert_eq!(reply.base_offset, lap * batch.records as i64);
        }
    }

    #[test]
    fn a_corrupt_batch_and_an_unknown_partition_are_refused() {
        let mut topics = fresh();
        answer(&mut topics, &create_topic(1, "t", 2, &[])).unwrap();
        let batch = Batch::filled(100, 0, 0);
        let mut corrupt = produce(&batch);
        let last = corrupt.len() - 10;
        corrupt[last] ^= 1;
        assert!(answer(&mut topics, &corrupt).is_err());
        assert!(answer(&mut topics, &produce(&batch)).is_ok());
        assert!(answer(&mut fresh(), &produce(&batch)).is_err());
    }
}
