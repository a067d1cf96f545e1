//! `bench latency`: records are produced at an even pace, one per request, with the time of sending in the value; a consumer
//! long-polls the partition. One thread does both, so that both ends read the same clock and nothing but the server stands between.
//!
//! A record that could not be sent in time is stamped when it is sent, and counted as late; the pace never waits for a reply.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use hdrhistogram::Histogram;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{
    batch::{self, Batch},
    connection::{Connection, FRAME_BYTES_MAX},
    process::{Disks, Memory, Usage},
    protocol::{self, Edge, FetchLimits, FetchPosition, PRODUCE_TAIL},
    report::{Report, ServerUsage, latency_histogram},
    wire::frame_size,
};

/// Correlation ids repeat after so many requests; more are never in flight.
const IN_FLIGHT_MAX: u64 = 4096;
/// A record this much behind its time is reported as late.
const LATE: Duration = Duration::from_millis(1);
/// A server that flushes each record alone may need it for all that are in flight.
const DRAIN_MAX: Duration = Duration::from_secs(60);
const LIMITS: FetchLimits = FetchLimits {
    wait_ms_max: 1000,
    bytes_min: 1,
    bytes_max: 16 << 20,
    partition_bytes_max: 1 << 20,
};

#[derive(Debug, Clone)]
pub(crate) struct Pacing {
    pub(crate) bootstrap: SocketAddr,
    pub(crate) topic: String,
    pub(crate) rate: f64,
    pub(crate) record_bytes: usize,
    /// Sent before anything is measured.
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
    /// Without a consumer, for a server that has no Fetch.
    pub(crate) ack_only: bool,
    pub(crate) pid: Option<u32>,
}

#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) to_ack: Histogram<u64>,
    pub(crate) to_consume: Histogram<u64>,
    late: u64,
    sent: u64,
    record_bytes: usize,
    seconds: f64,
    server: Option<ServerUsage>,
    disks: Disks,
}

impl Outcome {
    pub(crate) fn report(&self) -> Report {
        let mut report = Report::default();
        report
            .put("sent", self.sent)
            .put("late", self.late)
            .figure("seconds", self.seconds);
        report
            .percentiles("ack", &self.to_ack)
            .percentiles("consume", &self.to_consume);
        if let Some(server) = &self.server {
            report.server(server, self.sent, self.sent * self.record_bytes as u64);
        }
        report.disks(&self.disks, self.seconds);
        report
    }
}

pub(crate) fn run(pacing: &Pacing, timestamp_ms: i64) -> Result<Outcome> {
    ensure!(pacing.record_bytes >= 8, "a stamp takes 8 bytes");
    crate::process::precise_timers()?;
    let mut control = Connection::open(pacing.bootstrap)?;
    control.create_topic(&pacing.topic, 1, &[])?;
    let batch = Batch::filled(pacing.record_bytes, 0, timestamp_ms);
    let mut session = Session {
        origin: Instant::now(),
        producer: Socket::open(pacing.bootstrap)?,
        consumer: None,
        shape: batch.clone(),
        batch,
        topic: &pacing.topic,
        sent: 0,
        acked: 0,
        consumed: 0,
        sent_ns: vec![0; IN_FLIGHT_MAX as usize],
        fetch_id: 0,
        next_offset: 0,
        to_ack: latency_histogram(),
        to_consume: latency_histogram(),
        late: 0,
    };
    if !pacing.ack_only {
        session.next_offset = control.offsets(&pacing.topic, 1, Edge::Latest)?[0];
        session.consumer = Some(Socket::open(pacing.bootstrap)?);
        session.fetch()?;
    }
    session.pace(pacing.rate, pacing.warmup)?;
    session.drain()?;
    session.measure(pacing)
}

