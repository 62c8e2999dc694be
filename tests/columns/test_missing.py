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
def test_what_is_filled_in_is_not_present(values, dtype):
    filled = missing.filled(values, dtype)
    tensor = tf.constant(filled, dtype)
    assert missing.present(tensor).numpy().tolist() == [value is not None for value in values]
    assert [v for v in filled if v in values] == [v for v in values if v is not None]


def test_text_is_bytes_in_a_tensor():
    assert missing.filled([None], tf.string) == [b""] == [missing.encoded(tf.string)]
    assert np.isnan(missing.encoded(tf.float32))


def test_only_tf_examples_dtypes_can_miss():
    with pytest.raises(KeyError):
        missing.filled([None], tf.int32)
