use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use crate::broker::{Broker, firth};

fn doctor(directory: &Path) -> Output {
    firth(directory)
        .args(["doctor", "--data", "data", "--json"])
        .output()
        .unwrap()
}

/// Every file but the lock, with its bytes.
fn content(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(content(&path));
        } else if !path.ends_with("LOCK") {
            files.insert(path.display().to_string(), std::fs::read(&path).unwrap());
        }
    }
    files
}

/// A data directory with records, of a broker that was stopped.
fn filled(directory: &Path) {
    let broker = Broker::start(directory);
    for round in 0..20 {
        let line = format!("needle-{round:02} in the haystack\n");
        broker.succeed(&["produce", "t"], &line);
    }
    broker.stop();
}

#[test]
fn a_healthy_directory_is_read_and_not_changed() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let before = content(&directory.path().join("data"));
    let output = doctor(directory.path());
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{report}");
    assert!(
        report.contains("\"healthy\":true") && report.contains("\"records\":20"),
        "{report}"
    );
    assert!(
        before == content(&directory.path().join("data")),
        "the doctor changed what it looked at"
    );
    // And it can be used afterwards.
    let broker = Broker::start(directory.path());
    assert_eq!(
        broker.succeed(&["consume", "t", "--exit"], "").lines().count(),
        20
    );
}

#[test]
fn damage_is_found_and_named() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let data = directory.path().join("data");
    let (path, mut bytes) = content(&data)
        .into_iter()
        .find(|(_, bytes)| bytes.windows(9).any(|window| window == b"needle-05"))
        .expect("records are stored as they were sent");
    let at = bytes
        .windows(9)
        .position(|window| window == b"needle-05")
        .unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let before = content(&data);
    let output = doctor(directory.path());
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert!(
        report.contains("\"healthy\":false") && report.contains("\"missing_offsets\":1"),
        "{report}"
    );
    assert!(before == content(&data), "the doctor changed what it looked at");
}

#[test]
fn a_directory_in_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    let output = doctor(directory.path());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains(&format!("pid {}", broker.pid())), "{error}");
    let output = firth(directory.path())
        .args(["doctor", "--data", "absent"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("absent is not a directory"));
    assert!(!directory.path().join("absent").exists());
}
