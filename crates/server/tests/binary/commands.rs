use crate::broker::{Broker, firth};

pub(crate) fn error(broker: &Broker, arguments: &[&str], input: &str) -> String {
    let output = broker.command(arguments, input);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn lines_come_back_with_every_compression() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("t-{codec}");
        let lines: String = (0..20_000)
            .map(|index| format!("line {index} of many\n"))
            .collect();
        broker.succeed(&["produce", &topic, "--compression", codec], &lines);
        assert_eq!(
            broker.succeed(&["consume", &topic, "--exit"], ""),
            lines,
            "{codec}"
        );
    }
}

#[test]
fn keys_choose_partitions_and_are_printed() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    broker.succeed(&["topic", "create", "t", "--partitions", "4"], "");
    let lines: String = (0..100)
        .map(|index| format!("key{}=value{index}\n", index % 7))
        .collect();
    broker.succeed(&["produce", "t", "--key-separator", "="], &lines);
    let mut seen = Vec::new();
    for partition in ["0", "1", "2", "3"] {
        let part = [
            "consume",
            "t",
            "--partition",
            partition,
            "--exit",
            "--key-separator",
            "=",
        ];
        let part = broker.succeed(&part, "");
        for key in (0..7).map(|index| format!("key{index}=")) {
            let of_key = |text: &str| text.lines().filter(|line| line.starts_with(&key)).count();
            let here = of_key(&part);
            assert!(
                here == 0 || here == of_key(&lines),
                "{key} is in several partitions"
            );
        }
        seen.extend(part.lines().map(str::to_owned));
    }
    let mut sent: Vec<_> = lines.lines().map(str::to_owned).collect();
    seen.sort();
    sent.sort();
    assert_eq!(seen, sent);
    assert!(error(&broker, &["produce", "t", "--key-separator", "="], "no key\n").contains("no key"));
}

#[test]
fn consuming_starts_where_it_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    broker.succeed(&["produce", "t"], "a\nb\n");
    let second = broker.succeed(&["consume", "t", "-n", "1", "--from", "1", "--json"], "");
    assert!(
        second.contains("\"value\":\"b\"") && second.contains("\"offset\":1"),
        "{second}"
    );
    let (_, rest) = second.split_once("\"timestamp\":").unwrap();
    let timestamp: i64 = rest
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let later = format!("@{}", timestamp + 1);
    assert_eq!(
        broker.succeed(&["consume", "t", "--exit", "--from", &later], ""),
        ""
    );
    assert_eq!(
        broker.succeed(&["consume", "t", "--exit", "--from", "@0"], ""),
        "a\nb\n"
    );
    assert_eq!(
        broker.succeed(&["consume", "t", "--exit", "--from", "end"], ""),
        ""
    );
    assert_eq!(broker.succeed(&["consume", "t", "--exit", "--from", "2"], ""), "");
    for arguments in [
        &["consume", "t", "--from", "3"][..],
        &["consume", "t", "--from", "999999999", "-e"],
    ] {
        let refused = error(&broker, arguments, "");
        assert!(
            refused.contains("it has offsets 0 to 1, and 2 comes next (OFFSET_OUT_OF_RANGE)"),
            "{refused}"
        );
    }
    assert!(error(&broker, &["consume", "absent"], "").contains("firth topic create"));
}

#[test]
fn producing_tells_where_each_record_is() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    broker.succeed(&["topic", "create", "t", "--partitions", "2"], "");
    broker.succeed(&["produce", "t", "--partition", "1"], "before\n");
    let stored = broker.succeed(&["produce", "t", "--partition", "1", "--json"], "a\nb\n");
    assert_eq!(
        stored,
        "{\"offset\":1,\"partition\":1}\n{\"offset\":2,\"partition\":1}\n"
    );
    let lines: String = (0..1000).map(|index| format!("{index}={index}\n")).collect();
    let stored = broker.succeed(&["produce", "t", "--key-separator", "=", "--json"], &lines);
    assert_eq!(stored.lines().count(), 1000);
}

#[test]
fn what_is_accepted_as_something_else_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    let create = [
        "topic",
        "create",
        "t",
        "--replication-factor",
        "3",
        "--config",
        "min.insync.replicas=2",
        "--config",
        "retention.ms=-1",
    ];
    let output = broker.command(&create, "");
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{notes}");
    let notes: Vec<_> = notes.lines().collect();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(
        notes[0].contains("replication factor 3 was accepted, and it is 1"),
        "{notes:?}"
    );
    assert!(
        notes[1].contains("min.insync.replicas=2 was accepted and has no effect: one broker"),
        "{notes:?}"
    );
    let create = [
        "topic",
        "create",
        "u",
        "--config",
        "min.insync.replicas=2",
        "--json",
    ];
    let created = broker.succeed(&create, "");
    assert!(
        created.contains("\"replication_factor\":1") && created.contains("has no effect"),
        "{created}"
    );
}

#[test]
fn shells_complete_the_command_line() {
    let directory = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let output = firth(directory.path())
            .args(["completions", shell])
            .output()
            .unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        for word in ["consume", "replication-factor", "wal-limit"] {
            assert!(
                output.status.success() && script.contains(word),
                "{word} is not in the script for {shell}"
            );
        }
    }
}
