"""Which value means "missing" in a dense tensor, which has no null.

The signature `predict` takes such tensors: one per raw feature, with one value per row.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

MISSING: dict[tf.DType, Any] = {tf.float32: float("nan"), tf.int64: tf.int64.min, tf.string: ""}
"""The value that means "missing", by dtype. These are the three types that tf.Example has."""


def encoded(dtype: tf.DType) -> Any:
    """The value for "missing" of a dtype, as it is in a tensor: strings are bytes."""
    value = MISSING[dtype]
    return value.encode() if isinstance(value, str) else value


def present(values: tf.Tensor) -> tf.Tensor:
    """Which values are not missing: bool, of the shape of `values`. Its dtype is in `MISSING`."""
    if values.dtype.is_floating:
        return ~tf.math.is_nan(values)
    return values != MISSING[values.dtype]
