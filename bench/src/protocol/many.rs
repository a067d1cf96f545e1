//! Requests that name many topics or many partitions, for what a broker is to bear in numbers: CreateTopics 4, DeleteTopics 3,
//! Metadata 7 of everything, Produce 9 of one batch for each, Fetch 12 with a session (KIP-227).

use std::ops::Range;

use anyhow::{Context, Result, ensure};

use super::{
    CREATE_TIMEOUT_MS, CREATE_TOPICS, FETCH, FETCH_VERSION, FetchLimits, METADATA, PRODUCE,
    PRODUCE_TIMEOUT_MS, PRODUCE_VERSION,
};
use crate::wire::{Decoder, Encoder};

const DELETE_TOPICS: i16 = 20;

/// The same partitions of several topics.
#[derive(Debug, Clone)]
pub(crate) struct Named<'a> {
    pub(crate) topics: &'a [String],
    pub(crate) partitions: Range<i32>,
}

impl Named<'_> {
    pub(crate) fn len(&self) -> usize {
        self.topics.len() * self.partitions.len()
    }
}

pub(crate) fn create_topics(correlation_id: i32, topics: &[String], partitions: i32) -> Vec<u8> {
    let mut request = Encoder::request(CREATE_TOPICS, 4, correlation_id, false);
    request.i32(topics.len() as i32);
    for topic in topics {
        request.string(topic).i32(partitions).i16(1).i32(0).i32(0);
    }
    request.i32(CREATE_TIMEOUT_MS).u8(0);
    request.finish()
}

/// Reads a CreateTopics response: how many topics were created, if none was refused.
pub(crate) fn topics_created(body: &[u8]) -> Result<usize> {
    let mut decoder = Decoder::new(body);
    decoder.i32()?;
    let topics = decoder.array_length()?;
    for _ in 0..topics {
        let name = String::from_utf8_lossy(decoder.string()?);
        let error_code = decoder.i16()?;
        let message = String::from_utf8_lossy(decoder.string()?);
        ensure!(
            error_code == 0,
            "topic {name} was not created: error {error_code} {message}"
        );
    }
    Ok(topics)
}

pub(crate) fn delete_topics(correlation_id: i32, topics: &[String]) -> Vec<u8> {
    let mut request = Encoder::request(DELETE_TOPICS, 3, correlation_id, false);
    request.i32(topics.len() as i32);
    for topic in topics {
        request.string(topic);
    }
    request.i32(CREATE_TIMEOUT_MS);
    request.finish()
}

/// Reads a DeleteTopics response: how many topics were deleted, if none was refused.
pub(crate) fn topics_deleted(body: &[u8]) -> Result<usize> {
    let mut decoder = Decoder::new(body);
    decoder.i32()?;
    let topics = decoder.array_length()?;
    for _ in 0..topics {
        let name = String::from_utf8_lossy(decoder.string()?);
        let error_code = decoder.i16()?;
        ensure!(
            error_code == 0,
            "topic {name} was not deleted: error {error_code}"
        );
    }
    Ok(topics)
}

/// Metadata of every topic there is.
pub(crate) fn metadata_of_all(correlation_id: i32) -> Vec<u8> {
    let mut request = Encoder::request(METADATA, 7, correlation_id, false);
    request.i32(-1).u8(0);
    request.finish()
}

/// One Produce request with the same batch for every partition.
pub(crate) fn produce(correlation_id: i32, named: &Named<'_>, batch: &[u8]) -> Vec<u8> {
    let mut request = Encoder::request(PRODUCE, PRODUCE_VERSION, correlation_id, true);
    request.uvarint(0).i16(-1).i32(PRODUCE_TIMEOUT_MS);
    request.uvarint(named.topics.len() as u32 + 1);
    for topic in named.topics {
        request
            .compact_string(topic)
            .uvarint(named.partitions.len() as u32 + 1);
        for partition in named.partitions.clone() {
            request
                .i32(partition)
                .uvarint(batch.len() as u32 + 1)
                .raw(batch)
                .u8(0);
        }
        request.u8(0);
    }
    request.u8(0);
    request.finish()
}

