//! Many topics, or many partitions of one: created, listed, written, fetched, restarted and deleted, and what each costs in
//! memory.

use std::{
    collections::VecDeque,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::Scenario;
use crate::{
    batch::Batch,
    compare::{Comparison, figure::Figure},
    connection::Connection,
    process::{Memory, Usage},
    protocol::{
        self, FetchLimits,
        many::{self, Named, Session},
    },
    recycled::Durability,
    server::Server,
    table::Target,
};

/// Topics of one CreateTopics or DeleteTopics, batches of one Produce.
const PER_REQUEST: usize = 1000;
/// Topics that are created one by one, in requests that do not wait for each other.
const ONE_BY_ONE: usize = 10_000;
const DEPTH: usize = 64;
/// Partitions of the fetch session.
const FETCHED: usize = 10_000;
/// How long a Fetch waits for records that do not come.
const WAIT_MS: i32 = 3000;
/// Records that are sent one after the other to partitions of a waiting Fetch.
const WAKES: usize = 100;
/// The reader's request is to be there before the record is.
const SETTLE: Duration = Duration::from_millis(2);
const RECORD_BYTES: usize = 100;

const LIMITS: FetchLimits = FetchLimits {
    wait_ms_max: WAIT_MS,
    bytes_min: 1,
    bytes_max: 50 << 20,
    partition_bytes_max: 1 << 20,
};

/// What is there in numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Population {
    pub(super) topics: usize,
    /// Of each topic.
    pub(super) partitions: i32,
}

impl Population {
    fn len(self) -> usize {
        self.topics * self.partitions as usize
    }

    fn names(self) -> Vec<String> {
        (0..self.topics)
            .map(|topic| format!("scale-{topic:06}"))
            .collect()
    }
}

/// One round: the topics, and the figures that were taken so far.
struct Round<'a> {
    scenario: &'a Scenario,
    population: Population,
    topics: Vec<String>,
    batch: Batch,
    /// Before there were any topics.
    idle_bytes: u64,
    figures: Vec<Figure>,
}

impl Scenario {
    pub(super) fn scale(
        &self,
        comparison: &Comparison,
        dir: &Path,
        population: Population,
    ) -> Result<Vec<Figure>> {
        let start = || comparison.start_broker(dir, Durability::Disk);
        let Some(broker) = start()? else {
            return Ok(Vec::new());
        };
        let mut round = Round {
            scenario: self,
            population,
            topics: population.names(),
            batch: Batch::filled(RECORD_BYTES, 0, comparison.timestamp_ms),
            idle_bytes: Memory::of(broker.pid())?.resident_bytes,
            figures: Vec::new(),
        };
        round.create(&broker)?;
        round.list(&broker)?;
        broker.wait_until_idle()?;
        round.memory("bytes of RSS each", &broker, Target::AtMost(1024.0))?;
        broker.stop()?;

        let broker = start()?.context("there was a broker before")?;
        round.started("start after SIGTERM ms", &broker);
        round.memory("bytes of RSS each after it", &broker, Target::AtMost(1024.0))?;
        broker.kill()?;
        let broker = start()?.context("there was a broker before")?;
        round.started("start after kill -9 ms", &broker);
        round.write(&broker)?;
        round.fetch(&broker)?;
        broker.wait_until_idle()?;
        round.memory("bytes of RSS each, one record in each", &broker, Target::None)?;
        broker.kill()?;

        let broker = start()?.context("there was a broker before")?;
        round.started("start with records after kill -9 ms", &broker);
        broker.stop()?;
        let broker = start()?.context("there was a broker before")?;
        round.started("start with records after SIGTERM ms", &broker);
        round.delete(&broker)?;
        broker.wait_until_idle()?;
        round.memory("bytes of RSS each after deletion", &broker, Target::None)?;
        if population.topics > 1 {
            round.create_one_by_one(&broker)?;
        }
        broker.stop()?;
        Ok(round.figures)
    }
}

