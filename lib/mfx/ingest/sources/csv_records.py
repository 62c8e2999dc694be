"""Find and count the records of a CSV text without a CSV parser; find quotes that do not match.

When a quote is never closed, a parser silently joins lines until the next quote. So the records
that a parser delivers are compared with the number counted here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from mfx.artifacts import Part
from mfx.errors import MfxError

MOST = 64 * 2**20
"""The most bytes of one record. It bounds the memory that a quote without an end can cost."""

_AT_ONCE = 2**18
"""Bytes whose places fit into the processor's cache."""
_QUOTE, _CR, _LF = b'"\r\n'


@dataclass(frozen=True)
class Records:
    """Whole records, one after another.

    Args:
        text: Their bytes, with line ends and blank lines.
        count: The number of records. A blank line is not a record.
        line: The file's line on which they begin, counted from 1.
        begin: The place of their first byte in the file.
    """

    text: bytes
    count: int
    line: int
    begin: int = 0


def whole(
    blocks: Iterable[bytes],
    delimiter: str,
    where: str,
    part: Part | None = None,
    with_nul: bool = False,
) -> Iterator[Records]:
    """Cut a CSV text into whole records: first the header alone, then one part per block.

    Lines end with LF, CR or CRLF; the last line may have no end. As in Python's `csv` and in Arrow,
    a quote opens a quoted cell only as the cell's first character; elsewhere it is text, as in
    `5" pipe`. A quote before a delimiter or a line's end closes the cell.

    Args:
        blocks: The text in pieces of any size, none of them empty.
        delimiter: One ASCII character.
        where: The file's name, for messages.
        part: The part of the file that the text is, if it is not all. Only the first has a header.
        with_nul: Whether records, but not the header, may have NUL bytes.

    Yields:
        The records, in order. Nothing is left out but blank lines.

    Raises:
        MfxError: There is text after a closing quote, a quote that nothing closes, a NUL byte, or a
            record longer than `MOST`. The message names the line.
    """
    cutter = _Cutter(delimiter, where, part, with_nul)
    for block in blocks:
        yield from cutter.add(block)
    yield from cutter.end()