/// Reads a Produce response: how many batches were taken, if none was refused.
pub(crate) fn produced(body: &[u8]) -> Result<usize> {
    let mut decoder = Decoder::new(body);
    decoder.tags()?;
    let mut batches = 0;
    for _ in 0..decoder.compact_array_length()? {
        decoder.compact_bytes()?;
        for _ in 0..decoder.compact_array_length()? {
            let partition = decoder.i32()?;
            let error_code = decoder.i16()?;
            ensure!(
                error_code == 0,
                "a batch for partition {partition} failed with error {error_code}"
            );
            // The base offset, the time of the append and the log's start.
            decoder.take(24)?;
            for _ in 0..decoder.compact_array_length()? {
                decoder.i32()?;
                decoder.compact_bytes()?;
                decoder.tags()?;
            }
            decoder.compact_bytes()?;
            decoder.tags()?;
            batches += 1;
        }
        decoder.tags()?;
    }
    Ok(batches)
}

/// Where a fetch session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: i32,
    pub(crate) epoch: i32,
}

impl Session {
    /// Asks for a new session.
    pub(crate) const NEW: Self = Self { id: 0, epoch: 0 };
}

/// A Fetch of `session`, in which these partitions are to be read from `offset` on.
pub(crate) fn fetch(
    correlation_id: i32,
    session: Session,
    named: &Named<'_>,
    offset: i64,
    limits: FetchLimits,
) -> Vec<u8> {
    let mut request = Encoder::request(FETCH, FETCH_VERSION, correlation_id, true);
    request
        .i32(-1)
        .i32(limits.wait_ms_max)
        .i32(limits.bytes_min)
        .i32(limits.bytes_max)
        .u8(0);
    request.i32(session.id).i32(session.epoch);
    request.uvarint(named.topics.len() as u32 + 1);
    for topic in named.topics {
        request
            .compact_string(topic)
            .uvarint(named.partitions.len() as u32 + 1);
        for partition in named.partitions.clone() {
            request.i32(partition).i32(-1).i64(offset).i32(-1).i64(-1);
            request.i32(limits.partition_bytes_max).u8(0);
        }
        request.u8(0);
    }
    // No forgotten topics, an empty rack id, the request's tags.
    request.uvarint(1).uvarint(1).u8(0);
    request.finish()
}

/// The answer to a Fetch with a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) session_id: i32,
    /// Partitions that are in the answer.
    pub(crate) partitions: usize,
    /// Those of them that bring records.
    pub(crate) with_records: usize,
}

/// Reads a Fetch response, if no partition of it failed.
pub(crate) fn fetched(body: &[u8]) -> Result<Answered> {
    let mut decoder = Decoder::new(body);
    decoder.tags()?;
    decoder.i32()?;
    let error_code = decoder.i16()?;
    ensure!(error_code == 0, "the fetch failed with error {error_code}");
    let mut answered = Answered {
        session_id: decoder.i32()?,
        partitions: 0,
        with_records: 0,
    };
    for _ in 0..decoder.compact_array_length()? {
        decoder.compact_bytes()?;
        for _ in 0..decoder.compact_array_length()? {
            let fetched = super::fetched_partition(&mut decoder)?;
            let (partition, error_code) = (fetched.partition, fetched.error_code);
            ensure!(
                error_code == 0,
                "partition {partition} failed with error {error_code}"
            );
            answered.partitions += 1;
            answered.with_records += usize::from(!fetched.records.is_empty());
        }
        decoder.tags()?;
    }
    Ok(answered)
}

/// The session that the next request is of.
pub(crate) fn next(session: Session, answered: &Answered) -> Result<Session> {
    ensure!(answered.session_id != 0, "the broker gave no fetch session");
    ensure!(
        session.id == 0 || session.id == answered.session_id,
        "session {} was answered as {}",
        session.id,
        answered.session_id
    );
    let epoch = session.epoch.checked_add(1).context("no session lives so long")?;
    Ok(Session {
        id: answered.session_id,
        epoch,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_goes_on_under_the_id_that_it_was_given() {
        let answered = |session_id| Answered {
            session_id,
            partitions: 0,
            with_records: 0,
        };
        let second = next(Session::NEW, &answered(7)).unwrap();
        assert_eq!(second, Session { id: 7, epoch: 1 });
        assert_eq!(next(second, &answered(7)).unwrap().epoch, 2);
        assert!(next(second, &answered(8)).is_err());
        assert!(next(Session::NEW, &answered(0)).is_err());
    }

    #[test]
    fn a_refused_topic_is_an_error() {
        let mut response = Encoder::default();
        response.i32(0).i32(2);
        response.string("a").i16(0).i16(-1);
        response.string("b").i16(36).string("exists");
        let refused = topics_created(&response.into_bytes()).unwrap_err();
        assert!(refused.to_string().contains("topic b"), "{refused}");
    }
}
