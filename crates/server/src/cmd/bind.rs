use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::api::{Api, Argument, Server, arguments, path, shown};
use crate::table::table;

const FIELDS: [&str; 5] = [
    "source",
    "routing_key",
    "destination_type",
    "destination",
    "arguments",
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The exchange that messages come from; without it, and without anything that it is to be bound to, the bindings are listed
    #[arg(value_name = "EXCHANGE")]
    exchange: Option<String>,
    /// The binding's key, which some exchanges do not look at
    #[arg(value_name = "KEY", default_value = "")]
    key: String,
    #[command(flatten)]
    destination: Destination,
    /// As x-match=any; a value that is JSON is taken as that
    #[arg(long, value_name = "NAME=VALUE", value_parser = Argument::parse, conflicts_with = "delete")]
    argument: Vec<Argument>,
    /// Delete the bindings with this key instead, whatever arguments they have
    #[arg(long)]
    delete: bool,
    #[arg(long, value_name = "NAME", default_value = "/")]
    vhost: String,
    /// Print one JSON object for each binding that is listed
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// Where messages go.
#[derive(clap::Args)]
#[group(multiple = false)]
struct Destination {
    /// Bind this queue
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// Bind this topic, whose partition is found by the header x-partition-key, else by the routing key
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Bind this exchange
    #[arg(long = "exchange", value_name = "EXCHANGE", id = "destination-exchange")]
    exchange: Option<String>,
}

impl Destination {
    /// As a path has it.
    fn named(&self) -> Option<(&'static str, &str)> {
        let named = [("q", &self.queue), ("t", &self.topic), ("e", &self.exchange)];
        named
            .into_iter()
            .find_map(|(kind, name)| Some((kind, name.as_deref()?)))
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    match (&args.exchange, args.destination.named()) {
        (Some(exchange), Some(destination)) if args.delete => delete(args, exchange, destination),
        (Some(exchange), Some(destination)) => bind(args, exchange, destination),
        (None, None) | (Some(_), None) if !args.delete => list(args),
        _ => bail!("a binding is from an EXCHANGE to one of --queue, --topic and --exchange"),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// The default exchange has no name.
fn exchange_in_path(exchange: &str) -> &str {
    match exchange {
        "" => "amq.default",
        name => name,
    }
}

fn between(args: &Args, exchange: &str, (kind, to): (&str, &str)) -> String {
    path(["bindings", &args.vhost, "e", exchange_in_path(exchange), kind, to])
}

fn bind(args: &Args, exchange: &str, destination: (&str, &str)) -> Result<()> {
    let body = json!({ "routing_key": args.key, "arguments": arguments(&args.argument) });
    args.server
        .api()?
        .post(&between(args, exchange, destination), &body)?;
    writeln!(stdout(), "bound {} to {exchange}", destination.1)?;
    Ok(())
}

fn delete(args: &Args, exchange: &str, destination: (&str, &str)) -> Result<()> {
    let api = args.server.api()?;
    let bindings = api.list(&between(args, exchange, destination))?;
    let keys = bindings
        .iter()
        .filter(|binding| binding["routing_key"] == *args.key);
    let keys: Vec<_> = keys
        .filter_map(|binding| binding["properties_key"].as_str())
        .collect();
    if keys.is_empty() {
        bail!(
            "{} is not bound to {exchange} with the key {:?}",
            destination.1,
            args.key
        );
    }
    let (kind, to) = destination;
    for key in keys {
        let one = path([
            "bindings",
            &args.vhost,
            "e",
            exchange_in_path(exchange),
            kind,
            to,
            key,
        ]);
        api.delete(&one)
            .with_context(|| format!("the binding of {to} to {exchange}"))?;
    }
    writeln!(stdout(), "unbound {to} from {exchange}")?;
    Ok(())
}

fn list(args: &Args) -> Result<()> {
    let bindings = bindings(&args.server.api()?, args)?;
    if args.json {
        for binding in bindings {
            writeln!(stdout(), "{binding}")?;
        }
        return Ok(());
    }
    let row = |binding| FIELDS.map(|field| shown(binding, field)).to_vec();
    let rows: Vec<_> = bindings.iter().map(row).collect();
    write!(
        stdout(),
        "{}",
        table(&["exchange", "key", "to", "name", "arguments"], &rows)
    )?;
    Ok(())
}

fn bindings(api: &Api, args: &Args) -> Result<Vec<Value>> {
    match &args.exchange {
        None => api.list(&path(["bindings", &args.vhost])),
        Some(exchange) => {
            let name = exchange_in_path(exchange);
            let from = api.list(&path(["exchanges", &args.vhost, name, "bindings", "source"]));
            from.with_context(|| format!("exchange {exchange} in {}", args.vhost))
        }
    }
}
