"""What a person would see in a column: its values, how many differ, what kind of thing they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mfx.columns.types import is_list

_IMAGES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM")
_ISO = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$"
_SINCE_1970 = {"us": (1e14, 4.2e15), "ms": (1e11, 4.2e12), "s": (1e8, 4.2e9)}
"""From 1973 to 2103, in microseconds, milliseconds and seconds."""
_TIME = re.compile(r"time|date|stamp|(^|_)at$|created|updated", re.I)
_KEY = re.compile(r"(^|[_\s.-])(id|uuid|guid|key|index|nr|no|number|code)$|[a-z]Id$|^unnamed", re.I)
FEW = 1000
"""Values by which some questions are answered."""


@dataclass(frozen=True)
class Profile:
    """A column.

    Args:
        name: Its title.
        kind: Its type, a name in `columns.types.TYPES`; None if all is missing.
        rows: Rows of the sample.
        missing: Of them, those without a value.
        distinct: How many different values there are.
        top: The share of the most frequent value, of those that are there.
        low, high, middle: The least and the largest number, and the median.
        whole: Whether all numbers are whole.
        ascending: Whether numbers only grow from row to row.
        words: How many words a text has, on average.
        dates: Whether values are dates or times.
        unit: What numbers count that are times since 1970: "us", "ms" or "s".
        clock: Whether dates have a time of day.
        images: Whether values are files of images.
        named_key: Whether the title is one that keys have.
    """

    name: str
    kind: str | None
    rows: int
    missing: int
    distinct: int = 0
    top: float = 0.0
    low: float = 0.0
    high: float = 0.0
    middle: float = 0.0
    whole: bool = False
    ascending: bool = False
    words: float = 0.0
    dates: bool = False
    unit: str = ""
    clock: bool = False
    images: bool = False
    named_key: bool = False

    @property
    def present(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing

    @property
    def numeric(self) -> bool:
        """Whether it has one number per row."""
        return self.kind in ("int64", "float32")

    @property
    def text(self) -> bool:
        """Whether it has one text per row."""
        return self.kind == "bytes" and not self.images

    @property
    def missing_share(self) -> float:
        """The share of rows without a value."""
        return self.missing / self.rows


def look(name: str, column: pa.ChunkedArray, kind: str | None) -> Profile:
    """Look at a column of a sample.

    Args:
        name: Its title.
        column: int64, float64, binary, or lists of them.
        kind: Its type, a name in `columns.types.TYPES`.
    """
    rows, missing = len(column), column.null_count
    given: dict[str, Any] = {"named_key": bool(_KEY.search(name))}
    if kind is None or missing == rows:
        return Profile(name, None, rows, missing, **given)
    values = column.drop_null()
    if is_list(kind):
        flat = pc.list_flatten(values)
        counts = pc.value_counts(flat)
        return Profile(name, kind, rows, missing, distinct=len(counts), **given)
    counts = np.asarray(pc.value_counts(values).field(1))
    given |= {"distinct": len(counts), "top": float(counts.max() / counts.sum())}
    seen = _texts(values) if kind == "bytes" else _numbers(values, bool(_TIME.search(name)))
    return Profile(name, kind, rows, missing, **given, **seen)


def _numbers(values: pa.ChunkedArray, named_time: bool) -> dict[str, Any]:
    numbers = values.to_numpy()
    low, high = float(numbers.min()), float(numbers.max())
    whole = bool((numbers == np.floor(numbers)).all())
    unit = next(
        (u for u, (least, most) in _SINCE_1970.items() if least <= low and high <= most), ""
    )
    # Microseconds are seldom anything else; other numbers are times if the title says so.
    dates = whole and bool(unit) and (named_time or unit == "us")
    return {
        "low": low,
        "high": high,
        "middle": float(np.median(numbers)),
        "whole": whole,
        "ascending": bool(len(numbers) > 1 and (np.diff(numbers) > 0).all()),
        "dates": dates,
        "unit": unit if dates else "",
        "clock": dates,
    }


def _texts(values: pa.ChunkedArray) -> dict[str, Any]:
    some = values.slice(0, FEW).to_pylist()
    images = all(value.startswith(_IMAGES) for value in some)
    if images:
        return {"images": True}
    try:
        texts = pa.array([value.decode() for value in some])
    except UnicodeDecodeError:
        return {}
    words = pc.mean(pc.add(pc.count_substring_regex(texts, r"\S\s+\S"), 1)).as_py()
    dates = bool(pc.all(pc.match_substring_regex(texts, _ISO)).as_py())
    clock = dates and pc.any(pc.match_substring(texts, ":")).as_py()
    return {"words": float(words), "dates": dates, "clock": bool(clock)}
