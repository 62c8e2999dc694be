"""What the rows of a piece are: their hash, their number, their size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from mfx.artifacts.lineage import hash_json
from mfx.errors import MfxError
from mfx.ingest.sources import arrow_types, conversions, typed


class Contents:
    """The hash of rows as they go by. How they lie in batches does not show.

    Args:
        where: Where they come from, for messages.
    """

    def __init__(self, where: str) -> None:
        from mfx.ingest.rows_hash import RowsHash  # It loads pandas, which `start` does without.

        self.rows = self.size = 0
        self._where = where
        self._hash = RowsHash()
        self._schema: pa.Schema | None = None

    @property
    def sha256(self) -> str:
        """SHA-256 that tells the columns, their types, and the rows so far in their order."""
        columns = [(field.name, str(field.type)) for field in self._schema or ()]
        return hash_json([columns, self.rows, str(self._hash)])

    def noting(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The same rows, in batches of bounded size.

        Raises:
            MfxError: A batch has other columns than those before, or a column has a type that no
                tf.Example can hold.
        """
        for whole in batches:
            if self._schema is None:
                self._schema = whole.schema
                typed.header(typed.Table(self._where, whole.schema, None, lambda _: iter(())))
            elif not whole.schema.equals(self._schema):
                raise MfxError(
                    f"{self._where}: columns or types differ after {self.rows:,} rows: "
                    f"{_differing(self._schema, whole.schema)}",
                    "Give all batches the same schema.",
                )
            if not whole.num_rows:
                yield whole
            for batch in typed.cut(whole):
                self._add(batch)
                yield batch

    def _add(self, batch: pa.RecordBatch) -> None:
        self.rows += batch.num_rows
        self.size += batch.nbytes
        columns = {}
        for number, column in enumerate(batch.columns):
            values, counts = conversions.split_up(column)
            if counts is None:
                columns[f"{number}"] = _exact(values)
                continue
            missing = np.concatenate([np.asarray(column.is_null()), [False]])
            offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
            starts = pa.array(offsets, mask=missing)
            # The hash of a list does not tell null in it from 0.
            there = values.is_valid().cast(pa.int64())
            columns[f"{number}"] = pa.ListArray.from_arrays(starts, _exact(values))
            columns[f"{number} there"] = pa.ListArray.from_arrays(starts, there)
        self._hash.add(pa.RecordBatch.from_arrays([*columns.values()], [*columns]))


def _exact(values: pa.Array) -> pa.Array:
    """Values as int64, float64, float32 or binary that are equal only where the values are.

    What `arrow_types` makes is null where a value does not fit, and may depend on the batch.
    """
    kind = values.type
    if pa.types.is_date32(kind) or pa.types.is_time32(kind):
        return values.cast(pa.int32()).cast(pa.int64())
    if pa.types.is_temporal(kind):
        return values.cast(pa.int64())
    if pa.types.is_decimal(kind) or kind == pa.uint64():
        texts = [None if value is None else str(value).encode() for value in values.to_pylist()]
        return pa.array(texts, pa.binary())
    return arrow_types.made(values)[0]


def _differing(before: pa.Schema, now: pa.Schema) -> str:
    if before.names != now.names:
        return str(sorted(set(before.names) ^ set(now.names)) or "their order")
    field = next(new for old, new in zip(before, now, strict=True) if not old.equals(new))
    return f"column {field.name!r} is {field.type}, but was {before.field(field.name).type}"
