//! Power failures while messages are published, acknowledged, given back and dead-lettered.
//!
//! One thread does random things to three queues on a recorded disk and marks what it was told is durable. Then a broker
//! opens on what a power failure may have left at many moments, and the queues are emptied.
#![allow(clippy::unwrap_used, reason = "this is a test")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use firth_broker::dead_letter::Reason;
use firth_broker::{
    Broker, Clock, Config, Environment, Message, NewQueue, Queue, QueueOptions, Reader, Taken,
};
use firth_log::file::recorder::{Mark, Operation, Recorder, Seeded, SplitMix64};
use firth_log::{Engine, Options};

const NOW_MS: i64 = 1_800_000_000_000;
/// Two queues that share messages, and one that dead messages of the first go to.
const QUEUES: [&str; 3] = ["first", "second", "dead"];
const STEPS: usize = 150;
const IMAGES: usize = 60;

fn open(disk: &Recorder) -> Engine {
    let environment = firth_log::Environment {
        wall_ms: Arc::new(|| NOW_MS),
        random: Arc::new(|| [7; 16]),
        on_failure: Arc::new(|reason| panic!("the engine failed: {reason}")),
    };
    let options = Options {
        wal_bytes_max: Some(1 << 20),
        wal_file_bytes: 64 << 10,
        segment_bytes: 48 << 10,
        ..Options::default()
    };
    Engine::open(Arc::new(disk.clone()), environment, options).unwrap()
}

async fn start(engine: &Engine) -> Broker {
    let count = AtomicU64::new(1);
    let environment = Environment {
        clock: Clock::new(|| NOW_MS, || Duration::ZERO),
        random: Arc::new(move || u128::from(count.fetch_add(1, Ordering::Relaxed)).to_be_bytes()),
    };
    Broker::open(engine.clone(), Config::default(), environment)
        .await
        .unwrap()
}

async fn stop(broker: Broker, engine: Engine) {
    broker.shutdown().await;
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
}

async fn declare(broker: &Broker) -> Vec<Arc<Queue>> {
    let host = broker.topology().virtual_host("/").unwrap();
    let mut queues = Vec::new();
    for name in QUEUES {
        let dead_letters = name == "first";
        let new = NewQueue {
            name: name.to_owned(),
            durable: true,
            options: QueueOptions {
                dead_letter_exchange: dead_letters.then(|| "".into()),
                dead_letter_routing_key: dead_letters.then(|| "dead".into()),
                ..QueueOptions::default()
            },
            ..NewQueue::default()
        };
        let declared = broker.declare_queue(&host, new).await.unwrap();
        declared.commit.await.unwrap();
        queues.push(declared.item);
    }
    queues
}

/// What a mark says, of messages by their numbers and queues by their places.
#[derive(Clone, Debug)]
enum Told {
    /// The queues are declared.
    Begun,
    /// They are durable: in the first queue, and in the second as well where that is said.
    Confirmed(Vec<(u64, bool)>),
    /// They are about to be acknowledged.
    Leaving(usize, Vec<u64>),
    /// That they were acknowledged is durable.
    Left(usize, Vec<u64>),
}

struct Run {
    disk: Recorder,
    broker: Broker,
    queues: Vec<Arc<Queue>>,
    random: SplitMix64,
    told: Vec<Told>,
    next: u64,
    held: Vec<(usize, Taken, Vec<u64>)>,
}

impl Run {
    fn below(&mut self, limit: usize) -> usize {
        (self.random.draw() % limit as u64) as usize
    }

    fn tell(&mut self, told: Told) {
        self.disk.mark(self.told.len() as u64);
        self.told.push(told);
    }

    async fn step(&mut self) {
        match self.below(8) {
            0..=2 => self.publish().await,
            3..=4 => self.take().await,
            5 => self.acknowledge().await,
            6 => {
                if let Some((queue, taken, _)) = self.give_up() {
                    self.queues[queue].give_back([taken], true);
                }
            }
            _ => {
                if let Some((queue, taken, messages)) = self.give_up() {
                    // The second has nowhere to put what died.
                    if queue == 1 {
                        self.tell(Told::Leaving(queue, messages));
                    }
                    self.queues[queue].reject([taken], Reason::Rejected);
                }
            }
        }
    }

    async fn publish(&mut self) {
        let mut publication = self.broker.publication();
        let mut messages = Vec::new();
        for _ in 0..=self.below(4) {
            let body = format!(
                "{:08}{}",
                self.next,
                "x".repeat(self.random.draw() as usize % 400)
            );
            let message = Message {
                exchange: b"x",
                body: body.as_bytes(),
                ..Message::default()
            };
            let both = self.below(3) > 0;
            let targets = &self.queues[..if both { 2 } else { 1 }];
            publication.publish(&"/".into(), targets, &message).unwrap();
            messages.push((self.next, both));
            self.next += 1;
        }
        publication.store().unwrap().await.unwrap();
        self.tell(Told::Confirmed(messages));
    }

