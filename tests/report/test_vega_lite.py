"""Parts of specs, and what a spec is as SVG in a page."""

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from helpers.charts import HOSTILE, held_to_vega_lites_schema, models

from mfx.report import charts, compared, vega_lite

BAR = compared.drift([("fare", 0.3, "JS divergence 0.300")])


def elements(svg: str, tag: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter(f"{{http://www.w3.org/2000/svg}}{tag}"))


@pytest.mark.parametrize(
    "value", [None, math.nan, math.inf, "1", True, np.float32("nan"), 10**400, [1.0]]
)
def test_number_gives_none_for_what_is_no_finite_number(value):
    assert vega_lite.number(value) is None


@pytest.mark.parametrize("value", [1, 1.0, np.float32(1), np.int64(1)])
def test_number_gives_plain_floats(value):
    assert type(vega_lite.number(value)) is float


def test_text_is_one_bounded_line():
    assert vega_lite.text("a\x00\nb\u2028c") == "a b c"
    assert vega_lite.text("x" * 500, 10) == "x" * 9 + "…"


def test_a_grid_names_its_schema_and_holds_its_charts():
    spec = vega_lite.grid([BAR], 3)
    assert spec["$schema"].endswith("/vega-lite/v6.json") and spec["columns"] == 3
    assert spec["concat"] == [BAR]
    held_to_vega_lites_schema(spec)


def test_the_version_is_the_one_that_metaflows_cards_hold():
    from pathlib import Path

    import metaflow

    renderer = Path(metaflow.__file__).parent / "plugins/cards/card_modules/main.js"
    assert f'="{vega_lite.VERSION}.' in renderer.read_text()


def test_series_beyond_the_palette_take_its_colours_again():
    scale = vega_lite.color(*"abcdef")["scale"]
    assert scale["domain"] == list("abcdef")
    assert scale["range"] == [*vega_lite.PALETTE, vega_lite.PALETTE[0]]


def luminance(color: str) -> float:
    """Relative luminance, as WCAG defines it."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("color", [*vega_lite.PALETTE, vega_lite.GREY])
def test_colours_stand_out_on_white_and_on_nearly_black(color):
    """WCAG asks for 3 to 1 of graphics."""
    for ground in ("#ffffff", "#18191c"):
        low, high = sorted((luminance(color), luminance(ground)))
        assert (high + 0.05) / (low + 0.05) >= 3


def test_svg_needs_nothing_from_elsewhere_and_runs_nothing():
    drawn = vega_lite.svg(compared.drift([(HOSTILE, 0.3, HOSTILE)]), HOSTILE)
    assert "<script" not in drawn and "href" not in drawn
    assert set(re.findall(r"https?://[^\"]+", drawn)) == {"http://www.w3.org/2000/svg"}
    root = ElementTree.fromstring(drawn)
    assert root.get("aria-label") == HOSTILE
    assert HOSTILE in [found.text for found in elements(drawn, "text")]


def test_svg_takes_font_and_colour_of_text_from_its_page():
    drawn = vega_lite.svg(charts.roc(models("candidate")), "ROC")
    texts = elements(drawn, "text")
    assert {found.get("font-family") for found in texts} == {"inherit"}
    assert {found.get("fill") for found in texts} == {"currentColor"}
    colors = set(re.findall(r'(?:fill|stroke)="([^"]+)"', drawn))
    assert colors <= {"none", "currentColor", vega_lite.BLUE, vega_lite.GREY}


def test_svg_says_what_each_mark_is_on_hover_and_to_a_screen_reader():
    drawn = vega_lite.svg(BAR, "Drift of features")
    (bar,) = [path for path in elements(drawn, "path") if path.get("aria-roledescription") == "bar"]
    said = "fare: JS divergence 0.300"
    assert bar.get("aria-label") == said and [child.text for child in bar] == [said]
    root = ElementTree.fromstring(drawn)
    assert (root.get("role"), root.get("aria-label")) == ("graphics-document", "Drift of features")


def test_a_line_has_no_tooltip_of_its_first_point():
    (chart,) = charts.curves({"loss": [2.0, 1.0]})
    lines = [p for p in elements(vega_lite.svg(chart, "loss"), "path") if p.get("stroke-width")]
    titled = [len(path) for path in lines if path.get("aria-roledescription") == "line mark"]
    assert titled == [0]


def test_svg_is_the_same_each_time_and_clashes_with_no_other():
    """Vega counts its clip paths through the whole process."""
    roc = charts.roc(models("candidate"))
    twice = [vega_lite.svg(roc, "ROC") for _ in range(2)]
    assert twice[0] == twice[1]
    other = vega_lite.svg(charts.roc(models("candidate", "baseline")), "ROC")
    one, two = ({clip.get("id") for clip in elements(s, "clipPath")} for s in (twice[0], other))
    assert one and two and not one & two
    assert all(f'clip-path="url(#{name})"' in twice[0] for name in one)
