"""Statistics as rows of a table, against numbers worked by hand."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest
from tensorflow_metadata.proto.v0 import statistics_pb2

from mfx.artifacts.statistics_view import feature_rows
from mfx.validate.tfdv_local import describe

KEYS = [
    "feature",
    "type",
    "examples",
    "missing",
    "mean",
    "std_dev",
    "zeros",
    "min",
    "median",
    "max",
    "unique",
    "top",
    "top_share",
]


def _rows(**columns):
    return {row["feature"]: row for row in feature_rows(describe([_batch(columns)])[0])}


def _batch(columns):
    return pa.RecordBatch.from_pydict(columns)


def test_numbers():
    row = _rows(n=pa.array([2, 0, None, 4, None, 0, 4, 8], pa.int64()))["n"]
    assert list(row) == KEYS
    assert (row["type"], row["examples"], row["missing"]) == ("INT", 8, 0.25)
    assert row["mean"] == 3.0  # 18 over the six present
    assert row["std_dev"] == pytest.approx(math.sqrt(100 / 6 - 9))
    assert row["zeros"] == pytest.approx(2 / 6)
    assert (row["min"], row["max"]) == (0, 8)
    assert row["unique"] is row["top"] is row["top_share"] is None


def test_the_median_of_an_odd_number_of_values():
    assert _rows(n=pa.array([5.0, 1.0, 9.0], pa.float32()))["n"]["median"] == 5.0


def test_text():
    row = _rows(w=pa.array([b"a", b"b", b"a", None, b"", b"a", None, b"b"]))["w"]
    assert list(row) == KEYS
    assert (row["type"], row["examples"], row["missing"]) == ("STRING", 8, 0.25)
    assert (row["unique"], row["top"], row["top_share"]) == (3, "a", 0.5)
    assert row["mean"] is row["min"] is row["zeros"] is None


def test_a_column_without_values():
    rows = _rows(n=pa.nulls(4, pa.float32()), w=pa.nulls(4, pa.binary()), i=pa.array([1, 2, 3, 4]))
    for name in ("n", "w"):
        assert rows[name]["missing"] == 1.0
        assert rows[name]["mean"] is rows[name]["min"] is rows[name]["top"] is None
    assert rows["i"]["missing"] == 0.0


def test_a_data_set_without_rows():
    empty = statistics_pb2.DatasetFeatureStatisticsList()
    feature = empty.datasets.add().features.add(type="INT")
    feature.path.step.append("n")
    feature.num_stats.common_stats.num_non_missing = 0
    (row,) = feature_rows(empty)
    assert (row["examples"], row["missing"], row["mean"]) == (0, None, None)
