"""The in-memory metrics against TFMA's own pipeline on Beam: metrics, plots and validations."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow_model_analysis as tfma
from google.protobuf import json_format

from mfx import tfma_beam, tfma_config, tfma_local
from mfx.config import Evaluate
from mfx.tfma_config import BASELINE, CANDIDATE, LABEL, WEIGHT

EXACT = 1e-9
FLOAT32 = {
    "binary_crossentropy": 1e-6,
    "binary_accuracy": 1e-6,
    "cosine_similarity": 1e-6,
    "root_mean_squared_error": 1e-6,
    "logcosh": 1e-6,
    "categorical_crossentropy": 1e-6,
    "categorical_accuracy": 1e-6,
    "mean_squared_logarithmic_error": 1e-6,
}
"""Keras sums these in float32, in batches of other sizes; NumPy's float32 logarithm differs in its
last bit between one number and many."""


def metric(class_name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": class_name, "config": config}


BINARY = [
    "ExampleCount",
    "AUC",
    metric("AUC", curve="PR", name="auc_pr"),
    metric("AUC", num_thresholds=50, summation_method="majoring", name="auc_50"),
    "BinaryAccuracy",
    metric("BinaryAccuracy", threshold=0.3, name="accuracy_at_0_3"),
    "Precision",
    metric("Precision", thresholds=[0.7], name="precision_at_0_7"),
    "Recall",
    metric("Recall", thresholds=[0.25], name="recall_at_quarter"),
    metric("SpecificityAtSensitivity", sensitivity=0.5),
    "FalsePositives",
    "Calibration",
    "MeanLabel",
    "MeanPrediction",
]


def random_table(rows: int = 300, seed: int = 0) -> pa.Table:
    """Predictions that lie on thresholds often, one-class and one-row slices, missing values."""
    random = np.random.default_rng(seed)
    score = np.where(random.random(rows) < 0.5, random.integers(0, 21, rows) / 20, 0.0)
    score = np.where(score == 0.0, random.random(rows), score)
    score[:6] = [0.0, 1.0, 0.5, 0.3, 0.7, 0.25]
    label = (random.random(rows) < 0.3 + 0.5 * score).astype(float)
    hour = [None if random.random() < 0.1 else int(h) for h in random.integers(0, 4, rows)]
    kind = [[None, b"", b"cash", "café, no".encode()][k] for k in random.integers(0, 4, rows)]
    # Hours 70 and 80 have one class each, 90 has one row.
    for begin, value, classes in ((10, 70, 1.0), (20, 80, 0.0), (30, 90, 1.0)):
        end = begin + (1 if value == 90 else 6)
        hour[begin:end] = [value] * (end - begin)
        label[begin:end] = classes
    return pa.table(
        {
            "hour": pa.array(hour, pa.int64()),
            "kind": pa.array(kind, pa.binary()),
            "level": pa.array(random.integers(0, 3, rows) / 2, pa.float32()),
            LABEL: pa.array(label, pa.float32()),
            CANDIDATE: pa.array(score, pa.float32()),
            BASELINE: pa.array(random.random(rows), pa.float32()),
        }
    )


def weighted(table: pa.Table, whole: bool = False) -> pa.Table:
    """With an example weight, often zero: whole numbers, as int64, or any."""
    random = np.random.default_rng(5)
    weight = random.integers(0, 4, len(table)) * (1 if whole else random.random(len(table)))
    return table.append_column(WEIGHT, pa.array(weight, pa.int64() if whole else pa.float32()))


def shares_table() -> pa.Table:
    """Labels between 0 and 1, each of which TFMA makes two examples."""
    table = random_table(80, seed=4)
    label = np.random.default_rng(6).integers(0, 5, len(table)) / 4
    place = table.column_names.index(LABEL)
    return table.set_column(place, LABEL, pa.array(label, pa.float32()))


def regression_table(rows: int = 40) -> pa.Table:
    """Labels that are not classes; some are 0, of which there is no percentage."""
    random = np.random.default_rng(3)
    label = random.normal(size=rows) * (random.random(rows) < 0.8)
    return pa.table(
        {
            "hour": pa.array(random.integers(0, 2, rows), pa.int64()),
            LABEL: pa.array(label, pa.float32()),
            CANDIDATE: pa.array(label + random.normal(size=rows), pa.float32()),
            BASELINE: pa.array(label + random.normal(size=rows), pa.float32()),
        }
    )


def classes_table(rows: int = 90, classes: int = 3) -> pa.Table:
    """Shares of the classes, some of which lie on thresholds; one slice has a single row."""
    random = np.random.default_rng(8)
    candidate, baseline = (random.dirichlet(np.ones(classes), rows) for _ in range(2))
    candidate[:4] = [[0.5, 0.25, 0.25], [0.0, 1.0, 0.0], [0.25, 0.5, 0.25], [0.3, 0.3, 0.4]]
    likely = candidate.argmax(axis=1)
    label = np.where(random.random(rows) < 0.6, likely, random.integers(0, classes, rows))
    hour = [None if random.random() < 0.1 else int(h) for h in random.integers(0, 3, rows)]
    hour[7] = 90
    return pa.table(
        {
            "hour": pa.array(hour, pa.int64()),
            "kind": pa.array([[b"a", b"b"][k] for k in random.integers(0, 2, rows)], pa.binary()),
            LABEL: pa.array(label, pa.float32()),
            CANDIDATE: pa.array(list(candidate), pa.list_(pa.float32())),
            BASELINE: pa.array(list(baseline), pa.list_(pa.float32())),
        }
    )


def by_class(config: Any) -> None:
    """Each class against the rest, and their mean."""
    config.metrics_specs[0].binarize.class_ids.values.extend([0, 2])
    config.metrics_specs[0].aggregate.macro_average = True
    for place, share in ((0, 1.0), (2, 3.0)):
        config.metrics_specs[0].aggregate.class_weights[place] = share


def by_share(config: Any) -> None:
    """The mean over the classes by how many labels are of each."""
    config.metrics_specs[0].aggregate.weighted_macro_average = True
    for place in range(3):
        config.metrics_specs[0].aggregate.class_weights[place] = 1.0


def pooled(config: Any) -> None:
    """All classes' answers as if of one, with weights."""
    config.metrics_specs[0].aggregate.micro_average = True
    for place, share in enumerate((1.0, 0.5, 2.0)):
        config.metrics_specs[0].aggregate.class_weights[place] = share


