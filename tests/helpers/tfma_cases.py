"""Tables and configs for comparing metrics in memory with TFMA on Beam."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from mfx.evaluate.tfma_config import BASELINE, CANDIDATE, LABEL, WEIGHT


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


def lists_table(rows: int = 120) -> pa.Table:
    """Slices by lists: empty and missing ones, values that are in a list twice."""
    random = np.random.default_rng(7)
    tags = [[b"a", b"b", b"c", "café".encode()][:n] for n in random.integers(0, 5, rows)]
    ids = [random.integers(0, 3, n).tolist() for n in random.integers(0, 4, rows)]
    table = random_table(rows, seed=8).append_column(
        "tags", pa.array([None if n % 7 == 0 else tag for n, tag in enumerate(tags)])
    )
    return table.append_column("ids", pa.array(ids, pa.list_(pa.int64())))


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
    "slices by lists": (
        lists_table(),
        {
            "metrics": ["ExampleCount", "AUC", "BinaryAccuracy"],
            "select": "auc",
            "slices": [["tags"], ["ids"], ["ids", "tags"], ["hour", "ids"]],
            "thresholds": [{"metric": "auc", "lower": 0.5, "slices": [[], ["tags"]]}],
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
