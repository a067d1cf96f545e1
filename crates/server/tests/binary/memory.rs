//! A small control group (T22): clients that ask for all of the memory at once wait for each other, and the kernel
//! never has to end the process.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use firth_batch::{Builder, Compression};
use firth_kafka_codec::{CreatableTopic, CreateTopicsRequest, ErrorCode};

use crate::broker::{Broker, Directory, Start};
use crate::crash::client::{Client, FETCH_VERSION, TOPIC, fetch_request, fetched};

const LIMIT_BYTES: u64 = 256 << 20;
const TOPICS: usize = 2000;
/// For large records, and for those who want to be served beside them.
const LARGE: [i32; 4] = [0, 1, 2, 3];
const SMALL: i32 = 4;
/// Sizes of values in MiB; the largest batch that is taken holds the last.
const SIZES_MIB: [usize; 7] = [1, 2, 5, 1, 11, 17, 31];
const LARGE_WRITERS: usize = 6;
const LARGE_READERS: usize = 12;
const STUCK_READERS: usize = 8;
/// Requests that a client sends before it looks for the first answer.
const PIPELINED: usize = 6;
/// What one reply may hold, as clients have it by default.
const FETCH_BYTES: i32 = 52_428_800;
/// Records that are written and read beside all that.
const SERVED: u64 = 8;

/// A control group that limits the memory of what is started in it; removed when it is dropped.
struct ControlGroup {
    path: PathBuf,
}

impl ControlGroup {
    /// `None`, and a line that says so, where this process may not make one.
    fn new(bytes: u64) -> Option<ControlGroup> {
        let name = format!("firth-test-{}", std::process::id());
        let roots = [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ];
        for (root, limit) in roots {
            let path = Path::new(root).join(&name);
            if !Path::new(root).join("cgroup.procs").exists() || fs::create_dir(&path).is_err() {
                continue;
            }
            let group = ControlGroup { path };
            if fs::write(group.path.join(limit), bytes.to_string()).is_ok() {
                return Some(group);
            }
        }
        println!("SKIPPED: no control group for memory can be made here");
        None
    }

    /// What starts a process in the group.
    fn through(&self) -> Vec<String> {
        let procs = self.path.join("cgroup.procs").display().to_string();
        let script = format!("echo $$ > {procs} && exec \"$@\"");
        ["/bin/sh", "-c", &script, "sh"].map(str::to_owned).into()
    }

    /// How often the kernel ended a process for want of memory.
    fn kills(&self) -> u64 {
        let read = |file: &str| fs::read_to_string(self.path.join(file)).ok();
        let text = read("memory.events")
            .or_else(|| read("memory.oom_control"))
            .unwrap();
        let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.unwrap().parse().unwrap()
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.path) {
            println!("{} is left: {error}", self.path.display());
        }
    }
}

/// The most memory that the process itself ever had, in bytes.
fn peak(broker: &Broker) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", broker.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: u64 = line.unwrap().trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024
}

fn batch(value_bytes: usize) -> Bytes {
    let mut builder = Builder::new(Compression::None);
    builder.push(-1, None, Some(&vec![b'x'; value_bytes]), &[]);
    builder.build().into_bytes()
}

fn create_topics(broker: &Broker) {
    let partitions = (SMALL + 1).to_string();
    let arguments = ["topic", "create", TOPIC, "--partitions", &partitions];
    let large = ["--config", "max.message.bytes=33554432"];
    broker.succeed(&[&arguments[..], &large].concat(), "");
    let topic = |nth: usize| CreatableTopic {
        name: format!("topic-{nth}").as_str().into(),
        num_partitions: 1,
        replication_factor: 1,
        ..Default::default()
    };
    let request = CreateTopicsRequest {
        topics: (0..TOPICS).map(topic).collect(),
        timeout_ms: 60_000,
        ..Default::default()
    };
    let response = Client::connect(broker.kafka())
        .unwrap()
        .call(5, &request)
        .unwrap();
    assert!(
        response
            .topics
            .iter()
            .all(|topic| topic.error_code == ErrorCode::None)
    );
}

