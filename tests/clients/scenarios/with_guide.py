"""docs/from-apache-kafka.md, done as it stands there: MirrorMaker moves topics and groups, and every command is run."""

import re
import shlex
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from broker import Broker, free_ports
from child import Child, wait_until
from connect import MIRROR_MAKER
from programs import command
from scenario import equal, scenario

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "from-apache-kafka.md"
# The addresses of the guide.
OLD, NEW = "localhost:9092", "localhost:9192"
PATIENCE_S = 60
COMMAND_S = 60
TOPIC, GROUP = "orders", "billing"
RETENTION_MS = "86400000"
COPIED = "1100 records"
TOOLS = {
    "kafka-topics.sh": "TopicCommand",
    "kafka-consumer-groups.sh": "consumer.group.ConsumerGroupCommand",
    "kafka-get-offsets.sh": "GetOffsetShell",
    "kafka-log-dirs.sh": "LogDirsCommand",
}


def blocks(language):
    """The guide's blocks of a language, wherever they are indented."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    assert found, f"the guide has no block of {language}"
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


@scenario(needs=["kafka-connect"], only_firth=True, timeout_s=200)
def topics_and_groups_move_as_the_guide_says(context):
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="guide-", dir=context.scratch)))
        old, new = (stack.enter_context(Broker(context.firth, context.scratch, free_ports(3))) for _ in range(2))
        write(old.bootstrap, range(1000))
        equal(read(old.bootstrap, 999), list(range(1000)), "what the group reads before it moves")
        stack.enter_context(mirror(directory, old, new))
        wait_until(lambda: 0 <= committed(new.bootstrap), PATIENCE_S, "the group arrives")
        write(old.bootstrap, range(1000, 1100))
        # It may have arrived where it was a moment ago, and nothing is left out.
        numbers = read(new.bootstrap, 1099)
        equal(numbers, list(range(numbers[0], 1100)), "what the group reads after it moved")
        assert numbers[0] <= 1000, f"the group goes on at {numbers[0]}"
        for line in (line for block in blocks("sh") for line in block.splitlines()):
            run(line, context.firth, old.bootstrap, new.bootstrap)
        equal(committed(new.bootstrap), 1099, "where the last command moved the group")


def mirror(directory, old, new):
    (text,) = blocks("properties")
    file = directory / "mm2.properties"
    file.write_text(text.replace(OLD, old.bootstrap).replace(NEW, new.bootstrap))
    return Child([*command("kafka-connect"), MIRROR_MAKER, file], directory)


def write(bootstrap, numbers):
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})
    if TOPIC not in admin.list_topics(timeout=10).topics:
        admin.create_topics([NewTopic(TOPIC, 1, config={"retention.ms": RETENTION_MS})])[TOPIC].result(30)
    client = Producer({"bootstrap.servers": bootstrap, "log_level": 2})
    for number in numbers:
        client.produce(TOPIC, b"%d" % number)
    equal(client.flush(PATIENCE_S), 0, "records that were not delivered")


def member(bootstrap):
    settings = {"auto.offset.reset": "earliest", "enable.auto.commit": False, "log_level": 2}
    return Consumer({"bootstrap.servers": bootstrap, "group.id": GROUP} | settings)


def read(bootstrap, last):
    """What there is up to a number, committed."""
    consumer, numbers = member(bootstrap), []
    consumer.subscribe([TOPIC])

    def has_all():
        numbers.extend(int(each.value()) for each in consumer.consume(1000, 0.2) if not each.error())
        return last in numbers

    wait_until(has_all, PATIENCE_S, f"record {last} arrives")
    consumer.commit(asynchronous=False)
    consumer.close()
    return numbers


def committed(bootstrap):
    consumer = member(bootstrap)
    (found,) = consumer.committed([TopicPartition(TOPIC, 0)], 10)
    consumer.close()
    return found.offset


def run(line, firth, old, new):
    """A command, or several of which each reads what the one before it prints."""
    printed = None
    for part in line.replace(OLD, old).replace(NEW, new).split(" | "):
        name, *arguments = shlex.split(part)
        if name in TOOLS:
            words = [*command("kafka-connect"), f"org.apache.kafka.tools.{TOOLS[name]}", *arguments]
        else:
            equal(name, "firth", "the program of a command")
            words = [Path(firth).resolve(), *arguments]
        done = subprocess.run(
            [str(word) for word in words], input=printed or "", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            timeout=COMMAND_S, env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "FIRTH_SERVER": new},
        )
        assert done.returncode == 0, f"{part}: ended with {done.returncode}: {done.stdout}{done.stderr}"
        printed = done.stdout
    said = printed + done.stderr
    assert any(word in said for word in (TOPIC, GROUP, RETENTION_MS, COPIED)), f"{line}: {said}"
