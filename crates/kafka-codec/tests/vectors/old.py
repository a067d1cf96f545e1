"""Adds to the vectors what no client at hand sends any more, or none yet: versions that Apache Kafka 4 dropped, as kafka-python's
older code encodes them, and those with topic ids and quotas, as its schemas do, which are Apache Kafka's.

    /tmp/v/bin/python old.py DIRECTORY          (the environment of capture.py)
"""

import pathlib
import struct
import sys
import uuid

from kafka.protocol.admin import AlterClientQuotasRequest, AlterClientQuotasResponse
from kafka.protocol.admin import DescribeClientQuotasRequest, DescribeClientQuotasResponse
from kafka.protocol.consumer import OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse
from kafka.protocol.old.admin import CreateTopicsRequest, CreateTopicsResponse, DescribeConfigsRequest
from kafka.protocol.old.admin import DescribeConfigsResponse
from kafka.protocol.old.commit import OffsetCommitRequest as OldCommit
from kafka.protocol.old.commit import OffsetCommitResponse as OldCommitted
from kafka.protocol.old.commit import OffsetFetchRequest as OldFetch
from kafka.protocol.old.commit import OffsetFetchResponse as OldFetched
from kafka.protocol.old.list_offsets import ListOffsetsRequest, ListOffsetsResponse

TOPIC = "flights"
TOPIC_ID = uuid.UUID("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0")

# Topics and partitions are tuples, in the order of their fields.
OLD = [
    (2, 0, ListOffsetsRequest[0](-1, [(TOPIC, [(0, -1, 5), (1, 1700000000000, 1)])])),
    (8, 0, OldCommit[0]("group", [(TOPIC, [(0, 42, "noted"), (1, 43, None)])])),
    (8, 1, OldCommit[1]("group", 7, "member", [(TOPIC, [(0, 42, 1700000000000, "noted"), (1, 43, -1, None)])])),
    (9, 0, OldFetch[0]("group", [(TOPIC, [0, 1])])),
    (19, 0, CreateTopicsRequest[0]([("made", 3, 1, [(0, [1])], [("retention.ms", "1000")])], 60000)),
    (19, 1, CreateTopicsRequest[1]([("made", 3, 1, [], [("retention.ms", None)])], 60000, True)),
    (32, 0, DescribeConfigsRequest[0]([(2, TOPIC, None), (4, "1", ["num.partitions"])])),
]
OLD_ANSWERS = [
    (2, 0, ListOffsetsResponse[0]([(TOPIC, [(0, 0, [9, 5, 0]), (1, 3, [])])])),
    (8, 0, OldCommitted[0]([(TOPIC, [(0, 0), (1, 12)])])),
    (8, 1, OldCommitted[1]([(TOPIC, [(0, 22)])])),
    (9, 0, OldFetched[0]([(TOPIC, [(0, 42, "noted", 0), (1, -1, "", 3)])])),
    (19, 0, CreateTopicsResponse[0]([("made", 36)])),
    (19, 1, CreateTopicsResponse[1]([("made", 36, "it exists")])),
    (
        32,
        0,
        DescribeConfigsResponse[0](
            0, [(0, None, 2, TOPIC, [("retention.ms", "1000", False, True, False), ("x", None, True, False, True)])]
        ),
    ),
]


def topics(cls, fields, partitions):
    topic = getattr(cls, fields[0])
    partition = getattr(topic, fields[1])
    return [topic(topic_id=TOPIC_ID, partitions=[partition(**values) for values in partitions])]


