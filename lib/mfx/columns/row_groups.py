"""Write Parquet files whose row groups depend only on the rows, and read them in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROW_GROUP = 65536
"""Rows per row group, and the most rows that a step processes at a time."""
GROUP_BYTES = 64 * 2**20
"""If the rows take this much memory, they are written before there are ROW_GROUP of them."""
BATCH_BYTES = 64 * 2**20
"""If rows take this much memory, a batch that is read ends, however few they are."""


def read(
    file: pq.ParquetFile,
    rows: int,
    columns: Sequence[str] | None = None,
    groups: Sequence[int] | None = None,
) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file in bounded memory: of one row group at a time at most.

    Args:
        file: The file.
        rows: The most rows of a batch; fewer where they take about BATCH_BYTES.
        columns: The columns to read; by default all.
        groups: The row groups to read; by default all.
    """
    for number in range(file.metadata.num_row_groups) if groups is None else groups:
        group = file.metadata.row_group(number)
        fit = BATCH_BYTES * group.num_rows // max(group.total_byte_size, 1)
        yield from file.iter_batches(
            min(rows, max(fit, 1)), row_groups=[number], columns=columns and list(columns)
        )


def regrouped(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of `rows` rows, whatever their batches were. The last has the rest.

    A batch also ends with the row with which it has BATCH_BYTES. So what it is depends only on the
    rows.
    """
    held: list[pa.RecordBatch] = []
    count = size = 0
    for batch in batches:
        sizes = np.cumsum(_row_bytes(batch))
        begin, before = 0, 0
        while begin < batch.num_rows:
            full = int(np.searchsorted(sizes, BATCH_BYTES - size + before)) + 1
            end = min(batch.num_rows, begin + rows - count, full)
            held.append(batch.slice(begin, end - begin))
            count, size = count + end - begin, size + int(sizes[end - 1]) - before
            begin, before = end, int(sizes[end - 1])
            if count == rows or size >= BATCH_BYTES:
                yield _joined(held)
                held, count, size = [], 0, 0
    if held:
        yield _joined(held)


def _joined(held: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    if len(held) == 1:
        return held[0]
    (batch,) = pa.Table.from_batches(held).combine_chunks().to_batches()
    return batch


def _row_bytes(batch: pa.RecordBatch) -> np.ndarray:
    """About how many bytes each row takes: int64 of shape [rows]."""
    found = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        found += _value_bytes(column)
    return found


def _value_bytes(column: pa.Array) -> np.ndarray:
    kind = column.type
    if pa.types.is_list(kind):
        counts = np.asarray(pc.list_value_length(column).fill_null(0), np.int64)
        inner = np.concatenate([[0], np.cumsum(_value_bytes(column.flatten()))])
        ends = np.cumsum(counts)
        return inner[ends] - inner[ends - counts]
    if pa.types.is_binary(kind) or pa.types.is_string(kind):
        return np.asarray(pc.binary_length(column).fill_null(0), np.int64)
    values = kind.list_size if pa.types.is_fixed_size_list(kind) else 1
    return np.full(len(column), 8 * values)


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    # Otherwise the name of a list's values in the file differs between versions of Arrow. With this
    # option a list is read back as the type in `columns.types.TYPES`.
    return pq.ParquetWriter(path, schema, use_compliant_nested_type=False)


class RowGroups:
    """Writes batches as row groups of ROW_GROUP rows. The last group has the rest.

    So the file does not depend on how the rows were cut into batches (as long as groups stay below
    GROUP_BYTES).

    Args:
        path: The Parquet file.
        schema: The schema of all batches. Without one it is the first batch's, and no file is
            written if there are no batches.
    """

    def __init__(self, path: Path, schema: pa.Schema | None = None) -> None:
        self._path = path
        self._writer = _writer(path, schema) if schema else None
        self._held: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Add rows after those added before."""
        self._writer = self._writer or _writer(self._path, batch.schema)
        self._held.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= ROW_GROUP or self._bytes >= GROUP_BYTES:
            full = self._rows - self._rows % ROW_GROUP
            self._write(full if self._bytes < GROUP_BYTES else self._rows)

    def close(self) -> None:
        """Write the rest of the rows and finish the file."""
        self._write(self._rows)
        if self._writer:
            self._writer.close()

    def _write(self, rows: int) -> None:
        """Write the first `rows` of the rows in memory."""
        if not rows or not self._writer:
            return
        table = pa.Table.from_batches(self._held)
        # Copied: a slice would keep all of the memory, and its chunks would show in the file.
        self._writer.write_table(table.slice(0, rows).combine_chunks(), ROW_GROUP)
        rest = table.slice(rows).combine_chunks()
        self._held = rest.to_batches()
        self._rows, self._bytes = rest.num_rows, rest.nbytes
