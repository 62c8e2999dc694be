"""Data that are no files: seen in `start`, read in `ingest`.

Their identity for a run's lineage is the hash of their rows. To have it before `ingest`, where it
decides what is reused, `start` reads all rows once, as it reads files. A hash of a query's text
would be cheaper, but a run would then take over old rows after the table has changed. `ingest`
hashes what it reads once more, and stops if it is not what `start` saw.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from mfx.artifacts import SourceFile
from mfx.config import Data, Reading, Settings
from mfx.errors import MfxError
from mfx.ingest.outside import own, sql
from mfx.ingest.outside.base import Outside, Place
from mfx.ingest.outside.contents import Contents
from mfx.ingest.sources import typed
from mfx.ingest.sources.base import FOR_SOME, Tally

KINDS: Mapping[str, Outside] = {"query": sql, "source": own}
"""By the key under `[data]` that asks for it."""


def kind_of(data: Data) -> str | None:
    """The key under `[data]` that says where rows come from; None if they come from files."""
    return next((key for key in KINDS if getattr(data, key) is not None), None)


def look(settings: Settings, kind: str, found: dict[str, Any]) -> list[SourceFile]:
    """Read all rows once, for their types and their hashes.

    Args:
        settings: The config.
        kind: A name in KINDS.
        found: Gets what is known of each column, see `sources.base.Source.look`.

    Returns:
        The pieces that have rows.

    Raises:
        MfxError: Rows cannot be read, columns differ or cannot be had, or there are no rows.
    """
    _check_options(settings.data, kind)
    pieces: list[SourceFile] = []
    first: tuple[str, list[str]] | None = None
    for piece in KINDS[kind].pieces(settings):
        contents = Contents(piece.name)
        place = Place(piece.name, settings.resolve)
        rows = contents.noting(KINDS[kind].batches(piece.told, place))
        for number, batch in enumerate(rows):
            table = typed.Table(piece.name, batch.schema, None, lambda _: iter(()))
            if number == 0:
                names = typed.header(table)
                first = first or (piece.name, names)
                _check_names(piece.name, names, *first)
                by_values = typed.declared(table, found)
            typed.look_at_values(batch, by_values, found)
        if contents.rows:
            told = (kind, piece.told)
            pieces.append(SourceFile(piece.name, contents.sha256, contents.size, told=told))
    if not pieces:
        raise MfxError(
            f"data.{kind}: gives no rows", "Expected at least one row; see what it reads."
        )
    return pieces


def batches(
    piece: SourceFile, types: Mapping[str, str], how: Reading, tally: Tally, place: Place
) -> Iterator[pa.RecordBatch]:
    """The rows of a piece with the types of `types`; see `sources.base.Source.batches`.

    Raises:
        MfxError: They cannot be read, do not fit, or are not those that `start` saw.
    """
    assert piece.told is not None
    kind, told = piece.told
    contents = Contents(piece.path)
    rows = contents.noting(KINDS[kind].batches(told, place))
    table = typed.Table(piece.path, pa.schema([]), None, lambda _: rows)
    yield from typed.batches(table, types, how, tally)
    if contents.sha256 != piece.sha256:
        raise MfxError(
            f"{piece.path}: its rows changed since this run began, or came in another order",
            "Run again. If the data did not change, sort the rows by columns that tell them apart "
            "(in SQL by ORDER BY), so that they come in the same order each time.",
        )


def _check_options(how: Data, kind: str) -> None:
    for key in FOR_SOME:
        if getattr(how, key) != Reading.model_fields[key].default:
            raise MfxError(
                f"data.{key}: means nothing beside data.{kind}, which has no files",
                f"Remove {key} under [data].",
            )


def _check_names(where: str, here: list[str], first: str, names: list[str]) -> None:
    if here != names:
        differing = sorted(set(names) ^ set(here)) or "their order"
        raise MfxError(
            f"{where}: columns differ from those of {first}: {differing}",
            "All parts of one data set must have the same columns in the same order.",
        )
