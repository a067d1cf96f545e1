use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use firth_batch::{Builder, Compression};
use firth_kafka_codec::ErrorCode;
use firth_log::{Frame, LogId};

use crate::broker::{Broker, Start, firth};
use crate::crash::client::Client;

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

fn run(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = firth(directory).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Damages what holds these bytes, wherever that is.
fn flip(data: &Path, needle: &[u8]) {
    let found = content(data).into_iter().find_map(|(path, bytes)| {
        let at = bytes.windows(needle.len()).position(|window| window == needle)?;
        (!path.contains("/quarantine/")).then_some((path, bytes, at))
    });
    let (path, mut bytes, at) = found.expect("records are stored as they were sent");
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn what_the_operator_accepts_is_passed_by_consumers() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    filled(directory);
    let data = directory.join("data");
    for needle in ["needle-05", "needle-06", "needle-11"] {
        flip(&data, needle.as_bytes());
    }
    let doctor = ["doctor", "--data", "data"];
    let (code, text, log) = run(directory, &doctor);
    assert_eq!(code, Some(1), "{text}");
    // Each is logged once.
    assert_eq!(log.matches("acknowledged data").count(), 3, "{log}");

    for (arguments, words) in [
        (&["--accept", "t/0:7-9"][..], "nothing is lost at t/0:7-9"),
        (&["--accept", "t/1:5-6"], "nothing is lost at t/1:5-6"),
        (&["--accept", "nonsense"], "TOPIC/PARTITION:FIRST-LAST"),
        (&["--accept", "all"], "add --yes"),
    ] {
        let (code, _, error) = run(directory, &[&doctor, arguments].concat());
        assert_eq!(code, Some(2), "{arguments:?}");
        assert!(error.contains(words), "{error}");
    }
    let (code, text, _) = run(directory, &[&doctor[..], &["--accept", "t/0:5-6"]].concat());
    assert_eq!(code, Some(1), "one is left: {text}");
    assert!(text.contains("t/0:11-11") && !text.contains("t/0:5"), "{text}");
    let (code, text, _) = run(directory, &[&doctor[..], &["--accept", "all", "--yes"]].concat());
    assert_eq!(code, Some(0), "{text}");
    assert!(data.join("quarantine").is_dir(), "what was damaged is kept");

    for _ in 0..2 {
        let broker = Broker::start(directory);
        let read = broker.succeed(&["consume", "t", "--exit"], "");
        assert_eq!(read.lines().count(), 17, "{read}");
        assert!(read.contains("needle-04") && read.contains("needle-07") && !read.contains("needle-05"));
        let metrics = broker.get("/metrics");
        assert!(metrics.contains("firth_log_quarantined_total 0"), "{metrics}");
        let log = broker.stop();
        assert!(!log.contains("acknowledged data"), "{log}");
    }
}

#[test]
fn a_broker_whose_topics_are_damaged_starts_with_the_others_once_that_is_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let broker = Broker::start(directory);
    for topic in ["first-topic", "second-topic", "third-topic"] {
        broker.succeed(&["produce", topic], "a record\n");
    }
    broker.stop();
    flip(&directory.join("data"), b"second-topic");
    let ended = Start::new(directory, &[])
        .start()
        .err()
        .expect("it does not start");
    assert_eq!(ended.status.code(), Some(1));
    let words = "--accept definitions:";
    let at = ended.log.find(words).unwrap_or_else(|| panic!("{}", ended.log)) + "--accept ".len();
    let stretch = ended.log[at..].split('`').next().unwrap().to_owned();

    let (code, text, _) = run(directory, &["doctor", "--data", "data"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("a broker would not start") && text.contains(&format!("    {stretch}  1")),
        "{text}"
    );
    let (code, text, _) = run(directory, &["doctor", "--data", "data", "--accept", &stretch]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("belongs to no topic"), "{text}");

    let broker = Broker::start(directory);
    let topics = broker.succeed(&["topic", "list"], "");
    assert!(
        topics.contains("first-topic") && topics.contains("third-topic") && !topics.contains("second-topic")
    );
    assert_eq!(
        broker.succeed(&["consume", "third-topic", "--exit"], ""),
        "a record\n"
    );
    // The name is free, and what the lost topic had stays.
    broker.succeed(&["produce", "second-topic"], "another\n");
    assert_eq!(
        broker.succeed(&["consume", "second-topic", "--exit"], ""),
        "another\n"
    );
    let log = broker.stop();
    assert!(log.contains("belong to no topic"), "{log}");
    let (code, text, _) = run(directory, &["doctor", "--data", "data", "--json"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("\"orphans\":[{") && text.contains("\"records\":1"),
        "{text}"
    );
}

/// As only a defect of a broker could write it: every checksum is right.
fn store_what_nobody_understands(data: &Path) {
    let disk = firth_log::file::disk::Disk::open(data).unwrap();
    let environment = firth_log::Environment {
        wall_ms: Arc::new(|| 1_800_000_000_000),
        random: Arc::new(|| [1; 16]),
        on_failure: Arc::new(|_| {}),
    };
    let options = firth_log::Options {
        wal_bytes_max: Some(64 << 20),
        ..Default::default()
    };
    let engine = firth_log::Engine::open(Arc::new(disk), environment, options).unwrap();
    let mut builder = Builder::new(Compression::None);
    let (key, value) = (b"\x01\x04\0\0\0lost", [1, 2, 3]);
    builder.push(1_800_000_000_000, Some(key), Some(&value), &[]);
    let appended = engine
        .append(Frame::batch(LogId::GROUPS, builder.build()))
        .unwrap();
    appended.commit.wait().unwrap();
    engine.close();
}

#[test]
fn a_group_that_is_not_understood_is_named_and_can_be_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let broker = Broker::start(directory);
    let mut client = Client::connect(broker.kafka()).unwrap();
    client.create_topic(1).unwrap();
    assert_eq!(client.commit("kept", 7).unwrap(), ErrorCode::None);
    broker.stop();
    store_what_nobody_understands(&directory.join("data"));

    let ended = Start::new(directory, &[])
        .start()
        .err()
        .expect("it does not start");
    assert_eq!(ended.status.code(), Some(1));
    let words = "the length of a record is wrong at offsets 1 to 1 of the log of groups";
    assert!(ended.log.contains(words), "{}", ended.log);
    assert!(
        ended.log.contains("`firth doctor --accept groups:1-1`"),
        "{}",
        ended.log
    );

    let (code, text, _) = run(directory, &["doctor", "--data", "data"]);
    assert_eq!(code, Some(1), "{text}");
    let words = "PROBLEM what consumer groups stored: offset 1 is not to be understood: the length of a record is wrong";
    assert!(
        text.contains(words) && text.contains("    groups:1-1  1\n"),
        "{text}"
    );
    let (code, text, _) = run(directory, &["doctor", "--data", "data", "--accept", "groups:1-1"]);
    assert_eq!(code, Some(0), "{text}");

    for _ in 0..2 {
        let broker = Broker::start(directory);
        let mut client = Client::connect(broker.kafka()).unwrap();
        assert_eq!(client.committed("kept", 0).unwrap(), 7);
        assert_eq!(client.commit("lost", 3).unwrap(), ErrorCode::None);
        broker.stop();
    }
}
