//! Streams: queues that are topics with one partition, the same log.
//!
//! A stream and its topic have one name, and topics have no virtual host. So a topic that is there already can become a
//! stream in the first virtual host alone: else whoever may declare queues in another could read it.

use std::sync::Arc;

use firth_log::Commit;

use super::contents::{Contents, Removal};
use super::virtual_host::{Declared, DeletedQueue};
use super::{Destination, FIRST_VIRTUAL_HOST, TopologyError, VirtualHost};
use crate::{
    Broker, DefineError, NewQueue, NewTopic, Queue, QueueKind, QueueOptions, StateError, Topic, TopicId,
    validate_topic_name,
};

impl Broker {
    /// Declares a queue, unless there is one of this name. A stream becomes a topic.
    pub async fn declare_queue(
        &self,
        virtual_host: &VirtualHost,
        new: NewQueue,
    ) -> Result<Declared<Queue>, TopologyError> {
        if new.options.kind != QueueKind::Stream {
            return virtual_host.declare_queue(new, None);
        }
        if let Some(known) = virtual_host.known_queue(&new.name) {
            return Ok(known);
        }
        if !new.durable || new.exclusive.is_some() || new.auto_delete {
            return Err(TopologyError::StreamNotDurable);
        }
        let (topic, is_new) = self.stream_topic(virtual_host, &new).await?;
        let declared = virtual_host.declare_queue(new, Some(topic.id));
        let became = declared
            .as_ref()
            .ok()
            .and_then(|declared| declared.item.definition().topic);
        if is_new && became != Some(topic.id) {
            self.delete_stream_topics(vec![topic.id]).await?;
        }
        declared
    }

    /// Deletes a queue with its messages and all bindings to it. `if_unused` and `if_empty` say when it is not to be deleted;
    /// of a stream they mean nothing.
    pub async fn delete_queue(
        &self,
        virtual_host: &VirtualHost,
        name: &str,
        if_unused: bool,
        if_empty: bool,
    ) -> Result<DeletedQueue, TopologyError> {
        // The topic goes first, and the stream with it: a stream without its topic is nothing after a restart, but a topic
        // without its stream would stay.
        let topic = virtual_host
            .queue(name)
            .and_then(|queue| queue.definition().topic);
        if let Some(topic) = topic {
            self.delete_stream_topics(vec![topic]).await?;
            return Ok(DeletedQueue {
                messages: 0,
                commit: virtual_host.commit(),
            });
        }
        virtual_host.delete_queue(name, if_unused, if_empty)
    }

    /// Deletes a virtual host with all that is in it. Its connections are told.
    pub async fn delete_virtual_host(&self, name: &str) -> Result<Commit, TopologyError> {
        let virtual_host = self.topology().virtual_host(name);
        let streams = virtual_host.map_or(Vec::new(), |virtual_host| virtual_host.streams());
        self.delete_stream_topics(streams).await?;
        let deleted = self.topology().delete_virtual_host(name)?;
        let commit = deleted.commit.clone();
        let forgotten = tokio::task::spawn_blocking(|| deleted.forget()).await;
        // It panics, or is cancelled, only where everything ends.
        let streams = forgotten.map_err(|_| StateError::Failed)??;
        // Those that were declared meanwhile.
        self.delete_stream_topics(streams).await?;
        Ok(commit)
    }

