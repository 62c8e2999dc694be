"""Tell texts that are numbers from codes, whose text a number could not give back.

`007`, `+5` and `0x1F` are codes: as numbers, different texts would become equal. Digits beyond
int64 are codes too. ` 7 ` is a number if the column's type is given, but text if it is inferred.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mfx.columns.types import nan_to_null

SPACES = " \t"

_WHOLE = r"-?(0|[1-9][0-9]*)"
_INTEGER = rf"^{_WHOLE}(\.0*)?$"
_NUMBER = rf"^({_WHOLE}(\.[0-9]*)?|-?\.[0-9]+)([eE][-+]?[0-9]+)?$"
_NAN = r"^-?[nN][aA][nN]$"
_HEX_LIKE = r"^-?[0-9]+[eE][0-9]+$"
_GROUPS = r"[0-9]{1,3}(([., ']?[0-9]{3})*|[0-9]*)([.,][0-9]+)?"
_WITH_SIGNS = rf"^\s*([-+]?[$€£]?{_GROUPS}\s*[%$€£]?|[-+]?[iI]nf(inity)?)\s*$"
_LIKE_NUMBER = r"^\s*[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?\s*$"

EXACT = 2.0**24
"""float32 holds all whole numbers up to this one exactly."""


def to_int64(text: pa.Array) -> tuple[pa.Array, np.ndarray | None]:
    """Convert texts to integers. `5.0` is 5, `-0` is 0.

    Args:
        text: Strings; null is missing.

    Returns:
        int64, null where the text is missing, NaN or no integer in the range of int64; and a bool
        mask of texts that are no integers, or None if there are none (NaN is not one of them).
    """
    try:
        made = pc.cast(text, pa.int64())
        if not zero_led(text).any():
            return made, None
    except pa.ArrowInvalid:
        pass
    text = pc.utf8_trim(text, SPACES)
    integer = _matches(text, _INTEGER)
    digits = pc.replace_substring_regex(text, pattern=r"\.0*$", replacement="")
    long = np.flatnonzero(integer & (np.asarray(pc.utf8_length(digits).fill_null(0)) > 18))
    for place in long:
        integer[place] = -(2**63) <= int(digits[int(place)].as_py()) < 2**63
    made = pc.cast(_only(digits, integer), pa.int64())
    bad = np.asarray(text.is_valid()) & ~integer & ~_matches(text, _NAN)
    return made, bad if bad.any() else None


def to_float32(text: pa.Array) -> tuple[pa.Array, np.ndarray | None]:
    """Convert texts to numbers, rounded to float32. Otherwise as `to_int64`."""
    try:
        made = pc.cast(text, pa.float32())
        if not zero_led(text).any() and not pc.any(pc.is_inf(made)).as_py():
            return nan_to_null(made), None
    except pa.ArrowInvalid:
        pass
    text = pc.utf8_trim(text, SPACES)
    number = _matches(text, _NUMBER)
    made = pc.cast(_only(text, number), pa.float32())
    infinite = np.asarray(pc.is_inf(made).fill_null(False))
    bad = np.asarray(text.is_valid()) & (~number | infinite) & ~_matches(text, _NAN)
    return _only(made, ~infinite), bad if bad.any() else None


def is_nan(text: pa.Array) -> np.ndarray:
    """Which texts are NaN, as bool of shape [rows]."""
    return _matches(pc.utf8_trim(text, SPACES), _NAN)


def is_number(text: pa.Array) -> np.ndarray:
    """Which texts count as numbers when a column's type is inferred: no codes, no spaces, finite.

    `12e3` counts as a code, since identifiers in hex look like this; programs write `1.2e4`,
    `12e+3` or `1E-5`.
    """
    number = _matches(text, _NUMBER) & ~_matches(text, _HEX_LIKE)
    values = np.asarray(pc.cast(_only(text, number), pa.float32()).fill_null(0))
    number &= ~np.isinf(values)
    if (abs(values) >= 2**62).any():
        whole = _matches(text, f"^{_WHOLE}$")
        number &= ~whole | np.asarray(to_int64(_only(text, whole))[0].is_valid())
    return number | _matches(text, _NAN)


def is_like_number(text: pa.Array) -> np.ndarray:
    """Which texts a reader would take for a number, even with leading zeros or a plus sign.

    Spaces around the text do not matter.
    """
    return _matches(text, _LIKE_NUMBER)


def is_nearly_number(text: pa.Array) -> np.ndarray:
    """Which texts a person would take for a number.

    These are the texts of `is_like_number`, and such as `1,5`, `1.234,50`, `12 %`, `$3`, `inf`.
    """
    return is_like_number(text) | _matches(text, _WITH_SIGNS)


def lost_in_float32(text: pa.Array) -> np.ndarray:
    """Which texts are whole numbers that float32 would change. All texts must be numbers."""
    values = np.asarray(pc.cast(text, pa.float64()).fill_null(0))
    with np.errstate(over="ignore", invalid="ignore"):
        return (
            (abs(values) > EXACT)
            & (np.floor(values) == values)
            # From 2**53 on, float64 does not hold the text's number exactly either.
            & ((values.astype(np.float32) != values) | (abs(values) >= 2.0**53))
        )


def zero_led(text: pa.Array) -> np.ndarray:
    """Which texts begin with a zero followed by a digit or an x; a minus may come first.

    This must be fast: it looks at every number that is read.
    """
    none = np.zeros(len(text), bool)
    data = text.buffers()[2]
    if data is None or not len(data):
        return none
    codes = np.frombuffer(data, np.uint8)
    offsets = np.frombuffer(text.buffers()[1], np.int32)[text.offset : text.offset + len(text) + 1]
    starts, last = offsets[:-1], len(codes) - 1
    negative = codes[np.minimum(starts, last)] == ord("-")
    first = starts + negative
    second = codes[np.minimum(first + 1, last)]
    # Bytes below "0" wrap around to large numbers.
    code = (second - ord("0") < 10) | (second == ord("x")) | (second == ord("X"))
    found = (codes[np.minimum(first, last)] == ord("0")) & code & (first + 1 < offsets[1:])
    return found & np.asarray(text.is_valid()) if found.any() else none


def _matches(text: pa.Array, pattern: str) -> np.ndarray:
    found = pc.match_substring_regex(text, pattern=pattern)
    return np.array(found.fill_null(False))


def _only(column: pa.Array, kept: np.ndarray) -> pa.Array:
    """The column with null where `kept` is false."""
    return pc.if_else(pa.array(kept), column, pa.scalar(None, column.type))
