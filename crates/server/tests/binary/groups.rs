//! `firth group`.

use bytes::Bytes;
use firth_kafka_codec::{
    JoinGroupRequest, JoinGroupRequestProtocol, SyncGroupRequest, SyncGroupRequestAssignment,
};

use crate::broker::Broker;
use crate::commands::error;
use crate::crash::client::Client;

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
    assert_eq!(list.lines().nth(1).unwrap().trim(), "g     Empty  classic");
    let described = broker.succeed(&["group", "describe", "g"], "");
    assert!(
        described.starts_with("g (Empty, 0 members, lag 1)\n"),
        "{described}"
    );
    let row: Vec<_> = described.lines().nth(3).unwrap().split_whitespace().collect();
    assert_eq!(row, ["t", "0", "2", "3", "1", "-"]);
    let json = broker.succeed(&["group", "describe", "g", "--json"], "");
    assert!(
        json.contains("\"lag\":1") && json.contains("\"next_offset\":3"),
        "{json}"
    );
    broker.succeed(&["group", "delete", "g"], "");
    assert!(error(&broker, &["group", "delete", "g"], "").contains("GROUP_ID_NOT_FOUND"));
}

/// Becomes the only member of a group, with `assignment`.
fn join(broker: &Broker, group: &str, assignment: &'static [u8]) -> Client {
    let mut client = Client::connect(broker.kafka()).unwrap();
    let join = JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 60_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".into(),
            // A subscription to the topic t.
            metadata: Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff"),
        }],
        ..Default::default()
    };
    // A version in which the member id is given at once.
    let joined = client.call(3, &join).unwrap();
    let sync = SyncGroupRequest {
        group_id: group.into(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: joined.member_id,
            assignment: Bytes::from_static(assignment),
        }],
        ..Default::default()
    };
    client.call(3, &sync).unwrap();
    client
}

#[test]
fn members_are_shown_with_what_they_read() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start_with(directory.path(), &["--group-initial-rebalance-delay-ms", "0"]);
    broker.succeed(&["topic", "create", "t", "--partitions", "2"], "");
    broker.succeed(&["produce", "t", "--partition", "0"], "a\nb\n");
    let reset = [
        "group",
        "reset-offsets",
        "g",
        "--topic",
        "t:0",
        "--to-offset",
        "1",
    ];
    broker.succeed(&[&reset[..], &["--execute"]].concat(), "");
    let member = join(
        &broker,
        "g",
        b"\0\0\0\0\0\x01\0\x01t\0\0\0\x02\0\0\0\0\0\0\0\x01\xff\xff\xff\xff",
    );
    let described = broker.succeed(&["group", "describe", "g"], "");
    assert!(
        described.starts_with("g (Stable, 1 members, lag 1)\n"),
        "{described}"
    );
    assert!(described.contains("t:0,1"), "{described}");
    let json = broker.succeed(&["group", "describe", "*", "--json"], "");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let member_id = &json["members"][0]["id"];
    assert_eq!(json["members"][0]["assignment"]["t"], serde_json::json!([0, 1]));
    let places = json["offsets"].as_array().unwrap();
    let read = |index: usize| {
        (
            &places[index]["offset"],
            &places[index]["lag"],
            &places[index]["member_id"],
        )
    };
    assert_eq!(read(0), (&1.into(), &1.into(), member_id));
    // Nothing was committed of what is assigned only.
    assert_eq!(
        read(1),
        (&serde_json::Value::Null, &serde_json::Value::Null, member_id)
    );
    assert_eq!(places[1]["next_offset"], 0);
    let list = |state| broker.succeed(&["group", "list", "--state", state, "--json"], "");
    assert_eq!(
        (list("Stable").lines().count(), list("Empty").lines().count()),
        (1, 0)
    );
    for (arguments, problem) in [
        (&reset[..], "group g is Stable: stop its members first"),
        (&["group", "delete", "g"], "NON_EMPTY_GROUP"),
        (
            &["group", "delete-offsets", "g", "--topic", "t"],
            "GROUP_SUBSCRIBED_TO_TOPIC",
        ),
    ] {
        let refused = error(&broker, arguments, "");
        assert!(refused.contains(problem), "{refused}");
    }
    drop(member);
}

#[test]
fn offsets_go_where_a_plan_says() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    broker.succeed(&["topic", "create", "t", "--partitions", "2"], "");
    broker.succeed(&["produce", "t", "--partition", "0"], "a\nb\nc\n");
    let reset = |arguments: &[&str]| {
        let command = [&["group", "reset-offsets", "g", "--export"], arguments].concat();
        let output = broker.command(&command, "");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{error}");
        (String::from_utf8(output.stdout).unwrap(), error)
    };
    let (plan, note) = reset(&["--topic", "t", "--to-offset", "9"]);
    assert_eq!(plan, "t,0,3\nt,1,0\n");
    assert!(
        note.contains("note: t/0 has no offset 9; 3 is the nearest"),
        "{note}"
    );
    let file = directory.path().join("plan.csv");
    std::fs::write(&file, "g,t,0,2\n\"t\",1,0\n").unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(reset(&["--from-file", file, "--execute"]).0, "t,0,2\nt,1,0\n");
    assert_eq!(reset(&["--all-topics", "--to-current"]).0, "t,0,2\nt,1,0\n");
    assert_eq!(
        reset(&["--all-topics", "--by-duration", "PT1H"]).0,
        "t,0,0\nt,1,0\n"
    );
    assert_eq!(
        reset(&["--topic", "t:0", "--to-datetime", "9000-01-01T00:00+01:00"]).0,
        "t,0,3\n"
    );

    let deleted = broker.succeed(&["group", "delete-offsets", "g", "--topic", "t:1"], "");
    assert_eq!(deleted, "deleted the offset of g in t/1\n");
    assert_eq!(reset(&["--all-topics", "--to-current"]).0, "t,0,2\n");
    // What a group never read goes to the end.
    assert_eq!(reset(&["--topic", "t:1", "--to-current"]).0, "t,1,0\n");
}

#[test]
fn resets_that_cannot_be_meant_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    broker.succeed(&["topic", "create", "t", "--partitions", "2"], "");
    let reset = [
        "group",
        "reset-offsets",
        "g",
        "--topic",
        "t",
        "--to-latest",
        "--execute",
    ];
    broker.succeed(&reset, "");
    for (arguments, problem) in [
        (
            &["group", "reset-offsets", "g", "--to-latest"][..],
            "which topics are meant?",
        ),
        (
            &["group", "reset-offsets", "g", "--from-file", "/none", "--execute"],
            "cannot read /none",
        ),
        (
            &["group", "reset-offsets", "g", "--topic", "t:2", "--to-latest"],
            "t has no partition 2: it has 2",
        ),
        (
            &["group", "reset-offsets", "g", "--topic", "tt", "--to-latest"],
            "did you mean t?",
        ),
        (&["group", "describe", "G"], "did you mean g?"),
    ] {
        let refused = error(&broker, arguments, "");
        assert!(refused.contains(problem), "{refused}");
    }
    let both = [
        "group",
        "reset-offsets",
        "g",
        "--all-topics",
        "--to-latest",
        "--to-earliest",
    ];
    assert_eq!(broker.command(&both, "").status.code(), Some(2));
    let executed = [
        "group",
        "reset-offsets",
        "g",
        "--all-topics",
        "--to-latest",
        "--execute",
        "--dry-run",
    ];
    assert_eq!(broker.command(&executed, "").status.code(), Some(2));
}
