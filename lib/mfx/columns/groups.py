"""Rows by the values that they have in some columns: what slices are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from mfx.columns.types import holds_lists, lengths, rows_of, values_of


def grouped(columns: Sequence[pa.Array]) -> Iterator[tuple[tuple[Any, ...], np.ndarray]]:
    """Each combination of values, and the rows that have it, ascending.

    A row with lists is in a group for each of their values, once, and for each combination of those
    of several columns. A row without a value in one of the columns is in no group.

    Args:
        columns: One or more of the types in `columns.types.TYPES`, of equal length.
    """
    rows, group = np.arange(len(columns[0])), np.zeros(len(columns[0]), np.int64)
    dictionaries: list[pa.Array] = []
    codes_by_column: list[np.ndarray] = []
    for column in columns:
        values, in_row, codes = _codes(column)
        starts, counts = (np.cumsum(in_row) - in_row)[rows], in_row[rows]
        if (counts == 1).all():
            here = codes[starts]
        else:
            repeated = np.repeat(np.arange(len(rows)), counts)
            within = np.arange(len(repeated)) - np.repeat(np.cumsum(counts) - counts, counts)
            here = codes[starts[repeated] + within]
            rows, group = rows[repeated], group[repeated]
            codes_by_column = [earlier[repeated] for earlier in codes_by_column]
        dictionaries.append(values)
        codes_by_column.append(here)
        # Numbered anew after each column, so that no product of sizes overflows.
        group = numbered(group * max(len(values), 1) + here)[1].astype(np.int64)
    if not len(rows):
        return
    sizes = np.bincount(group)
    # NumPy sorts numbers of 16 bits by radix, in one pass.
    small = group.astype(np.uint16) if len(sizes) < 1 << 16 else group
    order = np.argsort(small, kind="stable")
    for chosen in np.split(order, np.cumsum(sizes)[:-1]):
        first = chosen[0]
        key = tuple(
            values[int(codes[first])].as_py()
            for values, codes in zip(dictionaries, codes_by_column, strict=True)
        )
        yield key, rows[chosen]


def _codes(column: pa.Array) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    """The distinct values; how many of them each row has; and their numbers, row by row."""
    encoded = values_of(column).dictionary_encode()
    codes = np.asarray(encoded.indices).astype(np.int64)
    if not holds_lists(column):
        return encoded.dictionary, lengths(column), codes
    size = max(len(encoded.dictionary), 1)
    of_row, codes = np.divmod(np.unique(rows_of(column) * size + codes), size)
    return encoded.dictionary, np.bincount(of_row, minlength=len(column)), codes


def numbered(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values, and for each value its place among them; by hash, faster than sorted."""
    encoded = pa.array(values).dictionary_encode()
    return encoded.dictionary.to_numpy(), encoded.indices.to_numpy()
