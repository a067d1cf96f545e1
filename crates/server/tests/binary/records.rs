//! Records in and out of the command line: formats, JSON lines, separators.

use crate::broker::Broker;
use crate::commands::error;

#[test]
fn formats_say_how_records_are_printed() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    let produce = ["produce", "t", "-K", "\\t", "-H", "from=test", "-H", "x="];
    broker.succeed(&produce, "a\t1\nb\t22\n");
    let consume = |format| broker.succeed(&["consume", "t", "-e", "-f", format], "");
    assert_eq!(
        consume("%t/%p@%o %k(%K)=%v(%V) %h %H%%\\n"),
        "t/0@0 a(1)=1(1) from=test,x= 2%\nt/0@1 b(1)=22(2) from=test,x= 2%\n"
    );
    assert_eq!(
        consume("%k{hex}%h{[%k:%v]}"),
        "61[from:test][x:]62[from:test][x:]"
    );
    assert!(consume("%T{iso}\\n").starts_with("20"));
    for (format, problem) in [
        ("%y", "%y is unknown; there are %t"),
        ("%k{", "a brace is not closed"),
    ] {
        let output = broker.command(&["consume", "t", "-f", format], "");
        let refused = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "wrong usage");
        assert!(refused.contains(problem), "{refused}");
    }
    let help = broker.succeed(&["consume", "--help"], "");
    assert!(
        help.contains("%T  the time") && help.contains("{little64}"),
        "{help}"
    );
}

#[test]
fn json_lines_are_copied_with_all_that_a_record_has() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    broker.succeed(&["topic", "create", "a", "--partitions", "3"], "");
    broker.succeed(&["topic", "create", "b", "--partitions", "3"], "");
    let lines = [
        r#"{"partition":2,"timestamp":1700000000000,"key":"k","value":{"base64":"AP8="},"headers":[["h",null],["h","1"]]}"#,
        r#"{"partition":0,"timestamp":1700000000001,"value":null}"#,
        "",
        r#"{"partition":1,"timestamp":1700000000002,"key":{"base64":"/w=="},"value":"ü\n","headers":{"x":"y"}}"#,
    ];
    broker.succeed(&["produce", "a", "--input", "json"], &lines.join("\n"));
    let dump = |topic: &str| {
        let mut records: Vec<serde_json::Value> = broker
            .succeed(&["consume", topic, "-e", "--json"], "")
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        records.sort_by_key(|record| record["partition"].as_i64());
        records
    };
    let first = dump("a");
    assert_eq!(first[2]["value"]["base64"], "AP8=");
    assert_eq!(first[2]["headers"], serde_json::json!([["h", null], ["h", "1"]]));
    assert_eq!(
        (first[0]["key"].is_null(), first[0]["value"].is_null()),
        (true, true)
    );
    let copied = broker.succeed(&["consume", "a", "-e", "--json"], "");
    broker.succeed(&["produce", "b", "--input", "json"], &copied);
    let second = dump("b");
    for (one, other) in first.iter().zip(&second) {
        for field in ["partition", "offset", "timestamp", "key", "value", "headers"] {
            assert_eq!(one[field], other[field], "{field}");
        }
    }
    broker.succeed(&["topic", "create", "c"], "");
    let refused = error(&broker, &["produce", "c", "--input", "json"], &copied);
    assert!(refused.contains("--repartition"), "{refused}");
    broker.succeed(&["produce", "c", "--input", "json", "--repartition"], &copied);
    let refused = error(
        &broker,
        &["produce", "c", "--input", "json"],
        "{}\n{\"kye\": \"x\"}\n",
    );
    assert!(
        refused.contains("record 2") && refused.contains("did you mean \"key\"?"),
        "{refused}"
    );
}

#[test]
fn separators_are_what_they_are_said_to_be() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    broker.succeed(
        &["produce", "t", "-D", "\\x00", "-K", "=>", "-Z"],
        "a=>line\nline\0b=>\0=>c",
    );
    let printed = broker.succeed(&["consume", "t", "-e", "-f", "%k{json} %v{json} "], "");
    assert_eq!(printed, r#""a" "line\nline" "b" null null "c" "#);
    broker.succeed(&["produce", "u", "--key", "fixed"], "1\n2\n");
    assert_eq!(
        broker.succeed(&["consume", "u", "-e", "-K", "\\x3a"], ""),
        "fixed:1\nfixed:2\n"
    );
    // The last records, and those of a time.
    assert_eq!(broker.succeed(&["consume", "u", "-e", "--from", "-1"], ""), "2\n");
    assert_eq!(
        broker.succeed(&["consume", "u", "-e", "--since", "1h"], ""),
        "1\n2\n"
    );
    assert_eq!(
        broker.succeed(&["consume", "u", "-e", "--from", "@9000-01-01T00:00"], ""),
        ""
    );
    let refused = error(&broker, &["consume", "tt"], "");
    assert!(refused.contains("did you mean t?"), "{refused}");
}
