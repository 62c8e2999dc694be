"""Read CSV files as typed Arrow batches; say exactly what is wrong with one that cannot be read."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from mfx.artifacts import Part
from mfx.columns import number_text
from mfx.config import Reading
from mfx.errors import MfxError
from mfx.ingest.infer_types import Column
from mfx.ingest.sources import csv_dialect, csv_records, file_kinds
from mfx.ingest.sources.base import Tally, check_titles, cut_at
from mfx.ingest.sources.compression import PACKED
from mfx.ingest.sources.csv_records import Records

TITLE = "CSV"
LISTS, OPEN = False, False
OPTIONS: tuple[str, ...] = ("compression", "delimiter", "trim", "ragged_rows")
SUFFIXES = tuple(text + packed for text in (".csv", ".tsv") for packed in PACKED)

BLOCK_BYTES = 16 * 2**20
"""Bytes of CSV text that are parsed at a time. This bounds a reader's memory."""

_HEADER_BYTES = 2**16
"""Bytes that are read at a time where only some records are needed."""

_AT_ONCE = 2
"""Blocks that are parsed at the same time."""

_T = TypeVar("_T")
_Convert = Callable[[pa.Array], tuple[pa.Array, np.ndarray | None]]

_FROM_TEXT: dict[str, tuple[str, _Convert]] = {
    "int64": ("an integer", number_text.to_int64),
    "float32": ("a number", number_text.to_float32),
    "bytes": ("text", lambda text: (text.cast(pa.binary()), None)),
}
"""For each type: what a cell should be, in words, and a function that converts texts to it."""


def takes(name: str, head: bytes) -> bool:
    """Whether the file is text; see `base.Source`."""
    return not file_kinds.detect(head)


def header(path: Path, how: Reading) -> list[str]:
    """The column names of a CSV file that is written as `how` says.

    Raises:
        MfxError: The file is missing, empty, no text or not UTF-8; or a column name is empty, is
            used twice or has spaces around it.
    """
    return _File(path, how).names


def batches(
    path: Path, types: Mapping[str, str], how: Reading, tally: Tally, part: Part | None = None
) -> Iterator[pa.RecordBatch]:
    """Read a CSV file in blocks.

    Args:
        path: The file: UTF-8 with a header, compressed or not.
        types: Each column's type, a name in `columns.types.TYPES`.
        how: How the file is written, which texts mean missing, what to do with rows that have too
            few or too many cells.
        tally: Gets the counts of the file's records and cells.
        part: The part to read; by default all.

    Yields:
        Batches whose columns have these types. Missing values and NaN are null.

    Raises:
        MfxError: The file cannot be read, or a cell does not fit its type; the message names file,
            line, column and value.
    """
    file = _File(path, how)

    def typed(part: Records) -> tuple[pa.RecordBatch, Tally]:
        texts, tally = file.texts(part)
        columns = []
        for name, text in zip(file.names, texts, strict=True):
            expected, convert = _FROM_TEXT[types[name]]
            made, bad = convert(text)
            if bad is not None:
                row = int(np.argmax(bad))
                line = file.line_of(part, row)
                raise _misfit(f"{path}, line {line}", name, expected, text[row].as_py())
            if types[name] != "bytes":
                tally.missing += _nans(name, text, made)
            if types[name] == "float32":
                tally.rounded += _rounded(name, text, made)
            columns.append(made)
        return pa.RecordBatch.from_arrays(columns, names=file.names), tally

    for batch, counted in _in_order(typed, file.records(part)):
        tally.add(counted)
        yield batch


def look(path: Path, how: Reading, found: dict[str, Column]) -> None:
    """Add a file's cells to `found`, which holds each column's findings from other files.

    Raises:
        MfxError: The file cannot be read.
    """
    file = _File(path, how)
    for name in file.names:
        found.setdefault(name, Column())
    for texts, _ in _in_order(file.texts, file.records()):
        for name, text in zip(file.names, texts, strict=True):
            found[name].add(text)


def parts(path: Path, how: Reading, size: float) -> list[Part]:
    """Parts of the file that end with a record; see `base.Cuts`."""
    file = _File(path, how)
    if file.dialect.compression != "none":
        return []
    block = max(2**12, min(BLOCK_BYTES, int(size / 16)))

    def places() -> Iterator[tuple[int, int, int]]:
        rows = 0
        for records in file.records(block=block):
            yield records.begin, rows, records.line - 1
            rows += records.count

    return cut_at(places(), path.stat().st_size, size)


