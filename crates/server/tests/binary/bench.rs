//! `firth bench`: what it counts is there, and what it made is gone afterwards.

use crate::broker::Broker;
use crate::commands::error;

fn report(broker: &Broker, arguments: &[&str]) -> serde_json::Value {
    let command = [&["bench"], arguments, &["--json"]].concat();
    serde_json::from_str(&broker.succeed(&command, "")).unwrap()
}

fn topics(broker: &Broker) -> usize {
    broker.succeed(&["topic", "list", "--json"], "").lines().count()
}

#[test]
fn what_is_produced_is_what_is_consumed() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    let small = [
        "--record-bytes",
        "100",
        "--batch-bytes",
        "1KiB",
        "--connections",
        "3",
    ];
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let produce = [
            "produce",
            "--topic",
            codec,
            "--partitions",
            "4",
            "--records",
            "500",
            "-z",
            codec,
        ];
        let produced = report(&broker, &[&produce[..], &small].concat());
        let records = produced["records"].as_u64().unwrap();
        assert!((500..600).contains(&records), "{produced}");
        assert_eq!(produced["bytes"].as_u64().unwrap(), records * 100);
        assert_eq!(produced["compression"], codec);
        assert!(produced["ack_ms"]["p99"].as_f64().unwrap() > 0.0, "{produced}");
        let consumed = report(&broker, &["consume", "--topic", codec, "--connections", "2"]);
        assert_eq!(consumed["records"].as_u64().unwrap(), records, "{codec}");
        assert_eq!(
            broker.succeed(&["consume", codec, "-e", "-f", "."], "").len() as u64,
            records
        );
    }
    assert_eq!(topics(&broker), 5, "those that were named stay");
    let unanswered = report(
        &broker,
        &["produce", "--records", "100", "--acks", "0", "--batch-bytes", "0"],
    );
    assert_eq!(
        (&unanswered["records"], &unanswered["ack_ms"]),
        (&100.into(), &serde_json::Value::Null)
    );
    let own = report(&broker, &["consume", "--records", "1000", "--partitions", "2"]);
    assert!(own["records"].as_u64().unwrap() >= 1000, "{own}");
    assert_eq!(topics(&broker), 5, "those of its own are gone");
    let text = broker.succeed(&["bench", "produce", "--records", "10"], "");
    let head: Vec<_> = text.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head, ["RECORDS", "SECONDS", "RECORDS/S", "MB/S"]);
    assert!(text.contains("LATENCY (MS)") && text.contains("P99.9"), "{text}");
}

#[test]
fn records_come_at_the_rate_that_was_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    let paced = ["--rate", "200", "--duration", "2s", "--warmup", "0s"];
    let produced = report(
        &broker,
        &[&["produce", "--batch-bytes", "0"][..], &paced].concat(),
    );
    let records = produced["records"].as_u64().unwrap();
    // What was counted was due while it was measured, or waited since before that.
    let waited = produced["ack_ms"]["max"].as_f64().unwrap() / 1000.0;
    let due = 200.0 * (produced["seconds"].as_f64().unwrap() + waited) + 10.0;
    assert!(records > 0 && records as f64 <= due, "{produced}");
    let partitions = ["end-to-end", "--partitions", "3", "--record-bytes", "16"];
    let read = report(&broker, &[&partitions[..], &paced].concat());
    for kind in ["ack_ms", "end_to_end_ms"] {
        assert!(read[kind]["p50"].as_f64().unwrap() > 0.0, "{read}");
    }
    let counted = report(&broker, &["end-to-end", "--records", "50"]);
    assert_eq!(counted["records"], 50);
    assert_eq!(topics(&broker), 0);
}

#[test]
fn a_bench_is_interrupted_in_order_and_tells_how_far_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    let bench = broker.start_command(&["bench", "produce", "--duration", "1h", "--warmup", "0s", "--json"]);
    bench.said("records/s");
    let (code, printed) = bench.interrupt();
    assert_eq!(code, Some(130));
    let report: serde_json::Value = serde_json::from_str(&printed.concat()).unwrap();
    assert_eq!(report["interrupted"], true);
    assert!(report["records"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(topics(&broker), 0);

    let refused = error(&broker, &["bench", "end-to-end", "--record-bytes", "8"], "");
    assert!(refused.contains("16 bytes at least"), "{refused}");
    broker.succeed(
        &["topic", "create", "small", "--config", "max.message.bytes=100"],
        "",
    );
    let refused = error(
        &broker,
        &["bench", "produce", "--topic", "small", "--records", "1"],
        "",
    );
    assert!(refused.contains("MESSAGE_TOO_LARGE"), "{refused}");
    let absent = error(&broker, &["bench", "consume", "--topic", "smal"], "");
    assert!(absent.contains("did you mean small?"), "{absent}");
    for arguments in [
        &["bench", "produce", "--rate", "0"][..],
        &["bench", "produce", "--records", "5", "--duration", "5s"],
        &["bench", "produce", "--acks", "2"],
        &["bench"],
    ] {
        assert_eq!(
            broker.command(arguments, "").status.code(),
            Some(2),
            "{arguments:?}"
        );
    }
}
