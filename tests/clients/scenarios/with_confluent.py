"""confluent-kafka: librdkafka as Python services use it, admin client included."""

import random
import time

import confluent_kafka
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec

from scenario import CODECS, equal, fresh_topic, scenario
from wire import stored_codecs

PATIENCE_S = 30
FIRST_TIMESTAMP_MS = 1_700_000_000_000


def admin(context):
    """Keep it in a variable while an answer is awaited: what is asked of a client that was collected fails."""
    return AdminClient({"bootstrap.servers": context.bootstrap, "log_level": 4})


def create(context, topic, partitions=1, replicas=1, config=None):
    new = NewTopic(topic, num_partitions=partitions, replication_factor=replicas, config=config or {})
    client = admin(context)
    client.create_topics([new], operation_timeout=PATIENCE_S)[topic].result(PATIENCE_S)
    return topic


def delete(context, topic):
    client = admin(context)
    client.delete_topics([topic], operation_timeout=PATIENCE_S)[topic].result(PATIENCE_S)


def error_of(call, *arguments, **named):
    """The Kafka error that a call must raise."""
    try:
        result = call(*arguments, **named)
    except KafkaException as failure:
        return failure.args[0]
    raise AssertionError(f"{call.__name__}{arguments} succeeded with {result!r}")


def producer(context, **settings):
    named = {name.replace("_", "."): value for name, value in settings.items()}
    base = {"bootstrap.servers": context.bootstrap, "message.timeout.ms": 30_000, "log_level": 4}
    return Producer({**base, **named})


def send_all(client, records):
    """Sends (topic, named arguments) pairs; the reports in order of sending: (error, partition, offset)."""
    reports = [None] * len(records)

    def report(number):
        def keep(error, message):
            reports[number] = (error, message.partition(), message.offset())

        return keep

    for number, (topic, named) in enumerate(records):
        client.produce(topic, on_delivery=report(number), **named)
        client.poll(0)
    left = client.flush(PATIENCE_S)
    assert left == 0, f"{left} of {len(records)} records were not delivered in {PATIENCE_S} s"
    return reports


def consumer(context, **settings):
    named = {name.replace("_", "."): value for name, value in settings.items()}
    base = {"bootstrap.servers": context.bootstrap, "group.id": "none", "enable.auto.commit": False, "check.crcs": True}
    return Consumer({**base, **named})


def take(client, count):
    """The next `count` messages, an error among them being a failure."""
    messages, deadline = [], time.monotonic() + PATIENCE_S
    while len(messages) < count and time.monotonic() < deadline:
        for message in client.consume(count - len(messages), 1.0):
            assert message.error() is None, f"the consumer was told {message.error()}"
            messages.append(message)
    equal(len(messages), count, "messages that arrived in time")
    return messages


