"""Statistics and metrics to draw, with names that would break a page; what a spec becomes."""

import math
from typing import Any

import numpy as np
import vl_convert
from tensorflow_metadata.proto.v0 import statistics_pb2

from mfx.report import vega_lite

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


def marks(spec: dict, kind: str) -> list[dict[str, Any]]:
    """What Vega draws of a spec: marks of one kind, each with its place and look, in pixels.

    Args:
        spec: The spec.
        kind: Vega's word: `symbol`, `rule`, `rect`, `text`; `line` has an item for each point.
    """
    spec = vega_lite.grid([spec], 1) if "layer" in spec else spec
    scene = vl_convert.vegalite_to_scenegraph(spec, vl_version=vega_lite.VERSION)
    found: list[dict[str, Any]] = []

    def look(node: dict[str, Any]) -> None:
        if node.get("marktype") == kind and node.get("role") == "mark":
            found.extend(node["items"])
        for inner in node.get("items", []):
            look(inner)

    look(scene["scenegraph"])
    return found


def held_to_vega_lites_schema(spec: dict) -> None:
    """Raise unless all that the spec says is in the schema of Vega-Lite, as Altair has it."""
    import altair

    if "layer" in spec:
        altair.LayerChart.from_dict(spec)
    else:
        # Metaflow's card looks for a width where Vega-Lite has none.
        altair.ConcatChart.from_dict({k: v for k, v in spec.items() if k != "width"})
