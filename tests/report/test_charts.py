"""The cards' Vega-Lite specs: structure, inline data, bounds, odd values and hostile names."""

import json
import math
from collections.abc import Iterator
from itertools import pairwise

import pytest
from helpers.charts import (
    HOSTILE,
    add_numeric,
    add_text,
    dataset,
    held_to_vega_lites_schema,
    marks,
    models,
)

from mfx.artifacts import SliceKey, SliceMetrics
from mfx.report import charts, distributions
from mfx.report.vega_lite import BLUE, GREY, ORANGE, PALETTE


def walk(value, path=()) -> Iterator[tuple[tuple, object]]:
    """Every leaf of a spec with the keys that lead to it."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        if isinstance(inner, dict | list):
            yield from walk(inner, (*path, key))
        else:
            yield (*path, key), inner


def check(chart: dict) -> None:
    """One layered chart: finite inline data, and only fields that its rows have."""
    json.dumps(chart, allow_nan=False)
    held_to_vega_lites_schema(chart)
    assert chart["data"]["values"]
    assert isinstance(chart["title"]["text"], str)
    for layer in chart["layer"]:
        assert layer["mark"]["type"] in {"rect", "line", "bar", "tick", "point", "rule"}
        rows = layer.get("data", chart["data"])["values"]
        fields = {inner for path, inner in walk(layer["encoding"]) if path[-1] == "field"}
        fields |= {inner for path, inner in walk(layer.get("transform", {})) if "field" in path}
        assert fields and all(any(name in row for row in rows) for name in fields)
    for path, inner in walk(chart):
        if isinstance(inner, str) and "script" in inner:
            assert {"values", "title", "sort"} & set(path), path
            assert path[-1] not in {"field", "calculate", "filter", "labelExpr"}


def shares(chart: dict, series: str) -> list[float]:
    """A histogram's shares, without the point that ends the line."""
    rows = [row for row in chart["data"]["values"] if row["high"] > row["low"]]
    return [row["share"] for row in rows if row["series"] == series]


def test_natural_order():
    values = ["10", "9", "-1", "2.5", "b10", "b9", "nan", "", "²"]
    assert sorted(values, key=charts.natural) == [
        "-1",
        "2.5",
        "9",
        "10",
        "",
        "b9",
        "b10",
        "nan",
        "²",
    ]


def test_histograms_show_shares_of_rows_on_common_bins():
    train, evaluated = dataset(100), dataset(50)
    add_numeric(train, "x", [(0, 10, 60), (10, 20, 20)])
    add_numeric(evaluated, "x", [(0, 10, 50)])
    (chart,), text, left_out = distributions.draw({"train": train, "eval": evaluated})
    check(chart)
    assert (text, left_out) == ([], [])
    assert shares(chart, "train") == pytest.approx([0.12] * 5 + [0.04] * 5)
    assert shares(chart, "eval") == pytest.approx([0.2] * 5 + [0] * 5)
    assert chart["title"]["subtitle"] == "missing 20.0% / 0.0%"


def test_histograms_are_bars_of_train_and_steps_of_eval():
    """Twenty units over 240 pixels; the highest bin, 0.2, is the whole height of 110."""
    train, evaluated = dataset(100), dataset(50)
    add_numeric(train, "x", [(0, 10, 60), (10, 20, 20)])
    add_numeric(evaluated, "x", [(0, 10, 50)])
    (chart,), *_ = distributions.draw({"train": train, "eval": evaluated})
    bars = marks(chart, "rect")
    assert [bar["height"] for bar in bars] == pytest.approx([66] * 5 + [22] * 5)
    assert [bar["x"] for bar in bars] == pytest.approx(range(0, 240, 24))
    assert [bar["width"] for bar in bars] == pytest.approx([23] * 10), "a pixel apart"
    assert {bar["fill"] for bar in bars} == {BLUE}
    steps = marks(chart, "line")
    assert [step["y"] for step in steps] == pytest.approx([0] * 5 + [110] * 6)
    assert {step["stroke"] for step in steps} == {ORANGE}


def test_few_integers_get_bins_of_whole_integers():
    data = dataset(24)
    width = 23 / 10
    edges = [i * width for i in range(11)]
    held = [sum(a <= h < b or h == b == 23 for h in range(24)) for a, b in pairwise(edges)]
    add_numeric(
        data,
        "hour",
        [(a, b, n) for (a, b), n in zip(pairwise(edges), held, strict=True)],
        kind="INT",
    )
    (chart,), *_ = distributions.draw({"train": data, "eval": data})
    rows = chart["data"]["values"]
    assert {row["high"] - row["low"] for row in rows if row["high"] > row["low"]} == {3}
    assert sum(shares(chart, "train")) == pytest.approx(1)
    assert shares(chart, "train") == pytest.approx([1 / 8] * 8)


