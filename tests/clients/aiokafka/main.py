"""aiokafka: kafka-python's protocol on asyncio, with a group membership of its own."""

import asyncio
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource
from aiokafka.errors import InvalidPartitionsError, UnknownTopicOrPartitionError

PATIENCE_S = 40
FIRST_TIMESTAMP_MS = 1_700_000_000_000


def equal(actual, expected, what):
    if actual != expected:
        raise AssertionError(f"{what}: {actual!r:.500} instead of {expected!r:.500}")


class Client:
    """What the scenarios have in common: the broker, and the names that are theirs alone."""

    def __init__(self, bootstrap, topic, group):
        self.bootstrap, self.topic, self.group = bootstrap, topic, group

    def admin(self):
        return AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)

    def member(self, **settings):
        settings = {"auto_offset_reset": "earliest", "enable_auto_commit": False} | settings
        return AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, group_id=self.group, heartbeat_interval_ms=300, **settings
        )

    def reader(self):
        return AIOKafkaConsumer(bootstrap_servers=self.bootstrap, group_id=None)

    def partitions(self, count):
        return [TopicPartition(self.topic, partition) for partition in range(count)]

    async def create(self, partitions, configs=None):
        async with Closing(self.admin()) as admin:
            answer = await admin.create_topics([NewTopic(self.topic, partitions, 1, topic_configs=configs or {})])
            equal([error[1] for error in answer.topic_errors], [0], "error of CreateTopics")

    async def fill(self, numbers, partitions):
        """Records whose values are numbers, one after the other to each partition, ten milliseconds apart."""
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=5)
        await producer.start()
        for n in numbers:
            timestamp_ms = FIRST_TIMESTAMP_MS + 10 * n
            await producer.send(self.topic, b"%d" % n, partition=n % partitions, timestamp_ms=timestamp_ms)
        await producer.stop()


class Closing:
    """`async with` for an admin client, which has `start` and `close` alone."""

    def __init__(self, admin):
        self.admin = admin

    async def __aenter__(self):
        await self.admin.start()
        return self.admin

    async def __aexit__(self, *_):
        await self.admin.close()


