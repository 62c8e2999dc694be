"""Helpers for a pipeline's `preprocessing_fn`: TensorFlow ops on raw features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf


def fill_missing(feature: tf.SparseTensor, default: Any = None) -> tf.Tensor:
    """Turn a raw feature into a dense tensor and replace missing values.

    Scale first, then fill: `fill_missing(tft.scale_to_z_score(inputs["fare"]))`. Then TFT computes
    mean and deviation from the values that are there, and a missing value becomes 0, which is the
    mean. If you fill first, the zeros count as values: with fares around 1,000, a few missing ones
    change mean and deviation, and a missing fare becomes the lowest fare of all.

    TFT scales integers in float32, which holds 24 bits. Larger integers, such as identifiers and
    timestamps, keep their digits with
    `tf.cast(tft.scale_to_z_score(tf.cast(inputs["time"], tf.float64)), tf.float32)`.

    Args:
        feature: Sparse tensor of shape [batch, 1], as `preprocessing_fn` gets it or as TFT's
            mappers return it. Missing examples have no entry.
        default: The value for missing ones; by default 0 for numbers and '' for strings.

    Returns:
        Dense tensor of shape [batch] with the dtype of `feature`.
    """
    import tensorflow as tf

    if default is None:
        default = "" if feature.dtype == tf.string else 0
    filled = tf.sparse.to_dense(
        tf.sparse.SparseTensor(feature.indices, feature.values, [feature.dense_shape[0], 1]),
        default,
    )
    return tf.squeeze(filled, axis=1)
