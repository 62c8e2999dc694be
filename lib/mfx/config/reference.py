"""The reference of the config: what each key may be, what it means, an example; from the models."""

from __future__ import annotations

import ast
import difflib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from mfx.config import Settings, keys
from mfx.config.messages import PAGE
from mfx.config.table import Table
from mfx.errors import MfxError

Write = Callable[[dict[str, Any]], str]
CLOSE = 0.75
"""How alike names are, from 0 to 1, of which one is suggested for the other."""
WIDTH = 100
"""Most characters on a line of text."""
_INTRO = f"""<!-- Written by `make reference` from the models in lib/mfx/config. Do not edit. -->

# The config: every key

A pipeline is configured by one file, `config.toml`. Its tables are listed here with all their keys:
what a key may be, its default, what it means, and an example. `mfx config` shows the same in a
terminal: `mfx config train` a table, `mfx config train.steps` a key.

Unknown keys and wrong values are errors of one line each, which name the key and its place here,
such as `{PAGE}#train.steps`. Relative paths in the config start at its own folder.
"""


@dataclass(frozen=True)
class Key:
    """A key of the config.

    Args:
        name: Its dotted name, such as `train.steps`.
        kind: What it may be, in words.
        default: In words; TOML where it is a value.
        meaning: Paragraphs, in Markdown.
        example: TOML, with the table's header.
    """

    name: str
    kind: str
    default: str
    meaning: str
    example: str

    @property
    def gist(self) -> str:
        """The first sentence of the meaning."""
        return " ".join(self.meaning.split()).partition(". ")[0].rstrip(".") + "."


@dataclass(frozen=True)
class Section:
    """A table of the config: its name, such as `train`, what it is for, and its keys, those of
    tables in it behind their own."""

    name: str
    meaning: str
    keys: tuple[Key, ...]


def sections() -> list[Section]:
    """The whole reference."""
    return [
        Section(
            name, _paragraphs(kind.__doc__), tuple(_keys(kind, name, partial(_lines, f"[{name}]")))
        )
        for name, field in keys.fields(Settings).items()
        for kind in keys.tables(field.annotation)
    ]


def find(name: str) -> Section | list[Key]:
    """The part of the reference about a table or key.

    Args:
        name: A table such as `train`, a key such as `train.steps`, or a key's last part; places in
            lists, which error messages have, are passed over.

    Returns:
        The table, or the keys that are meant, with those in them.

    Raises:
        MfxError: There is no such table or key.
    """
    asked = ".".join(part for part in name.strip("[] ").split(".") if not part.isdigit())
    tables = {section.name: section for section in sections()}
    if asked in tables:
        return tables[asked]
    known = {key.name: key for section in tables.values() for key in section.keys}
    found = [key for n, key in known.items() if n == asked or n.startswith(f"{asked}.")]
    found = found or [key for n, key in known.items() if n.endswith(f".{asked}")]
    if not found:
        raise MfxError(
            f"the config has no key '{name}'{_near(asked, [*known, *tables])}",
            "Run `mfx config` for a list of all keys.",
        )
    return found


def page() -> str:
    """The reference as a page in Markdown."""
    parts = [_INTRO, *(f"- {_link(s.name)}: {s.meaning.splitlines()[0]}" for s in sections())]
    for section in sections():
        parts += ["", f"## [{section.name}]", "", filled(section.meaning)]
        for key in section.keys:
            parts += ["", f'### <a id="{key.name}"></a>{key.name}', "", filled(key.meaning), ""]
            parts += [f"- Type: {key.kind}", f"- Default: {key.default}"]
            parts += ["", "```toml", key.example, "```"]
    return "\n".join(parts) + "\n"


def _link(name: str) -> str:
    return f"[{name}](#{name})"


def filled(paragraphs: str) -> str:
    """Text with lines of at most WIDTH characters."""
    wrapped = [
        textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)
        for text in paragraphs.split("\n\n")
    ]
    return "\n\n".join(wrapped)