    async fn take(&mut self) {
        let queue = self.below(2);
        for _ in 0..=self.below(3) {
            let Some(taken) = self.queues[queue].get() else {
                return;
            };
            let messages = read(&self.queues[queue], taken.clone()).await;
            self.held.push((queue, taken, messages));
        }
    }

    async fn acknowledge(&mut self) {
        let Some((queue, taken, messages)) = self.give_up() else {
            return;
        };
        self.tell(Told::Leaving(queue, messages.clone()));
        self.queues[queue].acknowledge([(taken.priority, taken.offsets)]);
        if self.below(2) == 0 {
            self.broker.store_queues().unwrap().await.unwrap();
            self.tell(Told::Left(queue, messages));
        }
    }

    fn give_up(&mut self) -> Option<(usize, Taken, Vec<u64>)> {
        let count = self.held.len();
        (count > 0).then(|| {
            let at = self.below(count);
            self.held.swap_remove(at)
        })
    }
}

async fn read(queue: &Arc<Queue>, taken: Taken) -> Vec<u64> {
    let mut messages = Vec::new();
    let mut reader = Reader::new(queue.clone());
    let read = reader.read(taken, |delivered| {
        let number = std::str::from_utf8(&delivered.message.body[..8]).unwrap();
        messages.push(number.parse().unwrap());
        true
    });
    assert_eq!(read.await.unwrap(), None);
    messages
}

/// What each queue holds, in its order.
async fn contents(broker: &Broker) -> Vec<Vec<u64>> {
    let host = broker.topology().virtual_host("/").unwrap();
    let mut contents = Vec::new();
    for name in QUEUES {
        let mut messages = Vec::new();
        if let Some(queue) = host.queue(name) {
            while let Some(taken) = queue.get() {
                messages.extend(read(&queue, taken).await);
            }
        }
        contents.push(messages);
    }
    contents
}

async fn record(seed: u64) -> (Recorder, Vec<Told>) {
    let disk = Recorder::new();
    let engine = open(&disk);
    let broker = start(&engine).await;
    let queues = declare(&broker).await;
    let mut run = Run {
        disk: disk.clone(),
        broker: broker.clone(),
        queues,
        random: SplitMix64::new(seed),
        told: Vec::new(),
        next: 0,
        held: Vec::new(),
    };
    run.tell(Told::Begun);
    for _ in 0..STEPS {
        run.step().await;
    }
    let told = run.told;
    stop(broker, engine).await;
    (disk, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_failure_loses_and_repeats_nothing_that_was_told() {
    for seed in 1..4 {
        let (disk, told) = record(seed).await;
        let journal = disk.journal();
        let mut random = SplitMix64::new(seed);
        let first = journal
            .operations()
            .iter()
            .position(|operation| matches!(operation, Operation::Mark(_)))
            .unwrap();
        for _ in 0..IMAGES {
            let at = first + (random.draw() as usize) % (journal.len() - first);
            let known: Vec<&Told> = journal
                .marks_before(at)
                .filter_map(|(_, mark)| match mark {
                    Mark::Number(number) => told.get(*number as usize),
                    Mark::Label(_) => None,
                })
                .collect();
            let image = journal.image(at, &mut Seeded::new(random.draw()));
            let engine = open(&Recorder::from_image(image));
            let broker = start(&engine).await;
            check(
                &known,
                &contents(&broker).await,
                &format!("seed {seed}, operation {at}"),
            );
            stop(broker, engine).await;
        }
    }
}

fn check(known: &[&Told], contents: &[Vec<u64>], at: &str) {
    for messages in &contents[..2] {
        assert!(messages.is_sorted(), "out of order at {at}: {messages:?}");
    }
    let sets: Vec<BTreeSet<u64>> = contents
        .iter()
        .map(|messages| messages.iter().copied().collect())
        .collect();
    for (set, messages) in sets.iter().zip(contents) {
        assert_eq!(
            set.len(),
            messages.len(),
            "twice in a queue at {at}: {messages:?}"
        );
    }
    assert!(sets[0].is_disjoint(&sets[2]), "dead and alive at {at}");
    let mut leaving: [BTreeSet<u64>; 2] = Default::default();
    for told in known {
        match told {
            Told::Leaving(queue, messages) => leaving[*queue].extend(messages.iter().copied()),
            Told::Left(queue, messages) => {
                let back = messages.iter().find(|message| sets[*queue].contains(message));
                assert_eq!(back, None, "it came back to {} at {at}", QUEUES[*queue]);
            }
            Told::Begun | Told::Confirmed(_) => {}
        }
    }
    let is_in =
        |queue: usize, message: &u64| sets[queue].contains(message) || leaving[queue].contains(message);
    for told in known {
        let Told::Confirmed(messages) = told else { continue };
        for (message, both) in messages {
            assert!(
                is_in(0, message) || sets[2].contains(message),
                "{message} is lost at {at}"
            );
            assert!(
                !both || is_in(1, message),
                "{message} is lost to the second at {at}"
            );
        }
    }
}
