"""`[evaluate]` becomes TFMA's EvalConfig, and TFMA's results become rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tensorflow_model_analysis.proto import config_pb2

from mfx.config import Evaluate, Metric
from mfx.evaluate import tfma_config, tfma_local
from mfx.evaluate.tfma_config import BASELINE, CANDIDATE, LABEL, WEIGHT


def options(**changes: Any) -> Evaluate:
    return Evaluate.model_validate({"metrics": ["AUC"], "select": "auc", **changes})


def config(has_baseline: bool = False, **changes: Any) -> config_pb2.EvalConfig:
    return tfma_config.eval_config(options(**changes), has_baseline)


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("AUC", "auc"),
        ("ExampleCount", "example_count"),
        ("BinaryAccuracy", "binary_accuracy"),
        ("MeanSquaredError", "mean_squared_error"),
        ("RootMeanSquaredError", "root_mean_squared_error"),
        (Metric(class_name="AUC", config={"name": "auc_pr", "curve": "PR"}), "auc_pr"),
        (Metric(class_name="Precision", config={"thresholds": [0.7]}), "precision"),
    ],
)
def test_metric_names(entry, name):
    assert tfma_config.metric_name(entry) == name


def test_a_first_run_has_one_unnamed_model_and_no_change_thresholds():
    made = config(thresholds=[{"metric": "auc", "lower": 0.5, "max_drop": 0.1}])
    (model,) = made.model_specs
    assert (model.name, model.label_key, model.prediction_key) == ("", LABEL, CANDIDATE)
    (entry,) = made.metrics_specs[0].metrics
    (threshold,) = entry.per_slice_thresholds
    assert threshold.threshold.value_threshold.lower_bound.value == 0.5
    assert not threshold.threshold.HasField("change_threshold")


def test_with_a_baseline_there_are_two_models_and_changes_count():
    made = config(
        True,
        metrics=["AUC", "BinaryCrossentropy"],
        thresholds=[
            {"metric": "auc", "max_drop": 0.1, "slices": [[]]},
            {"metric": "binary_crossentropy", "max_rise": 0.2, "upper": 3.0},
        ],
    )
    assert [(m.name, m.prediction_key, m.is_baseline) for m in made.model_specs] == [
        (CANDIDATE, CANDIDATE, False),
        (BASELINE, BASELINE, True),
    ]
    assert list(made.metrics_specs[0].model_names) == [CANDIDATE, BASELINE]
    drop, rise = (m.per_slice_thresholds[0].threshold for m in made.metrics_specs[0].metrics)
    assert drop.change_threshold.direction == config_pb2.HIGHER_IS_BETTER
    assert drop.change_threshold.absolute.value == -0.1
    assert rise.change_threshold.direction == config_pb2.LOWER_IS_BETTER
    assert rise.change_threshold.absolute.value == 0.2
    assert rise.value_threshold.upper_bound.value == 3.0
    assert not rise.value_threshold.HasField("lower_bound")


def test_slices_metrics_and_sizes_go_over():
    made = config(
        metrics=["AUC", {"class_name": "Precision", "config": {"thresholds": [0.7]}}],
        slices=[["hour"], ["hour", "kind"]],
        min_slice_size=5,
        thresholds=[{"metric": "auc", "lower": 0.5, "slices": [[], ["hour", "kind"]]}],
    )
    assert [list(s.feature_keys) for s in made.slicing_specs] == [[], ["hour"], ["hour", "kind"]]
    assert made.options.min_slice_size.value == 5
    auc, precision = made.metrics_specs[0].metrics
    held = auc.per_slice_thresholds[0].slicing_specs
    assert [list(s.feature_keys) for s in held] == [[], ["hour", "kind"]]
    assert json.loads(precision.config) == {"thresholds": [0.7]}
    assert not precision.per_slice_thresholds


def test_metrics_of_a_class_or_of_the_top_have_their_thresholds_there():
    """TFMA finds the metric of a threshold by the class in its spec."""
    made = config(
        metrics=[
            "AUC",
            {"class_name": "Precision", "config": {"class_id": 2, "thresholds": [0.7]}},
            {"class_name": "Recall", "config": {"top_k": 3}},
            {"class_name": "FalsePositives", "config": {"class_id": 2}},
        ],
        thresholds=[{"metric": "precision", "lower": 0.5}],
    )
    every, of_class, top = made.metrics_specs
    assert [m.class_name for m in every.metrics] == ["AUC"]
    assert not every.HasField("binarize")
    assert list(of_class.binarize.class_ids.values) == [2]
    assert [m.class_name for m in of_class.metrics] == ["Precision", "FalsePositives"]
    assert json.loads(of_class.metrics[0].config) == {"thresholds": [0.7]}
    bound = of_class.metrics[0].per_slice_thresholds[0].threshold.value_threshold.lower_bound
    assert bound.value == 0.5
    assert list(top.binarize.top_k_list.values) == [3]


def test_an_example_weight_is_every_models():
    made = config(True, example_weight="fare")
    assert [m.example_weight_key for m in made.model_specs] == [WEIGHT, WEIGHT]
    assert [m.example_weight_key for m in config(True).model_specs] == ["", ""]


def test_metrics_of_several_classes_have_them_in_their_names():
    number = {"doubleValue": 1.0}
    found = tfma_config._by_name(
        {
            "": {"auc": number, "auc_diff": number},
            "classId:1": {"precision": number, "recall": number},
            "classId:2": {"precision": number},
        }
    )
    assert list(found) == ["auc", "precision (classId:1)", "recall", "precision (classId:2)"]


def test_models_that_need_no_loading():
    (first,) = tfma_config.shared_models(has_baseline=False)
    assert (first.model_name, first.is_baseline, first.rubber_stamp) == ("", False, True)
    both = tfma_config.shared_models(has_baseline=True)
    assert [(m.model_name, m.is_baseline, m.rubber_stamp) for m in both] == [
        (CANDIDATE, False, False),
        (BASELINE, True, False),
    ]


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """Results with two models. Sorted as text, their rows would have another order."""
    folder = tmp_path_factory.mktemp("results")
    table = pa.table(
        {
            "hour": pa.array([10, 9, 2, None], pa.int64()),
            "kind": pa.array([b"b", b"a", b"", None], pa.binary()),
            LABEL: pa.array([1, 0, 1, 0], pa.float32()),
            CANDIDATE: pa.array([0.9, 0.2, 0.6, 0.7], pa.float32()),
            BASELINE: pa.array([0.1, 0.2, 0.6, 0.7], pa.float32()),
        }
    )
    pq.write_table(table, folder / "table.parquet")
    metrics = ["ExampleCount", "AUC", "BinaryAccuracy"]
    made = config(True, metrics=metrics, slices=[["kind"], ["hour"], ["kind", "hour"]])
    tfma_local.evaluate(folder / "table.parquet", made, folder / "results")
    return folder / "results"


def test_rows_are_in_the_configs_order_then_by_value(results):
    rows = tfma_config.rows(results, CANDIDATE, [["hour"], ["kind"]])
    names = [str(row.slice) for row in rows]
    assert names[:4] == ["Overall", "hour:2", "hour:9", "hour:10"]
    assert names[4:7] == ["kind:", "kind:a", "kind:b"]
    # TFMA sorts a crossed slice's features by name.
    crossed = ["hour:2, kind:", "hour:9, kind:a", "hour:10, kind:b"]
    assert names[7:] == crossed
    rows = tfma_config.rows(results, CANDIDATE, [["kind", "hour"], ["hour"], ["kind"]])
    assert [str(row.slice) for row in rows][:4] == ["Overall", *crossed]


def test_values_are_of_the_model_asked_for_without_differences(results):
    candidate, baseline = (
        tfma_config.rows(results, m, [])[0].metrics for m in (CANDIDATE, BASELINE)
    )
    assert set(candidate) == {"example_count", "auc", "binary_accuracy"}
    assert (candidate["example_count"], baseline["example_count"]) == (4.0, 4.0)
    assert (candidate["binary_accuracy"], baseline["binary_accuracy"]) == (0.75, 0.5)
    assert all(isinstance(v, float) for v in candidate.values())


def test_what_tfma_could_not_compute_is_none():
    assert tfma_config._number({"doubleValue": "NaN"}) is None
    assert tfma_config._number({"doubleValue": float("nan")}) is None
    assert tfma_config._number({"bytesValue": "x"}) is None
    assert tfma_config._number({"doubleValue": 0.0}) == 0.0
    assert tfma_config._number({"doubleValue": "Infinity"}) == float("inf")