def top_two(config: Any) -> None:
    config.metrics_specs[0].binarize.top_k_list.values.extend([2])


def tiny_table() -> pa.Table:
    return pa.table(
        {
            "hour": pa.array([7], pa.int64()),
            LABEL: pa.array([1.0], pa.float32()),
            CANDIDATE: pa.array([0.5], pa.float32()),
        }
    )


REGRESSION = [
    "ExampleCount",
    "MeanSquaredError",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredLogarithmicError",
    "RootMeanSquaredError",
    "LogCoshError",
    "Calibration",
    "MeanLabel",
    "SquaredPearsonCorrelation",
]
CLASSES = [
    "ExampleCount",
    "SparseCategoricalCrossentropy",
    "SparseCategoricalAccuracy",
    metric("SparseTopKCategoricalAccuracy", k=2, name="sparse_top_k_categorical_accuracy"),
    "MultiClassConfusionMatrixPlot",
    metric("MultiClassConfusionMatrixAtThresholds", thresholds=[0.3, 0.5]),
    metric("Precision", class_id=1),
    metric("Recall", top_k=2, name="recall_at_2"),
    "AUC",
]
EACH_CLASS: dict[str, Any] = {
    "metrics": ["AUC", "BinaryAccuracy", "BinaryCrossentropy", "Calibration"],
    "select": "auc",
    "slices": [["hour"]],
}


