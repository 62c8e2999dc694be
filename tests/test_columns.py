"""Arrow columns with tf.Example's types."""

from __future__ import annotations

import pyarrow as pa
import pytest

from mfx.columns import as_lists, nan_to_null, narrowest


@pytest.mark.parametrize(
    ("texts", "before", "expected"),
    [
        (["1", None, "-7"], None, "int64"),
        (["1", "2.5"], None, "float32"),
        (["1", "2"], "float32", "float32"),
        (["9223372036854775808"], None, "float32"),
        (["1", "x"], None, "bytes"),
        (["1"], "bytes", "bytes"),
        ([None, None], None, None),
        ([None], "int64", "int64"),
    ],
)
def test_the_narrowest_type_that_fits(texts, before, expected):
    assert narrowest(pa.array(texts, pa.string()), before) == expected


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