def test_quantiles_sharpen_a_histogram():
    data = dataset(100)
    add_numeric(data, "x", [(0, 10, 100)], [(0, 2, 50), (2, 10, 50)])
    (chart,), *_ = distributions.draw({"train": data, "eval": data})
    assert sum(shares(chart, "train")[:2]) == pytest.approx(0.5)


def test_outliers_do_not_squeeze_a_histogram_into_one_bin():
    data = dataset(1000)
    deciles = [(i, i + 1, 100) for i in range(9)] + [(9, 10_000, 100)]
    add_numeric(data, "x", [(0, 1000, 999), (1000, 10_000, 1)], deciles)
    (chart,), *_ = distributions.draw({"train": data, "eval": data})
    check(chart)
    assert max(row["high"] for row in chart["data"]["values"]) == 9
    assert chart["title"]["subtitle"] == "highest tenth (to 10,000) not drawn"
    assert sum(shares(chart, "train")) == pytest.approx(0.9)


@pytest.mark.parametrize(
    "buckets",
    [
        [(5, 5, 100)],
        [(-1.7e308, 1.7e308, 100)],
        [(-math.inf, 0, 10), (0, 1, 90), (1, math.inf, 1)],
        [(17031081401, 17031081401, 1)],
    ],
)
def test_histograms_of_odd_ranges(buckets):
    data = dataset(100)
    add_numeric(data, "x", buckets)
    (chart,), *_ = distributions.draw({"train": data, "eval": data})
    check(chart)
    finite = sum(b[2] for b in buckets if math.isfinite(b[0]) and math.isfinite(b[1]))
    assert sum(shares(chart, "train")) == pytest.approx(finite / 100)


def test_feature_of_one_split_or_without_values():
    train, evaluated = dataset(), dataset(0)
    add_numeric(train, "only", [(0, 1, 100)])
    add_numeric(train, "void", [])
    add_text(train, "empty", {})
    numeric, text, left_out = distributions.draw({"train": train, "eval": evaluated})
    assert [chart["title"]["text"] for chart in numeric] == ["only"]
    assert numeric[0]["title"]["subtitle"] == "missing 0.0% / 100.0%"
    assert (text, left_out) == ([], ["void", "empty"])


def test_top_values_of_text():
    train, evaluated = dataset(), dataset(50)
    add_text(train, "t", {"a": 60, "b": 40})
    add_text(evaluated, "t", {"a": 10, "": 40})
    _, (chart,), _ = distributions.draw({"train": train, "eval": evaluated})
    check(chart)
    rows = {(r["value"], r["series"]): r["share"] for r in chart["data"]["values"]}
    assert rows[("a", "train")] == 0.6
    assert rows[("(empty)", "eval")] == 0.8
    # Both splits' counts are complete, so a value that is not there has share 0.
    assert rows[("b", "eval")] == 0
    # Train's bars come before eval's ticks, the value with the largest share of either on top.
    empty, a, b = sorted(marks(chart, "rect")[:3], key=lambda bar: bar["y"])
    assert empty["width"] == 0 and b["width"] / a["width"] == pytest.approx(4 / 6)


def test_a_value_beyond_an_incomplete_count_is_not_drawn_as_absent():
    train, evaluated = dataset(), dataset()
    add_text(train, "t", {"a": 60, "b": 40}, unique=7000)
    add_text(evaluated, "t", {"a": 60}, unique=7000)
    _, (chart,), _ = distributions.draw({"train": train, "eval": evaluated})
    rows = {(r["value"], r["series"]) for r in chart["data"]["values"]}
    assert ("b", "eval") not in rows
    assert chart["title"]["subtitle"] == "missing 0.0% / 40.0%; top 2 of 7,000 values"


def test_distributions_are_bounded():
    data = dataset()
    for i in range(charts.MAX_CHARTS + 7):
        add_numeric(data, f"f{i}", [(0, 1, 1)])
    add_text(data, "t", {f"v{i}": 1 for i in range(1000)})
    numeric, text, left_out = distributions.draw({"train": data, "eval": data})
    assert len(numeric) + len(text) == charts.MAX_CHARTS
    assert len(left_out) == 8


def by(parts: dict, **metrics) -> SliceMetrics:
    """Metrics of the slice of these features and values."""
    return SliceMetrics(SliceKey.of(parts.items()), metrics)


def test_hostile_names_stay_data():
    data = dataset()
    add_numeric(data, HOSTILE, [(0, 1, 100)])
    add_text(data, HOSTILE + "t", {HOSTILE: 100})
    numeric, text, _ = distributions.draw({"train": data, "eval": data})
    rows = [by({HOSTILE: HOSTILE}, **{HOSTILE: 0.5, "example_count": 3})]
    drawn = [*numeric, *text, *charts.curves({HOSTILE: [1.0]})]
    drawn += [c for group in charts.slices(rows, []).values() for c in group]
    assert len(drawn) == 4
    for chart in drawn:
        check(chart)
        assert chart["title"]["text"].startswith("a.b")


