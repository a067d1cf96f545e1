mod change;
mod describe;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use firth_kafka_codec::{RESOURCE_BROKER, RESOURCE_TOPIC};

use crate::client::Client;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Show how a topic or the broker is configured
    Describe(describe::Args),
    /// Set settings of a topic; what is not named stays as it is
    Set(change::SetArgs),
    /// Give settings of a topic their defaults
    Delete(change::DeleteArgs),
}

pub(crate) fn run(command: Command) -> Result<ExitCode> {
    super::block_on(async {
        match command {
            Command::Describe(args) => describe::run(args).await,
            Command::Set(args) => change::set(args).await,
            Command::Delete(args) => change::delete(args).await,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What is configured.
struct Resource {
    resource_type: i8,
    name: String,
}

impl Resource {
    /// The topic, or the broker that is connected to if none is named.
    async fn find(client: &mut Client, topic: Option<String>) -> Result<Resource> {
        if let Some(name) = topic {
            let resource_type = RESOURCE_TOPIC;
            return Ok(Resource { resource_type, name });
        }
        let metadata = client.metadata(Some(&[])).await?;
        let [broker] = &metadata.brokers[..] else {
            bail!("there are {} brokers", metadata.brokers.len());
        };
        Ok(Resource {
            resource_type: RESOURCE_BROKER,
            name: broker.node_id.to_string(),
        })
    }

    /// As messages name it.
    fn title(&self) -> String {
        match self.resource_type {
            RESOURCE_TOPIC => format!("topic {}", self.name),
            _ => format!("broker {}", self.name),
        }
    }
}

/// The one answer to a request about one resource.
fn only<T>(answers: Vec<T>) -> Result<T> {
    answers
        .into_iter()
        .next()
        .context("the broker's answer names no resource")
}
