//! Six lines that say where everything is. Programs may read them: a word, blanks, and the rest of the line; several
//! addresses are separated by a comma and a blank. They are written when the broker answers.

use std::io::Write;
use std::net::SocketAddr;

use anyhow::Result;
use serde_json::json;

use crate::settings::{Durability, Settings};

pub(super) struct Addresses {
    pub(super) kafka: Vec<SocketAddr>,
    pub(super) http: Vec<SocketAddr>,
}

pub(super) fn print(settings: &Settings, addresses: &Addresses, json: bool) -> Result<()> {
    let text = if json {
        as_json(settings, addresses)
    } else {
        as_lines(settings, addresses)
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

fn as_lines(settings: &Settings, addresses: &Addresses) -> String {
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
        false => "none, loopback only",
        true => "NONE: everyone who reaches these addresses may read and write",
    };
    let lines = [
        ("firth", env!("CARGO_PKG_VERSION").to_owned()),
        ("data", settings.data.display().to_string()),
        ("kafka", list(&addresses.kafka)),
        ("http", list(&addresses.http)),
        ("durability", durability.to_owned()),
        ("auth", authentication.to_owned()),
    ];
    lines.map(|(word, rest)| format!("{word:<11} {rest}")).join("\n")
}

fn as_json(settings: &Settings, addresses: &Addresses) -> String {
    let list = |addresses: &[SocketAddr]| addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>();
    let durability = match settings.durability {
        Durability::Disk => "disk",
        Durability::Os => "os",
    };
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "data": settings.data.display().to_string(),
        "kafka": list(&addresses.kafka),
        "http": list(&addresses.http),
        "durability": durability,
        "authentication": "none",
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_has_six_lines_of_a_word_and_the_rest() {
        let addresses = Addresses {
            kafka: vec!["127.0.0.1:9092".parse().unwrap(), "[::1]:9092".parse().unwrap()],
            http: Vec::new(),
        };
        let lines = as_lines(&Settings::default(), &addresses);
        let lines: Vec<(&str, &str)> = lines.lines().filter_map(|line| line.split_once(' ')).collect();
        let words: Vec<&str> = lines.iter().map(|(word, _)| *word).collect();
        assert_eq!(words, ["firth", "data", "kafka", "http", "durability", "auth"]);
        assert_eq!(lines[2].1.trim_start(), "127.0.0.1:9092, [::1]:9092");
        assert_eq!(lines[3].1.trim_start(), "off");
    }
}
