"""Kafka Connect on Firth: what a worker knows lies in compacted topics of the broker, and its cluster is a group."""

import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from broker import Broker, free_ports
from child import wait_until
from connect import Worker
from scenario import equal, fresh_topic, scenario

PATIENCE_S = 60


@contextmanager
def scratch(context):
    with tempfile.TemporaryDirectory(prefix="connect-", dir=context.scratch) as directory:
        yield Path(directory)


class Lines:
    """A file that grows for as long as the scenario runs, by numbered lines."""

    def __init__(self, path):
        self.path, self.count, self.end = path, 0, threading.Event()
        self.thread = threading.Thread(target=self.write, daemon=True)

    def write(self):
        with open(self.path, "w") as file:
            while not self.end.wait(0.005):
                print(f"line {self.count}", file=file, flush=True)
                self.count += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        self.thread.join()


def file_source(path, topic):
    connector = "org.apache.kafka.connect.file.FileStreamSourceConnector"
    return {"connector.class": connector, "tasks.max": "1", "file": str(path), "topic": topic}


def file_sink(path, topic):
    connector = "org.apache.kafka.connect.file.FileStreamSinkConnector"
    # The least that brokers allow: a worker that is killed keeps its partitions for so long.
    settings = {"consumer.override.session.timeout.ms": "6000"}
    return {"connector.class": connector, "tasks.max": "1", "file": str(path), "topics": topic} | settings


def lines_of(path):
    return path.read_text().splitlines() if path.exists() else []


def goes_on(lines, path):
    """What is written from now on arrives."""
    count = lines.count
    wait_until(lambda: len(set(lines_of(path))) > count + 20, PATIENCE_S, f"lines after the {count}th arrive")


def all_have_arrived(lines, path):
    """Every line, in order. What was not committed before a kill comes again."""
    expected = [f"line {n}" for n in range(lines.count)]
    wait_until(lambda: len(set(lines_of(path))) >= len(expected), PATIENCE_S, "all lines arrive")
    equal(list(dict.fromkeys(lines_of(path))), expected, "the lines when each first arrived")


def is_shared(worker, workers, units):
    places = worker.places()
    return len(places) == units and set(places.values()) == {each.address for each in workers}


@scenario(needs=["kafka-connect"])
def a_standalone_worker_goes_on_where_it_was_killed(context):
    with scratch(context) as directory:
        standalone(context, directory, fresh_topic("connect"))


def standalone(context, directory, topic):
    settings = {"bootstrap.servers": context.bootstrap, "offset.storage.file.filename": directory / "offsets"}
    source, sink = directory / "source", directory / "sink"
    connectors = {f"{topic}-source": file_source(source, topic), f"{topic}-sink": file_sink(sink, topic)}
    with Worker(directory, settings, connectors) as worker:
        with Lines(source) as lines:
            goes_on(lines, sink)
            wait_until((directory / "offsets").exists, PATIENCE_S, "the worker writes where it is")
            worker.kill()
            worker.start()
            goes_on(lines, sink)
        all_have_arrived(lines, sink)


@scenario(needs=["kafka-connect"], only_firth=True, timeout_s=240)
def a_cluster_goes_on_when_workers_and_the_broker_are_killed(context):
    with scratch(context) as directory, Broker(context.firth, context.scratch, free_ports(3)) as broker:
        topic, source, sink = "lines", directory / "source", directory / "sink"
        settings = cluster_settings(broker.bootstrap, "connect-cluster")
        first, second = (Worker(directory / name, settings) for name in ("first", "second"))
        with first, second, Lines(source) as lines:
            first.wait_until_ready()
            second.wait_until_ready()
            first.ask_until_taken("PUT", "/connectors/source/config", file_source(source, topic))
            second.ask_until_taken("PUT", "/connectors/sink/config", file_sink(sink, topic))
            wait_until(lambda: is_shared(first, [first, second], 4), PATIENCE_S, "both workers have their share")
            goes_on(lines, sink)
            broker.kill()
            broker.start()
            goes_on(lines, sink)
            second.kill()
            wait_until(lambda: is_shared(first, [first], 4), PATIENCE_S, "the first worker has all")
            goes_on(lines, sink)
            second.start()
            wait_until(lambda: is_shared(first, [first, second], 4), PATIENCE_S, "the second one has its share again")
            goes_on(lines, sink)
            lines.__exit__()
            all_have_arrived(lines, sink)
            read_once_more(second, sink, topic, lines.count)
        state_is_compacted(broker.bootstrap, "connect-cluster")


def cluster_settings(bootstrap, cluster):
    topics = {f"{what}.storage.topic": f"{cluster}-{what}" for what in ("config", "offset", "status")}
    return topics | {f"{what}.storage.replication.factor": 1 for what in ("config", "offset", "status")} | {
        "bootstrap.servers": bootstrap,
        "group.id": cluster,
        # The least that brokers allow. What a worker had that is gone is given to others at once.
        "session.timeout.ms": 6000,
        "heartbeat.interval.ms": 1000,
        "scheduled.rebalance.max.delay.ms": 0,
        "reconnect.backoff.max.ms": 200,
        "producer.reconnect.backoff.max.ms": 200,
        "consumer.reconnect.backoff.max.ms": 200,
    }


def read_once_more(worker, sink, topic, count):
    """The offsets of a sink that is stopped are those of its group, which an operator moves through the worker (KIP-875)."""
    worker.ask_until_taken("PUT", "/connectors/sink/stop")
    wait_until(lambda: worker.ask("GET", "/connectors/sink/status")["tasks"] == [], PATIENCE_S, "the sink stops")
    before = len(lines_of(sink))
    partition = {"kafka_topic": topic, "kafka_partition": 0}
    (found,) = worker.ask("GET", "/connectors/sink/offsets")["offsets"]
    assert found["partition"] == partition and found["offset"]["kafka_offset"] >= count, found
    moved = {"offsets": [{"partition": partition, "offset": {"kafka_offset": 0}}]}
    worker.ask_until_taken("PATCH", "/connectors/sink/offsets", moved)
    worker.ask_until_taken("PUT", "/connectors/sink/resume")
    wait_until(lambda: len(lines_of(sink)) >= before + count, PATIENCE_S, "all lines arrive once more")
    worker.ask_until_taken("DELETE", "/connectors/source")
    equal(worker.ask("GET", "/connectors"), ["sink"], "connectors that are left")


def state_is_compacted(bootstrap, cluster):
    """So that they keep what was said last of each connector, and grow no further."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})
    asked = [ConfigResource(ResourceType.TOPIC, f"{cluster}-{what}") for what in ("config", "offset", "status")]
    for resource, found in admin.describe_configs(asked).items():
        equal(found.result(30)["cleanup.policy"].value, "compact", f"the policy of {resource.name}")
