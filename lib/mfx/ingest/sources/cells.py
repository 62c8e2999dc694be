"""Rows of files whose columns have types, on their way to the types that their columns are to have.

All rows of a batch are converted at once. Only if some do not fit they are looked for: they stop
the run, or are left out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mfx.columns.types import is_list, value_kind
from mfx.config import Reading
from mfx.errors import MfxError
from mfx.ingest.sources import arrow_types, conversions
from mfx.ingest.sources.base import TOLERATE, LeftOut, Tally


@dataclass(frozen=True)
class Rows:
    """Some rows of a file, one after another.

    Args:
        batch: The rows.
        first: How many rows of the file come before them.
        left_out: Others that are left out already, as their bytes are no row.
        place: Gives a row's number in the file, what it counts, and the row as it stands there; see
            `base.LeftOut`. By default its row, as JSON.
        only: Gives the rows at some places of the batch alone, int64 of shape [rows]. By default
            they are taken from the batch.
    """

    batch: pa.RecordBatch
    first: int
    left_out: Sequence[LeftOut] = ()
    place: Callable[[int], tuple[int, str, bytes]] | None = None
    only: Callable[[np.ndarray], pa.RecordBatch] | None = None

    def at(self, row: int) -> tuple[int, str, bytes]:
        """Where a row is in the file, see `place`."""
        return self.place(row) if self.place else (self.first + row + 1, "row", self._as_json(row))

    def some(self, rows: np.ndarray) -> pa.RecordBatch:
        """The rows at some places of the batch alone."""
        if self.only:
            return self.only(rows)
        columns = [column.take(pa.array(rows)) for column in self.batch.columns]
        return pa.RecordBatch.from_arrays(columns, self.batch.schema.names)

    def _as_json(self, row: int) -> bytes:
        values = {
            name: _shown(column[row])
            for name, column in zip(self.batch.schema.names, self.batch.columns, strict=True)
        }
        text = json.dumps(values, default=_as_text, ensure_ascii=False)
        return text.encode("utf-8", "surrogatepass")


def typed_batch(
    rows: Rows, where: str, types: Mapping[str, str], how: Reading, tally: Tally
) -> pa.RecordBatch:
    """Rows with the types of `types`.

    Args:
        rows: The rows.
        where: The file.
        types: Each column's type, a name in `columns.types.TYPES`.
        how: How files are read.
        tally: Gets the counts of rows and cells, and the rows that are left out.

    Raises:
        MfxError: A cell does not fit, and `how.tolerate` is 0.
    """
    tally.records += rows.batch.num_rows + len(rows.left_out)
    for found in rows.left_out:
        tally.leave_out(found)
    batch, at = rows.batch, np.arange(rows.batch.num_rows)
    while True:
        counted, misfits = Tally(), dict[int, str]()
        columns = []
        for name, kind in types.items():
            place = batch.schema.get_field_index(name)
            column = batch.column(place) if place >= 0 else pa.nulls(batch.num_rows)
            cells = _Cells(where, rows.first, name, value_kind(kind), how, counted, misfits)
            columns.append(cells.listed(column) if is_list(kind) else cells.single(column))
        if not misfits:
            tally.add(counted)
            return pa.RecordBatch.from_arrays(columns, names=list(types))
        for row in sorted(misfits):
            number, unit, raw = rows.at(int(at[row]))
            tally.leave_out(LeftOut.of(number, unit, misfits[row], raw))
        at = np.delete(at, list(misfits))
        batch = rows.some(at)


@dataclass(frozen=True)
class _Cells:
    """One column of a batch, on its way to the type that it is to have.

    Args:
        where: The file.
        first: How many rows of the file come before the batch.
        name: The column.
        kind: What its values are to be, a name in `columns.types.SINGLE`.
        how: How files are read.
        tally: Counts what becomes of cells.
        misfits: Gets the reasons of rows that do not fit. If it gets one, there is no column.
    """

    where: str
    first: int
    name: str
    kind: str
    how: Reading
    tally: Tally
    misfits: dict[int, str]

    def single(self, column: pa.Array) -> pa.Array | None:
        """One value per row; lists of one value or none are taken for it."""
        values, counts = conversions.split_up(column)
        if counts is None:
            return self._typed(values, np.arange(len(values)), with_nulls=True)
        if (counts > 1).any():
            several = np.flatnonzero(counts > 1)
            self._note(several, "one value", lambda: column[int(several[0])].as_py())
            return None
        at = np.flatnonzero(counts == 1)
        typed = self._typed(values, at, with_nulls=True)
        if typed is None:
            return None
        places = np.cumsum(counts) - 1
        return typed.take(pa.array(places, pa.int64(), mask=counts == 0))

    def listed(self, column: pa.Array) -> pa.Array | None:
        """A list per row; a single value is a list of one, and a missing one no list."""
        values, counts = conversions.split_up(column)
        missing = np.asarray(column.is_null())
        if counts is None:
            typed = self._typed(values, np.arange(len(values)), with_nulls=True)
            if typed is None:
                return None
            missing = np.asarray(typed.is_null())
            counts, typed = (~missing).astype(np.int64), typed.drop_null()
        else:
            at = np.repeat(np.arange(len(column)), counts)
            typed = self._typed(values, at, with_nulls=False)
            if typed is None:
                return None
            if typed.null_count:
                with_null = at[np.asarray(typed.is_null())]
                self._note(
                    with_null,
                    "lists without null or NaN",
                    lambda: column[int(with_null[0])].as_py(),
                )
                return None
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        # A null offset makes the list that starts there null.
        mask = np.concatenate([missing, [False]])
        return pa.ListArray.from_arrays(pa.array(offsets, mask=mask), typed)

    def _typed(self, values: pa.Array, rows: np.ndarray, with_nulls: bool) -> pa.Array | None:
        """Values as `kind`; `rows` tells in which row of the batch each is."""
        made, bad = arrow_types.made(values)
        if bad is not None:
            rule = arrow_types.rule_of(values.type)
            self._note_values(values, rows, bad, rule.expected if rule else "")
            return None
        if with_nulls:
            made = self._without_nulls(made)
        typed, bad = conversions.TO[conversions.short_name(made.type), self.kind](made)
        if bad is not None:
            self._note_values(values, rows, bad, conversions.EXPECTED[self.kind])
            return None
        if pa.types.is_floating(made.type):
            self._count_nans(made, typed)
        if self.kind == "float32" and not pa.types.is_binary(made.type):
            self._count_rounded(made)
        return typed

    def _without_nulls(self, made: pa.Array) -> pa.Array:
        texts = self.how.null_values.columns.get(self.name)
        if texts is None:
            texts = [text for text in self.how.null_values.default if text]
        for text in texts:
            value = conversions.TO["bytes", conversions.NULL_AS[conversions.short_name(made.type)]](
                pa.array([text.encode()])
            )[0]
            if not value[0].is_valid:
                continue
            found = pc.equal(made, pa.scalar(value[0].as_py(), made.type)).fill_null(False)
            if cells := pc.sum(found).as_py() or 0:
                self.tally.missing[self.name, text] += cells
                made = pc.if_else(found, pa.scalar(None, made.type), made)
        return made

    def _count_nans(self, made: pa.Array, typed: pa.Array) -> None:
        if nans := typed.null_count - made.null_count:
            self.tally.missing[self.name, "NaN"] += nans

    def _count_rounded(self, made: pa.Array) -> None:
        numbers = np.asarray(made.drop_null())
        lost = conversions.is_lost(numbers)
        if cells := int(lost.sum()):
            self.tally.rounded += Counter(
                {(self.name, str(int(numbers[int(np.argmax(lost))]))): cells}
            )

    def _note_values(
        self, values: pa.Array, rows: np.ndarray, bad: np.ndarray, expected: str
    ) -> None:
        self._note(rows[bad], expected, lambda: _shown(values[int(np.argmax(bad))]))

    def _note(self, rows: np.ndarray, expected: str, first: Callable[[], Any]) -> None:
        """Note the rows with bad cells.

        Args:
            rows: Places in the batch; some may be there twice.
            expected: What the cells should have been.
            first: Gives the value in the first of them.

        Raises:
            MfxError: None is tolerated.
        """
        if not self.how.tolerate:
            raise MfxError(
                f"{self.where}, row {self.first + int(rows[0]) + 1}, column {self.name!r}: "
                f"expected {expected}, found {first()!r:.80}",
                "Mend the value, or name it in null_values under [data] if it means missing, or "
                f"give the feature another type in the schema. {TOLERATE}",
            )
        for row in dict.fromkeys(rows.tolist()):
            self.misfits.setdefault(row, f"column {self.name!r}: expected {expected}")


def _shown(value: pa.Scalar) -> Any:
    try:
        found = value.as_py()
    except (ValueError, OverflowError):  # a date that Python has not
        return str(value.cast(pa.int64()))
    return found.decode(errors="replace") if isinstance(found, bytes) else found


def _as_text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
