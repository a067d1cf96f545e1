//! `bench produce`: one thread keeps `connections` × `depth` Produce requests in flight and checks every reply.
//!
//! The story of a request: [`Plan`] encodes, once, the part of it that differs between partitions; a [`Link`] hands many of them
//! to the kernel in one vectored write, each followed by the one batch that all requests share (or one of few, where they have keys); the reply frees the slot that the
//! next request takes. So the driver's cost per request is a few `iovec`s and a comparison, and the batch stays in its cache.

mod link;
mod plan;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
};

use self::{link::Link, plan::Plan};
use crate::{
    batch::Batch,
    connection::Connection,
    process::{Disks, Memory, Usage},
    report::{Report, ServerUsage, latency_histogram},
};

/// How long the loop sleeps at most: the precision of `--rate`, and how soon a silent server is noticed.
const TICK: Duration = Duration::from_millis(1);
const SILENCE_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) bootstrap: SocketAddr,
    pub(crate) topic: String,
    pub(crate) partitions: i32,
    pub(crate) topic_configs: Vec<(String, String)>,
    pub(crate) connections: usize,
    pub(crate) depth: usize,
    pub(crate) record_bytes: usize,
    pub(crate) batch_bytes: usize,
    pub(crate) acks: i16,
    /// Without a number records have no keys and all batches are the same one.
    pub(crate) keys: Option<u64>,
    /// What is written before anything is measured.
    pub(crate) warmup: Until,
    pub(crate) until: Until,
    /// Records per second; without it the replies alone set the pace.
    pub(crate) rate: Option<f64>,
    /// The server's process, if its use of the machine is to be reported.
    pub(crate) pid: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Elapsed(Duration),
    PayloadBytes(u64),
}

/// What one measurement found.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) records: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    /// From the first byte of a request given to the kernel to its reply read from it.
    pub(crate) latency: Histogram<u64>,
    pub(crate) driver_cpu_s: f64,
    pub(crate) server: Option<ServerUsage>,
    pub(crate) disks: Disks,
}

impl Outcome {
    pub(crate) fn records_per_s(&self) -> f64 {
        self.records as f64 / self.seconds
    }

    pub(crate) fn report(&self) -> Report {
        let mut report = Report::default();
        report.figure("msg_per_s", self.records_per_s());
        report.figure("mb_per_s", self.payload_bytes as f64 / 1e6 / self.seconds);
        report.figure("requests_per_s", self.requests as f64 / self.seconds);
        report
            .put("records", self.records)
            .put("payload_bytes", self.payload_bytes);
        report
            .figure("seconds", self.seconds)
            .percentiles("ack", &self.latency);
        report.figure(
            "driver_cpu_s_per_million",
            self.driver_cpu_s / (self.records as f64 / 1e6),
        );
        if let Some(server) = &self.server {
            report.server(server, self.records, self.payload_bytes);
        }
        report.disks(&self.disks, self.seconds);
        report
    }
}

/// Creates the topic, loads the server, and measures.
pub(crate) fn run(load: &Load, timestamp_ms: i64) -> Result<Outcome> {
    let mut control = Connection::open(load.bootstrap)?;
    control.api_versions()?;
    control.create_topic(&load.topic, load.partitions, &load.topic_configs)?;
    let batches = batches(load, timestamp_ms);
    let plan = Plan {
        topic: &load.topic,
        acks: load.acks,
        depth: load.depth,
        batches: &batches,
    };
    let mut driver = Driver::connect(load, &plan)?;
    driver.warm_up(load.warmup)?;
    driver.measure(load)
}

/// Each key once, or one batch without keys.
fn batches(load: &Load, timestamp_ms: i64) -> Vec<Batch> {
    let Some(keys) = load.keys else {
        return vec![Batch::filled(load.record_bytes, load.batch_bytes, timestamp_ms)];
    };
    let mut batches: Vec<Batch> = Vec::new();
    let mut key = 0;
    while key < keys {
        let next = (key..).map(|key| (key % keys, true));
        let batch = Batch::keyed(next, load.record_bytes, load.batch_bytes, timestamp_ms);
        key += batch.records;
        batches.push(batch);
    }
    batches
}

struct Driver<'a> {
    epoll: rustix::fd::OwnedFd,
    events: Vec<epoll::Event>,
    links: Vec<Link>,
    plan: &'a Plan<'a>,
    origin: Instant,
    pace: Option<Pace>,
    acked: u64,
    /// Requests that may still be sent; `u64::MAX` while only time ends the run.
    allowed: u64,
    latency: Histogram<u64>,
    heard_ns: u64,
}

/// Requests per second, and how many were sent since the pace began.
struct Pace {
    requests_per_s: f64,
    began_ns: u64,
    sent: u64,
}

impl Pace {
    fn due(&self, now_ns: u64) -> u64 {
        let due = (now_ns - self.began_ns) as f64 / 1e9 * self.requests_per_s;
        (due as u64).saturating_sub(self.sent)
    }
}

