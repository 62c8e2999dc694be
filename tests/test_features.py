"""Missing values are filled in all kinds of batches that TFT and TF Serving make."""

from __future__ import annotations

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from mfx.features import fill_missing

VALUES = {
    tf.int64: st.integers(-(2**63), 2**63 - 1),
    tf.float32: st.floats(allow_nan=False, width=32),
    tf.string: st.binary(max_size=5),
}
ZERO = {tf.int64: 0, tf.float32: 0.0, tf.string: b""}


def sparse(values: list, dtype: tf.DType, width: int = 1) -> tf.SparseTensor:
    present = [(i, v) for i, v in enumerate(values) if v is not None]
    indices = tf.reshape(tf.constant([[i, 0] for i, _ in present], tf.int64), [-1, 2])
    return tf.SparseTensor(
        indices, tf.constant([v for _, v in present], dtype), [len(values), width]
    )


@settings(max_examples=40, deadline=None)
@given(data=st.data(), dtype=st.sampled_from(list(VALUES)))
def test_values_stay_and_missing_ones_become_zero_or_empty(data, dtype):
    values = data.draw(st.lists(st.none() | VALUES[dtype], max_size=8))
    filled = fill_missing(sparse(values, dtype))
    assert filled.dtype == dtype
    assert filled.numpy().tolist() == [ZERO[dtype] if v is None else v for v in values]


@pytest.mark.parametrize(
    ("dtype", "default", "filled"),
    [(tf.int64, -1, -1), (tf.float32, 2.5, 2.5), (tf.string, "none", b"none")],
)
def test_another_default(dtype, default, filled):
    known = b"x" if dtype == tf.string else 7
    assert fill_missing(sparse([None, known], dtype), default).numpy().tolist() == [filled, known]


@pytest.mark.parametrize("width", [0, 1])
def test_a_batch_without_any_value_keeps_its_rows(width):
    """If no tf.Example of a batch has the feature, it is parsed with width 0."""
    assert fill_missing(sparse([None, None], tf.float32, width)).numpy().tolist() == [0.0, 0.0]


def test_rows_may_be_unknown_until_served():
    spec = tf.SparseTensorSpec([None, 1], tf.int64)
    served = tf.function(fill_missing, input_signature=[spec])
    for values in ([], [3], [None, 4, None]):
        expected = [v or 0 for v in values]
        assert served(sparse(values, tf.int64)).numpy().tolist() == expected
    assert served.get_concrete_function().structured_outputs.shape.as_list() == [None]


def test_a_row_of_two_values_is_not_cut_in_silence():
    two = tf.SparseTensor([[0, 0], [0, 1]], [1.0, 2.0], [1, 2])
    with pytest.raises(tf.errors.InvalidArgumentError):
        fill_missing(two)
