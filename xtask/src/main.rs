//! The house's own tasks: `cargo xtask test` says what CI will say, `cargo xtask tidy` holds the code to `docs` and style.
//!
//! It has no dependency but `anyhow`, so that it is compiled in seconds before anything else is.

mod apis;
mod bench;
mod suites;
mod test;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Result;

const USAGE: &str = "\
cargo xtask test [STEP ...]    all that CI checks, in its order; or only the named steps
cargo xtask test --list        the steps and their commands
cargo xtask tidy               the rules that no compiler checks; also a step of `test`
cargo xtask suites [SUITE ...] the test suites of clients against a Firth of their own
cargo xtask sim [ARGUMENTS]    the simulation of the engine with many seeds, compiled for release
cargo xtask bench [ARGUMENTS]  the load drivers of bench/, compiled for release
cargo xtask apis [--kafka]     writes docs/kafka-apis.md; with --kafka it first asks Apache Kafka
cargo xtask bench --vs kafka [ARGUMENTS]  Firth and Apache Kafka by turns; the arguments are those of `bench versus`
cargo xtask bench --vs rabbitmq [ARGUMENTS]  Firth and RabbitMQ by turns, likewise";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((task, rest)) if task == "test" => test::run(rest),
        Some((task, [])) if task == "tidy" => tidy::run(),
        Some((task, rest)) if task == "apis" => apis::run(rest),
        Some((task, rest)) if task == "suites" => suites::run_suites(rest),
        Some((task, rest)) if task == "sim" => run("firth-sim", rest),
        Some((task, rest)) if task == "bench" => match rest {
            [vs, other, arguments @ ..] if vs == "--vs" && other == "kafka" => bench::versus_kafka(arguments),
            [vs, other, arguments @ ..] if vs == "--vs" && other == "rabbitmq" => {
                bench::versus_rabbitmq(arguments)
            }
            _ => run("bench", rest),
        },
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the program of a package.
fn run(package: &str, arguments: &[String]) -> Result<()> {
    let cargo = ["run", "--release", "--package", package, "--"];
    let status = Command::new("cargo")
        .args(cargo)
        .args(arguments)
        .current_dir(root())
        .status()?;
    anyhow::ensure!(status.success(), "{package} ended with {status}");
    Ok(())
}

/// The directory of the workspace.
fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest
        .parent()
        .expect("xtask lies in a directory of the workspace")
        .to_path_buf()
}
