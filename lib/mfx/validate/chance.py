"""What the split alone explains: how far train and eval may be apart when only chance parts them.

Rows are split by the hash of their key, by default of the whole row. So what chance draws are not
rows but groups of rows with one key, each of which is in eval with the configured probability.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from mfx.artifacts import SPLITS, Examples
from mfx.config import Split
from mfx.ingest.split import row_hash

FALSE_ALARMS = 0.01
"""At most this share of runs has a chance difference taken for a real one: half of it is for
distances, half for features that one split lacks; over all features together."""
ALWAYS_ROWS = 1_000_000
"""Up to so many rows the bounds are always computed; beyond, only where a distance is large."""


def distance_bounds(examples: Examples, split: Split, names: list[str]) -> dict[str, float]:
    """The L-infinity distance of train and eval that chance exceeds hardly ever, by feature.

    With q the probability of eval, n_c a group's rows that have the feature, x_cv those of them
    with value v, and p_v the share of v, the distance in v is N / (N_train N_eval) times the sum of
    (x_cv - p_v n_c) (I_c - q), where I_c says whether the group is in eval. These terms are
    independent, bounded and zero in the mean, so Bernstein's inequality bounds the sum at any size
    (Boucheron, Lugosi and Massart, Concentration Inequalities, 2013, ch. 2.8), and `FALSE_ALARMS`
    is shared equally by all values of all features.

    Args:
        examples: Both splits.
        split: How they were made.
        names: Features whose values are counted.

    Returns:
        A bound for each name; infinite where a split has no value.
    """
    groups, in_eval, columns = _grouped(examples, split, names)
    share = split.eval / (split.train + split.eval)
    return {
        name: _bound(column, groups, in_eval, share, FALSE_ALARMS / 2 / len(names))
        for name, column in columns.items()
    }


def chance_of_absence(
    examples: Examples, split: Split, missing_in: Mapping[str, str]
) -> dict[str, float]:
    """How likely it is by chance that one split has none of a feature's values, by feature.

    Args:
        examples: Both splits.
        split: How they were made.
        missing_in: The split without a value, by feature; the other has some.
    """
    groups, _, columns = _grouped(examples, split, list(missing_in))
    total = split.train + split.eval
    elsewhere = {"train": split.eval / total, "eval": split.train / total}
    return {
        name: elsewhere[missing_in[name]] ** len(np.unique(groups[_present(column)]))
        for name, column in columns.items()
    }


def _grouped(
    examples: Examples, split: Split, names: list[str]
) -> tuple[np.ndarray, np.ndarray, dict[str, pa.ChunkedArray]]:
    """Of each row of both splits the number of its group, and whether it is in eval; the columns.

    Returns:
        int64 and bool arrays of shape [rows], and columns of as many values.
    """
    hashes, in_eval = [], []
    parts: dict[str, list[pa.Array]] = {name: [] for name in names}
    for name in SPLITS:
        for batch in examples.batches(name):
            hashes.append(row_hash(batch, split.key))
            in_eval.append(np.full(batch.num_rows, name == "eval"))
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
    """The bound of one feature's distance: the largest of its values' bounds."""
    present = _present(column)
    _, group = np.unique(groups[present], return_inverse=True)
    rows, rows_eval = len(group), int(in_eval[present].sum())
    if not 0 < rows_eval < rows:
        return math.inf
    values = column.drop_null().dictionary_encode().unify_dictionaries().combine_chunks()
    value, count = np.asarray(values.indices), len(values.dictionary)
    size = np.bincount(group)
    # Each group's rows with each value that it has.
    pairs, together = np.unique(group * count + value, return_counts=True)
    of, what = size[pairs // count], pairs % count
    part = np.bincount(value, minlength=count) / rows
    apart = np.abs(together - part[what] * of)
    largest = np.maximum(part * size.max(), _most(apart, what, count))
    # The sum over all groups of (x - p n)^2; x is 0 in groups without the value.
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
