"""Rows divided by a column: by where each split begins in it, or by its values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mfx.config import Split
from mfx.config.times import PLAIN, WRITTEN, microseconds
from mfx.errors import MfxError

LEFT_OUT = -1
"""The place of a row that is in no split."""
_PER_UNIT = {"s": 1_000_000, "ms": 1_000, "us": 1}
"""Microseconds in a unit."""
_SHOWN = 5


class Places(NamedTuple):
    """Where rows go.

    Attributes:
        places: For each row the place of its split among `Split.names`, or LEFT_OUT; int64 of shape
            [rows].
        left_out: How many rows are in no split, by reason.
    """

    places: np.ndarray
    left_out: dict[str, int]


def check(split: Split, columns: Mapping[str, str]) -> None:
    """Check that a column can decide as `split` says.

    Args:
        split: How rows are divided.
        columns: Each column's type, a name in `columns.types.TYPES`.

    Raises:
        MfxError: The type of the column does not fit.
    """
    if split.by is None:
        return
    kind, wanted = columns[split.by], _TAKES[split.kind]
    if kind not in wanted:
        raise MfxError(
            f"data.split.by: column '{split.by}' is {kind}, expected {' or '.join(wanted)}",
            "Divide by another column, or give this one another type in the schema.",
        )
    one = _first(split)
    if isinstance(one, str) != (kind == "bytes") and not (kind == "int64" and split.begins):
        what, found = ("texts", "numbers") if kind == "bytes" else ("numbers", "texts")
        raise MfxError(
            f"data.split.{split.kind}: column '{split.by}' is {kind}, expected {what}, found "
            f"{found} such as {one!r}",
            "Write them as they are in the column, or give it another type in the schema.",
        )
    if split.unit and kind != "int64":
        raise MfxError(
            f"data.split.unit: means nothing for column '{split.by}', which is {kind}",
            "Remove unit: it is for columns of whole numbers.",
        )


def _first(split: Split) -> str | int | float:
    if split.begins is not None:
        return next(iter(split.begins.values()))
    return next(iter((split.values or {}).values()))[0]


def by_begins(batch: pa.RecordBatch, split: Split, where: str) -> Places:
    """Divide rows by where splits begin; see `config.Split.begins`.

    Raises:
        MfxError: A row has no value, or a text is no time.
    """
    column, places, left_out = _started(batch, split, where)
    numbers, begins = _comparable(column, split, where)
    ordered = sorted(begins, key=begins.__getitem__)
    before = [name for name in split.names if name not in begins]
    in_turn = [split.names.index(before[0]) if before else LEFT_OUT]
    in_turn += [split.names.index(name) for name in ordered]
    bounds = np.array([begins[name] for name in ordered], numbers.dtype)
    found = np.array(in_turn)[np.searchsorted(bounds, numbers, side="right")]
    present = np.asarray(column.is_valid())
    if early := int((present & (found == LEFT_OUT)).sum()):
        first = (split.begins or {})[ordered[0]]
        left_out[f"{split.by} before {first}, where {ordered[0]}, the first split, begins"] = early
    return Places(np.where(present, found, places), left_out)


def _comparable(
    column: pa.Array, split: Split, where: str
) -> tuple[np.ndarray, dict[str, int | float]]:
    """The column as numbers, any where it has no value; and where each split begins in these."""
    begins = {
        name: microseconds(one) if isinstance(one, str) else one
        for name, one in (split.begins or {}).items()
    }
    if pa.types.is_binary(column.type):
        return _times(column, where, split.by or ""), begins
    numbers = np.asarray(column.fill_null(0))
    if numbers.dtype == np.float32:
        # As values in the column are: 0.7 begins where 0.7 is, although float32 has another 0.7.
        return numbers, {name: float(np.float32(one)) for name, one in begins.items()}
    unit = 1 if isinstance(_first(split), (int, float)) else _PER_UNIT[split.unit or "us"]
    whole = {n: -(-one // unit) if isinstance(one, int) else one for n, one in begins.items()}
    return numbers, {name: math.ceil(one) for name, one in whole.items()}


def _times(column: pa.Array, where: str, name: str) -> np.ndarray:
    """Texts as microseconds since 1970; each distinct one is read once."""
    encoded = column.dictionary_encode()
    texts = encoded.dictionary
    found = None
    try:
        words = texts.cast(pa.string())
        if pc.all(pc.match_substring_regex(words, PLAIN)).as_py() is not False:
            plain = pc.replace_substring_regex(words, " ?Z$", "")
            found = np.asarray(plain.cast(pa.timestamp("us")).cast(pa.int64()))
    except pa.ArrowInvalid:  # The slow way tells which text it is.
        pass
    if found is None:
        found = np.array([_time(text, where, name) for text in texts.to_pylist()], np.int64)
    codes = encoded.indices.fill_null(0).to_numpy()
    return found[codes] if len(found) else np.zeros(len(column), np.int64)


def _time(text: bytes, where: str, name: str) -> int:
    try:
        return microseconds(text.decode())
    except ValueError:
        raise MfxError(
            f"{where}: column '{name}', which divides the rows by time: expected a time {WRITTEN}, "
            f"found {text!r:.80}",
            "Mend the text, or name it in null_values under [data] if it means missing, or divide "
            "the rows in another way (split under [data]).",
        ) from None


def by_values(batch: pa.RecordBatch, split: Split, where: str) -> Places:
    """Divide rows by their values in a column; see `config.Split.values`.

    Raises:
        MfxError: A row has no value, or one that no split names.
    """
    column, places, left_out = _started(batch, split, where)
    named = [
        (one, split.names.index(name)) for name, all in (split.values or {}).items() for one in all
    ]
    known = [one.encode() if isinstance(one, str) else one for one, _ in named]
    at = pc.index_in(column, value_set=pa.array(known, column.type))
    other = np.asarray(column.is_valid()) & np.asarray(at.is_null())
    if other.any():
        reason = f"{split.by} is not among the values of a split"
        left_out[reason] = int(other.sum())
        if split.others == "stop":
            found = column.filter(pa.array(other)).unique()
            shown = ", ".join(map(_shown, found.slice(0, _SHOWN).to_pylist()))
            raise MfxError(
                f"{where}: rows whose '{split.by}' no split names: {shown}"
                + (", …" if len(found) > _SHOWN else ""),
                'Name the values in split.values under [data], or set others = "drop" in split to '
                "leave such rows out; they are counted.",
            )
    found = np.array([place for _, place in named])[np.asarray(at.fill_null(0))]
    return Places(np.where(np.asarray(at.is_valid()), found, places), left_out)


def _shown(value: bytes | int) -> str:
    return repr(value.decode(errors="replace"))[:80] if isinstance(value, bytes) else str(value)


def _started(
    batch: pa.RecordBatch, split: Split, where: str
) -> tuple[pa.Array, np.ndarray, dict[str, int]]:
    """The column that decides, a place for each row to begin with, and how many have no value."""
    column = batch.column(batch.schema.get_field_index(split.by))
    without = column.null_count
    if without and split.missing == "stop":
        raise MfxError(
            f"{where}: rows without a value in '{split.by}', which says their split",
            'Mend the rows, or set missing = "drop" in split under [data] to leave them out; they '
            "are counted.",
        )
    left_out = {f"no {split.by}, which says the split": without} if without else {}
    return column, np.full(batch.num_rows, LEFT_OUT), left_out


_TAKES: Mapping[str, tuple[str, ...]] = {
    "begins": ("int64", "float32", "bytes"),
    "values": ("int64", "bytes"),
}
"""Types of columns by which rows can be divided, for each kind of `config.Split`."""
