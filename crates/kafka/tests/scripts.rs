//! Runs `scripts/*.txt`: requests in, the trace that follows out.
//!
//! ```text
//! # a comment
//! create t partitions=2
//! b: produce t/0 one two
//! ----
//! t partitions=2
//! b: t/0 offset=0
//! ```
//!
//! Each block of requests is followed by what is answered; `UPDATE=1 cargo test` writes that into the files. A request
//! is sent by client `a` unless it names another. `b> fetch ...` sends and goes on, `b<` prints the answer to it,
//! and `b?` says whether that is here. `client=ID` names the client from then on. `pass MS` lets time pass. `restart` and `damage TEXT` open the broker anew from what is on the disk.
#![allow(clippy::unwrap_used, reason = "this is a test")]

mod script;
mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use script::Script;

async fn run(path: &Path) -> (String, String) {
    let text = std::fs::read_to_string(path).unwrap();
    let mut script = Script::new(text.contains("# on a recorded disk")).await;
    let mut actual = String::new();
    let mut lines = text.lines().peekable();
    while lines.peek().is_some() {
        let mut trace = Vec::new();
        for line in lines.by_ref().take_while(|line| *line != "----") {
            writeln!(actual, "{line}").unwrap();
            if !line.is_empty() && !line.starts_with('#') {
                trace.extend(script.line(line).await);
            }
        }
        let expected: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        if trace.is_empty() && expected.is_empty() {
            continue;
        }
        writeln!(actual, "----\n{}", trace.join("\n")).unwrap();
        if lines.peek().is_some() {
            actual.push('\n');
        }
    }
    script.stop().await;
    (text, actual)
}

#[tokio::test]
async fn every_script_gives_its_trace() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut paths: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    let mut differ = Vec::new();
    for path in paths {
        let (expected, actual) = run(&path).await;
        if expected == actual {
            continue;
        }
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, actual).unwrap();
        } else {
            differ.push(format!("{}: the trace is now:\n{actual}", path.display()));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}
