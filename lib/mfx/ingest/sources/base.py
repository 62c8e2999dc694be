"""The interface of a kind of input file (`Source`). Each kind is a module of this package."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeGuard

import pyarrow as pa

from mfx.artifacts import Part
from mfx.config import Reading
from mfx.errors import MfxError

FOR_SOME = ("compression", "delimiter", "trim")
"""Keys under `[data]` that mean nothing to some kinds of files."""


MOST_RAW = 64 * 2**10
"""The most bytes that are kept of a record that is left out."""
TOLERATE = "To leave such rows out and keep them aside, set tolerate under [data]."
"""The end of the remedy, where a row does not fit."""


class MisfitError(MfxError):
    """A record does not fit.

    Args:
        what, remedy: As in `MfxError`.
        reason: Why, in words that many records share.
    """

    def __init__(self, what: str, remedy: str = "", reason: str = "") -> None:
        super().__init__(what, f"{remedy} {TOLERATE}" if reason else remedy)
        self.reason = reason


class LeftOut(NamedTuple):
    """A record that does not fit.

    Attributes:
        number: Its place in the file, counted from 1.
        unit: What the number counts: "line", "row" or "record".
        reason: Why it does not fit, in words that many records share.
        raw: The record as it stands in the file, or the first MOST_RAW bytes of it; as JSON where
            the file has no text.
        cut: Whether there are more bytes.
    """

    number: int
    unit: str
    reason: str
    raw: bytes
    cut: bool

    @classmethod
    def of(cls, number: int, unit: str, reason: str, raw: bytes) -> LeftOut:
        """A record with as much of `raw` as is kept."""
        return cls(number, unit, reason, raw[:MOST_RAW], len(raw) > MOST_RAW)


@dataclass
class Tally:
    """Counts of a file's records and cells.

    Args:
        records: Records in the file, counted in its text and not by the parser.
        rejected: Records left out, by reason.
        left_out: Those of them that nobody has taken yet, to keep them aside.
        missing: Cells taken as missing, by column and text.
        rounded: Cells with a whole number that float32 changes, by column and one such text.
    """

    records: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    left_out: list[LeftOut] = field(default_factory=list)
    missing: Counter[tuple[str, str]] = field(default_factory=Counter)
    rounded: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Add the counts of another tally."""
        self.records += other.records
        self.rejected += other.rejected
        self.left_out += other.left_out
        self.missing += other.missing
        self.rounded += other.rounded

    def leave_out(self, found: LeftOut) -> None:
        """Count a record that does not fit, and keep it.

        Only call this if `Reading.tolerate` is not 0; else such a record is an `MfxError`.
        """
        self.rejected[found.reason] += 1
        self.left_out.append(found)


class Seen(Protocol):
    """What is known of a column from the files that were looked at."""

    @property
    def kind(self) -> str | None:
        """The column's type, a name in `columns.types.TYPES`; None if nothing tells it.

        Raises:
            MfxError: Its values are of types that do not go together.
        """

    @property
    def listed(self) -> bool:
        """Whether rows have several values of it."""

    def note(self, name: str) -> str:
        """A line for the user on a type that may surprise; "" if there is nothing to say."""


class Source(Protocol):
    """One kind of input file. A module is a source if it has these functions and constants.

    All sources are imported whenever files are looked for, so import heavy packages inside the
    functions.

    Attributes:
        TITLE: The kind, for messages, such as "CSV".
        SUFFIXES: How names of such files in a folder end, in lower case; each of one kind only.
        LISTS: Whether such a file can hold several values of a column in one row.
        OPEN: Whether rows name their columns, so that files of one data set may differ in them: a
            column that a row or file does not name is missing there.
        OPTIONS: The names in `FOR_SOME` that it goes by.
    """

    TITLE: str
    SUFFIXES: tuple[str, ...]
    LISTS: bool
    OPEN: bool
    OPTIONS: tuple[str, ...]

    def takes(self, name: str, head: bytes) -> bool:
        """Whether a file is of this kind.

        Args:
            name: The file's, without its folder.
            head: Its first 4096 bytes, or all; unpacked, where it is compressed.
        """

    def header(self, path: Path, how: Reading) -> list[str]:
        """The names of a file's columns, in the file's order; sorted where the kind is OPEN.

        Raises:
            MfxError: The file cannot be read, or its columns cannot be found.
        """

    def look(self, path: Path, how: Reading, found: dict[str, Any]) -> None:
        """Find out each column's type, from the file's own statement or from all its values.

        Args:
            path: On disk.
            how: How files are read. Records that `batches` leaves out, with `how.tolerate`, for
                what they are and not for a type, tell no type.
            found: A `Seen` of the source's own for each column; made or added to. All of them come
                from earlier calls for other files of the same data.

        Raises:
            MfxError: The file cannot be read, or has a column that no tf.Example can hold.
        """

    def batches(
        self, path: Path, types: Mapping[str, str], how: Reading, tally: Tally
    ) -> Iterator[pa.RecordBatch]:
        """A file's rows, in bounded memory.

        Args:
            path: The file on disk.
            types: Each column's type, a name in `columns.types.TYPES`.
            how: How files are read.
            tally: Gets the counts of the file's records and cells. With `how.tolerate`, records
                that do not fit are left out by `Tally.leave_out`.

        Yields:
            Batches with the columns of `types` in their order and with their types; what is
            missing, NaN too, is null. A batch may be empty.

        Raises:
            MfxError: The file cannot be read; or `how.tolerate` is 0 and a record does not fit. The
                message names file, row, column and value.
        """


