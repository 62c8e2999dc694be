"""Decide where a metric has no value, and why. Both engines use this module.

TFMA gives NaN for most metrics that would divide by 0, but for some it gives a number: AUC of one
class is 0.0 or 1.0, and a loss of examples that all have weight 0 is 0.0. So this module checks in
the evaluated rows whether they have what a metric needs. If they do and TFMA still gives no number,
the metric has no value either.

A metric whose formula can be computed has a value. For example, F1 is 0.0 if no label is positive
but something is predicted positive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from tensorflow_model_analysis.proto import config_pb2

from mfx.artifacts import SliceKey, SliceMetrics
from mfx.artifacts.evaluation import Reasons
from mfx.config import Evaluate, Metric
from mfx.evaluate import tfma_config, tfma_local
from mfx.evaluate.tfma_config import LABEL, WEIGHT

Rows = list[SliceMetrics]

UNKNOWN = "TFMA gives no single number"


@dataclass(frozen=True)
class _Seen:
    """A slice's rows, as a metric sees them.

    Args:
        labels: float64 of shape [rows]; class numbers if there are several outputs.
        weights: float64 of shape [rows].
        answers: The predictions for all rows of the split, of shape [all] or [all, classes].
        rows: The indices of the slice's rows in `answers`.
        config: The metric's arguments.
    """

    labels: np.ndarray
    weights: np.ndarray
    answers: np.ndarray
    rows: np.ndarray
    config: Mapping[str, Any]

    @property
    def pooled(self) -> bool:
        """Whether each row counts once per class, as a pair of label and prediction."""
        return self.answers.ndim > 1

    def predictions(self) -> np.ndarray:
        """The slice's predictions as float64, which TFMA compares with thresholds."""
        return self.answers[self.rows].astype(np.float64)

    def positive(self) -> bool:
        """Whether any label is positive."""
        return bool((self.weights * (self.labels >= 0 if self.pooled else self.labels)).any())

    def negative(self) -> bool:
        """Whether any label is negative."""
        return self.pooled or bool((self.weights * (1 - self.labels)).any())

    def said(self, positive: bool) -> bool:
        """Whether anything is predicted positive (or negative, if `positive` is false)."""
        if "top_k" in self.config:
            return True
        given = self.config.get("thresholds", self.config.get("threshold"))
        threshold = np.ravel(0.5 if given is None else given)[0]
        found = (self.predictions() > threshold) == positive
        return bool((found.any(axis=1) if self.pooled else found)[self.weights != 0].any())

    def vary(self, values: np.ndarray) -> bool:
        """Whether the values (labels or predictions) are not all the same."""
        counted = values[self.weights != 0]
        return self.pooled or bool(counted.min() != counted.max())


_Rule = Callable[[_Seen], str]
"""Returns why a metric has no value; '' if it has one."""


def _positives(seen: _Seen) -> str:
    return "" if seen.positive() else "no positives"


def _negatives(seen: _Seen) -> str:
    return "" if seen.negative() else "no negatives"


def _classes(seen: _Seen) -> str:
    missing = _positives(seen) or _negatives(seen)
    return f"one class only: {missing}" if missing else ""


def _said_positive(seen: _Seen) -> str:
    return "" if seen.said(positive=True) else "nothing predicted positive"


def _said_negative(seen: _Seen) -> str:
    return "" if seen.said(positive=False) else "nothing predicted negative"


def _any_positive(seen: _Seen) -> str:
    if seen.positive() or seen.said(positive=True):
        return ""
    return "no positives, and nothing predicted positive"


def _label_sum(seen: _Seen) -> str:
    return "" if seen.pooled or (seen.labels * seen.weights).sum() else "the labels' sum is 0"


def _varying_labels(seen: _Seen) -> str:
    return "" if seen.vary(seen.labels) else "all labels are the same"


def _varying_predictions(seen: _Seen) -> str:
    return "" if seen.vary(seen.predictions()) else "all predictions are the same"


def _labels_not_0(seen: _Seen) -> str:
    return "" if seen.pooled or seen.labels[seen.weights != 0].any() else "all labels are 0"


