"""Images as pixels."""

from __future__ import annotations

import tensorflow as tf

from mfx.config import features
from mfx.transform.declared.forms import Picture, SizeOf
from mfx.transform.declared.raw import Columns


def image(options: features.Image, name: str, columns: Columns) -> tf.Tensor:
    """See `features.Image`. Returns float32 [batch, height * width * channels]."""
    shape = [options.height, options.width, options.channels]

    def pixels(file: tf.Tensor) -> tf.Tensor:
        def decoded() -> tf.Tensor:
            found = tf.io.decode_image(file, options.channels, expand_animations=False)
            return tf.image.resize(found, shape[:2], antialias=True) / 255.0

        there = tf.strings.length(file) > 0
        return tf.ensure_shape(tf.cond(there, decoded, lambda: tf.zeros(shape)), shape)

    files = columns[options.columns_of(name)[0]].dense("")
    made = tf.map_fn(pixels, files, fn_output_signature=tf.TensorSpec(shape, tf.float32))
    return tf.reshape(made, [-1, options.height * options.width * options.channels])


def image_form(options: features.Image, name: str, lists: bool, size_of: SizeOf) -> Picture:
    """What a network gets from an image."""
    return Picture(options.height, options.width, options.channels)