CASES: dict[str, tuple[Any, ...]] = {
    "first run, bounds met and missed, all slices": (
        random_table(),
        {
            "metrics": BINARY,
            "select": "auc",
            # The last two say again what was said: each slice is to come once.
            "slices": [["hour"], ["kind"], ["level"], ["kind", "hour"], ["hour"], ["hour", "kind"]],
            "thresholds": [
                {"metric": "auc", "lower": 0.5, "slices": [[], ["hour"]]},
                {"metric": "binary_accuracy", "lower": 0.99, "slices": [[], ["kind", "hour"]]},
                {"metric": "calibration", "lower": 0.5, "upper": 3.0},
                {"metric": "precision", "max_drop": 0.0},
            ],
        },
        False,
    ),
    "baseline, changes, row by row, plots": (
        random_table(120, seed=1),
        {
            "metrics": [
                "ExampleCount",
                "AUC",
                "BinaryAccuracy",
                "Calibration",
                "BinaryCrossentropy",
                "MeanSquaredError",
                "CalibrationPlot",
                "ConfusionMatrixPlot",
            ],
            "select": "auc",
            "slices": [["hour"], ["kind", "hour"]],
            "min_slice_size": 2,
            "thresholds": [
                {"metric": "auc", "lower": 0.1, "max_drop": 0.1, "slices": [[], ["hour"]]},
                {"metric": "binary_crossentropy", "max_rise": 0.0},
                {"metric": "binary_accuracy", "max_drop": 1.0},
            ],
        },
        True,
    ),
    "example weights": (
        weighted(random_table(150, seed=7)),
        {
            "metrics": [
                *BINARY,
                "BinaryCrossentropy",
                "MeanSquaredError",
                "CalibrationPlot",
                "ConfusionMatrixPlot",
                "CoefficientOfDiscrimination",
            ],
            "select": "auc",
            "example_weight": "some_feature",
            "slices": [["hour"], ["kind", "hour"]],
            "thresholds": [
                {"metric": "auc", "lower": 0.1, "max_drop": 0.1, "slices": [[], ["hour"]]},
                {"metric": "example_count", "lower": 1.0, "slices": [[], ["hour"]]},
            ],
        },
        True,
    ),
    "labels that are shares, whole weights": (
        weighted(shares_table(), whole=True),
        {
            "metrics": [*BINARY, "ConfusionMatrixPlot", "BinaryCrossentropy"],
            "select": "auc",
            "example_weight": "some_feature",
            "slices": [["hour"]],
        },
        False,
    ),
    "labels that are no classes": (
        regression_table(),
        {
            "metrics": REGRESSION,
            "select": "mean_squared_error",
            "slices": [["hour"]],
            "thresholds": [{"metric": "mean_squared_error", "upper": 100.0}],
        },
        False,
    ),
    "regression, weights, baseline": (
        weighted(regression_table()),
        {
            "metrics": REGRESSION,
            "select": "mean_squared_error",
            "example_weight": "some_feature",
            "slices": [["hour"]],
            "thresholds": [{"metric": "mean_squared_error", "upper": 0.1, "max_rise": 0.0}],
        },
        True,
    ),
    "classes": (
        classes_table(),
        {
            "metrics": CLASSES,
            "select": "sparse_categorical_accuracy",
            "slices": [["hour"], ["kind", "hour"]],
            "thresholds": [
                {"metric": "sparse_categorical_accuracy", "lower": 0.9, "slices": [[], ["hour"]]},
                {"metric": "sparse_categorical_crossentropy", "upper": 9.0},
                {"metric": "precision", "lower": 0.0},
                {"metric": "recall_at_2", "lower": 1.0, "slices": [["hour"]]},
            ],
        },
        False,
    ),
    "classes, weights, baseline": (
        weighted(classes_table()),
        {
            "metrics": CLASSES,
            "select": "sparse_categorical_accuracy",
            "example_weight": "some_feature",
            "slices": [["hour"]],
            "thresholds": [{"metric": "sparse_categorical_accuracy", "max_drop": 0.0}],
        },
        True,
    ),
    "each class and their mean": (
        weighted(classes_table()),
        {**EACH_CLASS, "example_weight": "some_feature"},
        True,
        by_class,
    ),
    "mean by labels": (classes_table(), EACH_CLASS, False, by_share),
    "classes pooled": (classes_table(), EACH_CLASS, False, pooled),
    "the two most likely": (
        classes_table(30),
        {"metrics": ["Precision", "Recall"], "select": "recall", "slices": [["hour"]]},
        False,
        top_two,
    ),
    "one row, a slice too small, so without examples": (
        tiny_table(),
        {
            "metrics": ["ExampleCount", "AUC", "BinaryAccuracy"],
            "select": "auc",
            "slices": [["hour"]],
            "min_slice_size": 2,
            "thresholds": [{"metric": "binary_accuracy", "lower": 0.0, "slices": [["hour"]]}],
        },
        False,
    ),
}


