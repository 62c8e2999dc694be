"""Arrow rows become tf.Examples, which TensorFlow's own parser reads."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from mfx.columns.tf_examples import serialize, to_example
from mfx.columns.types import TYPES

KINDS = {"i": "int64", "f": "float32", "b": "bytes"}
SCHEMA = pa.schema([(name, TYPES[kind]) for name, kind in KINDS.items()])
PARSED = {
    "i": tf.io.VarLenFeature(tf.int64),
    "f": tf.io.VarLenFeature(tf.float32),
    "b": tf.io.VarLenFeature(tf.string),
}
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "i": st.none() | st.integers(-(2**63), 2**63 - 1),
            "f": st.none() | st.floats(allow_nan=False, width=32),
            "b": st.none() | st.binary(max_size=6),
        }
    ),
    max_size=8,
)


@settings(max_examples=50, deadline=None)
@given(rows=ROWS)
def test_what_tensorflow_parses_is_what_was_there(rows):
    """Zero and empty text are values; a missing value has no entry."""
    records = list(serialize(pa.RecordBatch.from_pylist(rows, SCHEMA)))
    assert len(records) == len(rows)
    parsed = tf.io.parse_example(tf.constant(records, tf.string), PARSED)
    for name, tensor in parsed.items():
        present = [(i, row[name]) for i, row in enumerate(rows) if row[name] is not None]
        assert tensor.indices.numpy().tolist() == [[i, 0] for i, _ in present]
        assert tensor.values.numpy().tolist() == [value for _, value in present]


def test_equal_rows_are_equal_bytes_whatever_the_column_order():
    rows = [{"i": 3, "f": 0.5, "b": b"\xff"}]
    turned = pa.schema(list(reversed(list(SCHEMA))))
    first, second = (pa.RecordBatch.from_pylist(rows, schema) for schema in (SCHEMA, turned))
    assert list(serialize(first)) == list(serialize(second))


def test_rows_are_made_one_at_a_time():
    records = serialize(pa.RecordBatch.from_pylist([{"i": 1}, {"i": 2}], SCHEMA))
    assert next(records) != next(records)
    with pytest.raises(StopIteration):
        next(records)


def test_an_example_holds_what_is_there():
    example = tf.train.Example.FromString(
        to_example({"i": 3, "f": 2.0, "b": b"\xff", "none": None, "zero": 0})
    )
    features = example.features.feature
    assert sorted(features) == ["b", "f", "i", "zero"]
    assert list(features["i"].int64_list.value) == [3]
    assert list(features["f"].float_list.value) == [2.0]
    assert list(features["b"].bytes_list.value) == [b"\xff"]
    assert list(features["zero"].int64_list.value) == [0]


def test_lists_and_numbers_of_numpy():
    row = {"i": [3, np.int64(4)], "f": (1, 2.5), "g": np.float32(0.5), "b": [b"a", b""], "none": []}
    features = tf.train.Example.FromString(to_example(row)).features.feature
    assert list(features["i"].int64_list.value) == [3, 4]
    assert list(features["f"].float_list.value) == [1.0, 2.5]
    assert list(features["g"].float_list.value) == [0.5]
    assert list(features["b"].bytes_list.value) == [b"a", b""]
    assert features["none"].WhichOneof("kind") is None


def test_an_empty_list_is_there_and_a_missing_one_is_not():
    """Read examples with the decoder that TFX uses."""
    schema = pa.schema([("i", TYPES["int64 list"]), ("b", TYPES["bytes list"])])
    rows = [{"i": [], "b": [b"x", b""]}, {"i": None, "b": []}, {"i": [7], "b": None}]
    batch = pa.RecordBatch.from_pylist(rows, schema)
    read = ExamplesToRecordBatchDecoder(None).DecodeBatch(list(serialize(batch)))
    assert sorted(read.schema.names) == ["b", "i"]
    for name in ("i", "b"):
        assert read.column(read.schema.get_field_index(name)).to_pylist() == [r[name] for r in rows]


def test_equal_rows_are_equal_bytes_in_any_order():
    assert to_example({"a": 1, "b": 2.5}) == to_example({"b": 2.5, "a": 1})


@pytest.mark.parametrize("row", [{"x": "text"}, {"x": [1.0, b"a"]}, {"x": [None]}, {"x": [[1]]}])
def test_other_values_are_not_taken_in_silence(row):
    with pytest.raises(TypeError):
        to_example(row)
