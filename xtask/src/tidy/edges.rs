//! Which crate may depend on which.
//!
//! ```text
//! server -> admin -> {kafka, amqp, mqtt} -> broker -> log -> batch        each protocol -> its codec
//! ```
//!
//! An edge may skip levels downward. No protocol depends on another, nothing depends on `sim`, and a codec, being bytes in and
//! frames out, needs no runtime, no serialization framework and no logging. Dev-dependencies follow the same order.

use super::{File, Finding, Tree};

/// Each package of the workspace with the packages of the workspace that it may depend on. `bench` and `sim` drive everything.
const PACKAGES: &[(&str, &[&str])] = &[
    ("firth-batch", &[]),
    ("firth-log", &["firth-batch"]),
    ("firth-broker", &["firth-log", "firth-batch"]),
    ("firth-kafka-codec", &["firth-batch"]),
    ("firth-amqp-codec", &["firth-batch"]),
    ("firth-mqtt-codec", &["firth-batch"]),
    (
        "firth-kafka",
        &["firth-kafka-codec", "firth-broker", "firth-log", "firth-batch"],
    ),
    (
        "firth-amqp",
        &["firth-amqp-codec", "firth-broker", "firth-log", "firth-batch"],
    ),
    (
        "firth-mqtt",
        &["firth-mqtt-codec", "firth-broker", "firth-log", "firth-batch"],
    ),
    (
        "firth-admin",
        &[
            "firth-kafka",
            "firth-amqp",
            "firth-mqtt",
            // Arguments of what is declared are stored in its encoding, and shown as JSON.
            "firth-amqp-codec",
            "firth-broker",
            "firth-log",
            "firth-batch",
        ],
    ),
    ("firth", BELOW_SERVER),
    ("firth-sim", BELOW_SERVER),
    ("bench", BELOW_SERVER),
    ("traces", &[]),
    ("xtask", &[]),
];
const BELOW_SERVER: &[&str] = &[
    "firth-admin",
    "firth-kafka",
    "firth-amqp",
    "firth-mqtt",
    "firth-kafka-codec",
    "firth-amqp-codec",
    "firth-mqtt-codec",
    "firth-broker",
    "firth-log",
    "firth-batch",
];
const EMPTY_NAMES: &[&str] = &["common", "core", "types", "utils"];
const NOT_IN_CODECS: &[&str] = &["tokio", "serde", "tracing"];

/// A line of a section whose name ends with `dependencies`.
struct Dependency<'a> {
    package: &'a str,
    line: usize,
    only_tests: bool,
}

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for manifest in tree.named("Cargo.toml") {
        let in_workspace = ["crates/", "bench/", "traces/", "xtask/"]
            .iter()
            .any(|member| manifest.path.starts_with(member));
        if in_workspace {
            check_manifest(manifest, findings);
        }
    }
}

fn check_manifest(manifest: &File, findings: &mut Vec<Finding>) {
    let mut report = |line: usize, advice: String| {
        findings.push(Finding {
            path: manifest.path.clone(),
            line,
            rule: "edges",
            advice,
        });
    };
    let name = package_name(&manifest.text);
    let bare = name.strip_prefix("firth-").unwrap_or(name);
    if EMPTY_NAMES.contains(&bare) {
        report(
            1,
            format!("a crate named `{name}` collects everything: name what it does"),
        );
    }
    let Some((_, allowed)) = PACKAGES.iter().find(|(package, _)| *package == name) else {
        report(
            1,
            format!("`{name}` has no place yet: argue for it in PACKAGES of xtask/src/tidy/edges.rs"),
        );
        return;
    };
    for dependency in dependencies(&manifest.text) {
        let package = dependency.package;
        let ours = package == "firth"
            || package.starts_with("firth-")
            || ["bench", "traces", "xtask"].contains(&package);
        if ours && !allowed.contains(&package) {
            report(
                dependency.line,
                format!("`{name}` must not depend on `{package}`: edges only go down"),
            );
        }
        let framework = NOT_IN_CODECS.iter().any(|banned| belongs_to(package, banned));
        if name.ends_with("-codec") && framework && !dependency.only_tests {
            report(
                dependency.line,
                format!("a codec is bytes in and frames out, and needs no `{package}`"),
            );
        }
    }
}

