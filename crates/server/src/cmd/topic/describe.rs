use std::io::{Write, stdout};

use anyhow::Result;
use firth_kafka_codec::{MetadataResponseTopic, RESOURCE_TOPIC};
use serde_json::json;

use super::figures::{Figures, figures};
use super::list::{Totals, topics};
use crate::cmd::config::{Resource, settings};
use crate::pattern::Pattern;
use crate::table::table;
use crate::target::Server;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Topics; * stands for any characters and ? for one
    #[arg(required = true, value_name = "NAME", value_parser = |text: &str| anyhow::Ok(Pattern::new(text)))]
    names: Vec<Pattern>,
    /// Print one JSON object for each topic
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

struct Described {
    name: String,
    id: String,
    /// What is set, and is not the default.
    config: Vec<(String, String)>,
    figures: Vec<Figures>,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut client = args.server.connect().await?;
    let mut found: Vec<MetadataResponseTopic> = Vec::new();
    for pattern in &args.names {
        match pattern.is_wild() {
            true => found.extend(topics(&mut client, std::slice::from_ref(pattern)).await?),
            false => found.push(client.topic(pattern.as_str()).await?),
        }
    }
    for (index, topic) in found.iter().enumerate() {
        let name = topic.name.as_deref().unwrap_or_default().to_owned();
        let resource = Resource {
            resource_type: RESOURCE_TOPIC,
            name: name.clone(),
        };
        let config = settings(&mut client, &resource).await?.into_iter();
        let set = config.filter(|setting| setting.config_source == firth_kafka_codec::SOURCE_TOPIC);
        let pair = |setting: firth_kafka_codec::DescribeConfigsResourceResult| {
            let value = setting.value.map(|value| value.to_string());
            (setting.name.to_string(), value.unwrap_or_default())
        };
        let described = Described {
            name,
            id: topic.topic_id.to_string(),
            config: set.map(pair).collect(),
            figures: figures(&mut client, topic).await?,
        };
        if args.json {
            writeln!(stdout(), "{}", described.as_json())?;
        } else {
            let between = if index > 0 { "\n" } else { "" };
            write!(stdout(), "{between}{}", described.text())?;
        }
    }
    Ok(())
}

impl Described {
    fn as_json(&self) -> serde_json::Value {
        let partition = |figures: &Figures| {
            json!({
                "partition": figures.partition,
                "first_offset": figures.first,
                "next_offset": figures.next,
                "bytes": figures.bytes,
            })
        };
        let totals = Totals::of(&self.figures);
        let config: serde_json::Map<_, _> = self
            .config
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect();
        json!({
            "name": self.name,
            "id": self.id,
            "config": config,
            "offsets": totals.offsets,
            "bytes": totals.bytes,
            "partitions": self.figures.iter().map(partition).collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        let totals = Totals::of(&self.figures);
        let size = totals.bytes_text();
        let mut text = format!(
            "{} (id {}, {} partitions, {} offsets, {size})\n",
            self.name,
            self.id,
            self.figures.len(),
            totals.offsets
        );
        for (name, value) in &self.config {
            text += &format!("{name}={value}\n");
        }
        let row = |figures: &Figures| {
            let bytes = figures.bytes.map_or("-".to_owned(), |bytes| bytes.to_string());
            let numbers = [
                i64::from(figures.partition),
                figures.first,
                figures.next,
                figures.offsets(),
            ];
            let numbers = numbers.map(|number| number.to_string());
            numbers.into_iter().chain([bytes]).collect()
        };
        let rows: Vec<_> = self.figures.iter().map(row).collect();
        text + &table(&["partition", "first", "next", "offsets", "bytes"], &rows)
    }
}
