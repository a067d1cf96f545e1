"""Records the requests that real clients send, and the answers that kafka-python's encoder gives them.

    python3 -m venv /tmp/v && /tmp/v/bin/pip install kafka-python==3.0.12 confluent-kafka==2.16.1
    /tmp/v/bin/python capture.py DIRECTORY

A broker just good enough for both clients runs on loopback, once with the newest versions and once with the oldest.
Each file holds one line per frame, without size prefix: client, api key, api version, hex. The first frame of each
client, API and version is kept. `requests.txt` is what clients sent, `responses.txt` what kafka-python's schemas,
which are Apache Kafka's, encoded.
"""

import socket
import struct
import sys
import threading
import uuid

import kafka
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from kafka.protocol.admin import CreateTopicsResponse, DeleteRecordsResponse, DeleteTopicsResponse
from kafka.protocol.admin import CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest
from kafka.protocol.consumer import FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse
from kafka.protocol.metadata import ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, MetadataResponse
from kafka.protocol.producer import InitProducerIdRequest, InitProducerIdResponse, ProduceRequest, ProduceResponse

NEWEST = {0: (0, 13), 1: (4, 17), 2: (1, 10), 3: (0, 13), 18: (0, 4), 19: (2, 7), 20: (1, 6), 21: (0, 2), 22: (0, 5)}
OLDEST = {0: (0, 3), 1: (4, 4), 2: (1, 1), 3: (0, 4), 18: (0, 2), 19: (2, 2), 20: (1, 1), 21: (0, 0), 22: (0, 0)}
CLASSES = {
    0: (ProduceRequest, ProduceResponse),
    1: (FetchRequest, FetchResponse),
    2: (ListOffsetsRequest, ListOffsetsResponse),
    3: (MetadataRequest, MetadataResponse),
    18: (ApiVersionsRequest, ApiVersionsResponse),
    19: (CreateTopicsRequest, CreateTopicsResponse),
    20: (DeleteTopicsRequest, DeleteTopicsResponse),
    21: (DeleteRecordsRequest, DeleteRecordsResponse),
    22: (InitProducerIdRequest, InitProducerIdResponse),
}
TOPIC = "flights"
TOPIC_ID = uuid.UUID("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0")


class Broker:
    def __init__(self, client, versions, kept):
        self.client, self.versions, self.kept = client, versions, kept
        self.records = b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        stream = connection.makefile("rb")
        while len(size := stream.read(4)) == 4:
            frame = stream.read(struct.unpack(">i", size)[0])
            key, version, correlation_id = struct.unpack(">hhi", frame[:8])
            self.kept["requests"].setdefault((self.client, key, version), frame)
            answer = self.answer(key, version, correlation_id, frame)
            if answer is None:
                return connection.close()
            self.kept["responses"].setdefault((self.client, key, version), answer)
            connection.sendall(struct.pack(">i", len(answer)) + answer)

    def answer(self, key, version, correlation_id, frame):
        if key not in CLASSES:
            return None
        low, high = self.versions[key]
        if not low <= version <= high:
            response = ApiVersionsResponse[0](error_code=35, api_keys=[(18, low, high)])
        else:
            request_class, response_class = CLASSES[key]
            request = request_class.decode(frame, version=version, header=True)
            response = getattr(self, request_class.__name__)(request, response_class, version)
        response.with_header(correlation_id=correlation_id)
        return bytes(response.encode(header=True))

    def ApiVersionsRequest(self, request, response, version):
        return response[version](error_code=0, api_keys=[(k, *v) for k, v in sorted(self.versions.items())])

    def MetadataRequest(self, request, response, version):
        partition = response.MetadataResponseTopic.MetadataResponsePartition
        topic = response.MetadataResponseTopic
        partitions = [
            partition(error_code=0, partition_index=0, leader_id=7, leader_epoch=3, replica_nodes=[7], isr_nodes=[7])
        ]
        return response[version](
            brokers=[response.MetadataResponseBroker(node_id=7, host="127.0.0.1", port=self.port, rack=None)],
            cluster_id="firth-test",
            controller_id=7,
            topics=[topic(error_code=0, name=TOPIC, topic_id=TOPIC_ID, is_internal=False, partitions=partitions)],
        )

    def InitProducerIdRequest(self, request, response, version):
        return response[version](error_code=0, producer_id=4000, producer_epoch=0)

    def ProduceRequest(self, request, response, version):
        topic = response.TopicProduceResponse
        partition = topic.PartitionProduceResponse
        answers = []
        for asked in request.topic_data:
            for data in asked.partition_data:
                self.records = bytes(data.records)
            partitions = [partition(index=0, error_code=0, base_offset=0, log_append_time_ms=-1, log_start_offset=0)]
            answers.append(topic(name=asked.name, topic_id=TOPIC_ID, partition_responses=partitions))
        return response[version](responses=answers)

    def ListOffsetsRequest(self, request, response, version):
        topic = response.ListOffsetsTopicResponse
        partition = topic.ListOffsetsPartitionResponse
        end = 3 if request.topics[0].partitions[0].timestamp == -1 else 0
        partitions = [partition(partition_index=0, error_code=0, timestamp=-1, offset=end, leader_epoch=3)]
        return response[version](topics=[topic(name=TOPIC, partitions=partitions)])

    def FetchRequest(self, request, response, version):
        topic = response.FetchableTopicResponse
        partition = topic.PartitionData
        answers = []
        for asked in request.topics:
            at_start = asked.partitions[0].fetch_offset == 0
            partitions = [
                partition(
                    partition_index=0,
                    error_code=0,
                    high_watermark=3,
                    last_stable_offset=3,
                    log_start_offset=0,
                    aborted_transactions=[],
                    records=self.records if at_start else b"",
                )
            ]
            answers.append(topic(topic=asked.topic, topic_id=TOPIC_ID, partitions=partitions))
        return response[version](responses=answers)

    def CreateTopicsRequest(self, request, response, version):
        topic = response.CreatableTopicResult
        config = topic.CreatableTopicConfigs if hasattr(topic, "CreatableTopicConfigs") else None
        configs = [config(name="retention.ms", value="1000", read_only=False, config_source=1, is_sensitive=False)]
        made = [
            topic(name=t.name, topic_id=TOPIC_ID, error_code=0, num_partitions=3, replication_factor=1, configs=configs)
            for t in request.topics
        ]
        return response[version](topics=made)

    def DeleteTopicsRequest(self, request, response, version):
        names = [t.name for t in request.topics] if version >= 6 else request.topic_names
        topic = response.DeletableTopicResult
        return response[version](responses=[topic(name=name, topic_id=TOPIC_ID, error_code=0) for name in names])

    def DeleteRecordsRequest(self, request, response, version):
        topic = response.DeleteRecordsTopicResult
        partition = topic.DeleteRecordsPartitionResult
        partitions = [partition(partition_index=0, low_watermark=2, error_code=0)]
        return response[version](topics=[topic(name=TOPIC, partitions=partitions)])


