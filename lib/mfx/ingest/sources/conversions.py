"""From Arrow columns to values, and from what a rule of `arrow_types` makes to a column's type."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mfx.columns import number_text
from mfx.columns.types import SINGLE
from mfx.ingest.sources import arrow_types
from mfx.ingest.sources.arrow_types import Made


def split_up(column: pa.Array) -> tuple[pa.Array, np.ndarray | None]:
    """All values of a column in row order, without dictionaries; and how many each row has, 0
    where a list is missing, or None where rows have single values, null where missing."""
    _, listed = arrow_types.value_type(column.type)
    if not listed:
        return _decoded(column), None
    present = column.drop_null()
    if pa.types.is_fixed_size_list(column.type):
        counts = np.where(np.asarray(column.is_valid()), column.type.list_size, 0)
    else:
        counts = np.asarray(pc.list_value_length(column).fill_null(0), np.int64)
    return _decoded(present.flatten()), counts.astype(np.int64)


def _decoded(values: pa.Array) -> pa.Array:
    while pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return values


def short_name(kind: pa.DataType) -> str:
    """The name of a type that a rule makes."""
    return "float64" if kind == pa.float64() else next(n for n, k in SINGLE.items() if k == kind)


def is_lost(numbers: np.ndarray) -> np.ndarray:
    """Which whole numbers are others as float32."""
    if numbers.dtype == np.float32:
        return np.zeros(len(numbers), bool)
    with np.errstate(over="ignore", invalid="ignore"):
        if numbers.dtype == np.int64:
            rounded = numbers.astype(np.float32).astype(np.float64)
            # As float64 the largest int64 is beyond int64.
            within = abs(rounded) < 2.0**63
            return ~within | (np.where(within, rounded, 0).astype(np.int64) != numbers)
        whole = np.isfinite(numbers) & (np.floor(numbers) == numbers)
        return whole & (numbers.astype(np.float32) != numbers)


def _same(values: pa.Array) -> Made:
    return values, None


def _whole_to_float(values: pa.Array) -> Made:
    numbers = np.asarray(values.fill_null(0)).astype(np.float32)
    return pa.array(numbers, mask=np.asarray(values.is_null())), None


def _digits(values: pa.Array) -> Made:
    return values.cast(pa.string()).cast(pa.binary()), None


def _to_float32(values: pa.Array) -> Made:
    numbers = np.asarray(values.fill_null(0))
    with np.errstate(over="ignore"):
        made = numbers.astype(np.float32)
    bad = np.isinf(made)
    missing = np.asarray(values.is_null()) | np.isnan(made) | bad
    return pa.array(made, mask=missing), bad if bad.any() else None


def _to_whole(values: pa.Array) -> Made:
    numbers = np.asarray(values.fill_null(0))
    nan = np.isnan(numbers)
    with np.errstate(invalid="ignore"):
        good = (np.floor(numbers) == numbers) & (abs(numbers) < 2.0**63)
    made = np.where(good, numbers, 0).astype(np.int64)
    bad = ~good & ~nan
    return pa.array(made, mask=np.asarray(values.is_null()) | ~good), bad if bad.any() else None


def _never(values: pa.Array) -> Made:
    there = np.asarray(values.is_valid())
    return pa.nulls(len(values), pa.binary()), there if there.any() else None


def _from_text(convert: Callable[[pa.Array], Made]) -> Callable[[pa.Array], Made]:
    def made(values: pa.Array) -> Made:
        try:
            return convert(values.cast(pa.string()))
        except pa.ArrowInvalid:
            texts = [
                None if v is None else v.decode("utf-8", "replace") for v in values.to_pylist()
            ]
            return convert(pa.array(texts, pa.string()))

    return made


EXPECTED = {"int64": "an integer", "float32": "a finite number", "bytes": "text"}
"""What a value should be, in words, for each type of a column."""
NULL_AS = {"int64": "int64", "float32": "float32", "float64": "float32", "bytes": "bytes"}
"""As what a text of `null_values` is read, for each type that a rule makes."""

TO: dict[tuple[str, str], Callable[[pa.Array], Made]] = {
    ("int64", "int64"): _same,
    ("int64", "float32"): _whole_to_float,
    ("int64", "bytes"): _digits,
    ("float32", "float32"): _to_float32,
    ("float64", "float32"): _to_float32,
    ("float32", "int64"): _to_whole,
    ("float64", "int64"): _to_whole,
    ("float32", "bytes"): _never,
    ("float64", "bytes"): _never,
    ("bytes", "bytes"): _same,
    ("bytes", "int64"): _from_text(number_text.to_int64),
    ("bytes", "float32"): _from_text(number_text.to_float32),
}
"""Functions from what a rule makes to what a column is to be, by both types' names."""
