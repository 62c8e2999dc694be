"""Some records of a CSV file as columns. Records that do not fit are left out, or are an error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from mfx.columns import number_text
from mfx.errors import MfxError
from mfx.ingest.sources import csv_records
from mfx.ingest.sources.base import TOLERATE, LeftOut, Tally
from mfx.ingest.sources.csv_file import CsvFile
from mfx.ingest.sources.csv_records import Layout, Records

_Convert = Callable[[pa.Array], tuple[pa.Array, np.ndarray | None]]

_FROM_TEXT: dict[str, tuple[str, _Convert]] = {
    "int64": ("an integer", number_text.to_int64),
    "float32": ("a number", number_text.to_float32),
    "bytes": ("text", lambda text: (text.cast(pa.binary()), None)),
}
"""For each type: what a cell should be, in words, and a function that converts texts to it."""


class _Found(NamedTuple):
    """What is wrong with some of a column's cells, and the message of one of them."""

    name: str
    text: pa.Array
    what: str
    fault: Callable[[str, str, str], MfxError]


class Block:
    """Some records of a file, parsed as text.

    Nothing is looked for record by record until one is found that does not fit.

    Args:
        file: The file.
        part: The records.

    Raises:
        MfxError: A record does not fit, and `Reading.tolerate` is 0.
    """

    def __init__(self, file: CsvFile, part: Records) -> None:
        self.file, self.part = file, part
        self._counted = Tally(records=part.count)
        self._places: Layout | None = None
        self._records: np.ndarray | None = None  # Those in the columns; None: all of the part.
        self._columns = self._parsed()

    def texts(self) -> tuple[list[pa.Array], Tally]:
        """Each column's cells as strings, null where missing; and the counts of the block."""
        return self._read({})

    def typed(self, types: Mapping[str, str]) -> tuple[list[pa.Array], Tally]:
        """Each column with its type, and the counts of the block.

        Args:
            types: Each column's type, a name in `columns.types.TYPES`.

        Raises:
            MfxError: A cell does not fit, and `Reading.tolerate` is 0.
        """
        return self._read(types)

    def _read(self, types: Mapping[str, str]) -> tuple[list[pa.Array], Tally]:
        while True:
            tally, misfits = Tally(), dict[int, str]()
            made = [
                self._column(name, column, types.get(name), tally, misfits)
                for name, column in zip(self.file.names, self._columns, strict=True)
            ]
            if not misfits:
                tally.add(self._counted)
                return made, tally
            self._leave_out(misfits)

    def _column(
        self, name: str, text: pa.Array, kind: str | None, tally: Tally, misfits: dict[int, str]
    ) -> pa.Array:
        """A column's cells with its type, or as text without one; `misfits` gets bad rows."""
        how = self.file.how
        if how.trim:
            quoted = np.asarray(pc.match_substring_regex(text, pattern='^[ \t]+"'))
            found = _Found(name, text, "a space before the quote", _space_before_quote)
            self._note(quoted, found, misfits)
            text = pc.utf8_trim(text, number_text.SPACES)
        text, counted = _with_nulls(text, how.null_values.of(name))
        tally.missing += Counter({(name, null): cells for null, cells in counted.items()})
        if kind is None:
            return text
        expected, convert = _FROM_TEXT[kind]
        made, bad = convert(text)
        if bad is not None:
            self._note(bad, _Found(name, text, f"expected {expected}", _misfit), misfits)
            return made
        if kind != "bytes":
            tally.missing += _nans(name, text, made)
        if kind == "float32":
            tally.rounded += _rounded(name, text, made)
        return made

    def _note(self, bad: np.ndarray, found: _Found, misfits: dict[int, str]) -> None:
        """Note the rows with bad cells.

        Raises:
            MfxError: There is one, and none is tolerated.
        """
        rows = np.flatnonzero(bad).tolist()
        if rows and not self.file.how.tolerate:
            line = self._layout().lines[self._at(rows[0])]
            where = f"{self.file.path}, line {line}, column {found.name!r}"
            raise found.fault(where, found.what, found.text[rows[0]].as_py())
        for row in rows:
            misfits.setdefault(row, f"column {found.name!r}: {found.what}")

    def _leave_out(self, misfits: Mapping[int, str]) -> None:
        """Leave out rows of the columns, by their reasons."""
        self._reject({self._at(row): misfits[row] for row in sorted(misfits)})
        kept = np.ones(len(self._columns[0]), bool)
        kept[list(misfits)] = False
        records = np.arange(len(kept)) if self._records is None else self._records
        self._records = records[kept]
        self._columns = [column.filter(pa.array(kept)) for column in self._columns]

    def _reject(self, reasons: Mapping[int, str]) -> None:
        places = self._layout()
        for record, reason in reasons.items():
            line = int(places.lines[record])
            self._counted.leave_out(LeftOut.of(line, "line", reason, places.raw(record)))

    def _at(self, row: int) -> int:
        """Which of the part's records a row of the columns is."""
        return row if self._records is None else int(self._records[row])

    def _layout(self) -> Layout:
        if self._places is None:
            self._places = csv_records.layout(self.part, self.file.dialect.delimiter)
        return self._places

    def _parsed(self) -> list[pa.Array]:
        """All cells as strings, of the records that can be parsed."""
        text, where = self.part.text, str(self.file.path)
        try:
            # Arrow takes a NUL byte for a character.
            columns = None if b"\0" in text else _parse(text, self.file)
        except pa.ArrowInvalid as error:
            columns, said = None, str(error)
        if columns is None:
            bad = dict(self._bad_records())
            if bad and not self.file.how.tolerate:
                places, record = self._layout(), next(iter(bad))
                raise self.file.fault(int(places.lines[record]), places.raw(record))
            if not bad:
                raise MfxError(f"{where}: {said}")
            columns = self._parsed_without(bad)
        rows, rejected = len(columns[0]), sum(self._counted.rejected.values())
        if rows + rejected != self.part.count:
            raise MfxError(
                f"{where}: {self.part.count} records from line {self.part.line} on, but {rows} "
                f"were read and {rejected} rejected",
                "Rows were lost: please report this with the file.",
            )
        return columns

    def _parsed_without(self, bad: Mapping[int, str]) -> list[pa.Array]:
        self._reject(bad)
        places = self._layout()
        self._records = np.delete(np.arange(len(places.begins)), list(bad))
        if not len(self._records):
            return [pa.array([], pa.string())] * len(self.file.names)
        text = b"".join(places.raw(record) + b"\n" for record in self._records.tolist())
        try:
            return _parse(text, self.file)
        except pa.ArrowInvalid as error:
            raise MfxError(f"{self.file.path}: {error}") from None

    def _bad_records(self) -> Iterator[tuple[int, str]]:
        """The part's records that have another number of cells than the header, or are no text."""
        places, expected = self._layout(), len(self.file.names)
        ragged = places.cells != expected
        is_text = _is_text(self.part.text)
        for record in np.flatnonzero(ragged).tolist() if is_text else range(len(ragged)):
            if ragged[record]:
                yield record, f"{places.cells[record]} cells, expected {expected}"
            elif b"\0" in (raw := places.raw(record)):
                yield record, "a NUL byte"
            elif not _is_text(raw):
                yield record, "not UTF-8"