async def records_come_back_whole(client, codec):
    await client.create(2)
    producer = AIOKafkaProducer(
        bootstrap_servers=client.bootstrap, compression_type=None if codec == "none" else codec, linger_ms=20,
        enable_idempotence=True,
    )
    await producer.start()
    sent, reports = [], []
    for n in range(1500):
        value, headers = b"value %d " % n * (n % 20 + 1), [("n", b"%d" % n)]
        record = (n % 2, FIRST_TIMESTAMP_MS + n, b"key %d" % (n % 9), value, headers)
        partition, timestamp_ms, key, value, headers = record
        reports.append(await producer.send(client.topic, value, key, partition, timestamp_ms, headers))
        sent.append(record)
    reports = await asyncio.gather(*reports)
    equal([(r.partition, r.offset) for r in reports], [(n % 2, n // 2) for n in range(len(sent))], "delivery reports")
    await producer.stop()

    reader = client.reader()
    await reader.start()
    reader.assign(client.partitions(2))
    await reader.seek_to_beginning()
    records = await take(reader, len(sent))
    for partition in range(2):
        found = [(r.timestamp, r.key, r.value, list(r.headers)) for r in records if r.partition == partition]
        equal(found, [tuple(rest) for at, *rest in sent if at == partition], f"records of partition {partition}")
    await reader.stop()


async def take(consumer, count):
    records = []
    while len(records) < count:
        for batch in (await consumer.getmany(timeout_ms=1000, max_records=count - len(records))).values():
            records += batch
    return records


class Share(ConsumerRebalanceListener):
    """The partitions that a member has now, and how often they were given out."""

    def __init__(self):
        self.partitions, self.rebalances = set(), 0

    async def on_partitions_revoked(self, _):
        self.partitions = set()

    async def on_partitions_assigned(self, assigned):
        self.partitions = {each.partition for each in assigned}
        self.rebalances += 1


async def read_until(members, done, seen):
    """Members read beside each other and commit what they read, until a condition holds."""
    while not done():
        for consumer, _ in members:
            for batch in (await consumer.getmany(timeout_ms=50)).values():
                seen.update(int(record.value) for record in batch)


async def join(client):
    consumer, share = client.member(enable_auto_commit=True, auto_commit_interval_ms=200), Share()
    await consumer.start()
    consumer.subscribe([client.topic], listener=share)
    return consumer, share


async def members_come_and_go(client):
    await client.create(4)
    await client.fill(range(200), 4)
    everything, seen = {0, 1, 2, 3}, set()
    first = await join(client)
    await read_until([first], lambda: first[1].partitions == everything and len(seen) == 200, seen)
    second = await join(client)

    def shared():
        shares = [first[1].partitions, second[1].partitions]
        return all(len(share) == 2 for share in shares) and set.union(*shares) == everything

    await read_until([first, second], shared, seen)
    await client.fill(range(200, 400), 4)
    await read_until([first, second], lambda: len(seen) == 400, seen)
    await first[0].stop()
    await read_until([second], lambda: second[1].partitions == everything, seen)
    await client.fill(range(400, 600), 4)
    await read_until([second], lambda: len(seen) == 600, seen)
    equal(seen, set(range(600)), "values")
    assert second[1].rebalances >= 2, "the second member saw no rebalance"
    await second[0].stop()


async def commits_are_resumed(client):
    await client.create(1)
    await client.fill(range(100), 1)
    (partition,) = client.partitions(1)
    values = []
    for begin in (0, 40):
        member = client.member()
        member.subscribe([client.topic])
        await member.start()
        values = [int(record.value) for record in await take(member, 40)]
        equal(values, list(range(begin, begin + 40)), "values")
        await member.commit({partition: (begin + 40, f"up to {begin + 40}")})
        equal(await member.committed(partition), begin + 40, "what is committed")
        await member.stop()
    async with Closing(client.admin()) as admin:
        found = await admin.list_consumer_group_offsets(client.group)
        equal([(at, *what) for at, what in found.items()], [(partition, 80, "up to 80")], "offsets of the group")


async def times_and_ends_are_found(client):
    await client.create(1)
    await client.fill(range(100), 1)
    (partition,) = client.partitions(1)
    reader = client.reader()
    await reader.start()
    reader.assign([partition])
    equal(await reader.beginning_offsets([partition]), {partition: 0}, "beginning")
    equal(await reader.end_offsets([partition]), {partition: 100}, "end")
    found = (await reader.offsets_for_times({partition: FIRST_TIMESTAMP_MS + 405}))[partition]
    equal(tuple(found), (41, FIRST_TIMESTAMP_MS + 410), "the first record at or after a time")
    later = await reader.offsets_for_times({partition: FIRST_TIMESTAMP_MS + 9999})
    equal(later[partition], None, "after the last record")
    reader.seek(partition, found.offset)
    equal([int(record.value) for record in await take(reader, 59)], list(range(41, 100)), "values after the seek")
    await reader.stop()


async def config_of(admin, topic, name):
    (answer,) = await admin.describe_configs([ConfigResource("topic", topic, {name: None})])
    ((_, _, _, _, entries),) = answer.resources
    return [entry[1] for entry in entries if entry[0] == name]


async def topics_and_groups_are_administered(client):
    """aiokafka deletes no groups."""
    await client.create(2, {"retention.ms": "3600000"})
    await client.fill(range(100), 1)
    async with Closing(client.admin()) as admin:
        equal(len((await admin.describe_cluster())["brokers"]), 1, "brokers")
        equal(await config_of(admin, client.topic, "retention.ms"), ["3600000"], "what was set")
        altered = await admin.alter_configs([ConfigResource("topic", client.topic, {"retention.ms": "7200000"})])
        equal([error[0] for answer in altered for error in answer.resources], [0], "error of AlterConfigs")
        equal(await config_of(admin, client.topic, "retention.ms"), ["7200000"], "what was altered")
        await admin.create_partitions({client.topic: NewPartitions(5)})
        (described,) = await admin.describe_topics([client.topic])
        equal(len(described["partitions"]), 5, "partitions")
        try:
            await admin.create_partitions({client.topic: NewPartitions(5)})
            raise AssertionError("a topic got as many partitions as it has")
        except InvalidPartitionsError:
            pass
        first = TopicPartition(client.topic, 0)
        equal(await admin.delete_records({first: RecordsToDelete(30)}), {first: 30}, "the first offset that is left")
        await groups_are_described(client, admin)
        deleted = await admin.delete_topics([client.topic])
        equal(deleted.topic_error_codes, [(client.topic, 0)], "error of DeleteTopics")
        assert client.topic not in await admin.list_topics(), "the deleted topic is still listed"
        again = await admin.delete_topics([client.topic])
        equal(again.topic_error_codes, [(client.topic, UnknownTopicOrPartitionError.errno)], "error of a second time")


async def groups_are_described(client, admin):
    member = client.member(client_id="describes itself")
    member.subscribe([client.topic])
    await member.start()
    equal([int(record.value) for record in await take(member, 70)], list(range(30, 100)), "what is left of the records")
    listed = [tuple(group)[:2] for group in await admin.list_consumer_groups()]
    assert (client.group, "consumer") in listed, f"the group is not listed: {listed}"
    (answer,) = await admin.describe_consumer_groups([client.group])
    (described,) = answer.to_object()["groups"]
    equal((described["state"], described["protocol"]), ("Stable", "roundrobin"), "state of the group")
    equal([each["client_id"] for each in described["members"]], ["describes itself"], "members")
    await member.stop()
    (answer,) = await admin.describe_consumer_groups([client.group])
    equal([group["state"] for group in answer.to_object()["groups"]], ["Empty"], "state without members")


async def main():
    name, bootstrap, topic, group, *rest = sys.argv[1:]
    async with asyncio.timeout(PATIENCE_S):
        await globals()[name](Client(bootstrap, topic, group), *rest)


asyncio.run(main())
