"""Turn rows into serialized tf.Examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import pyarrow as pa

from mfx.columns.types import kind_of, value_kind

_FIELDS = {"bytes": "bytes_list", "int64": "int64_list", "float32": "float_list"}
"""tf.Example's field for each type, by its name in `columns.types.SINGLE`."""


def serialize(batch: pa.RecordBatch) -> Iterator[bytes]:
    """Yield one serialized tf.Example per row, in order. Missing features are left out.

    Args:
        batch: Columns of the types in `columns.types.TYPES`. An empty list becomes a feature with
            its type and no values.
    """
    kinds = {field.name: kind_of(field.type) or "" for field in batch.schema}
    for row in batch.to_pylist():
        yield to_example(row, kinds)


def to_example(row: Mapping[str, Any], kinds: Mapping[str, str] | None = None) -> bytes:
    """Turn one row into a serialized tf.Example. Equal rows give equal bytes.

    Args:
        row: For each feature bytes, int or float, or a list of them. None is left out. A list with
            ints and floats becomes a list of floats.
        kinds: Each feature's type, a name in `columns.types.TYPES`. Without it, an empty list
            becomes a feature without a type, which readers take for a missing value.

    Raises:
        TypeError: A value has another type, or a list has bytes and numbers.
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
