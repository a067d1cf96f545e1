use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::broker::{Broker, Start, firth};

fn doctor(directory: &Path) -> Output {
    firth(directory)
        .args(["doctor", "--data", "data", "--json"])
        .output()
        .unwrap()
}

/// Every file with its bytes.
fn content(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(content(&path));
        } else {
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
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
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
    assert!(
        report.contains("\"problems\":[\"partition 0 of t: offset 5 is damaged, or missing\"]"),
        "{report}"
    );
    let hole =
        r#"[{"first_offset":5,"last_offset":5,"log":"t/0","records_max":1,"why":"damaged, or missing"}]"#;
    assert!(report.contains(&format!("\"holes\":{hole}")), "{report}");
    let output = firth(directory.path())
        .args(["doctor", "--data", "data"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("    t/0:5-5  1\n")
            && text.contains("KAFKA_STORAGE_ERROR")
            && text.contains("firth restore"),
        "{text}"
    );
    assert!(before == content(&data), "the doctor changed what it looked at");
}

/// As an operator would look at a disk that fails.
#[test]
fn a_directory_that_cannot_be_written_to_is_checked() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let data = directory.path().join("data");
    let Some(_mounted) = ReadOnly::mount(&data) else {
        println!("SKIPPED: this process may not mount {} read-only", data.display());
        return;
    };
    assert!(std::fs::write(data.join("x"), "x").is_err());
    let output = doctor(directory.path());
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{report}{output:?}");
    assert!(report.contains("\"records\":20"), "{report}");
}

/// A directory that is mounted over itself, read-only, until the value is dropped.
struct ReadOnly<'a>(&'a Path);

impl ReadOnly<'_> {
    fn mount(path: &Path) -> Option<ReadOnly<'_>> {
        let mount = |arguments: &[&str]| {
            let mut command = Command::new("mount");
            command.args(arguments).arg(path).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        if !mount(&["--bind", path.to_str()?]) {
            return None;
        }
        let bound = ReadOnly(path);
        mount(&["-o", "remount,bind,ro"]).then_some(bound)
    }
}

impl Drop for ReadOnly<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn a_directory_in_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    let output = doctor(directory.path());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "nothing could be looked at");
    assert!(error.contains(&format!("pid {}", broker.pid())), "{error}");
}

#[test]
fn a_directory_of_others_is_wrong_usage_and_stays_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let others = directory.path().join("others");
    std::fs::create_dir_all(others.join("wal")).unwrap();
    std::fs::write(others.join("wal/notes.txt"), "x").unwrap();
    std::fs::create_dir(directory.path().join("empty")).unwrap();
    for (data, words) in [
        ("absent", "absent is not a directory"),
        ("empty", "no Firth data here: empty"),
        ("others", "no Firth data here: others"),
    ] {
        let output = firth(directory.path())
            .args(["doctor", "--data", data])
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{data}: {error}");
        assert!(error.contains(words) && output.stdout.is_empty(), "{error}");
    }
    assert!(!directory.path().join("absent").exists());
    let names = |path: &Path| std::fs::read_dir(path).unwrap().count();
    assert_eq!((names(&others), names(&directory.path().join("empty"))), (1, 0));
}

#[test]
fn damage_of_a_segment_is_reported_once() {
    let directory = tempfile::tempdir().unwrap();
    // Enough that the records of the beginning are in segments alone.
    let broker = Start::recycling(directory.path()).succeed();
    for part in 0..40 {
        let lines: String = (0..1000)
            .map(|line| format!("needle-{part:02}-{line:03} in a haystack of some length\n"))
            .collect();
        broker.succeed(&["produce", "t"], &lines);
    }
    broker.stop();
    let data = directory.path().join("data");
    let needle = b"needle-03-500";
    let holds = |bytes: &[u8]| bytes.windows(needle.len()).position(|window| window == needle);
    let holding: Vec<_> = content(&data)
        .into_iter()
        .filter_map(|(path, bytes)| holds(&bytes).map(|at| (path, bytes, at)))
        .collect();
    let [(path, bytes, at)] = holding.as_slice() else {
        panic!("{} files hold it", holding.len())
    };
    assert!(path.contains("/segments/"), "{path}");
    let mut bytes = bytes.clone();
    bytes[*at] ^= 1;
    std::fs::write(path, bytes).unwrap();
    let output = firth(directory.path())
        .args(["doctor", "--data", "data"])
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{report}");
    let problems: Vec<_> = report
        .lines()
        .filter(|line| line.starts_with("PROBLEM"))
        .collect();
    assert_eq!(problems.len(), 1, "{report}");
    assert!(
        problems[0].contains("partition 0 of t: offsets") && problems[0].contains("damaged in segment 0"),
        "{report}"
    );
    assert!(
        report.contains(", of which 1 damaged\n") && !report.contains("every checksum verified"),
        "{report}"
    );
}
