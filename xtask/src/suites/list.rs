//! The list of a suite: what is expected of each of its tests.
//!
//! ```text
//! 0001_multiobj    | passes       | 3.1 |
//! 0103_transactions | transactions |     | It commits in transactions.
//! ```

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::root;

/// Why a test does not pass, or that it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Passes,
    /// It speaks to no broker, but to a mock or to nobody: what comes of it says nothing about Firth.
    NoBroker,
    Transactions,
    ConsumerProtocol,
    ShareGroups,
    Security,
    Scripts,
    SeveralBrokers,
    /// It skips itself or is meant to be run by hand.
    NotRun,
    /// Another broker passes it, which the sentence names. Firth is not there yet.
    NotYet,
    /// The test is wrong; the sentence says what shows that.
    Test,
    /// Firth is.
    Firth,
}

impl Reason {
    pub(super) const ALL: [Reason; 12] = [
        Reason::Passes,
        Reason::NoBroker,
        Reason::Transactions,
        Reason::ConsumerProtocol,
        Reason::ShareGroups,
        Reason::Security,
        Reason::Scripts,
        Reason::SeveralBrokers,
        Reason::NotRun,
        Reason::NotYet,
        Reason::Test,
        Reason::Firth,
    ];

    /// As it stands in the list and at the head of a column.
    pub(super) fn word(self) -> &'static str {
        match self {
            Reason::Passes => "passes",
            Reason::NoBroker => "no broker",
            Reason::Transactions => "transactions",
            Reason::ConsumerProtocol => "KIP-848",
            Reason::ShareGroups => "share groups",
            Reason::Security => "SASL, TLS, ACLs",
            Reason::Scripts => "scripts",
            Reason::SeveralBrokers => "several brokers",
            Reason::NotRun => "not run",
            Reason::NotYet => "not yet",
            Reason::Test => "the test",
            Reason::Firth => "Firth",
        }
    }

    pub(super) fn meaning(self) -> &'static str {
        match self {
            Reason::Passes => "it passes, and has to",
            Reason::NoBroker => "it speaks to no broker, or to a mock of one; it is not run",
            Reason::Transactions => "it needs transactions, which Firth does not have yet",
            Reason::ConsumerProtocol => "it needs consumer groups of KIP-848, which Firth does not have yet",
            Reason::ShareGroups => "it needs share groups, which Firth does not have yet",
            Reason::Security => "it needs SASL, TLS or ACLs, which Firth does not have yet",
            Reason::Scripts => "it calls Apache Kafka's own scripts or starts a broker itself",
            Reason::SeveralBrokers => "it needs more than one broker",
            Reason::NotRun => "it skips itself, or is meant to be run by hand",
            Reason::NotYet => "RabbitMQ passes it, and has to; Firth does not yet",
            Reason::Test => {
                "the test is wrong, and Apache Kafka or RabbitMQ does not pass it either or need not"
            }
            Reason::Firth => "a gap in Firth",
        }
    }

    /// Tests without a broker would pass and mean nothing, and those that are for people may take for ever.
    pub(super) fn can_run(self) -> bool {
        !matches!(self, Reason::NoBroker | Reason::NotRun)
    }
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) test: String,
    pub(super) reason: Reason,
    /// What it took when it was last put down here.
    pub(super) seconds: Option<f64>,
    /// A sentence; without one a test has to pass.
    pub(super) remark: String,
}

/// `tests/suites/<suite>.txt`.
#[derive(Debug)]
pub(super) struct List {
    suite: &'static str,
    pub(super) entries: Vec<Entry>,
}

