"""Raw features as the transform graph and as `predict` take them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import schema_pb2

from mfx.columns.missing import MISSING
from mfx.columns.raw_features import dense_inputs, dense_specs, from_dense, raw_inputs
from mfx.columns.tf_examples import serialize
from mfx.columns.types import TYPES
from mfx.errors import MfxError

VALUES = {"i": [1, None, -3], "f": [None, 0.5, 0.0], "b": [b"x", b"", None]}
KINDS = {"i": "int64", "f": "float32", "b": "bytes"}
BATCH = pa.RecordBatch.from_pydict(VALUES, pa.schema([(n, TYPES[k]) for n, k in KINDS.items()]))
DTYPES = {"i": tf.int64, "f": tf.float32, "b": tf.string}

LISTS = {
    "i": [[1, 2], [], None, [3]],
    "f": [[0.5], [1.5, -2.0, 0.0], None, []],
    "b": [None, [b"a", b"", b"c"], [], [b"d"]],
}
LIST_BATCH = pa.RecordBatch.from_pydict(
    LISTS, pa.schema([(n, TYPES[f"{k} list"]) for n, k in KINDS.items()])
)


def sparse(names):
    return {name: tf.io.VarLenFeature(DTYPES[name]) for name in names}


def ragged(names):
    return {
        name: tf.io.RaggedFeature(DTYPES[name], name, row_splits_dtype=tf.int64) for name in names
    }


@pytest.mark.parametrize("name", VALUES)
def test_missing_values_have_no_entry_in_sparse_tensors(name):
    tensor = raw_inputs(BATCH, sparse([name]))[name]
    assert tensor.dtype == DTYPES[name]
    assert tensor.dense_shape.numpy().tolist() == [3, 1]
    present = [(i, v) for i, v in enumerate(VALUES[name]) if v is not None]
    assert tensor.indices.numpy().tolist() == [[i, 0] for i, _ in present]
    assert tensor.values.numpy().tolist() == [v for _, v in present]


def test_a_column_without_values_is_an_empty_tensor():
    batch = pa.RecordBatch.from_pydict({"f": [None, None]}, pa.schema([("f", pa.float32())]))
    tensor = raw_inputs(batch, sparse(["f"]))["f"]
    assert tensor.values.shape == [0]
    assert tf.sparse.to_dense(tensor).numpy().tolist() == [[0.0], [0.0]]


@pytest.mark.parametrize("batch", [LIST_BATCH, LIST_BATCH.slice(1, 2), LIST_BATCH.slice(2, 1)])
@pytest.mark.parametrize("name", LISTS)
def test_lists_are_what_tensorflow_parses_of_tf_examples(batch, name):
    for spec in (sparse([name]), ragged([name])):
        ours = raw_inputs(batch, spec)[name]
        theirs = tf.io.parse_example(tf.constant(list(serialize(batch))), spec)[name]
        assert ours.dtype == theirs.dtype
        if isinstance(ours, tf.SparseTensor):
            assert ours.indices.numpy().tolist() == theirs.indices.numpy().tolist()
            assert ours.dense_shape[1] == max(1, theirs.dense_shape[1])
            assert ours.values.numpy().tolist() == theirs.values.numpy().tolist()
        else:
            assert ours.to_list() == theirs.to_list()


IMAGES = pa.RecordBatch.from_pydict(
    {"f": [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]}, pa.schema([("f", TYPES["float32 list"])])
)


def test_lists_with_a_shape_are_dense():
    spec = {"f": tf.io.FixedLenFeature([2, 2], tf.float32)}
    ours = raw_inputs(IMAGES, spec)["f"]
    theirs = tf.io.parse_example(tf.constant(list(serialize(IMAGES))), spec)["f"]
    assert ours.numpy().tolist() == theirs.numpy().tolist() == [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]


def test_a_missing_list_with_a_shape_is_its_default():
    spec = {"f": tf.io.FixedLenFeature([2], tf.float32, [9.0, 8.0])}
    batch = pa.RecordBatch.from_pydict(
        {"f": [None, [1.0, 2.0]]}, pa.schema([("f", TYPES["float32 list"])])
    )
    assert raw_inputs(batch, spec)["f"].numpy().tolist() == [[9.0, 8.0], [1.0, 2.0]]


def test_a_list_of_another_length_than_its_shape_is_one_error():
    spec = {"f": tf.io.FixedLenFeature([3], tf.float32)}
    with pytest.raises(MfxError, match=r"feature 'f': a row with 4 values, expected 3, .* \[3\]"):
        raw_inputs(IMAGES, spec)


@pytest.mark.parametrize("name", VALUES)
def test_missing_values_stand_as_said_in_dense_tensors(name):
    spec = {name: tf.TensorSpec([None], DTYPES[name])}
    values = dense_inputs(BATCH, spec)[name].numpy().tolist()
    missing = MISSING[DTYPES[name]]
    missing = missing.encode() if isinstance(missing, str) else missing
    expected = [missing if v is None else v for v in VALUES[name]]
    np.testing.assert_equal(values, expected)


def test_lists_are_filled_up_to_the_longest():
    spec = {"i": tf.TensorSpec([None, None], tf.int64)}
    low = tf.int64.min
    assert dense_inputs(LIST_BATCH, spec)["i"].numpy().tolist() == [
        [1, 2],
        [low, low],
        [low, low],
        [3, low],
    ]


WORDS = st.lists(st.none() | st.lists(st.binary(min_size=1, max_size=2), max_size=3), max_size=5)
NUMBERS = st.lists(st.none() | st.lists(st.integers(-(2**62), 2**62), max_size=3), max_size=5)


@given(WORDS, NUMBERS)
@settings(max_examples=40, deadline=None)
def test_what_predict_is_given_becomes_what_the_graph_takes(words, numbers):
    rows = min(len(words), len(numbers))
    batch = pa.RecordBatch.from_pydict(
        {"b": words[:rows], "i": numbers[:rows]},
        pa.schema([("b", TYPES["bytes list"]), ("i", TYPES["int64 list"])]),
    )
    for specs in (sparse("bi"), ragged("bi")):
        dense = dense_inputs(
            batch, {name: tf.TensorSpec([None, None], spec.dtype) for name, spec in specs.items()}
        )
        for name, expected in raw_inputs(batch, specs).items():
            made = from_dense(dense[name], specs[name])
            if isinstance(expected, tf.SparseTensor):
                made, expected = map(tf.RaggedTensor.from_sparse, (made, expected))
            assert made.to_list() == expected.to_list()


def test_the_schema_says_which_shape_predict_takes():
    schema = text_format.Parse(
        """
        feature { name: "one" type: INT value_count { max: 1 } }
        feature { name: "many" type: INT value_count { min: 0 } }
        feature { name: "image" type: FLOAT shape { dim { size: 28 } dim { size: 28 } } }
        feature { name: "old" type: BYTES }
        """,
        schema_pb2.Schema(),
    )
    specs = {
        "one": tf.io.VarLenFeature(tf.int64),
        "many": tf.io.VarLenFeature(tf.int64),
        "image": tf.io.FixedLenFeature([28, 28], tf.float32),
        "old": tf.io.VarLenFeature(tf.string),
    }
    made = {name: spec.shape.as_list() for name, spec in dense_specs(specs, schema).items()}
    assert made == {"one": [None], "many": [None, None], "image": [None, 28, 28], "old": [None]}


def test_a_feature_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="no feature 'gone'"):
        raw_inputs(BATCH, sparse("i") | {"gone": tf.io.VarLenFeature(tf.int64)})
    with pytest.raises(ValueError, match="no feature 'gone'"):
        dense_inputs(BATCH, {"gone": tf.TensorSpec([None], tf.float32)})
