"""kcat, the command line that everyone tries first."""

import json
import subprocess
import time

from scenario import CODECS, equal, fresh_topic, scenario
from wire import stored_batches, stored_codecs


def kcat(context, *arguments, stdin=b""):
    command = ["kcat", "-b", context.bootstrap, "-m", "20", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=60)
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}: {done.stderr.decode()}"
    return done.stdout


def consume(context, topic, *arguments, begin="beginning"):
    """(offset, timestamp in ms, key, value) of each record of partition 0, up to its end."""
    output = kcat(context, "-C", "-q", "-t", topic, "-p", "0", "-o", begin, "-e", "-f", r"%o\t%T\t%k\t%s\n", *arguments)
    rows = [line.split(b"\t", 3) for line in output.split(b"\n")[:-1]]
    return [(int(offset), int(timestamp), key, value) for offset, timestamp, key, value in rows]


@scenario(needs=["kcat"])
def metadata_names_the_broker_and_a_new_topic(context):
    topic = fresh_topic("kcat-metadata")
    kcat(context, "-P", "-t", topic, stdin=b"the first record creates the topic\n")
    metadata = json.loads(kcat(context, "-L", "-J", "-t", topic))
    equal([broker["name"] for broker in metadata["brokers"]], [context.bootstrap], "brokers")
    (found,) = metadata["topics"]
    equal(found["topic"], topic, "topic")
    assert found["partitions"], "the topic has no partition"
    for partition in found["partitions"]:
        equal(partition["leader"], metadata["brokers"][0]["id"], "leader")
        equal([isr["id"] for isr in partition["isrs"]], [partition["leader"]], "in-sync replicas")


@scenario(needs=["kcat"], each=CODECS)
def lines_come_back_byte_for_byte(context, codec):
    topic = fresh_topic(f"kcat-{codec}")
    lines = [f"line {n}: {'ebb and flow, ' * (n % 23)}\x00\xff".encode("latin-1") for n in range(3000)]
    before_ms = time.time_ns() // 1_000_000
    kcat(context, "-P", "-t", topic, "-p", "0", "-z", codec, stdin=b"".join(line + b"\n" for line in lines))
    after_ms = time.time_ns() // 1_000_000
    rows = consume(context, topic)
    equal([offset for offset, *_ in rows], list(range(len(lines))), "offsets")
    equal([value for *_, value in rows], lines, "values")
    assert all(before_ms <= timestamp <= after_ms for _, timestamp, *_ in rows), "a timestamp is not the time of sending"
    equal(stored_codecs(context.bootstrap, topic), {codec}, "codec of the stored batches")


@scenario(needs=["kcat"])
def a_timestamp_finds_its_first_record(context):
    topic = fresh_topic("kcat-timestamp")
    tides = [[f"tide {tide} wave {n}".encode() for n in range(10)] for tide in range(4)]
    for tide in tides:
        kcat(context, "-P", "-t", topic, "-p", "0", stdin=b"".join(line + b"\n" for line in tide))
        sent_ms = time.time_ns() // 1_000_000
        while time.time_ns() // 1_000_000 == sent_ms:
            pass
    rows = consume(context, topic)
    begin = rows[20]
    found = consume(context, topic, begin=f"s@{begin[1]}")
    equal(found, rows[20:], "records from the third tide on")
    offset = kcat(context, "-Q", "-t", f"{topic}:0:{begin[1]}").decode().split()[-1]
    equal(int(offset), 20, "the offset of the timestamp")
    equal(consume(context, topic, begin=f"s@{rows[-1][1] + 60_000}"), [], "records after the last")


@scenario(needs=["kcat"])
def the_end_and_the_distance_from_it_are_offsets(context):
    topic = fresh_topic("kcat-tail")
    kcat(context, "-P", "-t", topic, "-p", "0", stdin=b"".join(b"%d\n" % n for n in range(100)))
    equal([value for *_, value in consume(context, topic, begin="-3")], [b"97", b"98", b"99"], "the last three")
    equal([value for *_, value in consume(context, topic, begin="98")], [b"98", b"99"], "from offset 98")
    equal(consume(context, topic, begin="end"), [], "from the end")


@scenario(needs=["kcat"])
def keys_headers_and_tombstones_survive(context):
    topic = fresh_topic("kcat-headers")
    produce = ["-P", "-t", topic, "-p", "0", "-K", ":", "-Z"]
    kcat(context, *produce, "-H", "source=gauge 7", "-H", "unit=metre", stdin=b"leith:2.5\nforth:3.25\n")
    kcat(context, *produce, stdin=b"leith:\n")
    output = kcat(context, "-C", "-q", "-J", "-t", topic, "-p", "0", "-o", "beginning", "-e")
    rows = [json.loads(line) for line in output.splitlines()]
    headers = ["source", "gauge 7", "unit", "metre"]
    equal(
        [(row["offset"], row["key"], row["payload"], row.get("headers", [])) for row in rows],
        [(0, "leith", "2.5", headers), (1, "forth", "3.25", headers), (2, "leith", None, [])],
        "records",
    )


@scenario(needs=["kcat"])
def an_idempotent_producer_numbers_its_batches(context):
    topic = fresh_topic("kcat-idempotent")
    lines = [b"%d %s" % (n, b"x" * 200) for n in range(20_000)]
    idempotent = ["-X", "enable.idempotence=true", "-X", "batch.num.messages=500"]
    kcat(context, "-P", "-t", topic, "-p", "0", *idempotent, stdin=b"".join(line + b"\n" for line in lines))
    equal([value for *_, value in consume(context, topic)], lines, "values")
    batches = stored_batches(context.bootstrap, topic)
    assert len(batches) >= 40, f"{len(batches)} batches are too few to prove an order"
    assert len({(batch.producer_id, batch.producer_epoch) for batch in batches}) == 1, "more than one producer"
    assert batches[0].producer_id >= 0, "the batches carry no producer id"
    equal([batch.base_sequence for batch in batches], [batch.base_offset for batch in batches], "sequence numbers")
