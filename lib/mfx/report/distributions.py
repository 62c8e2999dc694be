"""Charts of TFDV's statistics: histograms of numbers and the most frequent values of text.

TFDV gives each split a histogram with edges of its own. To compare them, both are drawn with the
same edges: how many values lie below each is read from cumulative counts.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from mfx.report import vega_lite
from mfx.report.charts import MAX_CHARTS
from mfx.report.vega_lite import Spec
from mfx.splits import TRAIN

TOP_VALUES = 10
"""The most values of a text feature that are shown."""
BINS = 10
"""The bins of a histogram, as many as TFDV's have."""


def draw(datasets: Mapping[str, Any]) -> tuple[list[Spec], list[Spec], list[str]]:
    """Charts of features, with all splits in each.

    Args:
        datasets: TFDV's `DatasetFeatureStatistics` of each split, train first.

    Returns:
        Charts of numeric features, charts of text features, names of features that have no chart:
        those without values and those beyond MAX_CHARTS.
    """
    pairs: dict[str, dict[str, Any]] = {}
    for split, dataset in datasets.items():
        for feature in dataset.features:
            pairs.setdefault(_name(feature), {})[split] = feature
    examples = {split: dataset.num_examples for split, dataset in datasets.items()}
    numeric: list[Spec] = []
    categorical: list[Spec] = []
    left_out = []
    for name, features in pairs.items():
        kinds = {feature.WhichOneof("stats") for feature in features.values()}
        full = len(numeric) + len(categorical) >= MAX_CHARTS
        if not full and kinds == {"num_stats"} and (chart := _histogram(name, features, examples)):
            numeric.append(chart)
        elif not full and kinds == {"string_stats"} and (chart := _top(name, features, examples)):
            categorical.append(chart)
        else:
            left_out.append(name)
    return numeric, categorical, left_out


def _name(feature: Any) -> str:
    return ".".join(feature.path.step) or feature.name


def _missing(features: Mapping[str, Any], examples: Mapping[str, int]) -> str:
    """`missing 3.1% / 3.5%`, for each split; '' if less than 0.5% are missing in all."""
    shares = {}
    for split, feature in features.items():
        present = getattr(feature, feature.WhichOneof("stats")).common_stats.num_non_missing
        shares[split] = 1 - present / examples[split] if examples[split] else 0.0
    for split in examples.keys() - features.keys():
        shares[split] = 1.0
    if max(shares.values()) < 0.005:
        return ""
    shown = [f"{shares[split]:.1%}" for split in examples]
    return f"missing {' / '.join(dict.fromkeys(shown))}"


def _histogram(name: str, features: Mapping[str, Any], examples: Mapping[str, int]) -> Spec | None:
    standard = {split: _buckets(feature, 0) for split, feature in features.items()}
    quantiles = {split: _buckets(feature, 1) for split, feature in features.items()}
    buckets = [bucket for split in standard.values() for bucket in split]
    if not buckets:
        return None
    low, high = min(b[0] for b in buckets), max(b[1] for b in buckets)
    notes = [_missing(features, examples)]
    if all(feature.type == 0 for feature in features.values()) and high - low < 3 * BINS:
        # Bins with edges between integers. Of so few integers TFDV's bins hold now one, now two.
        width = math.ceil((high - low + 1) / BINS)
        edges = [low - 0.5 + width * i for i in range(math.ceil((high - low + 1) / width) + 1)]
        below = {
            split: _cumulative([part for bucket in found for part in _integers(bucket, high)])
            for split, found in standard.items()
        }
    else:
        # A split's two histograms have different edges, so both together say more.
        edges = _edges(low, high)
        below = {split: _cumulative(standard[split], quantiles[split]) for split in features}
        if _crowded([_counts(b, edges) for b in below.values()]):
            cut, note = _central(quantiles, low, high)
            edges = _edges(*cut)
            notes.append(note)
    rows = []
    for split in features:
        shares = [count / max(examples[split], 1) for count in _counts(below[split], edges)]
        rows += [
            {"low": a, "high": b, "share": share, "series": split}
            for (a, b), share in zip(pairwise(edges), shares, strict=True)
        ]
        if split != TRAIN:  # Its line of steps needs an end.
            rows.append({"low": edges[-1], "high": edges[-1], "share": shares[-1], "series": split})
    subtitle = "; ".join(note for note in notes if note)
    layers = _histogram_layers(edges, [*examples])
    return vega_lite.chart(name, rows, layers, subtitle, width=240, height=110)