def new():
    commit = OffsetCommitRequest[10](
        group_id="group",
        generation_id_or_member_epoch=7,
        member_id="member",
        group_instance_id=None,
        topics=topics(
            OffsetCommitRequest,
            ("OffsetCommitRequestTopic", "OffsetCommitRequestPartition"),
            [dict(partition_index=0, committed_offset=42, committed_leader_epoch=3, committed_metadata="noted")],
        ),
    )
    group = OffsetFetchRequest.OffsetFetchRequestGroup
    asked = group.OffsetFetchRequestTopics(topic_id=TOPIC_ID, partition_indexes=[0, 1])
    fetch = OffsetFetchRequest[10](
        groups=[group(group_id="group", member_id="member", member_epoch=7, topics=[asked])], require_stable=True
    )
    committed = OffsetCommitResponse[10](
        topics=topics(
            OffsetCommitResponse,
            ("OffsetCommitResponseTopic", "OffsetCommitResponsePartition"),
            [dict(partition_index=0, error_code=0)],
        )
    )
    group = OffsetFetchResponse.OffsetFetchResponseGroup
    found = topics(
        group,
        ("OffsetFetchResponseTopics", "OffsetFetchResponsePartitions"),
        [dict(partition_index=0, committed_offset=42, committed_leader_epoch=3, metadata="noted", error_code=0)],
    )
    fetched = OffsetFetchResponse[10](groups=[group(group_id="group", topics=found, error_code=0)])
    requests, answers = [(8, 10, commit), (9, 10, fetch)], [(8, 10, committed), (9, 10, fetched)]
    for version in (0, 1):
        asked, told = quotas(version)
        requests += asked
        answers += told
    for _, _, message in requests:
        message.with_header(correlation_id=9, client_id="py")
    for _, _, message in answers:
        message.with_header(correlation_id=9)
    whole = lambda listed: [(key, version, bytes(message.encode(header=True))) for key, version, message in listed]
    return whole(requests), whole(answers)


def quotas(version):
    part = DescribeClientQuotasRequest.ComponentData
    describe = DescribeClientQuotasRequest[version](
        components=[
            part(entity_type="user", match_type=0, match="alice"),
            part(entity_type="client-id", match_type=1, match=None),
        ],
        strict=True,
    )
    entry = DescribeClientQuotasResponse.EntryData
    named = [
        entry.EntityData(entity_type="user", entity_name="alice"),
        entry.EntityData(entity_type="client-id", entity_name=None),
    ]
    limits = [
        entry.ValueData(key="producer_byte_rate", value=1024.0),
        entry.ValueData(key="request_percentage", value=12.5),
    ]
    described = DescribeClientQuotasResponse[version](
        throttle_time_ms=7, error_code=0, error_message=None, entries=[entry(entity=named, values=limits)]
    )
    entry = AlterClientQuotasRequest.EntryData
    ops = [
        entry.OpData(key="producer_byte_rate", value=1024.0, remove=False),
        entry.OpData(key="consumer_byte_rate", value=0.0, remove=True),
    ]
    named = [entry.EntityData(entity_type="ip", entity_name=None)]
    alter = AlterClientQuotasRequest[version](entries=[entry(entity=named, ops=ops)], validate_only=True)
    entry = AlterClientQuotasResponse.EntryData
    named = [entry.EntityData(entity_type="ip", entity_name=None)]
    altered = AlterClientQuotasResponse[version](
        entries=[entry(error_code=42, error_message="Invalid configuration key producer_byte_rate", entity=named)]
    )
    return [(48, version, describe), (49, version, alter)], [(48, version, described), (49, version, altered)]


def main(directory):
    header = lambda key, version: struct.pack(">hhih", key, version, 9, 2) + b"py"
    old = [(key, version, header(key, version) + message.encode()) for key, version, message in OLD]
    old_answers = [(key, version, struct.pack(">i", 9) + message.encode()) for key, version, message in OLD_ANSWERS]
    requests, answers = new()
    for kind, frames in (("requests", old + requests), ("responses", old_answers + answers)):
        path = pathlib.Path(directory, f"{kind}.txt")
        known = [line.split(" ") for line in path.read_text().splitlines()]
        lines = {(name, int(key), int(version)): frame for name, key, version, frame in known}
        lines.update({("kafka-python", key, version): frame.hex() for key, version, frame in frames})
        path.write_text("".join(f"{n} {k} {v} {frame}\n" for (n, k, v), frame in sorted(lines.items())))


if __name__ == "__main__":
    main(*sys.argv[1:])
