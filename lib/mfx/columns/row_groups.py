"""Parquet files whose row groups depend on the rows alone."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP = 65536
"""Rows of a row group, and the most that a step works on at a time."""
GROUP_BYTES = 256 * 2**20
"""Rows are written before there are ROW_GROUP when they take so much memory."""


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    # What a list's values are called in the file differs between Arrow's versions otherwise; with
    # this name a list is read back as the type in `columns.types.TYPES`.
    return pq.ParquetWriter(path, schema, use_compliant_nested_type=False)


class RowGroups:
    """Writes batches as row groups of ROW_GROUP rows; the last one is what remains.

    So the file is the same however the rows were cut into batches, be it by blocks of a file or by
    many small files, unless GROUP_BYTES makes the groups smaller.

    Args:
        path: The Parquet file.
        schema: Of all batches; without one the first batch's, and no file if there is none.
    """

    def __init__(self, path: Path, schema: pa.Schema | None = None) -> None:
        self._path = path
        self._writer = _writer(path, schema) if schema else None
        self._held: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Take rows, which come after those before."""
        self._writer = self._writer or _writer(self._path, batch.schema)
        self._held.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= ROW_GROUP or self._bytes >= GROUP_BYTES:
            full = self._rows - self._rows % ROW_GROUP
            self._write(full if self._bytes < GROUP_BYTES else self._rows)

    def close(self) -> None:
        """Write what remains, and the file's end."""
        self._write(self._rows)
        if self._writer:
            self._writer.close()

    def _write(self, rows: int) -> None:
        """Write the first rows that are held."""
        if not rows or not self._writer:
            return
        table = pa.Table.from_batches(self._held)
        # A slice would keep the memory of the whole, and its own cut would show in the file.
        self._writer.write_table(table.slice(0, rows).combine_chunks(), ROW_GROUP)
        rest = table.slice(rows).combine_chunks()
        self._held = rest.to_batches()
        self._rows, self._bytes = rest.num_rows, rest.nbytes
