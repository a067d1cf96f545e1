//! `cargo run -p traces -- play|record FILE...`: traces of AMQP methods against a broker that runs.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use traces::{Broker, Outcome, Player, Script};

/// Plays scripts of AMQP methods against a broker, or records what it answers.
#[derive(Parser)]
struct Arguments {
    /// `play` compares what comes with the trace; `record` writes what comes into the file.
    #[arg(value_parser = ["play", "record"])]
    what: String,
    files: Vec<PathBuf>,
    #[arg(long, default_value = "127.0.0.1:5672")]
    server: String,
    /// The HTTP API of the broker, for scenarios with users and virtual hosts.
    #[arg(long)]
    management: Option<String>,
    /// Where names are declared; the trace says `/` for it.
    #[arg(long, default_value = "/")]
    vhost: String,
    /// Which broker this is, for scenarios that hold for one alone.
    #[arg(long, default_value = "firth")]
    broker: String,
    /// Nothing more comes when nothing came for so long.
    #[arg(long, default_value_t = 60)]
    quiet_ms: u64,
    /// Only scenarios with this in their title.
    #[arg(long)]
    only: Option<String>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let player = Player {
        broker: Broker {
            name: arguments.broker,
            address: arguments.server,
            management: arguments.management,
            vhost: arguments.vhost,
        },
        quiet: Duration::from_millis(arguments.quiet_ms),
        only: arguments.only,
    };
    let mut failed = false;
    for file in &arguments.files {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).context(name.clone())?;
        let script = Script::parse(&name, &text)?;
        if arguments.what == "record" {
            let (text, failures) = player.record(&script);
            std::fs::write(file, text).context(name)?;
            failures.iter().for_each(|failure| println!("FAILED {failure}"));
            failed |= !failures.is_empty();
            continue;
        }
        let outcomes = player.play(&script);
        for (title, outcome) in &outcomes {
            if let Outcome::Failed(why) = outcome {
                println!("FAILED {title}: {why}");
                failed = true;
            }
        }
        let count =
            |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|(_, outcome)| wanted(outcome)).count();
        println!(
            "{name}: {} passed, {} failed, {} skipped",
            count(|outcome| matches!(outcome, Outcome::Passed)),
            count(|outcome| matches!(outcome, Outcome::Failed(_))),
            count(|outcome| matches!(outcome, Outcome::Skipped(_))),
        );
    }
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
