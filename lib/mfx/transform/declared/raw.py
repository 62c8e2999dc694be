"""Raw columns, as the kinds of features take them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import tensorflow as tf


def vocabulary_name(feature: str) -> str:
    """The name of a feature's vocabulary in the transform graph: a file's name, one per feature."""
    plain = re.sub(r"[^A-Za-z0-9]+", "_", feature)
    return f"{plain}_{hashlib.sha256(feature.encode()).hexdigest()[:8]}"


class Column:
    """A raw column in a transform graph.

    Args:
        value: As `preprocessing_fn` gets it: a SparseTensor, RaggedTensor or dense tensor.
        lists: Whether rows may have several values.
    """

    def __init__(self, value: Any, lists: bool) -> None:
        self.lists = lists
        if isinstance(value, tf.Tensor):
            value = tf.RaggedTensor.from_tensor(tf.reshape(value, [tf.shape(value)[0], -1]))
        self.sparse: tf.SparseTensor = (
            value.to_sparse() if isinstance(value, tf.RaggedTensor) else value
        )

    def dense(self, default: Any) -> tf.Tensor:
        """One value per row, [batch]; `default` where there is none."""
        rows = self.sparse.dense_shape[0]
        first = tf.SparseTensor(self.sparse.indices, self.sparse.values, [rows, 1])
        return tf.squeeze(tf.sparse.to_dense(first, default), axis=1)

    def present(self) -> tf.Tensor:
        """Which rows have a value: bool [batch]."""
        ones = self.sparse.with_values(tf.ones_like(self.sparse.values, tf.int32))
        return Column(ones, False).dense(0) > 0

    def numbers(self) -> Column:
        """The same as float64, in which whole numbers keep 53 bits."""
        return Column(self.sparse.with_values(tf.cast(self.sparse.values, tf.float64)), self.lists)

    def texts(self) -> Column:
        """The same as text; whole numbers as their digits."""
        values = self.sparse.values
        if values.dtype != tf.string:
            values = tf.strings.as_string(values)
        return Column(self.sparse.with_values(values), self.lists)


class Columns:
    """The raw columns of a batch, by name.

    Args:
        inputs: What `preprocessing_fn` gets.
        kinds: Each column's type, a name in `columns.types.TYPES`.
    """

    def __init__(self, inputs: Mapping[str, Any], kinds: Mapping[str, str]) -> None:
        self._inputs, self._kinds = inputs, kinds

    def __getitem__(self, name: str) -> Column:
        return Column(self._inputs[name], self._kinds[name].endswith(" list"))


def or_zero(statistic: tf.Tensor) -> tf.Tensor:
    """A statistic of the train split; 0 if no row of it has a value."""
    return tf.where(tf.math.is_finite(statistic), statistic, tf.zeros_like(statistic))


def categories(numbers: tf.SparseTensor, lists: bool, length: int) -> tf.Tensor:
    """Numbers of categories as a network takes them, with 0 for missing or filling.

    Args:
        numbers: Sparse int64 [batch, values], from 0; below 0 counts as missing.
        lists: Whether rows may have several values.
        length: The width for lists; longer ones are cut.

    Returns:
        int64 [batch], or [batch, length] for lists: 1 for the category 0, and so on.
    """
    values = tf.maximum(tf.cast(numbers.values, tf.int64), -1) + 1
    shifted = Column(numbers.with_values(values), lists)
    if not lists:
        return shifted.dense(0)
    ragged = tf.RaggedTensor.from_sparse(shifted.sparse)
    return ragged.to_tensor(0, shape=[None, length])
