"""From Arrow to TensorFlow and back: values, missing values, shapes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from mfx.columns.missing import MISSING
from mfx.columns.tensors import (
    check_feature,
    dense_inputs,
    description,
    sparse_inputs,
    to_batch,
    to_numpy,
)
from mfx.columns.types import TYPES
from mfx.errors import MfxError

VALUES = {"i": [1, None, -3], "f": [None, 0.5, 0.0], "b": [b"x", b"", None]}
KINDS = {"i": "int64", "f": "float32", "b": "bytes"}
BATCH = pa.RecordBatch.from_pydict(VALUES, pa.schema([(n, TYPES[k]) for n, k in KINDS.items()]))
DTYPES = {"i": tf.int64, "f": tf.float32, "b": tf.string}


@pytest.mark.parametrize("name", VALUES)
def test_missing_values_have_no_entry_in_sparse_tensors(name):
    tensor = sparse_inputs(BATCH, [name])[name]
    assert tensor.dtype == DTYPES[name]
    assert tensor.dense_shape.numpy().tolist() == [3, 1]
    present = [(i, v) for i, v in enumerate(VALUES[name]) if v is not None]
    assert tensor.indices.numpy().tolist() == [[i, 0] for i, _ in present]
    assert tensor.values.numpy().tolist() == [v for _, v in present]


def test_a_column_without_values_is_an_empty_tensor():
    batch = pa.RecordBatch.from_pydict({"f": [None, None]}, pa.schema([("f", pa.float32())]))
    tensor = sparse_inputs(batch, ["f"])["f"]
    assert tensor.values.shape == [0]
    assert tf.sparse.to_dense(tensor).numpy().tolist() == [[0.0], [0.0]]


@pytest.mark.parametrize("name", VALUES)
def test_missing_values_stand_as_said_in_dense_tensors(name):
    spec = {name: tf.TensorSpec([None], DTYPES[name])}
    values = dense_inputs(BATCH, spec)[name].numpy().tolist()
    missing = MISSING[DTYPES[name]]
    missing = missing.encode() if isinstance(missing, str) else missing
    expected = [missing if v is None else v for v in VALUES[name]]
    np.testing.assert_equal(values, expected)


def test_features_come_back_as_they_went():
    features = {
        "wide": tf.constant([[1.0, 2.0], [3.0, 4.0]]),
        "flat": tf.constant([7, 8], tf.int64),
        "text": tf.constant([b"a", b"b"]),
    }
    batch = to_batch(features)
    assert batch.schema.names == ["flat", "text", "wide"]
    arrays = to_numpy(batch)
    for name, feature in features.items():
        assert arrays[name].tolist() == feature.numpy().tolist()
    assert arrays["wide"].shape == (2, 2)


def test_part_of_a_batch_keeps_its_rows():
    batch = to_batch({"wide": tf.reshape(tf.range(6.0), [3, 2])}).slice(1, 2)
    assert to_numpy(batch)["wide"].tolist() == [[2.0, 3.0], [4.0, 5.0]]


@pytest.mark.parametrize(
    "feature",
    [
        tf.sparse.from_dense([[1.0]]),
        tf.ragged.constant([[1.0], []]),
        tf.zeros([2, 2, 2]),
        tf.constant(1.0),
    ],
)
def test_what_has_no_column_is_one_error(feature):
    with pytest.raises(MfxError, match="feature 'odd'"):
        to_batch({"odd": feature})


def test_a_feature_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="no feature 'gone'"):
        sparse_inputs(BATCH, ["i", "gone"])
    with pytest.raises(ValueError, match="no feature 'gone'"):
        dense_inputs(BATCH, {"gone": tf.TensorSpec([None], tf.float32)})


@pytest.mark.parametrize(
    ("feature", "shown"),
    [
        (tf.zeros([2, 3]), "Tensor of float32, shape [2, 3]"),
        (tf.sparse.from_dense([[1, 0]]), "SparseTensor of int32, shape [1, 2]"),
        (tf.ragged.constant([[b"a"], []]), "RaggedTensor of string, shape [2, None]"),
        ([1, 2], "list, not a tensor"),
    ],
)
def test_a_tensor_is_described_without_its_values(feature, shown):
    assert description(feature) == shown


@pytest.mark.parametrize("dtype", [tf.bool, tf.int32, tf.float64])
def test_a_type_that_examples_lack_is_one_error(dtype):
    with pytest.raises(MfxError, match=rf"feature 'x' is Tensor of {dtype.name}") as caught:
        check_feature("x", tf.zeros([2], dtype), "preprocessing_fn")
    assert "tf.cast" in caught.value.remedy
