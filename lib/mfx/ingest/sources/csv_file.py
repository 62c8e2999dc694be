"""A CSV file: its header, and its records in blocks; what is wrong with a record in a message."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mfx.artifacts import Part
from mfx.config import Reading
from mfx.errors import MfxError
from mfx.ingest.sources import csv_dialect, csv_records
from mfx.ingest.sources.base import TOLERATE, check_titles
from mfx.ingest.sources.csv_records import Records

_HEADER_BYTES = 2**16
"""Bytes that are read at a time where only some records are needed."""


class CsvFile:
    """A CSV file, its header already read.

    Args:
        path: The file.
        how: How it is written.

    Attributes:
        head: How many of the first bytes are read to make it, at most.

    Raises:
        MfxError: It cannot be read, is empty or no text, or has a header that cannot be used.
    """

    def __init__(self, path: Path, how: Reading) -> None:
        self.path, self.how = path, how
        self.dialect = csv_dialect.look(path, how)
        first = next(self._whole(_HEADER_BYTES), None)
        if first is None:
            raise MfxError(
                f"{path}: the file is empty", "Expected a header line, with rows below it."
            )
        # The header is read in whole blocks, and with it the one after.
        blocks = (first.begin + len(first.text)) // _HEADER_BYTES + 2
        self.head = max(self.dialect.looked, blocks * _HEADER_BYTES)
        line, self.names = next(csv_records.rows(first.text, self.dialect.delimiter, first.line))
        if fault := text_fault(path, line, self.names, self.names):
            raise fault
        if how.trim:
            self.names = [name.strip() for name in self.names]
        check_titles(f"{path}, line {line}", self.names)

    def _whole(self, size: int, part: Part | None = None) -> Iterator[Records]:
        blocks = csv_dialect.blocks(self.path, self.dialect.compression, size, part)
        return csv_records.whole(
            blocks, self.dialect.delimiter, str(self.path), part, with_nul=bool(self.how.tolerate)
        )

    def records(self, size: int, part: Part | None = None) -> Iterator[Records]:
        """The records below the header.

        Args:
            size: Bytes of text that are read at a time.
            part: The part to read; by default all.
        """
        reading = self._whole(size, part)
        if not part or part.begin == 0:
            next(reading, None)
        return reading

    def fault(self, line: int, raw: bytes) -> MfxError:
        """What is wrong with a record that has another number of cells, or is not UTF-8.

        Args:
            line: The file's line on which it begins.
            raw: The record.
        """
        ((_, cells),) = csv_records.rows(raw, self.dialect.delimiter, line)
        if len(cells) == len(self.names) and (
            fault := text_fault(self.path, line, self.names, cells)
        ):
            return fault
        return MfxError(
            f"{self.path}, line {line}: {len(cells)} cells, expected {len(self.names)} as in the "
            "header",
            f"Fix the row. {TOLERATE}",
        )


def text_fault(path: Path, line: int, names: list[str], cells: list[str]) -> MfxError | None:
    """The fault of a record that is not UTF-8; None if it is."""
    for name, cell in zip(names, cells, strict=False):
        bad = next((n for n, char in enumerate(cell) if "\udc80" <= char <= "\udcff"), None)
        if bad is not None:
            found = cell[max(0, bad - 20) : bad + 20].encode("utf-8", "surrogateescape")
            return MfxError(
                f"{path}, line {line}, column {name.encode('utf-8', 'replace').decode()!r}: "
                f"not UTF-8: {found!r}",
                "Convert the file, for example: iconv -f WINDOWS-1252 -t UTF-8 IN > OUT",
            )
    return None
