"""TFMA's metrics without Beam: its own computations on accumulators that NumPy fills.

TFMA turns each row into Python objects and feeds them to combiners one by one. For the frequent
combiners the accumulator after all rows of a slice is a few sums over arrays, so it is built
directly; any other combiner is fed row by row. All that follows (the combiners' own
`extract_output`, derived metrics, differences between models, thresholds, file formats) is TFMA's
own code, in the order of `metrics_plots_and_validations_evaluator`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from tensorflow_model_analysis.contrib.aggregates import binary_confusion_matrices as matrices
from tensorflow_model_analysis.evaluators import metrics_validator
from tensorflow_model_analysis.metrics import binary_confusion_matrices as confusion
from tensorflow_model_analysis.metrics import (
    calibration,
    calibration_histogram,
    metric_specs,
    metric_types,
)
from tensorflow_model_analysis.metrics import example_count as counts
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.utils import model_util
from tensorflow_model_analysis.writers import metrics_plots_and_validations_writer as writer

from mfx.tfma_config import LABEL

ENGINE = "TFMA in memory"
VERSIONS = ("0.47.1", "0.52.0")
"""The versions whose accumulators these are; others go to Beam."""

Arrays = dict[str, np.ndarray]
SliceKey = tuple[tuple[str, Any], ...]


def covers(config: config_pb2.EvalConfig, schema: pa.Schema) -> str:
    """What this path does not cover of an EvalConfig on a table of this schema; '' if nothing."""
    if tfma.__version__ not in VERSIONS:
        return f"TFMA {tfma.__version__}"
    if any(
        not pa.types.is_floating(schema.field(s.prediction_key).type) for s in config.model_specs
    ):
        return "several outputs"
    if any(spec.query_key for spec in config.metrics_specs):
        return "query keys"
    if config.cross_slicing_specs:
        return "cross slices"
    if config.options.compute_confidence_intervals.value:
        return "confidence intervals"
    for computation in _computations(config):
        if isinstance(
            computation,
            (metric_types.CrossSliceMetricComputation, metric_types.CIDerivedMetricComputation),
        ):
            return "cross-slice metrics"
        for preprocessor in getattr(computation, "preprocessors", None) or []:
            if type(preprocessor) is not metric_types.StandardMetricInputsPreprocessor:
                return f"preprocessor {type(preprocessor).__name__}"
    return ""


def evaluate(table: Path, config: config_pb2.EvalConfig, results: Path) -> None:
    """Write TFMA's result files for the Parquet file `table` into the folder `results`.

    Args:
        table: Columns to slice by, LABEL, and one column of predictions a model, of shape [rows].
        config: Covered by this path (see `covers`).
        results: Made if missing.
    """
    rows = pq.read_table(table)
    columns = {
        name: rows.column(name).to_numpy().astype(np.float64)
        for name in (LABEL, *(spec.prediction_key for spec in config.model_specs))
    }
    computations = _computations(config)
    sliced = []
    for key, chosen in _slices(rows, config):
        # As in TFMA, the whole is never too small.
        if not key or len(chosen) >= config.options.min_slice_size.value:
            part = {name: values[chosen] for name, values in columns.items()}
            sliced.append((key, _metrics(part, computations, config)))
    _write(sliced, config, results)


def _computations(config: config_pb2.EvalConfig) -> list[Any]:
    """TFMA's computations, each once; derived ones bring copies of what they derive from."""
    made = metric_specs.to_computations(list(config.metrics_specs), eval_config=config)
    return list(dict.fromkeys(made))