def infer_types(paths: Sequence[Path], how: Reading) -> dict[str, str]:
    """The narrowest type that fits all rows of all files, for each column.

    A column without any value is `bytes`.
    """
    found: dict[str, Column] = {}
    for path in paths:
        look(path, how, found)
    return {name: column.kind or "bytes" for name, column in found.items()}


class _File:
    """A CSV file, its header already read."""

    def __init__(self, path: Path, how: Reading) -> None:
        self.path, self.how = path, how
        self.dialect = csv_dialect.look(path, how)
        first = next(self._whole(block=_HEADER_BYTES), None)
        if first is None:
            raise MfxError(
                f"{path}: the file is empty", "Expected a header line, with rows below it."
            )
        line, self.names = next(csv_records.rows(first.text, self.dialect.delimiter, first.line))
        if fault := _text_fault(path, line, self.names, self.names):
            raise fault
        if how.trim:
            self.names = [name.strip() for name in self.names]
        check_titles(f"{path}, line {line}", self.names)

    def _whole(self, part: Part | None = None, block: int | None = None) -> Iterator[Records]:
        size = block or BLOCK_BYTES
        blocks = csv_dialect.blocks(self.path, self.dialect.compression, size, part)
        return csv_records.whole(blocks, self.dialect.delimiter, str(self.path), part)

    def records(self, part: Part | None = None, block: int | None = None) -> Iterator[Records]:
        """The records below the header; of the part, if one is given."""
        reading = self._whole(part, block)
        if not part or part.begin == 0:
            next(reading, None)
        return reading

    def texts(self, part: Records) -> tuple[list[pa.Array], Tally]:
        """Each column's cells as strings (null where missing), and the counts of the part."""
        tally = Tally(records=part.count)
        try:
            columns = self._parse(part, tally.rejected)
        except pa.ArrowInvalid as error:
            raise self._fault(part) or MfxError(f"{self.path}: {error}") from None
        rows = len(columns[0])
        if rows + sum(tally.rejected.values()) != part.count:
            raise MfxError(
                f"{self.path}: {part.count} records from line {part.line} on, but {rows} were read "
                f"and {sum(tally.rejected.values())} rejected",
                "Rows were lost: please report this with the file.",
            )
        found = []
        for name, text in zip(self.names, columns, strict=True):
            if self.how.trim:
                text = self._trimmed(part, name, text)
            nulls = self.how.null_values.of(name)
            text, counted = _with_nulls(text, nulls)
            tally.missing += Counter({(name, null): cells for null, cells in counted.items()})
            found.append(text)
        return found, tally

    def _parse(self, part: Records, rejected: Counter[str]) -> list[pa.Array]:
        lock = threading.Lock()

        def skip(row: pacsv.InvalidRow) -> str:
            if self.how.ragged_rows == "stop":
                return "error"
            with lock:
                rejected[f"{row.actual_columns} cells, expected {row.expected_columns}"] += 1
            return "skip"

        # Arrow's string type checks UTF-8; its binary type does not.
        table = pacsv.read_csv(
            pa.BufferReader(part.text),
            pacsv.ReadOptions(
                column_names=self.names, block_size=len(part.text) + 1, use_threads=False
            ),
            pacsv.ParseOptions(
                delimiter=self.dialect.delimiter,
                newlines_in_values=b'"' in part.text,
                invalid_row_handler=skip,
            ),
            pacsv.ConvertOptions(
                column_types=dict.fromkeys(self.names, pa.string()),
                null_values=[],
                strings_can_be_null=False,
            ),
        )
        return [_one_array(column) for column in table.columns]

    def line_of(self, part: Records, row: int) -> int:
        """The file's line on which a row of the part begins; rejected rows are not counted."""
        rows = csv_records.rows(part.text, self.dialect.delimiter, part.line)
        lines = (line for line, cells in rows if len(cells) == len(self.names))
        return next(line for place, line in enumerate(lines) if place == row)

    def _trimmed(self, part: Records, name: str, text: pa.Array) -> pa.Array:
        quoted = pc.match_substring_regex(text, pattern='^[ \t]+"')
        if (row := pc.index(quoted, True).as_py()) >= 0:
            raise MfxError(
                f"{self.path}, line {self.line_of(part, row)}, column {name!r}: a space before "
                f"the quote: {_shown(text[row].as_py())}",
                "Remove the space: a quote opens a cell only as its first character.",
            )
        return pc.utf8_trim(text, number_text.SPACES)

    def _fault(self, part: Records) -> MfxError | None:
        """The error of the first record that Arrow refuses; None if no reason is found.

        Reasons are a wrong number of cells, if that stops the run, and text that is not UTF-8.
        """
        ragged = self.how.ragged_rows == "stop"
        for line, cells in csv_records.rows(part.text, self.dialect.delimiter, part.line):
            if len(cells) != len(self.names):
                if not ragged:
                    continue
                return MfxError(
                    f"{self.path}, line {line}: {len(cells)} cells, expected {len(self.names)} as "
                    "in the header",
                    'Fix the row, or set ragged_rows = "reject" under [data] to leave it out.',
                )
            if fault := _text_fault(self.path, line, self.names, cells):
                return fault
        return None