def _is_text(content: bytes) -> bool:
    try:
        return "\0" not in content.decode()
    except UnicodeDecodeError:
        return False


def _parse(text: bytes, file: CsvFile) -> list[pa.Array]:
    # Arrow's string type checks UTF-8; its binary type does not.
    table = pacsv.read_csv(
        pa.BufferReader(text),
        pacsv.ReadOptions(column_names=file.names, block_size=len(text) + 1, use_threads=False),
        pacsv.ParseOptions(delimiter=file.dialect.delimiter, newlines_in_values=b'"' in text),
        pacsv.ConvertOptions(
            column_types=dict.fromkeys(file.names, pa.string()),
            null_values=[],
            strings_can_be_null=False,
        ),
    )
    return [_one_array(column) for column in table.columns]


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


def _misfit(where: str, expected: str, cell: str) -> MfxError:
    remedy = (
        "Fix the cell. Or, if it means missing, add its text to null_values under [data]. Or give "
        f"the feature another type in the schema. {TOLERATE}"
    )
    text = pa.array([cell])
    if number_text.is_like_number(text)[0] and not number_text.is_number(text)[0]:
        remedy = (
            "A number would not keep the way this is written. Give codes the type BYTES in the "
            "schema. If it is a number, preprocessing_fn can convert it: tf.strings.to_number."
        )
    return MfxError(f"{where}: {expected}, found {_shown(cell)}", remedy)


def _space_before_quote(where: str, reason: str, cell: str) -> MfxError:
    return MfxError(
        f"{where}: {reason}: {_shown(cell)}",
        f"Remove the space: a quote opens a cell only as its first character. {TOLERATE}",
    )


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= 60 else cell[:60] + "…")
