"""Compute points of the ROC and calibration curves, for charts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from mfx.evaluate.tfma_config import LABEL

ROC_POINTS, BINS = 100, 10


def compute(table: pa.Table, names: list[str]) -> dict[str, Any]:
    """Compute the curves of each model's predictions against the label.

    Args:
        table: The column LABEL, and a column of predictions for each of `names`.
        names: The columns with the models' predictions.

    Returns:
        For each name `roc` (lists fpr, tpr) and `calibration` (lists predicted, observed, count).
        Empty if the label is not binary or a model has several outputs.
    """
    label = table[LABEL].to_numpy()
    single = all(pa.types.is_floating(table[name].type) for name in names)
    if not single or set(np.unique(label)) != {0, 1}:
        return {}
    return {name: _curves(label, table[name].to_numpy()) for name in names}


def _curves(label: np.ndarray, score: np.ndarray) -> dict[str, Any]:
    order = np.argsort(-score, kind="stable")
    # A threshold can only lie between two different scores.
    last = np.flatnonzero(np.diff(score[order], append=-np.inf))
    tp = np.cumsum(label[order])[last]
    fp = last + 1 - tp
    rates = np.stack([fp / fp[-1], tp / tp[-1]])
    picked = np.unique(np.linspace(0, len(last) - 1, ROC_POINTS).round().astype(int))
    fpr, tpr = np.concatenate([[[0.0], [0.0]], rates[:, picked]], axis=1)
    bins = np.clip((score * BINS).astype(int), 0, BINS - 1)
    count = np.bincount(bins, minlength=BINS)
    filled = count > 0
    predicted = np.bincount(bins, score, BINS)[filled] / count[filled]
    observed = np.bincount(bins, label, BINS)[filled] / count[filled]
    return {
        "roc": {"fpr": fpr.tolist(), "tpr": tpr.tolist()},
        "calibration": {
            "predicted": predicted.tolist(),
            "observed": observed.tolist(),
            "count": count[filled].tolist(),
        },
    }
