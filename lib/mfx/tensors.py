"""Arrow batches as TensorFlow tensors, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from mfx.errors import MfxError

MISSING: dict[tf.DType, Any] = {tf.float32: float("nan"), tf.int64: tf.int64.min, tf.string: ""}
"""What stands for a missing value in dense raw tensors, as on the `predict` signature."""


def sparse_inputs(batch: pa.RecordBatch, names: Iterable[str]) -> dict[str, tf.SparseTensor]:
    """Raw features as the transform graph takes them.

    Args:
        batch: Flat columns of the types in `columns.TYPES`.
        names: The columns wanted.

    Returns:
        For each name a SparseTensor of shape [rows, 1] without entries where missing.
    """
    tensors = {}
    for name in names:
        column = _column(batch, name)
        where = np.flatnonzero(np.asarray(column.is_valid()))
        indices = np.stack([where, np.zeros_like(where)], axis=1)
        values = column.drop_null().to_numpy(zero_copy_only=False)
        tensors[name] = tf.SparseTensor(indices, values, [batch.num_rows, 1])
    return tensors


def to_batch(features: Mapping[str, tf.Tensor]) -> pa.RecordBatch:
    """Dense features, of shape [rows] or [rows, width], as Arrow columns in name order.

    Raises:
        MfxError: A feature is sparse, ragged or of higher rank.
    """
    columns = {}
    for name in sorted(features):
        feature = features[name]
        if not isinstance(feature, tf.Tensor) or feature.shape.rank not in (1, 2):
            raise MfxError(
                f"preprocessing_fn: feature '{name}' is {feature!r:.80}",
                "Return dense tensors of shape [batch] or [batch, width]: see mfx.features.",
            )
        values = feature.numpy()
        flat = pa.array(values.reshape(-1))
        columns[name] = (
            flat if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
        )
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def to_numpy(batch: pa.RecordBatch) -> dict[str, np.ndarray]:
    """The columns of a batch made by `to_batch` as arrays of shape [rows] or [rows, width]."""
    arrays = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_fixed_size_list(column.type):
            arrays[name] = column.flatten().to_numpy().reshape(len(column), -1)
        else:
            arrays[name] = column.to_numpy(zero_copy_only=False)
    return arrays


def dense_inputs(batch: pa.RecordBatch, specs: Mapping[str, tf.TensorSpec]) -> dict[str, tf.Tensor]:
    """Raw features as the `predict` signature takes them: see MISSING.

    Args:
        batch: Flat columns of the types in `columns.TYPES`.
        specs: The signature's inputs by name.

    Returns:
        For each input a dense tensor of shape [rows].
    """
    tensors = {}
    for name, spec in specs.items():
        column = _column(batch, name)
        missing = MISSING[spec.dtype]
        filled = column.fill_null(missing.encode() if isinstance(missing, str) else missing)
        tensors[name] = tf.constant(filled.to_numpy(zero_copy_only=False), spec.dtype)
    return tensors


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    # Arrow gives -1 for what is not there, which would be the last column.
    index = batch.schema.get_field_index(name)
    if index < 0:
        raise ValueError(f"no feature '{name}' in the data")
    return batch.column(index)
