"""CSV files as typed Arrow batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from mfx.artifacts import Part
from mfx.config import Reading
from mfx.ingest.infer_types import Column
from mfx.ingest.sources import compression, file_kinds
from mfx.ingest.sources.base import Tally, cut_at
from mfx.ingest.sources.compression import PACKED
from mfx.ingest.sources.csv_block import Block
from mfx.ingest.sources.csv_file import CsvFile
from mfx.ingest.sources.csv_records import Records

TITLE = "CSV"
LISTS, OPEN = False, False
OPTIONS: tuple[str, ...] = ("compression", "delimiter", "trim")
SUFFIXES = tuple(text + packed for text in (".csv", ".tsv") for packed in PACKED)

BLOCK_BYTES = 16 * 2**20
"""Bytes of CSV text that are parsed at a time. This bounds a reader's memory."""

_AT_ONCE = 2
"""Blocks that are parsed at the same time."""

_T = TypeVar("_T")


def takes(name: str, head: bytes) -> bool:
    """Whether the file is text; see `base.Source`."""
    return not file_kinds.detect(head)


def header(path: Path, how: Reading) -> list[str]:
    """The column names of a CSV file that is written as `how` says.

    Raises:
        MfxError: The file is missing, empty, no text or not UTF-8; or a column name is empty, is
            used twice or has spaces around it.
    """
    return CsvFile(path, how).names


def batches(
    path: Path, types: Mapping[str, str], how: Reading, tally: Tally, part: Part | None = None
) -> Iterator[pa.RecordBatch]:
    """Read a CSV file in blocks.

    Args:
        path: The file: UTF-8 with a header, compressed or not.
        types: Each column's type, a name in `columns.types.TYPES`.
        how: How the file is written, which texts mean missing, and whether rows that do not fit are
            left out.
        tally: Gets the counts of the file's records and cells.
        part: The part to read; by default all.

    Yields:
        Batches whose columns have these types. Missing values and NaN are null.

    Raises:
        MfxError: The file cannot be read; or a row does not fit and `how.tolerate` is 0. The
            message names file, line, column and value.
    """
    file = CsvFile(path, how)

    def typed(part: Records) -> tuple[pa.RecordBatch, Tally]:
        columns, counted = Block(file, part).typed(types)
        return pa.RecordBatch.from_arrays(columns, names=file.names), counted

    for batch, counted in _in_order(typed, file.records(BLOCK_BYTES, part)):
        tally.add(counted)
        yield batch


def look(path: Path, how: Reading, found: dict[str, Column]) -> None:
    """Add a file's cells to `found`, which holds each column's findings from other files.

    Raises:
        MfxError: The file cannot be read.
    """
    file = CsvFile(path, how)
    for name in file.names:
        found.setdefault(name, Column())
    blocks = file.records(BLOCK_BYTES)
    for texts, _ in _in_order(lambda part: Block(file, part).texts(), blocks):
        for name, text in zip(file.names, texts, strict=True):
            found[name].add(text)


def parts(path: Path, how: Reading, size: float) -> list[Part]:
    """Parts of the file that end with a record; see `base.Cuts`."""
    file = CsvFile(path, how)
    if file.dialect.compression != "none":
        return []
    block = max(2**12, min(BLOCK_BYTES, int(size / 16)))

    def places() -> Iterator[tuple[int, int, int]]:
        rows = 0
        for records in file.records(block):
            yield records.begin, rows, records.line - 1
            rows += records.count

    return cut_at(places(), path.stat().st_size, size)


def unpacked(path: Path, how: Reading) -> int:
    """The bytes of the text; see `base.Packs`."""
    return compression.unpacked(path, how.compression)


def around(path: Path, how: Reading) -> tuple[int, int]:
    """What tells the dialect, and the header; see `base.Cuts`."""
    return CsvFile(path, how).head, 0


def infer_types(paths: Sequence[Path], how: Reading) -> dict[str, str]:
    """The narrowest type that fits all rows of all files, for each column.

    A column without any value is `bytes`.
    """
    found: dict[str, Column] = {}
    for path in paths:
        look(path, how, found)
    return {name: column.kind or "bytes" for name, column in found.items()}


def _in_order(make: Callable[[Records], _T], parts: Iterator[Records]) -> Iterator[_T]:
    """The results of `make` for all parts, in order. Some are computed at the same time."""
    waiting: deque[Future[_T]] = deque()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for part in parts:
            waiting.append(pool.submit(make, part))
            if len(waiting) > _AT_ONCE:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
