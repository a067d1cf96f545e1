//! What is logged, for people and for programs.

use std::io::{Read, Write};
use std::net::TcpStream;

use firth_kafka_codec::{ErrorCode, JoinGroupRequest, JoinGroupRequestProtocol};
use serde_json::Value;

use crate::broker::{Broker, Directory, Start};
use crate::crash::client::Client;

fn join(broker: &Broker, group: &str) {
    let request = JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let joined = Client::connect(broker.kafka())
        .unwrap()
        .call(1, &request)
        .unwrap();
    assert_eq!(joined.error_code, ErrorCode::None);
}

#[test]
fn each_line_is_an_object_that_names_its_fields() {
    let directory = Directory::new();
    let flags = ["--log-format", "json", "--group-initial-rebalance-delay-ms", "0"];
    let broker = Start::new(directory.path(), &flags).succeed();
    let group = "a \"group\"\nof two lines";
    join(&broker, group);
    let log = broker.stop();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    for line in &lines {
        for field in ["time", "level", "target", "message"] {
            assert!(line[field].is_string(), "{field} of {line}");
        }
    }
    let mut rebalances = lines.iter().filter(|line| line["message"] == "rebalancing");
    let rebalance = rebalances.next().unwrap();
    assert_eq!(
        [&rebalance["group"], &rebalance["cause"], &rebalance["level"]],
        [group, "member_joined", "INFO"]
    );
    assert_eq!([&rebalance["generation"], &rebalance["members"]], [0, 1]);
    assert!(
        rebalance["member"]
            .as_str()
            .is_some_and(|member| !member.is_empty())
    );
}

#[test]
fn a_rebalance_is_told_with_its_cause_in_one_line() {
    let directory = Directory::new();
    let flags = ["--group-initial-rebalance-delay-ms", "0"];
    let broker = Start::new(directory.path(), &flags).succeed();
    join(&broker, "two\nlines");
    let log = broker.stop();
    let mut lines = log.lines().filter(|line| line.contains("rebalancing"));
    let line = lines.next().unwrap();
    assert!(
        line.contains(r#"group="two\nlines""#) && line.contains(r#"cause="member_joined""#),
        "{line}"
    );
}

#[test]
fn who_breaks_the_protocol_all_the_time_does_not_fill_the_log() {
    const CLIENTS: usize = 3000;
    let directory = Directory::new();
    let broker = Broker::start(directory.path());
    for _ in 0..CLIENTS {
        let mut stream = TcpStream::connect(broker.kafka()).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        // It is closed, or reset, since not all was read.
        let _ = stream.read(&mut [0]);
    }
    let metrics = broker.get("/metrics");
    let counted = format!("\nfirth_kafka_connections_failed_total {CLIENTS}\n");
    assert!(metrics.contains(&counted), "{metrics}");
    let log = broker.stop();
    let lines = log
        .lines()
        .filter(|line| line.contains("connection closed"))
        .count();
    assert!((1000..CLIENTS).contains(&lines), "{lines} lines");
}
