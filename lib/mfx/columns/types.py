"""The types that a column can have, in Arrow and in tf.Example, and functions on such columns."""

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
"""The three types of values that tf.Example has. A missing value is null."""

TYPES: dict[str, pa.DataType] = {
    **SINGLE,
    **{f"{name}{_LIST}": pa.list_(kind) for name, kind in SINGLE.items()},
}
"""All types that a column can have, by name: one value per row, or a list of any length per row.

A missing list is null; an empty list is not missing. No value inside a list is null or NaN.
"""


def arrow_type(kind: str) -> pa.DataType:
    """The Arrow type of a column: of one of `TYPES`, or of lists of one length (`float32[784]`)."""
    value, bracket, length = kind.partition("[")
    return pa.list_(SINGLE[value], int(length[:-1])) if bracket else TYPES[kind]


def is_list(kind: str) -> bool:
    """Whether this type (a name in `TYPES`) holds lists."""
    return kind.endswith(_LIST)


def value_kind(kind: str) -> str:
    """The type of a column's values (a name in `SINGLE`), whether single or in lists."""
    return kind.removesuffix(_LIST)


def list_kind(kind: str) -> str:
    """The type of lists of such values, a name in `TYPES`."""
    return value_kind(kind) + _LIST


def kind_of(column: pa.DataType) -> str | None:
    """The name in `TYPES` of an Arrow type; None if it is none of them."""
    return next((name for name, known in TYPES.items() if known == column), None)


def holds_lists(column: pa.Array) -> bool:
    """Whether a column of one of `TYPES` holds lists."""
    return pa.types.is_list(column.type)


def values_of(column: pa.Array) -> pa.Array:
    """All values of a column (of one of `TYPES`) in row order, without missing ones."""
    return column.flatten() if holds_lists(column) else column.drop_null()


def lengths(column: pa.Array) -> np.ndarray:
    """How many values each row has: int64 of shape [rows], 0 for a missing one."""
    if holds_lists(column):
        return np.asarray(pc.list_value_length(column).fill_null(0), np.int64)
    return np.asarray(column.is_valid()).astype(np.int64)


def rows_of(column: pa.Array) -> np.ndarray:
    """The row of each of `values_of(column)`: int64 of shape [values], ascending."""
    return np.repeat(np.arange(len(column)), lengths(column))


def nan_to_null(column: pa.Array) -> pa.Array:
    """Replace NaN by null in a float column. Other columns stay as they are."""
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)


def as_lists(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Turn columns into the form of TFDV, TFT and TFMA: single values become lists of one value.

    Missing values stay null. Columns of lists stay as they are.
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
