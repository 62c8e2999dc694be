"""CSV files as typed Arrow batches, and what exactly is wrong with one that cannot be read."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from mfx.columns import TYPES, nan_to_null, narrowest
from mfx.errors import MfxError

_EXPECTED = {"int64": "an integer", "float32": "a number"}

BLOCK_BYTES = 16 * 2**20
"""CSV text parsed at a time; bounds the memory of a reader."""


def header(path: Path) -> list[str]:
    """The column names of a CSV file.

    Raises:
        MfxError: The file is missing, empty, not UTF-8, or names a column twice or not at all.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            names = next(csv.reader(file), [])
    except OSError as error:
        raise MfxError(f"{path}: cannot read the file: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _first_fault(path, {}, [""], ragged=False) or MfxError(f"{path}: not UTF-8") from None
    except csv.Error as error:
        raise MfxError(f"{path}, line 1: not a CSV header: {error}") from None
    if not names:
        raise MfxError(f"{path}: the file is empty", "Expected a header line and rows below it.")
    for name in names:
        if not name.strip() or names.count(name) > 1:
            fault = "used twice" if name.strip() else "empty"
            raise MfxError(
                f"{path}, line 1: column name {name!r} is {fault}",
                "Give each column a name of its own.",
            )
    return names


def batches(
    path: Path,
    types: Mapping[str, str],
    null_values: Sequence[str],
    rejected: dict[str, int] | None,
) -> Iterator[pa.RecordBatch]:
    """Read a CSV file in blocks.

    Args:
        path: UTF-8, comma-separated, with a header.
        types: Each column's type, a name in `columns.TYPES`.
        null_values: Texts that mean missing.
        rejected: Counts rows left out, by reason; None stops at the first such row instead.

    Yields:
        Batches whose columns have these types; NaN is null.

    Raises:
        MfxError: Names file, line, column and value of the first cell that does not fit.
    """

    def skip(row: pacsv.InvalidRow) -> str:
        if rejected is None:
            return "error"
        reason = f"{row.actual_columns} cells, expected {row.expected_columns}"
        rejected[reason] = rejected.get(reason, 0) + 1
        return "skip"

    # Text goes through Arrow's string type, which checks UTF-8; its binary type does not.
    arrow_types = {n: pa.string() if t == "bytes" else TYPES[t] for n, t in types.items()}
    try:
        reader = pacsv.open_csv(
            path,
            read_options=pacsv.ReadOptions(block_size=BLOCK_BYTES),
            parse_options=pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=skip),
            convert_options=pacsv.ConvertOptions(
                column_types=arrow_types,
                null_values=list(null_values),
                strings_can_be_null=True,
            ),
        )
        for batch in reader:
            columns = [nan_to_null(column) for column in batch.columns]
            if any(pa.types.is_floating(c.type) and pc.any(pc.is_inf(c)).as_py() for c in columns):
                raise pa.ArrowInvalid("a number is infinite or does not fit float32")
            columns = [c.cast(pa.binary()) if pa.types.is_string(c.type) else c for c in columns]
            yield pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        if "Empty CSV file or block" in str(error):
            return  # A header that no line end follows.
        fault = _first_fault(path, types, null_values, ragged=rejected is None)
        raise fault or MfxError(f"{path}: {error}") from None


def infer_types(paths: Sequence[Path], null_values: Sequence[str]) -> dict[str, str]:
    """Each column's narrowest type over all rows of all files; all-missing columns are bytes."""
    found: dict[str, str | None] = {}
    for path in paths:
        found = narrowest_types(path, null_values, found)
    return {name: kind or "bytes" for name, kind in found.items()}


def narrowest_types(
    path: Path, null_values: Sequence[str], at_least: Mapping[str, str | None]
) -> dict[str, str | None]:
    """Each column's narrowest type over a file's rows and those that gave `at_least`.

    Args:
        path: The file.
        null_values: Texts that mean missing.
        at_least: What files before this one gave; empty for the first.

    Returns:
        Names in `columns.TYPES`; None for a column without any value so far.
    """
    names = header(path)
    found = dict.fromkeys(names) | dict(at_least)
    for batch in batches(path, dict.fromkeys(names, "bytes"), null_values, {}):
        for name, column in zip(names, batch.columns, strict=True):
            found[name] = narrowest(column.cast(pa.string()), found.get(name))
    return found


def _first_fault(
    path: Path, types: Mapping[str, str], null_values: Sequence[str], ragged: bool
) -> MfxError | None:
    """The first row that breaks the rules, found by reading the file again, slowly.

    Args:
        path: The file.
        types: Each column's type.
        null_values: Texts that mean missing.
        ragged: Whether a row with too many or too few cells breaks the rules; else it is skipped.
    """
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = csv.reader(file)
        names = next(rows, [])
        for number, row in enumerate([names], 1):
            if fault := _text_fault(path, number, names, row):
                return fault
        line = rows.line_num + 1
        for row in rows:
            if row and ragged and len(row) != len(names):
                return MfxError(
                    f"{path}, line {line}: {len(row)} cells, expected {len(names)} as in the "
                    "header",
                    'Mend the row, or set ragged_rows = "reject" under [data] to leave it out.',
                )
            if fault := _text_fault(path, line, names, row):
                return fault
            for name, cell in zip(names, row, strict=False) if len(row) == len(names) else ():
                kind = types.get(name, "bytes")
                if cell not in null_values and not _fits(cell, kind):
                    return MfxError(
                        f"{path}, line {line}, column '{name}': expected "
                        f"{_EXPECTED[kind]}, found {cell!r}",
                        "Mend the cell, or name its text in null_values under [data] if it means "
                        "missing, or give the feature another type in the schema.",
                    )
            line = rows.line_num + 1
    return None


def _text_fault(path: Path, line: int, names: list[str], row: list[str]) -> MfxError | None:
    for name, cell in zip(names, row, strict=False):
        if any("\udc80" <= character <= "\udcff" for character in cell):
            shown = cell.encode("utf-8", "surrogateescape")
            return MfxError(
                f"{path}, line {line}, column {name.encode('utf-8', 'replace').decode()!r}: "
                f"not UTF-8: {shown!r}",
                "Convert the file, for example: iconv -f WINDOWS-1252 -t UTF-8 IN > OUT",
            )
    return None


def _fits(cell: str, kind: str) -> bool:
    if kind == "bytes":
        return True
    try:
        # As Arrow's CSV reader does: spaces around a number are no part of it.
        number = pa.scalar(cell.strip(" \t")).cast(TYPES[kind]).as_py()
    except pa.ArrowInvalid:
        return False
    return not math.isinf(number)
