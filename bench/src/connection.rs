//! A blocking connection for what comes before and after a measurement: versions, topics, offsets. The measured loops have
//! sockets of their own.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::fd::{AsFd, BorrowedFd},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::{
    protocol::{self, Edge},
    wire::{Decoder, frame_size},
};

/// The largest response that a driver accepts.
pub(crate) const FRAME_BYTES_MAX: usize = 256 << 20;
/// Apache Kafka needs a minute and more until it leads 10,000 new partitions.
const READY_TIMEOUT: Duration = Duration::from_secs(180);
/// Apache Kafka's controller writes at most 10,000 records for one request: the topic is one, each partition another.
const PARTITIONS_AT_ONCE: i32 = 5000;
const READY_POLL: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    next_correlation_id: i32,
}

impl Connection {
    pub(crate) fn open(bootstrap: SocketAddr) -> Result<Self> {
        let stream =
            TcpStream::connect(bootstrap).with_context(|| format!("cannot connect to {bootstrap}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READY_TIMEOUT))?;
        Ok(Self {
            stream,
            next_correlation_id: 1,
        })
    }

    /// The socket for a measured loop, once nothing blocks on it any more.
    pub(crate) fn into_nonblocking(self) -> Result<TcpStream> {
        self.stream.set_nonblocking(true)?;
        Ok(self.stream)
    }

    pub(crate) fn api_versions(&mut self) -> Result<()> {
        let body = self.call(protocol::api_versions)?;
        let error_code = Decoder::new(&body).i16()?;
        ensure!(error_code == 0, "ApiVersions failed with error {error_code}");
        Ok(())
    }

    /// Creates the topic if it does not exist, and returns when all its partitions have a leader that answers for them.
    pub(crate) fn create_topic(
        &mut self,
        topic: &str,
        partitions: i32,
        configs: &[(String, String)],
    ) -> Result<()> {
        let at_first = partitions.min(PARTITIONS_AT_ONCE);
        let created = self.call(|id| protocol::create_topic(id, topic, at_first, configs))?;
        if protocol::topic_created(&created)? && at_first < partitions {
            self.add_partitions(topic, at_first, partitions)?;
        }
        let started = Instant::now();
        loop {
            match self.check_ready(topic, partitions) {
                Ok(()) => return Ok(()),
                Err(error) if started.elapsed() > READY_TIMEOUT => {
                    return Err(error.context(format!("topic {topic} is not ready after {READY_TIMEOUT:?}")));
                }
                Err(_) => sleep(READY_POLL),
            }
        }
    }

    fn add_partitions(&mut self, topic: &str, from: i32, to: i32) -> Result<()> {
        let mut there = from;
        while there < to {
            there = to.min(there + PARTITIONS_AT_ONCE);
            let grown = self.call(|id| protocol::create_partitions(id, topic, there))?;
            protocol::topic_created(&grown)?;
        }
        Ok(())
    }

    /// Metadata alone is not enough: Apache Kafka names a leader before that broker has begun to lead.
    fn check_ready(&mut self, topic: &str, partitions: i32) -> Result<()> {
        let metadata = self.call(|id| protocol::metadata(id, topic))?;
        let led = protocol::partitions_with_leader(&metadata)?;
        ensure!(
            led == partitions as usize,
            "{led} of {partitions} partitions have a leader"
        );
        self.offsets(topic, partitions, Edge::Latest)?;
        Ok(())
    }

    pub(crate) fn offsets(&mut self, topic: &str, partitions: i32, edge: Edge) -> Result<Vec<i64>> {
        let listed = self.call(|id| protocol::list_offsets(id, topic, partitions, edge))?;
        protocol::offsets_listed(&listed, partitions)
    }

    /// Sends a request and returns the body of its response.
    pub(crate) fn call(&mut self, request: impl FnOnce(i32) -> Vec<u8>) -> Result<Vec<u8>> {
        let correlation_id = self.send(request)?;
        self.receive(correlation_id)
    }

    /// Sends a request whose response is to be received later; responses come in the order of their requests.
    pub(crate) fn send(&mut self, request: impl FnOnce(i32) -> Vec<u8>) -> Result<i32> {
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id += 1;
        self.stream.write_all(&request(correlation_id))?;
        Ok(correlation_id)
    }

    pub(crate) fn receive(&mut self, correlation_id: i32) -> Result<Vec<u8>> {
        let mut size = [0; 4];
        self.stream
            .read_exact(&mut size)
            .context("the server closed the connection")?;
        let frame_bytes = frame_size(&size, FRAME_BYTES_MAX)?.context("a size is four bytes")? - 4;
        let mut frame = vec![0; frame_bytes];
        self.stream.read_exact(&mut frame)?;
        let answered = Decoder::new(&frame).i32()?;
        ensure!(
            answered == correlation_id,
            "request {correlation_id} was answered as {answered}"
        );
        frame.drain(..4);
        Ok(frame)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