class _Cutter:
    def __init__(
        self, delimiter: str, where: str, part: Part | None = None, with_nul: bool = False
    ) -> None:
        self.with_nul = with_nul
        self.boundary = np.zeros(256, bool)
        self.boundary[[ord(delimiter), _CR, _LF]] = True
        self.delimiter = delimiter
        self.where = where
        self.place = part.begin if part else 0
        self.begun = self.headed = self.place > 0
        self.rest, self.line = b"", part.lines + 1 if part else 1

    def add(self, block: bytes) -> Iterator[Records]:
        if not self.begun:
            bare = block.removeprefix(b"\xef\xbb\xbf")
            self.place, block = len(block) - len(bare), bare
            self.begun = True
        text = self.rest + block
        if self.headed and (count := _plain(text)):
            yield self._cut_plain(text, count)
        else:
            yield from self._cut(text, _line_ends(text, self.quotes(text)), last=False)
        if len(self.rest) > MOST:
            raise self._endless()

    def end(self) -> Iterator[Records]:
        text = self.rest
        quotes = self.quotes(text)
        if len(quotes) % 2:
            raise self._endless()
        yield from self._cut(text, _line_ends(text, quotes), last=True)

    def _cut_plain(self, text: bytes, count: int) -> Records:
        """What `_cut` does, for a text of `count` plain lines: several times as fast."""
        if not self.with_nul:
            self._check_no_nul(text)
        cut = text.rindex(b"\n") + 1
        made = Records(text[:cut], count, self.line, self.place)
        self.line, self.place, self.rest = self.line + count, self.place + cut, text[cut:]
        return made

    def _cut(self, text: bytes, ends: np.ndarray, last: bool) -> Iterator[Records]:
        """Yield the whole records in `text` and keep the rest for the next call.

        A CR at the end is kept too, since an LF may follow.

        Args:
            text: The text that has not been cut yet.
            ends: Positions of line ends in it, without those inside quoted cells.
            last: Whether no more text follows.
        """
        if not last and text.endswith(b"\r") and len(ends) and ends[-1] == len(text) - 1:
            ends = ends[:-1]
        if not self.with_nul:
            self._check_no_nul(text)
        cut = len(text) if last else int(ends[-1]) + 1 if len(ends) else 0
        # A line end directly after another one ends a blank line, or is the LF of CRLF.
        of_records = ends[np.diff(ends, prepend=-1) > 1]
        count = len(of_records) + (last and cut > (int(ends[-1]) + 1 if len(ends) else 0))
        begin = 0
        if count and not self.headed:
            begin = int(of_records[0]) + 1 if len(of_records) else cut
            begin += text[begin - 1 : begin + 1] == b"\r\n"
            self._check_no_nul(text[:begin])
            yield self._records(text[:begin], 1)
            self.headed, count = True, count - 1
        if count:
            yield self._records(text[begin:cut], count)
        else:
            self._records(text[begin:cut], 0)
        self.rest = text[cut:]

    def _check_no_nul(self, text: bytes) -> None:
        if b"\0" in text:
            line = self._line_of(text, text.index(b"\0"))
            raise MfxError(
                f"{self.where}, line {line}: a NUL byte, which no text has",
                "Write the file again as CSV in UTF-8.",
            )

    def _records(self, text: bytes, count: int) -> Records:
        made = Records(text, count, self.line, self.place)
        self.line += _lines(text)
        self.place += len(text)
        return made

    def quotes(self, text: bytes) -> np.ndarray:
        """Positions of quotes that open and close a cell, by turns.

        A quote inside a cell is written twice: it counts as one that closes and one that opens.
        """
        if b'"' not in text:
            return np.empty(0, np.int64)
        codes = np.frombuffer(text, np.uint8)
        at = np.flatnonzero(codes == _QUOTE)
        begins = self.boundary[codes[np.maximum(at - 1, 0)]] | (at == 0)
        ends = self.boundary[codes[np.minimum(at + 1, len(text) - 1)]] | (at == len(text) - 1)
        twice = np.append(np.diff(at) == 1, False)
        # All quotes are right if each opens where a cell may begin and closes where one may end.
        opening = begins[0::2] | np.concatenate([[False], twice[1::2]])[: len(begins[0::2])]
        if opening.all() and (ends | twice)[1::2].all():
            return at
        return self._one_by_one(text, at, begins, ends, twice)

    def _one_by_one(
        self,
        text: bytes,
        at: np.ndarray,
        begins: np.ndarray,
        ends: np.ndarray,
        twice: np.ndarray,
    ) -> np.ndarray:
        """The same as `quotes`, for texts in which some quotes are plain text, or wrong."""
        kept: list[int] = []
        inside = skip = False
        opened = 0
        for place, begin, end, double in zip(
            at.tolist(), begins.tolist(), ends.tolist(), twice.tolist(), strict=True
        ):
            if skip:
                skip = False
            elif not inside:
                if begin:
                    inside, opened = True, place
                    kept.append(place)
            elif double:
                skip = True
            elif end:
                inside = False
                kept.append(place)
            else:
                raise self._text_after(text, opened, place)
        return np.array(kept, np.int64)

    def _text_after(self, text: bytes, opened: int, closed: int) -> MfxError:
        line, begun = self._line_of(text, closed), self._line_of(text, opened)
        came_from = "" if line == begun else f" of a cell that begins on line {begun}"
        found = _shown(text[closed + 1 : closed + 80])
        return MfxError(
            f"{self.where}, line {line}: text after the closing quote{came_from}: {found}",
            "Close the cell on its line. Inside a quoted cell, write a quote twice.",
        )

    def _endless(self) -> MfxError:
        quotes = self.quotes(self.rest)
        if len(quotes) % 2 == 0:
            return MfxError(
                f"{self.where}, line {self.line}: a line of more than {MOST / 2**20:.0f} MiB",
                "Expected a CSV file, with one record per line.",
            )
        # The last quote that opens a cell and is not the second of two in a row.
        opened = next(
            int(quotes[n])
            for n in range(len(quotes) - 1, -1, -2)
            if n == 0 or quotes[n] != quotes[n - 1] + 1
        )
        found = _shown(self.rest[opened : opened + 80])
        line = self._line_of(self.rest, opened)
        return MfxError(
            f"{self.where}, line {line}: a quote opens a cell and nothing closes it: {found}",
            "Close the cell on its line. Inside a quoted cell, write a quote twice.",
        )

    def _line_of(self, text: bytes, place: int) -> int:
        return self.line + _lines(text[:place])


