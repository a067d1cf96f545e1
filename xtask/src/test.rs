//! `cargo xtask test`: the steps of CI, each with its seconds, stopping at the first that fails.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{root, tidy};

struct Step {
    name: &'static str,
    /// The program and its arguments, or nothing for `tidy`, which runs in this process.
    commands: &'static [&'static [&'static str]],
    /// The step is left out, and said to be, unless this program runs with `--version`.
    only_with: Option<&'static str>,
}

const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        commands: &[
            &["cargo", "fmt", "--all", "--", "--check"],
            &[
                "cargo",
                "fmt",
                "--manifest-path",
                "fuzz/Cargo.toml",
                "--",
                "--check",
            ],
            &[
                "cargo",
                "fmt",
                "--manifest-path",
                "tests/clients/rdkafka/Cargo.toml",
                "--",
                "--check",
            ],
            &[
                "cargo",
                "fmt",
                "--manifest-path",
                "tests/clients/lapin/Cargo.toml",
                "--",
                "--check",
            ],
        ],
        only_with: None,
    },
    Step {
        name: "tidy",
        commands: &[],
        only_with: None,
    },
    Step {
        name: "clippy",
        commands: &[&[
            "cargo",
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ]],
        only_with: None,
    },
    Step {
        name: "unit",
        commands: &[&["cargo", "test", "--workspace", "--locked"]],
        only_with: None,
    },
    // The seeds and mutations of them, as ordinary tests on the stable compiler; libFuzzer itself is for longer runs by hand.
    Step {
        name: "fuzz",
        commands: &[&[
            "cargo",
            "test",
            "--manifest-path",
            "fuzz/Cargo.toml",
            "--target-dir",
            "target/fuzz",
            "--locked",
            "--no-default-features",
        ]],
        only_with: None,
    },
    Step {
        name: "release",
        commands: &[&["cargo", "build", "--release", "--locked", "--package", "firth"]],
        only_with: None,
    },
    Step {
        name: "clients",
        commands: &[
            &["cargo", "build", "--release", "--locked", "--package", "firth"],
            &[
                "python3",
                "tests/clients/run.py",
                "--firth",
                "target/release/firth",
            ],
        ],
        only_with: None,
    },
    // A tenth of what the suites have, another tenth every day; `cargo xtask suites` runs all.
    Step {
        name: "suites",
        commands: &[&["cargo", "xtask", "suites", "--slice", "today/10", "--jobs", "2"]],
        only_with: Some("make"),
    },
    // cargo-deny takes longer to compile than all of Firth, so whoever wants it installs it.
    Step {
        name: "deny",
        commands: &[&["cargo", "deny", "check", "bans", "licenses", "sources"]],
        only_with: Some("cargo-deny"),
    },
];

/// Runs the named steps, or all of them.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if arguments == ["--list"] {
        list();
        return Ok(());
    }
    for name in arguments {
        if !STEPS.iter().any(|step| step.name == name) {
            let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
            bail!("`{name}` is no step; there are: {}", names.join(", "));
        }
    }

    let mut table = Vec::new();
    for step in STEPS {
        if !arguments.is_empty() && !arguments.iter().any(|name| name == step.name) {
            continue;
        }
        if let Some(missing) = step.only_with.filter(|program| !runs(program)) {
            table.push(format!("{:8} left out: {missing} is not on PATH", step.name));
            continue;
        }
        println!("\n==> {}", step.name);
        let (outcome, took) = timed(|| step.run());
        let verdict = if outcome.is_ok() { "ok" } else { "FAILED" };
        table.push(format!(
            "{:8} {verdict:6} {:7.1} s",
            step.name,
            took.as_secs_f64()
        ));
        if outcome.is_err() {
            println!("\n{}", table.join("\n"));
            return outcome.with_context(|| format!("to repeat this step: cargo xtask test {}", step.name));
        }
    }
    println!("\n{}", table.join("\n"));
    Ok(())
}

fn list() {
    for step in STEPS {
        let commands: Vec<_> = step.commands.iter().map(|command| command.join(" ")).collect();
        let commands = if commands.is_empty() {
            "cargo xtask tidy".to_owned()
        } else {
            commands.join(" && ")
        };
        println!("{:8} {commands}", step.name);
    }
}

impl Step {
    fn run(&self) -> Result<()> {
        if self.commands.is_empty() {
            return tidy::run();
        }
        for command in self.commands {
            let said = command.join(" ");
            println!("$ {said}");
            let (program, arguments) = command.split_first().context("a command names its program")?;
            let status = Command::new(program)
                .args(arguments)
                .current_dir(root())
                // The client tests take the binary from target/, so all steps agree on that directory.
                .env_remove("CARGO_TARGET_DIR")
                .status()
                .with_context(|| format!("`{program}` could not be started: install it or put it on PATH"))?;
            if !status.success() {
                bail!("`{said}` ended with {status}");
            }
        }
        Ok(())
    }
}

fn runs(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the table shows how long a step really took"
)]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begin = Instant::now();
    let result = work();
    (result, begin.elapsed())
}
