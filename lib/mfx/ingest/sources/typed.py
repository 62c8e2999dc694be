"""Files whose columns have types: told, looked at and read alike, whatever their format.

A format brings its rows as Arrow batches; types become those of tf.Example by the rules in
`arrow_types`. `null_values` under `[data]` hold for single values, whatever their type; the empty
text is missing only where a column's own list names it, as these files have nulls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mfx.columns.types import list_kind
from mfx.config import Reading
from mfx.errors import MfxError
from mfx.ingest.sources import arrow_types, conversions
from mfx.ingest.sources.base import Tally, checked_names
from mfx.ingest.sources.cells import Rows, typed_batch


@dataclass(frozen=True)
class Table:
    """A file, opened by its format.

    Args:
        where: Its path, for messages.
        schema: Its columns.
        records: How many rows it says it has; None where a format does not say.
        batches: Its rows in bounded memory; of the named columns at least, or of all.
        first: How many rows of the file come before them, where this is a part of it.
    """

    where: str
    schema: pa.Schema
    records: int | None
    batches: Callable[[list[str] | None], Iterator[pa.RecordBatch]]
    first: int = 0


BATCH_BYTES = 32 * 2**20
"""Bytes of rows that are worked on at a time."""
_MOST_ROWS = 65536


NO_COLUMN = "\0"
"""Names the column of a batch whose rows have no features at all."""


def rows_of_batch(rows: int, size: int) -> int:
    """How many rows a batch may have, of so many that take `size` bytes together."""
    return max(1, min(_MOST_ROWS, BATCH_BYTES * rows // max(size, 1)))


def cut(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """A batch in parts of about BATCH_BYTES."""
    size = rows_of_batch(batch.num_rows, batch.nbytes)
    for start in range(0, batch.num_rows, size):
        yield batch.slice(start, size)


@contextmanager
def one_error(path: Path, title: str, *kinds: type[Exception]) -> Iterator[None]:
    """What a format's reader raises on a damaged file, as one `MfxError`.

    Args:
        path: The file.
        title: Its format.
        kinds: What the reader raises.
    """
    try:
        yield
    except MfxError:
        raise
    except kinds as error:
        words = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise MfxError(
            f"{path}: cannot read it as {title}: {words.splitlines()[0]}",
            "The file may be damaged or cut off: get it again, or write it anew.",
        ) from None


def header(table: Table) -> list[str]:
    """The names of a file's columns.

    Raises:
        MfxError: It has none; or a name is empty, used twice or has spaces around it; or a column
            is of a type that no rule is for.
    """
    names = checked_names(table.where, table.schema.names)
    for field in table.schema:
        _rule(table.where, field)
    return names


@dataclass
class Seen:
    """What is known of a column from its type and, where that is not enough, from its values.

    Args:
        where: The first file with values in it.
        type: Its type there, in words.
        base: What the rule makes of it: int64, float64, float32 or bytes; "" if nothing tells.
        listed: Whether rows have lists.
        whole: Whether all its numbers are whole and within int64.
        lost: How many of them are other whole numbers as float32.
        wide: Whether there are whole numbers beyond int64.
        fault: What keeps it from having a type of its own, if anything.
    """

    where: str
    type: str
    base: str = ""
    listed: bool = False
    whole: bool = True
    lost: int = 0
    wide: bool = False
    fault: MfxError | None = None

    @property
    def kind(self) -> str | None:
        """The column's type, a name in `columns.types.TYPES`; None if there is no value.

        Raises:
            MfxError: Files, or rows, have values of different types.
        """
        if self.fault:
            raise self.fault
        kind = "bytes" if self.wide else self.base
        if kind == "float64":
            kind = "int64" if self.whole and self.lost else "float32"
        return (list_kind(kind) if self.listed else kind) or None

    def note(self, name: str) -> str:
        """A line on a type that may surprise; "" for any other."""
        if self.wide:
            return f"column {name!r} is text, as some of its whole numbers are beyond int64"
        if self.base == "float64" and self.whole and self.lost:
            return (
                f"column {name!r} is int64: all its values are whole, and as float32 "
                f"{self.lost:,} of them would become other numbers"
            )
        return ""

    def join(self, name: str, here: Seen, mixed: bool = False) -> None:
        """Take in what another file, or part of one, has of the column.

        Args:
            name: The column's.
            here: The other.
            mixed: Whether rows of one file may differ in type: numbers beside text are text then,
                and a list of one value stands beside lists of several.
        """
        if not self.base or not here.base:
            if here.base:
                self.where, self.type, self.base = here.where, here.type, here.base
            self.listed = self.listed or here.listed
            return
        bases = {self.base, here.base}
        same = len(bases) == 1 or bases <= {"float32", "float64"}
        if mixed or (same and self.listed == here.listed):
            self.listed = self.listed or here.listed
            self.base = next(base for base in ("bytes", "float64", *bases) if base in bases)
        else:
            beside = f" in {self.where}" if self.where != here.where else " in other rows"
            self.fault = MfxError(
                f"{here.where}: column {name!r} is {here.type}, but {self.type}{beside}",
                "Write all rows with the same type, or give the feature its type in the schema.",
            )

    def add(self, made: pa.Array) -> None:
        """Look at values, as the rule made them."""
        if pa.types.is_binary(made.type):
            self.wide = self.wide or self.base in ("int64", "float64")
            return
        values = np.asarray(made.drop_null())
        self.lost += int(conversions.is_lost(values).sum())
        if values.dtype.kind == "f":
            finite = values[np.isfinite(values)]
            self.whole = self.whole and bool((np.floor(finite) == finite).all())
            self.whole = self.whole and bool((abs(finite) < 2.0**63).all())


def look(table: Table, found: dict[str, Any]) -> None:
    """Add what a file says of its columns' types to what other files said; see `base.Source`."""
    by_values = declared(table, found)
    for batch in table.batches(by_values) if by_values else ():
        look_at_values(batch, by_values, found)


