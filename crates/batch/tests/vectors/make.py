#!/usr/bin/env python3
"""Makes the vectors beside this file with kafka-python's own encoder.

    pip install kafka-python==2.2.15 python-snappy lz4 zstandard && ./make.py

`small-*` hold the records below, `large-*` one record of 100,000 bytes, which is several blocks for every codec.
crates/batch/tests/vectors.rs expects exactly these.
"""

from pathlib import Path

from kafka.codec import snappy_encode
from kafka.record import default_records
from kafka.record.default_records import DefaultRecordBatchBuilder

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
CODECS = {"none": NONE, "gzip": GZIP, "snappy-xerial": SNAPPY, "lz4": LZ4, "zstd": ZSTD}

SMALL = [
    # (timestamp, key, value, headers)
    (1_700_000_000_000, b"key-0", b"value-0 " * 40, []),
    (1_700_000_000_250, None, b"", [("trace", b"\x00\xff"), ("null", None), ("trace", b"again")]),
    (1_699_999_999_000, b"", None, []),
    (1_700_000_100_000, b"key-3", "grüße".encode(), [("", b"")]),
]
LARGE = [(1_700_000_000_000, None, bytes(i * i % 251 for i in range(100_000)), [])]


def batch(records, codec, transactional=False, producer=(-1, -1, -1)):
    producer_id, producer_epoch, base_sequence = producer
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=transactional,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        base_sequence=base_sequence,
        batch_size=1 << 30,
    )
    for offset, (timestamp, key, value, headers) in enumerate(records):
        builder.append(offset, timestamp, key, value, headers)
    return bytes(builder.build())


def main():
    here = Path(__file__).parent
    for name, codec in CODECS.items():
        (here / f"small-{name}.bin").write_bytes(batch(SMALL, codec))
        if codec != NONE:
            (here / f"large-{name}.bin").write_bytes(batch(LARGE, codec))

    # librdkafka and some Go clients send one snappy block without xerial's framing.
    framed = default_records.snappy_encode
    default_records.snappy_encode = lambda payload: snappy_encode(payload, xerial_compatible=False)
    (here / "small-snappy-raw.bin").write_bytes(batch(SMALL, SNAPPY))
    (here / "large-snappy-raw.bin").write_bytes(batch(LARGE, SNAPPY))
    default_records.snappy_encode = framed

    transactional = batch(SMALL, NONE, transactional=True, producer=(4_000_000_000, 7, 2**31 - 2))
    (here / "small-transactional.bin").write_bytes(transactional)


if __name__ == "__main__":
    main()
