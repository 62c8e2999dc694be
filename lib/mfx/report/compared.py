"""Charts of runs side by side, for pages: differences, metrics from run to run, drift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mfx import figures
from mfx.report.vega_lite import BLUE, GREY, Row, Spec, chart, color, text

WIDTH = 460
"""Of a chart without its labels, in pixels."""
LINE = 18
"""Height of one row of a chart, in pixels."""


def _labels(longest: int) -> Spec:
    """An axis with labels of at most so many characters.

    A limit in pixels would have Vega measure each label, and that takes as long as all else.
    """
    return {"labelLimit": 0, "labelExpr": f"truncate(datum.label, {longest})"}


_OF_ROWS = {**_labels(40), "labelPadding": 8, "ticks": False, "domain": False}


@dataclass(frozen=True)
class Interval:
    """How one metric of a run differs from the first run's, in one slice.

    Args:
        slice: The slice.
        run: The run's id.
        value: The difference.
        low: Lower bound of its 95% interval.
        high: Upper bound.
    """

    slice: str
    run: str
    value: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def differences(intervals: Sequence[Interval], runs: Sequence[str]) -> Spec:
    """A row for each slice: a point and its interval for each run, beside the line of 0.

    Args:
        intervals: In the order in which slices are drawn, from the top.
        runs: Ids of the runs that are compared with the first, which is not among them.
    """
    rows: list[Row] = [
        {
            "slice": text(one.slice),
            "series": one.run,
            "value": one.value,
            "low": one.low,
            "high": one.high,
            "clear": one.clear,
            "said": f"{text(one.slice)}, run {one.run}: {figures.difference(one.value)} "
            f"{figures.interval(one.low, one.high)}" + (", clear" if one.clear else ""),
        }
        for one in intervals
    ]
    slices = list(dict.fromkeys(row["slice"] for row in rows))
    x = {
        "field": "low",
        "type": "quantitative",
        "title": "difference, with its 95% interval",
        "axis": {"format": "+~r", "tickCount": 5},
    }
    shared = {
        "y": {
            "field": "slice",
            "type": "ordinal",
            "sort": slices,
            "title": None,
            "scale": {"paddingInner": 0.3},
            "axis": _OF_ROWS,
        },
        "yOffset": {"field": "series", "type": "nominal", "sort": list(runs)},
        "color": color(*runs),
        "opacity": _where_clear(1.0, 0.75),
        "description": {"field": "said", "type": "nominal"},
    }
    layers: list[Spec] = [
        {
            "data": {"values": [{"zero": 0}]},
            "mark": {"type": "rule", "color": GREY, "aria": False},
            "encoding": {"x": {"field": "zero", "type": "quantitative"}},
        },
        {
            "mark": {"type": "rule", "aria": False},
            "encoding": {**shared, "x": x, "x2": {"field": "high"}, "size": _where_clear(3, 1.2)},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 34},
            "encoding": {**shared, "x": {**x, "field": "value"}},
        },
    ]
    step = {"step": LINE * max(1, (len(runs) + 1) // 2), "for": "position"}
    return chart("", rows, layers, width=WIDTH, height=step)


def _where_clear(then: float, otherwise: float) -> Spec:
    return {
        "condition": {"test": {"field": "clear", "equal": True}, "value": then},
        "value": otherwise,
    }


def from_run_to_run(values: Sequence[tuple[str, float | None]]) -> Spec:
    """One metric's value in each run, as a line with the values written on it.

    Args:
        values: Runs' ids and values, in the order to draw; where there is no value, no point.
    """
    rows: list[Row] = [
        {
            "run": run,
            "value": value,
            "shown": figures.metric(value),
            "said": f"run {run}: {figures.metric(value)}",
        }
        for run, value in values
        if value is not None
    ]
    runs = [run for run, _ in values]
    width = min(WIDTH, 150 * len(runs))
    crowded = 110 * len(runs) > width
    x = {
        "field": "run",
        "type": "ordinal",
        "sort": runs,
        "scale": {"domain": runs},
        "title": None,
        "axis": {**_labels(20), "labelAngle": -40 if crowded else 0, "grid": False},
    }
    y = {
        "field": "value",
        "type": "quantitative",
        "title": None,
        "scale": {"zero": False, "padding": 14},
        "axis": {"tickCount": 4, "format": "~r"},
    }
    place = {"x": x, "y": y}
    said = {"description": {"field": "said", "type": "nominal"}}
    layers: list[Spec] = [
        {"mark": {"type": "line", "color": BLUE, "aria": False}, "encoding": place},
        {
            "mark": {"type": "point", "filled": True, "size": 45, "color": BLUE, "opacity": 1},
            "encoding": {**place, **said},
        },
        {
            "mark": {"type": "text", "dy": -10, "aria": False},
            "encoding": {**place, "text": {"field": "shown", "type": "nominal"}},
        },
    ]
    return chart("", rows, layers, width=width, height=110)


def drift(distances: Sequence[tuple[str, float, str]]) -> Spec:
    """A bar for each feature, as long as its distance.

    Args:
        distances: Features, distances, and how these are said beside the bars.
    """
    rows: list[Row] = [
        {
            "feature": text(feature),
            "distance": distance,
            "shown": said,
            "said": f"{text(feature)}: {said}",
        }
        for feature, distance, said in distances
    ]
    place = {
        "y": {
            "field": "feature",
            "type": "ordinal",
            "sort": [row["feature"] for row in rows],
            "title": None,
            "axis": _OF_ROWS,
        },
        "x": {"field": "distance", "type": "quantitative", "axis": None},
    }
    layers: list[Spec] = [
        {
            "mark": {"type": "bar", "color": BLUE, "height": {"band": 0.65}},
            "encoding": {**place, "description": {"field": "said", "type": "nominal"}},
        },
        {
            "mark": {"type": "text", "align": "left", "dx": 6, "aria": False},
            "encoding": {**place, "text": {"field": "shown", "type": "nominal"}},
        },
    ]
    return chart("", rows, layers, width=WIDTH, height={"step": LINE})
