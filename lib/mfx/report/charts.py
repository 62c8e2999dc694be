"""Charts of one run: training, ROC, calibration, slices. Each has a limit on its size."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mfx.artifacts import OVERALL, SliceMetrics
from mfx.report.vega_lite import GREY, Row, Spec, chart, color, number, only, text, tooltip

COUNTS = ("example_count", "weighted_example_count")
"""Metrics that count examples, so they say nothing of a model."""
MAX_CHARTS = 60
"""The most charts of one kind."""
MAX_CATEGORIES = 60
"""The most slices on one axis."""
MAX_POINTS = 300
"""The most points of one curve."""


def natural(value: str) -> tuple[Any, ...]:
    """A sort key: numbers come first, by size; then text, in which digits count by size too."""
    try:
        if math.isfinite(as_float := float(value)):
            return (0, as_float, ())
    except ValueError:
        pass
    parts = re.split(r"(\d+)", value.casefold())
    return (1, 0.0, tuple((p.isdigit(), int(p) if p.isdecimal() else 0, p) for p in parts))


def curves(history: Mapping[str, Sequence[Any]]) -> list[Spec]:
    """One chart for each metric: its value on train and validation rows over the epochs.

    Args:
        history: Values by name, one for each epoch; validation's name begins with `val_`.
    """
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
            charts.append(chart(name, rows, _curve_layers(), width=240, height=150))
    return charts


def roc(models: Mapping[str, Any]) -> Spec | None:
    """The ROC of the candidate and of the baseline, if there is one; None without points.

    Args:
        models: `Evaluation.curves`.
    """
    rows = _points(models, "roc", {"x": "fpr", "y": "tpr"})
    axes = ("false positive rate", "true positive rate")
    return _square("ROC", rows, axes, {"mark": {"type": "line", "clip": True}}) if rows else None


def calibration(models: Mapping[str, Any]) -> Spec | None:
    """For each bin of predictions the mean prediction and the observed rate; None without points.

    Args:
        models: `Evaluation.curves`.
    """
    columns = {"x": "predicted", "y": "observed", "count": "count"}
    rows = [row for row in _points(models, "calibration", columns) if row.get("count") != 0]
    axes = ("mean prediction", "observed rate")
    layer = {"mark": {"type": "line", "point": {"size": 45}}}
    return _square("Calibration", rows, axes, layer) if rows else None


def slices(rows: Sequence[SliceMetrics], baseline: Sequence[SliceMetrics]) -> dict[str, list[Spec]]:
    """For each slicing feature one chart for each metric: a point for each slice.

    Args:
        rows: `Evaluation.rows`.
        baseline: `Evaluation.baseline_rows`.

    Returns:
        Charts by slicing feature, at most MAX_CHARTS in all.
    """
    groups: dict[str, list[Row]] = {}
    for series, entries in (("candidate", rows), ("baseline", baseline)):
        for entry in entries:
            if entry.slice != OVERALL:
                value = text(entry.slice.beside_first, 80)
                point = {"row": entry.metrics, "value": value, "series": series}
                groups.setdefault(entry.slice.features[0], []).append(point)
    charts: dict[str, list[Spec]] = {}
    left = MAX_CHARTS
    for feature, points in groups.items():
        kept, dropped = _largest(points)
        drawn = [
            chart
            for metric in metric_names(rows)
            if (chart := _slice_chart(metric, feature, kept, dropped, overall(rows)))
        ][:left]
        left -= len(drawn)
        if drawn:
            charts[feature] = drawn
    return charts


def overall(rows: Iterable[SliceMetrics]) -> dict[str, float | None]:
    """The metrics on all examples; empty if there are none."""
    return next((row.metrics for row in rows if row.slice == OVERALL), {})


def metric_names(rows: Iterable[SliceMetrics]) -> list[str]:
    """The names of metrics in the order in which rows have them, without COUNTS."""
    names = dict.fromkeys(name for row in rows for name in row.metrics)
    return [n for n in names if n not in COUNTS]


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
    shown = tooltip("series", "epoch", "value", epoch="d", value=".6~g")
    mark = {"type": "line", "strokeWidth": 2, "point": {"size": 25}}
    encoding = {"x": x, "y": y, "color": color("train", "validation"), "tooltip": shown}
    return [{"mark": mark, "encoding": encoding}]


def _points(models: Mapping[str, Any], curve: str, columns: Mapping[str, str]) -> list[Row]:
    """One row for each point of a curve that has both numbers, in the curve's order.

    Args:
        models: `Evaluation.curves`.
        curve: `roc` or `calibration`.
        columns: From the row's names to the curve's; the first two are x and y.
    """
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
    """At most MAX_POINTS of the points, evenly spaced, the first and the last among them."""
    if len(points) <= MAX_POINTS:
        return points
    step = (len(points) - 1) / (MAX_POINTS - 1)
    return [points[round(i * step)] for i in range(MAX_POINTS)]


def _square(title: str, rows: list[Row], axes: tuple[str, str], layer: Spec) -> Spec:
    """A chart with both axes from 0 to 1, and its diagonal."""
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
        "color": color(*series),
        "order": {"field": "i", "type": "quantitative"},
        "tooltip": tooltip,
    }
    diagonal = {
        "data": {"values": [{"x": 0, "y": 0}, {"x": 1, "y": 1}]},
        "mark": {"type": "line", "strokeDash": [4, 4], "color": GREY, "strokeWidth": 1},
        "encoding": position,
    }
    layers = [diagonal, {**layer, "encoding": encoding}]
    return chart(title, rows, layers, width=380, height=300)


def _largest(points: list[Row]) -> tuple[list[Row], int]:
    """The points of the MAX_CATEGORIES largest slices, and how many slices are left out."""
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
        # Where sizes are drawn, Vega leaves out a point that has none.
        for layer in layers:
            layer["encoding"].pop("size", None)
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
    left_out = {"the {:,} smallest slices are not drawn": dropped}
    left_out["slices without a value: {:,}"] = len({p["value"] for p in points}) - len(order)
    subtitle = "; ".join(words.format(count) for words, count in left_out.items() if count)
    return chart(metric, rows, layers, subtitle, width=400, height=150)


def _slice_layers(order: list[str], series: list[str], feature: str) -> list[Spec]:
    # A character takes about 6 pixels; the axis has 400.
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
        "color": color(*series),
        "tooltip": tooltip("series", "slice", "value", "examples", value=".4~f", examples=","),
    }
    hollow = {"type": "point", "filled": False, "strokeWidth": 1.5}
    full = {"type": "point", "filled": True, "opacity": 0.85}
    points = [
        {
            "transform": only(s),
            "mark": full if s == "candidate" else hollow,
            "encoding": dict(encoding),
        }
        for s in reversed(series)
    ]
    return [_change(encoding), *points] if len(series) > 1 else points


def _change(encoding: Spec) -> Spec:
    """A thin line in each slice from the one model's value to the other's."""
    low = {**encoding["y"], "aggregate": "min"}
    return {
        "mark": {"type": "rule", "color": GREY, "opacity": 0.6, "aria": False},
        "encoding": {
            "x": encoding["x"],
            "y": low,
            "y2": {"field": "value", "aggregate": "max"},
        },
    }