    /// The topic that a new stream is, and whether it is new as well.
    async fn stream_topic(
        &self,
        virtual_host: &VirtualHost,
        new: &NewQueue,
    ) -> Result<(Arc<Topic>, bool), TopologyError> {
        let name = &new.name;
        validate_topic_name(name).map_err(|reason| TopologyError::StreamName {
            name: name.clone(),
            reason,
        })?;
        let topic = NewTopic {
            name: name.clone(),
            partitions: Some(1),
            configs: configs(&new.options),
        };
        match self.create_topic(topic).await {
            Ok(created) => Ok((created.topic, true)),
            Err(DefineError::Exists(_)) => {
                let topic = self.existing_topic(virtual_host, name)?;
                Ok((topic, false))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn existing_topic(&self, virtual_host: &VirtualHost, name: &str) -> Result<Arc<Topic>, TopologyError> {
        let refused = |reason| TopologyError::StreamTopic {
            name: name.to_owned(),
            reason,
        };
        let topic = self.topic(name).ok_or(DefineError::UnknownTopic)?;
        if **virtual_host.name() != *FIRST_VIRTUAL_HOST {
            return Err(refused(
                "there is a topic of this name, which belongs to no virtual host",
            ));
        }
        if topic.partitions.len() != 1 {
            return Err(refused(
                "there is a topic of this name that has several partitions",
            ));
        }
        let hosts = self.topology().virtual_hosts();
        let mut others = hosts.iter().filter(|host| host.name() != virtual_host.name());
        if others.any(|host| host.is_stream(&topic)) {
            return Err(refused("it is a stream of another virtual host"));
        }
        Ok(topic)
    }

    async fn delete_stream_topics(&self, topics: Vec<TopicId>) -> Result<(), TopologyError> {
        for deleted in self.delete_topics(topics).await {
            match deleted {
                // Somebody deleted the topic first, and the stream with it.
                Ok(_) | Err(DefineError::UnknownTopic) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// What a stream's arguments are as the configuration of its topic.
fn configs(options: &QueueOptions) -> Vec<(String, Option<String>)> {
    let set = |name: &str, value: Option<u64>| value.map(|value| (name.to_owned(), Some(value.to_string())));
    let configs = [
        // A stream without an age keeps everything.
        Some((
            "retention.ms".to_owned(),
            Some(options.max_age_ms.map_or("-1".to_owned(), |age| age.to_string())),
        )),
        set("retention.bytes", options.max_length_bytes),
        set("segment.bytes", options.max_segment_size_bytes),
    ];
    configs.into_iter().flatten().collect()
}

impl VirtualHost {
    fn is_stream(&self, topic: &Topic) -> bool {
        let found = self.queue(&topic.name);
        found.is_some_and(|queue| queue.definition().topic == Some(topic.id))
    }

    fn streams(&self) -> Vec<TopicId> {
        self.read(|contents, _| {
            contents
                .queues()
                .filter_map(|queue| queue.definition().topic)
                .collect()
        })
    }

    /// Closes all queues that were in a virtual host, and removes what is stored. Returns the topics of its streams.
    pub(super) fn forget(&self, old: &Contents) -> Result<Vec<TopicId>, TopologyError> {
        let queues: Vec<_> = old.queues().cloned().collect();
        for queue in &queues {
            // Nobody minds that they are used.
            let _ = queue.delete(false, false);
        }
        let exchanges = old.exchanges().filter(|exchange| !exchange.predeclared);
        let removal = Removal {
            queues: queues.clone(),
            exchanges: exchanges.cloned().collect(),
            bindings: old.bindings.iter().cloned().collect(),
        };
        self.journal.append_removals(&self.removals(old, &removal))?;
        Ok(queues
            .iter()
            .filter_map(|queue| queue.definition().topic)
            .collect())
    }

    /// Removes what rests on a topic that was deleted. None if nothing does.
    pub(super) fn topic_deleted(&self, id: TopicId, name: &str) -> Result<Option<Commit>, TopologyError> {
        let rests = |contents: &Contents| {
            let stream = contents
                .queue(name)
                .filter(|queue| queue.definition().topic == Some(id));
            let destination = Destination::Topic(name.into());
            let bindings = contents.bindings.to(&destination);
            let bindings = bindings.filter(|binding| binding.topic() == Some(id));
            (stream.cloned(), bindings.cloned().collect::<Vec<_>>())
        };
        let is_none = self.read(|contents, _| {
            let (stream, bindings) = rests(contents);
            stream.is_none() && bindings.is_empty()
        });
        if is_none {
            return Ok(None);
        }
        let mut contents = self.write()?;
        let (stream, bindings) = rests(&contents);
        if let Some(stream) = &stream {
            // Nobody minds that it is used.
            let _ = stream.delete(false, false);
        }
        let removal = contents.removal(stream.into_iter().collect(), Vec::new(), bindings);
        self.remove(&mut contents, &removal)?;
        Ok(Some(contents.commit.clone()))
    }
}

#[cfg(test)]
mod tests;
