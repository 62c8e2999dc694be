"""How a CSV file is written: its compression and delimiter, as configured or as detected."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path

from mfx.config import Reading
from mfx.errors import MfxError
from mfx.ingest.sources import csv_records, file_kinds
from mfx.ingest.sources.compression import blocks, compression_of

DELIMITERS = ",;\t|"
"""The delimiters that are tried, the most likely one first."""

_SAMPLE, _ROWS = 2**16, 20


@dataclass(frozen=True)
class Dialect:
    """How a file is written.

    Args:
        compression: A name in `COMPRESSIONS`, or "none".
        delimiter: One ASCII character.
        looked: How many of the first bytes told that; unpacked, where it is compressed.
    """

    compression: str
    delimiter: str
    looked: int = field(default=0, compare=False)


def look(path: Path, how: Reading) -> Dialect:
    """Find out how a file is written. What `how` does not say is detected in the first bytes.

    Raises:
        MfxError: The file cannot be read, is no text, or could have several delimiters.
    """
    compression = how.compression or compression_of(path)
    sample, whole = b"", False
    # The sample grows until it has enough lines or the whole file, or is too long for a header.
    for factor in (1, 8, 64, 512):
        sample, whole = _sample(path, compression, factor * _SAMPLE)
        if kind := file_kinds.detect(sample[:4096]):
            inside = "" if compression == "none" else f", in {compression}"
            raise MfxError(
                f"{path}: expected a CSV file, found {kind}{inside}",
                file_kinds.REMEDIES.get(kind, file_kinds.REMEDY),
            )
        if whole or sample.count(b"\n") + sample.count(b"\r") > _ROWS:
            break
    return Dialect(compression, how.delimiter or _delimiter(path, sample, whole), len(sample))


def _sample(path: Path, compression: str, size: int) -> tuple[bytes, bool]:
    """The first `size` bytes, and whether they are the whole file."""
    sample = b""
    for block in blocks(path, compression, size):
        sample += block
        if len(sample) > size:
            return sample[:size], False
    return sample, True


def _delimiter(path: Path, sample: bytes, whole: bool) -> str:
    """The delimiter that gives the header most cells, and all rows the same number of cells."""
    fits: dict[str, int] = {}
    for delimiter in DELIMITERS:
        text = sample.removeprefix(b"\xef\xbb\xbf")
        rows = [cells for _, cells in itertools.islice(csv_records.rows(text, delimiter), _ROWS)]
        if not whole and len(rows) < _ROWS:
            rows = rows[:-1] or rows
        if rows and len(rows[0]) > 1:
            alike = all(len(row) == len(rows[0]) for row in rows)
            fits[delimiter] = len(rows[0]) + (alike and len(rows) > 1) * len(sample)
    best = [d for d in fits if fits[d] == max(fits.values())]
    if len(best) > 1:
        raise MfxError(
            f"{path}, line 1: the delimiter may be {' or '.join(map(repr, best))}",
            'Set it under [data], for example: delimiter = ","',
        )
    return best[0] if best else ","
