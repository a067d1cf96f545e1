//! The binary `firth`: settings, listeners, wiring and shutdown of the broker, and the commands that talk to one.
//!
//! Invariants:
//! - A setting is declared once (`settings.rs`); flags, environment, file and documentation follow from that.
//! - Standard output is for results and the banner, standard error for the log and errors. Errors have no backtrace.
//! - Exit codes: 0 success, 1 failure, 2 wrong usage, 74 the storage failed, 130 interrupted before it was done.
//!
//! Absent: daemonizing, log files and restarts, which are the init system's.

mod api;
mod client;
mod cmd;
mod date;
mod duration;
mod environment;
mod http;
mod listen;
mod logging;
mod nearest;
mod offsets;
mod overlay;
mod password;
mod pattern;
mod profile;
mod progress;
mod records;
mod settings;
mod table;
mod target;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Its settings are those of `.cargo/config.toml`; ARCHITECTURE.md says why it is not the C library's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// One message broker for Kafka clients: durable, one binary, no configuration needed.
///
/// Start it with `firth serve`, and point any Kafka client at localhost:9092.
#[derive(Parser)]
#[command(name = "firth", version, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the broker
    Serve(cmd::serve::Args),
    /// Create, list, describe and delete topics
    #[command(subcommand)]
    Topic(cmd::topic::Command),
    /// List, describe and delete consumer groups, and move their offsets
    #[command(subcommand)]
    Group(cmd::group::Command),
    /// Declare, list, empty and delete queues
    #[command(subcommand)]
    Queue(cmd::queue::Command),
    /// Declare, list and delete exchanges
    #[command(subcommand)]
    Exchange(cmd::exchange::Command),
    /// Bind queues, topics and exchanges to exchanges, and list bindings
    Bind(cmd::bind::Args),
    /// Add, list, change and delete users
    #[command(subcommand)]
    User(cmd::user::Command),
    /// Say what users may do in virtual hosts
    #[command(subcommand)]
    Permission(cmd::permission::Command),
    /// Show and change the configuration of topics, and show the broker's
    #[command(subcommand)]
    Config(cmd::config::Command),
    /// Send what standard input holds as records
    Produce(cmd::produce::Args),
    /// Print the records of a topic
    Consume(cmd::consume::Args),
    /// Follow topics: print records as they come
    Tail(cmd::tail::Args),
    /// Put load on a broker that runs, and measure it
    #[command(subcommand)]
    Bench(cmd::bench::Command),
    /// Name the servers that you work with
    #[command(subcommand)]
    Profile(cmd::profile::Command),
    /// Check the data directory of a broker that does not run; nothing in it is changed
    Doctor(cmd::doctor::Args),
    /// Copy what a broker holds into a file, while it runs
    Backup(cmd::backup::Args),
    /// Make a data directory of a backup
    Restore(cmd::restore::Args),
    /// Print what makes a shell complete the command line
    Completions(cmd::completions::Args),
    /// Print the documentation of the command line
    #[command(hide = true)]
    Reference,
    /// Print the documentation of the settings
    #[command(hide = true)]
    Settings,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(args) => cmd::serve::run(args),
        Command::Topic(command) => cmd::topic::run(command),
        Command::Group(command) => cmd::group::run(command),
        Command::Queue(command) => cmd::queue::run(command),
        Command::Exchange(command) => cmd::exchange::run(command),
        Command::Bind(args) => cmd::bind::run(&args),
        Command::User(command) => cmd::user::run(command),
        Command::Permission(command) => cmd::permission::run(command),
        Command::Config(command) => cmd::config::run(command),
        Command::Produce(args) => cmd::produce::run(args),
        Command::Consume(args) => cmd::consume::run(args),
        Command::Tail(args) => cmd::tail::run(args),
        Command::Bench(command) => cmd::bench::run(command),
        Command::Profile(command) => cmd::profile::run(command),
        Command::Doctor(args) => cmd::doctor::run(&args),
        Command::Backup(args) => cmd::backup::run(&args),
        Command::Restore(args) => cmd::restore::run(&args),
        Command::Completions(args) => cmd::completions::run(&args, Cli::command()),
        Command::Reference => cmd::reference::run(Cli::command()),
        Command::Settings => cmd::settings::run(),
    };
    outcome.unwrap_or_else(|error| {
        if is_broken_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        eprintln!("firth: {error:#}");
        ExitCode::FAILURE
    })
}

/// Who reads our output has seen enough, as `head` does.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    kind == Some(std::io::ErrorKind::BrokenPipe)
}
