//! The state machine of definitions: which topics exist, which producer ids were given out, what the cluster is called,
//! who has which quotas, and what time it was.
//!
//! `handle` decides and changes nothing; `replay` changes and decides nothing. The owner (`owner.rs`) applies the
//! records of a decision at once, so that the next decision knows of them, and answers when they are durable. After
//! a restart the same records give the same state (`replay.rs`).

pub(crate) mod owner;
mod reconcile;
pub(crate) mod record;
pub(crate) mod replay;
mod shared_configs;
mod snapshot;

pub(crate) use record::{Configs, DecodeError, Entry, Record, VERSION};

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use firth_log::LogId;

use self::shared_configs::SharedConfigs;
use crate::topic_name::Colliding;
use crate::topics::{TopicChange, TopicMap};
use crate::{
    ClusterId, ConfigChange, DefineError, EntityQuotas, Partition, QUOTA_ENTITIES_MAX, QuotaEntity, QuotaKey,
    QuotaLimit, Topic, TopicConfig, TopicId, topic_name,
};

/// Partitions of one topic. Their logs are created in one frame.
pub const PARTITIONS_MAX: u32 = 10_000;
/// Partitions of all topics together. Each takes memory even when it is idle, and 16 bytes of the frame that holds a
/// snapshot of all logs.
pub const PARTITIONS_TOTAL_MAX: usize = 1_000_000;
/// Producer ids that are skipped where the record of a reservation may be lost; no broker gave out as many.
const PRODUCER_IDS_SKIPPED: i64 = 1 << 32;
/// Producer ids that are reserved at a time; a crash loses at most as many.
const PRODUCER_IDS_PER_BLOCK: i64 = 1000;

/// A topic to be created.
#[derive(Clone, Debug, Default)]
pub struct NewTopic {
    pub name: String,
    /// None for the number that the broker's configuration has.
    pub partitions: Option<i64>,
    /// What differs from the default.
    pub configs: Vec<(String, Option<String>)>,
}

/// Changes to the quotas of one entity; without a limit a quota is removed.
pub type QuotaEdits = Vec<(QuotaKey, Option<QuotaLimit>)>;

/// A request with all that is needed to decide it.
#[derive(Debug)]
pub(crate) enum Request {
    CreateTopic {
        new: NewTopic,
        partitions: u32,
        id: TopicId,
        first_log: LogId,
    },
    DeleteTopic {
        id: TopicId,
    },
    /// So many partitions in all.
    CreatePartitions {
        id: TopicId,
        partitions: u32,
        first_log: LogId,
    },
    ConfigureTopic {
        id: TopicId,
        change: ConfigChange,
    },
    ReserveProducerIds,
    /// Decides nothing if the cluster has an id already.
    CreateCluster {
        id: ClusterId,
    },
    NoteTime {
        ms: i64,
    },
    AlterQuotas {
        entity: QuotaEntity,
        edits: QuotaEdits,
    },
}

/// The answer to a request, once the records are durable.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Response {
    Topic { id: TopicId, warnings: Vec<String> },
    ProducerIds(Range<i64>),
    Cluster(ClusterId),
    Done,
}

/// Everything that is defined. Equal states came from logs that mean the same.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Definitions {
    topics: TopicMap,
    /// Names that may collide with others.
    collisions: HashSet<Colliding>,
    configs: SharedConfigs,
    /// Every producer id below it may have been given out.
    producer_ids_reserved: i64,
    cluster: Option<ClusterId>,
    time_known_ms: Option<i64>,
    quotas: BTreeMap<QuotaEntity, EntityQuotas>,
}

impl Definitions {
    pub(crate) fn topics(&self) -> &TopicMap {
        &self.topics
    }

    /// The last time that was believed, in milliseconds since 1970.
    pub(crate) fn time_known_ms(&self) -> Option<i64> {
        self.time_known_ms
    }

    pub(crate) fn quotas(&self) -> &BTreeMap<QuotaEntity, EntityQuotas> {
        &self.quotas
    }

    pub(crate) fn topic(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.topics.get_by_id(id)
    }

