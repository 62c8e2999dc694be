"""Arrow batches as TensorFlow tensors, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from mfx.columns import missing
from mfx.errors import MfxError


def sparse_inputs(batch: pa.RecordBatch, names: Iterable[str]) -> dict[str, tf.SparseTensor]:
    """Raw features as the transform graph takes them.

    Args:
        batch: Flat columns of the types in `columns.types.TYPES`.
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


def description(feature: Any) -> str:
    """`Tensor of float32, shape [None, 3]`: what it is, without its values."""
    if not hasattr(feature, "shape") or not hasattr(feature, "dtype"):
        return f"{type(feature).__name__}, not a tensor"
    kind = next(k for k in (tf.SparseTensor, tf.RaggedTensor, object) if isinstance(feature, k))
    name = "Tensor" if kind is object else kind.__name__
    shape = "unknown" if feature.shape.rank is None else str(feature.shape.as_list())
    return f"{name} of {tf.as_dtype(feature.dtype).name}, shape {shape}"


def check_feature(name: str, feature: Any, where: str) -> None:
    """Check that a transformed feature can be stored.

    Args:
        name: The feature's name.
        feature: What `preprocessing_fn` returned of it, of any number of rows.
        where: What returned it, for the message.

    Raises:
        MfxError: It is sparse, ragged, of unknown width, of a rank other than 1 or 2, or of a type
            that tf.Example does not have.
    """
    if isinstance(feature, tf.Tensor) and feature.dtype not in missing.MISSING:
        remedy = "Return int64, float32 or string: tf.cast(…, tf.int64) or tf.cast(…, tf.float32)."
    elif not isinstance(feature, tf.Tensor) or feature.shape.rank not in (1, 2):
        remedy = _DENSE
    elif feature.shape.rank == 2 and feature.shape[1] is None:
        remedy = f"Its width differs from batch to batch. {_DENSE}"
    else:
        return
    raise MfxError(f"{where}: feature '{name}' is {description(feature)}", remedy)


_DENSE = (
    "Return dense tensors of shape [batch] or [batch, width]. mfx.features.fill_missing makes "
    "one of a raw feature. Lists of different lengths are padded or cut to one width in "
    "preprocessing_fn, as with tf.strings.split(texts).to_tensor('', shape=[None, 10])."
)


def to_batch(features: Mapping[str, tf.Tensor]) -> pa.RecordBatch:
    """Dense features, of shape [rows] or [rows, width], as Arrow columns in name order.

    Raises:
        MfxError: A feature cannot be stored: see `check_feature`.
    """
    columns = {}
    for name in sorted(features):
        feature = features[name]
        check_feature(name, feature, "preprocessing_fn")
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
    """Raw features as the `predict` signature takes them: see `columns.missing`.

    Args:
        batch: Flat columns of the types in `columns.types.TYPES`.
        specs: The signature's inputs by name.

    Returns:
        For each input a dense tensor of shape [rows].
    """
    tensors = {}
    for name, spec in specs.items():
        column = _column(batch, name)
        filled = column.fill_null(missing.encoded(spec.dtype))
        tensors[name] = tf.constant(filled.to_numpy(zero_copy_only=False), spec.dtype)
    return tensors


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    # Arrow gives -1 for what is not there, which would be the last column.
    index = batch.schema.get_field_index(name)
    if index < 0:
        raise ValueError(f"no feature '{name}' in the data")
    return batch.column(index)
