"""One SavedModel that holds transform graph and network, with the signatures it is served by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from mfx.columns import input_names, missing
from mfx.errors import MfxError
from mfx.export import _private, answers, network

_ACTIVATIONS: dict[str, Callable] = {
    "": tf.identity,
    "sigmoid": tf.sigmoid,
    "softmax": tf.nn.softmax,
}
"""Probabilities of logits, in the graph; `answers` makes the same for evaluation."""


def export(
    model: Any,
    graph: tft.TFTransformOutput,
    label_columns: Iterable[str],
    directory: Path,
    classes: Sequence[str] = (),
) -> None:
    """Write the SavedModel of a network that may still have to be trained; see `put_weights`.

    Its bytes depend on what this process did in TensorFlow before: counters are part of names. So
    training calls it first, when a process that goes on from a checkpoint is no different.

    The signatures:

    - `serving_default`: `examples`, serialized tf.Examples, string [batch].
    - `predict`: a dense tensor [batch] for each raw feature but the label's columns; see
      `columns.missing`.
    - `classify`, where there are classes: `inputs`, serialized tf.Examples, string [batch], to
      `classes`, string [batch, k], and `scores`, float32 [batch, k], the probability of each.
    - `regress`, where the network has one output: `inputs`, as above, to `outputs`, float32
      [batch]: the value, or the probability of the second of two classes.
    - `transform_features`: serialized tf.Examples to transformed features. The label among them
      means something only if the examples hold the label's columns.

    The first two return `outputs`, the network's own output; where its loss takes that for logits,
    `classify` and `regress` give the probabilities, and so does whoever evaluates it (`answers`).

    Args:
        model: The network, compiled, on transformed features; looked at by `network.check`.
        graph: The transform graph.
        label_columns: Raw columns that are not asked for.
        directory: Where to; made if missing.
        classes: `[label] classes`; see `class_names`.

    Raises:
        MfxError: The network has not as many outputs as there are classes.
    """
    raw = graph.raw_feature_spec()
    known = {name: spec for name, spec in raw.items() if name not in set(label_columns)}
    heads = _heads(model, class_names(model, classes))
    module = tf.Module()
    # The values, not Keras' variables, whose restored copies a v1 session (TF Serving) would not
    # connect with the graph; nor the model, which would bring its optimizer's state along.
    module.network = [weight.value for weight in model.weights]
    module.tables = list(_tables(model))
    # Its vocabulary tables are saved along.
    transform, module.transform = _private.transform_loader(graph.transform_savedmodel_dir)
    signatures = _signatures(model, transform, raw, known, heads)
    tf.saved_model.save(module, str(directory), signatures)
    # A checksum of the variables as they are now; readers do without it.
    (directory / "fingerprint.pb").unlink(missing_ok=True)
    _name_methods(directory, heads)
    input_names.put_titles(directory, "predict", input_names.arguments(known))
    answers.write(directory, network.probabilities(model))


def _signatures(
    model: Any,
    transform: Callable,
    raw: dict[str, Any],
    known: dict[str, Any],
    heads: dict[str, Callable],
) -> dict[str, Any]:
    """The functions that `export` describes, by name, in the order in which they are traced."""
    inputs = network.inputs_of(model)

    def answer(features: dict[str, Any]) -> dict[str, tf.Tensor]:
        return {"outputs": model(inputs.of(transform(features)), training=False)}

    def on_examples(head: Callable) -> Callable:
        return lambda inputs: head(answer(tf.io.parse_example(inputs, known))["outputs"])

    text = partial(tf.TensorSpec, [None], tf.string)
    arguments = input_names.arguments(known)
    dense = {a: tf.TensorSpec([None], known[name].dtype, name=a) for name, a in arguments.items()}
    return {
        "serving_default": _function(
            lambda examples: answer(tf.io.parse_example(examples, known)),
            examples=text(name="examples"),
        ),
        "predict": _function(
            lambda **tensors: answer({n: _sparse(tensors[a]) for n, a in arguments.items()}),
            **dense,
        ),
        **{
            name: _function(on_examples(head), inputs=text(name="inputs"))
            for name, head in heads.items()
        },
        "transform_features": _function(
            lambda examples: transform(tf.io.parse_example(examples, raw)),
            examples=text(name="examples"),
        ),
    }


def class_names(model: Any, given: Sequence[str]) -> list[str]:
    """Names of the classes that a network tells apart, in the order of the label's values.

    Args:
        model: A compiled network with outputs of shape [batch, width].
        given: As the config names them. If empty they are numbers, as with TensorFlow's own
            estimators, where the network's loss is a cross-entropy; otherwise there are none.

    Raises:
        MfxError: The network has not as many outputs; one output does for two classes.
    """
    width = network.width(model)
    count = max(width, 2)
    if not given and network.loss_of(model).is_cross_entropy:
        return [str(number) for number in range(count)] if width else []
    if given and (not width or len(given) != count):
        raise MfxError(
            f"label.classes: {len(given)} classes, but the network has {width} outputs",
            "Name each class once, in the order of the label's values; a network with one output, "
            "the probability of the second, has two.",
        )
    return list(given)


def _heads(model: Any, classes: list[str]) -> dict[str, Callable[[tf.Tensor], dict]]:
    """What `classify` and `regress` make of the network's output, where they mean something."""
    width = network.width(model)
    activation = _ACTIVATIONS[network.probabilities(model)]

    def values(outputs: tf.Tensor) -> tf.Tensor:
        return activation(tf.reshape(tf.cast(outputs, tf.float32), [-1, width]))

    def classify(outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        scores = values(outputs)
        if width == 1:
            scores = tf.concat([1 - scores, scores], axis=1)
        return {"classes": tf.tile([classes], [tf.shape(scores)[0], 1]), "scores": scores}

    def regress(outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": tf.squeeze(values(outputs), axis=1)}

    heads: dict[str, Callable] = {"classify": classify} if classes else {}
    return {**heads, "regress": regress} if width == 1 else heads


def _name_methods(directory: Path, signatures: Iterable[str]) -> None:
    """TF Serving answers Classify and Regress only by signatures of these methods."""
    updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(str(directory))
    for name in signatures:
        updater.replace_method_name(name, f"tensorflow/serving/{name}")
    updater.save()


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


def _function(body: Callable, /, **signature: tf.TensorSpec) -> Any:
    # AutoGraph would rewrite the whole transform layer, seconds for nothing.
    return tf.function(body, autograph=False).get_concrete_function(**signature)


def _sparse(values: tf.Tensor) -> tf.SparseTensor:
    """A dense [batch] tensor as the transform graph takes it: [batch, 1], missing left out."""
    column = values[:, None]
    indices = tf.where(missing.present(column))
    return tf.SparseTensor(indices, tf.gather_nd(column, indices), tf.shape(column, tf.int64))
