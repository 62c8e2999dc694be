"""Numbers as people read them, the same in the terminal, in messages and on pages.

(Cards have little room, and numbers of any size: `report.card_parts` says how they show them.)
"""

from __future__ import annotations

NONE = "-"
"""Shown where there is no number."""


def metric(value: float | None) -> str:
    """A metric's value: `0.9312`; a count `4,897`; NONE where it has none."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) > 1 else f"{value:.4f}"


def difference(value: float) -> str:
    """A metric's difference, with its sign: `+0.0120`."""
    return f"{value:+.4f}"


def interval(low: float | None, high: float | None) -> str:
    """Bounds of a difference: `[+0.0050, +0.0190]`; '' without them."""
    return "" if low is None or high is None else f"[{difference(low)}, {difference(high)}]"


def megabytes(count: float) -> str:
    """Bytes: `12.3 MB`."""
    return f"{count / 1e6:,.1f} MB"
