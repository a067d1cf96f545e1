//! One blocking connection: requests may be pipelined, and an answer that does not come is a failure of the test.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use firth_kafka_codec::{
    CreatableTopic, CreateTopicsRequest, DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
    EARLIEST_TIMESTAMP, ErrorCode, FetchPartition, FetchRequest, FetchTopic, InitProducerIdRequest,
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic, OffsetCommitRequest,
    OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetFetchRequest, OffsetFetchRequestTopic,
    PartitionData, PartitionProduceData, PartitionProduceResponse, ProduceRequest, Records, RequestMessage,
    SIZE_BYTES, TopicProduceData, decode_response, encode_request, frame_size,
};

pub(crate) const TOPIC: &str = "crash";
/// The latest versions that name topics.
const PRODUCE_VERSION: i16 = 12;
/// The latest versions for one group and names of topics.
const COMMIT_VERSION: i16 = 9;
const OFFSETS_VERSION: i16 = 7;
pub(crate) const FETCH_VERSION: i16 = 12;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a produce request may take before it is answered with an error.
const TIMEOUT_MS: i32 = 10_000;
const FETCH_BYTES: i32 = 4 << 20;
const FRAME_BYTES_MAX: usize = 64 << 20;

pub(crate) struct Client {
    stream: TcpStream,
    next_id: i32,
    /// The correlation ids of produce requests that are not answered.
    in_flight: VecDeque<i32>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Client {
            stream,
            next_id: 0,
            in_flight: VecDeque::new(),
        })
    }

    /// Sends a request and does not wait for its answer.
    pub(crate) fn send<R: RequestMessage>(&mut self, version: i16, request: &R) -> io::Result<i32> {
        self.next_id += 1;
        let mut frame = encode_request(
            &mut BytesMut::new(),
            version,
            self.next_id,
            Some("crash"),
            request,
        )
        .unwrap();
        let frame = frame.copy_to_bytes(frame.remaining());
        self.stream.write_all(&frame).map_err(not_stuck)?;
        Ok(self.next_id)
    }

    pub(crate) fn receive_frame(&mut self) -> io::Result<Bytes> {
        read_frame(&mut self.stream).map_err(not_stuck)
    }

    pub(crate) fn call<R: RequestMessage>(&mut self, version: i16, request: &R) -> io::Result<R::Response> {
        let sent = self.send(version, request)?;
        let (answered, response) = decode_response::<R>(version, &self.receive_frame()?).unwrap();
        assert_eq!(answered, sent, "an answer to another request");
        Ok(response)
    }

    /// Sends one batch to each of some partitions, and does not wait.
    pub(crate) fn send_produce(&mut self, batches: impl IntoIterator<Item = (i32, Bytes)>) -> io::Result<()> {
        let partition = |(index, records)| PartitionProduceData {
            index,
            records: Some(records),
        };
        let data = TopicProduceData {
            name: TOPIC.into(),
            partition_data: batches.into_iter().map(partition).collect(),
            ..Default::default()
        };
        let request = ProduceRequest {
            acks: -1,
            timeout_ms: TIMEOUT_MS,
            topic_data: [data].into(),
            ..Default::default()
        };
        let sent = self.send(PRODUCE_VERSION, &request)?;
        self.in_flight.push_back(sent);
        Ok(())
    }

    /// Waits for the answer to the oldest produce request. One that was received before is ignored, as clients do.
    pub(crate) fn receive_produce(&mut self) -> io::Result<Vec<PartitionProduceResponse>> {
        let expected = *self.in_flight.front().expect("a request is in flight");
        loop {
            let frame = self.receive_frame()?;
            let (answered, response) = decode_response::<ProduceRequest>(PRODUCE_VERSION, &frame).unwrap();
            if answered < expected {
                continue;
            }
            assert_eq!(answered, expected, "answers out of order");
            self.in_flight.pop_front();
            return Ok(response
                .responses
                .into_iter()
                .flat_map(|topic| topic.partition_responses)
                .collect());
        }
    }

    pub(crate) fn produce(&mut self, partition: i32, batch: Bytes) -> io::Result<PartitionProduceResponse> {
        self.send_produce([(partition, batch)])?;
        Ok(self.receive_produce()?.remove(0))
    }

    pub(crate) fn init_producer_id(&mut self) -> io::Result<(i64, i16)> {
        let response = self.call(4, &InitProducerIdRequest::default())?;
        assert_eq!(response.error_code, ErrorCode::None);
        Ok((response.producer_id, response.producer_epoch))
    }

    pub(crate) fn create(&mut self, name: &str, partitions: i32) -> io::Result<ErrorCode> {
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: 1,
            ..Default::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![topic],
            ..Default::default()
        };
        Ok(self.call(5, &request)?.topics[0].error_code)
    }

    /// Creates the topic unless it is there.
    pub(crate) fn create_topic(&mut self, partitions: i32) -> io::Result<()> {
        let error_code = self.create(TOPIC, partitions)?;
        assert!(
            matches!(error_code, ErrorCode::None | ErrorCode::TopicAlreadyExists),
            "{error_code}"
        );
        Ok(())
    }

    /// What is there from `offset` on, waiting up to `wait_ms` for it.
    /// Commits an offset of the first partition, for whoever is in a group that nobody joined.
    pub(crate) fn commit(&mut self, group: &str, offset: i64) -> io::Result<ErrorCode> {
        let partition = OffsetCommitRequestPartition {
            committed_offset: offset,
            ..Default::default()
        };
        let request = OffsetCommitRequest {
            group_id: group.into(),
            topics: vec![OffsetCommitRequestTopic {
                name: TOPIC.into(),
                partitions: vec![partition],
                ..Default::default()
            }],
            ..Default::default()
        };
        let answer = self.call(COMMIT_VERSION, &request)?;
        Ok(answer.topics[0].partitions[0].error_code)
    }

    pub(crate) fn committed(&mut self, group: &str, partition: i32) -> io::Result<i64> {
        let request = OffsetFetchRequest {
            group_id: group.into(),
            topics: Some(vec![OffsetFetchRequestTopic {
                name: TOPIC.into(),
                partition_indexes: vec![partition],
            }]),
            ..Default::default()
        };
        let answer = self.call(OFFSETS_VERSION, &request)?;
        // A topic of which nothing is committed is not in the answer.
        let partition = answer.topics.first().map(|topic| &topic.partitions[0]);
        Ok(partition.map_or(-1, |partition| partition.committed_offset))
    }

    pub(crate) fn fetch(&mut self, partition: i32, offset: i64, wait_ms: i32) -> io::Result<PartitionData> {
        let mut response = self.call(
            FETCH_VERSION,
            &fetch_request(&[partition], offset, wait_ms, FETCH_BYTES),
        )?;
        assert_eq!(response.error_code, ErrorCode::None);
        Ok(response.responses.remove(0).partitions.remove(0))
    }

    /// The first offset of a partition.
    pub(crate) fn log_start(&mut self, partition: i32) -> io::Result<i64> {
        let partition = ListOffsetsPartition {
            partition_index: partition,
            current_leader_epoch: -1,
            timestamp: EARLIEST_TIMESTAMP,
            ..Default::default()
        };
        let topic = ListOffsetsTopic {
            name: TOPIC.into(),
            partitions: vec![partition],
        };
        let request = ListOffsetsRequest {
            topics: vec![topic],
            ..Default::default()
        };
        let found = self.call(5, &request)?.topics.remove(0).partitions.remove(0);
        assert_eq!(found.error_code, ErrorCode::None);
        Ok(found.offset)
    }

    /// Gives up the records before the offset; returns the first one that is left.
    pub(crate) fn delete_records(
        &mut self,
        partition: i32,
        offset: i64,
    ) -> io::Result<Result<i64, ErrorCode>> {
        let partition = DeleteRecordsPartition {
            partition_index: partition,
            offset,
        };
        let topic = DeleteRecordsTopic {
            name: TOPIC.into(),
            partitions: vec![partition],
        };
        let request = DeleteRecordsRequest {
            topics: vec![topic],
            ..Default::default()
        };
        let result = self.call(2, &request)?.topics.remove(0).partitions.remove(0);
        Ok(match result.error_code {
            ErrorCode::None => Ok(result.low_watermark),
            code => Err(code),
        })
    }
}