impl Round<'_> {
    fn figure(&mut self, name: &'static str, value: f64, target: Target) {
        eprintln!("    {name}: {value:.1}");
        self.figures
            .push(self.scenario.figure(name, None, Some(value), target));
    }

    fn started(&mut self, name: &'static str, broker: &Server) {
        self.figure(name, ms(broker.ready_after), Target::AtMost(10_000.0));
    }

    fn memory(&mut self, name: &'static str, broker: &Server, target: Target) -> Result<()> {
        let grown = Memory::of(broker.pid())?
            .resident_bytes
            .saturating_sub(self.idle_bytes);
        self.figure(name, grown as f64 / self.population.len() as f64, target);
        Ok(())
    }

    fn create(&mut self, broker: &Server) -> Result<()> {
        let mut connection = Connection::open(broker.address)?;
        let partitions = self.population.partitions;
        let began = Instant::now();
        for topics in self.topics.chunks(PER_REQUEST) {
            let created = connection.call(|id| many::create_topics(id, topics, partitions))?;
            ensure!(
                many::topics_created(&created)? == topics.len(),
                "a topic was not answered"
            );
        }
        self.figure("create s", began.elapsed().as_secs_f64(), Target::AtMost(60.0));
        Ok(())
    }

    fn create_one_by_one(&mut self, broker: &Server) -> Result<()> {
        let mut connection = Connection::open(broker.address)?;
        let topics = self.topics.get(..ONE_BY_ONE).unwrap_or(&self.topics);
        let mut waiting = VecDeque::new();
        let began = Instant::now();
        for topic in topics {
            if waiting.len() == DEPTH {
                let id = waiting.pop_front().context("the pipeline is full")?;
                many::topics_created(&connection.receive(id)?)?;
            }
            let one = std::slice::from_ref(topic);
            waiting.push_back(connection.send(|id| many::create_topics(id, one, 1))?);
        }
        for id in waiting {
            many::topics_created(&connection.receive(id)?)?;
        }
        let per_s = topics.len() as f64 / began.elapsed().as_secs_f64();
        self.figure("created one by one per s", per_s, Target::None);
        Ok(())
    }

    fn list(&mut self, broker: &Server) -> Result<()> {
        let mut connection = Connection::open(broker.address)?;
        let mut took = Duration::MAX;
        let mut bytes = 0;
        for _ in 0..3 {
            let began = Instant::now();
            let metadata = connection.call(many::metadata_of_all)?;
            took = took.min(began.elapsed());
            bytes = metadata.len();
            let led = protocol::partitions_with_leader(&metadata)?;
            ensure!(led == self.population.len(), "{led} partitions are listed");
        }
        self.figure("list ms", ms(took), Target::AtMost(1000.0));
        self.figure("list MB", bytes as f64 / 1e6, Target::None);
        Ok(())
    }

    fn write(&mut self, broker: &Server) -> Result<()> {
        let mut connection = Connection::open(broker.address)?;
        let all = self.population.partitions;
        let at_a_time = all.min(PER_REQUEST as i32);
        let began = Instant::now();
        for topics in self.topics.chunks(PER_REQUEST / at_a_time as usize) {
            for first in (0..all).step_by(at_a_time as usize) {
                let partitions = first..all.min(first + at_a_time);
                let named = Named { topics, partitions };
                let produced = connection.call(|id| many::produce(id, &named, &self.batch.bytes))?;
                ensure!(
                    many::produced(&produced)? == named.len(),
                    "a batch was not answered"
                );
            }
        }
        self.figure(
            "write one record to each s",
            began.elapsed().as_secs_f64(),
            Target::None,
        );
        Ok(())
    }

    /// A session over [`FETCHED`] partitions, each with one record.
    fn fetch(&mut self, broker: &Server) -> Result<()> {
        let topics = self
            .topics
            .get(..FETCHED.div_ceil(self.population.partitions as usize))
            .unwrap_or(&self.topics)
            .to_vec();
        let named = Named {
            topics: &topics,
            partitions: 0..self.population.partitions,
        };
        let nothing = Named {
            topics: &[],
            partitions: 0..0,
        };
        let mut reader = Connection::open(broker.address)?;
        let began = Instant::now();
        let answer = reader.call(|id| many::fetch(id, Session::NEW, &named, 0, LIMITS))?;
        self.figure("fetch of 10,000 ms", ms(began.elapsed()), Target::AtMost(100.0));
        let answered = many::fetched(&answer)?;
        ensure!(answered.with_records == named.len(), "not everything was fetched");
        let mut session = many::next(Session::NEW, &answered)?;
        for (name, named) in [
            ("CPU ms of 3 s waiting, positions named", &named),
            ("CPU ms of 3 s waiting, nothing named", &nothing),
        ] {
            let before = Usage::of(broker.pid())?;
            let answer = reader.call(|id| many::fetch(id, session, named, 1, LIMITS))?;
            let cpu_s = Usage::of(broker.pid())?.since(before).cpu_s();
            let answered = many::fetched(&answer)?;
            ensure!(answered.with_records == 0, "records came that nobody sent");
            session = many::next(session, &answered)?;
            self.figure(name, cpu_s * 1000.0, Target::None);
        }
        self.wake(broker, &topics, reader, session)
    }

    /// How long a record takes to a Fetch that waits for any of all these partitions.
    fn wake(
        &mut self,
        broker: &Server,
        topics: &[String],
        mut reader: Connection,
        mut session: Session,
    ) -> Result<()> {
        let mut writer = Connection::open(broker.address)?;
        let partitions = self.population.partitions as usize;
        let one = |at: usize| Named {
            topics: &topics[at / partitions..][..1],
            partitions: (at % partitions) as i32..(at % partitions) as i32 + 1,
        };
        let nothing = Named {
            topics: &[],
            partitions: 0..0,
        };
        let mut took = Vec::new();
        for at in 0..WAKES.min(topics.len() * partitions) {
            // The record before this one was read, and is not asked for again.
            let read = at.checked_sub(1).map_or(nothing.clone(), one);
            let waits = reader.send(|id| many::fetch(id, session, &read, 2, LIMITS))?;
            thread::sleep(SETTLE);
            let began = Instant::now();
            let written = writer.send(|id| many::produce(id, &one(at), &self.batch.bytes))?;
            let answered = many::fetched(&reader.receive(waits)?)?;
            took.push(began.elapsed());
            ensure!(answered.with_records == 1, "not the one record was fetched");
            session = many::next(session, &answered)?;
            many::produced(&writer.receive(written)?)?;
        }
        took.sort_unstable();
        let median_us = took[took.len() / 2].as_secs_f64() * 1e6;
        self.figure("a record to a waiting Fetch us", median_us, Target::None);
        Ok(())
    }

    fn delete(&mut self, broker: &Server) -> Result<()> {
        let mut connection = Connection::open(broker.address)?;
        let began = Instant::now();
        for topics in self.topics.chunks(PER_REQUEST) {
            let deleted = connection.call(|id| many::delete_topics(id, topics))?;
            ensure!(
                many::topics_deleted(&deleted)? == topics.len(),
                "a topic was not answered"
            );
        }
        self.figure("delete s", began.elapsed().as_secs_f64(), Target::None);
        let metadata = connection.call(many::metadata_of_all)?;
        let led = protocol::partitions_with_leader(&metadata)?;
        ensure!(led == 0, "{led} partitions are left");
        Ok(())
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
