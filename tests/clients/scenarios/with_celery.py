"""Celery: a worker with results through rpc://, retries, times, priorities and late acknowledgements; and kombu below it."""

import os
import socket
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import kombu
from kombu.pools import producers

from child import Child, wait_until
from programs import HERE, VENV
from scenario import amqp_scenario as scenario
from scenario import equal, fresh_name
from session import Session

PATIENCE_S = 40
# What Celery declares to deliver later through quorum queues, which only end with the broker.
DELAYED = [("queue", f"celery_delayed_{level}") for level in range(28)] + [
    *(("exchange", f"celery_delayed_{level}") for level in range(28)), ("exchange", "celery_delayed_delivery"),
]


class Celery:
    """The application with these settings, and workers of it."""

    def __init__(self, context, kind, directory):
        self.name, self.directory = fresh_name("celery"), directory
        settings = {"BROKER": f"amqp://guest:guest@{context.amqp}//", "NAME": self.name, "QUEUE_TYPE": kind}
        os.environ.update(settings)
        sys.path.insert(0, str(HERE / "celery-worker"))
        import tasks

        self.tasks, self.app = tasks, tasks.app

    def worker(self, name, concurrency=1):
        # Without gossip and mingle a worker is ready sooner, and its control still goes through the broker.
        options = ["--loglevel=INFO", "--without-gossip", "--without-mingle", f"--concurrency={concurrency}"]
        line = [VENV / "bin" / "python", "-m", "celery", "--workdir", HERE / "celery-worker", "-A", "tasks", "worker"]
        return Child([*line, *options, f"--hostname={name}@{self.name}"], self.directory / name)

    def wait_for_workers(self, *names):
        expected = {f"{name}@{self.name}" for name in names}

        def are_there():
            answers = self.app.control.ping(destination=sorted(expected), timeout=1)
            return {name for answer in answers for name in answer} == expected

        wait_until(are_there, PATIENCE_S, f"the workers {names} answer")


@contextmanager
def celery(context, kind="classic"):
    with tempfile.TemporaryDirectory(prefix="celery-", dir=context.scratch) as directory, Session(context) as session:
        application = Celery(context, kind, Path(directory))
        session.declared += [("exchange", application.name), ("queue", application.name)]
        session.declared += DELAYED if kind == "quorum" else []
        yield application
        application.app.close()


@scenario(each=("classic", "quorum"), timeout_s=150)
def a_worker_returns_results_and_tries_again(context, kind):
    with celery(context, kind) as application, application.worker("first", concurrency=2) as worker:
        tasks = application.tasks
        results = [tasks.add.delay(n, n) for n in range(100)]
        equal([result.get(PATIENCE_S) for result in results], [2 * n for n in range(100)], "results")
        equal((tasks.add.s(1, 2) | tasks.add.s(3) | tasks.add.s(4)).delay().get(PATIENCE_S), 10, "the result of a chain")
        group = __import__("celery").group(tasks.add.s(n, 1) for n in range(10))
        equal(group.delay().get(PATIENCE_S), list(range(1, 11)), "the results of a group")

        equal(tasks.succeed_at_last.delay(0).get(PATIENCE_S), 2, "how often it had failed")
        begin = time.time()
        equal(tasks.succeed_at_last.delay(1).get(PATIENCE_S), 2, "how often it had failed")
        assert time.time() >= begin + 2, "it was tried again too early"
        try:
            tasks.never_succeed.delay().get(PATIENCE_S)
            raise AssertionError("what fails succeeded")
        except ValueError as error:
            equal(str(error), "in vain", "its error")

        noted = application.directory / "noted"
        begin = time.time()
        late = tasks.note.apply_async([str(noted), "late"], eta=time_from_now(3))
        soon = tasks.note.apply_async([str(noted), "soon"], countdown=1)
        tasks.note.delay(str(noted), "now").get(PATIENCE_S)
        soon_at, late_at = soon.get(PATIENCE_S), late.get(PATIENCE_S)
        equal(noted.read_text().split(), ["now", "soon", "late"], "the order")
        assert soon_at >= begin + 0.9 and late_at >= begin + 2.9, (soon_at - begin, late_at - begin)
        assert worker.is_alive()


def time_from_now(seconds):
    import datetime

    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)


@scenario(timeout_s=120)
def what_a_killed_worker_had_goes_to_another(context):
    with celery(context) as application:
        tasks, directory = application.tasks, application.directory
        with application.worker("first") as first:
            application.wait_for_workers("first")
            waiting = tasks.wait_for.delay(str(directory / "go on"), str(directory / "begun"))
            others = [tasks.add.delay(n, n) for n in range(5)]
            wait_until((directory / "begun").exists, PATIENCE_S, "the first worker has begun")
            first.kill()
            # Its child would go on for as long as the file is not there.
            (directory / "go on").touch()
            with application.worker("second"):
                equal(waiting.get(PATIENCE_S), "over", "what the first had not done")
                equal([other.get(PATIENCE_S) for other in others], [2 * n for n in range(5)], "what it had not begun")
        equal((directory / "begun").read_text().split(), ["begun"] * 2, "how often it was begun")


