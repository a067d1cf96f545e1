use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;

use crate::settings::SETTINGS;

/// Prints `docs/configuration.md`.
pub(crate) fn run() -> Result<ExitCode> {
    std::io::stdout().write_all(document().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn document() -> String {
    let mut document = "\
# Configuration

<!-- Printed by `firth settings`; change crates/server/src/settings.rs instead. -->

`firth serve` needs none of this. A setting can be given as a flag, as an environment variable or as a key in the file
`firth.toml`; flags go before the environment, and that before the file. The file is the one that `--config` or
`FIRTH_CONFIG` names, else `firth.toml` in the working directory if there is one. An unknown key, flag or `FIRTH_`
variable is an error.

"
    .to_owned();
    for setting in SETTINGS {
        let flag = setting.flag();
        let value = if setting.is_switch() {
            String::new()
        } else {
            format!(" {}", setting.value_name)
        };
        document += &format!(
            "## `{}`\n\n{}\n\n- flag `--{flag}{value}`\n- environment `{}`\n- default `{}`\n\n",
            setting.key,
            setting.documentation,
            setting.environment_variable(),
            setting.default,
        );
    }
    document += "\
## Exit codes

| code | meaning                                                                                       |
| ---- | --------------------------------------------------------------------------------------------- |
| 0    | the command did what it was asked to; `serve` was stopped by SIGTERM or SIGINT                |
| 1    | a command failed, `serve` could not start, `doctor` found damage, `backup` copied damaged data |
| 2    | wrong usage; `doctor` could not look: no data there, a process uses it, or it is of a newer Firth |
| 74   | `serve`: the storage failed; start again, and recovery tells what was kept                    |
| 130  | `serve` was stopped by a second signal, without waiting for anything                          |

On SIGTERM or SIGINT `serve` takes nothing new, gives what it has begun up to 5 seconds to be answered, and makes
durable what it has taken.
";
    document
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_documentation_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let written = std::fs::read_to_string(path).unwrap();
        assert!(
            written == super::document(),
            "run `cargo run -- settings > docs/configuration.md`"
        );
    }
}
