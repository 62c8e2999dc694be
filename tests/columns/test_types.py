"""Arrow columns with tf.Example's types."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from mfx.columns.types import as_lists, nan_to_null


def test_nan_becomes_missing():
    made = nan_to_null(pa.array([1.0, float("nan"), None], pa.float32()))
    assert made.to_pylist() == [1.0, None, None]


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
