"""What all commands use: how a command is declared, and its output as tables, lines and JSON.

Tables are made here: `rich` would add 60 ms to the 700 ms of processor time that `mfx ls` takes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Any

from mfx.figures import NONE

GAP = 2
"""Spaces between two columns of a table."""
NARROWEST = 12
"""Narrower than this no column of a table is made."""


def command(
    commands: argparse._SubParsersAction,
    name: str,
    run: Callable[[argparse.Namespace], str],
    help: str,
    example: str,
) -> argparse.ArgumentParser:
    """Declare a command.

    Args:
        commands: The parser's commands, to which it is added.
        name: The command's name.
        run: What it does; returns the text to print.
        help: What it does, in a line that begins with a small letter.
        example: A call of it.
    """
    parser = commands.add_parser(
        name,
        help=help,
        description=f"{help[0].upper()}{help[1:]}.",
        epilog=f"example: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run_command=run)
    return parser


def which(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which of the project's pipelines is meant."""
    parser.add_argument("--pipeline", help="the pipeline's name; not needed if there is only one")
    parser.add_argument("--flow", default="", help="or its flow's name, such as Pipeline")


def where(parser: argparse.ArgumentParser, model: bool = False) -> None:
    """Add the options that say which runs are meant, and with `model` which model."""
    which(parser)
    parser.add_argument(
        "--namespace", help="look for runs in this Metaflow namespace, such as user:ada"
    )
    parser.add_argument("--all", action="store_true", help="look for runs in all namespaces")
    if model:
        parser.add_argument("--model", help="the model's name; by default the latest run's")
        parser.add_argument("--branch", default="", help="@project branch; by default production")
        parser.add_argument(
            "--destination",
            help="where the model is pushed; by default where its latest run pushes",
        )


def model_of(given: argparse.Namespace) -> Any:
    """The model that the options of `where(model=True)` name, as a `registry.Place`."""
    from mfx import registry

    if given.destination and given.model:
        return registry.Place(given.destination, given.model, given.branch)
    found = registry.find_place(given.model, given.flow, given.branch)
    destination = given.destination or found.destination
    return registry.Place(destination, found.name, given.branch)


def table(rows: Sequence[Sequence[Any]], headers: Sequence[str] = ()) -> str:
    """Text in columns: numbers are aligned to the right, all else to the left.

    In a terminal that is too narrow, long text continues below, in its own column. Elsewhere, such
    as in a pipe, each row is one line.
    """
    texts = [[str(cell) for cell in row] for row in ([headers] if headers else []) + list(rows)]
    if not texts:
        return ""
    widths = [max(map(_width, column)) for column in zip(*texts, strict=True)]
    right = [bool(rows) and all(_is_number(row[i]) for row in rows) for i in range(len(widths))]
    if sys.stdout.isatty():
        room = shutil.get_terminal_size().columns - GAP * (len(widths) - 1)
        widths = _fitted(widths, [i for i, number in enumerate(right) if not number], room)
    lines = []
    for row in texts:
        folded = [_fold(cell, width) for cell, width in zip(row, widths, strict=True)]
        for parts in zip_longest(*folded, fillvalue=""):
            padded = (
                " " * (width - _width(part)) + part
                if to_right
                else part + " " * (width - _width(part))
                for part, width, to_right in zip(parts, widths, right, strict=True)
            )
            lines.append((" " * GAP).join(padded).rstrip())
    return "\n".join(lines)


def _fitted(widths: Sequence[int], text: Sequence[int], room: int) -> list[int]:
    """Widths that fit into a line: the widest columns of text give way, down to NARROWEST."""
    fitted = list(widths)
    while sum(fitted) > room and text:
        widest = max(text, key=lambda column: fitted[column])
        if fitted[widest] <= NARROWEST:
            break
        fitted[widest] -= 1
    return fitted


def _fold(cell: str, width: int) -> list[str]:
    """A cell's text on as many lines as it needs."""
    if _width(cell) <= width:
        return [cell]
    return textwrap.wrap(cell, width if cell.isascii() else width // 2, break_on_hyphens=False)


def _width(text: str) -> int:
    """How many columns of a terminal a text takes; Chinese characters, for one, take two each."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _is_number(cell: Any) -> bool:
    text = str(cell).strip("+-~…*").replace(",", "").replace(".", "").replace("e-", "")
    return text.isdigit() or cell in (NONE, "")


def moment(iso: str) -> str:
    """A time, written in ISO 8601, as local time to the second; NONE for ''."""
    return f"{datetime.fromisoformat(iso).astimezone():%Y-%m-%d %H:%M:%S}" if iso else NONE


def cut(text: Any, limit: int = 60) -> str:
    """The text as one line of at most `limit` characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def as_json(value: Any) -> str:
    """Dataclasses, lists, times and what they hold, as JSON."""
    from mfx.artifacts import SliceKey

    def plain(value: Any) -> Any:
        if isinstance(value, SliceKey):
            return str(value)
        if is_dataclass(value) and not isinstance(value, type):
            return {field.name: getattr(value, field.name) for field in fields(value)}
        return value.isoformat() if isinstance(value, datetime) else str(value)

    return json.dumps(value, indent=2, default=plain)


def some(lines: Iterable[str], limit: int, rest: str = "more") -> list[str]:
    """At most `limit` lines, and then one that says how many more there are."""
    found = list(lines)
    return found if len(found) <= limit else [*found[:limit], f"… {len(found) - limit} {rest}"]
