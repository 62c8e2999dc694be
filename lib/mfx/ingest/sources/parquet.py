"""Parquet files."""

from __future__ import annotations

import itertools
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from mfx.artifacts import Part
from mfx.config import Reading
from mfx.ingest.sources import typed
from mfx.ingest.sources.base import Tally, cut_at

TITLE = "Parquet"
SUFFIXES = (".parquet", ".pq")
LISTS, OPEN = True, False
OPTIONS: tuple[str, ...] = ()

_END = struct.Struct("<I4x")
"""The footer's length, and PAR1."""
_VALUE_BYTES = 8
"""What a value takes in memory. In a file it may take much less: a value that comes often is
written once."""


def takes(name: str, head: bytes) -> bool:
    """Whether it begins as Parquet does; see `base.Source`."""
    return head.startswith(b"PAR1")


def header(path: Path, how: Reading) -> list[str]:
    """The names of the file's columns; see `base.Source`."""
    return typed.header(_open(path))


def look(path: Path, how: Reading, found: dict[str, Any]) -> None:
    """The columns' types, as the file says; see `base.Source`."""
    typed.look(_open(path), found)


def batches(
    path: Path, types: Mapping[str, str], how: Reading, tally: Tally, part: Part | None = None
) -> Iterator[pa.RecordBatch]:
    """The file's rows; see `base.Source`."""
    return typed.batches(_open(path, part), types, how, tally)


def parts(path: Path, how: Reading, size: float) -> list[Part]:
    """Parts of the file that have whole row groups; see `base.Cuts`."""
    import pyarrow.parquet as pq

    with _one_error(path):
        metadata = pq.read_metadata(path)
    begins = _begins(metadata)
    if begins != sorted(set(begins)):
        return []  # The groups lie in another order than their rows.
    counts = (metadata.row_group(i).num_rows for i in range(len(begins)))
    before = itertools.accumulate(counts, initial=0)
    places = ((begin, rows, 0) for begin, rows in zip(begins, before, strict=False))
    return cut_at(places, path.stat().st_size, size)


def unpacked(path: Path, how: Reading) -> int:
    """What the footer says of the columns' bytes, 8 for each value at least; see `base.Packs`."""
    import pyarrow.parquet as pq

    with _one_error(path):
        metadata = pq.read_metadata(path)
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    return sum(
        max(column.total_uncompressed_size, _VALUE_BYTES * column.num_values)
        for group in groups
        for column in map(group.column, range(group.num_columns))
    )


def around(path: Path, how: Reading) -> tuple[int, int]:
    """The footer, whose length and a mark end the file; see `base.Cuts`."""
    with path.open("rb") as file:
        file.seek(-_END.size, os.SEEK_END)
        (length,) = _END.unpack(file.read())
    return 0, length + _END.size


def _begins(metadata: Any) -> list[int]:
    """Where each row group begins in the file."""
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    return [
        min(
            place
            for column in map(group.column, range(group.num_columns))
            for place in (column.dictionary_page_offset, column.data_page_offset)
            if place
        )
        for group in groups
    ]


def _open(path: Path, part: Part | None = None) -> typed.Table:
    import pyarrow.parquet as pq

    def rows(columns: list[str] | None) -> Iterator[pa.RecordBatch]:
        with _one_error(path):
            for batch in file.iter_batches(batch_rows, row_groups=groups, columns=columns):
                yield from typed.cut(batch)

    with _one_error(path):
        file = pq.ParquetFile(path)  # Not mapped: a file that gets shorter would end the process.
    metadata = file.metadata
    groups = list(range(metadata.num_row_groups))
    if part:
        begins = _begins(metadata)
        groups = [i for i in groups if part.begin <= begins[i] < part.end]
    size = sum(metadata.row_group(i).total_byte_size for i in groups)
    count = sum(metadata.row_group(i).num_rows for i in groups) if part else metadata.num_rows
    batch_rows = typed.rows_of_batch(count, size)
    return typed.Table(str(path), file.schema_arrow, count, rows, part.rows if part else 0)


def _one_error(path: Path) -> Any:
    return typed.one_error(path, TITLE, pa.ArrowException, OSError)
