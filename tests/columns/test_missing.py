"""The values that mean "missing" in dense tensors are put in and found again."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from mfx.columns import missing


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1.5, None, 0.0], tf.float32),
        ([1, None, 0, -1], tf.int64),
        ([b"a", None, b"\xff"], tf.string),
        ([], tf.int64),
    ],
)
def test_what_stands_for_missing_is_not_present(values, dtype):
    filled = [missing.encoded(dtype) if value is None else value for value in values]
    tensor = tf.constant(filled, dtype)
    assert missing.present(tensor).numpy().tolist() == [value is not None for value in values]


def test_text_is_bytes_in_a_tensor():
    assert missing.encoded(tf.string) == b""
    assert np.isnan(missing.encoded(tf.float32))


def test_only_tf_examples_dtypes_can_miss():
    with pytest.raises(KeyError):
        missing.encoded(tf.int32)
