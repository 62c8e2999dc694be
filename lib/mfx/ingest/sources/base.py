"""What a kind of input file is to the steps; each is a module of this package."""

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
    """What became of a file's records and cells.

    Args:
        records: Records in the file, counted in its text and not by the parser.
        rejected: Those left out, by reason.
        missing: Cells taken as missing, by column and text.
        rounded: Cells that are another whole number as float32, by column and one such text.
    """

    records: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    missing: Counter[tuple[str, str]] = field(default_factory=Counter)
    rounded: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Count what the other has counted as well."""
        self.records += other.records
        self.rejected += other.rejected
        self.missing += other.missing
        self.rounded += other.rounded


class Source(Protocol):
    """One kind of file. A module is one, with these as its functions and constants.

    It is imported whenever files are looked for: what is heavy is imported in the functions.

    Attributes:
        TITLE: The kind, for messages, such as "CSV".
        SUFFIXES: How names of such files in a folder end, in lower case; each of one kind only.
    """

    TITLE: str
    SUFFIXES: tuple[str, ...]

    def takes(self, name: str, head: bytes) -> bool:
        """Whether a file is of this kind.

        Args:
            name: The file's, without its folder.
            head: Its first 4096 bytes, or all.
        """

    def header(self, path: Path, how: Reading) -> list[str]:
        """The names of a file's columns, in order.

        Raises:
            MfxError: The file cannot be read, or its columns cannot be told.
        """

    def look(self, path: Path, how: Reading, found: dict[str, Column]) -> None:
        """Add what a file's columns hold to what was found in other files, by column.

        Raises:
            MfxError: The file cannot be read.
        """

    def batches(
        self, path: Path, types: Mapping[str, str], how: Reading, tally: Tally
    ) -> Iterator[pa.RecordBatch]:
        """A file's rows, in bounded memory.

        Args:
            path: On disk.
            types: Each column's type, a name in `columns.types.TYPES`.
            how: How files are read.
            tally: Counts the file's records, and what became of them.

        Yields:
            Batches whose columns are those of `types` in the file's order and have these types;
            what is missing, NaN too, is null.

        Raises:
            MfxError: Names file, row, column and value of the first cell that does not fit.
        """
