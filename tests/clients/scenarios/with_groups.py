"""Consumer groups: members that come and go, commits, and what is left of both when the broker is killed."""

import subprocess
import time

from confluent_kafka import (
    Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic
from kafka import KafkaConsumer
from kafka import TopicPartition as PythonPartition
from kafka.structs import OffsetAndMetadata

from broker import Broker, free_ports
from scenario import equal, fresh_topic, scenario
from with_rdkafka import rdkafka

PATIENCE_S = 40
PARTITIONS = 4


def fill(bootstrap, topic, numbers, partitions=PARTITIONS):
    """Records whose values are numbers, one after the other to each partition."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})
    if not admin.list_topics(timeout=10).topics.get(topic):
        admin.create_topics([NewTopic(topic, num_partitions=partitions)])[topic].result(30)
    client = Producer({"bootstrap.servers": bootstrap, "log_level": 2})
    for number in numbers:
        client.produce(topic, b"%d" % number, partition=number % partitions)
    equal(client.flush(PATIENCE_S), 0, "records that were not delivered")


def member(bootstrap, group, topic, **settings):
    settings = {name.replace("_", "."): value for name, value in settings.items()}
    settings = {"auto.offset.reset": "earliest", "enable.auto.commit": False, "log_level": 2} | settings
    client = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": group, "session.timeout.ms": 6000, "heartbeat.interval.ms": 500}
        | settings
    )
    client.subscribe([topic])
    return client


def poll_until(members, done, what, take=lambda client, message: None):
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, f"never: {what}"
        for client in members:
            message = client.poll(0.02)
            if message is not None and message.error() is None:
                take(client, message)


def partitions_of(client):
    return sorted(each.partition for each in client.assignment())


def are_shared(members):
    def shared():
        owned = [partitions_of(client) for client in members]
        return sorted(sum(owned, [])) == list(range(PARTITIONS)) and all(owned)

    return shared


@scenario(each=["range", "roundrobin", "cooperative-sticky"])
def members_come_and_go_and_every_record_is_read_once(context, strategy):
    topic, group = fresh_topic("groups"), fresh_topic("group")
    fill(context.bootstrap, topic, range(400))
    seen = []

    def take(client, message):
        seen.append(int(message.value()))
        try:
            client.commit(message=message, asynchronous=False)
        except KafkaException as failure:
            # With cooperative rebalancing a member reads on meanwhile, and commits with the next record.
            meanwhile = (KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS)
            assert failure.args[0].code() in meanwhile, failure

    settings = {"partition_assignment_strategy": strategy}
    members = [member(context.bootstrap, group, topic, **settings)]
    poll_until(members, lambda: len(seen) >= 50, "the first member reads", take)
    members.append(member(context.bootstrap, group, topic, **settings))
    poll_until(members, are_shared(members), "the second member gets its share", take)
    members.append(member(context.bootstrap, group, topic, **settings))
    poll_until(members, are_shared(members), "the third member gets its share", take)
    members.pop(0).close()
    poll_until(members, are_shared(members), "what the first had is taken over", take)
    fill(context.bootstrap, topic, range(400, 600))
    poll_until(members, lambda: len(set(seen)) == 600, "all records are read", take)
    # A record that was polled and not committed when its partition was taken away comes again.
    assert len(seen) <= 640, f"{len(seen)} records instead of 600"
    for client in members:
        client.close()


@scenario()
def a_member_that_is_gone_without_a_word_is_missed(context):
    topic, group = fresh_topic("groups"), fresh_topic("group")
    fill(context.bootstrap, topic, range(40))
    silent = member(context.bootstrap, group, topic, session_timeout_ms=6000, max_poll_interval_ms=6000)
    poll_until([silent], lambda: len(partitions_of(silent)) == PARTITIONS, "the first member has all")
    # It is not polled any more, which librdkafka takes for a member that hangs, and leaves.
    other = member(context.bootstrap, group, topic)
    poll_until([other], lambda: len(partitions_of(other)) == PARTITIONS, "the other one has all")
    other.close()
    silent.close()


@scenario()
def a_static_member_comes_back_to_what_it_had(context):
    topic, group = fresh_topic("groups"), fresh_topic("group")
    fill(context.bootstrap, topic, range(40))
    settings = {"session_timeout_ms": 30_000}
    members = [member(context.bootstrap, group, topic, group_instance_id=f"i{n}", **settings) for n in range(2)]
    poll_until(members, are_shared(members), "both have a share")
    owned = [partitions_of(client) for client in members]
    # A static member leaves without a word, and its place is kept.
    members.pop(0).close()
    members.insert(0, member(context.bootstrap, group, topic, group_instance_id="i0", **settings))
    poll_until(members, are_shared(members), "it is back")
    equal([partitions_of(client) for client in members], owned, "partitions")
    for client in members:
        client.close()


def committed(bootstrap, group, topic):
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, n) for n in range(PARTITIONS)])
    found = admin.list_consumer_group_offsets([asked])[group].result(30)
    return {each.partition: each.offset for each in found.topic_partitions}


@scenario(only_firth=True, timeout_s=200)
def commits_survive_a_broker_that_is_killed_and_members_go_on(context):
    topic, group = fresh_topic("groups"), fresh_topic("group")
    with Broker(context.firth, context.scratch, free_ports(3)) as broker:
        fill(broker.bootstrap, topic, range(200))
        acknowledged, seen = {}, []

        def take(client, message):
            seen.append(int(message.value()))
            try:
                client.commit(message=message, asynchronous=False)
                acknowledged[message.partition()] = message.offset() + 1
            except KafkaException as failure:
                print(f"not committed: {failure}", flush=True)

        quick = {"reconnect_backoff_max_ms": 200}
        members = [member(broker.bootstrap, group, topic, **quick) for _ in range(2)]
        poll_until(members, lambda: len(seen) >= 60 and are_shared(members)(), "both members read", take)
        for _ in range(2):
            broker.kill()
            broker.start()
            stored = committed(broker.bootstrap, group, topic)
            for partition, offset in acknowledged.items():
                assert stored[partition] >= offset, f"partition {partition}: {stored[partition]} after {offset} was said"
            count = len(set(seen)) + 20
            poll_until(members, lambda: len(set(seen)) >= count, "members go on after the kill", take)
        poll_until(members, lambda: len(set(seen)) == 200, "all records are read", take)
        for client in members:
            client.close()


@scenario()
def offsets_that_one_client_commits_another_goes_on_from(context):
    topic, group = fresh_topic("groups"), fresh_topic("group")
    fill(context.bootstrap, topic, range(100), 1)
    python = KafkaConsumer(
        topic, bootstrap_servers=context.bootstrap, group_id=group, auto_offset_reset="earliest",
        enable_auto_commit=False, consumer_timeout_ms=PATIENCE_S * 1000, max_poll_records=10,
    )
    values = [int(record.value) for _, record in zip(range(30), python)]
    equal(values, list(range(30)), "what kafka-python reads")
    python.commit({PythonPartition(topic, 0): OffsetAndMetadata(30, "from kafka-python", -1)})
    python.close()
    confluent = member(context.bootstrap, group, topic)
    seen = []

    def take(client, message):
        if len(seen) < 30:
            seen.append(int(message.value()))
            client.commit(message=message, asynchronous=False)

    poll_until([confluent], lambda: len(seen) >= 30, "confluent-kafka goes on", take)
    equal(seen, list(range(30, 60)), "what confluent-kafka reads")
    confluent.close()
    python = KafkaConsumer(bootstrap_servers=context.bootstrap, group_id=group, enable_auto_commit=False)
    equal(python.committed(PythonPartition(topic, 0)), 60, "the offset that kafka-python finds")
    python.close()


@scenario(needs=["kcat"])
def kcat_reads_as_a_member(context):
    topic, group = fresh_topic("groups"), fresh_topic("group")
    fill(context.bootstrap, topic, range(100))
    command = ["kcat", "-b", context.bootstrap, "-X", "auto.offset.reset=earliest", "-q", "-c", "60", "-G", group, topic]
    first = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    equal(first.returncode, 0, first.stderr.decode())
    command[command.index("60")] = "40"
    second = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    equal(second.returncode, 0, second.stderr.decode())
    values = sorted(int(line) for line in (first.stdout + second.stdout).split())
    equal(values, list(range(100)), "values of both runs")


@scenario(needs=["rdkafka"])
def rdkafka_commits_and_goes_on(context):
    topic, group = fresh_topic("groups"), fresh_topic("group")
    fill(context.bootstrap, topic, range(100))
    read = [rdkafka(context, "group", context.bootstrap, group, topic, count) for count in ("60", "40")]
    values = sorted(int(line) for line in b"".join(read).split())
    equal(values, list(range(100)), "values of both runs")


@scenario()
def groups_are_listed_described_and_deleted(context):
    topic, group = fresh_topic("groups"), fresh_topic("group")
    fill(context.bootstrap, topic, range(4))
    admin = AdminClient({"bootstrap.servers": context.bootstrap, "log_level": 2})
    client = member(context.bootstrap, group, topic, client_id="describes itself")
    poll_until([client], lambda: len(partitions_of(client)) == PARTITIONS, "the member has all")
    client.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)
    listed = {each.group_id: each for each in admin.list_consumer_groups().result(30).valid}
    equal(listed[group].state.name, "STABLE", "state in the list")
    described = admin.describe_consumer_groups([group])[group].result(30)
    (only,) = described.members
    equal((described.partition_assignor, only.client_id), ("range", "describes itself"), "the group")
    equal(sorted(each.partition for each in only.assignment.topic_partitions), list(range(PARTITIONS)), "assignment")
    try:
        admin.delete_consumer_groups([group])[group].result(30)
        raise AssertionError("a group with a member was deleted")
    except KafkaException as failure:
        assert failure.args[0].code() == KafkaError.NON_EMPTY_GROUP, failure
    client.close()
    admin.delete_consumer_groups([group])[group].result(30)
    listed = {each.group_id for each in admin.list_consumer_groups().result(30).valid}
    assert group not in listed, "it is still there"
