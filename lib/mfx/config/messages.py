"""What is said of a config's mistakes: one line each, and where the reference explains the keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from mfx.config import keys
from mfx.config.table import Table
from mfx.errors import MfxError, nearest

PAGE = "docs/reference/config.md"
"""The reference, whose anchors are the names of the keys."""
TAGS = ("str", "Metric")
"""Types of an item that may be one of several."""
LONGEST = 80
"""Most characters of a value that are shown."""


def of(error: ValidationError, where: str, table: type[Table]) -> MfxError:
    """The error for people.

    Args:
        error: What pydantic found.
        where: What was checked, such as the path of a file.
        table: What it was checked to be.
    """
    found = error.errors()
    known = dict(keys.walk(table))
    explained = [name for one in found for name in _explained(_place(one["loc"]), known)]
    return MfxError("\n".join(f"{where}: {_said(one, table)}" for one in found), see(explained))


def see(names: Iterable[str]) -> str:
    """Where keys are explained: the page, and the command, which works wherever mfx is installed.

    Args:
        names: Tables and keys, such as `train.steps`; none for all.
    """
    once = list(dict.fromkeys(names))
    anchors = ", ".join(f"#{name}" for name in once)
    return f"Reference: {PAGE}{anchors}, or run: mfx config {' '.join(once)}".strip()


def _said(error: Any, table: type[Table]) -> str:
    """What is wrong, without where."""
    place = _place(error["loc"])
    name = ".".join(map(str, place)) or "config"
    if error["type"] == "extra_forbidden":
        return f"unknown key '{name}'{_meant(place, table)}"
    expected = keys.words(keys.find(table, place))
    if error["type"] == "missing":
        return f"missing key '{name}': expected {expected}"
    if error["type"] != "value_error":
        return f"{name}: expected {expected}, found {_shown(error['input'])}"
    said = error["msg"].removeprefix("Value error, ")
    says_all = not said.startswith("expected ") or ", found " in said
    return f"{name}: {said}" if says_all else f"{name}: {said}, found {_shown(error['input'])}"


def _place(given: tuple[str | int, ...]) -> list[str | int]:
    """Keys and places in lists, without the type that pydantic chose for an item."""
    return [
        p for n, p in enumerate(given) if not (n and isinstance(given[n - 1], int) and p in TAGS)
    ]


def _meant(place: list[str | int], table: type[Table]) -> str:
    """The key that was probably meant: one of the same table, or of the same name in another."""
    unknown = str(place[-1])
    here = [k for t in keys.tables(keys.find(table, place[:-1]).annotation) for k in keys.fields(t)]
    elsewhere = [name for name, _ in keys.walk(table) if name.endswith(f".{unknown}")]
    return nearest(unknown, here) or (f"; did you mean '{elsewhere[0]}'?" if elsewhere else "")


def _explained(place: Iterable[Any], known: dict[str, Any]) -> list[str]:
    """The nearest key or table around a place that the reference has; none for an unknown table."""
    parts = [part for part in place if isinstance(part, str)]
    names = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return [name for name in names if name in known][:1]


def _shown(value: Any) -> str:
    text = keys.toml(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
