"""TFMA's accumulators filled from whole arrays.

TFMA hands rows one by one to combiners, as Python objects. What a frequent combiner holds after
all rows of a slice is a few sums, so it is built here directly; any other combiner is fed row by
row, as TFMA does. `docs/explanation/fast-paths.md` says why the results are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_model_analysis as tfma

from mfx.errors import MfxError
from mfx.evaluate import _private
from mfx.evaluate._private import asked

CHUNK, KERAS_CHUNK = 1 << 20, 1 << 17
"""Predicted values that are looked at together, to bound memory; some Keras metrics hold hundreds
of numbers for each."""


@dataclass(frozen=True)
class Batch:
    """Some rows as TFMA's combiners see them.

    Args:
        labels: float32 of shape [rows]; class numbers when there are several outputs.
        predictions: By model name ('' when there is one model): float32 of shape [rows], or
            [rows, classes].
        weights: Numbers of shape [rows], or None when the config names no example weight.
    """

    labels: np.ndarray
    predictions: dict[str, np.ndarray]
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Any) -> Batch:
        """The rows of these numbers, or of this slice."""
        return Batch(
            self.labels[rows],
            {name: values[rows] for name, values in self.predictions.items()},
            None if self.weights is None else self.weights[rows],
        )

    def chunks(self, values: int) -> Iterator[Batch]:
        """All rows in parts of so many predicted values a model; at least one part."""
        widest = max(given[:1].size for given in self.predictions.values())
        size = max(1, values // max(1, widest))
        for begin in range(0, max(1, len(self)), size):
            yield self.take(slice(begin, begin + size))


def accumulate(combiner: Any, part: Batch) -> Any:
    """The combiner's accumulator after all rows of `part`.

    Raises:
        MfxError: The labels are not what the metric is for.
    """
    build = _BUILDERS.get(type(combiner))
    if build is None or not _covered(combiner, part):
        return _row_by_row(combiner, part)
    # An iterator: of a list, TFMA's combiner of mean errors counts the first one twice.
    chunks = part.chunks(KERAS_CHUNK if build is _keras else CHUNK)
    return combiner.merge_accumulators(build(combiner, chunk) for chunk in chunks)


def numbered(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values, and for each value its place among them; by hash, faster than sorted."""
    encoded = pa.array(values).dictionary_encode()
    return encoded.dictionary.to_numpy(), encoded.indices.to_numpy()


def _covered(combiner: Any, part: Batch) -> bool:
    """Whether builders do what the combiner asks for: one class or all, never the top few."""
    if type(combiner) is _private.ExampleCount:
        return True
    model, sub_key, output = asked(combiner)
    if output or _private.is_special(combiner):
        return False
    classes = part.predictions[model].ndim > 1
    if type(combiner) is _private.MultiClassConfusionMatrices:
        # Of thresholds that do not rise, TFMA's answer depends on their order.
        thresholds = list(_private.thresholds(combiner))
        return classes and sorted(thresholds) == thresholds
    weighted = bool(_private.class_weights(combiner))
    if sub_key is None:
        return classes or not weighted
    return classes and sub_key.k is None and sub_key.top_k is None and not weighted


def _row_by_row(combiner: Any, part: Batch) -> Any:
    combiner.setup()
    accumulator = combiner.create_accumulator()
    one = len(part.predictions) == 1
    for row in range(len(part)):
        given = {
            name: values[row] if values.ndim > 1 else values[row : row + 1]
            for name, values in part.predictions.items()
        }
        accumulator = combiner.add_input(
            accumulator,
            tfma.metrics.StandardMetricInputs(
                label=part.labels[row : row + 1],
                prediction=next(iter(given.values())) if one else given,
                example_weight=None if part.weights is None else part.weights[row : row + 1],
            ),
        )
    return combiner.compact(accumulator)


def _weights(combiner: Any, part: Batch) -> np.ndarray:
    """float64 of shape [rows]; ones for an unweighted metric."""
    if part.weights is None or not _private.is_weighted(combiner):
        return np.ones(len(part))
    return part.weights.astype(np.float64)


