"""What the Celery worker of the scenarios does; the scenarios themselves send it, with the same settings."""

import os
import time
from pathlib import Path

import celery
from kombu import Queue

NAME = os.environ["NAME"]
KIND = os.environ["QUEUE_TYPE"]

app = celery.Celery("tasks", broker=os.environ["BROKER"], backend="rpc://")
app.conf.update(
    task_default_queue=NAME,
    task_default_exchange=NAME,
    task_default_routing_key=NAME,
    task_default_exchange_type="topic" if KIND == "quorum" else "direct",
    task_default_queue_type=KIND,
    broker_transport_options={"confirm_publish": True},
    worker_prefetch_multiplier=2,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    result_expires=60,
    broker_connection_retry_on_startup=True,
)
if KIND == "priority":
    app.conf.task_queues = [Queue(NAME, routing_key=NAME, queue_arguments={"x-max-priority": 9})]
    app.conf.task_default_queue_type = "classic"
    app.conf.worker_prefetch_multiplier = 1


@app.task
def add(a, b):
    return a + b


@app.task(bind=True, max_retries=3)
def succeed_at_last(self, countdown):
    """Says how often it had failed."""
    if self.request.retries < 2:
        raise self.retry(countdown=countdown)
    return self.request.retries


@app.task(bind=True, max_retries=1)
def never_succeed(self):
    raise self.retry(countdown=0, exc=ValueError("in vain"))


@app.task
def note(path, what):
    """Appends a line, by which order and repetition are seen."""
    with open(path, "a") as file:
        file.write(f"{what}\n")
    return time.time()


@app.task
def wait_for(path, begun):
    """Runs until the file is there, and says so beforehand."""
    note(begun, "begun")
    while not Path(path).exists():
        time.sleep(0.02)
    return "over"
