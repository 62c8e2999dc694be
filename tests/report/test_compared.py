"""Charts of runs side by side: which values become which marks, by hand."""

import pytest
from helpers.charts import HOSTILE, held_to_vega_lites_schema, marks

from mfx.report import compared, vega_lite
from mfx.report.compared import LINE, WIDTH, Interval
from mfx.report.vega_lite import BLUE, GREEN, ORANGE

TWO = [
    Interval("Overall", "2", 0.02, 0.01, 0.04),
    Interval("Overall", "3", 0.0, -0.02, 0.01),
    Interval("hour:9", "2", -0.03, -0.04, -0.01),
]


def test_an_interval_is_clear_where_it_leaves_out_0():
    assert [one.clear for one in TWO] == [True, False, True]
    assert not Interval("", "", 0.1, 0.0, 0.2).clear


def test_differences_are_points_with_their_intervals_beside_0():
    """From -0.04 to 0.04 over the whole width: 0 is in the middle."""
    spec = compared.differences(TWO, ["2", "3"])
    held_to_vega_lites_schema(spec)
    zero, *bars = marks(spec, "rule")
    assert zero["x"] == pytest.approx(WIDTH / 2) and not zero.get("x2")
    places = [sorted((bar["x"], bar["x2"])) for bar in bars]
    expected = [(0.01, 0.04), (-0.02, 0.01), (-0.04, -0.01)]
    for place, bounds in zip(places, expected, strict=True):
        assert place == pytest.approx([WIDTH * (0.5 + bound / 0.08) for bound in bounds])
    points = [point["x"] for point in marks(spec, "symbol")]
    assert points == pytest.approx([WIDTH * (0.5 + v / 0.08) for v in (0.02, 0, -0.03)])


def test_differences_show_run_by_colour_and_what_is_clear_by_weight():
    spec = compared.differences(TWO, ["2", "3"])
    _, *bars = marks(spec, "rule")
    assert [bar["stroke"] for bar in bars] == [BLUE, ORANGE, BLUE]
    assert [bar["strokeWidth"] for bar in bars] == [3, 1.2, 3]
    points = marks(spec, "symbol")
    assert [point["opacity"] for point in points] == [1, 0.75, 1]
    assert [point["description"] for point in points] == [
        "Overall, run 2: +0.0200 [+0.0100, +0.0400], clear",
        "Overall, run 3: +0.0000 [-0.0200, +0.0100]",
        "hour:9, run 2: -0.0300 [-0.0400, -0.0100], clear",
    ]


def test_differences_are_in_the_order_given_and_runs_beside_each_other():
    spec = compared.differences([*TWO, Interval("hour:10", "2", 0.1, 0, 0.2)], ["2", "3"])
    overall, other, nine, ten = (point["y"] for point in marks(spec, "symbol"))
    assert overall < other < nine < ten
    assert nine - overall == ten - nine == pytest.approx(LINE)


def test_a_run_without_any_interval_has_its_place_and_colour_all_the_same():
    spec = compared.differences([Interval("Overall", "4", 1, 1, 1)], ["2", "3", "4"])
    assert [point["fill"] for point in marks(spec, "symbol")] == [GREEN]


def test_a_metric_from_run_to_run():
    spec = compared.from_run_to_run([("7", 0.9), ("5", None), ("6", 0.8)])
    held_to_vega_lites_schema(spec)
    points = marks(spec, "symbol")
    assert [point["x"] for point in points] == [75, 375], "each run has 150 pixels, one no value"
    assert points[0]["y"] < points[1]["y"], "more is higher"
    assert [text["text"] for text in marks(spec, "text")] == ["0.9000", "0.8000"]
    assert [point["description"] for point in points] == ["run 7: 0.9000", "run 6: 0.8000"]
    assert [p["x"] for p in marks(spec, "line")] == [75, 375]


def test_many_runs_have_room_for_their_names():
    spec = compared.from_run_to_run([(f"179608814823118{n}", n) for n in range(9)])
    assert spec["width"] == WIDTH and spec["layer"][0]["encoding"]["x"]["axis"]["labelAngle"]


def test_long_names_that_begin_alike_keep_places_of_their_own():
    alike = [Interval("name:" + "x" * 60 + end, "2", 0.1, 0, 0.2) for end in "ab"]
    spec = compared.differences(alike, ["2"])
    one, two = (point["y"] for point in marks(spec, "symbol"))
    assert two - one == pytest.approx(LINE)
    drawn = vega_lite.svg(spec, "auc")
    assert drawn.count(">name:" + "x" * 34 + "…<") == 2, "40 characters in all"
    assert drawn.count("x" * 60 + "b, run 2: ") == 2, "whole in the description and on hover"


def test_drift_is_a_bar_for_each_feature():
    spec = compared.drift([("fare", 0.4, "JS divergence 0.400"), ("tips", 0.1, "L-infinity 0.100")])
    held_to_vega_lites_schema(spec)
    bars = marks(spec, "rect")
    assert [bar["width"] for bar in bars] == pytest.approx([WIDTH, WIDTH / 4])
    assert bars[0]["y"] < bars[1]["y"]
    assert [bar["description"] for bar in bars] == [
        "fare: JS divergence 0.400",
        "tips: L-infinity 0.100",
    ]
    assert [t["text"] for t in marks(spec, "text")] == ["JS divergence 0.400", "L-infinity 0.100"]


def test_hostile_names_stay_data():
    for spec in (
        compared.differences([Interval(HOSTILE, HOSTILE, 1, 1, 1)], [HOSTILE]),
        compared.from_run_to_run([(HOSTILE, 1.0)]),
        compared.drift([(HOSTILE, 1.0, HOSTILE)]),
    ):
        (mark,) = marks(spec, "symbol") or marks(spec, "rect")
        assert HOSTILE in mark["description"]