def _histogram_layers(edges: Sequence[float], splits: list[str]) -> list[Spec]:
    scale = {"domain": [edges[0], edges[-1]], "nice": False, "zero": False}
    short = "~s" if max(map(abs, edges)) >= 1e5 else ",~r"
    axis = {"format": short, "tickCount": 5, "grid": False, "labelOverlap": True}
    x = {"field": "low", "type": "quantitative", "scale": scale, "axis": axis, "title": None}
    y = {
        "field": "share",
        "type": "quantitative",
        "axis": {"format": "~%", "tickCount": 4},
        "title": None,
    }
    shared = {"color": vega_lite.color(*splits), "y": y}
    tooltip = vega_lite.tooltip(
        "series", "low", "high", "share", low=",.6~g", high=",.6~g", share=".2%"
    )
    lines: list[Spec] = [
        {
            "transform": vega_lite.only(split),
            "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2},
            "encoding": {**shared, "x": x, "tooltip": tooltip},
        }
        for split in splits
        if split != TRAIN
    ]
    return [
        {
            "transform": vega_lite.only(TRAIN),
            "mark": {"type": "rect", "opacity": 0.55, "x2Offset": -1},
            "encoding": {
                **shared,
                "x": x,
                "x2": {"field": "high"},
                "y2": {"datum": 0},
                "tooltip": tooltip,
            },
        },
        *lines,
    ]


def _buckets(feature: Any, kind: int) -> list[tuple[float, float, float]]:
    """Each bucket's low edge, high edge and count; of kind 0, equal widths, or 1, quantiles."""
    return [
        (b.low_value, b.high_value, b.sample_count)
        for histogram in feature.num_stats.histograms
        if histogram.type == kind
        for b in histogram.buckets
        if all(map(math.isfinite, (b.low_value, b.high_value, b.sample_count)))
    ]


def _edges(low: float, high: float) -> list[float]:
    if high <= low:
        around = max(abs(low) * 0.01, 0.5)
        return [low - around, low + around]
    # Not low + i * (high - low) / BINS: near the largest float that difference overflows.
    return [low * (1 - i / BINS) + high * (i / BINS) for i in range(BINS + 1)]


def _integers(bucket: tuple[float, float, float], last: float) -> list[tuple[float, float, float]]:
    """The bucket's count, shared equally by its integers; its upper edge counts only if last."""
    low, high, count = bucket
    inside = [
        v for v in range(math.ceil(low), math.floor(high) + 1) if v < high or v in (low, last)
    ]
    values = inside or [round((low + high) / 2)]
    return [(float(v), float(v), count / len(values)) for v in values]


def _cumulative(*histograms: Sequence[tuple[float, float, float]]) -> list[tuple[float, float]]:
    """Sorted pairs of x and how many values lie below it; values equal to x make two pairs."""
    knots = []
    for buckets in histograms:
        total = 0.0
        for low, high, count in buckets:
            knots += [(low, total), (high, total := total + count)]
    knots.sort()
    highest = 0.0
    return [(x, highest := max(highest, total)) for x, total in knots]


def _counts(below: Sequence[tuple[float, float]], edges: Sequence[float]) -> list[float]:
    """How many values each bin has. A bin has its left edge; the last one its right edge too."""
    if not below:
        return [0.0] * (len(edges) - 1)

    def count(x: float) -> float:
        i = bisect_left(below, (x, -math.inf))
        if i == len(below) or i == 0:
            return below[-1][1] if i else 0.0
        (x0, before), (x1, after) = below[i - 1 : i + 1]
        # Halves, because the difference of two floats may be too large for a float.
        return before + (after - before) * ((x / 2 - x0 / 2) / (x1 / 2 - x0 / 2))

    last = max((total for x, total in below if x <= edges[-1]), default=0.0)
    totals = [*map(count, edges[:-1]), max(last, count(edges[-1]))]
    return [b - a for a, b in pairwise(totals)]


