//! Which partitions of a group's topics are meant.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use crate::client::Client;

/// Sorted, each once.
pub(crate) type Scope = BTreeMap<String, Vec<i32>>;

/// The partitions of `TOPIC` or `TOPIC:PARTITION,...`, which must be there.
pub(crate) async fn scope(client: &mut Client, wanted: &[String]) -> Result<Scope> {
    let mut scope = Scope::new();
    for wanted in wanted {
        // No name of a topic has a colon in it.
        let (topic, partitions) = match wanted.split_once(':') {
            Some((topic, list)) => {
                let numbers = list.split(',').map(|number| number.trim().parse::<u16>());
                let numbers = numbers.collect::<Result<Vec<_>, _>>();
                let numbers = numbers.with_context(|| format!("{wanted:?} is no TOPIC:PARTITION,..."))?;
                check_are_there(client, topic, &numbers).await?;
                (topic, numbers.into_iter().map(i32::from).collect())
            }
            None => {
                let described = client.topic(wanted).await?;
                let partitions = described.partitions.iter();
                (
                    wanted.as_str(),
                    partitions
                        .map(|partition| partition.partition_index)
                        .collect::<Vec<_>>(),
                )
            }
        };
        scope.entry(topic.to_owned()).or_default().extend(partitions);
    }
    for partitions in scope.values_mut() {
        partitions.sort_unstable();
        partitions.dedup();
    }
    Ok(scope)
}

async fn check_are_there(client: &mut Client, topic: &str, partitions: &[u16]) -> Result<()> {
    let count = client.topic(topic).await?.partitions.len();
    match partitions
        .iter()
        .find(|partition| usize::from(**partition) >= count)
    {
        Some(partition) => bail!("{topic} has no partition {partition}: it has {count}"),
        None => Ok(()),
    }
}
