"""The keys of a config: their names, their types in words, and values as TOML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import AfterValidator
from pydantic.fields import FieldInfo

from mfx.config.table import Spelled, Table

_WORDS = {
    bool: ("true or false", "true or false"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("text", "texts"),
}
"""Each type in words, for one value and for several."""


def fields(table: type[Table]) -> dict[str, FieldInfo]:
    """The keys of a table, by the names that a config gives them."""
    found = {field.alias or name: field for name, field in table.model_fields.items()}
    found.pop("home", None)
    if hasattr(table, "KIND"):
        found.pop("kind")  # It chooses the table.
    return found


def walk(table: type[Table], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """All keys below a table, each by its dotted name, such as `train.steps`.

    Tables that a key `kind` chooses are keys too, such as `features.zscore`.
    """
    for name, field in fields(table).items():
        yield prefix + name, field
        for inner in tables(field.annotation):
            below = prefix + name
            if hasattr(inner, "KIND"):
                below = f"{below}.{inner.KIND}"
                yield below, FieldInfo.from_annotation(inner)
            yield from walk(inner, f"{below}.")


def tables(kind: Any) -> Iterator[type[Table]]:
    """The tables in a field's type, however deep."""
    if isinstance(kind, type) and issubclass(kind, Table):
        yield kind
    for inner in get_args(kind):
        yield from tables(inner)


def find(table: type[Table], place: Sequence[str | int]) -> FieldInfo:
    """The field that describes a place in a table.

    Args:
        table: The table.
        place: Keys and positions in lists. A part that fits nothing is skipped.
    """
    found = FieldInfo.from_annotation(table)
    for part in place:
        kind = found.annotation
        known = {name: field for inner in tables(kind) for name, field in fields(inner).items()}
        if get_origin(kind) is list and isinstance(part, int):
            found = FieldInfo.from_annotation(get_args(kind)[0])
        elif get_origin(kind) is dict:
            found = FieldInfo.from_annotation(get_args(kind)[1])
        elif part in known:
            found = known[str(part)]
    return found


def words(field: FieldInfo, several: bool = False) -> str:
    """The type of a field in words, such as "a whole number, at least 1".

    Args:
        field: The field.
        several: Whether the words are about the items of a list or table.
    """
    kind, origin = field.annotation, get_origin(field.annotation)
    if stated := extra(field, "words"):
        return stated
    if origin in (Union, UnionType):
        choices = [FieldInfo.from_annotation(k) for k in get_args(kind) if k is not type(None)]
        said = " or ".join(words(choice, several) for choice in choices)
    elif origin is Literal:
        *first, last = map(toml, get_args(kind))
        said = f"{', '.join(first)} or {last}"
    elif origin is list:
        some = "one or more " if any(isinstance(mark, MinLen) for mark in field.metadata) else ""
        item = words(FieldInfo.from_annotation(get_args(kind)[0]), True)
        said = f"{'lists' if several else 'a list'} of {some}{item}"
    elif origin is dict:
        value = get_args(kind)[1]
        of = "" if value is Any else f" of {words(FieldInfo.from_annotation(value), True)}"
        said = ("tables" if several else "a table") + of
    elif kind in _WORDS:
        said = _WORDS[kind][several]
    else:
        said = "tables" if several else "a table"
    return said + _limits(field, several)


def extra(field: FieldInfo, name: str) -> str:
    """Words that a field states itself because its type cannot give them; or ''."""
    stated = field.json_schema_extra
    return str(stated.get(name, "")) if isinstance(stated, dict) else ""


def _limits(field: FieldInfo, several: bool) -> str:
    """What a value must fulfil besides having the type, such as ", at least 1"."""
    bounds = []
    for mark in field.metadata:
        if isinstance(mark, AfterValidator) and isinstance(mark.func, Spelled):
            return f" of {mark.func.words}"
        bounds += [f"above {mark.gt}"] if isinstance(mark, Gt) else []
        bounds += [f"at least {mark.ge}"] if isinstance(mark, Ge) else []
        bounds += [f"at most {mark.le}"] if isinstance(mark, Le) else []
    return f", {'each ' if several else ''}{' and '.join(bounds)}" if bounds else ""


def toml(value: Any) -> str:
    """A value as it is written in a config, on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        inner = ", ".join(f"{quoted(name)} = {toml(inner)}" for name, inner in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    return "null" if value is None else str(value)  # None is only in a config given as JSON


def quoted(name: str) -> str:
    """A key as it is written in a config: in quotes, where its characters need them."""
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else toml(name)