@pytest.fixture(scope="module", params=CASES)
def both(request, tmp_path_factory) -> tuple[Path, Path, Evaluate, bool]:
    """Results of one case, by Beam and in memory."""
    table, options, has_baseline, *changes = CASES[request.param]
    options = Evaluate.model_validate(options)
    config = tfma_config.eval_config(options, has_baseline)
    for change in changes:
        change(config)
    assert tfma_local.covers(config, table.schema) == ""
    folder = tmp_path_factory.mktemp("tfma")
    pq.write_table(table, folder / "table.parquet", row_group_size=64)
    tfma_beam.evaluate(folder / "table.parquet", config, folder / "beam")
    tfma_local.evaluate(folder / "table.parquet", config, folder / "local")
    return folder / "beam", folder / "local", options, has_baseline


def sliced(folder: Path, kind: str) -> dict[Any, Any]:
    load = tfma.load_metrics if kind == "metrics" else tfma.load_plots
    found = {}
    for record in load(str(folder)):
        key = json_format.MessageToJson(record.slice_key)
        assert key not in found, "one record a slice"
        # Beam writes a record for a slice without plots too.
        if kind == "metrics" or record.plots or record.plot_keys_and_values:
            found[key] = record
    return found


def values_of(record: Any) -> dict[str, dict[str, Any]]:
    """Each metric's value by its whole key: model, name, difference or not."""
    return {
        json_format.MessageToJson(entry.key, sort_keys=True): json_format.MessageToDict(entry.value)
        for entry in record.metric_keys_and_values
    }


def close(a: Any, b: Any, tolerance: float) -> bool:
    """Whether two JSON values are the same but for rounding of their numbers."""
    if isinstance(a, dict) and isinstance(b, dict):
        # A number that is zero is left out of JSON.
        return all(close(a.get(k, 0), b.get(k, 0), tolerance) for k in {*a, *b})
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(close(x, y, tolerance) for x, y in zip(a, b, strict=True))
    try:
        x, y = float(a), float(b)
    except (TypeError, ValueError):
        return a == b
    if math.isnan(x) or math.isnan(y):
        return math.isnan(x) and math.isnan(y)
    return math.isclose(x, y, rel_tol=tolerance, abs_tol=tolerance)


def test_every_slice_and_metric_is_the_same(both):
    beam, local = (sliced(folder, "metrics") for folder in both[:2])
    assert beam.keys() == local.keys()
    compared = 0
    for key, record in beam.items():
        expected, found = values_of(record), values_of(local[key])
        assert found.keys() == expected.keys(), key
        for name, value in expected.items():
            tolerance = next((t for n, t in FLOAT32.items() if n in name), EXACT)
            assert close(found[name], value, tolerance), (key, name, value, found[name])
            compared += 1
    assert compared >= 3


def test_plots_are_the_same(both):
    beam, local = (sliced(folder, "plots") for folder in both[:2])
    assert beam.keys() == local.keys()
    for key, record in beam.items():
        assert close(
            json_format.MessageToDict(local[key]), json_format.MessageToDict(record), EXACT
        ), key


def test_validations_are_the_same(both):
    beam, local = (tfma.load_validation_result(str(folder)) for folder in both[:2])
    assert local.validation_ok == beam.validation_ok
    assert local.missing_thresholds == beam.missing_thresholds
    failures = [
        sorted(
            json_format.MessageToJson(f, sort_keys=True)
            for f in result.metric_validations_per_slice
        )
        for result in (beam, local)
    ]
    assert len(failures[0]) == len(failures[1])
    for expected, found in zip(*failures, strict=True):
        assert close(json.loads(found), json.loads(expected), 1e-6)
    for parts in (lambda r: r.validation_details.slicing_details, lambda r: r.missing_slices):
        # Beam has these in no certain order.
        assert sorted(map(str, parts(local))) == sorted(map(str, parts(beam)))


