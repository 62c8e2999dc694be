"""Accumulators built from arrays equal those filled row by row, and those computed by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_model_analysis.metrics import metric_specs, metric_types
from tensorflow_model_analysis.proto import config_pb2

from mfx.config import Evaluate
from mfx.errors import MfxError
from mfx.evaluate import tfma_accumulators, tfma_config
from mfx.evaluate.tfma_accumulators import _BUILDERS, Batch, _covered, _row_by_row, accumulate

SINGLE = [
    "ExampleCount",
    "AUC",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "Calibration",
    "CalibrationPlot",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "MeanAbsolutePercentageError",
    "MeanSquaredLogarithmicError",
    "RootMeanSquaredError",
]
SEVERAL = [
    "ExampleCount",
    "AUC",
    "MeanSquaredError",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "MultiClassConfusionMatrixPlot",
    {"class_name": "MultiClassConfusionMatrixAtThresholds", "config": {"thresholds": [0.2, 0.5]}},
    {"class_name": "Recall", "config": {"class_id": 1, "thresholds": [0.3]}},
]


def combiners(metrics: list[Any], weight: bool = True, by_share: bool = False) -> list[Any]:
    chosen = {"metrics": metrics, "select": "auc", "example_weight": "w" if weight else ""}
    config = tfma_config.eval_config(Evaluate.model_validate(chosen), has_baseline=False)
    if by_share:
        config.metrics_specs[0].aggregate.CopyFrom(
            config_pb2.AggregationOptions(
                weighted_macro_average=True, class_weights={0: 1.0, 1: 1.0, 2: 1.0}
            )
        )
    made = metric_specs.to_computations(list(config.metrics_specs), eval_config=config)
    return [c.combiner for c in made if isinstance(c, metric_types.MetricComputation)]


def output(combiner: Any, accumulator: Any) -> list[Any]:
    """The combiner's result as plain values, in order."""
    return [_plain(v) for v in combiner.extract_output(accumulator).values()]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    names = getattr(value, "__slots__", None) or list(getattr(value, "__dict__", {}))
    return {n: _plain(getattr(value, n)) for n in names} if names else float(value)


def check_same(found: Any, expected: Any, tolerance: float) -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        found, expected = list(found.values()), [expected[key] for key in found]
    if isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            check_same(one, other, tolerance)
    else:
        assert found == pytest.approx(expected, rel=tolerance, abs=tolerance, nan_ok=True)


NUMBERS = st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.7, 1.0]) | st.floats(0, 1, width=32)


@st.composite
def parts(draw: Any, classes: int = 0, label: Any = None) -> Batch:
    rows = draw(st.integers(1, 12))

    def column(values: Any, kind: str) -> np.ndarray:
        return np.array(draw(st.lists(values, min_size=rows, max_size=rows)), kind)

    labels = column(label or (st.integers(0, classes - 1) if classes else NUMBERS), "float32")
    size = rows * max(1, classes)
    flat = np.array(draw(st.lists(NUMBERS, min_size=size, max_size=size)), "float32")
    predictions = flat.reshape(rows, classes) if classes else flat
    weights = column(st.sampled_from([0.0, 0.5, 1.0, 3.0]), "float32")
    return Batch(labels, {"": predictions}, weights)


@pytest.fixture(scope="module", params=[True, False], ids=["weighted", "unweighted"])
def of_one(request) -> list[Any]:
    return combiners(SINGLE, request.param)


@pytest.fixture(scope="module", params=[True, False], ids=["weighted", "unweighted"])
def of_several(request) -> list[Any]:
    return [
        *combiners(SEVERAL, request.param),
        *combiners(["BinaryAccuracy"], request.param, by_share=True),
    ]


def check_against_rows(of: list[Any], part: Batch) -> None:
    for combiner in of:
        assert type(combiner) in _BUILDERS and _covered(combiner, part), combiner
        keras = type(combiner).__name__ == "_CompilableMetricsCombiner"
        rough = keras or type(combiner).__name__ == "_MeanSquaredLogarithmicErrorCombiner"
        check_same(
            output(combiner, accumulate(combiner, part)),
            output(combiner, _row_by_row(combiner, part)),
            1e-6 if rough else 1e-12,
        )


@settings(max_examples=25, deadline=None)
@given(part=parts())
def test_single_outputs_are_as_row_by_row(of_one, part):
    check_against_rows(of_one, part)


@settings(max_examples=25, deadline=None)
@given(part=parts(classes=3))
def test_several_outputs_are_as_row_by_row(of_several, part):
    check_against_rows(of_several, part)


