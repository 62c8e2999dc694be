"""The config reference: type, default, meaning and an example of each key, from the models."""

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
"""How similar a known name must be, from 0 to 1, to be suggested for an unknown one."""
WIDTH = 100
"""How many characters a line of text has at most."""
_INTRO = f"""<!-- Written by `make reference` from the models in lib/mfx/config. Do not edit. -->

# The config: every key

A pipeline has one config file, `config.toml`. This page lists its tables with all their keys: what
a key means, its type, its default, and an example. `mfx config` shows the same in a terminal:
`mfx config train` shows a table, `mfx config train.steps` a key.

An unknown key or a wrong value stops a run before it starts. The error has one line for each
mistake, and names the place here that explains the key, such as `{PAGE}#train.steps`.
Relative paths in the config start at the folder that the config is in.
"""


@dataclass(frozen=True)
class Key:
    """A key of the config.

    Args:
        name: Its dotted name, such as `train.steps`.
        kind: Its type in words.
        default: Its default in Markdown.
        meaning: What it means, in Markdown.
        example: An example in TOML, with the header of its table.
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
    """A table of the config.

    Args:
        name: Its name, such as `train`.
        meaning: What it is for, in Markdown.
        keys: Its keys. A key that is a table itself is followed by the keys in it.
    """

    name: str
    meaning: str
    keys: tuple[Key, ...]


def sections() -> list[Section]:
    """All tables of the config."""
    found = []
    for name, field in keys.fields(Settings).items():
        kinds = list(keys.tables(field.annotation))
        write = partial(_lines, f"[{name}]")
        if get_origin(field.annotation) is dict:
            chosen = tuple(key for kind in kinds for key in _keys_of_kind(kind, name, write))
            found.append(Section(name, _texts(Settings)[name], chosen))
        else:
            found += [
                Section(name, _paragraphs(kind.__doc__), tuple(_keys(kind, name, write)))
                for kind in kinds
            ]
    return found


def find(name: str) -> Section | list[Key]:
    """Look a table or key up.

    Args:
        name: A table such as `train`, a key such as `train.steps`, or a key's last part such as
            `steps`. Positions in lists, which error messages have, are ignored.

    Returns:
        The table; or all keys of that name, each followed by the keys in it.

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
    """A question whether a similar name was meant, compared as a whole and by its last part."""
    last = {name: name.rpartition(".")[2] for name in names}
    close = difflib.get_close_matches(asked, names, 3, CLOSE)
    ends = difflib.get_close_matches(asked.rpartition(".")[2], list(last.values()), 3, CLOSE)
    found = list(dict.fromkeys([*close, *(n for end in ends for n in names if last[n] == end)]))[:3]
    return f"; did you mean {' or '.join(repr(name) for name in found)}?" if found else ""


def _keys(table: type[Table], prefix: str, write: Write) -> Iterator[Key]:
    """The keys of a table, required ones first.

    Args:
        table: The table.
        prefix: Its dotted name.
        write: Turns keys and values of this table into TOML.
    """
    texts = _texts(table)
    for name, field in sorted(keys.fields(table).items(), key=lambda key: not key[1].is_required()):
        dotted = f"{prefix}.{name}"
        value = field.examples[0] if field.examples else None
        example = "" if value is None else _written(dotted, field, value, write)
        yield Key(dotted, keys.words(field), _default(field), texts.get(name, ""), example)
        for inner in keys.tables(field.annotation):
            yield from _keys(inner, dotted, _adding(dotted, field, value, write))


def _keys_of_kind(table: type[Table], prefix: str, write: Write) -> Iterator[Key]:
    """A table that a key `kind` chooses, and the keys in it.

    Args:
        table: The table, with a KIND and an EXAMPLE: a name that a user may choose, and its value.
        prefix: The dotted name of the table that the names are in.
        write: Turns names and values into TOML.
    """
    dotted = f"{prefix}.{table.KIND}"  # type: ignore[attr-defined]
    ((name, value),) = table.EXAMPLE.items()  # type: ignore[attr-defined]
    beside = {"kind": value} if isinstance(value, str) else value

    def write_inner(given: dict[str, Any]) -> str:
        return write({name: {**beside, **given}})

    kind = "text" if isinstance(value, str) else "a table"
    meaning = _paragraphs(table.__doc__)
    yield Key(dotted, f"{kind}, in {prefix}", "not set", meaning, write({name: value}))
    yield from _keys(table, dotted, write_inner)


def _written(dotted: str, field: FieldInfo, value: Any, write: Write) -> str:
    """The value of a key as TOML: below a header of its own if it is a table or a list of tables,
    otherwise as a line of the table that the key is in."""
    rows = value if isinstance(value, list) else [value]
    header = _header(dotted, field)
    if header and all(isinstance(row, dict) for row in rows):
        return "\n\n".join(_lines(header, row) for row in rows)
    return write({dotted.rpartition(".")[2]: value})


def _adding(dotted: str, field: FieldInfo, value: Any, write: Write) -> Write:
    """A function that turns keys of the table in `field` into TOML.

    It adds them to the table in the field's example, as a table may not be valid with one key; or
    to what the inner field says that stands beside it.
    """
    rows = value if isinstance(value, list) else [value]
    beside = next((row for row in rows if isinstance(row, dict)), {})
    inner = {n: f for t in keys.tables(field.annotation) for n, f in keys.fields(t).items()}

    def write_inner(given: dict[str, Any]) -> str:
        (name,) = given
        stated: Any = inner[name].json_schema_extra or {}
        made = {**stated.get("beside", beside), **given}
        is_list = get_origin(field.annotation) is list
        return _written(dotted, field, [made] if is_list else made, write)

    return write_inner


def _header(dotted: str, field: FieldInfo) -> str:
    """The header of a table or of each table in a list; empty if the field is neither."""
    kind, items = field.annotation, get_args(field.annotation)
    if type(None) in items:  # It need not be set.
        kind, items = items[0], get_args(items[0])
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
    """The texts below the fields of a table, by the fields' names.

    Pydantic's `use_attribute_docstrings` would read them at each import, in the process of every
    step: measured, it added 55 ms to the 140 ms of `import mfx.config`.
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
    """A docstring with each paragraph as one line."""
    return "\n\n".join(" ".join(p.split()) for p in inspect.cleandoc(text or "").split("\n\n"))
