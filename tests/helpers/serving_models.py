"""A small model with every kind of signature that the server answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

MISSING_COUNT = tf.int64.min


def small_model(folder: Path, offset: float = 0.0) -> Path:
    """Export a model whose answers can be worked out by hand, and return its folder.

    Signatures:
        predict: amount (float32), count (int64), kind (string), each [rows], to `score` (float32,
            [rows]): amount + count + length of kind + offset; missing (NaN, int64's lowest, "")
            counts as 0.
        serving_default: tf.Examples of the same features, in `examples`, to `score`.
        classify: tf.Examples in `inputs` to `classes` ("low", "high") and `scores` [rows, 2],
            which are -score and score; TF Serving's Classify method.
        regress: tf.Examples in `inputs` to `outputs` [rows, 1]; TF Serving's Regress method.
        several: x (float32, [rows, 2]) to `twice` [rows, 2], `text_bytes` (string, [rows]) and
            `whole` (int64, [rows]).
    """
    module = tf.Module()
    module.offset = tf.Variable(offset)
    tf.saved_model.save(module, str(folder), signatures=_signatures(module))
    _name_methods(folder)
    return folder


def _signatures(module: Any) -> dict[str, Any]:
    rows = {
        "amount": tf.TensorSpec([None], tf.float32, "amount"),
        "count": tf.TensorSpec([None], tf.int64, "count"),
        "kind": tf.TensorSpec([None], tf.string, "kind"),
    }
    examples = tf.TensorSpec([None], tf.string, "examples")

    def score(amount, count, kind):
        amount = tf.where(tf.math.is_nan(amount), 0.0, amount)
        count = tf.where(count == MISSING_COUNT, tf.zeros_like(count), count)
        length = tf.cast(tf.strings.length(kind), tf.float32)
        return amount + tf.cast(count, tf.float32) + length + module.offset

    def parsed(serialized):
        features = {
            "amount": tf.io.FixedLenFeature([], tf.float32, float("nan")),
            "count": tf.io.FixedLenFeature([], tf.int64, MISSING_COUNT),
            "kind": tf.io.FixedLenFeature([], tf.string, ""),
        }
        return score(**tf.io.parse_example(serialized, features))

    @tf.function(input_signature=[rows["amount"], rows["count"], rows["kind"]])
    def predict(amount, count, kind):
        return {"score": score(amount, count, kind)}

    @tf.function(input_signature=[examples])
    def serving_default(examples):
        return {"score": parsed(examples)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def classify(inputs):
        scores = parsed(inputs)
        both = tf.stack([-scores, scores], axis=1)
        classes = tf.broadcast_to(tf.constant([["low", "high"]]), tf.shape(both))
        return {"classes": classes, "scores": both}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def regress(inputs):
        return {"outputs": parsed(inputs)[:, tf.newaxis]}

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, "x")])
    def several(x):
        total = tf.reduce_sum(x, axis=1)
        return {"twice": 2 * x, "text_bytes": tf.as_string(total), "whole": tf.cast(total, "int64")}

    return {
        "predict": predict,
        "serving_default": serving_default,
        "classify": classify,
        "regress": regress,
        "several": several,
    }


def _name_methods(folder: Path) -> None:
    """Keras and tf.Module give every signature the method Predict."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    path = folder / "saved_model.pb"
    saved.ParseFromString(path.read_bytes())
    definitions = saved.meta_graphs[0].signature_def
    for name in ("classify", "regress"):
        definitions[name].method_name = f"tensorflow/serving/{name}"
    path.write_bytes(saved.SerializeToString())
