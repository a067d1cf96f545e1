"""kafka-python: a pure Python client with codecs and a protocol implementation of its own."""

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from scenario import CODECS, equal, fresh_topic, scenario
from wire import stored_codecs

PATIENCE_MS = 30_000
FIRST_TIMESTAMP_MS = 1_700_000_000_000


def create(context, topic, partitions=1):
    client = KafkaAdminClient(bootstrap_servers=context.bootstrap)
    client.create_topics([NewTopic(topic, partitions, 1)])
    client.close()
    return topic


def read(context, topic, partitions, count):
    """The next `count` records from the beginning, without a group."""
    client = KafkaConsumer(bootstrap_servers=context.bootstrap, group_id=None, consumer_timeout_ms=PATIENCE_MS)
    assigned = [TopicPartition(topic, partition) for partition in range(partitions)]
    client.assign(assigned)
    client.seek_to_beginning(*assigned)
    records = [record for _, record in zip(range(count), client)]
    client.close()
    equal(len(records), count, "records that arrived in time")
    return records


@scenario(each=CODECS)
def records_come_back_whole(context, codec):
    topic = create(context, fresh_topic(f"python-{codec}"), 2)
    compression = None if codec == "none" else codec
    client = KafkaProducer(
        bootstrap_servers=context.bootstrap, compression_type=compression, acks="all", linger_ms=20
    )
    sent, futures = [], []
    for n in range(1500):
        record = (n % 2, FIRST_TIMESTAMP_MS + n, b"key %d" % (n % 9), b"value %d " % n * (n % 20 + 1), [("n", b"%d" % n)])
        partition, timestamp_ms, key, value, headers = record
        futures.append(client.send(topic, value, key, headers, partition, timestamp_ms))
        sent.append(record)
    client.flush(PATIENCE_MS / 1000)
    reports = [future.get(1) for future in futures]
    equal([(r.partition, r.offset) for r in reports], [(n % 2, n // 2) for n in range(len(sent))], "delivery reports")
    client.close()

    records = read(context, topic, 2, len(sent))
    for partition in range(2):
        found = [(r.timestamp, r.key, r.value, list(r.headers)) for r in records if r.partition == partition]
        equal(found, [tuple(rest) for at, *rest in sent if at == partition], f"records of partition {partition}")
        equal(stored_codecs(context.bootstrap, topic, partition), {codec}, "codec of the stored batches")


@scenario()
def offsets_are_found_by_time_and_by_end(context):
    topic = create(context, fresh_topic("python-offsets"))
    writer = KafkaProducer(bootstrap_servers=context.bootstrap, linger_ms=5)
    for n in range(100):
        writer.send(topic, b"%d" % n, partition=0, timestamp_ms=FIRST_TIMESTAMP_MS + 10 * n)
    writer.close(PATIENCE_MS / 1000)
    partition = TopicPartition(topic, 0)
    client = KafkaConsumer(bootstrap_servers=context.bootstrap, group_id=None, consumer_timeout_ms=PATIENCE_MS)
    client.assign([partition])
    equal(client.beginning_offsets([partition]), {partition: 0}, "beginning")
    equal(client.end_offsets([partition]), {partition: 100}, "end")
    found = client.offsets_for_times({partition: FIRST_TIMESTAMP_MS + 405})[partition]
    equal((found.offset, found.timestamp), (41, FIRST_TIMESTAMP_MS + 410), "the first record at or after a time")
    equal(client.offsets_for_times({partition: FIRST_TIMESTAMP_MS + 9999})[partition], None, "after the last record")
    client.seek(partition, 97)
    equal([record.value for _, record in zip(range(3), client)], [b"97", b"98", b"99"], "values after the seek")
    client.close()