    /// Decides: the records to be made durable, and the answer to be given then.
    pub(crate) fn handle(&self, request: &Request) -> Result<(Option<Record>, Response), DefineError> {
        match request {
            Request::CreateTopic {
                new,
                partitions,
                id,
                first_log,
            } => {
                let warnings = self.check_new(new, *partitions)?;
                let record = Record::TopicCreated {
                    id: *id,
                    first_log: *first_log,
                    partitions: *partitions,
                    name: new.name.clone(),
                    configs: parse(&new.configs)?.1,
                };
                Ok((Some(record), Response::Topic { id: *id, warnings }))
            }
            Request::DeleteTopic { id } => {
                self.topics.get_by_id(*id).ok_or(DefineError::UnknownTopic)?;
                let response = Response::Topic {
                    id: *id,
                    warnings: Vec::new(),
                };
                Ok((Some(Record::TopicDeleted { id: *id }), response))
            }
            Request::CreatePartitions {
                id,
                partitions,
                first_log,
            } => {
                let added = self.check_partitions(*id, *partitions)?;
                let record = Record::PartitionsCreated {
                    id: *id,
                    first_log: *first_log,
                    partitions: added,
                };
                let response = Response::Topic {
                    id: *id,
                    warnings: Vec::new(),
                };
                Ok((Some(record), response))
            }
            Request::ConfigureTopic { id, change } => {
                let topic = self.topics.get_by_id(*id).ok_or(DefineError::UnknownTopic)?;
                let (config, warnings) = topic.config.changed(change)?;
                let record = (config != *topic.config).then(|| Record::TopicConfigured {
                    id: *id,
                    configs: stored(&config),
                });
                Ok((record, Response::Topic { id: *id, warnings }))
            }
            Request::ReserveProducerIds => {
                let first = self.producer_ids_reserved;
                let next = first.saturating_add(PRODUCER_IDS_PER_BLOCK);
                let response = Response::ProducerIds(first..next);
                Ok((Some(Record::ProducerIdsReserved { next }), response))
            }
            Request::CreateCluster { id } => match self.cluster {
                Some(known) => Ok((None, Response::Cluster(known))),
                None => Ok((Some(Record::ClusterCreated { id: *id }), Response::Cluster(*id))),
            },
            Request::NoteTime { ms } => Ok((Some(Record::TimeKnown { ms: *ms }), Response::Done)),
            Request::AlterQuotas { entity, edits } => Ok((self.alter_quotas(entity, edits)?, Response::Done)),
        }
    }

    /// Whether a topic could be created, and what its creator should be warned of.
    pub(crate) fn check_new(&self, new: &NewTopic, partitions: u32) -> Result<Vec<String>, DefineError> {
        let name = new.name.as_str();
        topic_name::validate(name)?;
        if self.topics.get(name).is_some() {
            return Err(DefineError::Exists(name.to_owned()));
        }
        if let Some(other) = Colliding::new(name.into()).and_then(|name| self.collisions.get(&name)) {
            return Err(DefineError::NameCollision(name.to_owned(), other.to_string()));
        }
        self.check_count(partitions, partitions)?;
        parse(&new.configs).map(|(warnings, _)| warnings)
    }

    /// Whether a topic may have so many partitions, and how many that are more than it has.
    pub(crate) fn check_partitions(&self, id: TopicId, partitions: u32) -> Result<u32, DefineError> {
        let topic = self.topics.get_by_id(id).ok_or(DefineError::UnknownTopic)?;
        let exist = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
        let added = partitions.checked_sub(exist).filter(|added| *added > 0);
        let added = added.ok_or(DefineError::NoMorePartitions {
            exist,
            asked: partitions.into(),
        })?;
        self.check_count(partitions, added)?;
        Ok(added)
    }

    /// Whether a topic may have so many partitions, and all topics together so many more.
    fn check_count(&self, partitions: u32, added: u32) -> Result<(), DefineError> {
        if partitions == 0 || partitions > PARTITIONS_MAX {
            return Err(DefineError::InvalidPartitions(partitions.into()));
        }
        let exist = self.topics.partition_count();
        if exist.saturating_add(added as usize) > PARTITIONS_TOTAL_MAX {
            return Err(DefineError::TooManyPartitions { exist });
        }
        Ok(())
    }

    /// Nothing is to be stored where nothing changes.
    fn alter_quotas(&self, entity: &QuotaEntity, edits: &QuotaEdits) -> Result<Option<Record>, DefineError> {
        let old = self.quotas.get(entity);
        let mut quotas = old.cloned().unwrap_or_default();
        for (key, limit) in edits {
            match limit {
                Some(limit) => _ = quotas.insert(*key, *limit),
                None => _ = quotas.remove(key),
            }
        }
        if old.is_none() && !quotas.is_empty() && self.quotas.len() >= QUOTA_ENTITIES_MAX {
            return Err(DefineError::TooManyQuotas);
        }
        let is_changed = quotas != old.cloned().unwrap_or_default();
        Ok(is_changed.then(|| Record::QuotasSet {
            entity: entity.clone(),
            quotas: quotas.into_iter().collect(),
        }))
    }

