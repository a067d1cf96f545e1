//! A writer, and what it remembers: which batches it sent, and which were acknowledged where.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use firth_batch::Builder;
use firth_kafka_codec::{ErrorCode, PartitionProduceResponse};

use super::client::Client;
use super::load::Progress;
use super::random::Random;
use super::record::{COMPRESSIONS, Tags};

/// As many as an idempotent producer may have.
const IN_FLIGHT_MAX: usize = 5;
/// Partitions that one request may name.
const BATCHES_PER_REQUEST_MAX: u64 = 3;

/// What is known of a batch that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Sent, and not answered.
    Unknown,
    Acknowledged {
        base_offset: i64,
    },
    /// Answered with an error: nothing of it may be there.
    Refused,
}

#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) tags: Tags,
    pub(crate) fate: Fate,
}

/// What a writer sent to one partition.
#[derive(Default)]
pub(crate) struct History {
    /// By first sequence.
    pub(crate) sent: BTreeMap<u64, Sent>,
    /// First sequences of batches that were acknowledged and not judged yet.
    pub(crate) acknowledged: Vec<u64>,
    next_sequence: u64,
}

/// A batch that has to be answered.
struct Batch {
    tags: Tags,
    bytes: Bytes,
}

pub(crate) struct Writer {
    pub(crate) id: u32,
    pub(crate) histories: Vec<History>,
    random: Random,
    /// What an idempotent writer sends again until it is acknowledged.
    producer: Option<Producer>,
    in_flight: VecDeque<Vec<Batch>>,
    /// Batches whose answer was lost or an error, in order.
    retry: VecDeque<Batch>,
}

struct Producer {
    id: i64,
    epoch: i16,
}

/// Why a writer came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was asked to, and nothing is in flight.
    Finished,
    Disconnected,
}

impl Writer {
    pub(crate) fn new(id: u32, partitions: i32, random: Random) -> Writer {
        let histories = (0..partitions).map(|_| History::default()).collect();
        Writer {
            id,
            histories,
            random,
            producer: None,
            in_flight: VecDeque::new(),
            retry: VecDeque::new(),
        }
    }

    /// Makes the writer idempotent.
    pub(crate) fn idempotent(mut self, address: SocketAddr) -> Writer {
        let (id, epoch) = Client::connect(address).unwrap().init_producer_id().unwrap();
        self.producer = Some(Producer { id, epoch });
        self
    }

    /// Writes on one connection until that ends or `progress` says that it is enough.
    pub(crate) fn run(&mut self, address: SocketAddr, progress: &Progress) -> Outcome {
        let connected = Client::connect(address);
        let ended = connected.and_then(|mut client| self.write(&mut client, progress));
        match ended {
            Ok(()) => Outcome::Finished,
            Err(_) => {
                self.give_up_connection();
                Outcome::Disconnected
            }
        }
    }

    fn write(&mut self, client: &mut Client, progress: &Progress) -> io::Result<()> {
        // What is sent again goes one batch at a time, so that a partition's batches stay in order.
        let mut resend = std::mem::take(&mut self.retry);
        loop {
            let result = self.fill(client, &mut resend, progress);
            if let Err(error) = result {
                self.retry_later(resend);
                return Err(error);
            }
            if self.in_flight.is_empty() {
                self.retry.append(&mut resend);
                resend = std::mem::take(&mut self.retry);
                if resend.is_empty() {
                    return Ok(());
                }
                continue;
            }
            match client.receive_produce() {
                Ok(answers) => self.answered(answers, progress),
                Err(error) => {
                    self.retry_later(resend);
                    return Err(error);
                }
            }
        }
    }

    /// Sends until enough is in flight. After a refusal nothing more is sent before everything is answered.
    fn fill(
        &mut self,
        client: &mut Client,
        resend: &mut VecDeque<Batch>,
        progress: &Progress,
    ) -> io::Result<()> {
        while self.in_flight.len() < IN_FLIGHT_MAX && self.retry.is_empty() {
            let batches = match resend.pop_front() {
                Some(batch) => vec![batch],
                None if progress.is_enough() => return Ok(()),
                None => self.next_batches(),
            };
            let sent = client.send_produce(
                batches
                    .iter()
                    .map(|batch| (batch.tags.partition, batch.bytes.clone())),
            );
            self.in_flight.push_back(batches);
            sent?;
        }
        Ok(())
    }

