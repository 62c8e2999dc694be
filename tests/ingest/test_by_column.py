"""Rows divided by where splits begin in a column, or by its values; worked by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfx.artifacts import SourceFile
from mfx.columns.types import TYPES
from mfx.config import Split
from mfx.errors import MfxError
from mfx.ingest import by_column
from mfx.ingest.split import by_split

FILE = SourceFile("trips.csv", "", 0)
MAY, JUNE = 1_714_521_600, 1_717_200_000
"""Seconds from 1970 until 2024-05-01 and 2024-06-01."""
BEGINS = {"eval": "2024-05-01", "test": "2024-06-01"}


def batch(kind: str, values: list) -> pa.RecordBatch:
    numbers = pa.array(range(len(values)), pa.int64())
    return pa.RecordBatch.from_arrays([pa.array(values, TYPES[kind]), numbers], ["c", "n"])


def divided(kind: str, cells: list, **split) -> dict:
    """The rows' numbers in each split; and those that are left out, by reason."""
    left_out: dict[str, int] = {}
    how = Split.model_validate({"by": "c", **split})
    by_column.check(how, {"c": kind, "n": "int64"})
    parts = by_split(batch(kind, cells), how, FILE, left_out)
    found = {name: part.column("n").to_pylist() for name, part in parts.items()}
    assert sum(map(len, found.values())) + sum(left_out.values()) == len(cells)
    return {**found, **left_out}


def test_days_as_text():
    days = [b"2024-04-30", b"2024-05-01", b"2024-05-31", b"2024-06-01", b"1999-12-31"]
    assert divided("bytes", days, begins=BEGINS) == {"train": [0, 4], "eval": [1, 2], "test": [3]}


def test_times_as_text_in_several_zones():
    times = [
        b"2024-04-30 23:59:59.999999",
        b"2024-05-01T00:00:00Z",
        b"2024-05-01 01:30:00+02:00",  # still April in UTC
        b"2024-04-30T22:00:00-02:00",  # May in UTC
        b"2024-05-31 23:59",
        b"2024-06-01",
    ]
    assert divided("bytes", times, begins=BEGINS) == {
        "train": [0, 2],
        "eval": [1, 3, 4],
        "test": [5],
    }


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1_000), ("us", 1_000_000)])
def test_whole_numbers_count_units_since_1970(unit, factor):
    times = [(MAY - 1) * factor, MAY * factor - 1, MAY * factor, JUNE * factor - 1, JUNE * factor]
    expected = {"train": [0, 1], "eval": [2, 3], "test": [4]}
    assert divided("int64", times, begins=BEGINS, unit=unit) == expected
    if unit == "us":  # As columns of timestamps are.
        assert divided("int64", times, begins=BEGINS) == expected


def test_a_begin_within_a_second_is_not_rounded_down():
    begins = {"eval": "2024-05-01 00:00:00.5"}
    assert divided("int64", [MAY, MAY + 1], begins=begins, unit="s") == {"train": [0], "eval": [1]}


def test_numbers_in_any_order():
    assert divided("int64", [9, 10, 11, -3], begins={"eval": 2.5, "test": 10}) == {
        "train": [3],
        "eval": [0],
        "test": [1, 2],
    }
    late = divided("int64", [9, 10, 11, -3], begins={"train": 10, "test": 2.5})
    assert late == {"train": [1, 2], "eval": [3], "test": [0]}


def test_a_fraction_begins_where_the_column_has_it():
    """As float32, 0.7 is less than 0.7."""
    assert divided("float32", [0.69, 0.7, 0.71], begins={"eval": 0.7}) == {
        "train": [0],
        "eval": [1, 2],
    }


def test_large_whole_numbers_are_compared_exactly():
    at = 2**60 + 1
    assert divided("int64", [at - 1, at], begins={"eval": at}) == {"train": [0], "eval": [1]}


def test_rows_before_all_splits_are_left_out_and_counted():
    begins = {"train": "2024-01-01", "eval": "2024-05-01"}
    found = divided("bytes", [b"2023-12-31", b"2024-01-01", b"2024-12-31"], begins=begins)
    reason = "c before 2024-01-01, where train, the first split, begins"
    assert found == {"train": [1], "eval": [2], reason: 1}


def test_values_of_texts_and_of_numbers():
    texts = divided(
        "bytes", [b"b", b"c", b"a"], values={"train": ["a", "b"], "eval": ["c"], "test": ["d"]}
    )
    assert texts == {"train": [0, 2], "eval": [1], "test": []}
    assert divided("int64", [4, 0, 3], values={"train": [0, 3], "eval": [4]}) == {
        "train": [1, 2],
        "eval": [0],
    }


NAMED = {"train": ["a"], "eval": ["b"]}


