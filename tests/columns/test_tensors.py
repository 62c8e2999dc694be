"""Transformed features to Arrow and back: values, shapes, what cannot be stored."""

from __future__ import annotations

import pytest
import tensorflow as tf

from mfx.columns.tensors import check_feature, description, to_batch, to_numpy
from mfx.errors import MfxError


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
