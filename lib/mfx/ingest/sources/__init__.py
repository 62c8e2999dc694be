"""The kinds of input files: one module for each, and functions that find a file's kind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mfx import plugins
from mfx.ingest.sources.base import Source
from mfx.ingest.sources.compression import blocks, compression_of
from mfx.plugins import Registry

SOURCES: Registry[Source] = Registry(plugins.SOURCES, "source")
if TYPE_CHECKING:  # Checks that each module is a `Source`.
    from mfx.ingest.sources import arrow, avro, csv, jsonl, parquet, tfrecord

    _own: tuple[Source, ...] = (arrow, avro, csv, jsonl, parquet, tfrecord)
_TEXT = "csv"
"""The source for files that no other source takes. Its messages say what is wrong with a file."""
HEAD = 4096
"""Bytes at a file's begin that tell its kind."""


def known() -> list[Source]:
    """All kinds.

    Raises:
        MfxError: A source from another package cannot be loaded.
    """
    return [SOURCES.get(name) for name in SOURCES.names()]


def source_of(path: Path) -> Source:
    """The kind of a file on disk, found by its name and first bytes.

    Raises:
        MfxError: The file cannot be read.
    """
    others = [SOURCES.get(name) for name in SOURCES.names() if name != _TEXT]
    if others:
        head = next(blocks(path, compression_of(path), HEAD), b"")
        for source in others:
            if source.takes(path.name, head):
                return source
    return SOURCES.get(_TEXT)


def suffixes() -> tuple[str, ...]:
    """The name endings of all kinds of input files, in lower case; any case is accepted."""
    return tuple(suffix for source in known() for suffix in source.SUFFIXES)


def titles() -> str:
    """All kinds, for messages: "CSV, Parquet or Avro"."""
    *others, last = (source.TITLE for source in known())
    return f"{', '.join(others)} or {last}" if others else last
