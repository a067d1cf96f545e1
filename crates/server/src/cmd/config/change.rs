use std::io::{Write, stdout};

use anyhow::Result;
use firth_kafka_codec::{OPERATION_DELETE, OPERATION_SET};
use serde_json::json;

use super::{Named, Resource, alter};
use crate::cmd::topic::create::{config, without_effect};
use crate::target::Server;

#[derive(clap::Args)]
pub(crate) struct SetArgs {
    /// The settings
    #[arg(required = true, value_name = "NAME=VALUE", value_parser = config)]
    settings: Vec<(String, String)>,
    #[command(flatten)]
    common: Change,
}

#[derive(clap::Args)]
pub(crate) struct DeleteArgs {
    /// The settings
    #[arg(required = true, value_name = "NAME")]
    settings: Vec<String>,
    #[command(flatten)]
    common: Change,
}

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("resource").required(true).args(["topic", "group", "broker"]))]
struct Change {
    #[command(flatten)]
    named: Named,
    /// Say whether it can be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn set(args: SetArgs) -> Result<()> {
    let mut client = args.common.server.connect().await?;
    let resource = args.common.named.find(&mut client).await?;
    let changes = args
        .settings
        .iter()
        .map(|(name, value)| (&**name, OPERATION_SET, Some(&**value)));
    alter(&mut client, &resource, changes, args.common.dry_run).await?;
    let notes: Vec<_> = without_effect(&args.settings).collect();
    let texts: Vec<_> = args
        .settings
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    report(&args.common, &resource, "set", &texts, &notes)
}

pub(super) async fn delete(args: DeleteArgs) -> Result<()> {
    let mut client = args.common.server.connect().await?;
    let resource = args.common.named.find(&mut client).await?;
    let changes = args.settings.iter().map(|name| (&**name, OPERATION_DELETE, None));
    alter(&mut client, &resource, changes, args.common.dry_run).await?;
    report(&args.common, &resource, "deleted", &args.settings, &[])
}

fn report(
    args: &Change,
    resource: &Resource,
    done: &str,
    settings: &[String],
    notes: &[String],
) -> Result<()> {
    if args.json {
        let report = json!({
            resource.kind(): resource.name, done: settings, "dry_run": args.dry_run, "notes": notes,
        });
        writeln!(stdout(), "{report}")?;
        return Ok(());
    }
    let (title, settings) = (resource.title(), settings.join(", "));
    if args.dry_run {
        writeln!(stdout(), "{title}: {settings} can be {done}; nothing was changed")?;
    } else {
        writeln!(stdout(), "{title}: {done} {settings}")?;
    }
    for note in notes {
        eprintln!("note: {note}");
    }
    Ok(())
}
