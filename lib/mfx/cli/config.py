"""`mfx config`: what the keys of a config mean."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mfx.cli.text import command, cut, table

if TYPE_CHECKING:
    from mfx.config.reference import Key, Section


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the parser."""
    config = command(
        commands,
        "config",
        _config,
        "explain the keys of config.toml",
        "mfx config train.steps",
    )
    config.add_argument(
        "keys",
        nargs="*",
        metavar="KEY",
        help="a table such as train, or a key such as train.steps or steps; by default all",
    )
    config.add_argument("--markdown", metavar="FILE", help="write all of it as a page")


def _config(given: argparse.Namespace) -> str:
    from mfx.config import reference
    from mfx.errors import MfxError

    if given.markdown:
        try:
            Path(given.markdown).write_text(reference.page(), encoding="utf-8", newline="\n")
        except OSError as error:
            raise MfxError(f"{given.markdown}: cannot write the page: {error.strerror}") from None
        return f"wrote {given.markdown}"
    if not given.keys:
        return "\n\n".join(map(_section, reference.sections()))
    found = [reference.find(name) for name in given.keys]
    return "\n\n".join(
        "\n\n".join(map(_key, part)) if isinstance(part, list) else _section(part) for part in found
    )


def _section(section: Section) -> str:
    """A table of the config: what it is for, and a line for each key."""
    from mfx.config.reference import filled

    rows = [(key.name, cut(_plain(key.default), 30), cut(key.gist, 80)) for key in section.keys]
    shown = table(rows, ("key", "default", "meaning"))
    return f"[{section.name}]\n{filled(section.meaning)}\n\n{shown}"


def _key(key: Key) -> str:
    """All about a key."""
    from mfx.config.reference import filled

    first, *rest = key.example.splitlines()
    rows = [("type", key.kind), ("default", _plain(key.default)), ("example", first)]
    shown = table([*rows, *(("", line) for line in rest)])
    return f"{key.name}\n{filled(key.meaning)}\n\n{shown}"


def _plain(markdown: str) -> str:
    return markdown.replace("`", "")
