//! One connection that keeps Produce requests in flight: a task that sends, and one that takes the answers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::{Buf, Bytes, BytesMut};
use firth_kafka_codec::{
    ApiKey, Chain, Frame, PartitionProduceData, ProduceRequest, TopicProduceData, Uuid, decode_response,
    encode_request, split_frame,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::tally::Tally;
use crate::client::{Client, FRAME_BYTES_MAX, check};
use crate::environment::since_boot;

const TIMEOUT_MS: i32 = 30_000;
/// What is read at a time at most beyond a frame.
const READ_BYTES: usize = 64 * 1024;

/// A batch that is sent.
pub(super) struct Load {
    pub(super) records: Bytes,
    pub(super) count: u64,
    /// Without keys, headers and what frames them.
    pub(super) payload_bytes: u64,
}

pub(super) struct Link {
    pub(super) topic: String,
    pub(super) topic_id: Uuid,
    /// They take turns.
    pub(super) partitions: Vec<i32>,
    pub(super) acks: i16,
    pub(super) in_flight: usize,
    /// Time between two requests; absent where one follows the other.
    pub(super) every: Option<Duration>,
}

/// A request that is not answered yet.
struct Sent {
    correlation_id: i32,
    /// When it was due.
    at: Duration,
    records: u64,
    payload_bytes: u64,
}

impl Link {
    /// Sends what `load` gives, which is told when it is due, until the tally says that it is enough.
    pub(super) fn start(
        self,
        client: Client,
        tally: &Arc<Tally>,
        workers: &mut JoinSet<Result<()>>,
        load: impl FnMut(Duration) -> Load + Send + 'static,
    ) -> Result<()> {
        let version = client.version(ApiKey::Produce)?;
        let (read, write) = client.into_stream().into_split();
        let (send, sent) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(self.in_flight));
        let receiving = Receiving {
            stream: read,
            received: BytesMut::with_capacity(READ_BYTES),
            version,
            sent,
            room: room.clone(),
            tally: tally.clone(),
        };
        if self.acks != 0 {
            workers.spawn(receiving.run());
        }
        let sending = Sending {
            link: self,
            stream: write,
            buffer: BytesMut::new(),
            version,
            send,
            room,
            tally: tally.clone(),
        };
        workers.spawn(sending.run(load));
        Ok(())
    }
}

struct Sending {
    link: Link,
    stream: OwnedWriteHalf,
    buffer: BytesMut,
    version: i16,
    send: mpsc::UnboundedSender<Sent>,
    /// As many permits as requests may be sent.
    room: Arc<Semaphore>,
    tally: Arc<Tally>,
}

impl Sending {
    async fn run(mut self, mut load: impl FnMut(Duration) -> Load) -> Result<()> {
        let began = since_boot();
        let mut woke = began;
        for turn in 0_u64.. {
            if let Some(every) = self.link.every {
                let due = began + due(every, turn);
                let now = since_boot();
                if due > now {
                    tokio::select! {
                        () = tokio::time::sleep(due - now) => woke = since_boot(),
                        () = self.tally.stopped() => break,
                    }
                }
            }
            if self.link.acks != 0 {
                // Nobody closes it.
                let Ok(permit) = self.room.acquire().await else {
                    break;
                };
                permit.forget();
            }
            // What waits for the broker is late by its fault, and what waits for the timer of this process is not.
            let at = match self.link.every {
                Some(every) => woke.max(began + due(every, turn)),
                None => since_boot(),
            };
            let load = load(at);
            if !self.tally.give(load.count) {
                break;
            }
            self.send(turn, at, load).await?;
        }
        Ok(())
    }

    async fn send(&mut self, turn: u64, at: Duration, load: Load) -> Result<()> {
        let index = usize::try_from(turn).unwrap_or(0) % self.link.partitions.len();
        let correlation_id = i32::try_from(turn & 0x7fff_ffff).unwrap_or(0);
        let mut frame = self.frame(correlation_id, self.link.partitions[index], load.records)?;
        let (records, payload_bytes) = (load.count, load.payload_bytes);
        if self.link.acks != 0 {
            let sent = Sent {
                correlation_id,
                at,
                records,
                payload_bytes,
            };
            if self.send.send(sent).is_err() {
                // Who takes the answers has failed, and says why.
                return Ok(());
            }
        }
        while frame.has_remaining() {
            self.stream
                .write_buf(&mut frame)
                .await
                .context("the connection is gone")?;
        }
        if self.link.acks == 0 {
            self.tally.count(records, payload_bytes, None);
            // A socket that always has room would keep the others waiting.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn frame(&mut self, correlation_id: i32, index: i32, records: Bytes) -> Result<Chain> {
        let data = TopicProduceData {
            name: self.link.topic.as_str().into(),
            topic_id: self.link.topic_id,
            partition_data: [PartitionProduceData {
                index,
                records: Some(records),
            }]
            .into_iter()
            .collect(),
        };
        let request = ProduceRequest {
            acks: self.link.acks,
            timeout_ms: TIMEOUT_MS,
            topic_data: [data].into_iter().collect(),
            ..Default::default()
        };
        let id = Some("firth-bench");
        Ok(encode_request(
            &mut self.buffer,
            self.version,
            correlation_id,
            id,
            &request,
        )?)
    }
}

/// How long after the first request one is due.
pub(super) fn due(every: Duration, turn: u64) -> Duration {
    let every_ns = u64::try_from(every.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(every_ns.saturating_mul(turn))
}

struct Receiving {
    stream: OwnedReadHalf,
    received: BytesMut,
    version: i16,
    sent: mpsc::UnboundedReceiver<Sent>,
    room: Arc<Semaphore>,
    tally: Arc<Tally>,
}

impl Receiving {
    /// Until all that was sent is answered and nothing more is.
    async fn run(mut self) -> Result<()> {
        while let Some(sent) = self.sent.recv().await {
            let frame = self.frame().await?;
            let now = since_boot();
            let (correlation_id, response) = decode_response::<ProduceRequest>(self.version, &frame)
                .context("the answer to a Produce cannot be read")?;
            if correlation_id != sent.correlation_id {
                bail!(
                    "the broker answered request {correlation_id} instead of {}",
                    sent.correlation_id
                );
            }
            let partitions = response
                .responses
                .iter()
                .flat_map(|topic| &topic.partition_responses);
            for partition in partitions {
                check(partition.error_code, partition.error_message.as_ref())
                    .with_context(|| format!("partition {}", partition.index))?;
            }
            let latency = now.saturating_sub(sent.at);
            self.tally.count(sent.records, sent.payload_bytes, Some(latency));
            self.room.add_permits(1);
        }
        Ok(())
    }

    async fn frame(&mut self) -> Result<Bytes> {
        loop {
            if let Frame::Whole(frame) = split_frame(&mut self.received, FRAME_BYTES_MAX)? {
                return Ok(frame);
            }
            let read = self.stream.read_buf(&mut self.received).await;
            if read.context("the connection is gone")? == 0 {
                bail!("the broker closed the connection");
            }
        }
    }
}