@dataclass(frozen=True)
class Layout:
    """Where the records of a text are, found without a parser.

    Args:
        text: The text.
        begins: Each record's first byte, int64 of shape [records].
        ends: The place after its last byte; the line's end is no part of it.
        lines: The file's line on which it begins, counted from 1.
        cells: How many cells it has.
    """

    text: bytes
    begins: np.ndarray
    ends: np.ndarray
    lines: np.ndarray
    cells: np.ndarray

    def raw(self, record: int) -> bytes:
        """A record as it stands in the file."""
        return self.text[self.begins[record] : self.ends[record]]


def layout(records: Records, delimiter: str) -> Layout:
    """Find where records are. They must be whole ones, as `whole` cuts them."""
    text = records.text
    codes = np.frombuffer(text, np.uint8)
    quotes = _Cutter(delimiter, "").quotes(text)
    ends = _line_ends(text, quotes)
    begins, ends = np.concatenate([[0], ends + 1]), np.append(ends, len(text))
    there = ends > begins
    begins, ends = begins[there], ends[there]
    of_lines = np.flatnonzero((codes == _LF) | ((codes == _CR) & (np.append(codes[1:], 0) != _LF)))
    between = np.flatnonzero(codes == ord(delimiter))
    if len(quotes):
        between = between[np.searchsorted(quotes, between) % 2 == 0]
    return Layout(
        text,
        begins,
        ends,
        lines=records.line + np.searchsorted(of_lines, begins),
        cells=np.searchsorted(between, ends) - np.searchsorted(between, begins) + 1,
    )


def _line_ends(text: bytes, quotes: np.ndarray) -> np.ndarray:
    """Positions of CR and LF outside of quoted cells."""
    codes = np.frombuffer(text, np.uint8)
    are = codes == _LF
    if b"\r" in text:
        are |= codes == _CR
    ends = np.flatnonzero(are)
    return ends[np.searchsorted(quotes, ends) % 2 == 0] if len(quotes) else ends


def _plain(text: bytes) -> int:
    """The number of records that end in a text; 0 if it has quotes, CR or blank lines."""
    if b'"' in text or b"\r" in text:
        return 0
    codes, count, before = np.frombuffer(text, np.uint8), 0, True
    for begin in range(0, len(codes), _AT_ONCE):
        are = codes[begin : begin + _AT_ONCE] == _LF
        if (before and are[0]) or (are[1:] & are[:-1]).any():
            return 0
        count, before = count + int(np.count_nonzero(are)), are[-1]
    return count


def _lines(text: bytes) -> int:
    """The number of line ends in `text`."""
    return text.count(b"\n") + (text.count(b"\r") - text.count(b"\r\n") if b"\r" in text else 0)


def _shown(text: bytes) -> str:
    """The first 40 characters of the first line of `text`, for a message."""
    lines = text.decode("utf-8", "replace").splitlines() or [""]
    return repr(lines[0][:40])


def rows(text: bytes, delimiter: str, line: int = 1) -> Iterator[tuple[int, list[str]]]:
    """Parse records with Python's `csv`. It is slow: use it for headers and messages.

    Args:
        text: The CSV text. Bytes that are not UTF-8 become surrogates.
        delimiter: One ASCII character.
        line: The file's line on which the text begins.

    Yields:
        The line on which each record begins, and its cells. Blank lines are left out.
    """
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(
        io.StringIO(text.decode("utf-8", "surrogateescape"), newline=""), delimiter=delimiter
    )
    began = line
    for cells in reader:
        if cells:
            yield began, cells
        began = line + reader.line_num
