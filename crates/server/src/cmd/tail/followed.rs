//! Which partitions are followed, while topics come and go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use firth_kafka_codec::{ErrorCode, MetadataResponseTopic, Uuid};

use crate::client::{Client, check};
use crate::environment::since_boot;
use crate::pattern::Pattern;
use crate::records::reading::Position;
use crate::records::start::{Start, Topic};

pub(super) struct Followed {
    patterns: Vec<Pattern>,
    pub(super) positions: Vec<Position>,
    /// Topics that are followed, and how many partitions of each.
    topics: BTreeMap<Arc<str>, (Uuid, usize)>,
    /// When topics were last looked for.
    pub(super) looked: Duration,
    /// A partition is not where it was.
    pub(super) must_look: bool,
}

impl Followed {
    /// Topics that are named must be there; those of patterns may still come.
    pub(super) async fn begin(client: &mut Client, patterns: &[Pattern], start: Start) -> Result<Followed> {
        for pattern in patterns.iter().filter(|pattern| !pattern.is_wild()) {
            client.topic(pattern.as_str()).await?;
        }
        let mut followed = Followed {
            patterns: patterns.to_vec(),
            positions: Vec::new(),
            topics: BTreeMap::new(),
            looked: since_boot(),
            must_look: false,
        };
        for topic in followed.found(client).await? {
            followed.add(client, &topic, start).await?;
        }
        if followed.positions.is_empty() {
            eprintln!("firth: no topic is there yet; those that are created will be followed");
        }
        Ok(followed)
    }

    /// Topics that there are now and are to be followed.
    async fn found(&self, client: &mut Client) -> Result<Vec<MetadataResponseTopic>> {
        let names: Vec<&str> = self.patterns.iter().map(Pattern::as_str).collect();
        let all = self.patterns.iter().any(Pattern::is_wild);
        let metadata = client.metadata((!all).then_some(&names)).await?;
        let is_wanted = |topic: &MetadataResponseTopic| {
            let name = topic.name.as_deref().unwrap_or_default();
            self.patterns
                .iter()
                .any(|pattern| pattern.as_str() == name || pattern.matches(name))
        };
        let mut topics = Vec::new();
        for topic in metadata.topics.into_iter().filter(is_wanted) {
            match topic.error_code {
                ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId => {}
                code => {
                    check(code, None)?;
                    topics.push(topic);
                }
            }
        }
        Ok(topics)
    }

    /// Follows the partitions of a topic that are not followed yet.
    async fn add(&mut self, client: &mut Client, found: &MetadataResponseTopic, start: Start) -> Result<()> {
        let name: Arc<str> = found.name.as_deref().unwrap_or_default().into();
        let known = self.topics.get(&name).map_or(0, |(_, partitions)| *partitions);
        let indexes = found.partitions.iter().map(|partition| partition.partition_index);
        let mut indexes: Vec<i32> = indexes.collect();
        indexes.sort_unstable();
        let count = indexes.len();
        let new: Vec<i32> = indexes.into_iter().skip(known).collect();
        if new.is_empty() {
            return Ok(());
        }
        let id = found.topic_id;
        let topic = Topic {
            name: name.clone(),
            id,
        };
        self.positions
            .extend(start.positions(client, &topic, &new).await?);
        self.topics.insert(name, (id, count));
        Ok(())
    }

    /// Notices topics and partitions that came or went. What is new is read from its beginning.
    pub(super) async fn look(&mut self, client: &mut Client) -> Result<()> {
        self.must_look = false;
        let found = self.found(client).await?;
        let is_there = |name: &str, id: Uuid| {
            let mut found = found.iter();
            found.any(|topic| topic.name.as_deref() == Some(name) && topic.topic_id == id)
        };
        let gone: Vec<Arc<str>> = self
            .topics
            .iter()
            .filter(|(name, (id, _))| !is_there(name, *id))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            self.topics.remove(&name);
            self.positions.retain(|position| position.topic != name);
            eprintln!("firth: topic {name} was deleted");
        }
        for topic in &found {
            let name = topic.name.as_deref().unwrap_or_default();
            if !self.topics.contains_key(name) {
                eprintln!("firth: topic {name} is new");
            }
            self.add(client, topic, Start::Beginning).await?;
        }
        if self.topics.is_empty() && !self.patterns.iter().any(Pattern::is_wild) {
            bail!("there is nothing left to follow");
        }
        Ok(())
    }

    /// Goes on with the first record that is kept: retention was faster, or a crash took what was not flushed.
    pub(super) async fn skip(&mut self, client: &mut Client, place: usize, problem: &str) -> Result<()> {
        let position = &self.positions[place];
        let topic = Topic {
            name: position.topic.clone(),
            id: position.topic_id,
        };
        let first = Start::Beginning
            .positions(client, &topic, &[position.partition])
            .await?;
        for new in first {
            // Behind the end there is nothing that was not shown.
            let next = match self.positions[place].next > new.end {
                true => new.end,
                false => new.next,
            };
            eprintln!("firth: {problem}; going on at {next}");
            self.positions[place] = Position { next, ..new };
        }
        Ok(())
    }
}
