"""Names of slices tell their features, whatever titles and values hold."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mfx.artifacts import slices

texts = st.text(max_size=8) | st.sampled_from(["a", "a:b", "a, b", '"', "x, b:y", "b", "é\n", "\\"])
keys = st.lists(st.tuples(texts.filter(bool), texts), max_size=3)


@given(keys)
@example([("a", "x, b:y")])
@example([("a:b", "c")])
@example([('"a":"b"', '"c"')])
def test_a_name_tells_features_and_values(key):
    assert slices.parts(slices.name(key)) == key


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ([], "Overall"),
        ([("hour", 3), ("kind", "Cab, Inc.")], "hour:3, kind:Cab, Inc."),
        ([("at", "12:30")], "at:12:30"),
        ([("a:b", 1)], '"a:b":1'),
        ([("größe, cm", 1)], '"größe, cm":1'),
        ([("a", "x, b:y")], 'a:"x, b:y"'),
    ],
)
def test_only_what_would_be_mistaken_is_quoted(key, name):
    assert slices.name(key) == name


def test_the_first_feature_and_the_rest():
    assert slices.by_first("Overall") == ("", "")
    assert slices.by_first('"a:b":1, kind:x') == ("a:b", "1, kind:x")
