"""Slices are shown and compared by features and values, whatever those hold."""

from __future__ import annotations

import json
import math
import pickle
import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mfx.artifacts import FIRST_RUN, OVERALL, ComparedWith, SliceKey, SlicesBy

texts = st.text(max_size=8) | st.sampled_from(["a", "a:b", "a, b", '"', "x, b:y", "b", "é\n", "\\"])
keys = st.lists(st.tuples(texts.filter(bool), texts), max_size=3)

QUOTED = r'"(?:[^"\\]|\\.)*"'
FEATURE = rf'{QUOTED}|[^":,][^:,]*'
NEXT = rf", (?:{FEATURE}):"


def read_back(name: str) -> list[tuple[str, str]]:
    """Features and values as text of a slice as it is shown: what a reader can tell."""
    found, place = [], 0
    while part := (
        re.compile(rf"({FEATURE}):({QUOTED})(?={NEXT}|\Z)", re.DOTALL).match(name, place)
        or re.compile(rf"({FEATURE}):(.*?)(?={NEXT}|\Z)", re.DOTALL).match(name, place)
    ):
        found.append(tuple(map(bare, part.groups())))
        place = part.end() + len(", ")
    return found


def bare(text: str) -> str:
    return json.loads(text, strict=False) if re.fullmatch(QUOTED, text, re.DOTALL) else text


@given(keys)
@example([("a", "x, b:y")])
@example([("a:b", "c")])
@example([('"a":"b"', '"c"')])
def test_what_is_shown_tells_features_and_values(key):
    assert read_back(str(SliceKey.of(key))) == key


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ([], "Overall"),
        ([("hour", 3)], "hour:3"),
        ([("hour", 3), ("kind", "a b")], "hour:3, kind:a b"),
        ([("hour", 3), ("kind", "Cab, Inc.")], "hour:3, kind:Cab, Inc."),
        ([("at", "12:30")], "at:12:30"),
        ([("a:b", 1)], '"a:b":1'),
        ([("größe, cm", 1)], '"größe, cm":1'),
        ([("a", "x, b:y")], 'a:"x, b:y"'),
        ([("a", b"\xc3\xa9")], "a:é"),
        ([("cross", "_X_")], "cross:_X_"),
        ([("x", np.float32(0.5)), ("y", np.int64(2))], "x:0.5, y:2"),
    ],
)
def test_only_what_would_be_mistaken_is_quoted(key, name):
    assert str(SliceKey.of(key)) == name


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ([("a:b", 1), ("kind", "x")], "1, kind:x"),
        ([("a", "x, b:y")], '"x, b:y"'),
        ([("a", "x"), ("b", "y")], "x, b:y"),
    ],
)
def test_beside_its_first_feature_no_slice_is_shown_as_another(key, name):
    assert SliceKey.of(key).beside_first == name


def test_slices_are_equal_if_values_and_their_types_are():
    values = [1, 1.0, "1", True, 0.0, -0.0, math.nan, "nan", "", "é"]
    slices = [SliceKey((("a", value),)) for value in values]
    assert len({*slices, OVERALL}) == len(values) + 1
    for slice in slices:
        again = pickle.loads(pickle.dumps(slice))
        assert again == slice and hash(again) == hash(slice) and again in slices
    assert SliceKey((("b", 1),)) != slices[0] and slices[0] != "a:1"
    assert SliceKey.of([("a", np.float64("nan"))]) == SliceKey((("a", math.nan),))


def test_slices_are_made_of_plain_values():
    (part,) = SliceKey.of([("a", np.float32(0.5))]).parts
    assert part == ("a", 0.5) and type(part[1]) is float
    assert SliceKey.of([("b", 1), ("a", b"x")]).features == ("b", "a")
    assert OVERALL.features == ()


def test_all_slices_are_no_slice():
    assert str(SlicesBy(("hour", "kind"))) == "by hour, kind"
    assert str(SlicesBy()) == "all slices"
    assert SlicesBy() != OVERALL


def test_what_a_model_is_compared_with_has_three_states():
    unfit = ComparedWith("7", "ValueError: another number of outputs")
    assert [str(one) for one in (FIRST_RUN, ComparedWith("7"), unfit)] == [
        "first run",
        "7",
        "7 (not comparable: ValueError: another number of outputs)",
    ]
    assert [one.first for one in (FIRST_RUN, ComparedWith("first run"), unfit)] == [
        *(True, False, False)
    ]
    assert unfit.run == "7"
