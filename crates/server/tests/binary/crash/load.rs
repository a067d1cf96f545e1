//! Writers and a reader of the tail, all at once.

use std::io;
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex};

use firth_kafka_codec::ErrorCode;

use super::checker::Checker;
use super::client::Client;
use super::random::Random;
use super::writer::{Outcome, Writer};
use crate::broker::Broker;

pub(crate) const PARTITIONS: i32 = 4;
const PLAIN_WRITERS: u32 = 2;
const IDEMPOTENT_WRITERS: u32 = 3;
/// How long a read of the tail waits; a reader notices within this time that it is over.
const TAIL_WAIT_MS: i32 = 20;
/// A condition that lasts for seconds refuses less than this.
const REFUSED_MAX: u64 = 10_000_000;
/// Enough to know that what was taken is answered.
const TIMED_OUT_MAX: u64 = 10;

/// How far the writers are.
#[derive(Default)]
pub(crate) struct Progress {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    acknowledged: u64,
    refused: u64,
    timed_out: u64,
    running: usize,
    enough: bool,
}

impl Progress {
    pub(crate) fn acknowledged(&self) {
        self.state.lock().unwrap().acknowledged += 1;
        self.changed.notify_all();
    }

    pub(crate) fn refused(&self) {
        let refused = {
            let mut state = self.state.lock().unwrap();
            state.refused += 1;
            state.refused
        };
        assert!(
            refused < REFUSED_MAX,
            "what was injected passed, and batches are refused all the same"
        );
        self.changed.notify_all();
    }

    /// A batch that was taken could not be made durable in time.
    pub(crate) fn timed_out(&self) {
        self.state.lock().unwrap().timed_out += 1;
        self.changed.notify_all();
    }

    /// Batches that were answered with an error which may pass.
    pub(crate) fn refusals(&self) -> u64 {
        self.state.lock().unwrap().refused
    }

    pub(crate) fn is_enough(&self) -> bool {
        self.state.lock().unwrap().enough
    }

    /// Of so many writers.
    pub(crate) fn of(writers: usize) -> Progress {
        let progress = Progress::default();
        progress.state.lock().unwrap().running = writers;
        progress
    }

    /// A writer ends with the value, also by a panic.
    pub(crate) fn end_with(&self) -> Ended<'_> {
        Ended(self)
    }

    /// Waits until so many batches were acknowledged, or no writer is left. Says whether they were.
    pub(crate) fn wait_for(&self, batches: u64) -> bool {
        let state = self.state.lock().unwrap();
        let unfinished = |state: &mut State| state.acknowledged < batches && state.running > 0;
        self.changed.wait_while(state, unfinished).unwrap().acknowledged >= batches
    }

    /// Waits until so many batches were refused, or no writer is left. Says whether they were.
    pub(crate) fn wait_for_refusals(&self, batches: u64) -> bool {
        let state = self.state.lock().unwrap();
        let unfinished = |state: &mut State| state.refused < batches && state.running > 0;
        self.changed.wait_while(state, unfinished).unwrap().refused >= batches
    }

    /// Waits until so many batches were acknowledged, or so many refused, or some could not be made durable in time, or no
    /// writer is left. Says whether one is.
    pub(crate) fn wait_for_either(&self, acknowledged: u64, refused: u64) -> bool {
        let state = self.state.lock().unwrap();
        let unfinished = |state: &mut State| {
            state.acknowledged < acknowledged
                && state.refused < refused
                && state.timed_out < TIMED_OUT_MAX
                && state.running > 0
        };
        self.changed.wait_while(state, unfinished).unwrap().running > 0
    }

    /// Waits until so many batches more were acknowledged. Says whether they were.
    pub(crate) fn wait_for_more(&self, batches: u64) -> bool {
        let acknowledged = self.state.lock().unwrap().acknowledged;
        self.wait_for(acknowledged + batches)
    }

    /// Asks the writers to come to an end.
    pub(crate) fn enough(&self) {
        self.state.lock().unwrap().enough = true;
    }
}

/// The writers, and what is known of the topic.
pub(crate) struct Load {
    pub(crate) writers: Vec<Writer>,
    pub(crate) checker: Checker,
}

