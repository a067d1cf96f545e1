"""Writes the seeds of the fuzz targets `kafka_request` and `kafka_response` anew from the vectors, as the rows of the table of
served APIs are numbered in them.

    python3 seeds.py
"""

import pathlib
import re

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[3]
ROW = re.compile(r"^    (\d+) \w+ \[(\d+)\.\.=(\d+),", re.MULTILINE)


def main():
    table = (HERE.parents[1] / "src" / "api.rs").read_text()
    rows = {int(key): (row, int(low), int(high)) for row, (key, low, high) in enumerate(ROW.findall(table))}
    for kind in ("request", "response"):
        seeds = ROOT / "fuzz" / "seeds" / f"kafka_{kind}"
        for seed in seeds.iterdir():
            seed.unlink()
        for line in (HERE / f"{kind}s.txt").read_text().splitlines():
            client, key, version, frame = line.split(" ")
            row, low, high = rows.get(int(key), (0, 1, 0))
            if not low <= int(version) <= high:
                continue
            if kind == "request":
                (seeds / f"{client}-{key}-v{version}").write_bytes(bytes.fromhex(frame))
            elif len(frame) < 20_000:
                prefix = bytes([row, int(version) - low])
                (seeds / f"{client}-{key}-v{version}").write_bytes(prefix + bytes.fromhex(frame))


if __name__ == "__main__":
    main()
