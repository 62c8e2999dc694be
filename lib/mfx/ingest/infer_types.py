"""Which type a column's texts call for, and which cells keep a column of numbers from being one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mfx.columns import number_text

_KEPT = 1000
"""Texts that are remembered of a column."""
_SHOWN = 3


@dataclass
class Column:
    """What a column's cells look like, over any number of parts.

    A column is `int64` if all its cells are integers; `float32` if they are numbers; `bytes` if one
    is anything else, a code such as `007` among them. What float32 would make another number is not
    lost: whole numbers such as `16777217.0` are `int64`, and beside fractions `16777217` is text.

    Args:
        present: Cells that are not missing.
        numbers: Those that are numbers.
        alike: Those that are none, but look like one to a person.
        codes: Those that are none, by text, and how often; the first ones seen.
        integral: Whether all numbers are written without a point.
        whole: Whether all numbers are whole.
        lost: Whole numbers that are others as float32.
        inexact: Those of them that are written without a point, by text.
        settled: Whether this is text beyond doubt; cells are then no longer looked at.
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
        """Look at a part of the column: strings, null where missing."""
        # Copied where it is a part of something larger: see `_has`.
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
        """A name in `columns.types.TYPES`; None if every cell so far is missing."""
        if not self.present:
            return None
        if self.settled or self.numbers < self.present:
            return "bytes"
        if self.integral or (self.whole and self.lost):
            return "int64"
        return "bytes" if self.inexact else "float32"

    def note(self, name: str) -> str:
        """Why a column that is nearly one of numbers is text; "" for any other."""
        if self.kind != "bytes" or 2 * (self.numbers + self.alike) < self.present:
            return ""
        codes, count = self.codes, self.present - self.numbers
        why = "are not written as numbers are"
        if not count:
            codes, count = self.inexact, sum(self.inexact.values())
            why = "are whole numbers that float32 cannot hold, beside fractions"
        shown = ", ".join(f"{text[:40]!r} ({n:,})" for text, n in codes.most_common(_SHOWN))
        more = ", …" if len(codes) > _SHOWN else ""
        spaced = number_text.is_number(pc.utf8_trim(pa.array(list(codes)), number_text.SPACES))
        remedy = (
            "; trim = true under [data] takes spaces away" if self.codes and spaced.all() else ""
        )
        return (
            f"column {name!r} is text because of {count:,} of its {self.present:,} values, which "
            f"{why}: {shown}{more}{remedy}"
        )


def _are_numbers(text: pa.Array) -> np.ndarray | None:
    """Which of the texts are numbers; None if all are, which is found faster."""
    # Arrow's casts make an error of each cell that fails, which is slow.
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
    """Whether any character is none of these; the strings are whole buffers, none missing."""
    data = text.buffers()[2]
    return bool(data and data.to_pybytes().translate(None, but))


def _count(text: pa.Array, into: Counter[str]) -> None:
    counted = pc.value_counts(text)
    for word, count in zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True):
        if word in into or len(into) < _KEPT:
            into[word] += count
