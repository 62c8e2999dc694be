"""A SavedModel of one weight, and a trained model around it."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from helpers.small_world import LINEAGE
from mfx.artifacts import Model, store
from mfx.artifacts.store import Payload

COLUMNS = {"x": "float32", "word": "bytes", "n": "int64", "y": "int64"}


class Tiny(tf.Module):
    """sigmoid(weight * x + length of word + n), a missing value being 0 or ''."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = tf.Variable(weight)

    def answer(self, x, word, n):
        length = tf.cast(tf.strings.length(word), tf.float32)
        return {"outputs": tf.sigmoid(self.weight * x + length + tf.cast(n, tf.float32))[:, None]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(self, examples):
        kinds = {"x": tf.float32, "word": tf.string, "n": tf.int64}
        spec = {
            name: tf.io.FixedLenFeature([], kind, "" if kind == tf.string else 0)
            for name, kind in kinds.items()
        }
        return self.answer(**tf.io.parse_example(examples, spec))

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32, name="x"),
            tf.TensorSpec([None], tf.string, name="word"),
            tf.TensorSpec([None], tf.int64, name="n"),
        ]
    )
    def predict(self, x, word, n):
        known = tf.where(tf.math.is_nan(x), tf.zeros_like(x), x)
        return self.answer(known, word, tf.where(n == tf.int64.min, tf.zeros_like(n), n))


def tiny_model(folder: Path, weight: float = 1.0) -> Model:
    """A real SavedModel, saved as a training leaves it."""
    module = Tiny(float(weight))
    signatures = {"serving_default": module.serve, "predict": module.predict}
    tf.saved_model.save(module, str(folder), signatures)
    return model_of(store.save(folder), str(weight))


def model_of(payload: Payload, weights: str = "w") -> Model:
    return Model(payload, payload, 0, {}, {"loss": [1.0]}, weights, 1, "CPU", 0, LINEAGE)
