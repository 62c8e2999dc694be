"""Slices: features and values, shown as `Overall` or `trip_start_hour:3, company:Blue`.

A feature's name or a value may contain a separator. If it could be misread, it is put in quotes, as
in JSON. So no two slices of a run are shown in the same way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Value = int | float | str

_FEATURE = r'"(?:[^"\\]|\\.)*"|[^":,][^:,]*'
_NEXT = re.compile(rf", (?:{_FEATURE}):", re.DOTALL)


@dataclass(frozen=True, eq=False)
class SliceKey:
    """One slice. OVERALL is the slice of all rows.

    Two slices are equal if their features, values and types of values are equal. So 1, 1.0 and "1"
    are three different values; NaN equals NaN.

    Args:
        parts: Pairs of feature and value, sorted by feature; empty for OVERALL.
    """

    parts: tuple[tuple[str, Value], ...] = ()

    @classmethod
    def of(cls, parts: Iterable[tuple[str, Any]]) -> SliceKey:
        """Make a slice from TFMA's or Arrow's values: texts may be bytes, numbers NumPy's."""
        return cls(tuple((str(title), _plain(value)) for title, value in parts))

    @property
    def features(self) -> tuple[str, ...]:
        """The features that define the slice; none for OVERALL."""
        return tuple(title for title, _ in self.parts)

    @property
    def beside_first(self) -> str:
        """The slice without the name of its first feature, such as `3, company:Blue`."""
        (_, first), *rest = self.parts
        return ", ".join([_value(first), *map(_shown, rest)])

    def __str__(self) -> str:
        return ", ".join(map(_shown, self.parts)) or "Overall"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SliceKey) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[tuple[str, str], ...]:
        # repr differs for different types, and is the same for all NaN.
        return tuple((title, repr(value)) for title, value in self.parts)


OVERALL = SliceKey()
"""The slice of all rows."""


@dataclass(frozen=True)
class SlicesBy:
    """All slices by some features. Without features: all slices."""

    features: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"by {', '.join(self.features)}" if self.features else "all slices"


def _plain(value: Any) -> Value:
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if hasattr(value, "item") else value


def _shown(part: tuple[str, Value]) -> str:
    title, value = part
    quoted = re.search("[:,]", title) or title.startswith('"')
    return f"{_quoted(title) if quoted else title}:{_value(value)}"


def _value(value: Value) -> str:
    text = str(value)
    return _quoted(text) if text.startswith('"') or _NEXT.search(text) else text


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
