"""Rows as serialized tf.Examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa


def serialize(batch: pa.RecordBatch) -> Iterator[bytes]:
    """One tf.Example a row of flat Arrow columns, missing values left out, in row order."""
    for row in batch.to_pylist():
        yield to_example(row)


def to_example(row: Mapping[str, Any]) -> bytes:
    """One row as a serialized tf.Example, equal rows as equal bytes.

    Args:
        row: Feature to bytes, int or float; those that are None are left out.

    Raises:
        TypeError: A value of another type.
    """
    import tensorflow as tf

    example = tf.train.Example()
    for name, value in row.items():
        if value is None:
            continue
        feature = example.features.feature[name]
        if isinstance(value, bytes):
            feature.bytes_list.value.append(value)
        elif isinstance(value, int):
            feature.int64_list.value.append(value)
        else:
            feature.float_list.value.append(value)
    return example.SerializeToString(deterministic=True)
