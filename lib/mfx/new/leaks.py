"""Columns that say the label: the same thing by another name, or known only with the label."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mfx.new.problem import Problem
from mfx.new.profile import Profile

TELLING = 0.99
"""From this AUC, or this correlation, on, one column alone tells the label."""
LEAST = 50
"""With fewer rows nothing is suspected."""


def suspicion(
    profile: Profile, column: pa.ChunkedArray, problem: Problem, label: pa.ChunkedArray
) -> str:
    """Why a column may be the label by another name; "" if it does not look so.

    Args:
        profile: The column's.
        column: Its values.
        problem: What is asked.
        label: The label's values.
    """
    both = pc.and_(pc.is_valid(column), pc.is_valid(label))
    rows = pc.sum(both).as_py() or 0
    if rows < LEAST or not (profile.numeric or profile.text):
        return ""
    column, label = column.filter(both), label.filter(both)
    asked = problem.kind in ("binary", "classes")
    if asked and profile.distinct <= rows / 10:
        return _one_to_one(column, label)
    if problem.kind == "binary" and profile.numeric:
        return _ranks(column, label)
    if not asked and profile.numeric:
        return _correlation(column, label)
    return ""


def _one_to_one(column: pa.ChunkedArray, label: pa.ChunkedArray) -> str:
    """Whether each value of the column goes with one label only."""
    pairs = pa.table({"column": column, "label": label}).group_by(["column", "label"])
    counted = pairs.aggregate([("label", "count")])
    best = counted.group_by("column").aggregate([("label_count", "max")])
    right = pc.sum(best["label_count_max"]).as_py() / len(column)
    return f"its values tell {right:.1%} of the labels" if right >= 0.999 else ""


def _ranks(column: pa.ChunkedArray, label: pa.ChunkedArray) -> str:
    """The AUC of the column alone, by ranks."""
    values, truth = column.to_numpy(), _codes(label) == 1
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    positive = int(truth.sum())
    negative = len(truth) - positive
    if not positive or not negative:
        return ""
    auc = (ranks[truth].sum() - positive * (positive + 1) / 2) / (positive * negative)
    auc = max(auc, 1 - auc)
    return f"alone it has an AUC of {auc:.3f}" if auc >= TELLING else ""


def _correlation(column: pa.ChunkedArray, label: pa.ChunkedArray) -> str:
    values, truth = column.to_numpy().astype(float), label.to_numpy().astype(float)
    if not values.std() or not truth.std():
        return ""
    found = abs(float(np.corrcoef(values, truth)[0, 1]))
    return f"its correlation with the label is {found:.4f}" if found >= 0.999 else ""


def _codes(label: pa.ChunkedArray) -> np.ndarray:
    """The two labels as 0 and 1."""
    encoded = label.combine_chunks().dictionary_encode()
    encoded = encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded
    return encoded.indices.to_numpy(zero_copy_only=False)
