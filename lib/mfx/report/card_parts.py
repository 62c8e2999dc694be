"""The parts of cards: tables, boxes, and values as text."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

from metaflow.cards import Markdown, Table, ValueBox

from mfx.report.vega_lite import number, text

MAX_ROWS = 200
"""The most rows that one table shows."""
NONE = "—"
"""Shown where there is no number."""

Components = list[Any]


def box(title: str, value: str, subtitle: str, theme: str) -> ValueBox:
    """A box with a large value, a title above it and a line below it.

    Args:
        title: What the value is.
        value: The value, cut to 100 characters.
        subtitle: The line below, cut to 300 characters.
        theme: The box's colours, by Metaflow's names: `success`, `warning`, `danger`.
    """
    return ValueBox(
        title=title, value=text(value, 100), subtitle=text(subtitle, 300) or None, theme=theme
    )


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], of: str = "rows") -> Components:
    """A table, and a line that says how many rows are left out; nothing if there are no rows.

    Args:
        headers: One for each column; without a header row if all are ''.
        rows: The cells' texts; the first MAX_ROWS rows are shown.
        of: What a row is, in the plural.
    """
    if not rows:
        return []
    shown: list[list[Any]] = [list(row) for row in rows[:MAX_ROWS]]
    table = Table(shown, headers=list(headers) if any(headers) else [])
    left = len(rows) - MAX_ROWS
    return [table, Markdown(f"{left:,} more {of} are not shown.")] if left > 0 else [table]


def code(value: Any) -> str:
    """Text from data as a code span, the only part of Markdown in which no text is markup."""
    return f"`{text(value).replace('`', chr(39)) or ' '}`"


def many(count: int, noun: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{count:,} {noun}" + ("s" if count != 1 else "")


def cell(value: Any) -> str:
    """A metric or a count, with a useful number of digits; other values as text."""
    figure = number(value)
    if figure is None:
        return NONE if value is None or isinstance(value, Real) else text(value)
    if isinstance(value, Integral) or (figure.is_integer() and 10 <= abs(figure) < 1e15):
        return f"{figure:,.0f}"
    if figure and not 1e-3 <= abs(figure) < 1e15:
        return f"{figure:.3g}"
    return f"{figure:,.4f}" if abs(figure) < 100 else f"{figure:,.2f}"


def metric(value: Any, why_none: str = "") -> str:
    """A metric as `cell` shows it; if it has no value, the reason is in brackets."""
    return f"{NONE} ({text(why_none)})" if why_none and number(value) is None else cell(value)


def figure(value: Any) -> str:
    """A number of any size, in few characters."""
    figure = number(value)
    if figure is None:
        return NONE
    return f"{figure:,.0f}" if figure.is_integer() and abs(figure) < 1e7 else f"{figure:,.4g}"


def share(value: Any) -> str:
    """A share between 0 and 1, in percent."""
    figure = number(value)
    return NONE if figure is None else f"{figure:.1%}"
