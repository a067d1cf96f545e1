//! The drivers against the ideal server, as processes, without any claim about time.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

const BENCH: &str = env!("CARGO_BIN_EXE_bench");

struct Ideal {
    child: Child,
    address: String,
    file: PathBuf,
}

impl Ideal {
    fn start(dir: &Path, durability: &str) -> Self {
        let file = dir.join("recycled");
        let mut command = Command::new(BENCH);
        command
            .args(["ideal", "--file-mib", "32", "--durability", durability, "--file"])
            .arg(&file);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut banner = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut banner)
            .unwrap();
        let address = banner.split_whitespace().last().unwrap().to_owned();
        Self { child, address, file }
    }

    fn drive(&self, args: &[&str]) -> Value {
        let mut command = Command::new(BENCH);
        let pid = self.child.id().to_string();
        command
            .args(args)
            .args(["--json", "--bootstrap", &self.address, "--pid", &pid]);
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Ideal {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

fn written(file: &Path) -> u64 {
    std::fs::read(file)
        .unwrap()
        .iter()
        .filter(|&&byte| byte != 0)
        .count() as u64
}

#[test]
fn what_was_acknowledged_is_in_the_file() {
    for durability in ["disk", "os"] {
        let dir = tempfile::tempdir().unwrap();
        let ideal = Ideal::start(dir.path(), durability);
        let report = ideal.drive(&[
            "produce",
            "--partitions",
            "100",
            "--connections",
            "8",
            "--depth",
            "16",
            "--batch-bytes",
            "16384",
            "--total-bytes",
            "16000000",
        ]);
        let payload = report["payload_bytes"].as_u64().unwrap();
        assert!((16_000_000..16_100_000).contains(&payload), "{report}");
        assert_eq!(report["records"].as_u64().unwrap() * 1024, payload);
        // One byte of random payload in 256 is zero.
        assert!(written(&ideal.file) > payload / 100 * 99, "{durability}");
    }
}

#[test]
fn requests_of_every_size_are_answered_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let ideal = Ideal::start(dir.path(), "disk");
    for (record_bytes, batch_bytes) in [
        ("10", "0"),
        ("1024", "0"),
        ("100", "100000"),
        ("100000", "3000000"),
    ] {
        let report = ideal.drive(&[
            "produce",
            "--topic",
            "sizes",
            "--partitions",
            "3",
            "--connections",
            "4",
            "--depth",
            "32",
            "--record-bytes",
            record_bytes,
            "--batch-bytes",
            batch_bytes,
            "--warmup-bytes",
            "100000",
            "--total-bytes",
            "2000000",
        ]);
        assert!(report["payload_bytes"].as_u64().unwrap() >= 2_000_000, "{report}");
    }
}

#[test]
fn keyed_batches_take_turns_and_are_all_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let ideal = Ideal::start(dir.path(), "disk");
    let report = ideal.drive(&[
        "produce",
        "--partitions",
        "3",
        "--connections",
        "2",
        "--depth",
        "4",
        "--keys",
        "1000",
        "--batch-bytes",
        "16384",
        "--total-bytes",
        "8000000",
    ]);
    let payload = report["payload_bytes"].as_u64().unwrap();
    assert_eq!(report["records"].as_u64().unwrap() * 1024, payload, "{report}");
    assert!(payload >= 8_000_000, "{report}");
}

#[test]
fn a_pace_is_kept_and_every_record_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let ideal = Ideal::start(dir.path(), "disk");
    let args = [
        "latency",
        "--ack-only",
        "--rate",
        "2000",
        "--warmup-seconds",
        "0.1",
        "--seconds",
        "0.2",
    ];
    let report = ideal.drive(&args);
    assert_eq!(report["sent"].as_u64().unwrap(), 400);
    assert!(report["ack_p50_us"].as_f64().unwrap() > 0.0);
}

#[test]
fn unanswered_requests_and_idle_connections_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let ideal = Ideal::start(dir.path(), "os");
    let report = ideal.drive(&["produce", "--acks", "0", "--total-bytes", "1000000"]);
    assert!(report["payload_bytes"].as_u64().unwrap() >= 1_000_000, "{report}");
    assert_eq!(
        ideal.drive(&["idle", "--connections", "50"])["connections"]
            .as_u64()
            .unwrap(),
        50
    );
}
