"""Assign rows to splits: by a hash of their values, by a column, or by the files.

The result is the same on any machine and with any number of shards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from mfx.artifacts import SourceFile
from mfx.columns.types import holds_lists, lengths, values_of
from mfx.config import Split
from mfx.ingest import by_column
from mfx.ingest.by_column import Places

_MISSING = np.uint64(0x9E3779B97F4A7C15)
_PRIME = np.uint64(0x100000001B3)


def row_hash(batch: pa.RecordBatch, key: Sequence[str] = (), exact: bool = False) -> np.ndarray:
    """Hash each row's values.

    The order of columns does not matter. A missing value has its own hash. Values are hashed
    by `pandas.util.hash_array`, whose result is the same in all versions. The columns' hashes are
    combined in the order of names, as FNV-1a combines bytes
    (http://www.isthe.com/chongo/tech/comp/fnv/), and mixed by MurmurHash3's finalizer.

    Args:
        batch: Columns of the types in `columns.types.TYPES`.
        key: Columns to hash; all columns if empty.
        exact: Whether -0.0 has another hash than 0.0.

    Returns:
        uint64 array of shape [rows].
    """
    combined = np.full(batch.num_rows, 0xCBF29CE484222325, dtype=np.uint64)
    for name in sorted(key or batch.schema.names):
        column = batch.column(batch.schema.get_field_index(name))
        combined = (combined ^ _column_hash(column, exact)) * _PRIME
    combined ^= combined >> np.uint64(33)
    combined *= np.uint64(0xFF51AFD7ED558CCD)
    combined ^= combined >> np.uint64(33)
    return combined


def _column_hash(column: pa.Array, exact: bool) -> np.ndarray:
    if pa.types.is_null(column.type):
        return np.full(len(column), _MISSING)
    hashes = _list_hash(column, exact) if holds_lists(column) else _value_hash(column, exact)
    return np.where(np.asarray(column.is_null()), _MISSING, hashes)


def _value_hash(column: pa.Array, exact: bool) -> np.ndarray:
    """Each value's hash; of what is missing, any."""
    if pa.types.is_binary(column.type):
        # Each distinct text is hashed once.
        encoded = column.dictionary_encode()
        # Pandas hashes bytes as it hashes the text that they encode.
        words = encoded.dictionary.to_numpy(zero_copy_only=False)
        distinct = pd.util.hash_array(words, categorize=False)
        codes = encoded.indices.fill_null(0).to_numpy()
        return distinct[codes] if len(distinct) else np.full(len(column), _MISSING)
    # -0.0 equals 0.0 but has other bits. Adding 0 turns it into 0.0.
    values = column.fill_null(0).to_numpy(zero_copy_only=False)
    return pd.util.hash_array(values if exact else values + values.dtype.type(0))


def _list_hash(column: pa.Array, exact: bool) -> np.ndarray:
    """Each list's hash: a sum of its values' hashes, each times an odd number of its place."""
    counts = lengths(column)
    ends = np.cumsum(counts)
    places = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
    factors = pd.util.hash_array(np.arange(counts.max(initial=0))) | np.uint64(1)
    products = _value_hash(values_of(column), exact) * factors[places]
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(products, dtype=np.uint64)])
    return (sums[ends] - sums[ends - counts]) ^ (counts.astype(np.uint64) * _PRIME)


def _by_hash(batch: pa.RecordBatch, split: Split, file: SourceFile) -> Places:
    """Rows with equal keys are in one split; a split has each number of a hash up to its share."""
    ends = np.cumsum([*split.shares.values()]).astype(np.uint64)
    bucket = row_hash(batch, split.key) % ends[-1]
    return Places(np.searchsorted(ends, bucket, side="right"), {})


def _by_file(batch: pa.RecordBatch, split: Split, file: SourceFile) -> Places:
    return Places(np.full(batch.num_rows, split.names.index(file.split)), {})


KINDS: Mapping[str, Callable[[pa.RecordBatch, Split, SourceFile], Places]] = {
    "shares": _by_hash,
    "begins": lambda batch, split, file: by_column.by_begins(batch, split, file.path),
    "values": lambda batch, split, file: by_column.by_values(batch, split, file.path),
    "files": _by_file,
}
"""A function for each kind of `config.Split`. None looks at other rows than the given ones, so how
rows lie in batches and shards does not show."""


def by_split(
    batch: pa.RecordBatch, split: Split, file: SourceFile, left_out: dict[str, int]
) -> dict[str, pa.RecordBatch]:
    """The rows of each split, in their order. A row is in one split, or left out.

    Args:
        batch: Some rows of a file.
        split: How they are divided.
        file: The file.
        left_out: Gets the number of rows that are in no split, by reason.

    Raises:
        MfxError: A row has no split, and the config does not say to leave it out.
    """
    places, reasons = KINDS[split.kind](batch, split, file)
    for reason, rows in reasons.items():
        left_out[reason] = left_out.get(reason, 0) + rows
    return {name: batch.filter(pa.array(places == place)) for place, name in enumerate(split.names)}
