"""The label, made from its column as `kind` under `[label]` says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
import tensorflow_transform as tft

from mfx.config import Label
from mfx.transform.declared.raw import Column, Columns

CLASSES = "label_classes"
"""The name of the vocabulary of classes in the transform graph, if the config has no names."""


def label(options: Label, columns: Columns) -> tf.Tensor:
    """Make the label: int64 or float32 [batch]. Rows without one get any value."""
    return _KINDS[options.kind or ""](options, columns)


def _binary(options: Label, columns: Columns) -> tf.Tensor:
    column = columns[options.columns[0]]
    if options.above is None:
        return _numbered(options, columns)
    number = tf.cast(column.dense(0), tf.float32)
    bar = tf.cast(options.above.value, tf.float32)
    if options.above.column is not None:
        other = tf.cast(columns[options.above.column].dense(0), tf.float32)
        bar += tf.cast(options.above.times, tf.float32) * other
    return tf.cast(number > bar, tf.int64)


def _classes(options: Label, columns: Columns) -> tf.Tensor:
    if options.classes:
        return _numbered(options, columns)
    column = columns[options.columns[0]].texts()
    numbers = tft.compute_and_apply_vocabulary(column.sparse, vocab_filename=CLASSES)
    return Column(numbers, False).dense(-1)


def _numbered(options: Label, columns: Columns) -> tf.Tensor:
    """The numbers of classes: a text's place in `classes` (-1 if it is not there), or itself."""
    column = columns[options.columns[0]]
    if column.sparse.dtype != tf.string:
        return tf.cast(column.dense(0), tf.int64)
    same = tf.equal(column.dense("")[:, None], tf.constant([options.classes]))
    place = tf.argmax(tf.cast(same, tf.int32), axis=1, output_type=tf.int64)
    return tf.where(tf.reduce_any(same, axis=1), place, -tf.ones_like(place))


def _amount(options: Label, columns: Columns) -> tf.Tensor:
    return tf.cast(columns[options.columns[0]].dense(0), tf.float32)


_KINDS: dict[str, Callable[[Label, Columns], tf.Tensor]] = {
    "binary": _binary,
    "classes": _classes,
    "regression": _amount,
    "log_regression": _amount,
    "counts": _amount,
}


def sort_classes(graph: Path) -> None:
    """Put the classes of a label into order in the graph's own file, if it has found them.

    TFT sorts a vocabulary by how often values occur. So the numbers of classes would change from
    run to run, and the model in production could not be compared.

    Args:
        graph: The folder of TFT's output.
    """
    file = graph / "transform_fn" / "assets" / CLASSES
    if not file.is_file():
        return
    lines = [line for line in file.read_bytes().split(b"\n") if line]
    numbers = all(line.removeprefix(b"-").isdigit() for line in lines)
    lines.sort(key=int if numbers else None)
    file.write_bytes(b"".join(line + b"\n" for line in lines))


def class_names(options: Label, graph: tft.TFTransformOutput) -> list[str]:
    """The names of the label's classes: those of the config, or those that the graph has found.

    Returns:
        The names in the order of the label's values; none if neither has any.
    """
    if options.classes or CLASSES not in _vocabularies(graph):
        return options.classes
    return [value.decode() for value in graph.vocabulary_by_name(CLASSES)]


def _vocabularies(graph: tft.TFTransformOutput) -> list[str]:
    assets = Path(graph.transform_savedmodel_dir, "assets")
    return [file.name for file in assets.glob("*")] if assets.is_dir() else []