impl Load {
    /// Creates the topic, and gets the idempotent writers their ids.
    pub(crate) fn new(broker: &Broker, random: &mut Random) -> Load {
        Client::connect(broker.kafka())
            .unwrap()
            .create_topic(PARTITIONS)
            .unwrap();
        let plain = (0..PLAIN_WRITERS).map(|id| Writer::new(id, PARTITIONS, random.fork()));
        let mut writers: Vec<Writer> = plain.collect();
        for id in PLAIN_WRITERS..PLAIN_WRITERS + IDEMPOTENT_WRITERS {
            writers.push(Writer::new(id, PARTITIONS, random.fork()).idempotent(broker.kafka()));
        }
        Load {
            writers,
            checker: Checker::new(PARTITIONS),
        }
    }

    /// Lets all of them work until their connections end or `during` has asked for the end. Returns the refusals.
    pub(crate) fn run(&mut self, address: SocketAddr, during: impl FnOnce(&Progress)) -> u64 {
        let progress = Progress::of(self.writers.len());
        std::thread::scope(|scope| {
            for writer in &mut self.writers {
                let progress = &progress;
                scope.spawn(move || {
                    let _ended = progress.end_with();
                    writer.run(address, progress)
                });
            }
            let (checker, progress) = (&mut self.checker, &progress);
            scope.spawn(move || read_tail(checker, address, progress));
            // Should it fail, the others come to an end all the same.
            let _ended = EnoughAtEnd(progress);
            during(progress);
        });
        progress.refusals()
    }

    /// The same, and at some time gives up most of the records that were there before, so that segments die.
    pub(crate) fn run_deleting(
        &mut self,
        address: SocketAddr,
        until_deletion: impl FnOnce(&Progress) -> bool,
        during: impl FnOnce(&Progress),
    ) -> u64 {
        // Most of what was read, in the middle of whatever is there.
        let starts: Vec<i64> = (0..PARTITIONS)
            .map(|partition| self.checker.end(partition) * 9 / 10)
            .collect();
        for (partition, start) in (0..).zip(&starts) {
            self.checker.may_be_trimmed(partition, *start);
        }
        let mut deleted = Vec::new();
        let refusals = self.run(address, |progress| {
            until_deletion(progress);
            // The broker may end at any time.
            let _ended = delete_records(address, &starts, &mut deleted);
            during(progress);
        });
        for (partition, low_watermark) in deleted {
            self.checker.trimmed(partition, low_watermark);
        }
        refusals
    }

    /// Has the idempotent writers send what is not acknowledged until it is.
    pub(crate) fn finish(&mut self, address: SocketAddr) {
        let progress = Progress::default();
        progress.enough();
        for writer in self.writers.iter_mut().filter(|writer| writer.is_idempotent()) {
            assert_eq!(writer.run(address, &progress), Outcome::Finished);
        }
    }

    /// Reads everything, and judges it.
    pub(crate) fn check(&mut self, address: SocketAddr) {
        let mut client = Client::connect(address).unwrap();
        self.checker.read_all(&mut client);
        self.checker.judge(&mut self.writers);
    }
}

/// Lets everybody end where a test fails.
struct EnoughAtEnd<'a>(&'a Progress);

impl Drop for EnoughAtEnd<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.enough();
        }
    }
}

pub(crate) struct Ended<'a>(&'a Progress);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().running -= 1;
        self.0.changed.notify_all();
    }
}

/// Notes in `deleted` what was acknowledged.
fn delete_records(address: SocketAddr, starts: &[i64], deleted: &mut Vec<(i32, i64)>) -> io::Result<()> {
    let mut client = Client::connect(address)?;
    for (partition, start) in (0..).zip(starts) {
        match client.delete_records(partition, *start)? {
            Ok(low_watermark) => deleted.push((partition, low_watermark)),
            // The storage failed: whether anything was deleted is not known.
            Err(ErrorCode::KafkaStorageError) => {}
            Err(code) => panic!("deletion in partition {partition}: {code}"),
        }
    }
    Ok(())
}

/// Reads what becomes visible while it is written: it has to be there, and the same, after every crash.
fn read_tail(checker: &mut Checker, address: SocketAddr, progress: &Progress) {
    let Ok(mut client) = Client::connect(address) else {
        return;
    };
    while !progress.is_enough() {
        for partition in 0..PARTITIONS {
            if checker.read_on(&mut client, partition, TAIL_WAIT_MS).is_err() {
                return;
            }
        }
    }
}
