"""Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from mfx.config import Reading
from mfx.ingest.sources import typed
from mfx.ingest.sources.base import Tally

TITLE = "Parquet"
SUFFIXES = (".parquet", ".pq")
LISTS, OPEN = True, False
OPTIONS: tuple[str, ...] = ()


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
    path: Path, types: Mapping[str, str], how: Reading, tally: Tally
) -> Iterator[pa.RecordBatch]:
    """The file's rows; see `base.Source`."""
    return typed.batches(_open(path), types, how, tally)


def _open(path: Path) -> typed.Table:
    import pyarrow.parquet as pq

    def rows(columns: list[str] | None) -> Iterator[pa.RecordBatch]:
        with _one_error(path):
            for part in file.iter_batches(batch_rows, columns=columns):
                yield from typed.cut(part)

    with _one_error(path):
        file = pq.ParquetFile(path)  # Not mapped: a file that gets shorter would end the process.
    metadata = file.metadata
    size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    batch_rows = typed.rows_of_batch(metadata.num_rows, size)
    return typed.Table(str(path), file.schema_arrow, metadata.num_rows, rows)


def _one_error(path: Path) -> Any:
    return typed.one_error(path, TITLE, pa.ArrowException, OSError)