def next_error(client):
    """The code of the next error that a consumer reports."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        message = client.poll(1.0)
        if message is not None and message.error() is not None:
            return message.error().code()
    raise AssertionError(f"no error within {PATIENCE_S} s")


def numbered(topic, count):
    return [
        (topic, {"partition": 0, "value": b"%d" % n, "timestamp": FIRST_TIMESTAMP_MS + 10 * n}) for n in range(count)
    ]


@scenario()
def topics_are_created_and_deleted(context):
    topic = create(context, fresh_topic("admin"), 3, config={"retention.ms": "3600000", "max.message.bytes": "65536"})
    found = admin(context).list_topics(topic, PATIENCE_S).topics[topic]
    equal(sorted(found.partitions), [0, 1, 2], "partitions")
    assert found.error is None, f"the topic has the error {found.error}"
    assert topic in admin(context).list_topics(timeout=PATIENCE_S).topics, "the topic is missing among all topics"
    delete(context, topic)
    assert topic not in admin(context).list_topics(timeout=PATIENCE_S).topics, "the deleted topic is still listed"


@scenario()
def bad_topics_are_refused_with_the_codes_of_kafka(context):
    topic = create(context, fresh_topic("refused"))
    named = lambda *arguments, **rest: error_of(create, context, *arguments, **rest).name()
    equal(named(topic), "TOPIC_ALREADY_EXISTS", "an existing topic")
    equal(named("no/slashes"), "TOPIC_EXCEPTION", "an illegal name")
    equal(named("x" * 250), "TOPIC_EXCEPTION", "a name over 249 characters")
    equal(named(fresh_topic("zero"), 0), "INVALID_PARTITIONS", "no partitions")
    bad_configs = [{"retention.ms": "soon"}, {"no.such.setting": "1"}, {"cleanup.policy": "shred"}]
    for config in bad_configs:
        equal(named(fresh_topic("config"), config=config), "INVALID_CONFIG", f"the config {config}")
    unknown = error_of(delete, context, fresh_topic("never-created"))
    equal(unknown.name(), "UNKNOWN_TOPIC_OR_PART", "deleting an unknown topic")


@scenario(only_firth=True)
def one_flushing_broker_accepts_what_is_written_for_three(context):
    config = {"min.insync.replicas": "2"}
    topic = create(context, fresh_topic("replicated"), 2, replicas=3, config=config)
    found = admin(context).list_topics(topic, PATIENCE_S).topics[topic]
    equal([len(each.replicas) for each in found.partitions.values()], [1, 1], "replicas")
    reports = send_all(producer(context, acks="all"), [(topic, {"value": b"flushed"})])
    assert reports[0][0] is None, f"acks=all was refused: {reports}"


@scenario()
def a_compacted_topic_takes_keys_alone(context):
    topic = create(context, fresh_topic("compacted"), config={"cleanup.policy": "compact"})
    records = [(topic, {"key": b"k", "value": b"v"}), (topic, {"value": b"no key"}), (topic, {"key": b"k"})]
    reports = send_all(producer(context, batch_num_messages=1), records)
    errors = [error and error.name() for error, _, _ in reports]
    equal(errors, [None, "INVALID_RECORD", None], "the reports")


@scenario()
def a_topic_created_again_is_empty(context):
    topic = create(context, fresh_topic("again"))
    send_all(producer(context), numbered(topic, 10))
    delete(context, topic)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        # Kafka deletes in the background and refuses the name until it is done.
        try:
            create(context, topic)
            break
        except KafkaException as failure:
            refused = failure.args[0].name()
            assert refused == "TOPIC_ALREADY_EXISTS" and time.monotonic() < deadline, failure
    reports = send_all(producer(context), numbered(topic, 1))
    equal(reports, [(None, 0, 0)], "the first report of the new topic")
    client = consumer(context)
    client.assign([TopicPartition(topic, 0, 0)])
    equal(take(client, 1)[0].value(), b"0", "the first value of the new topic")
    client.close()


@scenario(each=CODECS)
def idempotent_records_come_back_whole(context, codec):
    topic = create(context, fresh_topic(f"idempotent-{codec}"), 3)
    records = []
    for n in range(6000):
        named = {"partition": n % 3, "timestamp": FIRST_TIMESTAMP_MS + n, "headers": [("n", b"%d" % n), ("n", None)]}
        named["key"] = None if n % 5 == 0 else f"key {n % 100}".encode()
        named["value"] = None if n % 7 == 0 else (b"value %d " % n) * (n % 30)
        records.append((topic, named))
    settings = {"enable_idempotence": True, "compression_type": codec, "acks": "all", "linger_ms": 5}
    reports = send_all(producer(context, **settings), records)
    equal(reports, [(None, n % 3, n // 3) for n in range(len(records))], "delivery reports")

    client = consumer(context)
    client.assign([TopicPartition(topic, partition, 0) for partition in range(3)])
    messages = take(client, len(records))
    client.close()
    for partition in range(3):
        found = [
            (m.offset(), m.timestamp(), m.key(), m.value(), m.headers()) for m in messages if m.partition() == partition
        ]
        sent = [named for _, named in records if named["partition"] == partition]
        create_time = confluent_kafka.TIMESTAMP_CREATE_TIME
        expected = [
            (at, (create_time, r["timestamp"]), r["key"], r["value"], r["headers"]) for at, r in enumerate(sent)
        ]
        equal(found, expected, f"records of partition {partition}")
        equal(stored_codecs(context.bootstrap, topic, partition), {codec}, "codec of the stored batches")


@scenario(each=["0", "1", "all"])
def every_acks_reaches_the_log(context, acks):
    topic = create(context, fresh_topic(f"acks-{acks}"))
    reports = send_all(producer(context, acks=acks), numbered(topic, 500))
    assert all(error is None for error, *_ in reports), f"a record was refused: {reports[:3]}"
    client = consumer(context)
    client.assign([TopicPartition(topic, 0, 0)])
    equal([m.value() for m in take(client, 500)], [named["value"] for _, named in numbered(topic, 500)], "values")
    client.close()


@scenario()
def an_assigned_consumer_seeks_by_offset_and_by_time(context):
    topic = create(context, fresh_topic("seek"))
    send_all(producer(context, linger_ms=5), numbered(topic, 1000))
    client = consumer(context)
    client.assign([TopicPartition(topic, 0, 0)])
    equal([m.offset() for m in take(client, 3)], [0, 1, 2], "offsets from the start")
    client.seek(TopicPartition(topic, 0, 700))
    equal([m.offset() for m in take(client, 3)], [700, 701, 702], "offsets after the seek")

    def offset_at(timestamp_ms):
        (found,) = client.offsets_for_times([TopicPartition(topic, 0, timestamp_ms)], PATIENCE_S)
        assert found.error is None, f"the offset for a time is an error: {found.error}"
        return found.offset

    # Records are 10 ms apart, so 5001 ms lies between records 500 and 501.
    for after_ms, offset in [(0, 0), (5000, 500), (5001, 501), (9990, 999), (-1000, 0), (9991, confluent_kafka.OFFSET_END)]:
        equal(offset_at(FIRST_TIMESTAMP_MS + after_ms), offset, f"the offset at {after_ms} ms")
    client.seek(TopicPartition(topic, 0, offset_at(FIRST_TIMESTAMP_MS + 5001)))
    equal([m.offset() for m in take(client, 2)], [501, 502], "offsets after the seek by time")
    client.close()


@scenario()
def offsets_are_listed(context):
    topic = create(context, fresh_topic("offsets"))
    client = consumer(context)
    equal(client.get_watermark_offsets(TopicPartition(topic, 0), PATIENCE_S), (0, 0), "watermarks of an empty partition")
    send_all(producer(context), numbered(topic, 42))
    equal(client.get_watermark_offsets(TopicPartition(topic, 0), PATIENCE_S), (0, 42), "watermarks")
    client.close()
    specs = {"earliest": (OffsetSpec.earliest(), 0), "latest": (OffsetSpec.latest(), 42)}
    specs["maximum timestamp"] = (OffsetSpec.max_timestamp(), 41)
    specs["timestamp"] = (OffsetSpec.for_timestamp(FIRST_TIMESTAMP_MS + 95), 10)
    asker = admin(context)
    for what, (spec, offset) in specs.items():
        asked = {TopicPartition(topic, 0): spec}
        (answer,) = asker.list_offsets(asked, request_timeout=PATIENCE_S).values()
        equal(answer.result(PATIENCE_S).offset, offset, f"the offset for {what}")


@scenario()
def deleted_records_are_gone(context):
    topic = create(context, fresh_topic("trimmed"))
    send_all(producer(context), numbered(topic, 100))
    trimmer = admin(context)
    (answer,) = trimmer.delete_records([TopicPartition(topic, 0, 60)], request_timeout=PATIENCE_S).values()
    equal(answer.result(PATIENCE_S).low_watermark, 60, "the low watermark in the answer")
    client = consumer(context, auto_offset_reset="error")
    equal(client.get_watermark_offsets(TopicPartition(topic, 0), PATIENCE_S), (60, 100), "watermarks")
    client.assign([TopicPartition(topic, 0, 10)])
    equal(next_error(client), KafkaError._AUTO_OFFSET_RESET, "the error for an offset below the log's start")
    client.close()
    client = consumer(context, auto_offset_reset="earliest")
    client.assign([TopicPartition(topic, 0, 10)])
    equal([m.offset() for m in take(client, 40)], list(range(60, 100)), "offsets after the reset")
    client.close()
    (answer,) = trimmer.delete_records([TopicPartition(topic, 0, 101)], request_timeout=PATIENCE_S).values()
    equal(error_of(answer.result, PATIENCE_S).name(), "OFFSET_OUT_OF_RANGE", "deleting beyond the end")


@scenario()
def an_offset_beyond_the_end_is_out_of_range(context):
    topic = create(context, fresh_topic("beyond"))
    send_all(producer(context), numbered(topic, 5))
    client = consumer(context, auto_offset_reset="error")
    client.assign([TopicPartition(topic, 0, 6)])
    equal(next_error(client), KafkaError._AUTO_OFFSET_RESET, "the error for an offset beyond the end")
    client.close()


@scenario()
def an_unknown_topic_is_an_error_for_a_consumer(context):
    topic = fresh_topic("unknown")
    client = consumer(context, allow_auto_create_topics=False)
    equal(client.list_topics(topic, PATIENCE_S).topics[topic].error.name(), "UNKNOWN_TOPIC_OR_PART", "the topic's error")
    refused = error_of(client.get_watermark_offsets, TopicPartition(topic, 0), PATIENCE_S)
    assert refused.name() in ("UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_PARTITION"), f"its offsets answer {refused}"
    client.close()
    assert topic not in admin(context).list_topics(timeout=PATIENCE_S).topics, "asking for a topic created it"


@scenario()
def a_record_over_the_limit_is_refused_and_the_next_one_is_not(context):
    topic = create(context, fresh_topic("large"), config={"max.message.bytes": "100000"})
    client = producer(context, message_max_bytes=4_000_000, enable_idempotence=True)
    noise = random.Random(7).randbytes(2_500_000)
    ((error, *_),) = send_all(client, [(topic, {"partition": 0, "value": noise})])
    assert error is not None and error.code() == KafkaError.MSG_SIZE_TOO_LARGE, f"the report was {error}"
    equal(send_all(client, [(topic, {"partition": 0, "value": b"small"})]), [(None, 0, 0)], "the next report")
    larger = create(context, fresh_topic("larger"), config={"max.message.bytes": "3000000"})
    equal(send_all(client, [(larger, {"partition": 0, "value": noise})]), [(None, 0, 0)], "under a higher limit")
    reader = consumer(context, message_max_bytes=60_000, fetch_max_bytes=60_000, fetch_message_max_bytes=50_000)
    reader.assign([TopicPartition(larger, 0, 0)])
    equal(take(reader, 1)[0].value(), noise, "a batch above the consumer's own limits")
    reader.close()


@scenario()
def a_waiting_fetch_is_woken_by_a_record(context):
    topic = create(context, fresh_topic("woken"))
    client = consumer(context, fetch_wait_max_ms=20_000, fetch_error_backoff_ms=10)
    client.assign([TopicPartition(topic, 0, 0)])
    assert client.poll(1.0) is None, "an empty partition gave a message"
    writer = producer(context, linger_ms=0)
    for n in range(5):
        begin = time.monotonic()
        send_all(writer, [(topic, {"partition": 0, "value": b"%d" % n})])
        equal(take(client, 1)[0].value(), b"%d" % n, "value")
        waited_s = time.monotonic() - begin
        assert waited_s < 5, f"the fetch slept {waited_s:.1f} s through a new record"
    client.close()


@scenario(only_firth=True)
def a_transactional_producer_is_told_that_there_are_no_transactions(context):
    client = producer(context, transactional_id=fresh_topic("transaction"))
    begin = time.monotonic()
    error = error_of(client.init_transactions, 20)
    waited_s = time.monotonic() - begin
    assert error.fatal(), f"the error is not final, so the client would try again: {error}"
    assert waited_s < 10, f"the refusal took {waited_s:.0f} s"


def configs(client, kind, name):
    resource = ConfigResource(kind, name)
    return client.describe_configs([resource])[resource].result(PATIENCE_S)


def alter(client, topic, *entries):
    entries = [ConfigEntry(name, value, incremental_operation=operation) for operation, name, value in entries]
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
    client.incremental_alter_configs([resource])[resource].result(PATIENCE_S)


@scenario()
def configurations_are_described_and_changed(context):
    topic = create(context, fresh_topic("config"), config={"retention.ms": "3600000"})
    client, of_topic = admin(context), ConfigResource.Type.TOPIC
    found = configs(client, of_topic, topic)
    equal((found["retention.ms"].value, found["retention.ms"].is_default), ("3600000", False), "what was set")
    equal((found["cleanup.policy"].value, found["cleanup.policy"].is_default), ("delete", True), "what was not")
    changes = AlterConfigOpType
    alter(client, topic, (changes.APPEND, "cleanup.policy", "compact"), (changes.DELETE, "retention.ms", None))
    found = configs(client, of_topic, topic)
    equal(found["cleanup.policy"].value, "delete,compact", "the policy")
    equal((found["retention.ms"].value, found["retention.ms"].is_default), ("604800000", True), "what was deleted")
    equal(error_of(alter, client, topic, (changes.SET, "retention.ms", "soon")).code(), KafkaError.INVALID_CONFIG, "error")
    node = next(iter(client.list_topics(timeout=PATIENCE_S).brokers))
    found = configs(client, ConfigResource.Type.BROKER, str(node))
    equal(found["default.replication.factor"].value, "1", "copies that the broker makes by default")
    assert found["log.dirs"].value and found["log.dirs"].is_read_only, found["log.dirs"]


@scenario()
def a_topic_gets_more_partitions(context):
    topic = create(context, fresh_topic("more"), 2)
    client = admin(context)
    grow = lambda count: client.create_partitions([NewPartitions(topic, count)])[topic].result(PATIENCE_S)
    grow(5)
    equal(len(client.list_topics(topic, PATIENCE_S).topics[topic].partitions), 5, "partitions")
    equal(error_of(grow, 5).code(), KafkaError.INVALID_PARTITIONS, "error of no more partitions")
    equal(len(client.describe_cluster().result(PATIENCE_S).nodes), 1, "nodes")