/// Sends large batches without waiting for each, until it is told to stop.
fn write_large(broker: SocketAddr, first: usize, batches: &[Bytes], ends: &AtomicBool) {
    let mut client = Client::connect(broker).unwrap();
    let mut nth = first;
    while !ends.load(Ordering::Relaxed) {
        for _ in 0..PIPELINED {
            let partition = LARGE[nth % LARGE.len()];
            client
                .send_produce([(partition, batches[nth % batches.len()].clone())])
                .unwrap();
            nth += 1;
        }
        for _ in 0..PIPELINED {
            let answers = client.receive_produce().unwrap();
            assert!(
                answers.iter().all(|answer| answer.error_code == ErrorCode::None),
                "{answers:?}"
            );
        }
    }
}

/// Reads everything large from the beginning, again and again.
fn read_large(broker: SocketAddr, ends: &AtomicBool) {
    let mut client = Client::connect(broker).unwrap();
    let mut offset = 0;
    while !ends.load(Ordering::Relaxed) {
        let request = fetch_request(&LARGE, offset, 100, FETCH_BYTES);
        let response = client.call(FETCH_VERSION, &request).unwrap();
        let partitions = response.responses.into_iter().flat_map(|topic| topic.partitions);
        let read = partitions.map(|data| fetched(data.records).len()).sum::<usize>();
        offset = if read == 0 { 0 } else { offset + 1 };
    }
}

/// Asks for as much as a reader does, and never looks at the answers.
fn ask_and_never_read(broker: SocketAddr) -> Client {
    let mut client = Client::connect(broker).unwrap();
    for nth in 0..PIPELINED {
        let offset = i64::try_from(nth).unwrap();
        // The last ones find the connection full, which is what is wanted.
        if client
            .send(FETCH_VERSION, &fetch_request(&LARGE, offset, 0, FETCH_BYTES))
            .is_err()
        {
            break;
        }
    }
    client
}

/// Writes small records and reads each of them, while others ask for all that there is.
fn is_served(broker: SocketAddr, served: &AtomicU64) {
    let mut client = Client::connect(broker).unwrap();
    for nth in 0..SERVED {
        let answer = client.produce(SMALL, batch(100)).unwrap();
        assert_eq!(answer.error_code, ErrorCode::None);
        let data = client.fetch(SMALL, answer.base_offset, 1000).unwrap();
        assert_eq!(data.error_code, ErrorCode::None);
        assert!(!fetched(data.records).is_empty());
        served.store(nth + 1, Ordering::Relaxed);
    }
}

/// Lets everybody end, also where a test fails.
struct EndAtEnd<'a>(&'a AtomicBool);

impl Drop for EndAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_small_control_group_is_enough() {
    let Some(group) = ControlGroup::new(LIMIT_BYTES) else {
        return;
    };
    let directory = Directory::new();
    let start = Start {
        through: group.through(),
        ..Start::new(directory.path(), &[])
    };
    let broker = start.succeed();
    assert_eq!(
        broker.banner[7],
        "memory      32 MiB for requests, 32 MiB for the newest records"
    );
    create_topics(&broker);
    let batches: Vec<Bytes> = SIZES_MIB.iter().map(|mib| batch(mib << 20)).collect();
    let (ends, served) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let (address, batches, ends) = (broker.kafka(), &batches, &ends);
        let _ends = EndAtEnd(ends);
        for first in 0..LARGE_WRITERS {
            scope.spawn(move || write_large(address, first, batches, ends));
        }
        for _ in 0..LARGE_READERS {
            scope.spawn(move || read_large(address, ends));
        }
        let stuck: Vec<Client> = (0..STUCK_READERS).map(|_| ask_and_never_read(address)).collect();
        is_served(address, &served);
        drop(stuck);
    });
    println!("at most {} MiB", peak(&broker) >> 20);
    assert_eq!(served.load(Ordering::Relaxed), SERVED);
    assert_eq!(group.kills(), 0);
    broker.stop();
}
