"""TFDV's statistics as plain rows, for tables and cards. It imports no TensorFlow."""

from __future__ import annotations

from typing import Any


def present(feature: Any) -> int:
    """How many examples have a value of the feature.

    Args:
        feature: The feature's `FeatureNameStatistics`.
    """
    return int(getattr(feature, feature.WhichOneof("stats")).common_stats.num_non_missing)


def feature_rows(statistics: Any) -> list[dict[str, Any]]:
    """Turn statistics into one dict per feature.

    Args:
        statistics: A DatasetFeatureStatisticsList with one dataset.

    Returns:
        Dicts with the keys feature, type, examples, missing (share); for numbers mean, std_dev,
        zeros (share), min, median, max; for text unique, top, top_share. A key that does not apply
        has the value None.
    """
    from tensorflow_metadata.proto.v0 import statistics_pb2

    data = statistics.datasets[0]
    rows = []
    for feature in data.features:
        text = feature.WhichOneof("stats") == "string_stats"
        stats = feature.string_stats if text else feature.num_stats
        present = stats.common_stats.num_non_missing
        row: dict[str, Any] = {
            "feature": feature.path.step[0],
            "type": statistics_pb2.FeatureNameStatistics.Type.Name(feature.type),
            "examples": int(data.num_examples),
            "missing": 1 - present / data.num_examples if data.num_examples else None,
        }
        numbers = ("mean", "std_dev", "zeros", "min", "median", "max")
        row |= dict.fromkeys((*numbers, "unique", "top", "top_share"))
        if text:
            row["unique"] = int(stats.unique)
            if stats.top_values and present:
                top = stats.top_values[0]
                row["top"], row["top_share"] = top.value, top.frequency / present
        elif present:
            row |= {
                name: getattr(stats, {"zeros": "num_zeros"}.get(name, name)) for name in numbers
            }
            row["zeros"] = stats.num_zeros / present
        rows.append(row)
    return rows
