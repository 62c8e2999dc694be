"""The type that texts are given; a code is never read as a number."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfx.ingest.infer_types import Column


def _column(*parts) -> Column:
    column = Column()
    for part in parts:
        column.add(pa.array(part, pa.string()))
    return column


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1", None, "-7"], "int64"),
        (["1", "2.5"], "float32"),
        (["1", "x"], "bytes"),
        ([None, None], None),
        (["007", "12"], "bytes"),
        (["-007", "12"], "bytes"),
        (["007.5", "1.5"], "bytes"),
        (["+5", "5"], "bytes"),
        (["0", "-0", "0.5"], "float32"),
        (["-0", "3"], "int64"),
        (["9223372036854775807", "-9223372036854775808"], "int64"),
        (["9223372036854775808"], "bytes"),
        (["9223372036854775808", "1.5"], "bytes"),
        (["0x1F", "2"], "bytes"),
        (["1_000", "2"], "bytes"),
        ([" 12", "3"], "bytes"),
        (["12e3", "9981"], "bytes"),
        (["1e-05", "1.5e3", "2E+7"], "float32"),
        (["1e40", "1"], "bytes"),
        (["inf", "1"], "bytes"),
        (["nan", "1"], "float32"),
        (["True", "False"], "bytes"),
        (["17031281000.0", "nan", "3.0"], "int64"),
        (["16777217", "0.5"], "bytes"),
        (["16777216", "0.5"], "float32"),
        (["41.884116595", "-87.636418954"], "float32"),
    ],
)
def test_the_narrowest_type_that_keeps_what_the_texts_say(texts, expected):
    assert _column(texts).kind == expected
    assert _column(*([text] for text in texts)).kind == expected


TEXTS = st.none() | st.sampled_from(
    [
        "0",
        "-3",
        "17031281000",
        "17031281000.0",
        "2.5",
        "007",
        "12e3",
        "nan",
        "x",
        "1e+20",
        "16777217",
    ]
)


@given(st.lists(st.lists(TEXTS, max_size=6), max_size=4))
@settings(max_examples=100, deadline=None)
def test_a_columns_parts_do_not_matter(parts):
    whole = [text for part in parts for text in part]
    assert _column(*parts).kind == _column(whole).kind


def test_what_keeps_a_column_from_being_numbers_is_said():
    assert _column(["1.5", "NA", "2", None, "NA", "7", "8"]).note("x") == (
        "column 'x' is text because of 2 of its 6 values, which are not written like numbers: "
        "'NA' (2)"
    )
    assert "'0007' (1)" in _column(["0007", "12"]).note("code")
    assert "trim = true" in _column([" 1", "2"]).note("x")
    assert "float32 cannot hold, in a column with fractions: '16777217' (1)" in (
        _column(["16777217", "0.5"]).note("x")
    )
    for text in ("1,5", "1,234", "1.234,50", "12 %", "$3", "-inf"):
        assert f"{text!r} (1)" in _column(["7", text]).note("x")
        assert _column([text]).note("x")
    for text in ("12.05.2024", "10.0.0.1", "2024-01-02", "12:30", "030 12", "True"):
        assert _column([text]).note("x") == ""
    for texts in (["Cash", "Card", "1"], ["1", "2"], [None]):
        assert _column(texts).note("x") == ""


def test_a_column_of_words_is_text_after_its_first_part():
    column = _column(["word"] * 2000, ["1"] * 10)
    assert column.settled
    assert column.kind == "bytes"
    assert not column.codes
