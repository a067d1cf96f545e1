//! `bench consume`: one thread long-polls all partitions over a few connections, one Fetch in flight on each, and checks that the
//! offsets of every partition follow each other without a gap.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{
    batch,
    connection::{Connection, FRAME_BYTES_MAX},
    process::{Disks, Memory, Usage},
    protocol::{self, Edge, FetchLimits, FetchPosition},
    report::{Report, ServerUsage},
    wire::frame_size,
};

const TICK: Duration = Duration::from_millis(100);

#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) bootstrap: SocketAddr,
    pub(crate) topic: String,
    pub(crate) partitions: i32,
    pub(crate) connections: usize,
    pub(crate) limits: FetchLimits,
    pub(crate) check_crc: bool,
    /// Read what arrives, instead of reading to the offsets that were the last ones at the start.
    pub(crate) follow: Option<Follow>,
    pub(crate) pid: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Follow {
    /// Read before anything is measured.
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) records: u64,
    pub(crate) batches: u64,
    pub(crate) bytes: u64,
    pub(crate) fetches: u64,
    pub(crate) seconds: f64,
    driver_cpu_s: f64,
    server: Option<ServerUsage>,
    disks: Disks,
}

impl Outcome {
    pub(crate) fn records_per_s(&self) -> f64 {
        self.records as f64 / self.seconds
    }

    pub(crate) fn report(&self) -> Report {
        let mut report = Report::default();
        report.figure("msg_per_s", self.records_per_s());
        report.figure("mb_per_s", self.bytes as f64 / 1e6 / self.seconds);
        report
            .put("records", self.records)
            .put("batches", self.batches)
            .put("bytes", self.bytes);
        report
            .put("fetches", self.fetches)
            .figure("seconds", self.seconds);
        let millions = self.records as f64 / 1e6;
        report.figure("driver_cpu_s_per_million", self.driver_cpu_s / millions);
        if let Some(server) = &self.server {
            report.server(server, self.records, self.bytes);
        }
        report.disks(&self.disks, self.seconds);
        report
    }
}

pub(crate) fn run(reading: &Reading) -> Result<Outcome> {
    let mut control = Connection::open(reading.bootstrap)?;
    let first = control.offsets(&reading.topic, reading.partitions, Edge::Earliest)?;
    let last = control.offsets(&reading.topic, reading.partitions, Edge::Latest)?;
    let mut readers = Vec::new();
    for index in 0..reading.connections.min(reading.partitions as usize) {
        let own = (index..reading.partitions as usize).step_by(reading.connections);
        let positions = own
            .map(|partition| Position {
                fetch: FetchPosition {
                    partition: partition as i32,
                    offset: first[partition],
                },
                end: last[partition],
            })
            .collect();
        let stream = Connection::open(reading.bootstrap)?.into_nonblocking()?;
        readers.push(Reader::new(stream, positions, reading.connections));
    }
    for reader in &mut readers {
        reader.ask(reading)?;
    }
    if let Some(follow) = reading.follow {
        read_all(reading, &mut readers, Some(follow.warmup))?;
    }
    let server_before = reading.pid.map(Usage::of).transpose()?;
    let (own_before, disks_before, began) = (Usage::own()?, Disks::read()?, Instant::now());
    let duration = reading.follow.map(|follow| follow.duration);
    let mut outcome = read_all(reading, &mut readers, duration)?;
    outcome.seconds = began.elapsed().as_secs_f64();
    outcome.driver_cpu_s = Usage::own()?.since(own_before).cpu_s();
    outcome.disks = Disks::read()?.since(disks_before);
    if let (Some(pid), Some(before)) = (reading.pid, server_before) {
        outcome.server = Some(ServerUsage {
            usage: Usage::of(pid)?.since(before),
            memory: Memory::of(pid)?,
        });
    }
    Ok(outcome)
}