class Cuts(Source, Protocol):
    """A source that can read parts of a file by themselves. This is optional for a source."""

    def parts(self, path: Path, how: Reading, size: float) -> list[Part]:
        """Where a file may be cut.

        Args:
            path: The file on disk.
            how: How files are read.
            size: The bytes that a part should have.

        Returns:
            Parts that cover the file, in order, without their hashes; none if such a file (for
            example a compressed one) is only read as a whole.

        Raises:
            MfxError: The file cannot be read.
        """

    def around(self, path: Path, how: Reading) -> tuple[int, int]:
        """How many of a file's first bytes, and of its last, reading any part takes as well.

        Only these and the part are fetched from a storage; the rest of the file on disk is zeros.

        Args:
            path: The file on disk.
            how: How files are read.
        """

    def batches(
        self,
        path: Path,
        types: Mapping[str, str],
        how: Reading,
        tally: Tally,
        part: Part | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a part; of the whole file without one. The rows of all parts are the file's.

        Messages name the place in the file, as for a whole file.
        """


def can_cut(source: Source) -> TypeGuard[Cuts]:
    """Whether the source can read parts of a file."""
    return hasattr(source, "parts")


class Packs(Source, Protocol):
    """A source whose files may be much smaller than their rows. This is optional for a source."""

    def unpacked(self, path: Path, how: Reading) -> int:
        """About how many bytes the file's rows take when they are not packed.

        It tells how much work they are, so it must not take long: the rows are not read.

        Args:
            path: The file on disk.
            how: How files are read.

        Raises:
            MfxError: The file cannot be read.
        """


def unpacked(source: Source, path: Path, how: Reading) -> int:
    """About how many bytes the file's rows take when they are not packed; see `Packs`."""
    size = path.stat().st_size
    return max(size, source.unpacked(path, how)) if _can_pack(source) else size


def _can_pack(source: Source) -> TypeGuard[Packs]:
    return hasattr(source, "unpacked")


def ends_of_parts(size: int, of_part: float) -> list[int]:
    """Where the parts of a file should end: parts are alike, and have `of_part` bytes or more.

    Args:
        size: The file's bytes.
        of_part: Bytes. A part has 1.25 times as many at least, so that it has enough of them when
            it ends at a row's end.
    """
    count = max(1, int(size / (1.25 * of_part)))
    return [size * number // count for number in range(1, count)] + [size]


def cut_at(places: Iterable[tuple[int, int, int]], size: int, of_part: float) -> list[Part]:
    """Parts of a file that end where they may and about where they should.

    Args:
        places: Where a part may begin, in order; and how many rows and lines come before.
        size: The file's bytes.
        of_part: The bytes that a part should have.
    """
    *wanted, _ = ends_of_parts(size, of_part)
    begins = [(0, 0, 0)]
    for place, rows, lines in places:
        passed = [end for end in wanted if end <= place]
        if passed and place < size:
            begins.append((place, rows, lines))
            wanted = wanted[len(passed) :]
    ends = [place for place, _, _ in begins[1:]] + [size]
    return [
        Part(begin, end, rows, lines)
        for (begin, rows, lines), end in zip(begins, ends, strict=True)
    ]


def checked_names(where: str, names: Iterable[str]) -> list[str]:
    """The names of a file's columns, if a data set can have them.

    Raises:
        MfxError: There are none, or one is empty, used twice, or has spaces around it.
    """
    found = list(names)
    if not found:
        raise MfxError(f"{where}: no columns", "Expected a file with at least one column.")
    check_titles(where, found)
    return found


def check_titles(where: str, names: list[str]) -> None:
    """Check the names of a file's columns.

    Raises:
        MfxError: One is empty, used twice, or has spaces around it.
    """
    seen: set[str] = set()
    for name in names:
        if name.strip() and name != name.strip():
            raise MfxError(
                f"{where}: column name {name!r} has spaces around it",
                "Remove them, or set trim = true under [data]: it removes spaces around names and "
                "cells.",
            )
        if not name.strip() or name in seen:
            fault = "used twice" if name.strip() else "empty"
            raise MfxError(
                f"{where}: column name {name!r} is {fault}", "Give each column a different name."
            )
        seen.add(name)
