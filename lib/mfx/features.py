"""Helpers for a pipeline's `preprocessing_fn`: TensorFlow ops on raw features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf


def fill_missing(feature: tf.SparseTensor, default: Any = None) -> tf.Tensor:
    """A raw feature as a dense tensor, missing values replaced.

    Args:
        feature: Sparse tensor of shape [batch, 1] as TFT hands to `preprocessing_fn`: missing
            examples have no entry.
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
