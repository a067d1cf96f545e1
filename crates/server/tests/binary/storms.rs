//! Storms of rebalances (T15): members come, go, fall silent and act for generations that are over, while the broker is killed
//! again and again. What was committed is never taken back, and zombies commit nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use firth_kafka_codec::{
    ByteStr, ErrorCode, HeartbeatRequest, JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
    LeaveGroupRequest, MemberIdentity, OffsetCommitRequest, OffsetCommitRequestPartition,
    OffsetCommitRequestTopic, SyncGroupRequest, SyncGroupRequestAssignment,
};

use crate::broker::{Broker, Directory, Start};
use crate::crash::client::{Client, TOPIC};
use crate::crash::random::Random;

const GROUP: &str = "storm";
const PARTITIONS: i32 = 8;
const MEMBERS: u64 = 8;
/// Members with an instance id: whoever comes back as one of them fences the one before.
const STATIC_MEMBERS: u64 = 3;
const KILLS: u32 = 4;
/// Commits that are acknowledged between two kills, at least.
const COMMITS: u64 = 200;
const PATIENCE: Duration = Duration::from_secs(120);
/// A rebalance waits for who is silent, so both are short.
const SESSION_TIMEOUT_MS: i32 = 1000;
const REBALANCE_TIMEOUT_MS: i32 = 300;

/// An offset says by which generation it was committed, and a later one is always larger.
fn offset(generation: i32, count: u32) -> i64 {
    (i64::from(generation) << 32) | i64::from(count)
}

/// What members know of each other without the broker.
#[derive(Default)]
struct Storm {
    /// The latest that was acknowledged, and the latest that was sent, for each partition.
    acknowledged: Mutex<[i64; PARTITIONS as usize]>,
    sent: Mutex<[i64; PARTITIONS as usize]>,
    commits: AtomicU64,
    zombies: AtomicU64,
    more: Condvar,
    is_over: AtomicBool,
}

impl Storm {
    /// Waits until so many commits were acknowledged since.
    fn wait_for(&self, commits: u64) {
        let until = self.commits.load(Ordering::Relaxed) + commits;
        let known = self.acknowledged.lock().unwrap();
        let is_early = |_: &mut _| self.commits.load(Ordering::Relaxed) < until;
        let (_known, waited) = self.more.wait_timeout_while(known, PATIENCE, is_early).unwrap();
        assert!(!waited.timed_out(), "the group stands still");
    }

    fn acknowledge(&self, partition: i32, offset: i64) {
        let known = &mut self.acknowledged.lock().unwrap()[partition as usize];
        *known = offset.max(*known);
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.more.notify_all();
    }

    /// What is stored is what was acknowledged last, or something that was sent after it.
    fn check(&self, address: SocketAddr) {
        let acknowledged = *self.acknowledged.lock().unwrap();
        let mut client = Client::connect(address).unwrap();
        for partition in 0..PARTITIONS {
            let stored = client.committed(GROUP, partition).unwrap();
            let sent = self.sent.lock().unwrap()[partition as usize];
            let acknowledged = acknowledged[partition as usize];
            assert!(
                (acknowledged..=sent).contains(&stored),
                "partition {partition}: {stored:#x} is stored, {acknowledged:#x} acknowledged, {sent:#x} sent"
            );
        }
    }
}

/// One client, which forgets who it is now and then.
struct Member<'a> {
    storm: &'a Storm,
    address: SocketAddr,
    random: Random,
    instance: Option<ByteStr>,
    id: ByteStr,
    generation: i32,
    count: u32,
}

