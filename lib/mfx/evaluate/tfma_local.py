"""Compute TFMA's metrics without Beam: NumPy fills the accumulators, TFMA does the rest.

`tfma_accumulators` fills each combiner's accumulator for a slice. Everything after that is TFMA's
own code, in the order of `metrics_plots_and_validations_evaluator`: the combiners'
`extract_output`, derived metrics, differences between models, thresholds and file formats.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.proto import config_pb2

from mfx.columns.groups import grouped
from mfx.evaluate import _private
from mfx.evaluate.tfma_accumulators import Batch, accumulate
from mfx.evaluate.tfma_config import LABEL

ENGINE = "TFMA in memory"

Key = tuple[tuple[str, Any], ...]
"""TFMA's key of a slice: pairs of feature and value."""


def not_covered(config: config_pb2.EvalConfig, schema: pa.Schema) -> str:
    """What cannot be computed without Beam.

    TFMA versions that were not checked may have other accumulators, so they run on Beam.

    Args:
        config: What TFMA is to compute.
        schema: The schema of the table to evaluate.

    Returns:
        What is not covered, in words; '' if everything is.
    """
    if tfma.__version__ not in _private.CHECKED["tensorflow-model-analysis"]:
        return f"TFMA {tfma.__version__}"
    for spec in config.model_specs:
        kind = schema.field(spec.prediction_key).type
        values = kind.value_type if _several(kind) else kind
        if not pa.types.is_floating(values):
            return f"predictions of type {kind}"
    if any(spec.query_key for spec in config.metrics_specs):
        return "query keys"
    if config.cross_slicing_specs:
        return "cross slices"
    if config.options.compute_confidence_intervals.value:
        return "confidence intervals"
    for computation in _computations(config):
        if isinstance(
            computation,
            (_private.CrossSliceMetricComputation, _private.CIDerivedMetricComputation),
        ):
            return "cross-slice metrics"
        for preprocessor in getattr(computation, "preprocessors", None) or []:
            if type(preprocessor) is not _private.StandardMetricInputsPreprocessor:
                return f"preprocessor {type(preprocessor).__name__}"
            if constants.FEATURES_KEY in (preprocessor.include_filter or {}):
                return "metrics of features"
    return ""


def _several(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)


def evaluate(table: Path, config: config_pb2.EvalConfig, results: Path) -> None:
    """Write TFMA's result files for the Parquet file `table` into the folder `results`.

    Args:
        table: The columns to slice by, LABEL, one column of predictions per model (numbers, or
            lists of equal length), and the example weight if the config names one.
        config: What to compute; everything must be covered (see `not_covered`).
        results: The folder; it is created if it does not exist.

    Raises:
        MfxError: A metric cannot be computed for these labels or this class.
    """
    rows = pq.read_table(table)
    weight = config.model_specs[0].example_weight_key
    # As in TFMA, a single model has no name.
    named = len(config.model_specs) > 1
    part = Batch(
        labels=array(rows, LABEL),
        predictions={
            s.name if named else "": array(rows, s.prediction_key) for s in config.model_specs
        },
        weights=array(rows, weight) if weight else None,
    )
    computations = _computations(config)
    sliced = []
    for key, chosen in slices(rows, config):
        # As in TFMA, the whole split is never too small.
        if not key or len(chosen) >= config.options.min_slice_size.value:
            sliced.append((key, _metrics(part.take(chosen), computations, config)))
    _write(sliced, config, results)


def array(rows: pa.Table, name: str) -> np.ndarray:
    """A column as an array of shape [rows], or [rows, width] if it holds lists of equal length."""
    column = rows.column(name)
    if _several(column.type):
        return column.combine_chunks().flatten().to_numpy().reshape(len(column), -1)
    return column.to_numpy()


def _computations(config: config_pb2.EvalConfig) -> list[Any]:
    """TFMA's computations without duplicates. Derived ones bring copies of those they need."""
    made = _private.to_computations(list(config.metrics_specs), eval_config=config)
    return list(dict.fromkeys(made))


def slices(rows: pa.Table, config: config_pb2.EvalConfig) -> Iterator[tuple[Key, np.ndarray]]:
    """Each slice's key and row numbers, once; see `columns.groups` for rows with lists or without a
    value."""
    for names in dict.fromkeys(tuple(sorted({*s.feature_keys})) for s in config.slicing_specs):
        if not names:
            yield (), np.arange(rows.num_rows)
            continue
        columns = [rows.column(name).combine_chunks() for name in names]
        for values, chosen in grouped(columns):
            key = tuple(
                (n, v.decode() if isinstance(v, bytes) else v)
                for n, v in zip(names, values, strict=True)
            )
            yield key, chosen


def _metrics(part: Batch, computations: list[Any], config: config_pb2.EvalConfig) -> Any:
    """All public metrics of one slice."""
    found: dict[Any, Any] = {}
    for computation in computations:
        if isinstance(computation, tfma.metrics.MetricComputation):
            combiner = computation.combiner
            found |= combiner.extract_output(accumulate(combiner, part))
    for computation in computations:
        if isinstance(computation, tfma.metrics.DerivedMetricComputation):
            found |= computation.result(found)
    baseline = tfma.utils.get_baseline_model_spec(config)
    if baseline:
        found |= dict(_differences(found, baseline.name))
    return {key: value for key, value in found.items() if not _is_helper(key)}


def _is_helper(key: Any) -> bool:
    return key.name.startswith("_") and not key.name.startswith("__")


def _differences(metrics: dict[Any, Any], baseline: str) -> Iterator[tuple[Any, Any]]:
    for key, value in metrics.items():
        if _is_helper(key) or key.is_diff or key.model_name == baseline:
            continue
        other = key.make_baseline_key(baseline)
        if other in metrics and _private.is_diffable(value):
            yield key.make_diff_key(), value - metrics[other]


def _write(sliced: list[tuple[Key, Any]], config: config_pb2.EvalConfig, folder: Path) -> None:
    """Write TFMA's files, with the names that its writers use, each as one shard."""
    folder.mkdir(parents=True, exist_ok=True)
    metrics = [(k, {m: v for m, v in found.items() if not _plot(m)}) for k, found in sliced]
    plots = [(k, {m: v for m, v in found.items() if _plot(m)}) for k, found in sliced]
    combine = _private.CombineValidations(config, rubber_stamp=len(config.model_specs) == 1)
    verdict = combine.create_accumulator()
    for pair in metrics:
        verdict = combine.add_input(verdict, _private.validate_metrics(pair, config))
    files = {
        "metrics-00000-of-00001": [
            _private.convert_slice_metrics_to_proto(pair, add_metrics_callbacks=[])
            for pair in metrics
        ],
        "plots-00000-of-00001": [
            _private.convert_slice_plots_to_proto(pair, add_metrics_callbacks=[])
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
    (folder / "eval_config.json").write_text(json_format.MessageToJson(run), encoding="utf-8")


def _plot(key: Any) -> bool:
    return isinstance(key, tfma.metrics.PlotKey)
