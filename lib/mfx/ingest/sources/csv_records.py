"""The records of a CSV text, found and counted without a CSV parser, and quotes that do not match.

A parser that meets a quote which nothing closes joins lines until the next quote, and says nothing.
So what a parser delivers is held to what is counted here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from mfx.errors import MfxError

MOST = 64 * 2**20
"""Bytes that one record may have: what a quote that nothing closes costs at most."""

_QUOTE, _CR, _LF = b'"\r\n'


@dataclass(frozen=True)
class Records:
    """Whole records, one after another.

    Args:
        text: Their bytes; line ends and blank lines are among them.
        count: How many; a blank line is none.
        line: The line of the file that they begin on, from 1.
    """

    text: bytes
    count: int
    line: int


def whole(blocks: Iterable[bytes], delimiter: str, where: str) -> Iterator[Records]:
    """Cut a CSV text into whole records: the first one (the header) alone, then one part a block.

    Lines end with LF, CR or CRLF, the last one with or without. A quote opens a cell where the cell
    begins and is text elsewhere (`5" pipe`), as Python's `csv` and Arrow have it; what it opened, a
    quote before a delimiter or a line's end closes.

    Args:
        blocks: The text in pieces of any size, none empty.
        delimiter: One ASCII character.
        where: The file's name, for errors.

    Raises:
        MfxError: Names the line of a closing quote with text behind it, of a quote that nothing
            closes, of a NUL byte, or of a record longer than `MOST`.
    """
    cutter = _Cutter(delimiter, where)
    for block in blocks:
        yield from cutter.add(block)
    yield from cutter.end()


class _Cutter:
    def __init__(self, delimiter: str, where: str) -> None:
        self.boundary = np.zeros(256, bool)
        self.boundary[[ord(delimiter), _CR, _LF]] = True
        self.delimiter = delimiter
        self.where = where
        self.begun = self.headed = False
        self.rest, self.line = b"", 1

    def add(self, block: bytes) -> Iterator[Records]:
        if not self.begun:
            block = block.removeprefix(b"\xef\xbb\xbf")
            self.begun = True
        text = self.rest + block
        yield from self._cut(text, _line_ends(text, self._quotes(text)), last=False)
        if len(self.rest) > MOST:
            raise self._endless()

    def end(self) -> Iterator[Records]:
        text = self.rest
        quotes = self._quotes(text)
        if len(quotes) % 2:
            raise self._endless()
        yield from self._cut(text, _line_ends(text, quotes), last=True)

    def _cut(self, text: bytes, ends: np.ndarray, last: bool) -> Iterator[Records]:
        """What is whole in `text`; the rest stays. `ends`: of lines, those within cells left out.

        A CR at the end stays, since an LF may follow.
        """
        if not last and text.endswith(b"\r") and len(ends) and ends[-1] == len(text) - 1:
            ends = ends[:-1]
        if b"\0" in text:
            line = self._line_of(text, text.index(b"\0"))
            raise MfxError(
                f"{self.where}, line {line}: a NUL byte, which no text has",
                "Write the file anew as CSV in UTF-8.",
            )
        cut = len(text) if last else int(ends[-1]) + 1 if len(ends) else 0
        # A line end directly after another one ends a blank line, or is the LF of a CRLF.
        of_records = ends[np.diff(ends, prepend=-1) > 1]
        count = len(of_records) + (last and cut > (int(ends[-1]) + 1 if len(ends) else 0))
        begin = 0
        if count and not self.headed:
            begin = int(of_records[0]) + 1 if len(of_records) else cut
            begin += text[begin - 1 : begin + 1] == b"\r\n"
            yield self._records(text[:begin], 1)
            self.headed, count = True, count - 1
        if count:
            yield self._records(text[begin:cut], count)
        else:
            self.line += _lines(text[begin:cut])
        self.rest = text[cut:]

    def _records(self, text: bytes, count: int) -> Records:
        made = Records(text, count, self.line)
        self.line += _lines(text)
        return made

    def _quotes(self, text: bytes) -> np.ndarray:
        """Positions of quotes that open and close, in turn; one written twice closes and opens."""
        if b'"' not in text:
            return np.empty(0, np.int64)
        codes = np.frombuffer(text, np.uint8)
        at = np.flatnonzero(codes == _QUOTE)
        begins = self.boundary[codes[np.maximum(at - 1, 0)]] | (at == 0)
        ends = self.boundary[codes[np.minimum(at + 1, len(text) - 1)]] | (at == len(text) - 1)
        twice = np.append(np.diff(at) == 1, False)
        # If each opens where a cell may begin and each closes where one may end, all is well.
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
        """The same where some quotes are text, or wrong."""
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
        came_from = "" if line == begun else f" of a cell that a quote opened on line {begun}"
        found = _shown(text[closed + 1 : closed + 80])
        return MfxError(
            f"{self.where}, line {line}: text after the closing quote{came_from}: {found}",
            "Close the cell on its line, and write a quote inside a quoted cell twice.",
        )

    def _endless(self) -> MfxError:
        quotes = self._quotes(self.rest)
        if len(quotes) % 2 == 0:
            return MfxError(
                f"{self.where}, line {self.line}: a line of more than {MOST / 2**20:.0f} MiB",
                "Expected a CSV file: one record a line.",
            )
        # The last one that opens, unless it is the second half of a quote written twice.
        opened = next(
            int(quotes[n])
            for n in range(len(quotes) - 1, -1, -2)
            if n == 0 or quotes[n] != quotes[n - 1] + 1
        )
        found = _shown(self.rest[opened : opened + 80])
        line = self._line_of(self.rest, opened)
        return MfxError(
            f"{self.where}, line {line}: a quote opens a cell and nothing closes it: {found}",
            "Close the cell on its line, and write a quote inside a quoted cell twice.",
        )

    def _line_of(self, text: bytes, place: int) -> int:
        return self.line + _lines(text[:place])


def _line_ends(text: bytes, quotes: np.ndarray) -> np.ndarray:
    """Positions of CR and LF that are not in a quoted cell."""
    codes = np.frombuffer(text, np.uint8)
    are = codes == _LF
    if b"\r" in text:
        are |= codes == _CR
    ends = np.flatnonzero(are)
    return ends[np.searchsorted(quotes, ends) % 2 == 0] if len(quotes) else ends


def _lines(text: bytes) -> int:
    """Line ends in `text`."""
    return text.count(b"\n") + (text.count(b"\r") - text.count(b"\r\n") if b"\r" in text else 0)


def _shown(text: bytes) -> str:
    """The first line of `text`, short, for a message."""
    lines = text.decode("utf-8", "replace").splitlines() or [""]
    return repr(lines[0][:40])


def rows(text: bytes, delimiter: str, line: int = 1) -> Iterator[tuple[int, list[str]]]:
    """Each record's line and cells, by Python's `csv`: slow, for headers and messages.

    Bytes that are not UTF-8 become surrogates.
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