def _crowded(splits: Iterable[Sequence[float]]) -> bool:
    """Whether each split has 90% of its values in one bin, because of a few far away."""
    return all(len(counts) > 1 and max(counts) >= 0.9 * sum(counts) for counts in splits)


def _central(
    quantiles: Mapping[str, Any], low: float, high: float
) -> tuple[tuple[float, float], str]:
    """The range without its lowest or highest tenth of values, if that is very long; and a note."""
    found = [split for split in quantiles.values() if len(split) > 2]
    if not found:
        return (low, high), ""
    first = max(_reaching(split, 0.1)[1] for split in found)
    last = min(_reaching(split, 0.9)[1] for split in found)
    long = 2 * (last - first)
    if long <= 0:
        return (low, high), ""
    if first - low > long and high - last > long:
        return (first, last), f"outer tenths ({low:,.6g}, {high:,.6g}) not drawn"
    if first - low > long:
        return (first, high), f"lowest tenth (from {low:,.6g}) not drawn"
    if high - last > long:
        return (low, last), f"highest tenth (to {high:,.6g}) not drawn"
    return (low, high), ""


def _reaching(quantiles: Sequence[tuple[float, float, float]], share: float) -> Any:
    """The first bucket up to whose end at least this share of the values lies."""
    whole, total = sum(count for *_, count in quantiles), 0.0
    for bucket in quantiles:
        total += bucket[2]
        if total >= (share - 1e-3) * whole:
            return bucket
    return quantiles[-1]


def _top(name: str, features: Mapping[str, Any], examples: Mapping[str, int]) -> Spec | None:
    counts: dict[str, dict[str, float]] = {}
    complete = {}
    for split, feature in features.items():
        stats = feature.string_stats
        found = {bucket.label: bucket.sample_count for bucket in stats.rank_histogram.buckets}
        found |= {top.value: top.frequency for top in stats.top_values}
        counts[split], complete[split] = found, len(found) >= stats.unique
    total = {split: max(examples[split], 1) for split in features}
    values = {value for found in counts.values() for value in found}
    if not values:
        return None

    def most(value: str) -> float:
        return max(counts[split].get(value, 0) / total[split] for split in features)

    shown = sorted(values, key=lambda value: (-most(value), value))[:TOP_VALUES]
    rows = [
        {
            "value": vega_lite.text(value, 80) or "(empty)",
            "share": count / total[split],
            "series": split,
        }
        for value in shown
        for split in features
        # TFDV may count only the most frequent values: one that is not among them is not absent.
        if (count := counts[split].get(value, 0.0 if complete[split] else None)) is not None
    ]
    unique = max(feature.string_stats.unique for feature in features.values())
    more = f"top {len(shown)} of {unique:,} values" if unique > len(shown) else ""
    subtitle = "; ".join(note for note in (_missing(features, examples), more) if note)
    order = list(dict.fromkeys(vega_lite.text(value, 80) or "(empty)" for value in shown))
    layers = _top_layers(order, [*examples])
    return vega_lite.chart(name, rows, layers, subtitle, width=300, height={"step": 16})


def _top_layers(order: list[str], splits: list[str]) -> list[Spec]:
    encoding = {
        "y": {"field": "value", "type": "ordinal", "sort": order, "title": None},
        "x": {
            "field": "share",
            "type": "quantitative",
            "axis": {"format": "~%", "tickCount": 5},
            "title": None,
            "stack": None,
        },
        "color": vega_lite.color(*splits),
        "tooltip": vega_lite.tooltip("series", "value", "share", share=".2%"),
    }
    bar = {"type": "bar", "opacity": 0.55, "height": {"band": 0.75}}
    tick = {"type": "tick", "thickness": 3, "height": {"band": 0.85}}
    return [
        {
            "transform": vega_lite.only(split),
            "mark": bar if split == TRAIN else tick,
            "encoding": encoding,
        }
        for split in splits
    ]
