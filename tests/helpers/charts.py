"""Statistics and metrics to draw, with names that would break a page."""

import math

import numpy as np
from tensorflow_metadata.proto.v0 import statistics_pb2

HOSTILE = "a.b[\"c\"]['d']\\e<script>alert(1)</script>`*|"


def dataset(rows: int = 100) -> statistics_pb2.DatasetFeatureStatistics:
    """An empty dataset of `rows` examples."""
    return statistics_pb2.DatasetFeatureStatistics(num_examples=rows)


def add_numeric(data, name, buckets, quantiles=(), kind="FLOAT"):
    """A numeric feature with (low, high, count) buckets."""
    feature = data.features.add(type=kind)
    feature.path.step.append(name)
    present = sum(count for *_, count in buckets if math.isfinite(count))
    feature.num_stats.common_stats.num_non_missing = int(present)
    for histogram, found in (("STANDARD", buckets), ("QUANTILES", quantiles)):
        added = feature.num_stats.histograms.add(type=histogram)
        for low, high, count in found:
            added.buckets.add(low_value=low, high_value=high, sample_count=count)


def add_text(data, name, counts, unique=None):
    """A text feature with these counts of its values."""
    feature = data.features.add(type="STRING")
    feature.path.step.append(name)
    stats = feature.string_stats
    stats.common_stats.num_non_missing = sum(counts.values())
    stats.unique = unique or len(counts)
    for value, count in counts.items():
        stats.rank_histogram.buckets.add(label=value, sample_count=count)


def models(*names: str) -> dict:
    """Curves of these models, as `Evaluation.curves`."""
    roc = {"fpr": np.linspace(0, 1, 5), "tpr": [0, 0.5, None, math.nan, 1]}
    bins = {"predicted": [0.1, 0.5, 0.9], "observed": [0.2, 0.4, 1.0], "count": [5, 0, 7]}
    return {name: {"roc": roc, "calibration": bins} for name in names}
