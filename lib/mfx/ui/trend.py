"""A metric of a pipeline's runs, one after the other, as a chart whose points lead to the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mfx import figures
from mfx.registry.place import Place
from mfx.registry.runs import RunSummary
from mfx.report.vega_lite import BLUE, GREY, ORANGE, Row, Spec, chart, svg, text
from mfx.ui.site import COUNTS, run_path

MOST = 300
"""Most runs drawn, the newest."""
_KINDS = {"in production": ORANGE, "blessed": BLUE, "not blessed": GREY}
_HERE = "https://mfx.invalid"
"""Stands for this server while a chart is drawn: Vega puts a place of its own before a path."""


def draw(summaries: Sequence[RunSummary], production: Mapping[Place, str | None]) -> str:
    """The first metric of runs, as SVG; '' where fewer than two have one.

    Args:
        summaries: The runs, newest first.
        production: Id of the run in production at each place.
    """
    newest = [one for one in summaries if _first(one)][:MOST]
    if len(newest) < 2:
        return ""
    name = _first(newest[0])
    rows = [_row(one, name, production) for one in newest if name in one.metrics]
    drawn = svg(_spec(name, rows), f"{name} of {len(rows)} runs in the order in which they began")
    return drawn.replace(f'="{_HERE}', '="')


def _first(one: RunSummary) -> str:
    return next((name for name in one.metrics if name not in COUNTS), "")


def _row(one: RunSummary, name: str, production: Mapping[Place, str | None]) -> Row:
    live = one.place is not None and production.get(one.place) == one.run
    kind = "in production" if live else "blessed" if one.blessed else "not blessed"
    value = one.metrics[name]
    return {
        "began": one.created.isoformat(),
        "value": value,
        "kind": kind,
        "at": _HERE + run_path(one.flow, one.run),
        "said": f"run {one.run}, {one.created:%Y-%m-%d %H:%M}: {text(name)} "
        f"{figures.metric(value)}, {kind}",
    }


def _spec(name: str, rows: Sequence[Row]) -> Spec:
    x = {
        "field": "began",
        "type": "temporal",
        "title": None,
        "axis": {"grid": False, "tickCount": 8, "labelOverlap": True},
    }
    y = {
        "field": "value",
        "type": "quantitative",
        "title": text(name),
        "scale": {"zero": False, "padding": 10},
        "axis": {"tickCount": 5, "format": "~r"},
    }
    kinds = {
        "field": "kind",
        "type": "nominal",
        "title": None,
        "scale": {"domain": list(_KINDS), "range": list(_KINDS.values())},
    }
    layers: list[Spec] = [
        {
            "mark": {"type": "line", "color": GREY, "opacity": 0.35, "aria": False},
            "encoding": {"x": x, "y": y},
        },
        {
            "mark": {"type": "point", "filled": True, "opacity": 1},
            "encoding": {
                "x": x,
                "y": y,
                "color": kinds,
                "size": {
                    "condition": {
                        "test": {"field": "kind", "equal": "in production"},
                        "value": 130,
                    },
                    "value": 42,
                },
                "href": {"field": "at", "type": "nominal"},
                "description": {"field": "said", "type": "nominal"},
            },
        },
    ]
    return chart("", list(rows), layers, width=800, height=130)
