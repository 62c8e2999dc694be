"""What all charts are made of: parts of Vega-Lite specs, and the drawing of a spec as SVG.

A spec is a plain dict with its rows inside. A card draws its specs in the browser, so that a step
pays nothing for them; a page is given SVG, drawn by vl-convert. Altair would write the same dicts,
but its import takes 1.7 s and 63 MB, three times what vl-convert takes for a first chart.

Text that comes from data (names of features, slices, values) is only ever a value in a row, a title
or a description. It is never a field's name or an expression, so dots, brackets and quotes need no
escaping.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from numbers import Real
from typing import Any
from xml.etree import ElementTree

Spec = dict[str, Any]
Row = dict[str, Any]

BLUE, ORANGE, GREEN, PURPLE, OLIVE = "#2f75b5", "#dd7424", "#3b8f5c", "#b0569d", "#8c7a45"
GREY = "#868c94"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, OLIVE)
"""Colours of series, in this order. All can be seen on white and on nearly black."""
VERSION = "6.4"
"""The Vega-Lite that Metaflow's cards hold; pages are drawn with the same."""
_SCHEMA = f"https://vega.github.io/schema/vega-lite/v{VERSION.partition('.')[0]}.json"
_FONT = "Roboto, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"
_SVG = "http://www.w3.org/2000/svg"
_WHOLE_SERIES = {"line mark", "area mark"}
"""Marks that are one shape for many rows: Vega describes them by their first row alone."""


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


def chart(title: str, rows: list[Row], layers: list[Spec], subtitle: str = "", **size: Any) -> Spec:
    """A chart: its rows, and layers that are drawn over each other.

    Args:
        title: Drawn above; '' for none.
        rows: The data of all layers that have none of their own.
        layers: Marks and encodings, the lowest first.
        subtitle: A smaller line below the title.
        size: `width` and `height`, in pixels or as Vega-Lite's `{"step": …}`.
    """
    heading: Spec = {"text": text(title), "limit": 300, "frame": "group"}
    if subtitle:
        heading["subtitle"] = subtitle
    titled = {"title": heading} if title else {}
    return {**titled, **size, "data": {"values": rows}, "layer": layers}


def grid(charts: Sequence[Spec], columns: int) -> Spec:
    """Small charts beside and below each other, each with its own scales; one colour legend."""
    return {
        "$schema": _SCHEMA,
        # VegaChart would put "container" here, which Vega-Lite does not know for several charts.
        "width": None,
        "columns": columns,
        "spacing": {"row": 24, "column": 24},
        "concat": list(charts),
        "resolve": {"scale": {"color": "shared"}},
        "config": _theme("#222", _FONT),
    }


def color(*series: str) -> Spec:
    """The encoding that gives each series its colour, with a legend."""
    colors = [PALETTE[place % len(PALETTE)] for place in range(len(series))]
    scale = {"domain": list(series), "range": colors}
    return {"field": "series", "type": "nominal", "scale": scale, "title": None}


def only(series: str) -> list[Spec]:
    """The transform that keeps one series."""
    return [{"filter": {"field": "series", "equal": series}}]


def tooltip(*fields: str, **formats: str) -> list[Spec]:
    """The encoding that shows these fields on hover; those with a format are numbers."""
    return [
        {"field": f, "type": "quantitative", "format": formats[f]}
        if f in formats
        else {"field": f, "type": "nominal"}
        for f in fields
    ]


def svg(spec: Spec, description: str) -> str:
    """Draw a spec as an SVG element to put into a page.

    The element needs nothing from the network. Its text has the page's font, and the page's colour
    of text, so it suits a dark page too. A mark's description is shown on hover. The same spec
    always gives the same text.

    Args:
        spec: A chart or a grid of charts.
        description: What the picture shows, for people who cannot see it.
    """
    import vl_convert

    given = {
        **spec,
        "$schema": _SCHEMA,
        "background": None,
        "config": _theme("currentColor", "inherit"),
    }
    drawn = vl_convert.vegalite_to_svg(given, vl_version=VERSION, allowed_base_urls=[])
    # vl-convert counts clip paths through the whole process; a page may hold several pictures.
    clips = {name: str(n) for n, name in enumerate(dict.fromkeys(re.findall(r"#clip(\d+)", drawn)))}
    own = hashlib.sha256(json.dumps(given).encode()).hexdigest()[:8]
    drawn = re.sub(
        r'(url\(#|<clipPath id=")clip(\d+)', lambda m: f"{m[1]}c{own}-{clips[m[2]]}", drawn
    )
    return _accessible(drawn, description)


def _theme(ink: str, font: str) -> Spec:
    """Vega-Lite's `config`: one font, and one colour for text and lines, more or less faint."""
    line = {"domainColor": ink, "domainOpacity": 0.3, "tickColor": ink, "tickOpacity": 0.3}
    words = {"labelColor": ink, "labelOpacity": 0.8, "titleColor": ink, "titleOpacity": 0.8}
    return {
        "font": font,
        "view": {"stroke": None},
        "axis": {
            **line,
            **words,
            "gridColor": ink,
            "gridOpacity": 0.1,
            "titleFontWeight": "normal",
            "labelLimit": 150,
        },
        # Half of the time that a chart takes vl-convert is spent on measuring text against limits.
        "axisQuantitative": {"labelLimit": 0},
        "title": {
            "anchor": "start",
            "color": ink,
            "fontSize": 12,
            "subtitleColor": ink,
            "subtitleFontSize": 10,
        },
        "text": {"color": ink, "fontSize": 11},
        "legend": {
            "orient": "top",
            "title": None,
            "labelColor": ink,
            "labelLimit": 0,
            "symbolStrokeWidth": 2,
        },
    }


def _accessible(drawn: str, description: str) -> str:
    """The SVG with a description as a whole, and each mark's description as its tooltip."""
    for prefix, uri in (("", _SVG), ("xlink", "http://www.w3.org/1999/xlink")):
        ElementTree.register_namespace(prefix, uri)
    root = ElementTree.fromstring(drawn)
    root.set("role", "graphics-document")
    root.set("aria-roledescription", "chart")
    root.set("aria-label", text(description, 500))
    for marks in root.iter(f"{{{_SVG}}}g"):
        if "role-mark" not in marks.get("class", "").split():
            continue
        for mark in marks:
            said = mark.get("aria-label")
            if said and mark.get("aria-roledescription") not in _WHOLE_SERIES:
                ElementTree.SubElement(mark, f"{{{_SVG}}}title").text = said
    return ElementTree.tostring(root, encoding="unicode")