_NEEDED: dict[_Rule, set[str]] = {
    _classes: {
        *("AUC", "AUCPrecisionRecall", "SensitivityAtSpecificity", "SpecificityAtSensitivity"),
        *("RecallAtFalsePositiveRate", "BalancedAccuracy", "Informedness", "PrevalenceThreshold"),
        *("PositiveLikelihoodRatio", "NegativeLikelihoodRatio", "DiagnosticOddsRatio"),
        *("MatthewsCorrelationCoefficient", "CoefficientOfDiscrimination"),
        "RelativeCoefficientOfDiscrimination",
    },
    _positives: {
        *("Recall", "TPR", "MissRate", "FNR", "MaxRecall", "FowlkesMallowsIndex"),
        *("PrecisionAtRecall", "RecallAtPrecision", "ThresholdAtRecall"),
    },
    _negatives: {"Specificity", "TNR", "FallOut", "FPR"},
    _said_positive: {
        *("Precision", "PPV", "FalseDiscoveryRate", "FowlkesMallowsIndex", "Markedness"),
        "MatthewsCorrelationCoefficient",
    },
    _said_negative: {
        *("NegativePredictiveValue", "NPV", "FalseOmissionRate", "Markedness"),
        "MatthewsCorrelationCoefficient",
    },
    _any_positive: {"F1Score", "ThreatScore"},
    _label_sum: {"Calibration"},
    _varying_labels: {"R2Score", "SquaredPearsonCorrelation"},
    _varying_predictions: {"SquaredPearsonCorrelation"},
    _labels_not_0: {"MeanAbsolutePercentageError"},
}
"""For each rule, the classes of the metrics that need it."""

_COUNTS = {"ExampleCount", "WeightedExampleCount"} | {
    *("TruePositives", "TP", "FalsePositives", "FP", "TrueNegatives", "TN", "FalseNegatives", "FN")
}
"""Metrics that are 0 if there is nothing to count. They always have a value."""


def decide(
    rows: Rows, table: pa.Table, model: str, config: config_pb2.EvalConfig, options: Evaluate
) -> tuple[Rows, Reasons]:
    """Replace metrics without a value by None, and say why they have none.

    Args:
        rows: One model's metrics, as `tfma_config.rows` reads them.
        table: The table that TFMA evaluated.
        model: The column with the model's predictions.
        config: TFMA's config for it.
        options: The config's table `[evaluate]`, with the metrics.

    Returns:
        The rows with None for each metric without a value, and the reasons by slice and metric.
    """
    labels, answers = (tfma_local.array(table, name) for name in (LABEL, model))
    weighted = WEIGHT in table.column_names
    weights = tfma_local.array(table, WEIGHT) if weighted else np.ones(len(labels))
    entries = {tfma_config.metric_name(entry): _entry(entry) for entry in options.metrics}
    chosen = {SliceKey.of(k): r for k, r in tfma_local.slices(table, config)}
    reasons: Reasons = {}
    for row in rows:
        at = chosen[row.slice]
        here = labels[at].astype(np.float64), weights[at].astype(np.float64)
        seen = _Seen(here[0], here[1], answers, at, {})
        for name, value in row.metrics.items():
            entry = entries.get(name) or entries.get(name.rsplit(" (", 1)[0])
            why = _why(*entry, seen) if entry else ""
            if why or value is None:
                reasons.setdefault(row.slice, {})[name] = why or UNKNOWN
    return [_without(row, reasons.get(row.slice, {})) for row in rows], reasons


def _without(row: SliceMetrics, names: Iterable[str]) -> SliceMetrics:
    return SliceMetrics(row.slice, row.metrics | dict.fromkeys(names))


def _entry(given: str | Metric) -> tuple[str, dict[str, Any]]:
    return (given, {}) if isinstance(given, str) else (given.class_name, given.config)


def _why(class_name: str, config: dict[str, Any], seen: _Seen) -> str:
    """Why a metric has no value on these rows; or ''."""
    if class_name in _COUNTS:
        return ""
    if not seen.weights.any():
        return "all examples weigh 0"
    seen = replace(seen, config=config)
    number = config.get("class_id")
    if seen.pooled and isinstance(number, int):
        of_class = (seen.labels == number).astype(np.float64)
        seen = replace(seen, labels=of_class, answers=seen.answers[:, number])
    needs = (rule for rule, classes in _NEEDED.items() if class_name in classes)
    return next(filter(None, (rule(seen) for rule in needs)), "")
