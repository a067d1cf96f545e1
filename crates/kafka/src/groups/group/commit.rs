//! OffsetCommit, OffsetDelete, and what may be deleted.

use std::sync::Arc;

use firth_broker::{StateError, TopicId};
use firth_kafka_codec::ErrorCode;

use super::{Group, State};
use crate::error;
use crate::groups::offsets::Committed;
use crate::groups::record;
use crate::groups::turn::Turn;

/// Records that share a frame where a group is deleted; they are small.
const RECORDS_PER_FRAME: usize = 10_000;

#[derive(Clone, Debug)]
pub(crate) struct Commit {
    /// Empty from who assigns partitions itself.
    pub(crate) member_id: Arc<str>,
    pub(crate) instance_id: Option<Arc<str>>,
    /// -1 from who assigns partitions itself.
    pub(crate) generation: i32,
    /// How long these are to be kept, if the client says so.
    pub(crate) retention_ms: Option<i64>,
    pub(crate) partitions: Vec<CommittedPartition>,
}

#[derive(Clone, Debug)]
pub(crate) struct CommittedPartition {
    pub(crate) topic: TopicId,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    /// The broker's, unless the client gives another one (version 1).
    pub(crate) committed_ms: Option<i64>,
    pub(crate) metadata: Arc<str>,
}

impl Group {
    /// What becomes of each partition, in their order. All that are taken are stored together.
    pub(crate) fn commit(
        &mut self,
        commit: &Commit,
        turn: &mut Turn<'_>,
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        self.check_commit(commit)?;
        if matches!(self.state, State::Stable | State::PreparingRebalance) {
            self.hear_of(&commit.member_id, turn);
        }
        let expires_ms = commit.retention_ms.map(|ms| turn.now.wall_ms.saturating_add(ms));
        let (mut results, mut records, mut taken) = (Vec::new(), Vec::new(), Vec::new());
        let mut growth = 0_usize;
        for partition in &commit.partitions {
            if is_longer(&partition.metadata, turn.settings.offset_metadata_max) {
                results.push(ErrorCode::OffsetMetadataTooLarge);
                continue;
            }
            let (topic, index) = (partition.topic, partition.partition);
            let grown = self.offsets.growth(topic, index, &partition.metadata);
            growth = growth.saturating_add(grown);
            if grown > 0 && growth > turn.room {
                results.push(ErrorCode::InvalidCommitOffsetSize);
                continue;
            }
            let committed = Committed {
                offset: partition.offset,
                leader_epoch: partition.leader_epoch,
                committed_ms: partition.committed_ms.unwrap_or(turn.now.wall_ms),
                expires_ms,
                metadata: partition.metadata.clone(),
            };
            records.push(record::offset(&self.id, topic, index, &committed));
            taken.push((topic, index, committed));
            results.push(ErrorCode::None);
        }
        (turn.journal)(&records)
            .map_err(|error| error::of_state(&error, ErrorCode::InvalidCommitOffsetSize))?;
        for (topic, index, committed) in taken {
            self.offsets.put(topic, index, committed);
        }
        Ok(results)
    }

    fn check_commit(&self, commit: &Commit) -> Result<(), ErrorCode> {
        if commit.generation < 0 && self.state == State::Empty {
            // Who assigns partitions itself, or an administrator.
            return Ok(());
        }
        let is_member =
            commit.generation >= 0 || !commit.member_id.is_empty() || commit.instance_id.is_some();
        if !is_member {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.check_member(&commit.member_id, commit.instance_id.as_deref())?;
        if commit.generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        match self.state {
            State::CompletingRebalance => Err(ErrorCode::RebalanceInProgress),
            State::Empty | State::PreparingRebalance | State::Stable => Ok(()),
        }
    }

    /// Whether offsets may be deleted at all: members of a protocol that is not known may rely on them.
    pub(crate) fn check_delete_offsets(&self) -> Result<(), ErrorCode> {
        match self.state {
            State::Empty => Ok(()),
            _ if self.is_of_consumers() => Ok(()),
            _ => Err(ErrorCode::NonEmptyGroup),
        }
    }

    /// What becomes of each partition of a topic. What is not there need not be deleted.
    pub(crate) fn delete_offsets(
        &mut self,
        name: &str,
        topic: TopicId,
        partitions: &[i32],
        turn: &mut Turn<'_>,
    ) -> Result<ErrorCode, ErrorCode> {
        if self.is_subscribed_to(name) {
            return Ok(ErrorCode::GroupSubscribedToTopic);
        }
        let known = partitions
            .iter()
            .filter(|partition| self.offsets.get(topic, **partition).is_some());
        let gone: Vec<_> = known.map(|partition| (topic, *partition)).collect();
        self.remove_offsets(&gone, turn)
            .map_err(|error| error::of_state(&error, ErrorCode::CoordinatorNotAvailable))?;
        Ok(ErrorCode::None)
    }

    /// Offsets of a topic that is gone are not those of another one with its name.
    pub(crate) fn forget_topic(&mut self, topic: TopicId, turn: &mut Turn<'_>) {
        let of_topic = self.offsets.iter().filter(|(known, ..)| *known == topic);
        let gone: Vec<_> = of_topic.map(|(topic, partition, _)| (topic, partition)).collect();
        if let Err(error) = self.remove_offsets(&gone, turn) {
            // They are looked for again with those that expire.
            tracing::warn!(group = &*self.id, %error, "offsets of a deleted topic are not removed");
        }
    }

    pub(super) fn remove_offsets(
        &mut self,
        gone: &[(TopicId, i32)],
        turn: &mut Turn<'_>,
    ) -> Result<(), StateError> {
        for gone in gone.chunks(RECORDS_PER_FRAME) {
            let records = gone
                .iter()
                .map(|(topic, partition)| record::no_offset(&self.id, *topic, *partition));
            let records: Vec<_> = records.collect();
            (turn.journal)(&records)?;
            for (topic, partition) in gone {
                self.offsets.remove(*topic, *partition);
            }
        }
        Ok(())
    }

    /// Deletes the group with its offsets, if nobody is in it. It is void then.
    pub(crate) fn delete(&mut self, turn: &mut Turn<'_>) -> Result<(), ErrorCode> {
        if self.state != State::Empty {
            return Err(ErrorCode::NonEmptyGroup);
        }
        let gone: Vec<_> = self
            .offsets
            .iter()
            .map(|(topic, partition, _)| (topic, partition))
            .collect();
        let deleted = self
            .remove_offsets(&gone, turn)
            .and_then(|()| self.delete_record(turn));
        deleted.map_err(|error| error::of_state(&error, ErrorCode::CoordinatorNotAvailable))?;
        let pending: Vec<_> = self.pending.keys().cloned().collect();
        pending.iter().for_each(|id| self.unpend(id));
        Ok(())
    }

    pub(super) fn delete_record(&mut self, turn: &mut Turn<'_>) -> Result<(), StateError> {
        if self.is_stored {
            (turn.journal)(&[record::no_group(&self.id)])?;
            self.is_stored = false;
        }
        Ok(())
    }
}

/// Whether a text has more UTF-16 units than that.
fn is_longer(text: &str, max: usize) -> bool {
    text.len() > max && text.encode_utf16().count() > max
}
