"""Records what real clients and Apache Kafka say to each other about groups and administration.

    python3 -m venv /tmp/v && /tmp/v/bin/pip install kafka-python==3.0.12 confluent-kafka==2.16.1
    /tmp/v/bin/python proxy.py BROKER PORT DIRECTORY

BROKER is the address of an Apache Kafka 4 that has nothing in it yet and advertises 127.0.0.1:PORT, where this listens. The first
request of each client, API and version, and its answer, are put into `requests.txt` and `responses.txt` of the directory,
beside what `capture.py` recorded, in its form.
"""

import pathlib
import socket
import struct
import sys
import threading
import time

import confluent_kafka.admin as rd
import kafka
import kafka.admin
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicCollection, TopicPartition

# Those that capture.py records, and ConsumerGroupDescribe, which is asked for and not served.
RECORDED = {0, 1, 3, 18, 19, 20, 21, 22, 69}
NAMES = {"rd": "librdkafka", "py": "kafka-python"}


class Proxy:
    def __init__(self, broker, port):
        self.broker, self.frames = broker, {}
        listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self.accept, args=(listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            client, _ = listener.accept()
            broker = socket.create_connection(self.broker)
            asked = {}
            threading.Thread(target=self.pass_on, args=(client, broker, asked, True), daemon=True).start()
            threading.Thread(target=self.pass_on, args=(broker, client, asked, False), daemon=True).start()

    def pass_on(self, source, target, asked, is_request):
        try:
            stream = source.makefile("rb")
            while len(size := stream.read(4)) == 4:
                frame = stream.read(struct.unpack(">i", size)[0])
                if is_request:
                    key, version, correlation_id, length = struct.unpack(">hhih", frame[:10])
                    name = NAMES.get(frame[10 : 10 + max(length, 0)].decode())
                    asked[correlation_id] = (name, key, version), frame
                else:
                    what, request = asked.pop(struct.unpack(">i", frame[:4])[0])
                    if what[0] and what[1] not in RECORDED:
                        self.frames.setdefault(what, (request, frame))
                target.sendall(size + frame)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def tried(call, *arguments, **named):
    """What is refused is a vector too."""
    try:
        result = call(*arguments, **named)
        futures = result.values() if isinstance(result, dict) else [result]
        return [future.result(10) for future in futures if hasattr(future, "result")]
    except Exception as error:
        print(getattr(call, "__name__", call), repr(error)[:200], file=sys.stderr)


def drive_librdkafka(address):
    settings = {"bootstrap.servers": address, "client.id": "rd"}
    admin = rd.AdminClient(settings)
    tried(admin.create_topics, [rd.NewTopic("rd", 2, 1)])
    topic = rd.ConfigResource(rd.ConfigResource.Type.TOPIC, "rd")
    tried(admin.describe_configs, [topic, rd.ConfigResource(rd.ConfigResource.Type.BROKER, "1")])
    entry = rd.ConfigEntry("retention.ms", "1000", incremental_operation=rd.AlterConfigOpType.SET)
    altered = rd.ConfigResource(rd.ConfigResource.Type.TOPIC, "rd", incremental_configs=[entry])
    tried(admin.incremental_alter_configs, [altered])
    tried(admin.alter_configs, [rd.ConfigResource(rd.ConfigResource.Type.TOPIC, "rd", {"retention.ms": "2000"})])
    tried(admin.create_partitions, [rd.NewPartitions("rd", 3)])
    tried(admin.describe_cluster)
    tried(admin.describe_topics, TopicCollection(["rd"]))
    tried(admin.list_offsets, {TopicPartition("rd", 0): rd.OffsetSpec.latest()})
    tried(admin.elect_leaders, rd._ElectionType.PREFERRED, [TopicPartition("rd", 0)])
    kind, pattern = rd.ResourceType.TOPIC, rd.ResourcePatternType.LITERAL
    rights = (rd.AclOperation.READ, rd.AclPermissionType.ALLOW)
    tried(admin.create_acls, [rd.AclBinding(kind, "rd", pattern, "User:rd", "*", *rights)])
    tried(admin.describe_acls, rd.AclBindingFilter(kind, "rd", pattern, None, None, *rights))
    tried(admin.delete_acls, [rd.AclBindingFilter(kind, "rd", pattern, "User:rd", "*", *rights)])
    tried(admin.describe_user_scram_credentials, ["rd"])
    producer = Producer(settings)
    producer.produce("rd", b"value", partition=0)
    producer.flush(5)
    group = {**settings, "group.id": "rds", "auto.offset.reset": "earliest", "enable.auto.commit": False}
    consumer = Consumer({**group, "session.timeout.ms": 6000, "heartbeat.interval.ms": 200})
    consumer.subscribe(["rd"])
    message = consumer.poll(10)
    assert message is not None and message.value() == b"value", message
    consumer.commit(message, asynchronous=False)
    consumer.poll(1)
    tried(admin.list_consumer_groups)
    tried(admin.describe_consumer_groups, ["rds"])
    consumer.close()
    tried(admin.list_consumer_group_offsets, [ConsumerGroupTopicPartitions("rds")])
    moved = ConsumerGroupTopicPartitions("rds", [TopicPartition("rd", 0, 0)])
    tried(admin.alter_consumer_group_offsets, [moved])
    tried(admin.delete_consumer_groups, ["rds"])


def drive_kafka_python(address):
    settings = {"bootstrap_servers": address, "client_id": "py"}
    admin = kafka.admin.KafkaAdminClient(**settings)
    tried(admin.create_topics, [kafka.admin.NewTopic("py", 2, 1)])
    topic = kafka.admin.ConfigResource(kafka.admin.ConfigResourceType.TOPIC, "py", {"retention.ms": "1000"})
    tried(admin.describe_configs, [kafka.admin.ConfigResource(kafka.admin.ConfigResourceType.TOPIC, "py")])
    tried(admin.alter_configs, [topic])
    tried(admin.list_config_resources)
    tried(admin.create_partitions, {"py": 3})
    tried(admin.describe_cluster)
    tried(admin.describe_topic_partitions, ["py"])
    tried(admin.describe_log_dirs)
    tried(admin.list_partition_reassignments)
    tried(admin.alter_partition_reassignments, {kafka.TopicPartition("py", 0): [1]})
    tried(admin.describe_producers, [kafka.TopicPartition("py", 0)])
    resource = kafka.admin.ResourcePattern(kafka.admin.ResourceType.TOPIC, "py")
    rights = (kafka.admin.ACLOperation.READ, kafka.admin.ACLPermissionType.ALLOW)
    acl = kafka.admin.ACL("User:py", "*", *rights, resource)
    tried(admin.create_acls, [acl])
    tried(admin.describe_acls, kafka.admin.ACLFilter(None, None, *rights, resource))
    tried(admin.delete_acls, [acl])
    tried(admin.describe_user_scram_credentials, ["py"])
    tried(admin.describe_metadata_quorum)
    tried(admin.list_transactions)
    tried(admin.describe_transactions, ["py"])
    producer = kafka.KafkaProducer(**settings)
    producer.send("py", b"value", partition=0).get(10)
    producer.close(1)
    consumer = kafka.KafkaConsumer(
        "py", **settings, group_id="pys", auto_offset_reset="earliest", heartbeat_interval_ms=200, session_timeout_ms=6000
    )
    message = next(consumer)
    assert message.value == b"value"
    consumer.commit()
    consumer.poll(1000)
    tried(admin.list_groups)
    tried(admin.describe_groups, ["pys"])
    tried(admin.list_group_offsets, {"pys": None})
    consumer.close()
    tried(admin.delete_group_offsets, "pys", [kafka.TopicPartition("py", 0)])
    tried(admin.delete_groups, ["pys"])


def main(broker, port, directory):
    host, _, at = broker.rpartition(":")
    proxy = Proxy((host, int(at)), int(port))
    for drive in (drive_librdkafka, drive_kafka_python):
        try:
            drive(f"127.0.0.1:{port}")
        except Exception as error:  # What was said until then is a vector all the same.
            print(drive.__name__, "stopped:", repr(error), file=sys.stderr)
    time.sleep(1)
    for kind, place in (("requests", 0), ("responses", 1)):
        path = pathlib.Path(directory, f"{kind}.txt")
        known = [line.split(" ") for line in path.read_text().splitlines()]
        lines = {(name, int(key), int(version)): frame for name, key, version, frame in known}
        for what, frames in proxy.frames.items():
            lines.setdefault(what, frames[place].hex())
        path.write_text("".join(f"{n} {k} {v} {frame}\n" for (n, k, v), frame in sorted(lines.items())))


if __name__ == "__main__":
    main(*sys.argv[1:])
