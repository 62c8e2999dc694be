"""Transformed features, as TensorFlow tensors and as Arrow columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from mfx.columns import missing
from mfx.errors import MfxError


def description(feature: Any) -> str:
    """What a value is, such as `Tensor of float32, shape [None, 3]`."""
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
        feature: The value that `preprocessing_fn` returned for it, with any number of rows.
        where: The function that returned it, for the message.

    Raises:
        MfxError: It is no tensor, is sparse or ragged, has an unknown width, a rank other than 1 or
            2, or a type that tf.Example does not have.
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
    "Return dense tensors of shape [batch] or [batch, width]. mfx.features.fill_missing turns a "
    "raw feature into one. Pad or cut lists of different lengths to one width, for example: "
    "tf.strings.split(texts).to_tensor('', shape=[None, 10])."
)


def to_batch(features: Mapping[str, tf.Tensor]) -> pa.RecordBatch:
    """Turn dense features, of shape [rows] or [rows, width], into Arrow columns sorted by name.

    Raises:
        MfxError: A feature cannot be stored (see `check_feature`).
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
    """Turn a batch made by `to_batch` into arrays of shape [rows] or [rows, width], by column."""
    arrays = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_fixed_size_list(column.type):
            arrays[name] = column.flatten().to_numpy().reshape(len(column), -1)
        else:
            arrays[name] = column.to_numpy(zero_copy_only=False)
    return arrays
