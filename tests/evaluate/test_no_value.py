"""Which metrics have no value, and why: found by hand, and the same with both engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.tfma_cases import metric

from mfx.config import Evaluate
from mfx.evaluate import no_value, tfma_beam, tfma_config, tfma_local
from mfx.evaluate.tfma_config import CANDIDATE, LABEL, WEIGHT

BINARY = {
    "both": ([0, 1, 0, 1], [0.2, 0.8, 0.6, 0.4]),
    "positives": ([1, 1, 1], [0.2, 0.8, 0.6]),
    "negatives": ([0, 0], [0.2, 0.8]),
    "none found": ([0, 0], [0.2, 0.3]),
    "all found": ([1, 1], [0.8, 0.9]),
    "low": ([0, 1], [0.2, 0.3]),
    "at the threshold": ([0, 1], [0.5, 0.5]),
    "weightless": ([0, 1], [0.2, 0.8]),
}
"""Labels and predictions by slice."""
METRICS = [
    *("ExampleCount", "AUC", "AUCPrecisionRecall", "Precision", "Recall", "Specificity"),
    *("NegativePredictiveValue", "F1Score", "BalancedAccuracy", "BinaryAccuracy", "Calibration"),
    *("MatthewsCorrelationCoefficient", "BinaryCrossentropy", "MeanSquaredError"),
    *("SquaredPearsonCorrelation", "MeanLabel", "TruePositives", "DiagnosticOddsRatio"),
    metric("PrecisionAtRecall", recall=0.5),
    metric("SensitivityAtSpecificity", specificity=0.5),
    metric("SpecificityAtSensitivity", sensitivity=0.5),
    metric("Precision", thresholds=[0.7], name="precision_at_0_7"),
    metric("Precision", thresholds=[0.3, 0.5], name="several"),
]
NO_NEGATIVES, NO_POSITIVES = (f"one class only: no {c}" for c in ("negatives", "positives"))
SAME, NOTHING_SAID = "all labels are the same", "nothing predicted positive"
EXPECTED: dict[str, dict[str, str]] = {
    "both": {"precision": "", "auc": "", "diagnostic_odds_ratio": ""},
    "positives": {
        "auc": NO_NEGATIVES,
        "auc_precision_recall": NO_NEGATIVES,
        "balanced_accuracy": NO_NEGATIVES,
        "sensitivity_at_specificity": NO_NEGATIVES,
        "specificity": "no negatives",
        "squared_pearson_correlation": SAME,
        **dict.fromkeys(["precision", "recall", "f1_score", "calibration", "mean_label"], ""),
        **dict.fromkeys(["binary_accuracy", "precision_at_recall", "precision_at_0_7"], ""),
    },
    "negatives": {
        "auc": NO_POSITIVES,
        "auc_precision_recall": NO_POSITIVES,
        "specificity_at_sensitivity": NO_POSITIVES,
        "recall": "no positives",
        "precision_at_recall": "no positives",
        "calibration": "the labels' sum is 0",
        **dict.fromkeys(["precision", "specificity", "f1_score", "mean_label"], ""),
    },
    "none found": {
        "precision": NOTHING_SAID,
        "f1_score": "no positives, and nothing predicted positive",
        "true_positives": "",
        "binary_crossentropy": "",
    },
    "all found": {"negative_predictive_value": "nothing predicted negative", "recall": ""},
    "low": {
        "precision": NOTHING_SAID,
        "precision_at_0_7": NOTHING_SAID,
        "matthews_correlation_coefficient": NOTHING_SAID,
        "recall": "",
        "auc": "",
    },
    "at the threshold": {
        "precision": NOTHING_SAID,
        "squared_pearson_correlation": "all predictions are the same",
        "diagnostic_odds_ratio": no_value.UNKNOWN,
    },
    "weightless": {
        "example_count": "",
        "true_positives": "",
        **dict.fromkeys(["auc", "binary_crossentropy", "recall"], "all examples weigh 0"),
        **dict.fromkeys(["mean_squared_error", "mean_label"], "all examples weigh 0"),
    },
}
"""Why a metric has no value, by slice and metric; '' if it has one."""


def table_of(slices: dict[str, tuple[list, list]]) -> pa.Table:
    names = [name for name, (labels, _) in slices.items() for _ in labels]
    labels, predictions = ([v for pair in slices.values() for v in pair[i]] for i in range(2))
    several = isinstance(predictions[0], list)
    return pa.table(
        {
            "kind": pa.array([name.encode() for name in names], pa.binary()),
            LABEL: pa.array(labels, pa.float32()),
            CANDIDATE: pa.array(predictions, pa.list_(pa.float32()) if several else pa.float32()),
            WEIGHT: pa.array([float(name != "weightless") for name in names], pa.float32()),
        }
    )


def measured(folder: Path, engine: Any, slices: dict, metrics: list) -> tuple[dict, dict]:
    """Rows and reasons by slice."""
    options = Evaluate.model_validate(
        {"metrics": metrics, "select": "x", "slices": [["kind"]], "example_weight": "w"}
    )
    table = table_of(slices)
    pq.write_table(table, folder / "table.parquet")
    config = tfma_config.eval_config(options, has_baseline=False)
    engine.evaluate(folder / "table.parquet", config, folder / "results")
    given = tfma_config.rows(folder / "results", "", options.slices)
    rows, why = no_value.decide(given, table, CANDIDATE, config, options)
    assert [row.metrics.keys() for row in rows] == [row.metrics.keys() for row in given]
    named = {str(row.slice): row.metrics for row in rows}
    return named, {str(key): reasons for key, reasons in why.items()}


@pytest.fixture(scope="module", params=[tfma_local, tfma_beam])
def binary(request, tmp_path_factory) -> tuple[dict, dict]:
    return measured(tmp_path_factory.mktemp("binary"), request.param, BINARY, METRICS)


@pytest.mark.parametrize("name", EXPECTED)
def test_what_has_no_value_says_why(name, binary):
    rows, why = binary
    row, reasons = rows[f"kind:{name}"], why.get(f"kind:{name}", {})
    assert {key: reasons.get(key, "") for key in EXPECTED[name]} == EXPECTED[name]
    for key in row:
        assert (row[key] is None) == bool(reasons.get(key)), key


def test_what_has_a_value_keeps_it(binary):
    rows, why = binary
    assert rows["Overall"]["auc"] is not None and "auc" not in why["Overall"]
    assert rows["kind:both"]["auc"] == pytest.approx(0.75)
    assert rows["kind:positives"]["recall"] == pytest.approx(2 / 3)
    assert rows["kind:negatives"]["f1_score"] == 0.0, "one is found wrongly"
    assert rows["kind:weightless"]["example_count"] == 0.0


def test_several_values_are_no_single_number(binary):
    rows, why = binary
    assert all(row["several"] is None for row in rows.values())
    assert why["kind:both"]["several"] == no_value.UNKNOWN


def test_classes_are_each_looked_at(tmp_path):
    """A class without rows has no recall. Pooled over classes there are always negatives."""
    slices = {
        "all": ([0, 1, 2], [[0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6]]),
        "second": ([1, 1], [[0.2, 0.7, 0.1], [0.3, 0.4, 0.3]]),
    }
    of_class = [
        metric("Recall", class_id=2, name="recall_of_2"),
        metric("AUC", class_id=1, name="auc_of_1"),
        metric("Precision", class_id=0, name="precision_of_0"),
        metric("Precision", top_k=1, name="precision_at_1"),
    ]
    metrics = ["AUC", "SparseCategoricalAccuracy", "Precision", *of_class]
    rows, why = measured(tmp_path, tfma_local, slices, metrics)
    assert why == {
        "kind:second": {
            "recall_of_2": "no positives",
            "auc_of_1": NO_NEGATIVES,
            "precision_of_0": NOTHING_SAID,
        }
    }
    assert rows["kind:second"]["precision"] == 1.0
    assert rows["kind:all"]["precision_at_1"] == 1.0


def test_constant_labels_have_no_share_explained(tmp_path):
    slices = {"any": ([1.0, 2.0, 4.0], [1.1, 2.5, 3.0]), "zeros": ([0.0, 0.0], [1.0, 3.0])}
    metrics = ["R2Score", "MeanSquaredError", "MeanAbsolutePercentageError"]
    rows, why = measured(tmp_path, tfma_local, slices, metrics)
    assert why == {
        "kind:zeros": {"r2_score": SAME, "mean_absolute_percentage_error": "all labels are 0"}
    }
    assert rows["kind:zeros"]["mean_squared_error"] == 5.0
    assert rows["kind:any"]["r2_score"] == pytest.approx(0.73)
