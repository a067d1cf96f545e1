//! Replies to an idempotent producer are lost, late and doubled, and the broker is killed (T13 of the plan). Of the only
//! writer of a partition each record's offset is its sequence, so what a retry has to be answered is plain.

use std::sync::mpsc::channel;

use bytes::Bytes;
use firth_batch::{Batch, Batches, Builder, Compression};
use firth_kafka_codec::ErrorCode;

use super::client::{Client, fetched};
use super::load::{Load, PARTITIONS, Progress};
use super::proxy::{Fault, Proxy};
use super::random::Random;
use super::record::Tags;
use crate::broker::{Broker, Directory, Start};

const PARTITION: i32 = 0;
/// Another partition, so that something else can fill the WAL.
const OTHER_PARTITION: i32 = 1;
const WINDOW: i32 = 5;
const RECORDS_PER_BATCH: i32 = 3;

struct Producer {
    id: i64,
    epoch: i16,
    /// Where its next batch begins, in the log as well.
    next_sequence: i32,
}

impl Producer {
    fn batch(&self, epoch: i16, base_sequence: i32) -> Bytes {
        let mut builder = Builder::new(Compression::Lz4).producer(self.id, epoch, base_sequence);
        let tags = Tags {
            writer: 1,
            partition: PARTITION,
            first_sequence: base_sequence.try_into().unwrap(),
            count: RECORDS_PER_BATCH.try_into().unwrap(),
        };
        tags.push(&mut builder, -1, 100);
        builder.build().into_bytes()
    }

    /// The first sequences of as many batches as may be in flight.
    fn next_window(&mut self) -> Vec<i32> {
        let first = self.next_sequence;
        self.next_sequence += WINDOW * RECORDS_PER_BATCH;
        (0..WINDOW).map(|nth| first + nth * RECORDS_PER_BATCH).collect()
    }

    fn last_window(&self) -> Vec<i32> {
        (1..=WINDOW)
            .rev()
            .map(|nth| self.next_sequence - nth * RECORDS_PER_BATCH)
            .collect()
    }

    fn send(&self, client: &mut Client, sequences: &[i32]) {
        for sequence in sequences {
            client
                .send_produce([(PARTITION, self.batch(self.epoch, *sequence))])
                .unwrap();
        }
    }

    /// Sends batches again, all at once, and expects the answers that the first ones got or would have got.
    fn retry(&self, client: &mut Client, sequences: &[i32]) {
        self.send(client, sequences);
        sequences
            .iter()
            .for_each(|sequence| expect_offset(client, *sequence));
    }

    fn refusal(&self, client: &mut Client, epoch: i16, sequence: i32) -> ErrorCode {
        let answer = client.produce(PARTITION, self.batch(epoch, sequence)).unwrap();
        if answer.error_code.is_error() {
            assert_eq!(answer.base_offset, -1);
        }
        answer.error_code
    }
}

fn expect_offset(client: &mut Client, sequence: i32) {
    let answer = client.receive_produce().unwrap().remove(0);
    assert_eq!(
        (answer.error_code, answer.base_offset),
        (ErrorCode::None, i64::from(sequence))
    );
}

fn started(directory: &Directory) -> (Broker, Producer) {
    let broker = Start::recycling(directory.path()).succeed();
    let mut client = Client::connect(broker.kafka()).unwrap();
    client.create_topic(PARTITIONS).unwrap();
    let (id, epoch) = client.init_producer_id().unwrap();
    (
        broker,
        Producer {
            id,
            epoch,
            next_sequence: 0,
        },
    )
}

/// The partition holds every record once, in order.
fn expect_all(broker: &Broker, producer: &Producer) {
    let mut client = Client::connect(broker.kafka()).unwrap();
    let mut offset = 0;
    while offset < i64::from(producer.next_sequence) {
        let data = client.fetch(PARTITION, offset, 0).unwrap();
        assert_eq!(data.high_watermark, i64::from(producer.next_sequence));
        let bytes = fetched(data.records);
        assert!(!bytes.is_empty(), "hole at {offset}");
        for batch in Batches::new(&bytes) {
            let batch = Batch::stored(bytes.slice_ref(batch.unwrap().1)).unwrap();
            let tags = Tags::of(&batch);
            assert_eq!(i64::try_from(tags.first_sequence).unwrap(), offset);
            assert_eq!(batch.header().base_offset, offset);
            offset = batch.header().next_offset();
        }
    }
}

#[test]
fn a_reply_that_is_lost_late_or_doubled_changes_nothing() {
    let directory = Directory::new();
    let (broker, mut producer) = started(&directory);
    let proxy = Proxy::new(broker.kafka());
    for position in 0..WINDOW.try_into().unwrap() {
        for fault in [|| Fault::DuplicateRequest, || Fault::DuplicateReply] {
            (0..position).for_each(|_| proxy.next(Fault::None));
            proxy.next(fault());
            let sequences = producer.next_window();
            producer.retry(&mut Client::connect(proxy.address).unwrap(), &sequences);
        }

        (0..position).for_each(|_| proxy.next(Fault::None));
        proxy.next(Fault::DropReply);
        let sequences = producer.next_window();
        let mut client = Client::connect(proxy.address).unwrap();
        // The connection may end before the last request is sent.
        let sent = |sequence| client.send_produce([(PARTITION, producer.batch(producer.epoch, sequence))]);
        sequences
            .iter()
            .copied()
            .map(sent)
            .take_while(Result::is_ok)
            .for_each(drop);
        for sequence in &sequences[..position] {
            expect_offset(&mut client, *sequence);
        }
        assert!(client.receive_produce().is_err());
        producer.retry(
            &mut Client::connect(proxy.address).unwrap(),
            &sequences[position..],
        );

        let (release, released) = channel();
        (0..position).for_each(|_| proxy.next(Fault::None));
        proxy.next(Fault::DelayReply(released));
        let sequences = producer.next_window();
        let mut late = Client::connect(proxy.address).unwrap();
        producer.send(&mut late, &sequences);
        proxy.wait_until_met();
        for sequence in &sequences[..position] {
            expect_offset(&mut late, *sequence);
        }
        producer.retry(
            &mut Client::connect(proxy.address).unwrap(),
            &sequences[position..],
        );
        drop(release);
        for sequence in &sequences[position..] {
            expect_offset(&mut late, *sequence);
        }
    }
    expect_all(&broker, &producer);
    broker.stop();
}

