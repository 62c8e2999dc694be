"""Kinds of input files: one module for each, and which of them a file is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mfx import plugins
from mfx.ingest.sources.base import Source
from mfx.ingest.sources.compression import blocks
from mfx.plugins import Registry

SOURCES: Registry[Source] = Registry(plugins.SOURCES, "source")
if TYPE_CHECKING:  # that a module is one
    from mfx.ingest.sources import csv

    _csv: Source = csv
_TEXT = "csv"
"""What a file is taken for that no other source takes: it says what is wrong with it."""
_HEAD = 4096


def known() -> list[Source]:
    """All kinds.

    Raises:
        MfxError: Another package's cannot be loaded.
    """
    return [SOURCES.get(name) for name in SOURCES.names()]


def source_of(path: Path) -> Source:
    """The kind of a file on disk, by its name and first bytes.

    Raises:
        MfxError: It cannot be read.
    """
    others = [SOURCES.get(name) for name in SOURCES.names() if name != _TEXT]
    if others:
        head = next(blocks(path, "none", _HEAD), b"")
        for source in others:
            if source.takes(path.name, head):
                return source
    return SOURCES.get(_TEXT)


def suffixes() -> tuple[str, ...]:
    """How names of a folder's input files end, in capitals or not."""
    return tuple(suffix for source in known() for suffix in source.SUFFIXES)


def titles() -> str:
    """All kinds, for messages: "CSV", or "CSV or Parquet"."""
    return " or ".join(source.TITLE for source in known())
