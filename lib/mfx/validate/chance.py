"""How much train and eval can differ by chance alone, because of how rows are split.

Rows are split by the hash of their key, which is the whole row by default. So rows with the same
key form a group, and chance assigns whole groups: each is in eval with the configured probability.
Rows of further splits do not count. Where something else than a hash divides the rows, the measure
is still how far apart rows would be if chance had put as many into eval as there are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from mfx.artifacts import Examples
from mfx.columns.types import rows_of, values_of
from mfx.config import Split
from mfx.ingest.split import row_hash
from mfx.splits import EVAL, TRAIN

FALSE_ALARMS = 0.01
"""The share of runs in which, at most, a difference due to chance is taken for a real one.

It is over all features together. One half is for distances, the other half for features that have
values in one split only.
"""
ALWAYS_ROWS = 1_000_000
"""Up to this many rows, bounds are computed for all features. Beyond, only for features with a
large distance."""


def distance_bounds(examples: Examples, split: Split, names: list[str]) -> dict[str, float]:
    """A bound for each feature's L-infinity distance between train and eval.

    Chance alone hardly ever exceeds it.

    Let q be the probability of eval. For a group c, let n_c be its rows that have the feature,
    x_cv those of them with value v, and I_c 1 if the group is in eval, else 0. Let p_v be the share
    of v. Then the distance in v is N / (N_train N_eval) times the sum of (x_cv - p_v n_c) (I_c - q)
    over all groups. These terms are independent and bounded, and their mean is zero. So Bernstein's
    inequality bounds the sum for any number of groups (Boucheron, Lugosi and Massart, Concentration
    Inequalities, 2013, ch. 2.8). All values of all features get an equal part of `FALSE_ALARMS`.

    Args:
        examples: All splits; train and eval count.
        split: How the rows were split.
        names: Features whose values are counted.

    Returns:
        A bound for each name; infinite if a split has no value of the feature.
    """
    groups, in_eval, columns = _grouped(examples, split, names)
    share = _share_of_eval(examples, split)
    return {
        name: _bound(column, groups, in_eval, share, FALSE_ALARMS / 2 / len(names))
        for name, column in columns.items()
    }


def chance_of_absence(
    examples: Examples, split: Split, missing_in: Mapping[str, str]
) -> dict[str, float]:
    """How likely it is that chance leaves one split without any value of a feature.

    Args:
        examples: All splits; train and eval count.
        split: How the rows were split.
        missing_in: For each feature, the split without a value. The other split has some.

    Returns:
        A probability for each feature of `missing_in`.
    """
    groups, _, columns = _grouped(examples, split, list(missing_in))
    share = _share_of_eval(examples, split)
    elsewhere = {TRAIN: share, EVAL: 1 - share}
    return {
        name: elsewhere[missing_in[name]] ** len(np.unique(groups[_present(column)]))
        for name, column in columns.items()
    }


def _share_of_eval(examples: Examples, split: Split) -> float:
    """The probability with which a group of train or eval is in eval."""
    counts = split.shares if split.kind == "shares" else examples.rows
    return counts[EVAL] / (counts[TRAIN] + counts[EVAL])


def _grouped(
    examples: Examples, split: Split, names: list[str]
) -> tuple[np.ndarray, np.ndarray, dict[str, pa.ChunkedArray]]:
    """Number the groups of rows with equal keys, over train and eval.

    Returns:
        For each row the number of its group (int64 of shape [rows]) and whether it is in eval (bool
        of shape [rows]); and the named columns, of the same length.
    """
    hashes, in_eval = [], []
    parts: dict[str, list[pa.Array]] = {name: [] for name in names}
    for name in (TRAIN, EVAL):
        for batch in examples.batches(name):
            hashes.append(row_hash(batch, split.key))
            in_eval.append(np.full(batch.num_rows, name == EVAL))
            for wanted, part in parts.items():
                part.append(batch.column(batch.schema.get_field_index(wanted)))
    _, groups = np.unique(np.concatenate(hashes), return_inverse=True)
    columns = {name: pa.chunked_array(part) for name, part in parts.items()}
    return groups, np.concatenate(in_eval), columns


def _present(column: pa.ChunkedArray) -> np.ndarray:
    return column.is_valid().to_numpy()


def _bound(
    column: pa.ChunkedArray, groups: np.ndarray, in_eval: np.ndarray, share: float, alarms: float
) -> float:
    """The bound for one feature's distance: the largest bound of all its values."""
    rows_of_value = rows_of(array := column.combine_chunks())
    _, group = np.unique(groups[rows_of_value], return_inverse=True)
    rows, rows_eval = len(group), int(in_eval[rows_of_value].sum())
    if not 0 < rows_eval < rows:
        return math.inf
    values = values_of(array).dictionary_encode()
    value, count = np.asarray(values.indices), len(values.dictionary)
    size = np.bincount(group)
    # For each group and each value in it, the number of rows.
    pairs, together = np.unique(group * count + value, return_counts=True)
    of, what = size[pairs // count], pairs % count
    part = np.bincount(value, minlength=count) / rows
    apart = np.abs(together - part[what] * of)
    largest = np.maximum(part * size.max(), _most(apart, what, count))
    # The sum of (x - p n)^2 over all groups; x is 0 in groups without the value.
    spread = part**2 * (size.astype(float) ** 2).sum() + np.bincount(
        what, together * (together - 2 * part[what] * of), count
    )
    log = math.log(2 * count / alarms)
    third = largest * max(share, 1 - share) * log / 3
    sums = third + np.sqrt(third**2 + 2 * share * (1 - share) * spread * log)
    return float(sums.max() * rows / (rows_eval * (rows - rows_eval)))


def _most(numbers: np.ndarray, of: np.ndarray, count: int) -> np.ndarray:
    most = np.zeros(count)
    np.maximum.at(most, of, numbers)
    return most
