"""Paired bootstrap intervals for differences of metrics between models on the same rows.

They are percentile intervals (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch.
13). Rows are drawn with replacement, the same rows for all models, and each draw gives a
difference. A draw is a vector with a count for each row, so a metric that is made of sums over rows
is computed by a matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfx.artifacts.slices import SliceKey

DRAWS = 1000
LEVEL = 0.95
SEED = 0
_BLOCK_BYTES = 64 * 2**20

Array = np.ndarray
Sums = tuple[Array, Array]
"""For each row, its parts of the numerator and of the denominator, to be summed."""


@dataclass(frozen=True)
class Interval:
    """The bounds of a difference, and the difference itself by the bootstrap's own formula."""

    low: float
    high: float
    difference: float


def _threshold(config: Mapping[str, Any], *names: str) -> float | None:
    """The threshold of a metric; None if it has several."""
    found = next((config[name] for name in names if config.get(name) is not None), 0.5)
    found = found[0] if isinstance(found, list | tuple) and len(found) == 1 else found
    return found if isinstance(found, int | float) else None


def _accuracy(label: Array, score: Array, threshold: float) -> Sums:
    return ((score > threshold) == (label > 0.5)).astype(float), np.ones_like(score)


def _precision(label: Array, score: Array, threshold: float) -> Sums:
    said = (score > threshold).astype(float)
    return said * label, said


def _recall(label: Array, score: Array, threshold: float) -> Sums:
    return (score > threshold) * label, label


def _crossentropy(label: Array, score: Array) -> Sums:
    score = np.clip(score, 1e-7, 1 - 1e-7)  # As in Keras.
    return -(label * np.log(score) + (1 - label) * np.log(1 - score)), np.ones_like(score)


_BY_THRESHOLD: dict[str, tuple[str, Callable[[Array, Array, float], Sums]]] = {
    "BinaryAccuracy": ("binary_accuracy", _accuracy),
    "Precision": ("precision", _precision),
    "Recall": ("recall", _recall),
}
_BY_ROW: dict[str, tuple[str, Callable[[Array, Array], Sums]]] = {
    "Calibration": ("calibration", lambda label, score: (score, label)),
    "MeanPrediction": ("mean_prediction", lambda _, score: (score, np.ones_like(score))),
    "BinaryCrossentropy": ("binary_crossentropy", _crossentropy),
    "MeanSquaredError": (
        "mean_squared_error",
        lambda label, score: ((label - score) ** 2, np.ones_like(score)),
    ),
    "MeanAbsoluteError": (
        "mean_absolute_error",
        lambda label, score: (np.abs(label - score), np.ones_like(score)),
    ),
}
AUC = "AUC"


@dataclass(frozen=True)
class Formula:
    """A metric as sums over rows, or as the area under the ROC curve.

    Args:
        name: The metric's name in TFMA's results.
        sums: Gives the numerators and denominators to sum, from labels and predictions. None for
            the area under the ROC curve.
    """

    name: str
    sums: Callable[[Array, Array], Sums] | None


def formula(class_name: str, config: Mapping[str, Any]) -> Formula | None:
    """The formula of a metric of TFMA or Keras; None if this module has none for it."""
    rest = set(config) - {"name", "dtype", "num_thresholds"}
    if class_name in _BY_THRESHOLD:
        name, by_threshold = _BY_THRESHOLD[class_name]
        threshold = _threshold(config, "threshold", "thresholds")
        if rest - {"threshold", "thresholds"} or threshold is None:
            return None
        return Formula(config.get("name", name), lambda y, p: by_threshold(y, p, threshold))
    if rest:
        return None
    if class_name == AUC:
        return Formula(config.get("name", "auc"), None)
    if class_name in _BY_ROW:
        name, by_row = _BY_ROW[class_name]
        return Formula(config.get("name", name), by_row)
    return None


