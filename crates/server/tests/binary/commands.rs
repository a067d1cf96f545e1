use crate::broker::{Broker, firth};

pub(crate) fn error(broker: &Broker, arguments: &[&str], input: &str) -> String {
    let output = broker.command(arguments, input);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn topics_are_created_listed_described_and_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    let created = [
        "topic",
        "create",
        "flights",
        "--partitions",
        "3",
        "--config",
        "retention.ms=-1",
    ];
    assert!(
        broker
            .succeed(&created, "")
            .starts_with("created flights (3 partitions, id ")
    );
    assert!(error(&broker, &created, "").contains("TOPIC_ALREADY_EXISTS"));
    broker.succeed(&["topic", "create", "a.b"], "");
    assert!(error(&broker, &["topic", "create", "a_b"], "").contains("collides with topic a.b"));
    let refused = error(
        &broker,
        &["topic", "create", "c", "--config", "cleanup.policy=shred"],
        "",
    );
    assert!(refused.contains("INVALID_CONFIG"), "{refused}");

    let list = broker.succeed(&["topic", "list"], "");
    let names: Vec<_> = list
        .lines()
        .skip(1)
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(names, ["a.b", "flights"]);
    let json = broker.succeed(&["topic", "list", "--json"], "");
    assert!(
        json.lines().all(|line| line.starts_with('{')) && json.contains("\"partitions\":3"),
        "{json}"
    );

    broker.succeed(&["produce", "flights", "--partition", "1"], "x\ny\n");
    let described = broker.succeed(&["topic", "describe", "flights"], "");
    let row: Vec<_> = described.lines().nth(3).unwrap().split_whitespace().collect();
    assert_eq!(row, ["1", "0", "2", "2"], "{described}");

    broker.succeed(&["topic", "delete", "flights"], "");
    let absent = error(&broker, &["topic", "describe", "flights"], "");
    assert!(absent.contains("UNKNOWN_TOPIC_OR_PARTITION"), "{absent}");
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

#[test]
fn topics_are_configured_and_get_more_partitions() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    broker.succeed(&["topic", "create", "t", "--config", "retention.bytes=7"], "");
    let set = ["config", "set", "--topic", "t", "retention.ms=5", "flush.ms=6"];
    assert_eq!(
        broker.succeed(&set, ""),
        "topic t: set retention.ms=5, flush.ms=6\n"
    );
    let only_set = ["config", "describe", "--topic", "t", "--set"];
    let rows = |text: &str| -> Vec<Vec<String>> {
        let lines = text.lines().skip(1);
        lines
            .map(|line| line.split_whitespace().map(str::to_owned).collect())
            .collect()
    };
    assert_eq!(
        rows(&broker.succeed(&only_set, "")),
        [
            ["flush.ms", "6", "topic"],
            ["retention.bytes", "7", "topic"],
            ["retention.ms", "5", "topic"]
        ]
    );
    let deleted = ["config", "delete", "--topic", "t", "retention.ms", "flush.ms"];
    broker.succeed(&deleted, "");
    let dry = ["config", "delete", "--topic", "t", "retention.bytes", "--dry-run"];
    assert!(broker.succeed(&dry, "").contains("nothing was changed"));
    assert_eq!(
        rows(&broker.succeed(&only_set, "")),
        [["retention.bytes", "7", "topic"]]
    );
    let refused = error(
        &broker,
        &["config", "set", "--topic", "t", "retention.ms=soon"],
        "",
    );
    assert!(
        refused.contains("INVALID_CONFIG") && refused.contains("topic t"),
        "{refused}"
    );
    let absent = error(&broker, &["config", "describe", "--topic", "none"], "");
    assert!(absent.contains("UNKNOWN_TOPIC_OR_PARTITION"), "{absent}");

    let described = broker.succeed(&["config", "describe", "--json"], "");
    let described: serde_json::Value = serde_json::from_str(&described).unwrap();
    let settings = described["settings"].as_array().unwrap();
    let directories = settings
        .iter()
        .find(|setting| setting["name"] == "log.dirs")
        .unwrap();
    assert_eq!(directories["value"], "data", "as it was given");
    assert_eq!(directories["read_only"], true);

    let alter = |partitions| ["topic", "alter", "t", "--partitions", partitions];
    assert_eq!(broker.succeed(&alter("3"), ""), "t has 3 partitions\n");
    assert!(error(&broker, &alter("2"), "").contains("INVALID_PARTITIONS"));
    let mut dry = alter("9").to_vec();
    dry.push("--dry-run");
    assert!(broker.succeed(&dry, "").contains("nothing was changed"));
    let list = broker.succeed(&["topic", "list", "--json"], "");
    assert!(list.contains("\"partitions\":3"), "{list}");
}

#[test]
fn groups_are_listed_described_moved_and_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    broker.succeed(&["topic", "create", "t", "--partitions", "2"], "");
    broker.succeed(&["produce", "t", "--partition", "0"], "a\nb\nc\n");
    assert!(error(&broker, &["group", "describe", "g"], "").contains("GROUP_ID_NOT_FOUND"));
    let reset = |arguments: &[&str]| {
        let command = [&["group", "reset-offsets", "g"], arguments].concat();
        let output = broker.succeed(&command, "");
        let rows = output.lines().skip(1).filter(|line| line.starts_with("t "));
        let rows: Vec<String> = rows
            .map(|row| row.split_whitespace().skip(1).collect::<Vec<_>>().join(" "))
            .collect();
        rows
    };
    // Without --execute nothing is changed.
    assert_eq!(reset(&["--topic", "t", "--to-latest"]), ["0 - 3", "1 - 0"]);
    assert_eq!(broker.succeed(&["group", "list", "--json"], ""), "");
    assert_eq!(
        reset(&["--topic", "t:0", "--to-offset", "1", "--execute"]),
        ["0 - 1"]
    );
    assert_eq!(reset(&["--all-topics", "--shift-by", "-7"]), ["0 1 0"]);
    assert_eq!(
        reset(&["--all-topics", "--shift-by", "1", "--execute"]),
        ["0 1 2"]
    );
    assert_eq!(
        reset(&["--all-topics", "--to-datetime", "2026-01-01T00:00:00"]),
        ["0 2 0"]
    );
    assert_eq!(
        reset(&["--all-topics", "--to-datetime", "9000-01-01T00:00"]),
        ["0 2 3"]
    );
    assert!(
        error(
            &broker,
            &["group", "reset-offsets", "g", "--topic", "t:1", "--shift-by", "1"],
            ""
        )
        .contains("no offset")
    );

    let list = broker.succeed(&["group", "list"], "");
    assert_eq!(list.lines().nth(1).unwrap().trim(), "g     Empty");
    let described = broker.succeed(&["group", "describe", "g"], "");
    assert!(
        described.starts_with("g (Empty, 0 members, lag 1)\n"),
        "{described}"
    );
    let row: Vec<_> = described.lines().nth(3).unwrap().split_whitespace().collect();
    assert_eq!(row, ["t", "0", "2", "3", "1"]);
    let json = broker.succeed(&["group", "describe", "g", "--json"], "");
    assert!(
        json.contains("\"lag\":1") && json.contains("\"next_offset\":3"),
        "{json}"
    );
    broker.succeed(&["group", "delete", "g"], "");
    assert!(error(&broker, &["group", "delete", "g"], "").contains("GROUP_ID_NOT_FOUND"));
}