impl<'a> Driver<'a> {
    fn connect(load: &Load, plan: &'a Plan<'a>) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut links = Vec::with_capacity(load.connections);
        for index in 0..load.connections {
            let stream = Connection::open(load.bootstrap)?.into_nonblocking()?;
            let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
            epoll::add(&epoll, &stream, epoll::EventData::new_u64(index as u64), flags)?;
            links.push(Link::new(
                stream,
                plan.ring(index, load.connections, load.partitions),
            ));
        }
        let records_per_request = plan.batch().records as f64;
        Ok(Self {
            epoll,
            events: Vec::with_capacity(load.connections.clamp(1, 256)),
            links,
            plan,
            origin: Instant::now(),
            pace: load.rate.map(|rate| Pace {
                requests_per_s: rate / records_per_request,
                began_ns: 0,
                sent: 0,
            }),
            acked: 0,
            allowed: u64::MAX,
            latency: latency_histogram(),
            heard_ns: 0,
        })
    }

    fn now_ns(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    fn warm_up(&mut self, warmup: Until) -> Result<()> {
        self.start_links()?;
        match warmup {
            Until::Elapsed(duration) => self.turn_for(duration),
            Until::PayloadBytes(bytes) => {
                let requests = bytes.div_ceil(self.plan.batch().payload_bytes);
                while self.acked < requests {
                    self.turn()?;
                }
                Ok(())
            }
        }
    }

    fn turn_for(&mut self, duration: Duration) -> Result<()> {
        let began_ns = self.now_ns();
        while self.now_ns() - began_ns < duration.as_nanos() as u64 {
            self.turn()?;
        }
        Ok(())
    }

    fn measure(&mut self, load: &Load) -> Result<Outcome> {
        let acked_before = self.acked;
        self.latency.reset();
        let server_before = load.pid.map(Usage::of).transpose()?;
        let (own_before, disks_before) = (Usage::own()?, Disks::read()?);
        let began_ns = self.now_ns();
        match load.until {
            Until::Elapsed(duration) => self.turn_for(duration)?,
            Until::PayloadBytes(bytes) => {
                let requests = bytes.div_ceil(self.plan.batch().payload_bytes);
                let sent: u64 = self.links.iter().map(Link::unanswered).sum();
                self.allowed = requests.saturating_sub(sent);
                while self.acked - acked_before < requests {
                    self.turn()?;
                }
            }
        }
        let seconds = (self.now_ns() - began_ns) as f64 / 1e9;
        let requests = self.acked - acked_before;
        let server = match (load.pid, server_before) {
            (Some(pid), Some(before)) => Some(ServerUsage {
                usage: Usage::of(pid)?.since(before),
                memory: Memory::of(pid)?,
            }),
            _ => None,
        };
        let outcome = Outcome {
            records: requests * self.plan.batch().records,
            payload_bytes: requests * self.plan.batch().payload_bytes,
            requests,
            seconds,
            latency: self.latency.clone(),
            driver_cpu_s: Usage::own()?.since(own_before).cpu_s(),
            server,
            disks: Disks::read()?.since(disks_before),
        };
        self.drain()?;
        Ok(outcome)
    }

    fn start_links(&mut self) -> Result<()> {
        let now_ns = self.now_ns();
        if let Some(pace) = &mut self.pace {
            pace.began_ns = now_ns;
        }
        self.heard_ns = now_ns;
        for index in 0..self.links.len() {
            self.send(index, now_ns)?;
        }
        Ok(())
    }

    /// Waits for replies and room, and takes what is there.
    fn turn(&mut self) -> Result<()> {
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: TICK.as_nanos() as i64,
        };
        self.events.clear();
        epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout))?;
        let now_ns = self.now_ns();
        let events = std::mem::take(&mut self.events);
        for event in &events {
            let index = event.data.u64() as usize;
            let flags = event.flags;
            if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
                self.receive(index, now_ns)?;
            }
            self.send(index, now_ns)?;
        }
        self.events = events;
        if self.pace.is_some() {
            for index in 0..self.links.len() {
                self.send(index, now_ns)?;
            }
        }
        if now_ns - self.heard_ns > SILENCE_MAX.as_nanos() as u64 {
            bail!("no reply arrived within {SILENCE_MAX:?}");
        }
        Ok(())
    }

    fn receive(&mut self, index: usize, now_ns: u64) -> Result<()> {
        let answered = self.links[index].receive(now_ns, &mut self.latency)?;
        if answered > 0 {
            self.acked += answered;
            self.heard_ns = now_ns;
        }
        Ok(())
    }

    fn send(&mut self, index: usize, now_ns: u64) -> Result<()> {
        let due = self.pace.as_ref().map_or(u64::MAX, |pace| pace.due(now_ns));
        let sent = self.links[index].send(self.plan, due.min(self.allowed), now_ns)?;
        if self.allowed != u64::MAX {
            self.allowed -= sent;
        }
        if let Some(pace) = &mut self.pace {
            pace.sent += sent;
        }
        if self.plan.acks == 0 {
            self.acked += sent;
            self.heard_ns = now_ns;
        }
        Ok(())
    }

    /// Nothing new is sent; what is in flight is answered and checked.
    fn drain(&mut self) -> Result<()> {
        self.allowed = 0;
        self.heard_ns = self.now_ns();
        while self.links.iter().any(|link| link.unanswered() > 0) {
            self.turn()?;
        }
        Ok(())
    }
}