def intervals(
    formulas: Sequence[Formula],
    label: Array,
    scores: Sequence[Array],
    slices: Mapping[SliceKey, Array],
    weight: Array | None = None,
) -> dict[tuple[SliceKey, str], list[Interval | None]]:
    """Compute intervals for the differences of each model from the first.

    Args:
        formulas: The metrics.
        label: 0 or 1, or a number for regression; shape [rows].
        scores: Each model's predictions, of shape [rows].
        slices: The indices of each slice's rows.
        weight: Each row's weight, of shape [rows]; by default 1.

    Returns:
        For each slice and metric, an interval for each model except the first. It is None if the
        metric has no value in some draw, such as AUC for a slice with hardly any positives.
    """
    label = label.astype(np.float64)
    scores = [score.astype(np.float64) for score in scores]
    weight = np.ones(len(label)) if weight is None else weight.astype(np.float64)
    summed = [f for f in formulas if f.sums is not None]
    # Columns by metric, then model, then numerator and denominator: one product for all of them.
    sums = [part for f in summed if f.sums for score in scores for part in f.sums(label, score)]
    columns = np.stack(sums, axis=1) if sums else np.empty((len(label), 0))
    binary = set(np.unique(label)) <= {0.0, 1.0}
    areas = [f for f in formulas if f.sums is None and binary]
    found = {}
    for key, rows in slices.items():
        curves = [_Roc(label[rows], score[rows]) for score in scores] if areas else []
        values: dict[str, list[Array]] = {f.name: [] for f in (*summed, *areas)}
        for counts in _draws(len(rows), key):
            counts = counts * weight[rows]
            totals = (counts @ columns[rows]).T.reshape(len(summed), len(scores), 2, len(counts))
            for f, total in zip(summed, totals, strict=True):
                values[f.name].append(_ratio(total[:, 0], total[:, 1]))
            if curves:
                area = np.stack([curve.areas(counts) for curve in curves])
                for f in areas:
                    values[f.name].append(area)
        for name, blocks in values.items():
            found[key, name] = _bounds(np.concatenate(blocks, axis=1))
    return found


def _draws(rows: int, key: SliceKey) -> Iterator[Array]:
    """Yield blocks of counts of shape [draws, rows]. The first draw has each row once."""
    # A slice draws from its own rows, and its draws do not depend on which other slices there are.
    rng = np.random.default_rng([SEED, *str(key).encode()])
    block = max(1, _BLOCK_BYTES // (8 * max(rows, 1)))
    yield np.ones((1, rows))
    for begin in range(0, DRAWS, block):
        size = min(block, DRAWS - begin)
        chosen = rng.integers(0, rows, (size, rows)) + np.arange(size)[:, None] * rows
        counts = np.bincount(chosen.reshape(-1), minlength=size * rows)
        yield counts.reshape(size, rows).astype(np.float64)


def _ratio(above: Array, below: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below > 0, above / below, np.nan)


class _Roc:
    """The area under the ROC curve for many weightings of the same rows.

    The area is the probability that a positive has a higher score than a negative; a tie counts
    half (Hanley and McNeil, Radiology 143, 1982).
    """

    def __init__(self, label: Array, score: Array) -> None:
        self._order = np.argsort(score, kind="stable")
        self._label = label[self._order]
        ordered = score[self._order]
        self._starts = np.flatnonzero(np.diff(ordered, prepend=-np.inf) > 0)

    def areas(self, counts: Array) -> Array:
        """The area for each draw.

        Args:
            counts: The weight of each row in each draw, of shape [draws, rows].

        Returns:
            float64 of shape [draws]; NaN if a draw has no positives or no negatives.
        """
        counts = counts[:, self._order]
        positive, negative = counts * self._label, counts * (1 - self._label)
        if len(self._starts) < len(self._order):
            positive = np.add.reduceat(positive, self._starts, axis=1)
            negative = np.add.reduceat(negative, self._starts, axis=1)
        below = np.cumsum(negative, axis=1) - negative / 2
        pairs = positive.sum(axis=1) * negative.sum(axis=1)
        return _ratio(np.einsum("ij,ij->i", positive, below), pairs)


def _bounds(values: Array) -> list[Interval | None]:
    """The intervals, from values of shape [models, 1 + draws]."""
    found: list[Interval | None] = []
    for other in values[1:]:
        differences = other - values[0]
        if np.isnan(differences).any():
            found.append(None)
            continue
        edges = [50 * (1 - LEVEL), 50 * (1 + LEVEL)]
        low, high = np.percentile(differences[1:], edges)
        found.append(Interval(float(low), float(high), float(differences[0])))
    return found
