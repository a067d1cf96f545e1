use std::io::{Write, stdout};

use anyhow::Result;
use firth_kafka_codec::MetadataResponseTopic;
use serde_json::json;

use super::figures::{Figures, figures, readable};
use crate::client::{Client, check};
use crate::pattern::Pattern;
use crate::table::table;
use crate::target::Server;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these; * stands for any characters and ? for one
    #[arg(value_name = "NAME", value_parser = |text: &str| anyhow::Ok(Pattern::new(text)))]
    names: Vec<Pattern>,
    /// Show how many records each has offsets for, and the bytes that it takes on disk
    #[arg(long)]
    sizes: bool,
    /// Print one JSON object for each topic
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut client = args.server.connect().await?;
    let mut rows = Vec::new();
    for topic in topics(&mut client, &args.names).await? {
        let name = topic.name.as_deref().unwrap_or_default();
        let (id, partitions) = (topic.topic_id.to_string(), topic.partitions.len());
        let totals = match args.sizes {
            true => Some(Totals::of(&figures(&mut client, &topic).await?)),
            false => None,
        };
        if args.json {
            let mut line = json!({ "name": name, "id": id, "partitions": partitions });
            if let Some(totals) = &totals {
                line["offsets"] = totals.offsets.into();
                line["bytes"] = totals.bytes.into();
            }
            writeln!(stdout(), "{line}")?;
            continue;
        }
        let mut row = vec![name.to_owned(), partitions.to_string()];
        if let Some(totals) = &totals {
            row.extend([totals.offsets.to_string(), totals.bytes_text()]);
        }
        row.push(id);
        rows.push(row);
    }
    if !args.json {
        let head: &[&str] = match args.sizes {
            true => &["name", "partitions", "offsets", "size", "id"],
            false => &["name", "partitions", "id"],
        };
        write!(stdout(), "{}", table(head, &rows))?;
    }
    Ok(())
}

/// What is in a topic.
pub(super) struct Totals {
    pub(super) offsets: i64,
    /// Absent where the broker does not say it of every partition.
    pub(super) bytes: Option<i64>,
}

impl Totals {
    pub(super) fn of(figures: &[Figures]) -> Totals {
        Totals {
            offsets: figures.iter().map(Figures::offsets).sum(),
            bytes: figures.iter().map(|figures| figures.bytes).sum(),
        }
    }

    pub(super) fn bytes_text(&self) -> String {
        self.bytes.map_or("-".to_owned(), readable)
    }
}

/// The topics that a pattern stands for, or all without one, sorted by name.
pub(super) async fn topics(client: &mut Client, names: &[Pattern]) -> Result<Vec<MetadataResponseTopic>> {
    let mut topics = client.metadata(None).await?.topics;
    let name = |topic: &MetadataResponseTopic| topic.name.as_deref().unwrap_or_default().to_owned();
    if !names.is_empty() {
        topics.retain(|topic| names.iter().any(|pattern| pattern.matches(&name(topic))));
    }
    for topic in &topics {
        check(topic.error_code, None)?;
    }
    topics.sort_by_key(name);
    Ok(topics)
}
