"""rust-rdkafka, compiled with its own librdkafka; the scenarios are in rdkafka/src/main.rs."""

import subprocess

from scenario import CODECS, equal, fresh_topic, scenario
from wire import stored_batches, stored_codecs


def rdkafka(context, *arguments):
    done = subprocess.run([context.rdkafka, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    assert done.returncode == 0, f"rdkafka-client {' '.join(arguments)} failed: {done.stderr.decode()}"
    return done.stdout


@scenario(needs=["rdkafka"], each=CODECS)
def idempotent_records_come_back_whole(context, codec):
    topic = fresh_topic(f"rdkafka-{codec}")
    rdkafka(context, "roundtrip", context.bootstrap, topic, codec, "5000")
    equal(stored_codecs(context.bootstrap, topic), {codec}, "codec of the stored batches")
    stored = stored_batches(context.bootstrap, topic)
    assert all(batch.producer_id >= 0 for batch in stored), "a batch carries no producer id"