def _near(asked: str, names: list[str]) -> str:
    """The names most like what was asked for, by all of it or by the last part."""
    last = {name: name.rpartition(".")[2] for name in names}
    close = difflib.get_close_matches(asked, names, 3, CLOSE)
    ends = difflib.get_close_matches(asked.rpartition(".")[2], list(last.values()), 3, CLOSE)
    found = list(dict.fromkeys([*close, *(n for end in ends for n in names if last[n] == end)]))[:3]
    return f"; did you mean {' or '.join(repr(name) for name in found)}?" if found else ""


def _keys(table: type[Table], prefix: str, write: Write) -> Iterator[Key]:
    """The keys of a table, those that it must have first, each followed by those of tables in it.

    Args:
        table: The table.
        prefix: Its dotted name.
        write: Gives values of the table as TOML.
    """
    texts = _texts(table)
    for name, field in sorted(keys.fields(table).items(), key=lambda key: not key[1].is_required()):
        dotted = f"{prefix}.{name}"
        value = field.examples[0] if field.examples else None
        example = "" if value is None else _written(dotted, field, value, write)
        yield Key(dotted, keys.words(field), _default(field), texts.get(name, ""), example)
        for inner in keys.tables(field.annotation):
            yield from _keys(inner, dotted, _adding(dotted, field, value, write))


def _written(dotted: str, field: FieldInfo, value: Any, write: Write) -> str:
    """A key's value as TOML; tables have headers of their own, those of a mixed list have not."""
    rows = value if isinstance(value, list) else [value]
    header = _header(dotted, field)
    if header and all(isinstance(row, dict) for row in rows):
        return "\n\n".join(_lines(header, row) for row in rows)
    return write({dotted.rpartition(".")[2]: value})


def _adding(dotted: str, field: FieldInfo, value: Any, write: Write) -> Write:
    """Gives keys of a table in `field` as TOML, beside those of the first table in its example."""
    rows = value if isinstance(value, list) else [value]
    beside = next((row for row in rows if isinstance(row, dict)), {})

    def write_inner(given: dict[str, Any]) -> str:
        made = {**beside, **given}
        is_list = get_origin(field.annotation) is list
        return _written(dotted, field, [made] if is_list else made, write)

    return write_inner


def _header(dotted: str, field: FieldInfo) -> str:
    """The header of a table, or of each table of a list; empty for what is neither."""
    kind, items = field.annotation, get_args(field.annotation)
    if isinstance(kind, type) and issubclass(kind, Table):
        return f"[{dotted}]"
    return f"[[{dotted}]]" if items and items[0] in keys.tables(items[0]) else ""


def _lines(header: str, values: dict[str, Any]) -> str:
    return "\n".join([header, *(f"{name} = {keys.toml(value)}" for name, value in values.items())])


def _default(field: FieldInfo) -> str:
    if stated := keys.extra(field, "default"):
        return stated
    if field.is_required():
        return "none, it must be set"
    value = field.default
    if isinstance(value, Table):
        value = value.model_dump(mode="json")
    return "not set" if value is None else f"`{keys.toml(value)}`"


def _texts(table: type[Table]) -> dict[str, str]:
    """The text below each field of a table.

    Read when they are wanted: pydantic's `use_attribute_docstrings` would read them at every
    import, in each step's process, which took 50 ms of the 190 ms that `import mfx.config` takes.
    """
    found: dict[str, str] = {}
    for kind in reversed(table.__mro__):
        if issubclass(kind, Table):
            (made,) = ast.parse(inspect.getsource(kind)).body
            assert isinstance(made, ast.ClassDef)
            for field, text in pairwise(made.body):
                if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                    found[ast.unparse(field.target)] = _paragraphs(ast.literal_eval(text.value))
    return found


def _paragraphs(text: str | None) -> str:
    """A docstring with each paragraph on one line."""
    return "\n\n".join(" ".join(p.split()) for p in inspect.cleandoc(text or "").split("\n\n"))