impl List {
    /// An empty one if there is none yet.
    pub(super) fn read(suite: &'static str) -> Result<List> {
        let path = path(suite);
        let text = if path.exists() {
            fs::read_to_string(&path)?
        } else {
            String::new()
        };
        let mut entries = Vec::new();
        for (number, line) in text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.starts_with('#'))
        {
            entries.push(entry(line).with_context(|| format!("{}:{}", path.display(), number + 1))?);
        }
        Ok(List { suite, entries })
    }

    pub(super) fn expected(&self, test: &str) -> Option<Reason> {
        let found = self.entries.iter().find(|entry| entry.test == test);
        found.map(|entry| entry.reason)
    }

    pub(super) fn tests(&self) -> Vec<String> {
        self.entries.iter().map(|entry| entry.test.clone()).collect()
    }

    /// From now on this test has to pass.
    pub(super) fn passed(&mut self, test: &str, took: Duration) {
        self.put(test, Reason::Passes, took, "");
    }

    /// From now on another broker has to pass it, unless Firth has to.
    pub(super) fn passed_elsewhere(&mut self, test: &str, took: Duration) {
        if self.expected(test) != Some(Reason::Passes) {
            self.put(test, Reason::NotYet, took, "RabbitMQ 3.10.8 passes it.");
        }
    }

    fn put(&mut self, test: &str, reason: Reason, took: Duration, remark: &str) {
        let entry = Entry {
            test: test.to_owned(),
            reason,
            seconds: Some(took.as_secs_f64()),
            remark: remark.to_owned(),
        };
        match self.entries.iter_mut().find(|entry| entry.test == test) {
            Some(known) => *known = entry,
            None => self.entries.push(entry),
        }
    }

    pub(super) fn print(&self) {
        for entry in &self.entries {
            println!("{}/{}", self.suite, line(entry, 48));
        }
    }

    pub(super) fn write(&mut self) -> Result<()> {
        self.entries.sort_by(|a, b| a.test.cmp(&b.test));
        let width = self
            .entries
            .iter()
            .map(|entry| entry.test.len())
            .max()
            .unwrap_or(0);
        let lines: Vec<_> = self.entries.iter().map(|entry| line(entry, width)).collect();
        let head = "# What is expected of each test, and the seconds that it took; docs/suites.md says what the words mean. \
                    `cargo xtask suites --update` adds what passes.\n";
        fs::write(path(self.suite), format!("{head}{}\n", lines.join("\n")))?;
        Ok(())
    }
}

fn path(suite: &str) -> PathBuf {
    root().join("tests/suites").join(format!("{suite}.txt"))
}

fn line(entry: &Entry, width: usize) -> String {
    let seconds = entry
        .seconds
        .map(|seconds| format!("{seconds:.1}"))
        .unwrap_or_default();
    let line = format!(
        "{:width$} | {:15} | {seconds:>5} | {}",
        entry.test,
        entry.reason.word(),
        entry.remark
    );
    line.trim_end().to_owned()
}

fn entry(line: &str) -> Result<Entry> {
    let fields: Vec<_> = line.splitn(4, '|').map(str::trim).collect();
    let [test, word, seconds, remark] = fields[..] else {
        anyhow::bail!("a line is: test | what is expected | seconds | why");
    };
    let reason = Reason::ALL
        .into_iter()
        .find(|reason| reason.word() == word)
        .with_context(|| format!("`{word}` is nothing to expect"))?;
    ensure!(
        (reason == Reason::Passes) == remark.is_empty(),
        "a test that does not pass has a sentence that says why, and no other has"
    );
    let seconds = if seconds.is_empty() {
        None
    } else {
        Some(seconds.parse()?)
    };
    Ok(Entry {
        test: test.to_owned(),
        reason,
        seconds,
        remark: remark.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Reason, entry, line};

    #[test]
    fn a_line_is_read_as_it_is_written() {
        for text in [
            "0001_multiobj | passes          |   3.1 |",
            "0103_transactions | transactions    |       | It commits in transactions | and aborts.",
        ] {
            assert_eq!(line(&entry(text).unwrap(), 0), text);
        }
        assert_eq!(
            entry("a | KIP-848 | | Why.").unwrap().reason,
            Reason::ConsumerProtocol
        );
    }

    #[test]
    fn what_does_not_pass_says_why() {
        assert!(entry("a | transactions | 1.0 |").is_err());
        assert!(entry("a | passes | 1.0 | Because.").is_err());
        assert!(entry("a | sometimes | 1.0 | Because.").is_err());
    }
}
