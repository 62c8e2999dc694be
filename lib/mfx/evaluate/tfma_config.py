"""Make TFMA's EvalConfig from the config's `[evaluate]`; read TFMA's result files as plain rows."""

from __future__ import annotations

import collections
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2

from mfx.artifacts import SliceKey, SliceMetrics
from mfx.config import RESULTS, Evaluate, Metric, Threshold
from mfx.errors import MfxError, nearest
from mfx.evaluate import _private

CANDIDATE, BASELINE, LABEL, WEIGHT = RESULTS
"""Columns of the evaluated table, besides the slicing features. The first two are models' names."""

_OF_PROBABILITIES = {
    *("BinaryCrossEntropy", "CategoricalCrossEntropy", "CoefficientOfDiscrimination"),
    *("ConfusionMatrixAtThresholds", "ConfusionMatrixPlot", "RelativeCoefficientOfDiscrimination"),
    *("MultiClassConfusionMatrixAtThresholds", "MultiClassConfusionMatrixPlot"),
    *("MultiLabelConfusionMatrixPlot", "ScoreDistributionPlot"),
    *("BinaryCrossentropy", "CategoricalCrossentropy", "SparseCategoricalCrossentropy"),
    *("BinaryIoU", "FBetaScore", "KLDivergence"),
}
"""Metrics that are only defined for probabilities: TFMA's, then Keras'. The metrics that are
computed from a confusion matrix belong to them too; they are found by their base class."""


def eval_config(options: Evaluate, has_baseline: bool) -> config_pb2.EvalConfig:
    """TFMA's EvalConfig. Without a baseline it has one model and no thresholds for changes."""
    models = [
        config_pb2.ModelSpec(
            name=name,
            label_key=LABEL,
            prediction_key=name,
            example_weight_key=WEIGHT if options.example_weight else "",
            is_baseline=name == BASELINE,
        )
        for name in ([CANDIDATE, BASELINE] if has_baseline else [CANDIDATE])
    ]
    names = [model.name for model in models] if has_baseline else []
    config = config_pb2.EvalConfig(
        model_specs=models,
        slicing_specs=[_slice([]), *(_slice(keys) for keys in options.slices)],
        metrics_specs=_metrics_specs(options, names),
    )
    config.options.min_slice_size.value = options.min_slice_size
    return tfma.utils.update_eval_config_with_defaults(
        config, has_baseline=has_baseline, rubber_stamp=not has_baseline
    )


def metric_name(entry: str | Metric) -> str:
    """The name of a metric in the results, such as `auc` for `AUC`.

    Raises:
        MfxError: There is no such metric, or it does not take these arguments.
    """
    class_name, known = _class_name(entry), _classes()
    if class_name not in known:
        raise MfxError(
            f"evaluate.metrics: no metric '{class_name}'{nearest(class_name, known)}",
            "Name a class of tfma.metrics or keras.metrics.",
        )
    try:
        metric = known[class_name](**_config(entry))
    except (TypeError, ValueError) as error:
        raise MfxError(f"evaluate.metrics: {class_name}: {error}") from None
    return metric.get_config()["name"]


def of_probabilities(entries: Sequence[str | Metric]) -> list[str]:
    """The names, as in the results, of the metrics that are only defined for probabilities."""
    known = _classes()
    return [
        metric_name(entry)
        for entry in entries
        if _class_name(entry) in _OF_PROBABILITIES
        or issubclass(known[_class_name(entry)], _private.ConfusionMatrixMetricBase)
    ]


def _classes() -> dict[str, type]:
    """The metric classes by name. If a name is in both, TFMA's class is taken, as TFMA does."""
    import keras

    return {
        name: kind
        for module in (keras.metrics, tfma.metrics)
        for name, kind in vars(module).items()
        if isinstance(kind, type)
    }


def _class_name(entry: str | Metric) -> str:
    return entry if isinstance(entry, str) else entry.class_name


def shared_models(has_baseline: bool) -> list[tfma.types.EvalSharedModel]:
    """TFMA's descriptions of the models. They say that the table already has the predictions."""
    names = [CANDIDATE, BASELINE] if has_baseline else [""]
    return [
        tfma.types.EvalSharedModel(
            model_name=name,
            model_type=tfma.constants.MATERIALIZED_PREDICTION,
            is_baseline=name == BASELINE,
            rubber_stamp=not has_baseline,
        )
        for name in names
    ]


