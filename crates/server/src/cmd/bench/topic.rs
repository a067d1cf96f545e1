//! The topic under load, which is deleted if it was made for it.

use anyhow::{Context, Result};
use firth_kafka_codec::{
    ByteStr, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, DeleteTopicState,
    DeleteTopicsRequest, ErrorCode, Uuid,
};

use super::TopicArgs;
use crate::client::{Client, check};
use crate::environment;

pub(super) struct Topic {
    pub(super) name: String,
    pub(super) id: Uuid,
    pub(super) partitions: i32,
    is_own: bool,
}

impl Topic {
    /// Makes a topic if there is none of that name, or if none is named.
    pub(super) async fn prepare(client: &mut Client, args: &TopicArgs) -> Result<Topic> {
        let name = match &args.topic {
            Some(name) => name.clone(),
            None => {
                let random = u128::from_be_bytes((environment::random()?)());
                format!("firth-bench-{:08x}", random as u32)
            }
        };
        let config = |(name, value): &(String, String)| CreatableTopicConfig {
            name: name.as_str().into(),
            value: Some(value.as_str().into()),
        };
        let creatable = CreatableTopic {
            name: name.as_str().into(),
            num_partitions: args.partitions,
            replication_factor: -1,
            configs: args.topic_config.iter().map(config).collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![creatable],
            ..Default::default()
        };
        let response = client.call(&request).await?;
        let created = response.topics.first();
        let created = created.context("the broker's answer names no topic")?;
        match created.error_code {
            ErrorCode::TopicAlreadyExists => {}
            code => check(code, created.error_message.as_ref()).with_context(|| format!("topic {name}"))?,
        }
        Topic::there(client, name, args.topic.is_none()).await
    }

    /// One that is there.
    pub(super) async fn find(client: &mut Client, name: &str) -> Result<Topic> {
        Topic::there(client, name.to_owned(), false).await
    }

    async fn there(client: &mut Client, name: String, is_own: bool) -> Result<Topic> {
        let found = client.topic(&name).await?;
        Ok(Topic {
            id: found.topic_id,
            partitions: i32::try_from(found.partitions.len()).unwrap_or(i32::MAX),
            name,
            is_own,
        })
    }

    /// Deletes it if it was made for the bench; `outcome` goes before what goes wrong here.
    pub(super) async fn finish<T>(self, client: &mut Client, outcome: Result<T>) -> Result<T> {
        if !self.is_own {
            return outcome;
        }
        let name = ByteStr::from(self.name.as_str());
        let state = DeleteTopicState {
            name: Some(name.clone()),
            ..Default::default()
        };
        let request = DeleteTopicsRequest {
            topics: vec![state],
            topic_names: vec![name],
            timeout_ms: 30_000,
        };
        let deleted = client.call(&request).await;
        let code = deleted.map(|deleted| deleted.responses.first().map(|response| response.error_code));
        let outcome = outcome?;
        if let Some(code) = code? {
            check(code, None).with_context(|| format!("topic {} stays", self.name))?;
        }
        Ok(outcome)
    }

    /// Every `connections`-th partition, or one where there are fewer partitions than connections.
    pub(super) fn share(&self, index: usize, connections: usize) -> Vec<i32> {
        let partitions = usize::try_from(self.partitions).unwrap_or(1).max(1);
        let all = 0..self.partitions;
        match partitions < connections {
            true => all.skip(index % partitions).take(1).collect(),
            false => all.skip(index).step_by(connections).collect(),
        }
    }
}
