"""Which slice: features and values, shown as `Overall` or `trip_start_hour:3, company:Blue`.

A feature's title, and a value, may hold what separates them. What would be mistaken then stands in
quotes, as in JSON, so that no two slices of a run are shown alike.
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
    """One slice; OVERALL is that of all rows.

    Two are equal if features, values and the values' types are: 1, 1.0 and "1" are three values,
    and NaN is one.

    Args:
        parts: Features and values, in the features' order by name; none of OVERALL.
    """

    parts: tuple[tuple[str, Value], ...] = ()

    @classmethod
    def of(cls, parts: Iterable[tuple[str, Any]]) -> SliceKey:
        """From what TFMA or Arrow gives: text may be UTF-8 bytes, numbers NumPy's."""
        return cls(tuple((str(title), _plain(value)) for title, value in parts))

    @property
    def features(self) -> tuple[str, ...]:
        """What it is by; nothing of OVERALL."""
        return tuple(title for title, _ in self.parts)

    @property
    def beside_first(self) -> str:
        """As shown where its first feature is said already: `3, company:Blue`."""
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
        # repr tells types apart, and knows NaN from no other NaN.
        return tuple((title, repr(value)) for title, value in self.parts)


OVERALL = SliceKey()


@dataclass(frozen=True)
class SlicesBy:
    """All slices by some features; without any, all slices there are."""

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