def test_every_builder_is_compared(of_one, of_several):
    assert {type(combiner) for combiner in [*of_one, *of_several]} == set(_BUILDERS)


@pytest.mark.parametrize("classes", [0, 3])
def test_parts_of_the_rows_add_up(classes, of_one, of_several, monkeypatch):
    """TFMA counts the first mean error twice if accumulators are merged in a list."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 50).astype("float32")
    predictions = random.random((50, classes) if classes else 50).astype("float32")
    part = Batch(labels, {"": predictions}, random.random(50))
    of = of_several if classes else of_one
    whole = [output(c, accumulate(c, part)) for c in of]
    monkeypatch.setattr(tfma_accumulators, "CHUNK", 7)
    monkeypatch.setattr(tfma_accumulators, "KERAS_CHUNK", 7)
    assert len(list(part.chunks(7))) == (25 if classes else 8)
    for combiner, expected in zip(of, whole, strict=True):
        check_same(output(combiner, accumulate(combiner, part)), expected, 1e-6)


PART = Batch(
    labels=np.array([1, 3, 0], "float32"),
    predictions={"": np.array([2, 1, 4], "float32")},
    weights=np.array([1, 3, 0.5], "float32"),
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ExampleCount", 4.5),
        ("MeanAbsoluteError", (1 * 1 + 2 * 3 + 4 * 0.5) / 4.5),
        ("MeanSquaredError", (1 * 1 + 4 * 3 + 16 * 0.5) / 4.5),
        # The percentage error has no value for the label 0.
        ("MeanAbsolutePercentageError", 100 * (1 * 1 + 2 / 3 * 3) / 4),
        (
            "MeanSquaredLogarithmicError",
            (math.log(3 / 2) ** 2 + math.log(2) ** 2 * 3 + math.log(5) ** 2 * 0.5) / 4.5,
        ),
        ("RootMeanSquaredError", math.sqrt((1 * 1 + 4 * 3 + 16 * 0.5) / 4.5)),
    ],
)
def test_by_hand(name, expected):
    (combiner,) = combiners([name])
    (found,) = output(combiner, accumulate(combiner, PART))
    assert found == pytest.approx(expected, rel=1e-6)


def test_classes_by_hand():
    shares = [[0.6, 0.4], [0.5, 0.5], [0.1, 0.9]]
    part = Batch(
        np.array([0, 1, 1], "float32"), {"": np.array(shares, "float32")}, np.array([1.0, 2.0, 4.0])
    )
    entry = {"class_name": "MultiClassConfusionMatrixAtThresholds", "config": {"thresholds": [0.5]}}
    (combiner,) = combiners([entry])
    (found,) = accumulate(combiner, part).values()
    # The second row's highest value is not above the threshold: no class is predicted.
    assert found == {(0, 0): 1.0, (1, -1): 2.0, (1, 1): 4.0}
    (combiner,) = combiners(["SparseCategoricalAccuracy"])
    assert output(combiner, accumulate(combiner, part)) == [pytest.approx(5 / 7)]


def test_without_rows():
    empty = PART.take(slice(0, 0))
    for name, expected in (("ExampleCount", 0.0), ("MeanSquaredError", math.nan)):
        (combiner,) = combiners([name])
        assert output(combiner, accumulate(combiner, empty)) == pytest.approx(
            [expected], nan_ok=True
        )


SHARES = np.array([[0.2, 0.8]], "float32")


@pytest.mark.parametrize(
    ("metric", "label", "prediction", "message"),
    [
        ("AUC", 3.0, np.array([0.5], "float32"), "1 labels are not between 0 and 1"),
        ("AUC", math.nan, np.array([0.5], "float32"), "1 labels are not between 0 and 1"),
        ("AUC", 2.0, SHARES, "1 labels are not class numbers of a model with 2 outputs"),
        ("SparseCategoricalAccuracy", math.nan, SHARES, "1 labels are not class numbers"),
        ("MultiClassConfusionMatrixPlot", 2.0, SHARES, "1 labels are not class numbers"),
        (
            {"class_name": "Precision", "config": {"class_id": 5}},
            1.0,
            SHARES,
            "class 5 of a model with 2 outputs",
        ),
    ],
)
def test_labels_that_do_not_fit_the_metric_are_one_error(metric, label, prediction, message):
    part = Batch(np.array([label], "float32"), {"": prediction}, np.array([1.0]))
    with pytest.raises(MfxError, match=message) as caught:
        for combiner in combiners([metric]):
            accumulate(combiner, part)
    assert caught.value.remedy
