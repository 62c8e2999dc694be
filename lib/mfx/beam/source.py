"""Read Parquet files in Beam: each element names some row groups, and workers read the rows.

So no rows are sent through Beam to the workers. Each worker reads a payload's chunks itself, from
Metaflow's datastore.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq

from mfx.artifacts.store import CHUNK_BYTES, Payload
from mfx.columns.row_groups import read
from mfx.errors import MfxError

BATCH_ROWS = 65536
"""The most rows per batch; also per element, unless a single row group has more."""

File = Path | Payload
"""A Parquet file: a path on this machine, or a payload with one file."""


@dataclass(frozen=True)
class RowGroupRange:
    """Consecutive row groups of a file, which a worker reads at a time."""

    file: File
    row_groups: tuple[int, ...]


class StoredFile(io.RawIOBase):
    """A payload's only file, open for reading. At most two of its chunks are in memory."""

    def __init__(self, payload: Payload) -> None:
        super().__init__()
        (self._blob,) = payload.blobs
        self._payload = payload
        self._position = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The position of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position; see `io.IOBase.seek`."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._blob.size}
        self._position = start[whence] + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read into the buffer, at most to the end of the current chunk."""
        number, start = divmod(self._position, CHUNK_BYTES)
        if self._position >= self._blob.size:
            return 0
        chunk = _content(self._payload, number)
        data = chunk[start : start + len(buffer)]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


@lru_cache(maxsize=2)
def _content(payload: Payload, number: int) -> memoryview:
    """One chunk of the payload's only file. It is cached, since the next element often needs it."""
    (blob,) = payload.blobs
    size = min(CHUNK_BYTES, blob.size - number * CHUNK_BYTES)
    chunk = replace(blob, keys=(blob.keys[number],))
    data = replace(payload, blobs=(chunk,)).read(blob.path)
    if len(data) != size:
        raise MfxError(
            f"{blob.path}: chunk {number} has {len(data)} bytes in the datastore at "
            f"{payload.root}, expected {size}"
        )
    return memoryview(data)


def open_parquet(file: File) -> pq.ParquetFile:
    """Open the file. Only its footer is read."""
    # Parquet reads many small pieces; without a buffer each would be a call to Python code.
    return pq.ParquetFile(
        io.BufferedReader(StoredFile(file), 2**20) if isinstance(file, Payload) else file
    )


def row_group_ranges(files: Iterable[File]) -> list[RowGroupRange]:
    """All row groups of the files, in order, in ranges of at most BATCH_ROWS rows or one group."""
    found = []
    for file in files:
        metadata = open_parquet(file).metadata
        groups: list[int] = []
        rows = 0
        for number in range(metadata.num_row_groups):
            count = metadata.row_group(number).num_rows
            if groups and rows + count > BATCH_ROWS:
                found.append(RowGroupRange(file, tuple(groups)))
                groups, rows = [], 0
            groups.append(number)
            rows += count
        if groups:
            found.append(RowGroupRange(file, tuple(groups)))
    return found


class ReadParts(beam.DoFn):
    """Reads parts as batches and applies `convert`, a function that workers can import."""

    def __init__(self, convert: Callable[[pa.RecordBatch], pa.RecordBatch]) -> None:
        self._convert = convert

    def process(self, part: RowGroupRange) -> Iterator[pa.RecordBatch]:
        """Yield the part's rows in batches of at most BATCH_ROWS."""
        file = open_parquet(part.file)
        for batch in read(file, BATCH_ROWS, groups=part.row_groups):
            yield self._convert(batch)

    def teardown(self) -> None:
        """Free the chunks in memory."""
        _content.cache_clear()


class Read(beam.PTransform):
    """Reads files as batches and applies `convert` to each. Workers share the parts."""

    def __init__(
        self, files: Iterable[File], convert: Callable[[pa.RecordBatch], pa.RecordBatch]
    ) -> None:
        super().__init__()
        self._parts = row_group_ranges(files)
        self._convert = convert

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        """Add the parts to the pipeline."""
        return (
            pipeline
            | "Parts" >> beam.Create(self._parts)
            | "Read" >> beam.ParDo(ReadParts(self._convert))
        )
