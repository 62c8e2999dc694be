"""Rows of examples as they lie in Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def rows_of(
    paths: Sequence[Path], rows: int, columns: Sequence[str] | None
) -> Iterator[pa.RecordBatch]:
    """The rows of files, in order, in batches of at most `rows`.

    Raises:
        ValueError: One of `columns` is not in the data.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from mfx.columns.row_groups import read

    for path in paths:
        for batch in read(pq.ParquetFile(path), rows, columns):
            # Parquet takes a column `a.b` for a part of `a`, and reads it too.
            names = batch.schema.names if columns is None else list(columns)
            if missing := sorted(set(names) - set(batch.schema.names)):
                raise ValueError(f"no feature '{missing[0]}' in the data")
            places = [batch.schema.get_field_index(name) for name in names]
            yield pa.RecordBatch.from_arrays([batch.column(i) for i in places], names)


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """A column of bytes or of lists of bytes as text; None for other types, and if not UTF-8."""
    import pyarrow as pa

    from mfx.columns.types import TYPES

    wanted = {TYPES["bytes"]: pa.string(), TYPES["bytes list"]: pa.list_(pa.string())}
    if column.type not in wanted:
        return None
    try:
        return column.cast(wanted[column.type])
    except pa.ArrowInvalid:
        return None


def rejected_schema() -> pa.Schema:
    """The columns of `Examples.rejected_rows`."""
    import pyarrow as pa

    text = pa.string()
    return pa.schema(
        [
            ("source", text),
            ("number", pa.int64()),
            ("unit", text),
            ("reason", text),
            ("raw", pa.binary()),
            ("cut", pa.bool_()),
        ]
    )
