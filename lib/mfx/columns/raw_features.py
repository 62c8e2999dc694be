"""Raw features as tensors: as the transform graph takes them, and as the `predict` signature does.

The graph takes what its feature spec says (`TFTransformOutput.raw_feature_spec`): a SparseTensor
[rows, values] for a `VarLenFeature`, a RaggedTensor [rows, None] for a `RaggedFeature`, a dense
tensor [rows, *shape] for a `FixedLenFeature`. `predict` takes dense tensors:

- [rows], of single values; missing ones are written as `columns.missing` says;
- [rows, width], of lists: shorter ones are filled up to the longest with what stands for missing.
  So texts that are empty at the end of a list are not told from filling;
- [rows, *shape], of lists that the schema gives a shape.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from mfx.columns import missing
from mfx.columns.schema_types import has_several
from mfx.columns.types import lengths, values_of
from mfx.errors import MfxError


def raw_inputs(batch: pa.RecordBatch, specs: Mapping[str, Any]) -> dict[str, Any]:
    """Raw features as the transform graph takes them.

    Args:
        batch: Columns of the types in `columns.types.TYPES`.
        specs: The graph's feature spec.

    Returns:
        A tensor for each feature, as the module says; without entries where missing. A SparseTensor
        is at least one value wide.

    Raises:
        MfxError: A list has not as many values as its shape.
        ValueError: There is no such column.
    """
    return {name: _raw(name, _column(batch, name), spec) for name, spec in specs.items()}


def _raw(name: str, column: pa.Array, spec: Any) -> Any:
    counts = lengths(column)
    values = tf.constant(values_of(column).to_numpy(zero_copy_only=False), spec.dtype)
    if isinstance(spec, tf.io.FixedLenFeature):
        return _fixed(name, values, counts, spec)
    if isinstance(spec, tf.io.RaggedFeature):
        return tf.RaggedTensor.from_row_lengths(values, tf.cast(counts, spec.row_splits_dtype))
    indices = np.stack(_places(counts), axis=1)
    return tf.SparseTensor(indices, values, [len(column), max(1, counts.max(initial=0))])


def _fixed(name: str, values: tf.Tensor, counts: np.ndarray, spec: Any) -> tf.Tensor:
    """Values of lists that are all of one shape; where missing, the default if there is one."""
    size = math.prod(spec.shape)
    if spec.default_value is not None:
        default = tf.reshape(tf.constant(spec.default_value, spec.dtype), [-1])
        filled = tf.repeat(default[None, :], len(counts), axis=0)
        there = np.flatnonzero(counts)
        given = tf.reshape(values, [len(there), size])
        values, counts = tf.tensor_scatter_nd_update(filled, there[:, None], given), counts.copy()
        counts[counts == 0] = size
    if (counts != size).any():
        row = int(np.argmax(counts != size))
        raise MfxError(
            f"feature '{name}': a row with {counts[row]} values, expected {size}, the shape "
            f"{list(spec.shape)} that the schema gives it",
            "Mend the data; or take shape out of the schema, and make lists of one length in "
            "preprocessing_fn.",
        )
    return tf.reshape(values, [len(counts), *spec.shape])


def dense_specs(specs: Mapping[str, Any], schema: Any) -> dict[str, tf.TensorSpec]:
    """What `predict` takes for each raw feature.

    Args:
        specs: The graph's feature spec.
        schema: A `schema_pb2.Schema` of the raw features; it tells which have several values.
    """
    several = {feature.name for feature in schema.feature if has_several(feature)}
    return {
        name: tf.TensorSpec([None, *_inner_shape(spec, name in several)], spec.dtype)
        for name, spec in specs.items()
    }


def _inner_shape(spec: Any, several: bool) -> list[int | None]:
    if isinstance(spec, tf.io.FixedLenFeature):
        return list(spec.shape)
    return [None] if several else []


def dense_inputs(batch: pa.RecordBatch, specs: Mapping[str, tf.TensorSpec]) -> dict[str, tf.Tensor]:
    """Raw features as `predict` takes them, which is what `from_dense` takes back.

    Args:
        batch: Columns of the types in `columns.types.TYPES`.
        specs: The signature's inputs by name; see `dense_specs`.

    Returns:
        A dense tensor for each input, as the module says.

    Raises:
        MfxError: A list has not as many values as its shape.
        ValueError: There is no such column.
    """
    return {name: _dense(name, _column(batch, name), spec) for name, spec in specs.items()}


def _dense(name: str, column: pa.Array, spec: tf.TensorSpec) -> tf.Tensor:
    shape = spec.shape.as_list()[1:]
    if not shape:
        filled = column.fill_null(missing.encoded(spec.dtype))
        return tf.constant(filled.to_numpy(zero_copy_only=False), spec.dtype)
    counts = lengths(column)
    if None not in shape:
        values = tf.constant(values_of(column).to_numpy(zero_copy_only=False), spec.dtype)
        return _fixed(name, values, counts, tf.io.FixedLenFeature(shape, spec.dtype))
    width = max(1, counts.max(initial=0))
    kind = object if spec.dtype == tf.string else spec.dtype.as_numpy_dtype
    padded = np.full((len(column), width), missing.encoded(spec.dtype), kind)
    padded[_places(counts)] = values_of(column).to_numpy(zero_copy_only=False)
    return tf.constant(padded, spec.dtype)


def from_dense(values: tf.Tensor, spec: Any) -> Any:
    """A tensor that `predict` was given as the transform graph takes it; for TensorFlow's graphs.

    Args:
        values: Of the shape that `dense_specs` says.
        spec: The feature's spec in the graph.
    """
    if isinstance(spec, tf.io.FixedLenFeature):
        return values
    table = values[:, None] if values.shape.rank == 1 else values
    there = tf.cast(missing.present(table), tf.int32)
    # All up to the last value that is there: what looks like filling before it is a value.
    kept = tf.cumsum(there, axis=1, reverse=True) > 0
    indices = tf.where(kept)
    sparse = tf.SparseTensor(indices, tf.gather_nd(table, indices), tf.shape(table, tf.int64))
    if isinstance(spec, tf.io.RaggedFeature):
        ragged = tf.RaggedTensor.from_sparse(sparse)
        return ragged.with_row_splits_dtype(spec.row_splits_dtype)
    return sparse


def _places(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each value in row order, its row and its place in it: int64 of shape [values]."""
    ends = np.cumsum(counts)
    rows = np.repeat(np.arange(len(counts)), counts)
    return rows, np.arange(len(rows)) - np.repeat(ends - counts, counts)


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    # Arrow gives -1 for what is not there, which would be the last column.
    index = batch.schema.get_field_index(name)
    if index < 0:
        raise ValueError(f"no feature '{name}' in the data")
    return batch.column(index)
