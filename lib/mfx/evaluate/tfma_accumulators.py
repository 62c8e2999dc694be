"""Fill TFMA's accumulators from whole arrays.

TFMA gives rows to its combiners one by one, as Python objects. After all rows of a slice, the
accumulator of a common combiner is just a few sums, so it is built here directly. Other combiners
get the rows one by one, as in TFMA. `docs/explanation/fast-paths.md` says why the results are the
same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_model_analysis as tfma

from mfx.columns.groups import numbered
from mfx.errors import MfxError
from mfx.evaluate import _private
from mfx.evaluate._private import asked

CHUNK, KERAS_CHUNK = 1 << 20, 1 << 17
"""Predicted values that are processed together. This bounds the memory: some Keras metrics need
hundreds of numbers for each value."""


@dataclass(frozen=True)
class Batch:
    """Some rows as TFMA's combiners see them.

    Args:
        labels: float32 of shape [rows]; class numbers if there are several outputs.
        predictions: By model name ('' if there is one model): float32 of shape [rows], or
            [rows, classes].
        weights: Numbers of shape [rows]; None if the config names no example weight.
    """

    labels: np.ndarray
    predictions: dict[str, np.ndarray]
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Any) -> Batch:
        """The rows with these indices, or in this slice object."""
        return Batch(
            self.labels[rows],
            {name: values[rows] for name, values in self.predictions.items()},
            None if self.weights is None else self.weights[rows],
        )

    def chunks(self, values: int) -> Iterator[Batch]:
        """Yield all rows in parts, each with at most `values` predicted values per model.

        There is always at least one part, and each row is whole.
        """
        widest = max(given[:1].size for given in self.predictions.values())
        size = max(1, values // max(1, widest))
        for begin in range(0, max(1, len(self)), size):
            yield self.take(slice(begin, begin + size))


def accumulate(combiner: Any, part: Batch) -> Any:
    """The combiner's accumulator after all rows of `part`.

    Raises:
        MfxError: The metric cannot be computed for these labels or this class.
    """
    build = _BUILDERS.get(type(combiner))
    if build is None or not _covered(combiner, part):
        return _row_by_row(combiner, part)
    # It must be an iterator: in a list, TFMA's combiner of mean errors counts the first one twice.
    chunks = part.chunks(KERAS_CHUNK if build is _keras else CHUNK)
    return combiner.merge_accumulators(build(combiner, chunk) for chunk in chunks)


def _covered(combiner: Any, part: Batch) -> bool:
    """Whether a builder can do what the combiner asks for: one class or all, but not the top k."""
    if type(combiner) is _private.ExampleCount:
        return True
    model, sub_key, output = asked(combiner)
    if output or _private.is_special(combiner):
        return False
    classes = part.predictions[model].ndim > 1
    if type(combiner) is _private.MultiClassConfusionMatrices:
        # If thresholds do not rise, TFMA's result depends on their order.
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
    """The rows' weights: float64 of shape [rows]; all ones for an unweighted metric."""
    if part.weights is None or not _private.is_weighted(combiner):
        return np.ones(len(part))
    return part.weights.astype(np.float64)


def _pairs(combiner: Any, part: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flatten rows to pairs of label and prediction, as TFMA does.

    With one output, each row is a pair. With several, each row gives a pair for each class, or one
    pair if the combiner asks for one class; the pair's label says whether the row is of that class.
    Numbers have the same types as in TFMA, since rounding errors depend on them.

    Returns:
        Labels, predictions and weights, each of shape [pairs].
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
    # As in TFMA, -1 is the label of a row that is in none of the classes.
    if wrong := int(((ids < -1) | (ids >= classes)).sum()):
        raise MfxError(
            f"evaluate: {wrong} labels are not class numbers of a model with {classes} outputs",
            f"Expected 0 to {classes - 1}: check the label in preprocessing_fn.",
        )
    return ids


def _fractional_pairs(combiner: Any, part: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `_pairs`, but a label between 0 and 1 gives two pairs that share its weight."""
    labels, predictions, weights = _pairs(combiner, part)
    if wrong := int((~((labels >= 0) & (labels <= 1))).sum()):
        raise MfxError(
            f"evaluate.metrics: {wrong} labels are not between 0 and 1, as AUC, accuracy and other "
            "classification metrics need",
            "Choose regression metrics, such as MeanSquaredError, or fix the label.",
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
    # For each prediction, how many thresholds are below it.
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
        # One number for both classes, which count from -1.
        cells, place = numbered((actual + 1) * (classes + 1) + predicted + 1)
        pairs = (divmod(cell, classes + 1) for cell in cells.tolist())
        keys = [_private.MatrixEntryKey(a - 1, p - 1) for a, p in pairs]
        found[threshold] = dict(
            zip(keys, np.bincount(place, weights=weights).tolist(), strict=True)
        )
    return found


def _mean_error(errors: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[..., Any]:
    """Make a builder for a mean error.

    Args:
        errors: Gives each pair's error from labels and predictions, computed in their own type as
            in TFMA.
    """

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
    """The state of Keras metrics after `update_state` on whole arrays, in float32 as in Keras."""
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
            # AutoGraph would take longer than the metric, and has no effect outside of graphs.
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