@scenario(timeout_s=120)
def workers_are_asked_and_told(context):
    with celery(context) as application:
        tasks, directory = application.tasks, application.directory
        with application.worker("first") as first, application.worker("second") as second:
            application.wait_for_workers("first", "second")
            queues = application.app.control.inspect(timeout=5).active_queues()
            mine = {name: found for name, found in queues.items() if name.endswith(application.name)}
            equal({found[0]["name"] for found in mine.values()}, {application.name}, "the queue of both")
            revoked = tasks.note.apply_async([str(directory / "noted"), "revoked"], countdown=2)
            application.app.control.revoke(revoked.id, reply=True, timeout=5)
            expired = tasks.note.apply_async([str(directory / "noted"), "expired"], countdown=1, expires=0.5)
            tasks.note.apply_async([str(directory / "noted"), "done"], countdown=3).get(PATIENCE_S)
            equal((directory / "noted").read_text().split(), ["done"], "what was done")
            del expired
            application.app.control.shutdown()
            wait_until(lambda: all(each.process.poll() is not None for each in (first, second)), PATIENCE_S, "both end")


@scenario(timeout_s=120)
def urgent_tasks_are_done_first(context):
    with celery(context, "priority") as application:
        tasks, directory = application.tasks, application.directory
        with application.worker("only"):
            application.wait_for_workers("only")
            first = tasks.wait_for.delay(str(directory / "go on"), str(directory / "begun"))
            wait_until((directory / "begun").exists, PATIENCE_S, "the worker is busy")
            noted = str(directory / "noted")
            results = [tasks.note.apply_async([noted, str(n)], priority=n) for n in (1, 9, 5, 9, 0)]
            (directory / "go on").touch()
            first.get(PATIENCE_S)
            [result.get(PATIENCE_S) for result in results]
        found = (directory / "noted").read_text().split()
        # One may have been fetched while the first was running.
        equal([n for n in found if n != "1"], ["9", "9", "5", "0"], "the order")


def kombu_connection(context):
    return kombu.Connection(f"amqp://guest:guest@{context.amqp}//", transport_options={"confirm_publish": True})


@scenario()
def kombu_sends_what_it_serializes(context):
    sent = {"text": "firth \u00e9", "list": [1, 2.5, None, True], "deep": {"er": {"and": "deeper"}}, "large": "x" * 300_000}
    with Session(context) as session, kombu_connection(context) as connection:
        name = fresh_name("kombu")
        session.declared += [("queue", name), ("exchange", name)]
        queue = kombu.Queue(name, kombu.Exchange(name, "topic"), "a.*", max_priority=5, message_ttl=60)
        received = []

        def take(body, message):
            received.append((body, message.content_type, message.headers.get("mine"), message.delivery_info["routing_key"]))
            message.ack()

        with connection.Consumer(queue, callbacks=[take], accept=["json", "pickle", "yaml"], prefetch_count=2):
            with producers[connection].acquire(block=True) as producer:
                for compression in (None, "zlib", "bzip2"):
                    producer.publish(
                        sent, exchange=queue.exchange, routing_key="a.b", declare=[queue], headers={"mine": 1},
                        serializer="json", compression=compression, retry=True, priority=3,
                    )
            while len(received) < 3:
                connection.drain_events(timeout=PATIENCE_S)
        equal(received, [(sent, "application/json", 1, "a.b")] * 3, "what comes")
        with connection.SimpleQueue(name + "-simple") as simple:
            session.declared += [("queue", name + "-simple"), ("exchange", name + "-simple")]
            simple.put({"n": 1})
            message = simple.get(timeout=PATIENCE_S)
            message.requeue()
            message = simple.get(timeout=PATIENCE_S)
            equal((message.payload, message.delivery_info["redelivered"]), ({"n": 1}, True), "what was requeued")
            message.ack()
            equal(simple.qsize(), 0, "what is left")


@scenario()
def kombu_waits_no_longer_than_it_is_told(context):
    with kombu_connection(context) as connection:
        with connection.Consumer(kombu.Queue(fresh_name("kombu"), exclusive=True), callbacks=[print]):
            try:
                connection.drain_events(timeout=0.2)
                raise AssertionError("something came")
            except socket.timeout:
                pass
        equal(connection.connected, True, "whether it is connected")
