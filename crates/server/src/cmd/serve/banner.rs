//! Eight lines that say where everything is. Programs may read them: a word, blanks, and the rest of the line; several
//! addresses are separated by a comma and a blank. They are written when the broker answers.

use std::io::Write;
use std::net::SocketAddr;

use anyhow::Result;
use serde_json::json;

use crate::settings::{Durability, Settings, Shares};

pub(super) struct Addresses {
    pub(super) kafka: Vec<SocketAddr>,
    pub(super) amqp: Vec<SocketAddr>,
    pub(super) http: Vec<SocketAddr>,
}

pub(super) fn print(settings: &Settings, shares: Shares, addresses: &Addresses, json: bool) -> Result<()> {
    let text = if json {
        as_json(settings, shares, addresses)
    } else {
        as_lines(settings, shares, addresses)
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

fn as_lines(settings: &Settings, shares: Shares, addresses: &Addresses) -> String {
    let list = |addresses: &[SocketAddr]| match addresses {
        [] => "off".to_owned(),
        addresses => addresses
            .iter()
            .map(SocketAddr::to_string)
            .collect::<Vec<_>>()
            .join(", "),
    };
    let durability = match settings.durability {
        Durability::Disk => "disk: a record is acknowledged when it is flushed",
        Durability::Os => "os: a record is acknowledged when the operating system has it",
    };
    let authentication = match settings.insecure {
        false => "of AMQP clients; none of others, loopback only",
        true => "of AMQP clients; NONE of others: everyone who reaches these addresses may read and write",
    };
    let mib = |bytes: usize| bytes / (1024 * 1024);
    let memory = format!(
        "{} MiB for requests, {} MiB for the newest records",
        mib(shares.requests),
        mib(shares.tail)
    );
    let lines = [
        ("firth", env!("CARGO_PKG_VERSION").to_owned()),
        ("data", settings.data.display().to_string()),
        ("kafka", list(&addresses.kafka)),
        ("amqp", list(&addresses.amqp)),
        ("http", list(&addresses.http)),
        ("durability", durability.to_owned()),
        ("auth", authentication.to_owned()),
        ("memory", memory),
    ];
    lines.map(|(word, rest)| format!("{word:<11} {rest}")).join("\n")
}

fn as_json(settings: &Settings, shares: Shares, addresses: &Addresses) -> String {
    let list = |addresses: &[SocketAddr]| addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>();
    let durability = match settings.durability {
        Durability::Disk => "disk",
        Durability::Os => "os",
    };
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "data": settings.data.display().to_string(),
        "kafka": list(&addresses.kafka),
        "amqp": list(&addresses.amqp),
        "http": list(&addresses.http),
        "durability": durability,
        "authentication": "none",
        "memory": { "total": shares.total, "requests": shares.requests, "tail": shares.tail },
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_has_eight_lines_of_a_word_and_the_rest() {
        let addresses = Addresses {
            kafka: vec!["127.0.0.1:9092".parse().unwrap(), "[::1]:9092".parse().unwrap()],
            amqp: vec!["127.0.0.1:5672".parse().unwrap()],
            http: Vec::new(),
        };
        let settings = Settings::default();
        let lines = as_lines(&settings, Shares::of(&settings), &addresses);
        let lines: Vec<(&str, &str)> = lines.lines().filter_map(|line| line.split_once(' ')).collect();
        let words: Vec<&str> = lines.iter().map(|(word, _)| *word).collect();
        assert_eq!(
            words,
            [
                "firth",
                "data",
                "kafka",
                "amqp",
                "http",
                "durability",
                "auth",
                "memory"
            ]
        );
        assert_eq!(lines[2].1.trim_start(), "127.0.0.1:9092, [::1]:9092");
        assert_eq!(lines[3].1.trim_start(), "127.0.0.1:5672");
        assert_eq!(lines[4].1.trim_start(), "off");
    }
}
