"""Arrow columns with tf.Example's types: which there are, checking, wrapping."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_LIST = " list"

SINGLE: dict[str, pa.DataType] = {
    "int64": pa.int64(),
    "float32": pa.float32(),
    "bytes": pa.binary(),
}
"""tf.Example's three kinds of value; missing is null."""

TYPES: dict[str, pa.DataType] = {
    **SINGLE,
    **{f"{name}{_LIST}": pa.list_(kind) for name, kind in SINGLE.items()},
}
"""All types that a column can have, by name: one value per row, or a list of any length per row.

A list that is missing is null, which an empty list is not. No value within a list is null or NaN.
"""


def is_list(kind: str) -> bool:
    """Whether a name in `TYPES` is that of lists."""
    return kind.endswith(_LIST)


def value_kind(kind: str) -> str:
    """The name in `SINGLE` of what a column of this type holds, alone or in lists."""
    return kind.removesuffix(_LIST)


def list_kind(kind: str) -> str:
    """The name in `TYPES` of lists of such values."""
    return value_kind(kind) + _LIST


def kind_of(column: pa.DataType) -> str | None:
    """The name in `TYPES` of an Arrow type; None if it has none."""
    return next((name for name, known in TYPES.items() if known == column), None)


def holds_lists(column: pa.Array) -> bool:
    """Whether a column of one of `TYPES` holds lists."""
    return pa.types.is_list(column.type)


def values_of(column: pa.Array) -> pa.Array:
    """All values of a column of one of `TYPES`, in row order, without what is missing."""
    return column.flatten() if holds_lists(column) else column.drop_null()


def lengths(column: pa.Array) -> np.ndarray:
    """How many values each row has: int64 of shape [rows], 0 where missing."""
    if holds_lists(column):
        return np.asarray(pc.list_value_length(column).fill_null(0), np.int64)
    return np.asarray(column.is_valid()).astype(np.int64)


def nan_to_null(column: pa.Array) -> pa.Array:
    """A float column with NaN made missing; any other column as it is."""
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)


def as_lists(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Columns as TFDV, TFT and TFMA take them: single values as lists of one, null where missing.

    Columns that hold lists stay as they are.
    """
    return pa.RecordBatch.from_arrays(
        [column if holds_lists(column) else _wrapped(column) for column in batch.columns],
        names=batch.schema.names,
    )


def _wrapped(column: pa.Array) -> pa.Array:
    present = np.asarray(column.is_valid())
    offsets = np.concatenate([[0], np.cumsum(present)]).astype(np.int32)
    # A null offset makes the list that starts there null.
    nulls = np.concatenate([~present, [False]])
    return pa.ListArray.from_arrays(pa.array(offsets, mask=nulls), column.drop_null())