def rows(results: Path, model: str, slices: list[list[str]]) -> list[SliceMetrics]:
    """Read the metrics from TFMA's result files.

    Args:
        results: The folder that TFMA wrote.
        model: CANDIDATE or BASELINE, or '' if there is one model.
        slices: The slicing features, in the order in which slices are returned.

    Returns:
        One entry per slice: OVERALL first, then in the order of `slices` and of their values. A
        value that TFMA could not compute is None. If a metric is computed for several classes, each
        has the class in its name, such as `precision (classId:2)`.
    """
    loaded = tfma.load_eval_result(str(results), model_name=model or None)
    # TFMA sorts a slice's features by name.
    order = {(): -1} | {tuple(sorted({*keys})): place for place, keys in enumerate(slices)}
    found = []
    for key, metrics in loaded.slicing_metrics:
        values = {name: _number(value) for name, value in _by_name(metrics[""]).items()}
        place = order.get(tuple(name for name, _ in key), len(order))
        natural = [(isinstance(value, str), value) for _, value in key]
        found.append(((place, natural), SliceMetrics(SliceKey.of(key), values)))
    return [row for _, row in sorted(found, key=lambda pair: pair[0])]


def _by_name(metrics: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Give each of a slice's metrics a unique name; TFMA has them by sub key (class or top k)."""
    found = [
        (name, sub_key, value)
        for sub_key, named in metrics.items()
        for name, value in named.items()
        # Without the differences from the baseline, which TFMA lists beside each metric.
        if not (name.endswith("_diff") and name.removesuffix("_diff") in named)
    ]
    uses = collections.Counter(name for name, _, _ in found)
    return {
        f"{name} ({sub_key})" if sub_key and uses[name] > 1 else name: value
        for name, sub_key, value in found
    }


def failures(validation: Any) -> set[tuple[SliceKey, str]]:
    """The slices and metrics that fail a threshold, by TFMA's ValidationResult."""
    return {
        (SliceKey.of(tfma.slicer.deserialize_slice_key(entry.slice_key)), failure.metric_key.name)
        for entry in validation.metric_validations_per_slice
        for failure in entry.failures
    }


def _number(value: dict[str, Any]) -> float | None:
    number = value.get("doubleValue", math.nan if value else None)
    return None if number is None or math.isnan(float(number)) else float(number)


def _slice(keys: list[str]) -> config_pb2.SlicingSpec:
    return config_pb2.SlicingSpec(feature_keys=keys)


def _config(entry: str | Metric) -> dict[str, Any]:
    return {} if isinstance(entry, str) else dict(entry.config)


def _metrics_specs(options: Evaluate, models: list[str]) -> list[config_pb2.MetricsSpec]:
    """Group the metrics by class or top k: only then TFMA checks them against their thresholds."""
    specs: dict[tuple[str, int], config_pb2.MetricsSpec] = {}
    for entry in options.metrics:
        config = _config(entry)
        asked = [(key, config[key]) for key in ("class_id", "top_k") if key in config]
        single = len(asked) == 1 and isinstance(asked[0][1], int)
        of = asked[0] if single else ("", 0)
        spec = specs.setdefault(of, config_pb2.MetricsSpec(model_names=models))
        rest = {key: value for key, value in config.items() if key != of[0]}
        spec.metrics.append(_metric(entry, rest, options.thresholds))
    for (key, value), spec in specs.items():
        if key:
            chosen = spec.binarize.class_ids if key == "class_id" else spec.binarize.top_k_list
            chosen.values.append(value)
    return list(specs.values())


def _metric(
    entry: str | Metric, config: dict[str, Any], thresholds: list[Threshold]
) -> config_pb2.MetricConfig:
    metric = config_pb2.MetricConfig(class_name=_class_name(entry))
    if config:
        metric.config = json.dumps(config)
    name = metric_name(entry)
    for threshold in thresholds:
        if threshold.metric == name:
            metric.per_slice_thresholds.add(
                slicing_specs=[_slice(keys) for keys in threshold.slices],
                threshold=_bound(threshold),
            )
    return metric


def _bound(threshold: Threshold) -> config_pb2.MetricThreshold:
    bound = config_pb2.MetricThreshold()
    if threshold.lower is not None:
        bound.value_threshold.lower_bound.value = threshold.lower
    if threshold.upper is not None:
        bound.value_threshold.upper_bound.value = threshold.upper
    if threshold.max_drop is not None:
        bound.change_threshold.direction = config_pb2.HIGHER_IS_BETTER
        bound.change_threshold.absolute.value = -threshold.max_drop
    if threshold.max_rise is not None:
        bound.change_threshold.direction = config_pb2.LOWER_IS_BETTER
        bound.change_threshold.absolute.value = threshold.max_rise
    return bound
