"""The interface of a kind of input file (`Source`). Each kind is a module of this package."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from mfx.config import Reading
from mfx.ingest.infer_types import Column


@dataclass
class Tally:
    """Counts of a file's records and cells.

    Args:
        records: Records in the file, counted in its text and not by the parser.
        rejected: Records left out, by reason.
        missing: Cells taken as missing, by column and text.
        rounded: Cells with a whole number that float32 changes, by column and one such text.
    """

    records: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    missing: Counter[tuple[str, str]] = field(default_factory=Counter)
    rounded: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Add the counts of another tally."""
        self.records += other.records
        self.rejected += other.rejected
        self.missing += other.missing
        self.rounded += other.rounded


class Source(Protocol):
    """One kind of input file. A module is a source if it has these functions and constants.

    All sources are imported whenever files are looked for, so import heavy packages inside the
    functions.

    Attributes:
        TITLE: The kind's name in messages, such as "CSV".
        SUFFIXES: The endings of such files' names, in lower case. Two kinds cannot share an ending.
    """

    TITLE: str
    SUFFIXES: tuple[str, ...]

    def takes(self, name: str, head: bytes) -> bool:
        """Whether a file is of this kind.

        Args:
            name: The file's name, without its folder.
            head: The file's first 4096 bytes, or all if it has fewer.
        """

    def header(self, path: Path, how: Reading) -> list[str]:
        """The names of a file's columns, in order.

        Raises:
            MfxError: The file cannot be read, or its columns cannot be found.
        """

    def look(self, path: Path, how: Reading, found: dict[str, Column]) -> None:
        """Add a file's cells to `found`, which holds each column's findings from other files.

        Raises:
            MfxError: The file cannot be read.
        """

    def batches(
        self, path: Path, types: Mapping[str, str], how: Reading, tally: Tally
    ) -> Iterator[pa.RecordBatch]:
        """A file's rows, in bounded memory.

        Args:
            path: The file on disk.
            types: Each column's type, a name in `columns.types.TYPES`.
            how: How files are read.
            tally: Gets the counts of the file's records and cells.

        Yields:
            Batches with the columns of `types`, in these types, in the file's order. Missing values
            and NaN are null.

        Raises:
            MfxError: A cell does not fit its type; the message names file, row, column and value.
        """