def test_curves_pair_train_and_validation():
    history = {"loss": [3.0, math.nan, 1.0], "val_loss": [2.0], "val_auc": [0.5], "none": [None]}
    loss, auc = charts.curves(history)
    check(loss)
    check(auc)
    points = [(r["series"], r["epoch"], r["value"]) for r in loss["data"]["values"]]
    assert points == [("train", 1, 3.0), ("train", 3, 1.0), ("validation", 1, 2.0)]
    assert auc["title"]["text"] == "auc"
    assert charts.curves({}) == []


def test_long_curves_are_thinned_to_their_ends():
    (chart,) = charts.curves({"loss": list(range(5000))})
    epochs = [row["epoch"] for row in chart["data"]["values"]]
    assert len(epochs) == charts.MAX_POINTS
    assert (epochs[0], epochs[-1]) == (1, 5000)


@pytest.mark.parametrize("names", [("candidate",), ("candidate", "baseline")])
def test_roc_and_calibration(names):
    roc, calibration = charts.roc(models(*names)), charts.calibration(models(*names))
    for chart in (roc, calibration):
        check(chart)
        assert chart["layer"][0]["mark"]["strokeDash"], "the diagonal comes first"
        assert chart["layer"][1]["encoding"]["color"]["scale"]["domain"] == list(names)
    assert len(roc["data"]["values"]) == 3 * len(names)
    assert {line["stroke"] for line in marks(roc, "line")} == {GREY, *PALETTE[: len(names)]}
    # The unit square: 380 by 300 pixels.
    assert (380, 0) in {(point["x"], point["y"]) for point in marks(roc, "line")}
    # Nothing was observed in the bin without examples.
    assert [r["x"] for r in calibration["data"]["values"]][:2] == [0.1, 0.9]


@pytest.mark.parametrize("curves", [{}, {"candidate": {}}, {"candidate": None}])
def test_no_curves(curves):
    assert charts.roc(curves) is None
    assert charts.calibration(curves) is None


def test_slices_are_in_natural_order_and_keep_their_counts():
    rows = [by({}, example_count=9, auc=0.9)]
    rows += [by({"h": h}, example_count=h, auc=0.8) for h in (10, 9, 2)]
    rows += [by({"pay": 'Cash: "x"'}, example_count=1, auc=None)]
    by_feature = charts.slices(rows, [by({"h": 2}, auc=0.7, example_count=2)])
    assert list(by_feature) == ["h"], "a slice without a value has no picture"
    (chart,) = by_feature["h"]
    check(chart)
    overall, change, baseline, candidate = chart["layer"]
    assert overall["data"]["values"] == [{"value": 0.9}]
    assert candidate["encoding"]["x"]["sort"] == ["2", "9", "10"]
    assert baseline["transform"][0]["filter"]["equal"] == "baseline"
    points = {
        (p["fill"] if p["fill"] != "transparent" else p["stroke"], p["x"]): p
        for p in marks(chart, "symbol")
    }
    assert len(points) == 4, "three slices of the candidate, one of the baseline"
    first = min(x for _, x in points)
    assert points[ORANGE, first]["y"] > points[BLUE, first]["y"], "0.7 is below 0.8"
    by_place = [points[key]["size"] for key in sorted(points) if key[0] == BLUE]
    assert by_place == sorted(by_place) and by_place[-1] == 150, "area grows with examples"
    whole, *changes = marks(chart, "rule")
    assert whole["y"] < points[BLUE, first]["y"], "0.9 is above"
    changes.sort(key=lambda rule: rule["x"])
    ends = {rule["x"]: {rule["y"], rule["y2"]} for rule in changes}
    assert ends[first] == {points[BLUE, first]["y"], points[ORANGE, first]["y"]}
    assert [len(found) for found in ends.values()] == [2, 1, 1], "one slice has a baseline"
    assert change["encoding"]["y2"]["field"] == "value"


def test_slices_without_counts_are_drawn_all_the_same():
    (chart,) = charts.slices([by({"h": 1}, auc=0.8)], [by({"h": 1}, auc=0.7)])["h"]
    assert len(marks(chart, "symbol")) == 2
    assert not [layer for layer in chart["layer"] if "size" in layer["encoding"]]


def test_slices_are_bounded_by_size():
    many = charts.MAX_CATEGORIES + 5
    rows = [by({"c": i}, example_count=i, auc=0.5) for i in range(many)]
    (chart,) = charts.slices(rows, [])["c"]
    shown = {row["slice"] for row in chart["data"]["values"]}
    assert shown == {str(i) for i in range(5, many)}
    assert chart["title"]["subtitle"] == "the 5 smallest slices are not drawn"
    metrics = {f"m{i}": 0.5 for i in range(50)}
    rows = [by({feature: 1}, **metrics) for feature in "ab"]
    assert sum(map(len, charts.slices(rows, []).values())) == charts.MAX_CHARTS
