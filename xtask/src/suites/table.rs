//! `docs/suites.md`: what the lists say, for people.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use super::SUITES;
use super::list::{Entry, List, Reason};
use crate::root;

const HEAD: &str = "\
# The suites of clients

<!-- Written by `cargo xtask suites --update` from tests/suites; change those instead. -->

Suites that clients of Kafka and AMQP bring are fetched from their registries, compiled and run against Firth, each test with a
broker of its own: `cargo xtask suites`, or only `cargo xtask suites librdkafka/0081`. A test that passes has to pass from then on, at the second try
if not at the first. CI runs a slice of them, another every day. The seconds are those of a debug build of Firth on two cores that others used too.

Nothing of what a suite contains is changed. Topics have four partitions for librdkafka and kafka-python, three for
rust-rdkafka, and kafka-python has session timeouts of one second, as the brokers that they start themselves are configured. Only amqprs's module with the
address of its broker is replaced by one that is told it. Some of
librdkafka's tests end at a part that cannot pass or take very long: their other parts stand here as tests of their own.

What AMQP clients bring was first run against RabbitMQ 3.10.8 with its management plugin, by
`cargo xtask suites --amqp 127.0.0.1:5672 --http http://127.0.0.1:15672`; amqprs comes as a user that is made for it. Firth listens on
port 5672 of an address of the test's own in 127.0.0.0/8, since amqpstorm knows no other port.
";

pub(super) fn write() -> Result<()> {
    fs::write(path(), table()?)?;
    Ok(())
}

fn path() -> PathBuf {
    root().join("docs/suites.md")
}

fn table() -> Result<String> {
    let mut text = HEAD.to_owned();
    let mut lists = Vec::new();
    for suite in SUITES {
        lists.push((suite, List::read(suite.name())?));
    }
    text.push_str("\n| suite | tests |");
    let used = |reason: &Reason| lists.iter().any(|(_, list)| count(list, *reason) > 0);
    let reasons: Vec<_> = Reason::ALL.into_iter().filter(used).collect();
    for reason in &reasons {
        write!(text, " {} |", reason.word())?;
    }
    write!(text, " seconds |\n|---|{}\n", "--:|".repeat(reasons.len() + 2))?;
    for (suite, list) in &lists {
        write!(text, "| {} | {} |", suite.version(), list.entries.len())?;
        for reason in &reasons {
            write!(text, " {} |", count(list, *reason))?;
        }
        let seconds: f64 = passing(list).filter_map(|entry| entry.seconds).sum();
        writeln!(text, " {seconds:.0} |")?;
    }
    text.push('\n');
    for reason in &reasons {
        writeln!(text, "- **{}**: {}", reason.word(), reason.meaning())?;
    }
    for (suite, list) in &lists {
        sections(&mut text, suite.name(), list)?;
    }
    Ok(text)
}

fn sections(text: &mut String, suite: &str, list: &List) -> Result<()> {
    write!(text, "\n## {suite}\n")?;
    if passing(list).count() > 0 {
        text.push_str("\n| passes | seconds |\n|---|--:|\n");
    }
    for entry in passing(list) {
        let seconds = entry
            .seconds
            .map(|seconds| format!("{seconds:.1}"))
            .unwrap_or_default();
        writeln!(text, "| {} | {seconds} |", entry.test)?;
    }
    if passing(list).count() == list.entries.len() {
        return Ok(());
    }
    text.push_str("\n| does not pass | for | why |\n|---|---|---|\n");
    for entry in list.entries.iter().filter(|entry| entry.reason != Reason::Passes) {
        writeln!(
            text,
            "| {} | {} | {} |",
            entry.test,
            entry.reason.word(),
            entry.remark
        )?;
    }
    Ok(())
}

fn passing(list: &List) -> impl Iterator<Item = &Entry> {
    list.entries.iter().filter(|entry| entry.reason == Reason::Passes)
}

fn count(list: &List, reason: Reason) -> usize {
    list.entries.iter().filter(|entry| entry.reason == reason).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_the_lists_say() {
        let there = fs::read_to_string(path()).unwrap();
        let advice = "to write it again: cargo xtask suites librdkafka/no-such-test --update";
        assert_eq!(there, table().unwrap(), "{advice}");
    }
}
