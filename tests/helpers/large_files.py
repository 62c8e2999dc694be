"""The same rows in each format whose files are cut into parts: with quotes, and ends of lines in
cells."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mfx.columns.tf_examples import to_example
from mfx.config import Data
from mfx.ingest import sources
from mfx.ingest.sources import base

RANDOM = random.Random(7)
ROWS = [
    {"n": n, "x": RANDOM.choice([n / 8, None, -0.0]), "w": RANDOM.choice(["a", "b\nc", 'd"e', ","])}
    for n in range(30_000)
]
TABLE = pa.Table.from_pylist(ROWS)


def csv(path: Path, end: str = "\n") -> None:
    def cell(value) -> str:
        if isinstance(value, str):
            return '"' + value.replace('"', '""') + '"'
        return "" if value is None else repr(value)

    lines = ["n,x,w"]
    for number, row in enumerate(ROWS):
        lines += [""] * (number % 1000 == 0) + [",".join(map(cell, row.values()))]
    path.write_bytes(b"\xef\xbb\xbf" + end.join(lines).encode())


def jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))


def parquet(path: Path) -> None:
    pq.write_table(TABLE, path, row_group_size=900)


def tfrecord(path: Path) -> None:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for batch in TABLE.to_batches():
            for row in batch.to_pylist():
                given = {k: v.encode() if isinstance(v, str) else v for k, v in row.items()}
                writer.write(to_example({k: v for k, v in given.items() if v is not None}))


def bytes_unpacked(path: Path) -> int:
    """What of the file counts for `shard_mb`."""
    return base.unpacked(sources.source_of(path), path, Data(path=str(path)))


WRITTEN = {
    "a.csv": csv,
    "windows.csv": lambda path: csv(path, "\r\n"),
    "old.csv": lambda path: csv(path, "\r"),
    "a.jsonl": jsonl,
    "a.parquet": parquet,
    "a.tfrecord": tfrecord,
}
