"""Rows by their values in some columns, single or lists."""

from __future__ import annotations

import itertools
from collections import defaultdict

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from mfx.columns.groups import grouped


def as_lists(columns):
    return [(key, rows.tolist()) for key, rows in grouped(columns)]


def test_single_values():
    hour = pa.array([1, 2, None, 1], pa.int64())
    kind = pa.array([b"a", None, b"a", b"a"])
    assert as_lists([hour]) == [((1,), [0, 3]), ((2,), [1])]
    assert as_lists([hour, kind]) == [((1, b"a"), [0, 3])]


def test_a_row_is_in_a_group_for_each_value_of_its_list_once():
    tags = pa.array([[b"x", b"y", b"x"], [], None, [b"y"]])
    hour = pa.array([1, 1, 1, 2], pa.int64())
    assert as_lists([tags]) == [((b"x",), [0]), ((b"y",), [0, 3])]
    assert as_lists([hour, tags]) == [
        ((1, b"x"), [0]),
        ((1, b"y"), [0]),
        ((2, b"y"), [3]),
    ]


def test_columns_without_values_have_no_groups():
    assert as_lists([pa.nulls(3, pa.int64())]) == []
    assert as_lists([pa.array([], pa.int64())]) == []
    assert as_lists([pa.array([1], pa.int64()), pa.array([[]], pa.list_(pa.int64()))]) == []


WORDS = st.none() | st.sampled_from([b"", b"a", b"b"])
LISTS = st.none() | st.lists(st.integers(0, 2), max_size=3)


@given(st.lists(st.tuples(WORDS, LISTS, LISTS), max_size=12))
@settings(max_examples=60, deadline=None)
def test_groups_are_those_of_a_plain_loop(rows):
    expected = defaultdict(list)
    for number, (word, *lists) in enumerate(rows):
        words = [] if word is None else [word]
        for key in itertools.product(words, *(sorted({*(found or ())}) for found in lists)):
            expected[key].append(number)
    kinds = (pa.binary(), pa.list_(pa.int64()), pa.list_(pa.int64()))
    columns = [pa.array([row[n] for row in rows], kind) for n, kind in enumerate(kinds)]
    assert dict(as_lists(columns)) == expected
