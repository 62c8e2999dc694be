"""The default network's answers, for each kind of label: activation, loss and metrics."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from mfx.errors import MfxError
from mfx.train.networks.facts import Facts
from mfx.train.networks.options import Options


class Head(NamedTuple):
    """The answers for one kind of label.

    Args:
        bias: What the network answers before it has learned anything, before the activation: one
            number for each of its outputs.
        answer: Turns [batch, outputs] into answers.
        loss: Makes the loss, of the facts and the weight of each class, if there are any.
        metrics: Makes the metrics.
        classes: Whether labels are classes.
    """

    bias: Callable[[Facts], list[float]]
    answer: Callable[[Any, Facts], Any]
    loss: Callable[[list[float] | None], keras.losses.Loss]
    metrics: Callable[[], list[keras.metrics.Metric]]
    classes: bool = False


def class_weights(options: Options, facts: Facts) -> list[float] | None:
    """The weight of each class in the loss; None if all rows count equally.

    Raises:
        MfxError: The label has no classes, or another number of them.
    """
    given = options.class_weights
    if given is None:
        return None
    if not HEADS[facts.kind].classes:
        raise MfxError(
            f"train.hyperparameters.class_weights: a label of the kind {facts.kind} has no classes",
            "Remove class_weights.",
        )
    counts = np.maximum(facts.counts, 1)
    weights = list(counts.sum() / (len(counts) * counts)) if given == "balanced" else given
    if len(weights) != len(counts):
        raise MfxError(
            f"train.hyperparameters.class_weights: {len(weights)} weights, but the label has "
            f"{len(counts)} classes",
            'Give one for each class, in the order of the label\'s values; or "balanced".',
        )
    return [float(weight) for weight in weights]


class _Weighted:
    """Makes a cross-entropy count rows of some classes more than others."""

    def weigh(self, losses: Any, labels: Any) -> Any:
        weights = ops.convert_to_tensor(self.class_weights, losses.dtype)  # type: ignore[attr-defined]
        classes = ops.cast(ops.reshape(labels, (-1,)), "int32")
        return losses * ops.take(weights, classes)


class WeightedBinaryCrossentropy(_Weighted, keras.losses.BinaryCrossentropy):
    """Binary cross-entropy with a weight for each of the two classes."""

    def __init__(self, class_weights: list[float]) -> None:
        super().__init__()
        self.class_weights = class_weights

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each row, [batch]."""
        return self.weigh(super().call(y_true, y_pred), y_true)


class WeightedSparseCategoricalCrossentropy(_Weighted, keras.losses.SparseCategoricalCrossentropy):
    """Cross-entropy of classes by number, with a weight for each class."""

    def __init__(self, class_weights: list[float]) -> None:
        super().__init__()
        self.class_weights = class_weights

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each row, [batch]."""
        return self.weigh(super().call(y_true, y_pred), y_true)


def _activation(name: str) -> Callable[[Any, Facts], Any]:
    return lambda logits, facts: keras.layers.Activation(name, dtype="float32")(logits)


def _log_odds(facts: Facts) -> list[float]:
    no, yes = (max(count, 1) for count in facts.counts)
    return [math.log(yes / no)]


def _log_shares(facts: Facts) -> list[float]:
    counts = np.maximum(facts.counts, 1)
    return [float(value) for value in np.log(counts / counts.sum())]


def _rescaled(scores: Any, facts: Facts) -> Any:
    """Amounts, of z-scores: so the network's own numbers are of the size of 1."""
    scale = facts.deviation or 1.0
    return keras.layers.Rescaling(scale, facts.mean, dtype="float32")(scores)


def _powers_minus_1(logarithms: Any, facts: Facts) -> Any:
    """Amounts, of logarithms of 1 plus the amount that are above 0."""
    return ops.expm1(ops.softplus(ops.cast(logarithms, "float32")))


def _powers(logarithms: Any, facts: Facts) -> Any:
    return keras.layers.Activation("exponential", dtype="float32")(logarithms)


def _classes_loss(weights: list[float] | None) -> keras.losses.Loss:
    if weights:
        return WeightedSparseCategoricalCrossentropy(weights)
    return keras.losses.SparseCategoricalCrossentropy()


HEADS: dict[str, Head] = {
    "binary": Head(
        _log_odds,
        _activation("sigmoid"),
        lambda weights: (
            WeightedBinaryCrossentropy(weights) if weights else keras.losses.BinaryCrossentropy()
        ),
        lambda: [keras.metrics.BinaryAccuracy(name="accuracy"), keras.metrics.AUC(name="auc")],
        classes=True,
    ),
    "classes": Head(
        _log_shares,
        _activation("softmax"),
        _classes_loss,
        lambda: [keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        classes=True,
    ),
    "regression": Head(
        lambda facts: [0.0],
        _rescaled,
        lambda weights: keras.losses.MeanSquaredError(),
        lambda: [keras.metrics.MeanAbsoluteError(name="mean_absolute_error")],
    ),
    "log_regression": Head(
        # The softplus of this is the mean logarithm.
        lambda facts: [math.log(math.expm1(max(facts.log_mean, 1e-3)))],
        _powers_minus_1,
        lambda weights: keras.losses.MeanSquaredLogarithmicError(),
        lambda: [keras.metrics.MeanAbsoluteError(name="mean_absolute_error")],
    ),
    "counts": Head(
        lambda facts: [math.log(max(facts.mean, 1e-3))],
        _powers,
        lambda weights: keras.losses.Poisson(),
        lambda: [keras.metrics.MeanAbsoluteError(name="mean_absolute_error")],
    ),
}
"""By the label's kind."""
