"""Debian's amqp-tools: librabbitmq, the client in C, on the command line."""

import subprocess
import tempfile
from functools import partial
from pathlib import Path

from scenario import amqp_scenario, equal, fresh_name
from session import Session

PATIENCE_S = 30
scenario = partial(amqp_scenario, needs=["amqp-tools"])


def call(context, tool, *arguments, stdin=b"", code=0):
    line = [f"amqp-{tool}", f"--url=amqp://guest:guest@{context.amqp}", *arguments]
    done = subprocess.run(line, input=stdin, capture_output=True, timeout=PATIENCE_S)
    equal(done.returncode, code, f"how {' '.join(line)} ended: {done.stderr.decode()}")
    return done.stdout if code == 0 else done.stderr.decode()


@scenario()
def what_is_published_is_got(context):
    with Session(context) as session:
        queue = fresh_name("tools")
        session.declared.append(("queue", queue))
        equal(call(context, "declare-queue", "-d", "-q", queue).decode().strip(), queue, "the queue")
        call(context, "publish", "-r", queue, "-p", "-b", "one", "-C", "text/plain")
        call(context, "publish", "-r", queue, stdin=b"from the pipe \x00\xff" * 20_000)
        _, properties, _ = session.get(queue, False)
        equal((properties.content_type, properties.delivery_mode), ("text/plain", 2), "properties")
        session.channel.basic_nack(1)
        equal(call(context, "get", "-q", queue), b"one", "the first")
        equal(call(context, "get", "-q", queue), b"from the pipe \x00\xff" * 20_000, "the second")
        # It ends with 2 where there is none.
        call(context, "get", "-q", queue, code=2)
        equal(call(context, "delete-queue", "-q", queue).strip(), b"0", "what was in it")


@scenario()
def lines_are_messages(context):
    with Session(context) as session:
        queue = session.queue(durable=False)
        call(context, "publish", "-r", queue, "-l", stdin=b"a\nb\nc\n")
        with tempfile.TemporaryDirectory(dir=context.scratch) as directory:
            noted = Path(directory) / "noted"
            # Each message is the input of a program; what it leaves is acknowledged.
            call(context, "consume", "-q", queue, "-c", "3", "-p", "1", "--", "sh", "-c", f"cat >> {noted}")
            equal(noted.read_bytes().split(), [b"a", b"b", b"c"], "what was consumed")
        equal(session.counts(queue), (0, 0), "what is left")


@scenario()
def an_exchange_is_consumed_from(context):
    with Session(context) as session:
        exchange = session.exchange("topic")
        with tempfile.TemporaryDirectory(dir=context.scratch) as directory:
            noted = Path(directory) / "noted"
            line = ["amqp-consume", f"--url=amqp://guest:guest@{context.amqp}", "-e", exchange, "-r", "a.#", "-c", "2"]
            said = open(Path(directory) / "said", "wb")
            consumer = subprocess.Popen([*line, "--", "sh", "-c", f"cat >> {noted}"], stdin=subprocess.DEVNULL, stderr=said)
            try:
                # It says which queue it declared before it binds it, so that this is tried until somebody is bound.
                session.until(lambda: is_routed(session, exchange), "the consumer is bound")
                call(context, "publish", "-e", exchange, "-r", "a.c", "-b", "two ")
                equal(consumer.wait(PATIENCE_S), 0, "how the consumer ended")
            finally:
                consumer.kill()
                consumer.wait()
            equal(noted.read_bytes(), b"one two ", "what was consumed")


def is_routed(session, exchange):
    from pika.exceptions import UnroutableError

    try:
        session.publish("a.b", b"one ", exchange=exchange, mandatory=True)
        return True
    except UnroutableError:
        return False


@scenario()
def refusals_are_shown(context):
    said = call(context, "get", "-q", missing := fresh_name("missing"), code=1)
    assert "404" in said and f"NOT_FOUND - no queue '{missing}' in vhost '/'" in said, said
    line = [f"--url=amqp://guest:wrong@{context.amqp}", "-r", "queue", "-b", "x"]
    done = subprocess.run(["amqp-publish", *line], capture_output=True, timeout=PATIENCE_S)
    assert done.returncode == 1 and b"ACCESS_REFUSED" in done.stderr, done
