use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;

/// Prints `docs/cli.md`.
pub(crate) fn run(command: clap::Command) -> Result<ExitCode> {
    std::io::stdout().write_all(document(command).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn document(mut command: clap::Command) -> String {
    let mut document = "\
# The command line

<!-- Printed by `firth reference`; change what crates/server/src/cmd says of itself instead. -->

Each command prints tables for people, and with `--json` JSON for programs. Results go to standard output, all else to standard
error. Commands that talk to a broker find it by the flag `--server`, else by `FIRTH_SERVER`, else by a profile, else at
localhost:9092. The profile is that of `--profile`, else of `FIRTH_PROFILE`, else the one of `firth profile use`; a profile that
the flag names goes before `FIRTH_SERVER`. Profiles are in `firth/profiles.toml` in `XDG_CONFIG_HOME`, else in `~/.config`.

[Exit codes](configuration.md#exit-codes) are told with the settings of `firth serve`.
"
    .to_owned();
    command.build();
    describe(&mut command, "firth", &mut document);
    document
}

fn describe(command: &mut clap::Command, name: &str, document: &mut String) {
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    *document += &format!("\n## `{name}`\n\n```text\n{}\n```\n", lines.join("\n").trim_end());
    for child in command.get_subcommands_mut() {
        if !child.is_hide_set() && child.get_name() != "help" {
            let name = format!("{name} {}", child.get_name());
            describe(child, &name, document);
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_documentation_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == super::document(crate::Cli::command()),
            "run `cargo run -- reference > docs/cli.md`"
        );
    }
}
