"""Vega-Lite specs for the cards: plain dicts with inline data, bounded in size.

Text that comes from data (feature names, slices, values) is only ever a data value or a title,
never a field name or an expression, so that dots, brackets and quotes need no escaping.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from numbers import Real
from typing import Any

MAX_CHARTS = 60
"""Most small charts in one picture."""
MAX_CATEGORIES = 60
"""Most slices on one axis."""
MAX_POINTS = 300
"""Most points of one curve."""
TOP_VALUES = 10
"""Most values shown of a text feature."""
BINS = 10
"""Bins of a histogram, as many as TFDV keeps."""

Spec = dict[str, Any]
Row = dict[str, Any]

BLUE, ORANGE, GREY = "#2a679d", "#ef863b", "#9aa0a6"
_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
_QUIET = {"labelColor": "#555", "titleColor": "#555", "domainColor": "#ccc", "tickColor": "#ccc"}
_CONFIG: Spec = {
    "font": "Roboto, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif",
    "view": {"stroke": None},
    "axis": {**_QUIET, "gridColor": "#eee", "titleFontWeight": "normal", "labelLimit": 150},
    "title": {
        "anchor": "start",
        "color": "#333",
        "fontSize": 12,
        "subtitleColor": "#767676",
        "subtitleFontSize": 10,
    },
    "legend": {"orient": "top", "title": None, "labelColor": "#333", "symbolStrokeWidth": 2},
}


def number(value: Any) -> float | None:
    """A finite plain float, or None: JSON in a browser knows neither NaN nor NumPy."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return None
    try:
        value = float(value)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def text(value: Any, limit: int = 200) -> str:
    """One line without control characters, cut to `limit` characters."""
    line = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", str(value)).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def natural(value: str) -> tuple[Any, ...]:
    """Sort key: numbers by size first, then text with its digits by size."""
    try:
        if math.isfinite(as_float := float(value)):
            return (0, as_float, ())
    except ValueError:
        pass
    parts = re.split(r"(\d+)", value.casefold())
    return (1, 0.0, tuple((p.isdigit(), int(p) if p.isdecimal() else 0, p) for p in parts))


def grid(charts: Sequence[Spec], columns: int) -> Spec:
    """Small multiples: each chart with scales of its own, one colour legend above."""
    return {
        "$schema": _SCHEMA,
        # VegaChart would put "container" here, which Vega-Lite does not know for several charts.
        "width": None,
        "columns": columns,
        "spacing": {"row": 24, "column": 24},
        "concat": list(charts),
        "resolve": {"scale": {"color": "shared"}},
        "config": _CONFIG,
    }


def distributions(train: Any, evaluated: Any) -> tuple[list[Spec], list[Spec], list[str]]:
    """Histograms of numeric features and top values of text features, train over eval.

    Args:
        train: TFDV's `DatasetFeatureStatistics` of the train split.
        evaluated: The same of the eval split.

    Returns:
        Charts of numeric features, charts of text features, names of features without a chart.
    """
    pairs: dict[str, dict[str, Any]] = {}
    for split, dataset in (("train", train), ("eval", evaluated)):
        for feature in dataset.features:
            pairs.setdefault(_name(feature), {})[split] = feature
    examples = {"train": train.num_examples, "eval": evaluated.num_examples}
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


def curves(history: Mapping[str, Sequence[Any]]) -> list[Spec]:
    """One chart a metric: train and validation value over the epochs."""
    names = dict.fromkeys(name.removeprefix("val_") for name in history)
    charts = []
    for name in list(names)[:MAX_CHARTS]:
        rows = [
            {"epoch": epoch + 1, "value": value, "series": series}
            for series, key in (("train", name), ("validation", f"val_{name}"))
            for epoch, raw in _thin(list(enumerate(history.get(key, ()))))
            if (value := number(raw)) is not None
        ]
        if rows:
            charts.append(_chart(name, rows, _curve_layers(), width=240, height=150))
    return charts