def test_a_value_that_no_split_names_stops_the_run():
    with pytest.raises(MfxError, match=r"rows whose 'c' no split names: 'x', 'y'\n") as e:
        divided("bytes", [b"a", b"x", b"y", b"x"], values=NAMED)
    assert 'set others = "drop" in split' in e.value.remedy
    with pytest.raises(MfxError, match=r"names: 0, 1, 2, 3, 4, …\n"):
        divided("int64", list(range(9)), values={"train": [10], "eval": [11]})


def test_or_is_left_out_and_counted():
    found = divided("bytes", [b"a", b"x", b"b", b"y"], values=NAMED, others="drop")
    assert found == {"train": [0], "eval": [2], "c is not among the values of a split": 2}


@pytest.mark.parametrize(
    ("kind", "values", "split"),
    [
        ("bytes", [b"2024-05-02", None], {"begins": {"eval": "2024-05-01"}}),
        ("int64", [7, None], {"begins": {"eval": 5}}),
        ("float32", [7, None], {"begins": {"eval": 5}}),
        ("bytes", [b"b", None], {"values": NAMED}),
    ],
)
def test_a_missing_value_stops_the_run_or_is_left_out(kind, values, split):
    with pytest.raises(MfxError, match=r"trips\.csv: rows without a value in 'c'") as caught:
        divided(kind, values, **split)
    assert 'set missing = "drop" in split' in caught.value.remedy
    found = divided(kind, values, **split, missing="drop")
    assert found == {"train": [], "eval": [0], "no c, which says the split": 1}


@pytest.mark.parametrize("text", [b"May", b"2024-02-30", b"\xff", b"2024-05-01 25:00", b""])
def test_a_text_that_is_no_time_is_named(text):
    with pytest.raises(MfxError, match=r"trips\.csv: column 'c', which divides the rows by time"):
        divided("bytes", [b"2024-05-01", text], begins=BEGINS)


@pytest.mark.parametrize(
    ("kind", "split", "said"),
    [
        ("int64 list", {"begins": {"eval": 5}}, "column 'c' is int64 list, expected int64 or fl"),
        ("float32", {"values": {"train": [1], "eval": [2]}}, "is float32, expected int64 or bytes"),
        ("float32", {"begins": BEGINS}, "is float32, expected numbers, found texts such as"),
        ("bytes", {"begins": {"eval": 5}}, "is bytes, expected texts, found numbers such as 5"),
        ("int64", {"values": NAMED}, "is int64, expected numbers, found texts such as 'a'"),
        ("bytes", {"begins": BEGINS, "unit": "s"}, "unit: means nothing for column 'c'"),
    ],
)
def test_a_column_of_another_type_is_named_before_rows_are_read(kind, split, said):
    with pytest.raises(MfxError) as caught:
        divided(kind, [], **split)
    assert said in caught.value.what


TIMES = st.lists(
    st.datetimes().map(lambda t: t.isoformat(" ").encode()) | st.none(), min_size=1, max_size=40
)


@given(TIMES, st.integers(0, 40), st.permutations(range(3)))
@settings(max_examples=60, deadline=None)
def test_batches_and_their_order_do_not_matter(values, cut, order):
    how = Split.model_validate({"by": "c", "missing": "drop", "begins": BEGINS})
    rows = batch("bytes", values)
    whole_out: dict[str, int] = {}
    whole = by_split(rows, how, FILE, whole_out)
    cuts = [rows.slice(0, cut), rows.slice(cut, 3), rows.slice(cut + 3)]
    found: dict[str, list] = {name: [] for name in how.names}
    left_out: dict[str, int] = {}
    for part in (cuts[place] for place in order):
        for name, some in by_split(part, how, FILE, left_out).items():
            found[name] += some.column("n").to_pylist()
    assert left_out == whole_out
    assert {n: sorted(f) for n, f in found.items()} == {
        n: part.column("n").to_pylist() for n, part in whole.items()
    }


@given(st.lists(st.datetimes(), min_size=1, max_size=20))
@settings(max_examples=60, deadline=None)
def test_times_with_and_without_a_zone_are_read_alike(times):
    """In UTC Arrow reads them, otherwise Python does."""
    plain = [t.isoformat("T" if n % 2 else " ").encode() for n, t in enumerate(times)]
    zulu = [text + (b"Z" if n % 3 else b" Z") for n, text in enumerate(plain)]
    fast, utc = (by_column._times(pa.array(one, pa.binary()), "", "c") for one in (plain, zulu))
    slow = by_column._times(pa.array([*zulu, b"1970-01-01 00-01:00"], pa.binary()), "", "c")
    assert np.array_equal(fast, slow[:-1]) and np.array_equal(utc, fast)
    assert slow[-1] == 3_600_000_000
