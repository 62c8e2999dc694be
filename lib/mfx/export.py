"""One SavedModel that holds transform graph and network, with the signatures it is served by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.saved.saved_transform_io_v2 import SavedModelLoader

from mfx.tensors import MISSING


def export(
    model: Any, graph: tft.TFTransformOutput, label_columns: Iterable[str], directory: Path
) -> None:
    """Write the SavedModel of a network that may still have to be trained; see `put_weights`.

    Its bytes depend on what this process did in TensorFlow before: counters are part of names. So
    training calls it first, when a process that goes on from a checkpoint is no different.

    The signatures:

    - `serving_default`: `examples`, serialized tf.Examples, string [batch].
    - `predict`: a dense tensor [batch] for each raw feature but the label's columns; see MISSING.
    - `transform_features`: serialized tf.Examples to transformed features. The label among them
      means something only if the examples hold the label's columns.

    The first two return `outputs`, the network's output.
    """
    raw = graph.raw_feature_spec()
    known = {name: spec for name, spec in raw.items() if name not in set(label_columns)}
    module = tf.Module()
    # Not the model itself: it would bring its optimizer's state along.
    module.network = [weight.value for weight in model.weights]
    module.tables = list(_tables(model))
    # TFT's own layer is a Keras 2 model, which would be traced anew, with AutoGraph, when saved.
    loader = SavedModelLoader(graph.transform_savedmodel_dir)
    transform = loader.apply_transform_model
    module.transform = loader._imported  # its vocabulary tables are saved along
    inputs = [tensor.name for tensor in model.inputs]

    def answer(features: dict[str, Any]) -> dict[str, tf.Tensor]:
        transformed = transform(features)
        return {"outputs": model({name: transformed[name] for name in inputs}, training=False)}

    examples = tf.TensorSpec([None], tf.string, name="examples")
    dense = {name: tf.TensorSpec([None], spec.dtype, name=name) for name, spec in known.items()}
    signatures = {
        "serving_default": _function(
            lambda examples: answer(tf.io.parse_example(examples, known)), examples=examples
        ),
        "predict": _function(
            lambda **tensors: answer({n: _sparse(t) for n, t in tensors.items()}), **dense
        ),
        "transform_features": _function(
            lambda examples: transform(tf.io.parse_example(examples, raw)),
            examples=examples,
        ),
    }
    tf.saved_model.save(module, str(directory), signatures)
    # A checksum of the variables as they are now; readers do without it.
    (directory / "fingerprint.pb").unlink(missing_ok=True)


def put_weights(model: Any, directory: Path) -> None:
    """Replace the weights in the SavedModel that `export` wrote of this model."""
    prefix = str(directory / "variables" / "variables")
    reader = tf.train.load_checkpoint(prefix)
    values = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    for number, weight in enumerate(model.weights):
        values[f"network/{number}/.ATTRIBUTES/VARIABLE_VALUE"] = weight.numpy()
    names = sorted(values)
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[values[name] for name in names],
    )


def _tables(layer: Any) -> Iterator[Any]:
    """Lookup tables of the network's layers, as of `keras.layers.IntegerLookup`."""
    for value in vars(layer).values():
        if isinstance(value, tf.saved_model.experimental.TrackableResource):
            yield value
    for inner in getattr(layer, "layers", []):
        yield from _tables(inner)


def _function(body: Callable, **signature: tf.TensorSpec) -> Any:
    # AutoGraph would rewrite the whole transform layer, seconds for nothing.
    return tf.function(body, autograph=False).get_concrete_function(**signature)


def _sparse(values: tf.Tensor) -> tf.SparseTensor:
    """A dense [batch] tensor as the transform graph takes it: [batch, 1], missing left out."""
    if values.dtype.is_floating:
        present = ~tf.math.is_nan(values)
    else:
        present = values != MISSING[values.dtype]
    where = tf.where(present)
    indices = tf.concat([where, tf.zeros_like(where)], axis=1)
    shape = tf.stack([tf.shape(values, tf.int64)[0], 1])
    return tf.SparseTensor(indices, tf.boolean_mask(values, present), shape)