/// Whether a package is of a family: `tokio-util` is of `tokio`.
fn belongs_to(package: &str, family: &str) -> bool {
    package
        .strip_prefix(family)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
}

fn package_name(manifest: &str) -> &str {
    let mut lines = manifest.lines().skip_while(|line| line.trim() != "[package]");
    lines
        .find_map(|line| value_of(line, "name"))
        .unwrap_or("a package without a name")
}

/// The text of `key = "text"`.
fn value_of<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let text = line.trim().strip_prefix(key)?.trim_start().strip_prefix('=')?;
    text.trim_start().strip_prefix('"')?.split('"').next()
}

/// Reads `name = …`, `name.workspace = true` and `[dependencies.name]`; a renamed dependency counts as what it really is.
fn dependencies(manifest: &str) -> Vec<Dependency<'_>> {
    let mut found: Vec<Dependency<'_>> = Vec::new();
    let (mut section, mut own_section) = ("", false);
    for (number, row) in manifest.lines().enumerate() {
        let (row, line) = (row.trim(), number + 1);
        if let Some(head) = row.strip_prefix('[') {
            section = head.trim_end_matches(']');
            own_section = false;
            if let Some((_, name)) = section.split_once("dependencies.") {
                own_section = true;
                found.push(Dependency {
                    package: name,
                    line,
                    only_tests: section.starts_with("dev-"),
                });
            }
        } else if own_section {
            if let (Some(real), Some(last)) = (value_of(row, "package"), found.last_mut()) {
                last.package = real;
            }
        } else if section.ends_with("dependencies") && !row.is_empty() && !row.starts_with('#') {
            let name = row.split(['.', '=', ' ']).next().unwrap_or(row);
            let real = row.split(['{', ',']).find_map(|part| value_of(part, "package"));
            let only_tests = section.ends_with("dev-dependencies");
            found.push(Dependency {
                package: real.unwrap_or(name),
                line,
                only_tests,
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::findings_of;
    use super::check;

    fn lines_of(package: &str, rest: &str) -> Vec<String> {
        let manifest = format!("[package]\nname = \"{package}\"\n{rest}");
        findings_of(check, &[("crates/a/Cargo.toml", &manifest)])
    }

    #[test]
    fn edges_go_down() {
        assert_eq!(
            lines_of(
                "firth-kafka",
                "[dependencies]\nfirth-log.workspace = true\nbytes = \"1\"\n"
            ),
            [""; 0]
        );
        let upward = "[dependencies]\nfirth-broker = { path = \"../broker\" }\n";
        assert_eq!(lines_of("firth-log", upward), ["crates/a/Cargo.toml:4: edges"]);
        assert_eq!(
            lines_of("firth-kafka", "[dependencies]\nfirth-mqtt.workspace = true\n").len(),
            1
        );
        assert_eq!(
            lines_of("firth-log", "[dependencies.firth-broker]\nworkspace = true\n").len(),
            1
        );
        assert_eq!(
            lines_of(
                "firth-log",
                "[dependencies]\nb = { package = \"firth-broker\" }\n"
            )
            .len(),
            1
        );
        assert_eq!(
            lines_of(
                "firth-log",
                "[target.'cfg(unix)'.dependencies]\nfirth.workspace = true\n"
            )
            .len(),
            1
        );
    }

    #[test]
    fn nothing_needs_the_simulator() {
        for package in ["firth", "bench", "firth-log"] {
            assert_eq!(
                lines_of(package, "[dev-dependencies]\nfirth-sim.workspace = true\n").len(),
                1,
                "{package}"
            );
        }
    }

    #[test]
    fn a_codec_is_pure() {
        let rest =
            "[dependencies]\ntokio-util = \"1\"\nserde.workspace = true\n[dev-dependencies]\ntokio = \"1\"\n";
        let expected = ["crates/a/Cargo.toml:4: edges", "crates/a/Cargo.toml:5: edges"];
        assert_eq!(lines_of("firth-kafka-codec", rest), expected);
        assert_eq!(
            lines_of("firth-kafka-codec", "[dependencies]\ntracingless = \"1\"\n"),
            [""; 0]
        );
    }

    #[test]
    fn a_new_crate_is_argued_for() {
        assert_eq!(lines_of("firth-console", "").len(), 1);
        assert_eq!(lines_of("firth-common", "").len(), 2);
    }
}
