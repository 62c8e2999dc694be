"""A hash of rows in their order that does not tell how they were cut into batches or shards.

The rows' own hashes, 64 bits each, are the digits of one large number, and its remainder by a prime
of 256 bits is the hash. That of rows A followed by rows B follows from those of A and of B.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from mfx.ingest.split import row_hash

_PRIME = 0xA186A49AFA7587B6DB66AFC39A6A5BF1EFC3FE969B7B554184079C02C517199F
"""The first prime from the SHA-256 of "rows in order" on."""


class RowsHash:
    """The hash of the rows so far."""

    def __init__(self) -> None:
        self._value = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Add rows after those added before."""
        digits = row_hash(batch, exact=True).astype(">u8").tobytes()
        self._value = _followed(self._value, int.from_bytes(digits, "big"), batch.num_rows)

    def __str__(self) -> str:
        return f"{self._value:064x}"


def joined(parts: Iterable[tuple[int, str]]) -> str:
    """The hash of the rows of all parts, in order.

    Args:
        parts: Each part's number of rows, and its hash as text.
    """
    value = 0
    for rows, text in parts:
        value = _followed(value, int(text, 16), rows)
    return f"{value:064x}"


def _followed(value: int, more: int, rows: int) -> int:
    return (value * pow(2, 64 * rows, _PRIME) + more) % _PRIME