/// For so long, or to the end.
fn read_all(reading: &Reading, readers: &mut [Reader], duration: Option<Duration>) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let began = Instant::now();
    loop {
        if duration.map_or_else(
            || readers.iter().all(Reader::is_at_end),
            |duration| began.elapsed() >= duration,
        ) {
            return Ok(outcome);
        }
        let mut polled: Vec<PollFd<'_>> = readers
            .iter()
            .map(|reader| PollFd::new(&reader.stream, PollFlags::IN))
            .collect();
        poll(
            &mut polled,
            Some(&Timespec {
                tv_sec: 0,
                tv_nsec: TICK.as_nanos() as i64,
            }),
        )?;
        let ready: Vec<bool> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
        for (reader, _) in readers.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
            reader.receive(reading, &mut outcome)?;
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Position {
    fetch: FetchPosition,
    end: i64,
}

/// One connection and the partitions that it reads.
struct Reader {
    stream: TcpStream,
    /// Every `stride`-th partition, so that one is found by its number however many there are.
    positions: Vec<Position>,
    stride: usize,
    /// The position that a request names first moves on, so that no partition is always the last to be filled.
    first: usize,
    correlation_id: i32,
    received: Vec<u8>,
    filled: usize,
}

impl Reader {
    fn new(stream: TcpStream, positions: Vec<Position>, stride: usize) -> Self {
        Self {
            stream,
            positions,
            stride,
            first: 0,
            correlation_id: 0,
            received: vec![0; 1 << 20],
            filled: 0,
        }
    }

    fn is_at_end(&self) -> bool {
        self.positions
            .iter()
            .all(|position| position.fetch.offset >= position.end)
    }

    fn ask(&mut self, reading: &Reading) -> Result<()> {
        self.correlation_id += 1;
        self.first = (self.first + 1) % self.positions.len();
        let (before, from) = self.positions.split_at(self.first);
        let open = from
            .iter()
            .chain(before)
            .filter(|at| reading.follow.is_some() || at.fetch.offset < at.end);
        let fetches: Vec<FetchPosition> = open.map(|position| position.fetch).collect();
        if fetches.is_empty() {
            return Ok(());
        }
        let request = protocol::fetch(self.correlation_id, &reading.topic, &fetches, reading.limits);
        self.send(&request)
    }

    /// A request that names thousands of partitions is more than a socket takes at once. Waiting for room blocks nobody, as the
    /// server has nothing to send before it has read the request.
    fn send(&mut self, mut request: &[u8]) -> Result<()> {
        while !request.is_empty() {
            match self.stream.write(request) {
                Ok(written) => request = request.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&self.stream, PollFlags::OUT)], None)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn receive(&mut self, reading: &Reading, outcome: &mut Outcome) -> Result<()> {
        loop {
            match self.stream.read(&mut self.received[self.filled..]) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            }
            let Some(size) = frame_size(&self.received[..self.filled], FRAME_BYTES_MAX)? else {
                continue;
            };
            if self.received.len() < size {
                self.received.resize(size, 0);
            }
            ensure!(
                self.filled <= size,
                "bytes follow the only answer that was asked for"
            );
            if self.filled == size {
                self.filled = 0;
                outcome.fetches += 1;
                self.take(size, reading, outcome)?;
                return self.ask(reading);
            }
        }
    }

    fn take(&mut self, size: usize, reading: &Reading, outcome: &mut Outcome) -> Result<()> {
        let (positions, stride) = (&mut self.positions, self.stride);
        protocol::fetched(&self.received[4..size], self.correlation_id, |fetched| {
            let partition = fetched.partition;
            ensure!(
                fetched.error_code == 0,
                "partition {partition} failed with error {}",
                fetched.error_code
            );
            let position = usize::try_from(partition)
                .ok()
                .and_then(|partition| positions.get_mut(partition / stride))
                .filter(|position| position.fetch.partition == partition);
            let position = &mut position.context("an unknown partition was fetched")?.fetch;
            for head in batch::walk(fetched.records) {
                let head = head?;
                let next = head.base_offset + i64::from(head.last_offset_delta) + 1;
                // The first batch may start before the offset that was asked for, since batches are not split.
                if next <= position.offset {
                    continue;
                }
                ensure!(
                    head.base_offset <= position.offset,
                    "partition {partition}: offset {} is followed by {}",
                    position.offset - 1,
                    head.base_offset
                );
                if reading.check_crc {
                    head.check_crc()?;
                }
                position.offset = next;
                outcome.batches += 1;
                outcome.records += head.records as u64;
                outcome.bytes += head.bytes.len() as u64;
            }
            Ok(())
        })
    }
}
