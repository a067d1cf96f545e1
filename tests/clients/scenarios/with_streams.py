"""Kafka Streams on Firth: words are counted, at least once, by instances that come and are killed.

The topics of a stateful application are all there: what it reads, the repartition topic in which all of a word lies in one
partition, the compacted changelog from which another instance takes over its counts, and what it writes.
"""

import tempfile
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from broker import Broker, free_ports
from child import Child, wait_until
from programs import command
from scenario import equal, fresh_topic, scenario

PATIENCE_S = 60
PARTITIONS = 4
# One that reads and one that counts for each partition.
TASKS = 2 * PARTITIONS
WORDS = "the quick brown fox jumps over the lazy dog and runs away from the angry bear".split()


class Application:
    """What the instances have in common, and what is known of it from outside: the words that were sent, and the counts."""

    def __init__(self, bootstrap, name, directory):
        self.bootstrap, self.name, self.directory = bootstrap, name, directory
        # librdkafka 2.16 forgets a broker that is gone for a moment, and then waits for what is left of it.
        known = {"metadata.recovery.strategy": "none", "reconnect.backoff.max.ms": 200}
        settings = known | {"bootstrap.servers": bootstrap, "log_level": 2}
        self.admin = AdminClient(settings)
        topics = [NewTopic(f"{name}-{what}", num_partitions=PARTITIONS) for what in ("lines", "counts")]
        for created in self.admin.create_topics(topics).values():
            created.result(30)
        self.producer = Producer(settings | {"enable.idempotence": True})
        self.consumer = Consumer(settings | {"group.id": "none", "enable.auto.commit": False})
        self.consumer.assign([TopicPartition(f"{name}-counts", n, 0) for n in range(PARTITIONS)])
        self.sent, self.counts, self.lines = Counter(), {}, 0

    def instance(self, name, guarantee="at_least_once"):
        line = [*command("kafka-streams"), self.bootstrap, self.name, self.directory / name, guarantee]
        return Child(line, self.directory / name)

    def say(self, lines):
        for n in range(self.lines, self.lines + lines):
            words = [WORDS[(n * k) % len(WORDS)] for k in range(1, 6)]
            self.producer.produce(f"{self.name}-lines", " ".join(words), partition=n % PARTITIONS)
            self.sent.update(words)
        self.lines += lines
        equal(self.producer.flush(PATIENCE_S), 0, "lines that were not delivered")

    def wait_until_counted(self):
        """All that was sent has gone through, and no word was counted less often than it was sent."""
        for what in ("lines", "counts-repartition"):
            wait_until(lambda: self.is_read(f"{self.name}-{what}"), PATIENCE_S, f"the application has read its {what}")
        wait_until(self.has_seen_all, PATIENCE_S, "the counts are read")
        below = {word: self.counts.get(word, 0) - count for word, count in self.sent.items()}
        assert min(below.values()) >= 0, f"what was counted less often than it was sent: {below}"

    def is_read(self, topic):
        """Its group has committed the end, which it does when all that follows from it is stored."""
        partitions = [TopicPartition(topic, n) for n in range(PARTITIONS)]
        try:
            asked = ConsumerGroupTopicPartitions(self.name, partitions)
            found = self.admin.list_consumer_group_offsets([asked])[self.name].result(10).topic_partitions
            committed = {each.partition: max(each.offset, 0) for each in found}
            return all(committed[each.partition] == self.end(each) for each in partitions)
        except KafkaException:
            # The broker was killed, and its clients are about to connect again.
            return False

    def has_seen_all(self):
        for message in self.consumer.consume(1000, 0.1):
            if message.error() is None:
                self.counts[message.key().decode()] = int(message.value())
        return all(each.offset == self.end(each) for each in self.consumer.position(self.consumer.assignment()))

    def end(self, partition):
        return self.consumer.get_watermark_offsets(partition, 10)[1]

    def surplus(self):
        return {word: self.counts[word] - count for word, count in self.sent.items()}


def tasks(*instances):
    """How many tasks each runs."""
    files = [instance.directory / "tasks" for instance in instances]
    return [int(file.read_text()) if file.exists() else 0 for file in files]


def wait_until_shared(*instances):
    def is_shared():
        found = tasks(*instances)
        assert all(instance.is_alive() for instance in instances)
        return sum(found) == TASKS and all(found)

    wait_until(is_shared, PATIENCE_S, f"{len(instances)} instances share the tasks")


@contextmanager
def application(context, bootstrap):
    with tempfile.TemporaryDirectory(prefix="streams-", dir=context.scratch) as directory:
        yield Application(bootstrap, fresh_topic("words"), Path(directory))


@scenario(needs=["kafka-streams"], only_firth=True, timeout_s=240)
def words_are_counted_while_instances_and_the_broker_are_killed(context):
    with Broker(context.firth, context.scratch, free_ports(3)) as broker, application(context, broker.bootstrap) as counted:
        with counted.instance("first") as first, counted.instance("second") as second:
            counted.say(200)
            wait_until_shared(first, second)
            counted.say(200)
            counted.wait_until_counted()
            # Nothing was killed, so nothing was counted twice.
            equal(set(counted.surplus().values()), {0}, "what was counted too often")
            internal_topics_are_as_configured(counted)

            second.kill()
            (second.directory / "tasks").unlink()
            counted.say(200)
            wait_until_shared(first)
            counted.wait_until_counted()
            broker.kill()
            broker.start()
            counted.say(200)
            counted.wait_until_counted()

            second.start()
            wait_until_shared(first, second)
            before = counted.surplus()
            counted.say(200)
            counted.wait_until_counted()
            equal(counted.surplus(), before, "what was counted too often since nothing is killed any more")


def internal_topics_are_as_configured(counted):
    changelog = f"{counted.name}-counts-changelog"
    repartition = f"{counted.name}-counts-repartition"
    expected = {
        changelog: {"cleanup.policy": "compact"},
        repartition: {"cleanup.policy": "delete", "retention.ms": "-1", "segment.bytes": "52428800"},
    }
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in expected]
    for resource, found in counted.admin.describe_configs(asked).items():
        for name, value in expected[resource.name].items():
            equal(found.result(30)[name].value, value, f"{name} of {resource.name}")

    def is_purged():
        partitions = [TopicPartition(repartition, n) for n in range(PARTITIONS)]
        found = [counted.consumer.get_watermark_offsets(each, 10) for each in partitions]
        return all(begin == end for begin, end in found) and any(end for _, end in found)

    wait_until(is_purged, PATIENCE_S, "what was read of the repartition topic is deleted")


@scenario(needs=["kafka-streams"], only_firth=True)
def exactly_once_is_refused_at_once(context):
    with application(context, context.bootstrap) as counted:
        with counted.instance("only", "exactly_once_v2") as instance:
            # Long before anything that is tried again gives up, which takes it five minutes.
            equal(instance.process.wait(PATIENCE_S), 3, "how the instance ended")
            said = instance.log.read_text(errors="replace")
            assert "TransactionalIdAuthorizationException" in said, said