def roc(models: Mapping[str, Any]) -> Spec | None:
    """ROC of the candidate and, if there is one, the baseline, over the diagonal."""
    rows = _points(models, "roc", {"x": "fpr", "y": "tpr"})
    axes = ("false positive rate", "true positive rate")
    return _square("ROC", rows, axes, {"mark": {"type": "line", "clip": True}}) if rows else None


def calibration(models: Mapping[str, Any]) -> Spec | None:
    """Mean prediction against observed rate for each bin of predictions, over the diagonal."""
    columns = {"x": "predicted", "y": "observed", "count": "count"}
    rows = [row for row in _points(models, "calibration", columns) if row.get("count") != 0]
    axes = ("mean prediction", "observed rate")
    layer = {"mark": {"type": "line", "point": {"size": 45}}}
    return _square("Calibration", rows, axes, layer) if rows else None


def slices(rows: Sequence[Row], baseline: Sequence[Row]) -> dict[str, list[Spec]]:
    """For each slicing feature one chart a metric: a point a slice, sized by its examples.

    Args:
        rows: `Evaluation.rows`; slices are named `feature:value`.
        baseline: `Evaluation.baseline_rows`.

    Returns:
        Charts by slicing feature; at most MAX_CHARTS in all.
    """
    groups: dict[str, list[Row]] = {}
    for series, entries in (("candidate", rows), ("baseline", baseline)):
        for entry in entries:
            feature, found, value = str(entry["slice"]).partition(":")
            if found:
                point = {"row": entry, "value": text(value, 80), "series": series}
                groups.setdefault(feature, []).append(point)
    overall = next((row for row in rows if row["slice"] == "Overall"), {})
    charts: dict[str, list[Spec]] = {}
    left = MAX_CHARTS
    for feature, points in groups.items():
        kept, dropped = _largest(points)
        drawn = [
            chart
            for metric in metric_names(rows)
            if (chart := _slice_chart(metric, feature, kept, dropped, overall))
        ][:left]
        left -= len(drawn)
        if drawn:
            charts[feature] = drawn
    return charts


def metric_names(rows: Iterable[Row]) -> list[str]:
    """The metrics in the rows' order, without counts of examples."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [n for n in names if n not in ("slice", "example_count", "weighted_example_count")]


def _name(feature: Any) -> str:
    return ".".join(feature.path.step) or feature.name


def _chart(
    title: str, rows: list[Row], layers: list[Spec], subtitle: str = "", **size: Any
) -> Spec:
    heading: Spec = {"text": text(title), "limit": 300, "frame": "group"}
    if subtitle:
        heading["subtitle"] = subtitle
    return {"title": heading, **size, "data": {"values": rows}, "layer": layers}


def _color(*series: str) -> Spec:
    scale = {"domain": list(series), "range": [BLUE, ORANGE][: len(series)]}
    return {"field": "series", "type": "nominal", "scale": scale, "title": None}


def _only(series: str) -> list[Spec]:
    return [{"filter": {"field": "series", "equal": series}}]


def _tooltip(*fields: str, **formats: str) -> list[Spec]:
    return [
        {"field": f, "type": "quantitative", "format": formats[f]}
        if f in formats
        else {"field": f, "type": "nominal"}
        for f in fields
    ]


def _missing(features: Mapping[str, Any], examples: Mapping[str, int]) -> str:
    """`missing 3.1% / 3.5%` (train, eval); empty if hardly any value is missing."""
    shares = {}
    for split, feature in features.items():
        present = getattr(feature, feature.WhichOneof("stats")).common_stats.num_non_missing
        shares[split] = 1 - present / examples[split] if examples[split] else 0.0
    for split in {"train", "eval"} - set(features):
        shares[split] = 1.0
    if max(shares.values()) < 0.005:
        return ""
    shown = [f"{shares[split]:.1%}" for split in ("train", "eval")]
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
        # Bins that end between integers: TFDV's own hold now one, now two of so few.
        width = math.ceil((high - low + 1) / BINS)
        edges = [low - 0.5 + width * i for i in range(math.ceil((high - low + 1) / width) + 1)]
        below = {
            split: _cumulative([part for bucket in found for part in _integers(bucket, high)])
            for split, found in standard.items()
        }
    else:
        # Both histograms together know best where a split's values lie; the splits' own bins
        # have different edges.
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
        # The line of steps needs an end.
        rows.append({"low": edges[-1], "high": edges[-1], "share": shares[-1], "series": split})
    subtitle = "; ".join(note for note in notes if note)
    return _chart(name, rows, _histogram_layers(edges), subtitle, width=240, height=110)


def _histogram_layers(edges: Sequence[float]) -> list[Spec]:
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
    shared = {"color": _color("train", "eval"), "y": y}
    tooltip = _tooltip("series", "low", "high", "share", low=",.6~g", high=",.6~g", share=".2%")
    return [
        {
            "transform": _only("train"),
            "mark": {"type": "rect", "opacity": 0.55, "stroke": "white", "strokeWidth": 0.5},
            "encoding": {
                **shared,
                "x": x,
                "x2": {"field": "high"},
                "y2": {"datum": 0},
                "tooltip": tooltip,
            },
        },
        {
            "transform": _only("eval"),
            "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2},
            "encoding": {**shared, "x": x, "tooltip": tooltip},
        },
    ]


def _buckets(feature: Any, kind: int) -> list[tuple[float, float, float]]:
    """(low, high, values) of the feature's histogram; kind 0 is equal width, 1 quantiles."""
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
    # Written so that edges near the largest float do not overflow.
    return [low * (1 - i / BINS) + high * (i / BINS) for i in range(BINS + 1)]


