"""Rows as serialized tf.Examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import pyarrow as pa

from mfx.columns.types import kind_of, value_kind

_FIELDS = {"bytes": "bytes_list", "int64": "int64_list", "float32": "float_list"}
"""Where tf.Example holds values, by their name in `columns.types.SINGLE`."""


def serialize(batch: pa.RecordBatch) -> Iterator[bytes]:
    """One tf.Example per row, in row order, without the features that are missing.

    Args:
        batch: Columns of the types in `columns.types.TYPES`. An empty list becomes a feature of
            its type without values.
    """
    kinds = {field.name: kind_of(field.type) or "" for field in batch.schema}
    for row in batch.to_pylist():
        yield to_example(row, kinds)


def to_example(row: Mapping[str, Any], kinds: Mapping[str, str] | None = None) -> bytes:
    """One row as a serialized tf.Example; equal rows give equal bytes.

    Args:
        row: Feature to bytes, int or float, or to a list of them; None is left out. Numbers of
            one feature are floats if one of them is.
        kinds: Each feature's type, a name in `columns.types.TYPES`; where it is not given, an
            empty list becomes a feature without a type, which readers take for a missing one.

    Raises:
        TypeError: A value of another type, or bytes among numbers.
    """
    import tensorflow as tf

    example = tf.train.Example()
    for name, value in row.items():
        if value is None:
            continue
        values = value if isinstance(value, list | tuple) else [value]
        feature = example.features.feature[name]
        if values:
            getattr(feature, _field(name, values)).value.extend(values)
        elif kinds and name in kinds:
            getattr(feature, _FIELDS[value_kind(kinds[name])]).SetInParent()
    return example.SerializeToString(deterministic=True)


def _field(name: str, values: Sequence[Any]) -> str:
    for wanted, kind in ((bytes, "bytes"), (Integral, "int64"), (Real, "float32")):
        if all(isinstance(value, wanted) for value in values):
            return _FIELDS[kind]
    raise TypeError(f"feature {name!r}: expected bytes, int or float, found {values!r:.80}")