def declared(table: Table, found: dict[str, Any]) -> list[str]:
    """Add what a file's schema says of its columns' types to `found`.

    Returns:
        The columns whose type depends on their values too, see `look_at_values`.
    """
    by_values = []
    for field in table.schema:
        rule = _rule(table.where, field)
        kind, listed = arrow_types.value_type(field.type)
        here = Seen(table.where, str(field.type), _base(rule, kind), listed)
        found.setdefault(field.name, Seen(table.where, str(field.type))).join(field.name, here)
        if kind == pa.uint64() or pa.types.is_decimal(kind) or here.base == "float64":
            by_values.append(field.name)
    return by_values


def look_at_values(batch: pa.RecordBatch, names: Iterable[str], found: dict[str, Any]) -> None:
    """Add what the values of some columns say of their types to `found`."""
    for name in names:
        values, _ = conversions.split_up(batch.column(batch.schema.get_field_index(name)))
        found[name].add(arrow_types.made(values)[0])


def look_at_rows(
    where: str, parts: Iterable[pa.RecordBatch], found: dict[str, Any], one_is_list: bool
) -> None:
    """The same where rows name their features, so that all of them need to be looked at.

    Args:
        where: The file.
        parts: All its rows; the columns of parts may differ, and their types.
        found: As in `base.Source`.
        one_is_list: Whether a list of one value tells that the column has lists.
    """
    for batch in parts:
        for field, column in zip(batch.schema, batch.columns, strict=True):
            if field.name == NO_COLUMN:
                continue
            rule = _rule(where, field)
            kind, listed = arrow_types.value_type(field.type)
            values, counts = conversions.split_up(column)
            listed = counts is not None and (one_is_list or bool((counts > 1).any()))
            here = Seen(where, str(kind), _base(rule, kind), listed)
            seen = found.setdefault(field.name, Seen(where, str(kind)))
            seen.join(field.name, here, mixed=one_is_list or seen.base == here.base)
            if not pa.types.is_null(kind):
                seen.add(arrow_types.made(values)[0])


def _base(rule: arrow_types.Rule, kind: pa.DataType) -> str:
    if pa.types.is_null(kind):
        return ""
    return conversions.short_name(rule.make(pa.array([], kind))[0].type)


def _rule(where: str, field: pa.Field) -> arrow_types.Rule:
    kind, _ = arrow_types.value_type(field.type)
    rule = arrow_types.rule_of(kind)
    if rule is None:
        raise MfxError(
            f"{where}: column {field.name!r} is {_short(field.type)}, which no tf.Example can hold",
            arrow_types.why_refused(field.type, field.name),
        )
    return rule


def batches(
    table: Table, types: Mapping[str, str], how: Reading, tally: Tally
) -> Iterator[pa.RecordBatch]:
    """A file's rows with the types of `types`; see `base.Source`."""
    rows = 0
    for batch in table.batches(None):
        yield typed_batch(Rows(batch, table.first + rows), table.where, types, how, tally)
        rows += batch.num_rows
    if table.records is not None and rows != table.records:
        raise MfxError(
            f"{table.where}: says that it has {table.records:,} rows, but holds {rows:,}",
            "The file is damaged: get it again.",
        )


def _short(kind: pa.DataType) -> str:
    return text if len(text := str(kind)) <= 80 else text[:80] + "…"