def _in_order(make: Callable[[Records], _T], parts: Iterator[Records]) -> Iterator[_T]:
    """The results of `make` for all parts, in order. Some are computed at the same time."""
    waiting: deque[Future[_T]] = deque()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for part in parts:
            waiting.append(pool.submit(make, part))
            if len(waiting) > _AT_ONCE:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    chunks = column.chunks or [pa.array([], column.type)]
    return chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)


def _with_nulls(text: pa.Array, nulls: Sequence[str]) -> tuple[pa.Array, dict[str, int]]:
    """Replace strings that are in `nulls` by null; also return how often each occurred."""
    counted = {}
    missing = np.zeros(len(text), bool)
    for null in nulls:
        found = np.asarray(pc.equal(text, null)) if null else _empty(text)
        if cells := int(np.count_nonzero(found)):
            counted[null] = cells
            missing |= found
    if not counted:
        return text, {}
    # The same buffers with another bitmap: nothing is copied.
    valid = pa.array(~missing).buffers()[1]
    return pa.Array.from_buffers(text.type, len(text), [valid, *text.buffers()[1:]]), counted


def _empty(text: pa.Array) -> np.ndarray:
    return np.diff(np.frombuffer(text.buffers()[1], np.int32)[: len(text) + 1]) == 0


def _nans(name: str, text: pa.Array, made: pa.Array) -> Counter[tuple[str, str]]:
    """Count cells with NaN, which counts as missing in a column of numbers."""
    if made.null_count == text.null_count:
        return Counter()
    words = text.filter(pc.and_(pc.is_null(made), pc.is_valid(text)))
    return Counter((name, word) for word in words.to_pylist())


def _rounded(name: str, text: pa.Array, made: pa.Array) -> Counter[tuple[str, str]]:
    """Count cells with a whole number that float32 cannot hold, under the first such text."""
    large = pc.greater(pc.abs(made), number_text.EXACT - 1)
    if not pc.any(large).as_py():
        return Counter()
    text = text.filter(large.fill_null(False))
    lost = number_text.lost_in_float32(pc.utf8_trim(text, number_text.SPACES))
    cells = int(np.count_nonzero(lost))
    return Counter({(name, text[int(np.argmax(lost))].as_py()): cells} if cells else {})


def _misfit(where: str, name: str, expected: str, cell: str) -> MfxError:
    remedy = (
        "Fix the cell. Or, if it means missing, add its text to null_values under [data]. Or give "
        "the feature another type in the schema."
    )
    text = pa.array([cell])
    if number_text.is_like_number(text)[0] and not number_text.is_number(text)[0]:
        remedy = (
            "A number would not keep the way this is written. Give codes the type BYTES in the "
            "schema. If it is a number, preprocessing_fn can convert it: tf.strings.to_number."
        )
    return MfxError(f"{where}, column {name!r}: expected {expected}, found {_shown(cell)}", remedy)


def _text_fault(path: Path, line: int, names: list[str], cells: list[str]) -> MfxError | None:
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


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= 60 else cell[:60] + "…")