def drive_librdkafka(address):
    settings = {"bootstrap.servers": address, "client.id": "rd"}
    producer = Producer({**settings, "enable.idempotence": True, "linger.ms": 50})
    for number in range(3):
        producer.produce(TOPIC, key=b"key", value=b"value %d" % number)
    producer.flush(5)
    admin = AdminClient(settings)
    configs = {"retention.ms": "1000"}
    for future in admin.create_topics([NewTopic("made", 3, 1, config=configs)], request_timeout=3).values():
        future.result(5)
    for future in admin.delete_topics(["made"], request_timeout=3).values():
        future.result(5)
    for future in admin.delete_records([TopicPartition(TOPIC, 0, 2)], request_timeout=3).values():
        future.result(5)
    consumer = Consumer({**settings, "group.id": "none", "enable.auto.commit": False})
    consumer.get_watermark_offsets(TopicPartition(TOPIC, 0), timeout=3)
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    message = consumer.poll(5)
    assert message is not None and message.value() == b"value 0", message and message.error()
    consumer.close()


def drive_kafka_python(address):
    settings = {"bootstrap_servers": address, "client_id": "py"}
    producer = kafka.KafkaProducer(**settings, linger_ms=50)
    for number in range(3):
        producer.send(TOPIC, key=b"key", value=b"value %d" % number)
    producer.flush(5)
    producer.close(1)
    consumer = kafka.KafkaConsumer(**settings, group_id=None, consumer_timeout_ms=3000)
    consumer.assign([kafka.TopicPartition(TOPIC, 0)])
    consumer.seek_to_beginning()
    assert next(consumer).value == b"value 0"
    consumer.close()


def main(directory):
    kept = {"requests": {}, "responses": {}}
    for versions in (NEWEST, OLDEST):
        for client, drive in (("librdkafka", drive_librdkafka), ("kafka-python", drive_kafka_python)):
            broker = Broker(client, versions, kept)
            try:
                drive(f"127.0.0.1:{broker.port}")
            except Exception as error:  # What it sent until then is a vector all the same.
                print(client, "stopped:", repr(error), file=sys.stderr)
    for kind, frames in kept.items():
        with open(f"{directory}/{kind}.txt", "w") as file:
            for (client, key, version), frame in sorted(frames.items()):
                if key in CLASSES:
                    file.write(f"{client} {key} {version} {frame.hex()}\n")


if __name__ == "__main__":
    main(sys.argv[1])