struct Session<'a> {
    origin: Instant,
    producer: Socket,
    consumer: Option<Socket>,
    batch: Batch,
    shape: Batch,
    topic: &'a str,
    sent: u64,
    acked: u64,
    consumed: u64,
    sent_ns: Vec<u64>,
    fetch_id: i32,
    next_offset: i64,
    to_ack: Histogram<u64>,
    to_consume: Histogram<u64>,
    late: u64,
}

impl Session<'_> {
    fn now_ns(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    fn measure(&mut self, pacing: &Pacing) -> Result<Outcome> {
        self.to_ack.reset();
        self.to_consume.reset();
        self.late = 0;
        let sent_before = self.sent;
        let server_before = pacing.pid.map(Usage::of).transpose()?;
        let disks_before = Disks::read()?;
        let began = Instant::now();
        self.pace(pacing.rate, pacing.duration)?;
        self.drain()?;
        let server = match (pacing.pid, server_before) {
            (Some(pid), Some(before)) => Some(ServerUsage {
                usage: Usage::of(pid)?.since(before),
                memory: Memory::of(pid)?,
            }),
            _ => None,
        };
        Ok(Outcome {
            to_ack: self.to_ack.clone(),
            to_consume: self.to_consume.clone(),
            late: self.late,
            sent: self.sent - sent_before,
            record_bytes: pacing.record_bytes,
            seconds: began.elapsed().as_secs_f64(),
            server,
            disks: Disks::read()?.since(disks_before),
        })
    }

    /// Sends `rate` records a second, evenly.
    fn pace(&mut self, rate: f64, duration: Duration) -> Result<()> {
        let began_ns = self.now_ns();
        let count = (duration.as_secs_f64() * rate) as u64;
        for index in 0..count {
            let due_ns = began_ns + (index as f64 / rate * 1e9) as u64;
            loop {
                let now_ns = self.now_ns();
                if now_ns >= due_ns && self.sent - self.acked < IN_FLIGHT_MAX {
                    self.late += u64::from(now_ns - due_ns > LATE.as_nanos() as u64);
                    break;
                }
                self.wait(Duration::from_nanos(due_ns.saturating_sub(now_ns).max(1)))?;
            }
            self.send()?;
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<()> {
        let began = Instant::now();
        while self.acked < self.sent || (self.consumer.is_some() && self.consumed < self.sent) {
            ensure!(
                began.elapsed() < DRAIN_MAX,
                "of {} records {} were acknowledged and {} consumed",
                self.sent,
                self.acked,
                self.consumed
            );
            self.wait(Duration::from_millis(10))?;
        }
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        let slot = (self.sent % IN_FLIGHT_MAX) as usize;
        let mut request = protocol::produce_prefix(slot as i32, self.topic, 0, -1, self.batch.bytes.len());
        let now_ns = self.now_ns();
        self.batch.stamp(now_ns);
        request.extend_from_slice(&self.batch.bytes);
        request.extend_from_slice(&PRODUCE_TAIL);
        self.sent_ns[slot] = now_ns;
        self.sent += 1;
        self.producer.send(&request)
    }

    /// Waits at most so long for an answer on either connection, and takes it.
    fn wait(&mut self, timeout: Duration) -> Result<()> {
        let (acks, records) = {
            let timeout = Timespec {
                tv_sec: 0,
                tv_nsec: timeout.as_nanos().min(999_999_999) as i64,
            };
            let mut polled = vec![PollFd::new(&self.producer.stream, self.producer.interest())];
            polled.extend(
                self.consumer
                    .iter()
                    .map(|socket| PollFd::new(&socket.stream, socket.interest())),
            );
            poll(&mut polled, Some(&timeout))?;
            (
                !polled[0].revents().is_empty(),
                polled.get(1).is_some_and(|fd| !fd.revents().is_empty()),
            )
        };
        let now_ns = self.now_ns();
        if acks {
            self.producer.flush()?;
            self.producer.receive()?;
            self.take_acks(now_ns)?;
        }
        if records && let Some(consumer) = &mut self.consumer {
            consumer.flush()?;
            consumer.receive()?;
            self.take_records(now_ns)?;
        }
        Ok(())
    }

    fn take_acks(&mut self, now_ns: u64) -> Result<()> {
        while let Some(frame) = self.producer.next_frame()? {
            let reply = protocol::produced(frame)?;
            let slot = (self.acked % IN_FLIGHT_MAX) as usize;
            ensure!(
                reply.error_code == 0 && reply.correlation_id == slot as i32,
                "request {slot} was answered as {reply:?}"
            );
            self.to_ack.saturating_record(now_ns - self.sent_ns[slot]);
            self.acked += 1;
        }
        self.producer.compact();
        Ok(())
    }

    fn take_records(&mut self, now_ns: u64) -> Result<()> {
        let Some(consumer) = &mut self.consumer else {
            return Ok(());
        };
        let Some(frame) = consumer.next_frame()? else {
            return Ok(());
        };
        let (shape, to_consume) = (&self.shape, &mut self.to_consume);
        let (next_offset, consumed) = (&mut self.next_offset, &mut self.consumed);
        protocol::fetched(frame, self.fetch_id, |fetched| {
            ensure!(
                fetched.error_code == 0,
                "the fetch failed with error {}",
                fetched.error_code
            );
            for head in batch::walk(fetched.records) {
                let head = head?;
                ensure!(
                    head.base_offset == *next_offset,
                    "offset {next_offset} was answered by {head:?}"
                );
                to_consume.saturating_record(now_ns.saturating_sub(shape.stamp_of(head.bytes)?));
                *next_offset += 1;
                *consumed += 1;
            }
            Ok(())
        })?;
        consumer.compact();
        self.fetch()
    }

    fn fetch(&mut self) -> Result<()> {
        self.fetch_id = self.fetch_id.wrapping_add(1);
        let position = FetchPosition {
            partition: 0,
            offset: self.next_offset,
        };
        let request = protocol::fetch(self.fetch_id, self.topic, &[position], LIMITS);
        self.consumer
            .as_mut()
            .map_or(Ok(()), |consumer| consumer.send(&request))
    }
}

/// A nonblocking socket and what arrived on it.
struct Socket {
    stream: TcpStream,
    received: Vec<u8>,
    filled: usize,
    taken: usize,
    unsent: Vec<u8>,
}

impl Socket {
    fn open(bootstrap: SocketAddr) -> Result<Self> {
        let stream = Connection::open(bootstrap)?.into_nonblocking()?;
        Ok(Self {
            stream,
            received: vec![0; 64 << 10],
            filled: 0,
            taken: 0,
            unsent: Vec::new(),
        })
    }

    /// Sends what the socket has room for; the rest goes when [`Socket::flush`] is called again.
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.unsent.extend_from_slice(bytes);
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(written) => drop(self.unsent.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn interest(&self) -> PollFlags {
        if self.unsent.is_empty() {
            PollFlags::IN
        } else {
            PollFlags::IN | PollFlags::OUT
        }
    }

    fn receive(&mut self) -> Result<()> {
        loop {
            if self.filled == self.received.len() {
                self.received.resize(self.filled * 2, 0);
            }
            match self.stream.read(&mut self.received[self.filled..]) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next whole frame, behind its size.
    fn next_frame(&mut self) -> Result<Option<&[u8]>> {
        let rest = &self.received[self.taken..self.filled];
        let Some(size) = frame_size(rest, FRAME_BYTES_MAX)? else {
            return Ok(None);
        };
        let Some(frame) = rest.get(4..size) else {
            return Ok(None);
        };
        self.taken += size;
        Ok(Some(frame))
    }

    /// Forgets the frames that were taken.
    fn compact(&mut self) {
        self.received.copy_within(self.taken..self.filled, 0);
        self.filled -= self.taken;
        self.taken = 0;
    }
}