def _slices(rows: pa.Table, config: config_pb2.EvalConfig) -> Iterator[tuple[SliceKey, np.ndarray]]:
    """Each slice's key and row numbers, once; a row with a missing value is in no slice by it."""
    for names in dict.fromkeys(tuple(sorted({*s.feature_keys})) for s in config.slicing_specs):
        if not names:
            yield (), np.arange(rows.num_rows)
            continue
        encoded = [rows.column(name).combine_chunks().dictionary_encode() for name in names]
        codes = [np.asarray(e.indices.fill_null(-1)) for e in encoded]
        present = np.flatnonzero(np.all([c >= 0 for c in codes], axis=0))
        if not len(present):
            continue
        distinct, inverse = np.unique(
            np.stack([c[present] for c in codes], axis=1), axis=0, return_inverse=True
        )
        order = np.argsort(inverse.reshape(-1), kind="stable")
        ends = np.cumsum(np.bincount(inverse.reshape(-1)))
        for combination, chosen in zip(distinct, np.split(present[order], ends[:-1]), strict=True):
            values = [
                e.dictionary[int(c)].as_py() for e, c in zip(encoded, combination, strict=True)
            ]
            key = tuple(
                (n, v.decode() if isinstance(v, bytes) else v)
                for n, v in zip(names, values, strict=True)
            )
            yield key, chosen


def _metrics(part: Arrays, computations: list[Any], config: config_pb2.EvalConfig) -> Any:
    """All public metrics of one slice."""
    found: dict[Any, Any] = {}
    for computation in computations:
        if isinstance(computation, metric_types.MetricComputation):
            combiner = computation.combiner
            found |= combiner.extract_output(_accumulate(combiner, part, config))
    for computation in computations:
        if isinstance(computation, metric_types.DerivedMetricComputation):
            found |= computation.result(found)
    baseline = model_util.get_baseline_model_spec(config)
    if baseline:
        found |= dict(_differences(found, baseline.name))
    return {key: value for key, value in found.items() if not _private(key)}


def _private(key: Any) -> bool:
    return key.name.startswith("_") and not key.name.startswith("__")


def _differences(metrics: dict[Any, Any], baseline: str) -> Iterator[tuple[Any, Any]]:
    for key, value in metrics.items():
        if _private(key) or key.is_diff or key.model_name == baseline:
            continue
        other = key.make_baseline_key(baseline)
        if other in metrics and isinstance(value, (int, float, np.number)):
            yield key.make_diff_key(), value - metrics[other]


def _accumulate(combiner: Any, part: Arrays, config: config_pb2.EvalConfig) -> Any:
    """The combiner's accumulator after all rows of a slice."""
    build = _BUILDERS.get(type(combiner))
    binary = np.isin(part[LABEL], (0.0, 1.0)).all()
    if build is None or not binary or not _plain(combiner):
        return _row_by_row(combiner, part, config)
    if build is _example_count:
        return _example_count(combiner, part[LABEL], part[LABEL])
    name = combiner._key.model_name
    spec = model_util.get_model_spec(config, name)
    return build(combiner, part[LABEL], part[spec.prediction_key])


def _plain(combiner: Any) -> bool:
    """Whether the combiner asks for the predictions as they are, unweighted."""
    if getattr(combiner, "_example_weighted", False):
        return False
    if getattr(combiner, "_class_weights", None) or getattr(combiner, "_aggregation_type", None):
        return False
    key = getattr(combiner, "_key", None)
    return key is None or not (key.sub_key or key.output_name)


def _row_by_row(combiner: Any, part: Arrays, config: config_pb2.EvalConfig) -> Any:
    combiner.setup()
    accumulator = combiner.create_accumulator()
    named = len(config.model_specs) > 1
    predictions = {spec.name: part[spec.prediction_key] for spec in config.model_specs}
    for row in range(len(part[LABEL])):
        given = {name: values[row : row + 1] for name, values in predictions.items()}
        accumulator = combiner.add_input(
            accumulator,
            metric_types.StandardMetricInputs(
                label=part[LABEL][row : row + 1],
                prediction=given if named else next(iter(given.values())),
                example_weight=np.array([1.0]),
            ),
        )
    return combiner.compact(accumulator)


def _example_count(_: Any, labels: np.ndarray, __: np.ndarray) -> float:
    return float(len(labels))