impl Member<'_> {
    fn run(&mut self) {
        while !self.storm.is_over.load(Ordering::Relaxed) {
            // The broker is killed: what was on its way may be stored or not.
            if self.live().is_err() {
                std::thread::yield_now();
            }
        }
    }

    /// One connection, until it ends or the member falls silent.
    fn live(&mut self) -> io::Result<()> {
        let mut client = Client::connect(self.address)?;
        while !self.storm.is_over.load(Ordering::Relaxed) {
            let before = (self.id.clone(), self.generation);
            let Some(partitions) = self.join(&mut client)? else {
                continue;
            };
            if before.1 > 0 && before.1 < self.generation {
                self.act_as_zombie(&mut client, before)?;
            }
            let turns = self.random.within(0..30);
            for _ in 0..turns {
                if !self.heartbeat(&mut client)? || !self.commit(&mut client, &partitions)? {
                    break;
                }
            }
            match self.random.within(0..10) {
                0..3 => self.leave(&mut client)?,
                // It comes back as somebody else, and is missed in time, or is fenced by itself.
                3 => {
                    self.id = ByteStr::default();
                    return Ok(());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The partitions that it has from now on. None where it has to begin again.
    fn join(&mut self, client: &mut Client) -> io::Result<Option<Vec<i32>>> {
        let protocol = JoinGroupRequestProtocol {
            name: "own".into(),
            // That it changes is what makes a member that comes back a rebalance.
            metadata: Bytes::copy_from_slice(&self.random.next().to_le_bytes()),
        };
        let request = JoinGroupRequest {
            group_id: GROUP.into(),
            session_timeout_ms: SESSION_TIMEOUT_MS,
            rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            protocol_type: "storm".into(),
            protocols: vec![protocol],
            ..Default::default()
        };
        let joined = client.call(9, &request)?;
        match joined.error_code {
            ErrorCode::None => {}
            ErrorCode::MemberIdRequired => {
                self.id = joined.member_id;
                return Ok(None);
            }
            _ => {
                self.id = ByteStr::default();
                return Ok(None);
            }
        }
        (self.id, self.generation) = (joined.member_id.clone(), joined.generation_id);
        self.sync(client, &joined)
    }

    fn sync(&mut self, client: &mut Client, joined: &JoinGroupResponse) -> io::Result<Option<Vec<i32>>> {
        let is_leader = joined.leader == joined.member_id && !joined.skip_assignment;
        let members = joined.members.iter().filter(|_| is_leader).enumerate();
        let assignments = members.map(|(at, member)| {
            let partitions = 0..PARTITIONS as usize;
            let own = partitions.filter(|partition| partition % joined.members.len() == at);
            SyncGroupRequestAssignment {
                member_id: member.member_id.clone(),
                assignment: own.map(|partition| partition as u8).collect(),
            }
        });
        let request = SyncGroupRequest {
            group_id: GROUP.into(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            protocol_type: Some("storm".into()),
            protocol_name: Some("own".into()),
            assignments: assignments.collect(),
        };
        let synced = client.call(5, &request)?;
        let is_assigned = synced.error_code == ErrorCode::None;
        Ok(is_assigned.then(|| {
            synced
                .assignment
                .iter()
                .map(|partition| i32::from(*partition))
                .collect()
        }))
    }

    fn heartbeat(&mut self, client: &mut Client) -> io::Result<bool> {
        let request = HeartbeatRequest {
            group_id: GROUP.into(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
        };
        Ok(client.call(4, &request)?.error_code == ErrorCode::None)
    }

    /// Whether it may go on.
    fn commit(&mut self, client: &mut Client, partitions: &[i32]) -> io::Result<bool> {
        for &partition in partitions {
            self.count += 1;
            let offset = offset(self.generation, self.count);
            {
                let sent = &mut self.storm.sent.lock().unwrap()[partition as usize];
                *sent = offset.max(*sent);
            }
            let (id, generation) = (self.id.clone(), self.generation);
            if self.send_commit(client, (id, generation), partition, offset)? != ErrorCode::None {
                return Ok(false);
            }
            self.storm.acknowledge(partition, offset);
        }
        Ok(true)
    }

    fn send_commit(
        &self,
        client: &mut Client,
        (id, generation): (ByteStr, i32),
        partition: i32,
        offset: i64,
    ) -> io::Result<ErrorCode> {
        let partition = OffsetCommitRequestPartition {
            partition_index: partition,
            committed_offset: offset,
            ..Default::default()
        };
        let request = OffsetCommitRequest {
            group_id: GROUP.into(),
            generation_id_or_member_epoch: generation,
            member_id: id,
            group_instance_id: self.instance.clone(),
            topics: vec![OffsetCommitRequestTopic {
                name: TOPIC.into(),
                partitions: vec![partition],
                ..Default::default()
            }],
            ..Default::default()
        };
        Ok(client.call(9, &request)?.topics[0].partitions[0].error_code)
    }

    /// What it was before, it is no more. If this were taken, it would be seen in what is stored too: it is more than all else.
    fn act_as_zombie(&mut self, client: &mut Client, before: (ByteStr, i32)) -> io::Result<()> {
        let is_replaced = before.0 != self.id;
        let partition = i32::try_from(self.random.within(0..PARTITIONS as u64)).unwrap();
        let answer = self.send_commit(client, before, partition, i64::MAX)?;
        let expected: &[ErrorCode] = match (&self.instance, is_replaced) {
            (Some(_), true) => &[ErrorCode::FencedInstanceId, ErrorCode::UnknownMemberId],
            _ => &[ErrorCode::IllegalGeneration, ErrorCode::UnknownMemberId],
        };
        assert!(expected.contains(&answer), "a zombie got {answer:?}");
        self.storm.zombies.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn leave(&mut self, client: &mut Client) -> io::Result<()> {
        let member = MemberIdentity {
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            ..Default::default()
        };
        let request = LeaveGroupRequest {
            group_id: GROUP.into(),
            members: vec![member],
            ..Default::default()
        };
        client.call(5, &request)?;
        self.id = ByteStr::default();
        Ok(())
    }
}

#[test]
fn storms_of_rebalances_take_no_commit_back() {
    let mut random = Random::from_environment("storm");
    let directory = Directory::new();
    let flags = [
        "--group-initial-rebalance-delay-ms",
        "0",
        "--group-min-session-timeout-ms",
        "100",
    ];
    let first = Start::new(directory.path(), &flags).succeed();
    let address = first.kafka();
    Client::connect(address)
        .unwrap()
        .create_topic(PARTITIONS)
        .unwrap();
    let storm = Storm::default();
    // Nothing is committed yet.
    *storm.acknowledged.lock().unwrap() = [-1; PARTITIONS as usize];
    let broker = std::thread::scope(|threads| {
        let mut broker = first;
        for who in 0..MEMBERS {
            let mut member = Member {
                storm: &storm,
                address,
                random: random.fork(),
                instance: (who < STATIC_MEMBERS).then(|| format!("static-{who}").as_str().into()),
                id: ByteStr::default(),
                generation: 0,
                count: 0,
            };
            threads.spawn(move || member.run());
        }
        for _ in 0..KILLS {
            storm.wait_for(COMMITS + random.within(0..COMMITS));
            broker.kill();
            broker = started_at(&directory, &flags, address);
            storm.check(address);
        }
        storm.wait_for(COMMITS);
        storm.is_over.store(true, Ordering::Relaxed);
        broker
    });
    storm.check(address);
    assert!(
        storm.zombies.load(Ordering::Relaxed) > 0,
        "nobody acted as a zombie"
    );
    broker.stop();
}

fn started_at(directory: &Directory, flags: &[&str], address: SocketAddr) -> Broker {
    let mut start = Start::new(directory.path(), flags);
    start.kafka = address.to_string();
    start.succeed()
}
