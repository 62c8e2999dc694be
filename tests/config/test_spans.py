"""Places for spans in paths, and which spans a config asks for."""

from __future__ import annotations

from datetime import date

import pytest

from mfx.config import spans
from mfx.errors import MfxError

FAULTS = {
    "day-{SPAN}/{YYYY}-{MM}-{DD}.csv": "either {SPAN} or a date, not both",
    "{SPAN}/{SPAN:2}.csv": "{SPAN} is there twice",
    "{SPAN}/{VERSION}/{VERSION}.csv": "{VERSION} is there twice",
    "{YYYY}-{MM}/a.csv": "a date needs each of {YYYY}, {MM} and {DD} once",
    "{YYYY}/{YYYY}-{MM}-{DD}.csv": "a date needs each of {YYYY}, {MM} and {DD} once",
    "v{VERSION}/a.csv": "{VERSION} needs {SPAN}, or {YYYY}, {MM} and {DD}, beside it",
    "{SPAN:x}/a.csv": "{SPAN:x}: the width must be a whole number, at least 1",
    "{SPAN:0}/a.csv": "{SPAN:0}: the width must be a whole number, at least 1",
    "{SPAN}/{VERSION:}/a.csv": "{VERSION:}: the width must be a whole number, at least 1",
    "{SPAN}{VERSION}/a.csv": "{SPAN}{VERSION}: put something between them, or give widths",
    "{SPAN:2}{VERSION}/a.csv": "{SPAN}{VERSION}: put something between them, or give widths",
    "{span}/a.csv": "{span} is no place for spans; did you mean {SPAN}?",
    "{yyyy}-{MM}-{DD}/a.csv": "{yyyy} is no place for spans; did you mean {YYYY}?",
}
"""The rules of TFX's `verify_split_pattern_specs` and of its widths; and two of our own."""


def test_faults_of_places():
    assert {path: spans.fault(path) for path in FAULTS} == {
        path: f"{path}: {said}" for path, said in FAULTS.items()
    }
    for path in ("{SPAN:2}{VERSION:3}.csv", "{YYYY}{MM}{DD}/v{VERSION}/*.csv", "{x}/a.csv", "a"):
        assert spans.fault(path) == ""


def test_paths_that_are_read_together():
    assert spans.fault_of_all(["a", "b-{SPAN}"]) == "a: no place for a span, but b-{SPAN} has one"
    assert spans.fault_of_all(["a-{SPAN}", "{YYYY}{MM}{DD}"]).startswith("some paths have {SPAN}")
    assert spans.fault_of_all(["a", "b"]) == spans.fault_of_all(["a-{SPAN}", "b-{SPAN:2}"]) == ""


def test_a_date_is_the_days_since_1970():
    """TFX's own example: 2020-01-01 is span 18262."""
    assert spans.number_of(2020, 1, 1) == 18262
    assert spans.Asked("2020-01-01").number == 18262
    assert spans.Asked(7).number == 7
    assert spans.Asked().number is None


@pytest.fixture
def said(settings):
    """What an error says about a config's table [data] with these keys."""

    def say(**keys):
        with pytest.raises(MfxError) as caught:
            settings.override(**{f"data__{key}": value for key, value in keys.items()})
        return caught.value.what

    return say


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"span": "2024-13-01"}, "data.span: there is no month 13"),
        ({"span": "2023-02-29"}, "data.span: there is no day 29 in month 2 of 2023"),
        (
            {"span": "newest"},
            'expected a whole number, a date or "latest", found "newest"',
        ),
        ({"span": -1}, "data.span: expected a span of at least 0"),
        ({"span": True}, 'data.span: expected a whole number, a date or "latest", found true'),
        ({"window": 0}, "data.window: expected a whole number, at least 1 and at most 64"),
        ({"window": 65}, "data.window: expected a whole number, at least 1 and at most 64"),
        ({"span": "2024-01-31"}, "span 2024-01-31 is a date, but path has {SPAN}: give a number"),
        ({"path": "{SPAN}{VERSION}"}, "put something between them, or give widths"),
    ],
)
def test_wrong_values_are_one_line(said, keys, expected):
    found = said(**({"path": "day-{SPAN}.csv"} | keys))
    assert expected in found
    assert "\n" not in found


def test_a_span_needs_a_place_in_the_path(said):
    assert "span = 7 needs a place such as {SPAN} in path, found none" in said(span=7)
    assert "window = 2 needs a place such as {SPAN} in path" in said(window=2)


def test_dates_of_toml_are_dates(settings):
    data = settings.to_dict()["data"] | {"path": "{YYYY}-{MM}-{DD}", "span": date(2024, 1, 31)}
    assert type(settings.data).model_validate(data).span == "2024-01-31"


def test_data_given_by_the_command_line_has_the_configs_spans_only_with_places(settings):
    daily = settings.override(data__path="{YYYY}{MM}{DD}.csv", data__window=3, data__span=18262)
    other = daily.override(data__path="old-{YYYY}{MM}{DD}.csv")
    assert other.data.asked == spans.Asked(18262, 3)
    assert daily.override(data__path="one.csv").data.asked == spans.Asked()
    with pytest.raises(MfxError, match=r"needs a place such as \{SPAN\}"):
        daily.override(data__path="one.csv", data__span=7)


def test_digits_on_the_command_line_are_a_number():
    assert spans.from_text("012") == 12
    assert spans.from_text("2024-01-31") == "2024-01-31"
    assert spans.from_text("latest") == "latest"
