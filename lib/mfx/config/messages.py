"""Error messages about a config: one line for each mistake, and a pointer to the reference."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from mfx.config import keys
from mfx.config.features import KINDS
from mfx.config.table import Table
from mfx.errors import MfxError, nearest

PAGE = "docs/reference/config.md"
"""The page that explains all keys; a key's anchor is its name."""
TAGS = ("str", "Metric")
"""Tags of types: pydantic puts one into a mistake's place where an item may have several types."""
FEATURES = "features"
"""The table whose keys are named by the user."""
REPLACED = {"data.ragged_rows": "data.tolerate"}
"""Keys of earlier versions, and what took their place."""
LONGEST = 80
"""How many characters of a wrong value are shown at most."""


def of(error: ValidationError, where: str, table: type[Table]) -> MfxError:
    """Turn pydantic's error into one for people.

    Args:
        error: Pydantic's error.
        where: What was checked, such as the path of a file.
        table: The table that it was checked against.
    """
    found = error.errors()
    known = dict(keys.walk(table))
    explained = [name for one in found for name in _explained(_documented(one["loc"]), known)]
    return MfxError("\n".join(f"{where}: {_said(one, table)}" for one in found), see(explained))


def see(names: Iterable[str]) -> str:
    """A line that says where keys are explained.

    It names the page, and the command, which also works where mfx is installed without its docs.

    Args:
        names: Tables and keys, such as `train.steps`. If there are none, the line is about all.
    """
    once = list(dict.fromkeys(names))
    anchors = ", ".join(f"#{name}" for name in once)
    return f"Reference: {PAGE}{anchors}, or run: mfx config {' '.join(once)}".strip()


def _said(error: Any, table: type[Table]) -> str:
    """One mistake in words, such as "train.steps: expected a whole number, found 'x'"."""
    place = _place(error["loc"])
    name = ".".join(map(str, place)) or "config"
    if kind := _kind(error["loc"]):
        table, place = KINDS[kind], place[2:]
    if error["type"] == "extra_forbidden":
        return f"unknown key '{name}'{_meant(place, table)}"
    expected = keys.words(keys.find(table, place))
    if error["type"] == "missing":
        return f"missing key '{name}': expected {expected}"
    if error["type"] != "value_error":
        return f"{name}: expected {expected}, found {_shown(error['input'])}"
    # A check of our own says what it expected, and what it found only if that is not the value.
    said = error["msg"].removeprefix("Value error, ")
    says_all = not said.startswith("expected ") or ", found " in said
    return f"{name}: {said}" if says_all else f"{name}: {said}, found {_shown(error['input'])}"


def _place(given: tuple[str | int, ...]) -> list[str | int]:
    """Where a mistake is: keys and positions in lists, without pydantic's tags."""
    if _kind(given):
        given = given[:2] + given[3:]
    return [
        p for n, p in enumerate(given) if not (n and isinstance(given[n - 1], int) and p in TAGS)
    ]


def _kind(given: tuple[str | int, ...]) -> str:
    """The kind of the feature that the mistake is in; '' if it is in none."""
    return str(given[2]) if given[:1] == (FEATURES,) and len(given) > 2 else ""


def _documented(given: tuple[str | int, ...]) -> list[str | int]:
    """Where the reference explains the key: the options of a feature by its kind, not its name."""
    return [FEATURES, *given[2:]] if _kind(given) else _place(given)


def _meant(place: list[str | int], table: type[Table]) -> str:
    """A question whether another key was meant: a similar one of the same table, or one of the same
    name in another table. Empty if there is none."""
    unknown = str(place[-1])
    if now := REPLACED.get(".".join(map(str, place))):
        return f"; it is '{now}' now"
    here = [k for t in keys.tables(keys.find(table, place[:-1]).annotation) for k in keys.fields(t)]
    elsewhere = [name for name, _ in keys.walk(table) if name.endswith(f".{unknown}")]
    return nearest(unknown, here) or (f"; did you mean '{elsewhere[0]}'?" if elsewhere else "")


def _explained(place: Iterable[Any], known: dict[str, Any]) -> list[str]:
    """The key at a place, or the table around it if the reference does not have the key. Empty if
    it has neither."""
    parts = [part for part in place if isinstance(part, str)]
    names = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return [name for name in names if name in known][:1]


def _shown(value: Any) -> str:
    text = keys.toml(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