def _integers(bucket: tuple[float, float, float], last: float) -> list[tuple[float, float, float]]:
    """The bucket's count shared by the integers in it, its upper edge only if that is the last."""
    low, high, count = bucket
    inside = [
        v for v in range(math.ceil(low), math.floor(high) + 1) if v < high or v in (low, last)
    ]
    values = inside or [round((low + high) / 2)]
    return [(float(v), float(v), count / len(values)) for v in values]


def _cumulative(*histograms: Sequence[tuple[float, float, float]]) -> list[tuple[float, float]]:
    """Sorted (x, values below x); two entries with one x are values that equal x."""
    knots = []
    for buckets in histograms:
        total = 0.0
        for low, high, count in buckets:
            knots += [(low, total), (high, total := total + count)]
    knots.sort()
    highest = 0.0
    return [(x, highest := max(highest, total)) for x, total in knots]


def _counts(below: Sequence[tuple[float, float]], edges: Sequence[float]) -> list[float]:
    """Values in each bin; each bin holds its left edge, the last one both."""
    if not below:
        return [0.0] * (len(edges) - 1)

    def count(x: float) -> float:
        i = bisect_left(below, (x, -math.inf))
        if i == len(below) or i == 0:
            return below[-1][1] if i else 0.0
        (x0, before), (x1, after) = below[i - 1 : i + 1]
        # Halves, because the distance of two floats may be no float.
        return before + (after - before) * ((x / 2 - x0 / 2) / (x1 / 2 - x0 / 2))

    last = max((total for x, total in below if x <= edges[-1]), default=0.0)
    totals = [*map(count, edges[:-1]), max(last, count(edges[-1]))]
    return [b - a for a, b in pairwise(totals)]


def _crowded(splits: Iterable[Sequence[float]]) -> bool:
    """Whether some outliers push nearly all of each split's values into one bin."""
    return all(len(counts) > 1 and max(counts) >= 0.9 * sum(counts) for counts in splits)


