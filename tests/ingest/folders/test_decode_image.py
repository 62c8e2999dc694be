"""What `ingest` takes for an image is what `tf.io.decode_image` decodes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers.images import FORMATS

from mfx.ingest.folders import images


def _fits(data: bytes) -> bool:
    try:
        images.value(data)
    except ValueError:
        return False
    return True


def _decodes(data: bytes) -> bool:
    try:
        tf.io.decode_image(data, channels=3)
    except tf.errors.InvalidArgumentError:
        return False
    return True


@pytest.mark.parametrize("kind", FORMATS)
def test_what_fits_is_decoded_later(kind):
    images.prepare()
    random = np.random.default_rng(5)
    assert _fits(FORMATS[kind]) and _decodes(FORMATS[kind])
    if "GIF" in kind:
        return  # Of damage within frames, what Pillow notices is not what TensorFlow does.
    fitting = 0
    for _ in range(300):
        data = bytearray(FORMATS[kind])
        for place in random.integers(0, len(data), random.integers(1, 4)):
            data[place] = random.integers(0, 256)
        if _fits(bytes(data)):
            fitting += 1
            assert _decodes(bytes(data)), bytes(data[:64])
    assert fitting < 300