/// Asks for what some partitions have from `offset` on.
pub(crate) fn fetch_request(partitions: &[i32], offset: i64, wait_ms: i32, bytes: i32) -> FetchRequest {
    let partition = |index: &i32| FetchPartition {
        partition: *index,
        fetch_offset: offset,
        partition_max_bytes: bytes,
        ..Default::default()
    };
    let topic = FetchTopic {
        topic: TOPIC.into(),
        partitions: partitions.iter().map(partition).collect(),
        ..Default::default()
    };
    FetchRequest {
        max_wait_ms: wait_ms,
        min_bytes: 1,
        max_bytes: bytes,
        topics: vec![topic],
        ..Default::default()
    }
}

/// The records of a fetched partition in one piece.
pub(crate) fn fetched(records: Option<Records>) -> Bytes {
    let records = records.unwrap_or_default();
    records.parts().iter().flatten().copied().collect()
}

/// A frame with its size prefix taken off.
pub(crate) fn read_frame(stream: &mut TcpStream) -> io::Result<Bytes> {
    let mut prefix = [0; SIZE_BYTES];
    stream.read_exact(&mut prefix)?;
    let size = frame_size(&prefix, FRAME_BYTES_MAX)
        .unwrap()
        .expect("the prefix is whole");
    let mut frame = vec![0; size];
    stream.read_exact(&mut frame)?;
    Ok(Bytes::from(frame))
}

/// A connection may end at any time in these tests. One that is open and silent is a bug of the broker.
fn not_stuck(error: io::Error) -> io::Error {
    let stuck = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
    assert!(!stuck, "no answer within {} s", ANSWER_TIMEOUT.as_secs());
    error
}