def _pairs(combiner: Any, part: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, predictions and weights of shape [pairs], as TFMA flattens rows to pairs.

    With several outputs a pair is a row and a class, or a row alone if one class is asked for; its
    label is whether the row is of the class. Types are as TFMA's, whose errors are of that type.
    """
    model, sub_key, _ = asked(combiner)
    labels, predictions, weights = part.labels, part.predictions[model], _weights(combiner, part)
    if predictions.ndim == 1:
        return labels, predictions, weights
    classes = predictions.shape[1]
    if sub_key is not None:
        if not 0 <= sub_key.class_id < classes:
            raise MfxError(
                f"evaluate.metrics: class {sub_key.class_id} of a model with {classes} outputs",
                f"Choose class_id from 0 to {classes - 1}.",
            )
        return (
            (labels == sub_key.class_id).astype(np.int64),
            predictions[:, sub_key.class_id],
            weights,
        )
    hot = (_class_ids(labels, classes)[:, None] == np.arange(classes)).astype(np.float64)
    shares = np.ones(classes)
    if given := _private.class_weights(combiner):
        shares = np.array([given.get(i, 0.0) for i in range(classes)])
    spread = weights[:, None] * shares
    return hot.reshape(-1), predictions.reshape(-1), spread.reshape(-1)


def _class_ids(labels: np.ndarray, classes: int) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        ids = labels.astype(np.int64)
    # As in TFMA, -1 is a label that is none of the classes.
    if wrong := int(((ids < -1) | (ids >= classes)).sum()):
        raise MfxError(
            f"evaluate: {wrong} labels are not class numbers of a model with {classes} outputs",
            f"Expected 0 to {classes - 1}: see the label in preprocessing_fn.",
        )
    return ids


def _fractional_pairs(combiner: Any, part: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `_pairs`, a label between 0 and 1 made two pairs with its shares of the weight."""
    labels, predictions, weights = _pairs(combiner, part)
    if wrong := int((~((labels >= 0) & (labels <= 1))).sum()):
        raise MfxError(
            f"evaluate.metrics: {wrong} labels are not within [0, 1], as AUC, accuracy and other "
            "metrics of classification need",
            "Choose metrics of regression, such as MeanSquaredError, or fix the label.",
        )
    pairs = [
        (np.zeros_like(labels), weights * (1 - labels)),
        (np.ones_like(labels), weights * labels),
    ]
    if np.isin(labels, (0, 1)).all():
        pairs = [(labels, weights)]
    both = [(lab[w != 0], predictions[w != 0], w[w != 0]) for lab, w in pairs]
    labels, predictions, weights = (np.concatenate(c) for c in zip(*both, strict=True))
    return labels, predictions.astype(np.float64), weights


def _example_count(combiner: Any, part: Batch) -> float:
    return float(_weights(combiner, part).sum())


def _histogram(combiner: Any, part: Batch) -> dict[int, Any]:
    made = _private.buckets(combiner)
    pairs = _fractional_pairs if made.fractional_labels else _pairs
    labels, predictions, weights = (a.astype(np.float64) for a in pairs(combiner, part))
    value = predictions if made.of_predictions else labels
    last = made.number + 1
    place = (value - made.left) / made.range * made.number + 1
    bucket = np.clip(np.trunc(place), 0, last).astype(np.int64)
    filled = np.flatnonzero(np.bincount(bucket))
    sums = [
        np.bincount(bucket, weights=w)[filled].tolist()
        for w in (labels * weights, predictions * weights, weights)
    ]
    ids = filled.tolist()
    return dict(zip(ids, map(_private.Bucket, ids, *sums), strict=True))


def _matrices(combiner: Any, part: Batch) -> dict[float, Any]:
    labels, predictions, weights = _fractional_pairs(combiner, part)
    thresholds = _private.thresholds(combiner)
    order = np.argsort(thresholds)
    # How many thresholds lie below each prediction.
    above = np.searchsorted(np.asarray(thresholds)[order], predictions, side="left")
    sums: dict[str, np.ndarray] = {}
    for (over, under), chosen in ((("tp", "fn"), labels == 1), (("fp", "tn"), labels != 1)):
        weight = np.bincount(above[chosen], weights[chosen], minlength=len(order) + 1)
        sums[under] = np.cumsum(weight)[:-1]
        sums[over] = np.cumsum(weight[::-1])[::-1][1:]
    return {
        thresholds[place]: _private.ThresholdEntry(
            _private.Matrix(**{cell: float(values[n]) for cell, values in sums.items()}),
            *([] for _ in range(4)),
        )
        for n, place in enumerate(order)
    }


def _label_sums(combiner: Any, part: Batch) -> Any:
    labels, predictions, weights = (a.astype(np.float64) for a in _pairs(combiner, part))
    sums = _private.LabelSumsAccumulator()
    sums.total_weighted_labels = float((labels * weights).sum())
    sums.total_weighted_predictions = float((predictions * weights).sum())
    sums.total_weighted_examples = float(weights.sum())
    return sums


def _class_weights(combiner: Any, part: Batch) -> dict[int, float]:
    weights = _weights(combiner, part)
    return {i: float(weights[part.labels == i].sum()) for i in _private.class_ids(combiner)}


def _multi_class_matrices(combiner: Any, part: Batch) -> Any:
    values = part.predictions[asked(combiner)[0]]
    classes, none = values.shape[1], _private.NO_CLASS
    actual, weights = _class_ids(part.labels, classes), _weights(combiner, part)
    top, chosen = values.max(axis=1, initial=-np.inf), values.argmax(axis=1)
    # TFMA compares NumPy's scalars with Python's: in float64 in NumPy 1, in their own type in 2.
    top = top.astype((values.dtype.type(0) + 0.0).dtype)
    found = _private.Matrices()
    for threshold in _private.thresholds(combiner) if len(part) else []:
        predicted = np.where(top <= top.dtype.type(threshold), none, chosen)
        # One number for both classes, each from -1 up.
        cells, place = numbered((actual + 1) * (classes + 1) + predicted + 1)
        pairs = (divmod(cell, classes + 1) for cell in cells.tolist())
        keys = [_private.MatrixEntryKey(a - 1, p - 1) for a, p in pairs]
        found[threshold] = dict(
            zip(keys, np.bincount(place, weights=weights).tolist(), strict=True)
        )
    return found


def _mean_error(errors: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[..., Any]:
    """A builder for `errors`: of labels and predictions, in their own type as in TFMA."""

    def build(combiner: Any, part: Batch) -> Any:
        labels, predictions, weights = _pairs(combiner, part)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = errors(labels, predictions)
        counted = ~np.isnan(found)
        return _private.MeanErrorAccumulator(
            total_example_weights=float(weights[counted].sum()),
            total_regression_error=float((found * weights)[counted].sum()),
        )

    return build


def _absolute(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return np.abs(labels - predictions).astype(np.float64)


def _squared(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return _absolute(labels, predictions) ** 2


def _percentage(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    relative = np.abs((labels - predictions) / labels).astype(np.float64)
    return np.where(labels == 0, np.nan, 100 * relative)


def _squared_logarithmic(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return _squared(np.log(labels + 1), np.log(predictions + 1))


def _keras(combiner: Any, part: Batch) -> Any:
    """Keras metrics' state after `update_state` on whole arrays, in float32 as Keras computes."""
    combiner.setup()
    accumulator = combiner.create_accumulator()
    model, sub_key, output = asked(combiner)
    predictions = part.predictions[model]
    if _private.is_micro_averaged(combiner) or sub_key is not None or predictions.ndim == 1:
        labels, predictions, weights = (a[:, None] for a in _pairs(combiner, part))
    else:
        labels = _class_ids(part.labels, predictions.shape[1])[:, None]
        weights = _weights(combiner, part)[:, None]
    if len(labels):
        for index, metric in enumerate(_private.keras_metrics(combiner, output)):
            metric.reset_states()
            # AutoGraph takes longer than the metric, and changes nothing outside of graphs.
            update = tf.autograph.experimental.do_not_convert(metric.update_state)
            update(labels, predictions, weights.astype(np.float32))
            accumulator.add_weights(0, index, metric.get_weights())
    return accumulator


_BUILDERS: dict[type, Callable[[Any, Batch], Any]] = {
    _private.ExampleCount: _example_count,
    _private.CalibrationHistogram: _histogram,
    _private.BinaryConfusionMatrices: _matrices,
    _private.LabelSums: _label_sums,
    _private.ClassWeights: _class_weights,
    _private.MultiClassConfusionMatrices: _multi_class_matrices,
    _private.MeanAbsoluteError: _mean_error(_absolute),
    _private.MeanSquaredError: _mean_error(_squared),
    _private.MeanAbsolutePercentageError: _mean_error(_percentage),
    _private.MeanSquaredLogarithmicError: _mean_error(_squared_logarithmic),
    _private.KerasMetrics: _keras,
}
