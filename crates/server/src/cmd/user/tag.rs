use std::io::{Write, stdout};

use anyhow::{Context, Result};
use serde_json::json;

use crate::api::{Server, path};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(value_name = "NAME")]
    name: String,
    /// All that the user is to have from now on; none takes away those that it has
    #[arg(value_name = "TAG")]
    tags: Vec<String>,
    #[command(flatten)]
    server: Server,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let api = args.server.api()?;
    let path = path(["users", &args.name]);
    api.get(&path).with_context(|| format!("user {}", args.name))?;
    api.put(&path, &json!({ "tags": args.tags, "keep_password": true }))?;
    let tags = match args.tags.as_slice() {
        [] => "none".to_owned(),
        tags => tags.join(", "),
    };
    writeln!(stdout(), "tags of {}: {tags}", args.name)?;
    Ok(())
}
