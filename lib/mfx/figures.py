"""Format numbers for people, in the same way in the terminal, in messages and on pages.

(Cards have little room for numbers of any size, so `report.card_parts` formats those.)
"""

from __future__ import annotations

NONE = "-"
"""Shown if there is no number."""


def metric(value: float | None) -> str:
    """A metric's value, such as `0.9312`; a count, such as `4,897`; NONE if there is no value."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) > 1 else f"{value:.4f}"


def difference(value: float) -> str:
    """A difference between metrics, with its sign, such as `+0.0120`."""
    return f"{value:+.4f}"


def interval(low: float | None, high: float | None) -> str:
    """The bounds of a difference, such as `[+0.0050, +0.0190]`; '' if one is None."""
    return "" if low is None or high is None else f"[{difference(low)}, {difference(high)}]"


def megabytes(count: float) -> str:
    """A number of bytes, such as `12.3 MB`."""
    return f"{count / 1e6:,.1f} MB"
