"""Intervals of differences: formulas equal counts by hand, widths fit the theory."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfx.artifacts import OVERALL, SliceKey
from mfx.registry import bootstrap
from mfx.registry.bootstrap import formula, intervals

HOUR_3 = SliceKey((("hour", 3),))
LABEL = np.array([1, 0, 1, 1, 0, 0])
FIRST = np.array([0.9, 0.6, 0.4, 0.8, 0.1, 0.2])
SECOND = np.array([0.9, 0.4, 0.4, 0.8, 0.1, 0.6])


def difference(name: str, first=FIRST, second=SECOND, label=LABEL, weight=None, **config) -> float:
    # Twenty copies of each row have the same metrics, and each draw has positives.
    rows = [np.tile(values, 20) for values in (label, first, second)]
    weight = None if weight is None else np.tile(weight, 20)
    everything = {OVERALL: np.arange(len(rows[0]))}
    found = intervals([formula(name, config)], rows[0], rows[1:], everything, weight)
    ((_, (interval,)),) = found.items()
    return interval.difference


@pytest.mark.parametrize(
    ("name", "config", "expected"),
    [
        # Above 0.5: FIRST says 1, 1, 0, 1, 0, 0; SECOND says 1, 0, 0, 1, 0, 1.
        ("BinaryAccuracy", {}, 4 / 6 - 4 / 6),
        ("BinaryAccuracy", {"threshold": 0.35}, 4 / 6 - 5 / 6),
        ("Precision", {}, 0.0),
        ("Precision", {"thresholds": [0.7]}, 0.0),
        ("Precision", {"thresholds": 0.45}, 2 / 3 - 2 / 3),
        ("Recall", {"thresholds": 0.35}, 0.0),
        ("Calibration", {}, 3.2 / 3 - 3.0 / 3),
        ("MeanPrediction", {}, 3.2 / 6 - 3.0 / 6),
        ("MeanSquaredError", {}, (0.16 + 0.36 - 0.36 - 0.04) / 6),
        ("MeanAbsoluteError", {}, (0.4 + 0.6 - 0.6 - 0.2) / 6),
        (
            "BinaryCrossentropy",
            {},
            (-np.log(0.6) - np.log(0.4) + np.log(0.4) + np.log(0.8)) / 6,
        ),
        # Of 9 pairs of a positive and a negative, 8 are in the right order; in SECOND 7, and
        # a tie of 0.4 with 0.4.
        ("AUC", {}, 7.5 / 9 - 8 / 9),
    ],
)
def test_formulas_by_hand(name, config, expected):
    # 0.4 of a positive and 0.4 of a negative are tied in SECOND; 0.6 of a negative is above 0.4.
    assert difference(name, **config) == pytest.approx(expected, abs=1e-9)


def test_weights_count_as_rows():
    """A row with weight 3 counts as three rows."""
    weight = np.array([3, 1, 2, 1, 1, 2])
    for name in ("BinaryAccuracy", "Precision", "Calibration", "AUC"):
        repeated = [np.repeat(values, weight) for values in (FIRST, SECOND, LABEL)]
        assert difference(name, weight=weight) == pytest.approx(difference(name, *repeated))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 5), st.integers(1, 3)), min_size=2, max_size=12
    )
)
def test_auc_is_the_share_of_ordered_pairs(rows):
    label, score, count = (np.array(values, float) for values in zip(*rows, strict=True))
    area = bootstrap._Roc(label, score).areas(count[None])[0]
    pairs = [
        (counts[0] * counts[1], 1.0 if scores[0] > scores[1] else 0.5 * (scores[0] == scores[1]))
        for (a, b) in itertools.product(range(len(rows)), repeat=2)
        if label[a] == 1 and label[b] == 0
        for counts, scores in [((count[a], count[b]), (score[a], score[b]))]
    ]
    if pairs:
        expected = sum(n * right for n, right in pairs) / sum(n for n, _ in pairs)
        assert area == pytest.approx(expected)
    else:
        assert np.isnan(area)


def test_the_interval_of_a_mean_has_the_width_of_theory():
    """1.96 standard errors of the paired differences to each side."""
    rng = np.random.default_rng(5)
    label = (rng.random(4000) < 0.3).astype(float)
    first = np.clip(0.3 + 0.3 * (label - 0.3) + rng.normal(0, 0.2, 4000), 0, 1)
    second = np.clip(first + rng.normal(0.01, 0.1, 4000), 0, 1)
    rows = {OVERALL: np.arange(4000)}
    names = ["BinaryAccuracy", "MeanSquaredError"]
    found = intervals([formula(n, {}) for n in names], label, [first, second], rows)
    right = [(score > 0.5) == (label > 0.5) for score in (first, second)]
    error = [(label - score) ** 2 for score in (first, second)]
    for name, (a, b) in (("binary_accuracy", right), ("mean_squared_error", error)):
        (interval,) = found[OVERALL, name]
        d = b.astype(float) - a
        half = 1.96 * d.std() / np.sqrt(4000)
        assert interval.difference == pytest.approx(d.mean())
        assert interval.high - interval.low == pytest.approx(2 * half, rel=0.1)
        assert interval.low == pytest.approx(d.mean() - half, abs=0.3 * half)


def test_pairing_makes_like_models_comparable():
    """Two models differ in one row: the interval is far narrower than with unpaired draws."""
    rng = np.random.default_rng(1)
    label = (rng.random(1000) < 0.5).astype(float)
    first = rng.random(1000)
    second = first.copy()
    second[0] = 1 - second[0]
    found = intervals(
        [formula("BinaryAccuracy", {})], label, [first, second], {OVERALL: np.arange(1000)}
    )
    (interval,) = found[OVERALL, "binary_accuracy"]
    assert -0.005 <= interval.low <= interval.high <= 0.005


def test_equal_models_differ_by_nothing():
    found = intervals([formula("AUC", {})], LABEL, [FIRST, FIRST, FIRST], {OVERALL: np.arange(6)})
    assert found[OVERALL, "auc"] == [None, None], "some draws of six rows have one class"
    many = {OVERALL: np.arange(600)}
    label, score = np.tile(LABEL, 100), np.tile(FIRST, 100)
    (interval,) = intervals([formula("AUC", {})], label, [score, score], many)[OVERALL, "auc"]
    assert (interval.low, interval.high) == (0.0, 0.0)


def test_a_slice_is_judged_by_its_own_rows_whatever_else_is_asked():
    rng = np.random.default_rng(2)
    label = (rng.random(500) < 0.5).astype(float)
    scores = [rng.random(500), rng.random(500)]
    formulas = [formula("BinaryAccuracy", {}), formula("AUC", {})]
    part = {HOUR_3: np.arange(100, 300)}
    alone = intervals(formulas, label, scores, part)
    among = intervals(formulas, label, scores, {OVERALL: np.arange(500), **part})
    cut = intervals(
        formulas, label[100:300], [s[100:300] for s in scores], {HOUR_3: np.arange(200)}
    )
    for metric in ("binary_accuracy", "auc"):
        assert alone[HOUR_3, metric] == among[HOUR_3, metric] == cut[HOUR_3, metric]


def test_blocks_make_no_difference(monkeypatch):
    rng = np.random.default_rng(3)
    label = (rng.random(300) < 0.5).astype(float)
    scores = [rng.random(300), rng.random(300)]
    rows = {OVERALL: np.arange(300)}
    whole = intervals([formula("AUC", {})], label, scores, rows)
    monkeypatch.setattr(bootstrap, "_BLOCK_BYTES", 8 * 300 * 7)
    assert intervals([formula("AUC", {})], label, scores, rows) == whole


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("ExampleCount", {}),
        ("AUC", {"curve": "PR"}),
        ("Precision", {"thresholds": [0.1, 0.2]}),
        ("Precision", {"top_k": 2}),
        ("BinaryCrossentropy", {"from_logits": True}),
        ("F1Score", {}),
    ],
)
def test_what_has_no_formula_says_so(name, config):
    assert formula(name, config) is None


def test_a_metric_keeps_the_name_it_was_given():
    assert formula("AUC", {"name": "area"}).name == "area"
    assert formula("Recall", {"thresholds": 0.2, "name": "r"}).name == "r"


def test_regression_has_no_area_under_the_curve():
    label = np.array([0.5, 2.0, 3.0])
    rows = {OVERALL: np.arange(3)}
    formulas = [formula("AUC", {}), formula("MeanSquaredError", {})]
    found = intervals(formulas, label, [label, label + 1], rows)
    assert set(found) == {(OVERALL, "mean_squared_error")}
    assert found[OVERALL, "mean_squared_error"][0].difference == pytest.approx(1.0)