def test_rows_for_people_are_the_same(both):
    beam, local, options, has_baseline = both
    for name in [CANDIDATE, BASELINE] if has_baseline else [""]:
        expected, found = (
            tfma_config.rows(folder, name, options.slices) for folder in (beam, local)
        )
        assert [row["slice"] for row in found] == [row["slice"] for row in expected]
        for row, other in zip(found, expected, strict=True):
            assert close(row, other, 1e-6)


def test_small_slices_are_neither_shown_nor_held_to_a_bound(tmp_path):
    """What the config says, here on Beam too: TFMA itself fails them on every threshold."""
    table = random_table(60, seed=2)
    chosen = {
        "metrics": ["ExampleCount"],
        "select": "example_count",
        "slices": [["hour"]],
        "min_slice_size": 5,
        "thresholds": [{"metric": "example_count", "lower": 5, "slices": [[], ["hour"]]}],
    }
    options = Evaluate.model_validate(chosen)
    pq.write_table(table, tmp_path / "table.parquet")
    for engine in (tfma_local, tfma_beam):
        results = tmp_path / engine.__name__
        config = tfma_config.eval_config(options, has_baseline=False)
        engine.evaluate(tmp_path / "table.parquet", config, results)
        shown = tfma_config.rows(results, "", options.slices)
        assert "hour:90" not in [row["slice"] for row in shown]
        assert len(shown) > 3
        assert tfma.load_validation_result(str(results)).validation_ok


@pytest.mark.parametrize("engine", [tfma_local, tfma_beam])
def test_a_slice_by_a_feature_without_values_is_empty(engine, tmp_path):
    table = tiny_table().set_column(0, "hour", pa.array([None], pa.int64()))
    pq.write_table(table, tmp_path / "table.parquet")
    config = config_of(slices=[["hour"]])
    engine.evaluate(tmp_path / "table.parquet", config, tmp_path / "results")
    shown = tfma_config.rows(tmp_path / "results", "", [["hour"]])
    assert [row["slice"] for row in shown] == ["Overall"]


def config_of(has_baseline: bool = False, **options: Any) -> Any:
    chosen = {"metrics": ["AUC"], "select": "auc", **options}
    return tfma_config.eval_config(Evaluate.model_validate(chosen), has_baseline)


SCHEMA = tiny_table().schema


def test_what_is_covered():
    assert tfma_local.covers(config_of(metrics=BINARY), SCHEMA) == ""
    assert tfma_local.covers(config_of(True), random_table().schema) == ""


def test_another_version_of_tfma_is_not_covered(monkeypatch):
    monkeypatch.setattr(tfma, "__version__", "0.99.0")
    assert tfma_local.covers(config_of(), SCHEMA) == "TFMA 0.99.0"


def test_predictions_that_are_no_numbers_are_not_covered():
    place = SCHEMA.get_field_index(CANDIDATE)
    table = tiny_table().set_column(place, CANDIDATE, pa.array([b"yes"]))
    assert tfma_local.covers(config_of(), table.schema) == "predictions of type binary"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda c: setattr(c.metrics_specs[0], "query_key", "hour"), "query keys"),
        (lambda c: c.cross_slicing_specs.add(), "cross slices"),
        (
            lambda c: setattr(c.options.compute_confidence_intervals, "value", True),
            "confidence intervals",
        ),
    ],
)
def test_options_that_need_beam_are_not_covered(change, why):
    config = config_of()
    change(config)
    assert tfma_local.covers(config, SCHEMA) == why


def test_a_preprocessor_of_its_own_is_not_covered():
    config = config_of()
    del config.metrics_specs[0].metrics[:]
    config.metrics_specs[0].metrics.add(class_name="SetMatchPrecision")
    assert tfma_local.covers(config, SCHEMA).startswith("preprocessor ")


def test_the_files_are_read_by_tfma(both):
    _, local, _, has_baseline = both
    result = tfma.load_eval_result(str(local), model_name=CANDIDATE if has_baseline else None)
    assert result.slicing_metrics
    assert result.config.metrics_specs
