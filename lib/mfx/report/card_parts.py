"""What cards are drawn from: tables, boxes, and values as text for people."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

from metaflow.cards import Markdown, Table, ValueBox

from mfx.report.vega_lite import number, text

MAX_ROWS = 200
"""Most rows of one table."""
NONE = "—"
"""Shown where there is no number."""

Components = list[Any]


def box(title: str, value: str, subtitle: str, theme: str) -> ValueBox:
    """A large value with a title and a line below; `theme` is Metaflow's."""
    return ValueBox(
        title=title, value=text(value, 100), subtitle=text(subtitle, 300) or None, theme=theme
    )


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], of: str = "rows") -> Components:
    """A table of at most MAX_ROWS rows and a line on the rest; nothing if there are no rows."""
    if not rows:
        return []
    shown: list[list[Any]] = [list(row) for row in rows[:MAX_ROWS]]
    table = Table(shown, headers=list(headers) if any(headers) else [])
    left = len(rows) - MAX_ROWS
    return [table, Markdown(f"{left:,} more {of} are not shown.")] if left > 0 else [table]


def code(value: Any) -> str:
    """Text from data as a code span of Markdown, the one place where nothing else is markup."""
    return f"`{text(value).replace('`', chr(39)) or ' '}`"


def many(count: int, noun: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{count:,} {noun}" + ("s" if count != 1 else "")


def cell(value: Any) -> str:
    """A metric or count for people; other values as text."""
    figure = number(value)
    if figure is None:
        return NONE if value is None or isinstance(value, Real) else text(value)
    if isinstance(value, Integral) or (figure.is_integer() and 10 <= abs(figure) < 1e15):
        return f"{figure:,.0f}"
    if figure and not 1e-3 <= abs(figure) < 1e15:
        return f"{figure:.3g}"
    return f"{figure:,.4f}" if abs(figure) < 100 else f"{figure:,.2f}"


def metric(value: Any, why_none: str = "") -> str:
    """A metric for people; where it has no value, why."""
    return f"{NONE} ({text(why_none)})" if why_none and number(value) is None else cell(value)


def figure(value: Any) -> str:
    """A number of any size in few characters."""
    figure = number(value)
    if figure is None:
        return NONE
    return f"{figure:,.0f}" if figure.is_integer() and abs(figure) < 1e7 else f"{figure:,.4g}"


def share(value: Any) -> str:
    """A part of 1 in percent."""
    figure = number(value)
    return NONE if figure is None else f"{figure:.1%}"
