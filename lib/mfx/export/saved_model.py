"""Export one SavedModel with the transform graph, the network, and the signatures for serving."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from mfx.columns import input_names
from mfx.columns.raw_features import dense_specs, from_dense
from mfx.errors import MfxError
from mfx.export import _private, answers, network

_ACTIVATIONS: dict[str, Callable] = {
    "": tf.identity,
    "sigmoid": tf.sigmoid,
    "softmax": tf.nn.softmax,
}
"""Turn logits into probabilities in the graph. `answers` does the same for evaluation."""


def export(
    model: Any,
    graph: tft.TFTransformOutput,
    label_columns: Iterable[str],
    directory: Path,
    classes: Sequence[str] = (),
) -> None:
    """Write the SavedModel of a network that need not be trained yet (see `put_weights`).

    Its bytes depend on what this process has done in TensorFlow before, since names contain
    counters. So training calls this first: then a process that continues from a checkpoint writes
    the same bytes.

    The signatures:

    - `serving_default` takes `examples`: serialized tf.Examples, string [batch].
    - `predict` takes a dense tensor for each raw feature except the label's columns: [batch] for
      single values; for lists see `columns.raw_features`.
    - `classify`, if there are classes, takes `inputs`: serialized tf.Examples, string [batch]. It
      returns `classes`, string [batch, k], and `scores`, float32 [batch, k]: their probabilities.
    - `regress`, if the network has one output, takes the same `inputs`. It returns `outputs`,
      float32 [batch]: the value, or the probability of the second of two classes.
    - `transform_features` takes `examples` and returns transformed features. Its label has a
      meaning only if the examples have the label's columns.

    The first two return `outputs`, the network's own output. If its loss takes logits, `classify`
    and `regress` return probabilities, and evaluation uses probabilities too (see `answers`).

    Args:
        model: The compiled network on transformed features; `network.check` has accepted it.
        graph: The transform graph.
        label_columns: The label's raw columns, which the signatures do not take.
        directory: Where to write; created if it does not exist.
        classes: The config's `[label] classes`; see `class_names`.

    Raises:
        MfxError: The number of classes does not fit the network's outputs.
    """
    raw = graph.raw_feature_spec()
    known = {name: spec for name, spec in raw.items() if name not in set(label_columns)}
    heads = _heads(model, class_names(model, classes))
    module = tf.Module()
    # The weights' values are saved. Keras' variables would not work: a v1 session, as in TensorFlow
    # Serving, does not connect their restored copies with the graph. The whole model would bring
    # the optimizer's state along.
    module.network = [weight.value for weight in model.weights]
    module.tables = list(_tables(model))
    # This saves the transform graph's vocabulary tables too.
    transform, module.transform = _private.transform_loader(graph.transform_savedmodel_dir)
    dense = dense_specs(known, graph.raw_metadata.schema)
    signatures = _signatures(model, transform, raw, dense, heads)
    tf.saved_model.save(module, str(directory), signatures)
    # It has a checksum of the variables as they are now. Readers do not need it.
    (directory / "fingerprint.pb").unlink(missing_ok=True)
    _name_methods(directory, heads)
    input_names.put_titles(directory, "predict", input_names.arguments(known))
    answers.write(directory, network.probabilities(model))


def _signatures(
    model: Any,
    transform: Callable,
    raw: dict[str, Any],
    dense: dict[str, tf.TensorSpec],
    heads: dict[str, Callable],
) -> dict[str, Any]:
    """The functions of the signatures (see `export`) by name, in the order of tracing."""
    inputs = network.inputs_of(model)
    known = {name: raw[name] for name in dense}

    def answer(features: dict[str, Any]) -> dict[str, tf.Tensor]:
        return {"outputs": model(inputs.of(transform(features)), training=False)}

    def on_examples(head: Callable) -> Callable:
        return lambda inputs: head(answer(tf.io.parse_example(inputs, known))["outputs"])

    text = partial(tf.TensorSpec, [None], tf.string)
    arguments = input_names.arguments(known)
    given = {
        a: tf.TensorSpec(dense[name].shape, dense[name].dtype, a) for name, a in arguments.items()
    }
    return {
        "serving_default": _function(
            lambda examples: answer(tf.io.parse_example(examples, known)),
            examples=text(name="examples"),
        ),
        "predict": _function(
            lambda **tensors: answer(
                {name: from_dense(tensors[a], known[name]) for name, a in arguments.items()}
            ),
            **given,
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
    """Names of the network's classes, in the order of the label's values.

    Args:
        model: A compiled network with outputs of shape [batch, width].
        given: The names in the config. If there are none and the loss is a cross-entropy, classes
            are named by their numbers, as in TensorFlow's estimators. With any other loss there are
            no classes.

    Raises:
        MfxError: The number of names does not fit the network's outputs. One output means two
            classes.
    """
    width = network.width(model)
    count = max(width, 2)
    if not given and network.loss_of(model).is_cross_entropy:
        return [str(number) for number in range(count)] if width else []
    if given and (not width or len(given) != count):
        raise MfxError(
            f"label.classes: {len(given)} classes, but the network has {width} outputs",
            "Name each class once, in the order of the label's values. A network with one output "
            "has two classes; its output is the probability of the second.",
        )
    return list(given)


def _heads(model: Any, classes: list[str]) -> dict[str, Callable[[tf.Tensor], dict]]:
    """The functions from the network's output to the results of `classify` and `regress`.

    Left out are those that make no sense for this network.
    """
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
    """Name the signatures' methods: TensorFlow Serving needs that for Classify and Regress."""
    updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(str(directory))
    for name in signatures:
        updater.replace_method_name(name, f"tensorflow/serving/{name}")
    updater.save()


def put_weights(model: Any, directory: Path) -> None:
    """Write the model's weights into the SavedModel that `export` wrote."""
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
    """Lookup tables of the network's layers, such as `keras.layers.IntegerLookup`."""
    for value in vars(layer).values():
        if isinstance(value, tf.saved_model.experimental.TrackableResource):
            yield value
    for inner in getattr(layer, "layers", []):
        yield from _tables(inner)


def _function(body: Callable, /, **signature: tf.TensorSpec) -> Any:
    # AutoGraph would rewrite the whole transform layer, which takes seconds and changes nothing.
    return tf.function(body, autograph=False).get_concrete_function(**signature)