def _central(
    quantiles: Mapping[str, Any], low: float, high: float
) -> tuple[tuple[float, float], str]:
    """The range without the lowest or highest tenth, where these are long, and a note."""
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
    """The bucket with which `share` of the values is reached."""
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
        {"value": text(value, 80) or "(empty)", "share": count / total[split], "series": split}
        for value in shown
        for split in features
        # A value that an incomplete count does not hold is rare, not absent: draw nothing.
        if (count := counts[split].get(value, 0.0 if complete[split] else None)) is not None
    ]
    unique = max(feature.string_stats.unique for feature in features.values())
    more = f"top {len(shown)} of {unique:,} values" if unique > len(shown) else ""
    subtitle = "; ".join(note for note in (_missing(features, examples), more) if note)
    order = list(dict.fromkeys(text(value, 80) or "(empty)" for value in shown))
    return _chart(name, rows, _top_layers(order), subtitle, width=300, height={"step": 16})


def _top_layers(order: list[str]) -> list[Spec]:
    encoding = {
        "y": {"field": "value", "type": "ordinal", "sort": order, "title": None},
        "x": {
            "field": "share",
            "type": "quantitative",
            "axis": {"format": "~%", "tickCount": 5},
            "title": None,
            "stack": None,
        },
        "color": _color("train", "eval"),
        "tooltip": _tooltip("series", "value", "share", share=".2%"),
    }
    bar = {"type": "bar", "opacity": 0.55, "height": {"band": 0.75}}
    tick = {"type": "tick", "thickness": 3, "height": {"band": 0.85}}
    return [
        {"transform": _only("train"), "mark": bar, "encoding": encoding},
        {"transform": _only("eval"), "mark": tick, "encoding": encoding},
    ]


def _curve_layers() -> list[Spec]:
    x = {
        "field": "epoch",
        "type": "quantitative",
        "axis": {"tickMinStep": 1, "tickCount": 8, "format": "d", "grid": False},
        "scale": {"zero": False, "nice": False, "padding": 8},
        "title": "epoch",
    }
    y = {
        "field": "value",
        "type": "quantitative",
        "scale": {"zero": False},
        "axis": {"tickCount": 5, "format": "~r"},
        "title": None,
    }
    tooltip = _tooltip("series", "epoch", "value", epoch="d", value=".6~g")
    mark = {"type": "line", "strokeWidth": 2, "point": {"size": 25}}
    encoding = {"x": x, "y": y, "color": _color("train", "validation"), "tooltip": tooltip}
    return [{"mark": mark, "encoding": encoding}]


def _points(models: Mapping[str, Any], curve: str, columns: Mapping[str, str]) -> list[Row]:
    """Rows of `curve` for each model, in the given order, without pairs that lack a number."""
    rows = []
    for series in ("candidate", "baseline"):
        points = (models.get(series) or {}).get(curve) or {}
        raw = [list(points[key]) if key in points else [] for key in columns.values()]
        length = min(len(raw[0]), len(raw[1]))
        raw = [column + [None] * (length - len(column)) for column in raw]
        for i, values in _thin(list(enumerate(zip(*raw, strict=False)))[:length]):
            row: Row = dict(zip(columns, map(number, values), strict=True))
            if row["x"] is not None and row["y"] is not None:
                rows.append({**row, "i": i, "series": series})
    return rows


def _thin(points: list[Any]) -> list[Any]:
    """At most MAX_POINTS of them, evenly spaced, first and last included."""
    if len(points) <= MAX_POINTS:
        return points
    step = (len(points) - 1) / (MAX_POINTS - 1)
    return [points[round(i * step)] for i in range(MAX_POINTS)]


