"""Columns with tf.Example's types in Arrow."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from mfx.columns.types import (
    TYPES,
    as_lists,
    is_list,
    kind_of,
    lengths,
    list_kind,
    nan_to_null,
    value_kind,
    values_of,
)


def test_nan_becomes_missing():
    made = nan_to_null(pa.array([1.0, float("nan"), None], pa.float32()))
    assert made.to_pylist() == [1.0, None, None]


def test_names_of_types():
    assert [name for name in TYPES if is_list(name)] == ["int64 list", "float32 list", "bytes list"]
    assert {value_kind(name) for name in TYPES} == {"int64", "float32", "bytes"}
    assert list_kind("bytes") == list_kind("bytes list") == "bytes list"
    assert all(kind_of(kind) == name for name, kind in TYPES.items())
    assert kind_of(pa.int32()) is None


LISTS = pa.array([[1, 2], [], None, [3]], TYPES["int64 list"])


def test_lists_stay_lists_and_empty_is_not_missing():
    batch = pa.RecordBatch.from_arrays([LISTS], ["n"])
    assert as_lists(batch).column(0).to_pylist() == [[1, 2], [], None, [3]]
    assert as_lists(batch.slice(1, 2)).column(0).to_pylist() == [[], None]


def test_values_and_lengths_of_lists_and_of_single_values():
    assert values_of(LISTS).to_pylist() == [1, 2, 3]
    assert values_of(LISTS.slice(1)).to_pylist() == [3]
    assert lengths(LISTS).tolist() == [2, 0, 0, 1]
    single = pa.array([5, None], pa.int64())
    assert values_of(single).to_pylist() == [5]
    assert lengths(single).tolist() == [1, 0]
    assert lengths(LISTS.slice(0, 0)).tolist() == []


BATCH = pa.RecordBatch.from_arrays(
    [pa.array([3, None, 5], pa.int64()), pa.array([None, b"", b"b"]), pa.nulls(3, pa.float32())],
    names=["number", "word", "nothing"],
)


def test_values_become_lists_of_one_and_missing_ones_null():
    made = as_lists(BATCH)
    assert made.column(0).to_pylist() == [[3], None, [5]]
    assert made.column(1).to_pylist() == [None, [b""], [b"b"]]
    assert made.column(2).to_pylist() == [None, None, None]
    assert [field.type.value_type for field in made.schema] == BATCH.schema.types


def test_slices_and_empty_batches_become_lists_too():
    assert as_lists(BATCH.slice(1)).column(0).to_pylist() == [None, [5]]
    assert as_lists(BATCH.slice(0, 0)).num_rows == 0


def test_batches_without_rows_or_values_keep_their_type():
    for part in (BATCH.slice(3), BATCH.slice(1, 0), BATCH.slice(0, 1)):
        made = as_lists(part)
        assert [field.type.value_type for field in made.schema] == BATCH.schema.types
        assert made.schema.names == BATCH.schema.names


COLUMN = st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=12)


@given(COLUMN, st.integers(0, 12), st.integers(0, 12))
@settings(max_examples=80, deadline=None)
def test_lists_hold_what_the_rows_held(values, start, length):
    batch = pa.RecordBatch.from_arrays([pa.array(values, pa.int64())], ["n"]).slice(start, length)
    (column,) = as_lists(batch).columns
    column.validate(full=True)
    expected = [None if v is None else [v] for v in values[start : start + length]]
    assert column.to_pylist() == expected
    assert column.flatten().to_pylist() == [v[0] for v in expected if v]