    fn next_batches(&mut self) -> Vec<Batch> {
        let partitions = self.histories.len() as u64;
        let count = self.random.within(1..BATCHES_PER_REQUEST_MAX.min(partitions) + 1);
        let first = self.random.within(0..partitions);
        let chosen = (0..count).map(|nth| (first + nth) % partitions);
        chosen.map(|partition| self.next_batch(partition)).collect()
    }

    /// Mostly small batches, some large, and now and then one that a WAL file has no room for.
    fn next_batch(&mut self, partition: u64) -> Batch {
        let (count, filler_len) = match self.random.within(0..200) {
            0 => (3, 120 << 10),
            1..20 => (self.random.within(1..100), 500),
            20..60 => (1, 4000),
            _ => (self.random.within(1..10), 100),
        };
        let compression = self.random.pick(&COMPRESSIONS);
        let history = &mut self.histories[usize::try_from(partition).unwrap()];
        let first_sequence = history.next_sequence;
        history.next_sequence += count;
        let partition = i32::try_from(partition).unwrap();
        let tags = Tags {
            writer: self.id,
            partition,
            first_sequence,
            count,
        };
        history.sent.insert(
            first_sequence,
            Sent {
                tags,
                fate: Fate::Unknown,
            },
        );
        let mut builder = Builder::new(compression);
        if let Some(producer) = &self.producer {
            builder = builder.producer(
                producer.id,
                producer.epoch,
                i32::try_from(first_sequence).unwrap(),
            );
        }
        tags.push(&mut builder, -1, usize::try_from(filler_len).unwrap());
        Batch {
            tags,
            bytes: builder.build().into_bytes(),
        }
    }

    fn answered(&mut self, answers: Vec<PartitionProduceResponse>, progress: &Progress) {
        let batches = self
            .in_flight
            .pop_front()
            .expect("an answer belongs to a request");
        assert_eq!(answers.len(), batches.len());
        for (batch, answer) in batches.into_iter().zip(answers) {
            let Tags {
                partition,
                first_sequence,
                ..
            } = batch.tags;
            assert_eq!(answer.index, partition);
            let history = &mut self.histories[usize::try_from(partition).unwrap()];
            let sent = history.sent.get_mut(&first_sequence).expect("it was sent");
            match answer.error_code {
                ErrorCode::None => {
                    sent.fate = Fate::Acknowledged {
                        base_offset: answer.base_offset,
                    };
                    history.acknowledged.push(first_sequence);
                    progress.acknowledged();
                }
                ErrorCode::KafkaStorageError => {
                    progress.refused();
                    if self.producer.is_some() {
                        self.retry.push_back(batch);
                    } else {
                        sent.fate = Fate::Refused;
                    }
                }
                // It may become durable later: only one that is recognised may be sent again.
                ErrorCode::RequestTimedOut => {
                    progress.timed_out();
                    if self.producer.is_some() {
                        self.retry.push_back(batch);
                    }
                }
                // One before it was refused, and has to come first.
                ErrorCode::OutOfOrderSequenceNumber if self.awaits_retry(partition) => {
                    self.retry.push_back(batch)
                }
                code => panic!(
                    "writer {} partition {partition}: {code} for {:?}",
                    self.id, batch.tags
                ),
            }
        }
    }

    fn awaits_retry(&self, partition: i32) -> bool {
        self.retry.iter().any(|batch| batch.tags.partition == partition)
    }

    /// What was refused comes before what is in flight, and that before what was not sent again yet.
    fn retry_later(&mut self, resend: VecDeque<Batch>) {
        self.retry.extend(self.in_flight.drain(..).flatten());
        self.retry.extend(resend);
    }

    /// A writer that is not idempotent cannot send again what may be there already.
    fn give_up_connection(&mut self) {
        self.retry_later(VecDeque::new());
        if self.producer.is_none() {
            self.retry.clear();
        }
    }

    pub(crate) fn is_idempotent(&self) -> bool {
        self.producer.is_some()
    }
}