    /// Applies a record that was decided here or read from the log; the change to the topics that others see.
    ///
    /// A record about a topic that does not exist changes nothing: a snapshot that was taken later may come first.
    pub(crate) fn replay(&mut self, record: &Record) -> Option<TopicChange> {
        let change = match record {
            Record::TopicCreated {
                id,
                first_log,
                partitions,
                name,
                configs,
            } => {
                let name: Arc<str> = name.as_str().into();
                self.collisions.extend(Colliding::new(name.clone()));
                let other = self.topics.get(&name).filter(|topic| topic.id != *id);
                if let Some(other) = other.cloned() {
                    // It was deleted before, by a record that was given up.
                    self.topics.apply(&TopicChange::Remove(other));
                }
                TopicChange::Put(Arc::new(Topic {
                    name,
                    id: *id,
                    partitions: logs(*first_log, *partitions)
                        .map(|log| Partition { log })
                        .collect(),
                    config: self.configs.restore(configs),
                }))
            }
            Record::TopicDeleted { id } => {
                let topic = self.topics.get_by_id(*id)?.clone();
                if let Some(name) = Colliding::new(topic.name.clone()) {
                    self.collisions.remove(&name);
                }
                TopicChange::Remove(topic)
            }
            Record::PartitionsCreated {
                id,
                first_log,
                partitions,
            } => {
                let mut topic = Topic::clone(self.topics.get_by_id(*id)?);
                let added = logs(*first_log, *partitions).map(|log| Partition { log });
                topic.partitions.extend(added);
                TopicChange::Put(Arc::new(topic))
            }
            Record::TopicConfigured { id, configs } => {
                let mut topic = Topic::clone(self.topics.get_by_id(*id)?);
                topic.config = self.configs.restore(configs);
                TopicChange::Put(Arc::new(topic))
            }
            Record::ProducerIdsReserved { next } => {
                self.producer_ids_reserved = self.producer_ids_reserved.max(*next);
                return None;
            }
            Record::ClusterCreated { id } => {
                self.cluster.get_or_insert(*id);
                return None;
            }
            Record::TimeKnown { ms } => {
                self.time_known_ms = Some(*ms);
                return None;
            }
            Record::QuotasSet { entity, quotas } => {
                self.set_quotas(entity, quotas);
                return None;
            }
        };
        self.topics.apply(&change);
        Some(change)
    }

    fn set_quotas(&mut self, entity: &QuotaEntity, quotas: &[(QuotaKey, QuotaLimit)]) {
        match quotas.is_empty() {
            true => _ = self.quotas.remove(entity),
            false => {
                _ = self
                    .quotas
                    .insert(entity.clone(), quotas.iter().copied().collect())
            }
        }
    }

    /// No producer id is given out a second time, whatever reservation is not known any more.
    pub(crate) fn skip_producer_ids(&mut self) {
        self.producer_ids_reserved = self.producer_ids_reserved.saturating_add(PRODUCER_IDS_SKIPPED);
    }

    /// The records that give this state, the oldest log first.
    pub(crate) fn snapshot(&self) -> impl Iterator<Item = Record> {
        let mut topics: Vec<&Arc<Topic>> = self.topics.iter().collect();
        topics.sort_unstable_by_key(|topic| topic.partitions.first().map(|partition| partition.log));
        let created = topics.into_iter().flat_map(|topic| records_of(topic));
        let reserved = Record::ProducerIdsReserved {
            next: self.producer_ids_reserved,
        };
        let cluster = self.cluster.map(|id| Record::ClusterCreated { id });
        let time = self.time_known_ms.map(|ms| Record::TimeKnown { ms });
        let quotas = self.quotas.iter().map(|(entity, quotas)| Record::QuotasSet {
            entity: entity.clone(),
            quotas: quotas.iter().map(|(key, limit)| (*key, *limit)).collect(),
        });
        let others = cluster.into_iter().chain(time).chain(quotas);
        others.chain(std::iter::once(reserved)).chain(created)
    }
}

/// The records that give a topic: one that creates it, and one for each time that it got more partitions.
fn records_of(topic: &Topic) -> Vec<Record> {
    let mut runs: Vec<(LogId, u32)> = Vec::new();
    for Partition { log } in &topic.partitions {
        match runs.last_mut() {
            Some((first, count)) if first.0.saturating_add(u64::from(*count)) == log.0 => *count += 1,
            _ => runs.push((*log, 1)),
        }
    }
    let mut runs = runs.into_iter();
    let (first_log, partitions) = runs.next().unwrap_or((LogId::FIRST_ALLOCATED, 0));
    let created = Record::TopicCreated {
        id: topic.id,
        first_log,
        partitions,
        name: topic.name.to_string(),
        configs: stored(&topic.config),
    };
    let added = runs.map(|(first_log, partitions)| Record::PartitionsCreated {
        id: topic.id,
        first_log,
        partitions,
    });
    std::iter::once(created).chain(added).collect()
}

/// So many logs with consecutive ids.
pub(crate) fn logs(first: LogId, count: u32) -> impl Iterator<Item = LogId> {
    (0..count).map(move |index| LogId(first.0.saturating_add(index.into())))
}

fn parse(configs: &[(String, Option<String>)]) -> Result<(Vec<String>, Configs), DefineError> {
    let entries = configs
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_deref()));
    let (config, warnings) = TopicConfig::parse(entries)?;
    Ok((warnings, stored(&config)))
}

fn stored(config: &TopicConfig) -> Configs {
    config
        .overrides()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

#[cfg(test)]
mod tests;
