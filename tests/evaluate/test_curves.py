"""Curves equal those computed by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from mfx.evaluate import curves
from mfx.evaluate.tfma_config import LABEL


def table(labels, **scores) -> pa.Table:
    columns = {name: pa.array(values, pa.float32()) for name, values in scores.items()}
    return pa.table({LABEL: pa.array(labels, pa.float32()), **columns})


def test_each_threshold_is_a_point_and_ties_are_one():
    found = curves.compute(table([1, 0, 1, 0, 1], m=[0.9, 0.8, 0.8, 0.3, 0.1]), ["m"])["m"]["roc"]
    # After 0.9: 1 of 3 positives; after both 0.8: 2 and 1 of 2 negatives; 0.3: all negatives.
    assert found["tpr"] == pytest.approx([0, 1 / 3, 2 / 3, 2 / 3, 1])
    assert found["fpr"] == pytest.approx([0, 0, 1 / 2, 1, 1])


def test_calibration_bins_are_tenths_and_empty_ones_are_left_out():
    found = curves.compute(table([0, 1, 1, 0, 1], m=[0.04, 0.06, 0.55, 0.0, 1.0]), ["m"])["m"]
    bins = found["calibration"]
    assert bins["count"] == [3, 1, 1]
    assert bins["predicted"] == pytest.approx([0.1 / 3, 0.55, 1.0])
    assert bins["observed"] == pytest.approx([1 / 3, 1.0, 1.0])


def test_constant_predictions_are_the_diagonal():
    found = curves.compute(table([0, 1, 1], m=[0.5, 0.5, 0.5]), ["m"])["m"]["roc"]
    assert found == {"fpr": [0, 1], "tpr": [0, 1]}


def test_long_curves_are_thinned_but_keep_their_ends_and_rise():
    random = np.random.default_rng(0)
    score = random.random(5000)
    label = (random.random(5000) < score).astype(float)
    found = curves.compute(table(label, a=score, b=1 - score), ["a", "b"])
    for name, above in (("a", True), ("b", False)):
        fpr, tpr = np.array(found[name]["roc"]["fpr"]), np.array(found[name]["roc"]["tpr"])
        assert len(fpr) == curves.ROC_POINTS + 1
        assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
        assert (np.diff(fpr) >= 0).all() and (np.diff(tpr) >= 0).all()
        assert (np.trapezoid if hasattr(np, "trapezoid") else np.trapz)(tpr, fpr) > 0.5 or not above
        assert sum(found[name]["calibration"]["count"]) == 5000


@pytest.mark.parametrize("labels", [[1, 1], [0, 0], [0, 2], [0.5, 1]])
def test_labels_of_other_than_two_classes_have_no_curves(labels):
    assert curves.compute(table(labels, m=[0.1, 0.2]), ["m"]) == {}


def test_several_outputs_have_no_curves():
    rows = table([0, 1]).append_column("m", pa.array([[0.1, 0.9], [0.2, 0.8]]))
    assert curves.compute(rows, ["m"]) == {}