def _square(title: str, rows: list[Row], axes: tuple[str, str], layer: Spec) -> Spec:
    """A chart of the unit square with its diagonal."""
    series = [s for s in ("candidate", "baseline") if any(row["series"] == s for row in rows)]
    unit = {"type": "quantitative", "scale": {"domain": [0, 1]}, "axis": {"tickCount": 5}}
    names = {"x": axes[0], "y": axes[1]}
    position = {a: {"field": a, **unit, "title": name} for a, name in names.items()}
    tooltip = [{"field": "series", "type": "nominal"}]
    tooltip += [
        {"field": a, "type": "quantitative", "format": ".4~f", "title": name}
        for a, name in names.items()
    ]
    if any(row.get("count") is not None for row in rows):
        tooltip.append(
            {"field": "count", "type": "quantitative", "format": ",", "title": "examples"}
        )
    encoding = {
        **position,
        "color": _color(*series),
        "order": {"field": "i", "type": "quantitative"},
        "tooltip": tooltip,
    }
    diagonal = {
        "data": {"values": [{"x": 0, "y": 0}, {"x": 1, "y": 1}]},
        "mark": {"type": "line", "strokeDash": [4, 4], "color": GREY, "strokeWidth": 1},
        "encoding": position,
    }
    layers = [diagonal, {**layer, "encoding": encoding}]
    return _chart(title, rows, layers, width=380, height=300)


def _largest(points: list[Row]) -> tuple[list[Row], int]:
    """The points of the MAX_CATEGORIES slices with most examples, and how many slices are not."""
    sizes: dict[str, float] = {}
    for point in points:
        count = number(point["row"].get("example_count")) or 0.0
        sizes[point["value"]] = max(count, sizes.get(point["value"], 0.0))
    kept = set(sorted(sizes, key=lambda value: -sizes[value])[:MAX_CATEGORIES])
    return [point for point in points if point["value"] in kept], len(sizes) - len(kept)


def _slice_chart(
    metric: str, feature: str, points: list[Row], dropped: int, overall: Row
) -> Spec | None:
    rows = [
        {
            "slice": point["value"],
            "value": value,
            "examples": number(point["row"].get("example_count")),
            "series": point["series"],
        }
        for point in points
        if (value := number(point["row"].get(metric))) is not None
    ]
    if not rows:
        return None
    order = sorted({row["slice"] for row in rows}, key=natural)
    series = [s for s in ("candidate", "baseline") if any(row["series"] == s for row in rows)]
    layers = _slice_layers(order, series, feature)
    if any(row["examples"] is None for row in rows):
        # Vega draws no point without a size.
        for layer in layers:
            del layer["encoding"]["size"]
    if (whole := number(overall.get(metric))) is not None:
        rule = {"type": "rule", "strokeDash": [4, 4], "color": GREY}
        layers.insert(
            0,
            {
                "data": {"values": [{"value": whole}]},
                "mark": {**rule, "tooltip": {"content": "data"}},
                "encoding": {"y": {"field": "value", "type": "quantitative"}},
            },
        )
    subtitle = f"the {dropped:,} smallest slices are not drawn" if dropped else ""
    return _chart(metric, rows, layers, subtitle, width=400, height=150)


def _slice_layers(order: list[str], series: list[str], feature: str) -> list[Spec]:
    # About 6 pixels a character on an axis of 400.
    crowded = max(map(len, order)) * 6 > 400 / len(order)
    encoding = {
        "x": {
            "field": "slice",
            "type": "ordinal",
            "sort": order,
            "title": text(feature, 60),
            "axis": {"labelAngle": -90 if crowded else 0, "labelLimit": 100, "grid": False},
        },
        "y": {
            "field": "value",
            "type": "quantitative",
            "scale": {"zero": False},
            "axis": {"tickCount": 5, "format": "~r"},
            "title": None,
        },
        "size": {
            "field": "examples",
            "type": "quantitative",
            "scale": {"range": [15, 150], "zero": True},
            "legend": None,
        },
        "color": _color(*series),
        "tooltip": _tooltip("series", "slice", "value", "examples", value=".4~f", examples=","),
    }
    hollow = {"type": "point", "filled": False, "strokeWidth": 1.5}
    full = {"type": "point", "filled": True, "opacity": 0.85}
    return [
        {
            "transform": _only(s),
            "mark": full if s == "candidate" else hollow,
            "encoding": dict(encoding),
        }
        for s in reversed(series)
    ]
