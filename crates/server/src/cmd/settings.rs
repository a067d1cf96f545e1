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
## The log

It goes to standard error, a line for each event; with `log_format` `json` each line is an object:

```json
{\"time\":\"2026-01-31T12:00:00.000000Z\",\"level\":\"INFO\",\"target\":\"firth_kafka::groups::group::rebalance\",\"message\":\"rebalancing\",\"group\":\"billing\",\"generation\":4,\"members\":3,\"cause\":\"member_joined\",\"member\":\"c-1-6f0d\",\"reason\":\"rejoin\"}
```

| level | what for |
| --- | --- |
| `error` | somebody should look: the storage failed, records are damaged, the disk is full, a bug |
| `warn` | it goes on, but not as it was meant to: a connection that broke the protocol, a setting without effect, a clock that jumped |
| `info` | what changes and is rare: start and stop, members of groups and each rebalance with its cause, quotas, backups |
| `debug`, `trace` | each connection, topics, a group's requests that were not taken |

A field has the same name wherever it occurs: `topic`, `partition`, `group`, `member`, `instance` (of a static member), `generation`, `cause`, `reason` (what a
client says), `peer`, `log` (its number in the engine), `segment`, `lsn`, `first_offset` and `next_offset` of a stretch, `directory`, `error`; those that count
bytes or milliseconds end with `_bytes` and `_ms`. Strings that clients choose are escaped.

Of one place in the code at most 1,000 lines of `info` and `warn` are written at once, and 20 in a second from then on, whatever clients do. The line after
those that were left out says how many, in `left_out`.

## Exit codes

| code | meaning                                                                                       |
| ---- | --------------------------------------------------------------------------------------------- |
| 0    | the command did what it was asked to; `serve`, `consume` or `tail` was stopped by a signal    |
| 1    | a command failed, `serve` could not start, `doctor` found damage, `backup` copied damaged data |
| 2    | wrong usage; `doctor` could not look: no data there, a process uses it, or it is of a newer Firth |
| 74   | `serve`: the storage failed; start again, and recovery tells what was kept                    |
| 130  | `serve` was stopped by a second signal, without waiting for anything                          |
| 130  | `bench` was interrupted, and told what it had measured until then                             |

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
