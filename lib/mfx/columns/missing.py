"""How a missing value is written in a dense tensor, where there is no null.

The `predict` signature takes raw features so: by name a tensor of one value a row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tensorflow as tf

MISSING: dict[tf.DType, Any] = {tf.float32: float("nan"), tf.int64: tf.int64.min, tf.string: ""}
"""What stands for a missing value, by dtype. Only these three can miss: they are tf.Example's."""


def encoded(dtype: tf.DType) -> Any:
    """MISSING of a dtype as a tensor's value: strings are bytes."""
    value = MISSING[dtype]
    return value.encode() if isinstance(value, str) else value


def filled(values: Iterable[Any], dtype: tf.DType) -> list[Any]:
    """Values of one of MISSING's dtypes, with what stands for missing in place of None."""
    missing = encoded(dtype)
    return [missing if value is None else value for value in values]


def present(values: tf.Tensor) -> tf.Tensor:
    """Where values are there: bool, of the shape of `values`, whose dtype is one of MISSING's."""
    if values.dtype.is_floating:
        return ~tf.math.is_nan(values)
    return values != MISSING[values.dtype]
