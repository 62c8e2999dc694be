"""What a feature of a schema says of its column's type."""

from __future__ import annotations

from typing import Any, NamedTuple

from mfx.columns.types import list_kind


class Declared(NamedTuple):
    """What a schema says of a column's type.

    Args:
        kind: A name in `columns.types.TYPES`: lists if `value_count` or `shape` allows several
            values per row.
        counted: Whether the schema says how many values a row has; where it does not, a file of
            lists gives a column of lists.
    """

    kind: str
    counted: bool


def declared(feature: Any, kind: str) -> Declared:
    """What a `schema_pb2.Feature` says, whose values are of this type, a name in `SINGLE`."""
    if feature.HasField("shape"):
        return Declared(list_kind(kind) if has_several(feature) else kind, True)
    if feature.HasField("value_count"):
        return Declared(list_kind(kind) if has_several(feature) else kind, True)
    return Declared(kind, False)


def has_several(feature: Any) -> bool:
    """Whether a `schema_pb2.Feature` says that a row may have several values."""
    if feature.HasField("shape"):
        return any(dimension.size != 1 for dimension in feature.shape.dim)
    count = feature.value_count
    return feature.HasField("value_count") and not (count.HasField("max") and count.max <= 1)
