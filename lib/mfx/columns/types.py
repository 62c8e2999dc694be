"""Arrow columns with tf.Example's types: which there are, checking, wrapping."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

TYPES: dict[str, pa.DataType] = {"int64": pa.int64(), "float32": pa.float32(), "bytes": pa.binary()}
"""tf.Example's three kinds of feature, as flat Arrow types; missing is null."""


def nan_to_null(column: pa.Array) -> pa.Array:
    """A float column with NaN made missing; any other column as it is."""
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)


def as_lists(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Flat columns as TFDV, TFT and TFMA take them: lists of one value, null where missing."""
    columns = []
    for column in batch.columns:
        present = np.asarray(column.is_valid())
        offsets = np.concatenate([[0], np.cumsum(present)]).astype(np.int32)
        # A null offset makes the list that starts there null.
        nulls = np.concatenate([~present, [False]])
        columns.append(pa.ListArray.from_arrays(pa.array(offsets, mask=nulls), column.drop_null()))
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
