//! `firth tail`: it goes on while topics come and go and while the broker is away.

use crate::broker::{Broker, Start};

fn values(lines: &[String]) -> Vec<&str> {
    lines.iter().filter_map(|line| line.split(' ').nth(3)).collect()
}

#[test]
fn topics_are_followed_from_the_last_records_on() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    broker.succeed(&["topic", "create", "logs.a", "--partitions", "2"], "");
    for (partition, value) in [("0", "1"), ("1", "2"), ("0", "3"), ("1", "4")] {
        broker.succeed(&["produce", "logs.a", "--partition", partition], value);
    }
    broker.succeed(&["produce", "other"], "x");
    let tail = broker.start_command(&["tail", "logs.*", "-n", "3"]);
    let printed = tail.printed(3);
    assert_eq!(
        values(&printed),
        ["2", "3", "4"],
        "in the order of their times: {printed:?}"
    );
    assert!(printed[0].contains(" logs.a/1@0 2"), "{printed:?}");
    broker.succeed(&["produce", "logs.a", "--partition", "0"], "5");
    assert_eq!(values(&tail.printed(1)), ["5"]);
    // A topic that is new is read from its beginning.
    broker.succeed(&["produce", "logs.b"], "6");
    tail.said("topic logs.b is new");
    assert_eq!(values(&tail.printed(1)), ["6"]);
    broker.succeed(&["topic", "alter", "logs.b", "--partitions", "2"], "");
    broker.succeed(&["produce", "logs.b", "--partition", "1"], "7");
    assert_eq!(values(&tail.printed(1)), ["7"]);
    broker.succeed(&["topic", "delete", "logs.b"], "");
    tail.said("topic logs.b was deleted");
    let (code, rest) = tail.interrupt();
    assert_eq!((code, rest), (Some(0), Vec::new()));
}

#[test]
fn a_broker_that_starts_again_is_followed_on() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    broker.succeed(&["produce", "t"], "1\n2\n");
    let tail = broker.start_command(&["tail", "t", "--from", "beginning", "-f", "%o:%v\\n"]);
    assert_eq!(tail.printed(2), ["0:1", "1:2"]);
    let port = broker.kafka().port();
    broker.kill();
    tail.said("trying again");
    let mut again = Start::new(directory.path(), &[]);
    again.kafka = format!("localhost:{port}");
    let broker = again.succeed();
    tail.said("connected again");
    broker.succeed(&["produce", "t"], "3\n");
    assert_eq!(tail.printed(1), ["2:3"], "nothing twice, nothing left out");
    broker.succeed(&["topic", "delete", "t"], "");
    tail.said("there is nothing left to follow");
}

#[test]
fn a_tail_is_for_programs_too() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    broker.succeed(&["produce", "t", "-K", ":"], "k:v\n");
    let json = broker.succeed(&["tail", "t", "--since", "10m", "--count", "1", "--json"], "");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["topic"], &json["key"]), (&"t".into(), &"k".into()));
    let plain = broker.succeed(&["tail", "t", "--from", "-1", "--count", "1"], "");
    assert!(
        plain.ends_with(" t/0@0 k: v\n") && !plain.contains('\x1b'),
        "{plain}"
    );
    let coloured = ["tail", "t", "--from", "0", "--count", "1", "--color", "always"];
    assert!(broker.succeed(&coloured, "").contains("\x1b[33mk\x1b[0m"));
    let absent = broker.command(&["tail", "tt"], "");
    let refused = String::from_utf8(absent.stderr).unwrap();
    assert!(refused.contains("did you mean t?"), "{refused}");
    // Behind the end there is nothing that was not shown: what was deleted is skipped, and said.
    let wrong = broker.command(&["tail", "t", "--since", "soon"], "");
    assert_eq!(wrong.status.code(), Some(2));
}