#[test]
fn the_window_survives_kill_9_and_its_edges_have_their_codes() {
    let directory = Directory::new();
    let (mut broker, mut producer) = started(&directory);
    for round in 0..4 {
        let mut client = Client::connect(broker.kafka()).unwrap();
        let sequences = producer.next_window();
        producer.retry(&mut client, &sequences);
        if round % 2 == 1 {
            // From here on segments have the window, and the WAL does not.
            fill_wal(&mut client);
        }
        if round < 2 {
            broker.kill();
        } else {
            broker.stop();
        }
        broker = Start::recycling(directory.path()).succeed();
        let mut client = Client::connect(broker.kafka()).unwrap();
        producer.retry(&mut client, &producer.last_window());
        let (epoch, next, batch) = (producer.epoch, producer.next_sequence, RECORDS_PER_BATCH);
        let out_of_order = ErrorCode::OutOfOrderSequenceNumber;
        assert_eq!(out_of_order.as_i16(), 45);
        assert_eq!(
            producer.refusal(&mut client, epoch, next + 1),
            out_of_order,
            "a gap"
        );
        assert_eq!(
            producer.refusal(&mut client, epoch, next - 1),
            out_of_order,
            "an overlap"
        );
        if round > 0 {
            let before_window = next - (WINDOW + 1) * batch;
            assert_eq!(
                producer.refusal(&mut client, epoch, before_window),
                out_of_order,
                "before the window"
            );
        }
        assert_eq!(
            producer.refusal(&mut client, epoch + 1, next),
            out_of_order,
            "a new epoch begins at 0"
        );
    }
    expect_all(&broker, &producer);

    // Last, as it ends the old epoch: that has to be remembered, too.
    let mut client = Client::connect(broker.kafka()).unwrap();
    let first_of_epoch = producer.batch(producer.epoch + 1, 0);
    let answer = client.produce(PARTITION, first_of_epoch.clone()).unwrap();
    assert_eq!(
        (answer.error_code, answer.base_offset),
        (ErrorCode::None, i64::from(producer.next_sequence))
    );
    for _ in 0..2 {
        let mut client = Client::connect(broker.kafka()).unwrap();
        let stale = producer.refusal(&mut client, producer.epoch, producer.next_sequence);
        assert_eq!((stale, stale.as_i16()), (ErrorCode::InvalidProducerEpoch, 47));
        let again = client.produce(PARTITION, first_of_epoch.clone()).unwrap();
        assert_eq!(
            (again.error_code, again.base_offset),
            (ErrorCode::None, answer.base_offset)
        );
        broker.kill();
        broker = Start::recycling(directory.path()).succeed();
    }
    broker.stop();
}

/// Writes several times what the WAL may take.
fn fill_wal(client: &mut Client) {
    for nth in 0..40 {
        let mut builder = Builder::new(Compression::None);
        let tags = Tags {
            writer: 2,
            partition: OTHER_PARTITION,
            first_sequence: nth,
            count: 1,
        };
        tags.push(&mut builder, -1, 100 << 10);
        let answer = client
            .produce(OTHER_PARTITION, builder.build().into_bytes())
            .unwrap();
        assert_eq!(answer.error_code, ErrorCode::None);
    }
}

#[test]
fn writers_behind_a_bad_network_are_exactly_once() {
    const BATCHES: u64 = 1500;
    let mut random = Random::from_environment("bad network");
    let directory = Directory::new();
    let mut broker = Start::recycling(directory.path()).succeed();
    let mut load = Load::new(&broker, &mut random);
    load.writers.retain(|writer| writer.is_idempotent());
    let proxy = Proxy::new(broker.kafka());
    for _ in 0..2 {
        let progress = Progress::of(load.writers.len());
        std::thread::scope(|scope| {
            for writer in &mut load.writers {
                let (progress, address) = (&progress, proxy.address);
                scope.spawn(move || {
                    let _ended = progress.end_with();
                    while !progress.is_enough() {
                        writer.run(address, progress);
                    }
                });
            }
            for batches in (0..BATCHES).step_by(50) {
                for _ in 0..20 {
                    proxy.next(match random.within(0..20) {
                        0 => Fault::DropReply,
                        1 => Fault::DuplicateRequest,
                        2 => Fault::DuplicateReply,
                        _ => Fault::None,
                    });
                }
                assert!(progress.wait_for(batches), "the writers ended");
            }
            broker.signal(rustix::process::Signal::KILL);
            progress.enough();
        });
        broker.end();
        broker = Start::recycling(directory.path()).succeed();
        proxy.goes_to(broker.kafka());
        load.finish(broker.kafka());
        load.check(broker.kafka());
    }
    broker.stop();
}
