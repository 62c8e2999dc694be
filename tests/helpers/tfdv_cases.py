"""Rows of every kind, and when two engines' statistics are the same."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

RANDOM = np.random.default_rng(0)
N = 500


def random_batch(**changes) -> pa.RecordBatch:
    columns = {
        "fare": pa.array(np.round(RANDOM.gamma(2, 5, N), 2), pa.float32()),
        "hour": pa.array(RANDOM.integers(0, 24, N), pa.int64()),
        "word": pa.array(RANDOM.choice([b"cash", b"card", b"none"], N, p=[0.6, 0.3, 0.1])),
        "tips": pa.array([None if n % 3 else n / 10 for n in range(N)], pa.float32()),
        "rare": pa.array([7 if n == 3 else None for n in range(N)], pa.int64()),
    }
    columns |= changes
    kept = {name: column for name, column in columns.items() if column is not None}
    return pa.RecordBatch.from_arrays(list(kept.values()), names=list(kept))


BATCH = random_batch()


def exact(proto) -> dict:
    """All that TFDV does not approximate by sketches of batches."""
    found = {}
    for feature in proto.datasets[0].features:
        stats = getattr(feature, feature.WhichOneof("stats"))
        common = stats.common_stats
        values = [common.num_non_missing, common.num_missing, common.tot_num_values]
        values += [str(common.num_values_histogram), common.min_num_values, common.max_num_values]
        if feature.WhichOneof("stats") == "num_stats":
            values += [stats.mean, stats.std_dev, stats.num_zeros, stats.min, stats.max]
            values += [stats.median]
        else:
            values += [stats.unique, stats.avg_length]
            values += [part for v in stats.top_values for part in (v.value, v.frequency)]
            values += [str(stats.rank_histogram)]
        found[feature.path.step[0]] = values
    return found


def assert_same(ours: dict, theirs: dict) -> None:
    """Of `exact` statistics: numbers to 1e-9 of their size, all else equal."""
    assert ours.keys() == theirs.keys()
    for name in ours:
        for mine, other in zip(ours[name], theirs[name], strict=True):
            assert mine == other or mine == pytest.approx(other, rel=1e-9, nan_ok=True), name
