"""Write Parquet files whose row groups depend only on the rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP = 65536
"""Rows per row group, and the most rows that a step processes at a time."""
GROUP_BYTES = 256 * 2**20
"""If the rows take this much memory, they are written before there are ROW_GROUP of them."""


def regrouped(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of `rows` rows, whatever their batches were. The last has the rest.

    As in `RowGroups`, there are fewer rows in a batch where they take GROUP_BYTES.
    """
    held: list[pa.RecordBatch] = []
    count = size = 0
    for batch in batches:
        if not held and batch.num_rows == rows:
            yield batch
            continue
        held.append(batch)
        count, size = count + batch.num_rows, size + batch.nbytes
        if count < rows and size < GROUP_BYTES:
            continue
        whole = pa.Table.from_batches(held).combine_chunks()
        full = count - count % rows or count
        yield from whole.slice(0, full).to_batches(rows)
        held = whole.slice(full).to_batches()
        count, size = count - full, sum(part.nbytes for part in held)
    if count:
        yield from pa.Table.from_batches(held).combine_chunks().to_batches()


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
