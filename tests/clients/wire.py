"""What a topic holds on the wire: the headers of its stored batches, asked for with one raw Fetch request.

A client decompresses silently, and librdkafka silently sends uncompressed batches to a broker whose ApiVersions answer it
dislikes. Only the stored batch tells whether compression and producer ids went through untouched.

    RecordBatch v2 (https://kafka.apache.org/documentation/#recordbatch), all big-endian:
    base offset i64 | length i32 | leader epoch i32 | magic i8 | crc u32 | attributes i16 | last offset delta i32
    | base timestamp i64 | max timestamp i64 | producer id i64 | producer epoch i16 | base sequence i32 | count i32 | records
"""

import socket
import struct
from dataclasses import dataclass

BATCH_HEADER = struct.Struct(">qiibIhiqqqhii")
CODECS = {0: "none", 1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
FETCH = 1


@dataclass(frozen=True)
class Batch:
    base_offset: int
    codec: str
    producer_id: int
    producer_epoch: int
    base_sequence: int
    count: int


def stored_batches(bootstrap, topic, partition=0):
    """The batches of a partition from offset 0, as far as one 16 MiB answer reaches."""
    name = topic.encode()
    body = struct.pack(">iiiibi", -1, 100, 1, 16 << 20, 0, 1)
    body += struct.pack(">h", len(name)) + name
    body += struct.pack(">iiqi", 1, partition, 0, 16 << 20)
    answer = call(bootstrap, FETCH, 4, body)
    # throttle i32, one topic: its name, one partition: index i32, error i16, high watermark i64, last stable offset i64
    at = 4 + 4 + 2 + len(name) + 4
    _, error, _, _, aborted = struct.unpack_from(">ihqqi", answer, at)
    assert error == 0, f"Fetch of {topic}-{partition} answered error {error}"
    at += 26 + 16 * max(aborted, 0)
    (size,) = struct.unpack_from(">i", answer, at)
    return list(batches(answer[at + 4 : at + 4 + max(size, 0)]))


def stored_codecs(bootstrap, topic, partition=0):
    """The codecs of the larger batches: clients send a small one as it is if compression would not make it smaller."""
    return {batch.codec for batch in stored_batches(bootstrap, topic, partition) if batch.count >= 20}


def batches(records):
    at = 0
    while at + BATCH_HEADER.size <= len(records):
        (base_offset, length, _, magic, _, attributes, _, _, _, producer_id, epoch, sequence, count) = (
            BATCH_HEADER.unpack_from(records, at)
        )
        assert magic == 2, f"the batch at offset {base_offset} has magic {magic}"
        yield Batch(base_offset, CODECS[attributes & 7], producer_id, epoch, sequence, count)
        at += 12 + length


def call(bootstrap, api_key, api_version, body):
    """One request and its answer without the correlation id; only for versions with the old headers."""
    client = b"wire"
    request = struct.pack(">hhih", api_key, api_version, 1, len(client)) + client + body
    host, port = bootstrap.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", exactly(connection, 4))
        return exactly(connection, size)[4:]


def exactly(connection, size):
    data = bytearray()
    while len(data) < size:
        piece = connection.recv(size - len(data))
        assert piece, f"the broker closed the connection after {len(data)} of {size} bytes"
        data += piece
    return bytes(data)