def _histogram(combiner: Any, labels: np.ndarray, predictions: np.ndarray) -> dict[int, Any]:
    value = predictions if combiner._prediction_based_bucketing else labels
    last = combiner._num_buckets + 1
    place = (value - combiner._left) / combiner._range * combiner._num_buckets + 1
    bucket = np.clip(np.trunc(place), 0, last).astype(np.int64)
    ids, inverse = np.unique(bucket, return_inverse=True)
    sums = [np.bincount(inverse, weights=w) for w in (labels, predictions, np.ones_like(labels))]
    return {
        int(i): calibration_histogram.Bucket(int(i), *(float(s[n]) for s in sums))
        for n, i in enumerate(ids)
    }


def _matrices(combiner: Any, labels: np.ndarray, predictions: np.ndarray) -> dict[float, Any]:
    thresholds = combiner._binary_confusion_matrices._thresholds
    positive = np.sort(predictions[labels == 1.0])
    negative = np.sort(predictions[labels == 0.0])
    found = {}
    for threshold in thresholds:
        fn = float(np.searchsorted(positive, threshold, side="right"))
        tn = float(np.searchsorted(negative, threshold, side="right"))
        matrix = matrices.Matrix(tp=len(positive) - fn, tn=tn, fp=len(negative) - tn, fn=fn)
        found[threshold] = matrices._ThresholdEntry(matrix, [], [], [], [])
    return found


def _label_sums(_: Any, labels: np.ndarray, predictions: np.ndarray) -> Any:
    sums = calibration._WeightedLabelsPredictionsExamples()
    sums.total_weighted_labels = float(labels.sum())
    sums.total_weighted_predictions = float(predictions.sum())
    sums.total_weighted_examples = float(len(labels))
    return sums


_BUILDERS: dict[type, Callable[[Any, np.ndarray, np.ndarray], Any]] = {
    counts._ExampleCountCombiner: _example_count,
    calibration_histogram._CalibrationHistogramCombiner: _histogram,
    confusion._BinaryConfusionMatrixCombiner: _matrices,
    calibration._WeightedLabelsPredictionsExamplesCombiner: _label_sums,
}


def _write(sliced: list[tuple[SliceKey, Any]], config: config_pb2.EvalConfig, folder: Path) -> None:
    """TFMA's files, named as its writers name them, one shard each."""
    folder.mkdir(parents=True, exist_ok=True)
    metrics = [(k, {m: v for m, v in found.items() if not _plot(m)}) for k, found in sliced]
    plots = [(k, {m: v for m, v in found.items() if _plot(m)}) for k, found in sliced]
    combine = writer.CombineValidations(config, rubber_stamp=len(config.model_specs) == 1)
    verdict = combine.create_accumulator()
    for pair in metrics:
        verdict = combine.add_input(verdict, metrics_validator.validate_metrics(pair, config))
    files = {
        "metrics-00000-of-00001": [
            writer.convert_slice_metrics_to_proto(pair, add_metrics_callbacks=[])
            for pair in metrics
        ],
        "plots-00000-of-00001": [
            writer.convert_slice_plots_to_proto(pair, add_metrics_callbacks=[])
            for pair in plots
            if pair[1]
        ],
        "attributions-00000-of-00001": [],
        "validations": [combine.extract_output(verdict)],
    }
    for name, messages in files.items():
        with tf.io.TFRecordWriter(str(folder / f"{name}.tfrecord")) as file:
            for message in messages:
                file.write(message.SerializeToString(deterministic=True))
    run = config_pb2.EvalRun(
        eval_config=config,
        version=tfma.__version__,
        file_format="",
        model_locations=dict(zip((s.name for s in config.model_specs), itertools.repeat(""))),
    )
    (folder / "eval_config.json").write_text(json_format.MessageToJson(run))


def _plot(key: Any) -> bool:
    return isinstance(key, metric_types.PlotKey)
