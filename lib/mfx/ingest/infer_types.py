"""Choose a column's type by its texts, and name the cells that keep a column from being numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mfx.columns import number_text

_KEPT = 1000
"""The most different texts that are remembered per column."""
_SHOWN = 3


@dataclass
class Column:
    """What is known of a column's cells. Cells can be added in any number of parts.

    A column is `int64` if all its cells are integers, and `float32` if all are numbers. It is
    `bytes` if any cell is something else, such as the code `007`. Whole numbers that float32 cannot
    hold are not changed: a column of whole numbers such as `16777217.0` is `int64`, and a column
    that has both fractions and `16777217` is text.

    Args:
        present: How many cells are not missing.
        numbers: How many of them are numbers.
        alike: How many are no numbers, but look like one to a person.
        codes: Texts that are no numbers and how often each occurs; the first `_KEPT` of them.
        integral: Whether all numbers are written with digits and a minus sign only.
        whole: Whether all numbers are whole.
        lost: How many whole numbers float32 would change.
        inexact: Those of them that are written without a point, and how often each occurs.
        settled: Whether the column is certainly text; further cells are then only counted.
    """

    present: int = 0
    numbers: int = 0
    alike: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    integral: bool = True
    whole: bool = True
    lost: int = 0
    inexact: Counter[str] = field(default_factory=Counter)
    settled: bool = False

    def add(self, text: pa.Array) -> None:
        """Add a part of the column: strings, null where missing."""
        # A slice of a larger array is copied: `_has` reads whole buffers.
        text = pa.concat_arrays([text.drop_null()]) if text.offset else text.drop_null()
        self.present += len(text)
        if self.settled or not len(text):
            return
        number = _are_numbers(text)
        if number is None:
            self.numbers += len(text)
            self._add_numbers(text)
            return
        numbers, codes = text.filter(pa.array(number)), text.filter(pa.array(~number))
        self.numbers += len(numbers)
        alike = int(number_text.is_nearly_number(codes).sum())
        self.alike += alike
        if self.present >= _KEPT and 2 * (self.numbers + self.alike) < self.present:
            self.settled = True
            self.codes.clear()
            return
        _count(codes, self.codes)
        self._add_numbers(numbers)

    def _add_numbers(self, text: pa.Array) -> None:
        if not len(text):
            return
        lost = number_text.lost_in_float32(text)
        self.lost += int(lost.sum())
        if not _has(text, but=b"-0123456789"):
            without_point = np.ones(len(text), bool)
        else:
            self.integral = False
            values = np.asarray(pc.cast(text, pa.float64()))
            whole = (np.floor(values) == values) | np.isnan(values)
            self.whole &= bool(whole.all()) and bool((abs(values[lost]) < 2.0**63).all())
            self.whole &= not _has(text, but=b"0123456789+-.naNA")
            if not lost.any():
                return
            without_point = ~np.asarray(pc.match_substring_regex(text, pattern="[.eE]"))
        _count(text.filter(pa.array(lost & without_point)), self.inexact)

    @property
    def kind(self) -> str | None:
        """The column's type, a name in `columns.types.TYPES`; None if all cells are missing."""
        if not self.present:
            return None
        if self.settled or self.numbers < self.present:
            return "bytes"
        if self.integral or (self.whole and self.lost):
            return "int64"
        return "bytes" if self.inexact else "float32"

    @property
    def listed(self) -> bool:
        """Whether rows have several values: a text file has one per cell."""
        return False

    def note(self, name: str) -> str:
        """Why a column is text although at least half of its cells look like numbers; else ""."""
        if self.kind != "bytes" or 2 * (self.numbers + self.alike) < self.present:
            return ""
        codes, count = self.codes, self.present - self.numbers
        why = "are not written like numbers"
        if not count:
            codes, count = self.inexact, sum(self.inexact.values())
            why = "are whole numbers that float32 cannot hold, in a column with fractions"
        shown = ", ".join(f"{text[:40]!r} ({n:,})" for text, n in codes.most_common(_SHOWN))
        more = ", …" if len(codes) > _SHOWN else ""
        spaced = number_text.is_number(pc.utf8_trim(pa.array(list(codes)), number_text.SPACES))
        remedy = "; trim = true under [data] removes spaces" if self.codes and spaced.all() else ""
        return (
            f"column {name!r} is text because of {count:,} of its {self.present:,} values, which "
            f"{why}: {shown}{more}{remedy}"
        )


def _are_numbers(text: pa.Array) -> np.ndarray | None:
    """Which of the texts are numbers, as bool of shape [rows]; None if all are (often faster)."""
    # Arrow's casts are slow where cells fail.
    if _has(text, but=b"0123456789+-.eEnaNA"):
        return number_text.is_number(text)
    try:
        values = np.asarray(pc.cast(text, pa.float64()))
    except pa.ArrowInvalid:
        return number_text.is_number(text)
    with np.errstate(invalid="ignore"):
        large = (abs(values) >= 2.0**62).any()
    if _has(text, but=b"0123456789+-.naNA") or large or number_text.zero_led(text).any():
        number = number_text.is_number(text)
        return None if number.all() else number
    return None


def _has(text: pa.Array, but: bytes) -> bool:
    """Whether the texts have any character that is not in `but`.

    The array must own its whole buffers (be no slice) and have no nulls.
    """
    data = text.buffers()[2]
    return bool(data and data.to_pybytes().translate(None, but))


def _count(text: pa.Array, into: Counter[str]) -> None:
    counted = pc.value_counts(text)
    for word, count in zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True):
        if word in into or len(into) < _KEPT:
            into[word] += count
