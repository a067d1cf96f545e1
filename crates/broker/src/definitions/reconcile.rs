//! What is done at a start where definitions and logs do not say the same, which only lost records bring about.
//!
//! A log of no topic is left alone: whoever gave up the record of its topic did not give up what it holds.

use std::collections::HashSet;

use firth_log::{AppendError, Change, Frame, Kind, LogId};

use super::owner::{Owner, Round};
use super::{Request, TopicId};
use crate::{DefineError, Topic};

impl Owner {
    /// Where records of definitions were given up, a topic without any log was deleted by one of them. Any other log that is
    /// missing lost the record of its creation before it had a batch: it is created again.
    pub(crate) async fn reconcile(&mut self) -> Result<(), DefineError> {
        let logs: HashSet<LogId> = self.engine.logs().into_iter().collect();
        let mut deleted: Vec<TopicId> = Vec::new();
        let mut missing: Vec<LogId> = Vec::new();
        let mut of_topics = 0;
        for topic in self.definitions.topics().iter() {
            let absent = absent_logs(topic, &logs);
            of_topics += topic.partitions.len() - absent.len();
            if self.has_gap && absent.len() == topic.partitions.len() {
                tracing::error!(topic = %topic.name, "the record of its deletion is lost, and its logs are gone: deleting it");
                deleted.push(topic.id);
            } else if !absent.is_empty() {
                tracing::error!(
                    topic = %topic.name,
                    count = absent.len(),
                    "logs of the topic are lost with the record of their creation: they begin anew"
                );
                missing.extend(absent);
            }
        }
        let orphans = logs
            .iter()
            .filter(|log| **log >= LogId::FIRST_ALLOCATED)
            .count()
            .saturating_sub(of_topics);
        if orphans > 0 {
            tracing::error!(
                orphans,
                "logs belong to no topic, since the records of their topics are lost; what they hold is kept, and `firth doctor` lists them"
            );
        }
        self.create_again(missing).await?;
        let mut round = Round::default();
        for id in deleted {
            match self.decide(&Request::DeleteTopic { id }, &mut round) {
                // It is tried again at the next start.
                Ok(_) | Err(DefineError::Full) => {}
                Err(error) => return Err(error),
            }
        }
        self.finish(round).await
    }

    async fn create_again(&self, logs: Vec<LogId>) -> Result<(), DefineError> {
        if logs.is_empty() {
            return Ok(());
        }
        let kind = Kind::Durable;
        let changes = logs.into_iter().map(|log| Change::Create { log, kind });
        match self.engine.append(Frame::changes(changes.collect())) {
            Ok(appended) => appended.commit.await.map_err(|_| DefineError::Stopped),
            Err(AppendError::Full) => Ok(()),
            Err(error) => {
                tracing::error!(%error, "lost logs cannot be created again");
                Err(DefineError::Stopped)
            }
        }
    }
}

fn absent_logs(topic: &Topic, logs: &HashSet<LogId>) -> Vec<LogId> {
    let partitions = topic.partitions.iter().map(|partition| partition.log);
    partitions.filter(|log| !logs.contains(log)).collect()
}
