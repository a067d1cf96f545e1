//! Unfinished work, names that say nothing, `unsafe` outside its modules, and protocols named where none is known.

use super::source::Source;
use super::{Finding, Tree, is_test};

const UNFINISHED_MACROS: &[&str] = &["todo", "dbg", "unimplemented"];
const UNFINISHED_NOTES: &[&str] = &["XXX", "FIXME"];
const EMPTY_SUFFIXES: &[&str] = &["Manager", "Helper", "Util", "Utils", "Adapter", "Impl", "Common"];
const TYPE_KEYWORDS: &[&str] = &["struct", "enum", "trait", "type", "union"];
const NEUTRAL_CRATES: &[&str] = &["crates/broker/", "crates/log/", "crates/batch/"];
const PROTOCOLS: &[&str] = &["kafka", "amqp", "mqtt"];

/// The modules that may use `unsafe`, each with the reason why safe code cannot do the same.
const UNSAFE_MODULES: &[(&str, &str)] = &[];

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for source in &tree.rust {
        unfinished(source, findings);
        empty_names(source, findings);
        unsafe_code(source, findings);
        if NEUTRAL_CRATES
            .iter()
            .any(|neutral| source.path.starts_with(neutral))
            && !is_test(&source.path)
        {
            protocol_names(source, findings);
        }
    }
    let notes = [".py", ".toml", ".sh", "/run", ".yml", ".yaml"];
    for file in tree
        .files
        .iter()
        .filter(|file| notes.iter().any(|suffix| file.path.ends_with(suffix)))
    {
        let read = Source {
            path: file.path.clone(),
            text: String::new(),
            code: file.text.clone(),
            comments: String::new(),
        };
        for note in unfinished_notes(&read) {
            findings.push(finding(
                &read,
                note.0,
                "words",
                format!("`{}` is unfinished: finish or file it", note.1),
            ));
        }
    }
}

fn unfinished(source: &Source, findings: &mut Vec<Finding>) {
    for pair in source.tokens().windows(2) {
        let [name, sign] = pair else { continue };
        if sign.text == "!" && UNFINISHED_MACROS.contains(&name.text) {
            let advice = format!("`{}!` is unfinished: write what is missing", name.text);
            findings.push(finding(source, name.at, "words", advice));
        }
    }
    let comments = Source {
        path: source.path.clone(),
        text: String::new(),
        code: source.comments.clone(),
        comments: String::new(),
    };
    for (at, note) in unfinished_notes(&comments) {
        findings.push(finding(
            source,
            at,
            "words",
            format!("`{note}` is unfinished: finish or file it"),
        ));
    }
}

fn unfinished_notes(read: &Source) -> Vec<(usize, &'static str)> {
    let tokens = read.tokens();
    let note = |text: &str| UNFINISHED_NOTES.iter().find(|&&note| note == text);
    tokens
        .iter()
        .filter_map(|token| note(token.text).map(|&note| (token.at, note)))
        .collect()
}

fn empty_names(source: &Source, findings: &mut Vec<Finding>) {
    for pair in source.tokens().windows(2) {
        let [keyword, name] = pair else { continue };
        if !TYPE_KEYWORDS.contains(&keyword.text) {
            continue;
        }
        if let Some(suffix) = EMPTY_SUFFIXES.iter().find(|&&suffix| name.text.ends_with(suffix)) {
            let advice = format!(
                "`{}` ends in {suffix}, which says nothing: name what it is",
                name.text
            );
            findings.push(finding(source, name.at, "words", advice));
        }
    }
}

fn unsafe_code(source: &Source, findings: &mut Vec<Finding>) {
    if UNSAFE_MODULES.iter().any(|(path, _)| *path == source.path) {
        return;
    }
    for window in source.tokens().windows(3) {
        let [level, open, lint] = window else { continue };
        if matches!(level.text, "allow" | "expect" | "warn") && open.text == "(" && lint.text == "unsafe_code"
        {
            let advice =
                "write it safely, or argue for this module in UNSAFE_MODULES of xtask/src/tidy/words.rs";
            findings.push(finding(source, lint.at, "unsafe", advice.to_owned()));
        }
    }
}

fn protocol_names(source: &Source, findings: &mut Vec<Finding>) {
    let names = |text: &str| {
        PROTOCOLS
            .iter()
            .find(|&&protocol| text.to_ascii_lowercase().contains(protocol))
    };
    if let Some(protocol) = names(&source.path) {
        findings.push(finding(
            source,
            0,
            "neutral",
            format!("rename this file: nothing here knows {protocol}"),
        ));
    }
    for token in source.tokens() {
        if let Some(protocol) = names(token.text) {
            let advice = format!(
                "rename `{}`: nothing here knows {protocol}, or move it up",
                token.text
            );
            findings.push(finding(source, token.at, "neutral", advice));
        }
    }
}

fn finding(source: &Source, at: usize, rule: &'static str, advice: String) -> Finding {
    Finding {
        path: source.path.clone(),
        line: source.line(at),
        rule,
        advice,
    }
}

#[cfg(test)]
mod tests {
    use super::super::findings_of;
    use super::check;

    #[test]
    fn unfinished_work_is_found_where_it_is_meant() {
        let found = findings_of(
            check,
            &[
                ("a.rs", "fn a() {\n    todo!()\n}\n// FIXME later\n"),
                ("b.py", "# XXX\n"),
            ],
        );
        assert_eq!(found, ["a.rs:2: words", "a.rs:4: words", "b.py:1: words"]);
        let text = "// XXXX and todos\nlet a = \"todo!() FIXME\"; let todo = !b;\n";
        assert_eq!(findings_of(check, &[("a.rs", text)]), [""; 0]);
    }

    #[test]
    fn a_type_says_what_it_is() {
        let text = "struct TopicManager;\nenum StringUtils {}\ntrait Implicit {}\ntype ReadImpl = u8;\nfn a_helper() {}\n";
        assert_eq!(
            findings_of(check, &[("a.rs", text)]),
            ["a.rs:1: words", "a.rs:2: words", "a.rs:4: words"]
        );
    }

    #[test]
    fn unsafe_needs_an_argument() {
        let text = "#![allow(unsafe_code)]\n// allow(unsafe_code)\n#[deny(unsafe_code)]\n";
        assert_eq!(
            findings_of(check, &[("crates/log/src/a.rs", text)]),
            ["crates/log/src/a.rs:1: unsafe"]
        );
    }

    #[test]
    fn the_core_knows_no_protocol() {
        let text = "// Kafka's format\nlet a = \"kafka\";\nfn from_kafka() {}\nstruct MqttKey;\n";
        let found = findings_of(
            check,
            &[("crates/broker/src/a.rs", text), ("crates/kafka/src/a.rs", text)],
        );
        assert_eq!(
            found,
            [
                "crates/broker/src/a.rs:3: neutral",
                "crates/broker/src/a.rs:4: neutral"
            ]
        );
        assert_eq!(
            findings_of(check, &[("crates/log/src/a_tests.rs", text)]),
            [""; 0]
        );
        assert_eq!(
            findings_of(check, &[("crates/log/src/amqp.rs", "")]),
            ["crates/log/src/amqp.rs:1: neutral"]
        );
    }
}
