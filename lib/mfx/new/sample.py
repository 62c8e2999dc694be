"""A sample of a data set's rows, from all over its files, with the types that they would have."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mfx.artifacts import Part
from mfx.columns.types import kind_of
from mfx.config import Reading
from mfx.errors import MfxError
from mfx.ingest import finding, input_files, sources
from mfx.ingest.infer_types import Column
from mfx.ingest.sources.base import Source, Tally, can_cut

ROWS = 100_000
"""The most rows of a sample."""
FILES = 8
"""The most files that rows are taken from; they are evenly spread."""
PIECES = 16
"""From how many places of a large file rows are taken."""
LARGE = 64 * 2**20
"""Bytes of a file that is large."""
WORDS = ("NA", "N/A", "n/a", "null", "NULL", "None", "?", "-")
"""Texts that mean "missing" in a column whose other values are numbers."""


@dataclass(frozen=True)
class Sample:
    """Rows of a data set.

    Args:
        table: The rows; int64, float64, binary, or lists of them.
        about: About how many rows the whole data set has.
        whole: Whether these are all rows.
        kinds: Each column's type, a name in `columns.types.TYPES`; None where all is missing.
        null_values: Texts that mean "missing", by column, beside the empty one.
    """

    table: pa.Table
    about: int
    whole: bool
    kinds: dict[str, str | None]
    null_values: dict[str, list[str]] = field(default_factory=dict)


def take(where: str) -> Sample:
    """Take a sample, in bounded memory.

    Args:
        where: A file, a folder or a pattern, as `path` under `[data]`.

    Raises:
        MfxError: There are no such files, one cannot be read, or they have no rows.
    """
    found = finding.find([where])
    chosen = [found[n * len(found) // FILES] for n in range(FILES)] if len(found) > FILES else found
    addresses = [file.address for file in chosen]
    most = -(-ROWS // len(chosen))
    tables, whole, share = [], len(chosen) == len(found), 0.0
    of_texts = False
    for _, opened in input_files.each_on_disk(addresses):
        with opened as path:
            source = sources.source_of(path)
            of_texts = _has_texts(source)
            table, part = _of_file(path, source, most)
        whole &= part == 1
        share += part
        tables.append(table)
    table = pa.concat_tables(tables, promote=True)
    if not table.num_rows:
        raise MfxError(f"{where}: a header but no rows", "Expected at least one row.")
    about = round(table.num_rows / max(share, 1e-9) * len(found))
    if of_texts:
        return _typed(table, about, whole)
    kinds = {f.name: _kind(f.type, table[f.name]) for f in table.schema}
    return Sample(_wide(table), about, whole, kinds)


def _of_file(path: Path, source: Source, most: int) -> tuple[pa.Table, float]:
    """Up to `most` rows of a file, and which share of it they are."""
    how = Reading()
    types = _types(path, source, how)
    parts: Sequence[Part | None] = [None]
    if path.stat().st_size > LARGE and can_cut(source):
        parts = source.parts(path, how, path.stat().st_size / PIECES) or [None]
    batches: list[pa.RecordBatch] = []
    cut, of_part = False, -(-most // len(parts))
    for part in parts:
        rows = 0
        for batch in _batches(source, path, types, how, part):
            batches.append(batch.slice(0, of_part - rows))
            rows += batches[-1].num_rows
            if rows >= of_part:
                cut = True
                break
    table = pa.Table.from_batches(batches, batches[0].schema if batches else None)
    if not cut:
        return table, 1.0
    return table, min(1.0, table.num_rows / _about(path, parts[-1], table))


def _about(path: Path, last: Part | None, table: pa.Table) -> float:
    """About how many rows a file has: by the rows before its last part, or by bytes."""
    size = path.stat().st_size
    if last and last.begin:
        return last.rows * size / last.begin
    return table.num_rows * size / table.nbytes


def _batches(
    source: Source, path: Path, types: dict[str, str], how: Reading, part: Part | None
) -> Iterator[pa.RecordBatch]:
    if part and can_cut(source):
        yield from source.batches(path, types, how, Tally(), part)
    else:
        yield from source.batches(path, types, how, Tally())


def _has_texts(source: Source) -> bool:
    """Whether cells are texts, whose types their values tell."""
    return source is sources.SOURCES.get("csv")


def _types(path: Path, source: Source, how: Reading) -> dict[str, str]:
    """Types to read a file with. Cells of CSV are read as the texts that they are."""
    if _has_texts(source):
        return dict.fromkeys(source.header(path, how), "bytes")
    found: dict = {}
    source.look(path, how, found)
    return {name: found[name].kind or "bytes" for name in source.header(path, how)}


def _kind(type_: pa.DataType, column: pa.ChunkedArray) -> str | None:
    return None if column.null_count == len(column) else kind_of(type_)


def _wide(table: pa.Table) -> pa.Table:
    """Fractions as float64, to compute with."""
    columns = [c.cast(pa.float64()) if c.type == pa.float32() else c for c in table.columns]
    return pa.table(columns, names=table.column_names)


def _typed(table: pa.Table, about: int, whole: bool) -> Sample:
    """Cells of CSV with the types that all of a column's cells allow."""
    columns, kinds, nulls = [], {}, {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        texts = column.cast(pa.string()).combine_chunks()
        texts = pa.concat_arrays(texts.chunks) if isinstance(texts, pa.ChunkedArray) else texts
        kinds[name], words = _of_texts(texts)
        if words:
            nulls[name] = words
            texts = pc.if_else(pc.is_in(texts, pa.array(words)), None, texts)
        columns.append(_as(texts, kinds[name]))
    return Sample(pa.table(columns, names=table.column_names), about, whole, kinds, nulls)


def _of_texts(texts: pa.Array) -> tuple[str | None, list[str]]:
    """A column's type, and the words in it that mean "missing"."""
    kind = _seen(texts)
    if kind != "bytes":
        return kind, []
    present = [word for word in WORDS if pc.any(pc.equal(texts, word)).as_py()]
    if present:
        numbers = _seen(texts.filter(pc.invert(pc.is_in(texts, pa.array(present)))))
        if numbers in ("int64", "float32"):
            return numbers, present
    return kind, []


def _seen(texts: pa.Array) -> str | None:
    column = Column()
    for begin in itertools.count(0, 2**14):
        part = texts.slice(begin, 2**14)
        if not len(part):
            return column.kind
        column.add(part)
    raise AssertionError


def _as(texts: pa.Array, kind: str | None) -> pa.Array:
    if kind == "int64":
        # `12.0` is a whole number too.
        return texts.cast(pa.float64()).cast(pa.int64(), safe=False)
    if kind == "float32":
        return texts.cast(pa.float64())
    return texts.cast(pa.binary())
