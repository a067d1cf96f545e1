use std::io::{Write, stdout};

use anyhow::{Context, Result};
use firth_kafka_codec::DeleteGroupsRequest;
use serde_json::json;

use super::describe::check_group;
use crate::target::Server;

#[derive(clap::Args)]
pub(crate) struct Args {
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut client = args.server.connect().await?;
    let request = DeleteGroupsRequest {
        groups_names: vec![args.name.as_str().into()],
    };
    let response = client.call(&request).await?;
    let result = response
        .results
        .first()
        .context("the broker's answer names no group")?;
    check_group(result.error_code).with_context(|| format!("group {}", args.name))?;
    match args.json {
        true => writeln!(stdout(), "{}", json!({ "name": args.name, "deleted": true }))?,
        false => writeln!(stdout(), "deleted {}", args.name)?,
    }
    Ok(())
}
