//! Plans as lines of `topic,partition,offset`, which Apache Kafka's `--export` writes and its `--from-file` reads.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::super::lag::Committed;

/// Where each partition is to go. A line may begin with a group, which must be `group`.
pub(super) fn read(path: &Path, group: &str) -> Result<Committed> {
    let shown = path.display();
    let text = match path.to_str() {
        Some("-") => std::io::read_to_string(std::io::stdin()),
        _ => std::fs::read_to_string(path),
    };
    let text = text.with_context(|| format!("cannot read {shown}"))?;
    parse(&text, group).with_context(|| shown.to_string())
}

fn parse(text: &str, group: &str) -> Result<Committed> {
    let mut plan: Committed = BTreeMap::new();
    for (line, number) in text.lines().zip(1..) {
        if line.trim().is_empty() {
            continue;
        }
        let place = || format!("line {number}");
        let fields = fields(line).with_context(place)?;
        let fields = match &fields[..] {
            [first, rest @ ..] if rest.len() == 3 => {
                ensure!(
                    first == group,
                    "line {number} is about group {first}, and not about {group}"
                );
                rest
            }
            fields => fields,
        };
        let [topic, partition, offset] = fields else {
            bail!("line {number} is not topic,partition,offset");
        };
        let partition: u16 = partition
            .parse()
            .with_context(|| format!("line {number}: {partition:?} is no partition"))?;
        let offset: i64 = offset
            .parse()
            .with_context(|| format!("line {number}: {offset:?} is no offset"))?;
        let of_topic = plan.entry(topic.clone()).or_default();
        let before = of_topic.insert(partition.into(), offset);
        ensure!(
            before.is_none(),
            "line {number} names partition {partition} of {topic} again"
        );
    }
    ensure!(!plan.is_empty(), "it names no offset");
    Ok(plan)
}

/// The fields of a line; one in quotes may hold commas, and quotes twice.
fn fields(line: &str) -> Result<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut is_quoted = false;
    let mut characters = line.trim().chars().peekable();
    while let Some(character) = characters.next() {
        let last = fields.len() - 1;
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                characters.next();
                fields[last].push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(String::new()),
            other => fields[last].push(other),
        }
    }
    ensure!(!is_quoted, "a quote is not closed");
    Ok(fields)
}

/// Without the characters that need quotes, which no topic has.
pub(super) fn line(topic: &str, partition: i32, offset: i64) -> String {
    format!("{topic},{partition},{offset}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_of_both_forms_are_read() {
        let plan = parse("t,0,5\n\n\"t\",1,7\r\n", "g").unwrap();
        assert_eq!(plan["t"], BTreeMap::from([(0, 5), (1, 7)]));
        assert_eq!(parse("\"a,\"\"b\",t,0,5", "a,\"b").unwrap()["t"][&0], 5);
        for (text, error) in [
            ("", "it names no offset"),
            ("t,0", "line 1 is not topic,partition,offset"),
            ("t,-1,5", "\"-1\" is no partition"),
            ("t,0,x", "\"x\" is no offset"),
            ("h,t,0,5", "line 1 is about group h"),
            ("t,0,5\nt,0,6", "line 2 names partition 0 of t again"),
            ("\"t,0,5", "a quote is not closed"),
        ] {
            let found = format!("{:#}", parse(text, "g").unwrap_err());
            assert!(found.contains(error), "{found}");
        }
    }
}
