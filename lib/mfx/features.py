"""Helpers for a pipeline's `preprocessing_fn`: TensorFlow ops on raw features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf


def fill_missing(feature: tf.SparseTensor, default: Any = None) -> tf.Tensor:
    """A raw feature as a dense tensor, missing values replaced.

    Scale first and fill afterwards: `fill_missing(tft.scale_to_z_score(inputs["fare"]))`. TFT then
    takes mean and deviation of the values that are there, and a missing value becomes 0, which is
    the mean. Filled before, the zeros would count as values: of fares around 1,000 a few missing
    ones would move the mean and widen the deviation, and missing would be the lowest fare of all.

    TFT scales integers in float32, which holds 24 bits. Larger ones, such as identifiers and
    timestamps, keep their digits with
    `tf.cast(tft.scale_to_z_score(tf.cast(inputs["time"], tf.float64)), tf.float32)`.

    Args:
        feature: Sparse tensor of shape [batch, 1] as TFT hands to `preprocessing_fn`, or as its
            mappers return it: missing examples have no entry.
        default: What a missing value becomes; by default 0 for numbers and '' for strings.

    Returns:
        Dense tensor of shape [batch], dtype as `feature`.
    """
    import tensorflow as tf

    if default is None:
        default = "" if feature.dtype == tf.string else 0
    filled = tf.sparse.to_dense(
        tf.sparse.SparseTensor(feature.indices, feature.values, [feature.dense_shape[0], 1]),
        default,
    )
    return tf.squeeze(filled, axis=1)
