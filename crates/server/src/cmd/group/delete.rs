use std::io::{Write, stdout};

use anyhow::{Context, Result};
use firth_kafka_codec::DeleteGroupsRequest;
use serde_json::json;

use super::describe::check_named;
use crate::target::Server;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Print one JSON object for each group
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut client = args.server.connect().await?;
    for name in &args.names {
        let request = DeleteGroupsRequest {
            groups_names: vec![name.as_str().into()],
        };
        let response = client.call(&request).await?;
        let result = response.results.first();
        let result = result.context("the broker's answer names no group")?;
        check_named(&mut client, result.error_code, name).await?;
        match args.json {
            true => writeln!(stdout(), "{}", json!({ "name": name, "deleted": true }))?,
            false => writeln!(stdout(), "deleted {name}")?,
        }
    }
    Ok(())
}
