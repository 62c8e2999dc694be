"""The interface of data that are no files (`Outside`): they give rows, and no bytes to hash."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from mfx.config import Settings


class Outside(Protocol):
    """One kind of data that are no files. A module is one if it has these functions.

    A run's data is cut into pieces. `start` reads each once, for its types and the hash of its
    rows; a task of `ingest` reads it again.
    """

    def pieces(self, settings: Settings) -> list[Piece]:
        """The pieces of a run's data, in order.

        Raises:
            MfxError: They cannot be told.
        """

    def batches(self, told: Any, place: Place) -> Iterator[pa.RecordBatch]:
        """The rows of a piece, in bounded memory, always in the same order.

        Args:
            told: The piece's, a JSON value.
            place: Where this runs.

        Raises:
            MfxError: They cannot be read.
        """


@dataclass(frozen=True)
class Piece:
    """A part of the data that is read by itself.

    Args:
        name: For messages, such as "source://my_source.py/2024".
        told: All that is needed to read it, as a JSON value. It is kept with the run, so it holds
            no secret.
    """

    name: str
    told: Any


@dataclass(frozen=True)
class Place:
    """Where a piece is read.

    Args:
        where: The piece's name, for messages.
        resolve: Makes a path of the config absolute.
    """

    where: str
    resolve: Callable[[str], str]
