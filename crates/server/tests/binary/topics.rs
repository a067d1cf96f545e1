//! `firth topic` and `firth config`.

use crate::broker::Broker;
use crate::commands::error;

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
    let row: Vec<_> = described.lines().nth(4).unwrap().split_whitespace().collect();
    assert_eq!(row[..4], ["1", "0", "2", "2"], "{described}");
    assert!(
        described.lines().any(|line| line == "retention.ms=-1"),
        "{described}"
    );

    broker.succeed(&["topic", "delete", "flights"], "");
    let absent = error(&broker, &["topic", "describe", "flights"], "");
    assert!(absent.contains("UNKNOWN_TOPIC_OR_PARTITION"), "{absent}");
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
fn what_is_in_topics_is_shown_and_cut() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    broker.succeed(&["topic", "create", "a", "--partitions", "2"], "");
    broker.succeed(&["topic", "create", "b"], "");
    broker.succeed(&["produce", "a", "--partition", "0"], "1\n2\n3\n");
    broker.succeed(&["produce", "a", "--partition", "1"], "4\n");
    let rows = |arguments: &[&str]| -> Vec<Vec<String>> {
        let text = broker.succeed(arguments, "");
        let lines = text.lines().skip(1);
        lines
            .map(|line| line.split_whitespace().map(str::to_owned).collect())
            .collect()
    };
    let sizes = rows(&["topic", "list", "--sizes", "a*"]);
    assert_eq!(sizes.len(), 1);
    assert_eq!(sizes[0][..3], ["a", "2", "4"]);
    let json = broker.succeed(&["topic", "describe", "a", "--json"], "");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["offsets"], &json["partitions"][0]["next_offset"]),
        (&4.into(), &3.into())
    );
    let of_partitions: i64 = (0..2)
        .map(|index| json["partitions"][index]["bytes"].as_i64().unwrap())
        .sum();
    assert_eq!(json["bytes"], of_partitions, "{json}");
    let described = broker.succeed(&["topic", "describe", "*"], "");
    assert!(described.contains("\n\nb (id "), "{described}");

    let cut = ["topic", "delete-records", "a:0", "--before", "2"];
    assert_eq!(
        rows(&[&cut[..], &["--dry-run"]].concat())[0],
        ["a", "0", "2", "2"]
    );
    assert_eq!(broker.succeed(&["consume", "a", "-e"], "").lines().count(), 4);
    assert_eq!(rows(&cut)[0], ["a", "0", "2", "2"]);
    assert_eq!(rows(&cut)[0], ["a", "0", "2", "0"], "nothing is left to delete");
    let too_far = error(&broker, &["topic", "delete-records", "a:0", "--before", "9"], "");
    assert!(too_far.contains("it has offset 2, and 3 comes next"), "{too_far}");
    let later = [
        "topic",
        "delete-records",
        "a",
        "--before-time",
        "9000-01-01T00:00",
        "--json",
    ];
    let lines = broker.succeed(&later, "");
    assert_eq!(lines.lines().count(), 2);
    assert!(lines.contains("\"deleted\":1"), "{lines}");
    assert_eq!(broker.succeed(&["consume", "a", "-e"], ""), "");
    let absent = error(&broker, &["topic", "delete-records", "a:7", "--all"], "");
    assert!(absent.contains("a has no partition 7: it has 2"), "{absent}");
}

#[test]
fn topics_are_altered_and_what_was_meant_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    let create = ["topic", "create", "flights", "--dry-run"];
    assert!(broker.succeed(&create, "").contains("nothing was changed"));
    assert_eq!(broker.succeed(&["topic", "list"], "").lines().count(), 1);
    let create = ["topic", "create", "flights", "--if-not-exists"];
    assert!(broker.succeed(&create, "").starts_with("created flights"));
    assert_eq!(broker.succeed(&create, ""), "flights is there already\n");
    let alter = [
        "topic",
        "alter",
        "flights",
        "--partitions",
        "2",
        "--config",
        "retention.ms=7",
    ];
    assert_eq!(
        broker.succeed(&alter, ""),
        "flights has 2 partitions, retention.ms=7\n"
    );
    let alter = [
        "topic",
        "alter",
        "flights",
        "--delete-config",
        "retention.ms",
        "--json",
    ];
    broker.succeed(&alter, "");
    let described = broker.succeed(&["topic", "describe", "flights"], "");
    assert!(!described.contains("retention.ms"), "{described}");
    assert_eq!(
        broker.command(&["topic", "alter", "flights"], "").status.code(),
        Some(2)
    );
    for (arguments, hint) in [
        (&["topic", "describe", "flihgts"][..], "did you mean flights?"),
        (&["topic", "delete", "flight"], "did you mean flights?"),
        (
            &["config", "describe", "--topic", "flights1"],
            "did you mean flights?",
        ),
        (
            &["config", "set", "--topic", "flights", "retention.mss=1"],
            "did you mean retention.ms?",
        ),
        (
            &["topic", "alter", "flights", "--config", "cleanup.polcy=compact"],
            "did you mean cleanup.policy?",
        ),
    ] {
        let refused = error(&broker, arguments, "");
        assert!(refused.contains(hint), "{refused}");
    }
}

#[test]
fn groups_and_brokers_are_configured_as_far_as_they_can_be() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    let described = broker.succeed(&["config", "describe", "--group", "g", "--json"], "");
    let described: serde_json::Value = serde_json::from_str(&described).unwrap();
    assert_eq!(described["group"], "g");
    let settings = described["settings"].as_array().unwrap();
    assert!(
        settings.iter().all(|setting| setting["source"] == "default"),
        "{settings:?}"
    );
    let all = broker.succeed(&["config", "describe", "--json"], "");
    let all: serde_json::Value = serde_json::from_str(&all).unwrap();
    let id = all["broker"].as_str().unwrap();
    let named = broker.succeed(&["config", "describe", "--broker", id, "--json"], "");
    assert_eq!(all, serde_json::from_str::<serde_json::Value>(&named).unwrap());
    let refused = error(&broker, &["config", "set", "--broker", id, "log.dirs=x"], "");
    assert!(
        refused.contains("[log.dirs] (INVALID_REQUEST); a broker's settings are given where it is started"),
        "{refused}"
    );
    let refused = error(&broker, &["config", "set", "--group", "g", "x=y"], "");
    assert!(
        refused.contains("group g: x ") && refused.contains("INVALID_CONFIG"),
        "{refused}"
    );
    let unclear = broker.command(&["config", "set", "x=y"], "");
    assert_eq!(unclear.status.code(), Some(2), "of what?");
}
