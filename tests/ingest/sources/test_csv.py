"""CSV files become typed batches; each file that cannot be read gets one clear message."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfx.config import Reading
from mfx.errors import MfxError
from mfx.ingest.sources import csv as read_csv
from mfx.ingest.sources.csv import Tally, batches, header, infer_types

TYPES = {"n": "int64", "x": "float32", "w": "bytes"}


@pytest.fixture
def write(tmp_path):
    def file(content: str | bytes, name="a.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return file


def _how(**said) -> Reading:
    return Reading.model_validate(said)


def _rows(path, types=TYPES, tally=None, **said) -> list[dict]:
    parts = batches(path, types, _how(**said), tally or Tally())
    return [row for part in parts for row in part.to_pylist()]


def test_types_are_those_of_tf_example(write):
    path = write("n,x,w\n1,2,a\n,nan,\n-3,0.5,NA\n")
    assert infer_types([path], _how()) == TYPES | {"x": "float32"}
    assert _rows(path) == [
        {"n": 1, "x": 2.0, "w": b"a"},
        {"n": None, "x": None, "w": None},
        {"n": -3, "x": 0.5, "w": b"NA"},
    ]


def test_types_fit_all_files(write):
    paths = [write("n,x,w\n1,2,\n"), write("n,x,w\n5,2.5,\n", "b.csv")]
    assert infer_types(paths, _how()) == {"n": "int64", "x": "float32", "w": "bytes"}


def test_quotes_line_ends_and_a_byte_order_mark_are_understood(write):
    path = write('\ufeffn,x,w\r\n1,2,"a,\nb"\r\n3,4,c\r\n')
    assert header(path, _how()) == ["n", "x", "w"]
    assert [row["w"] for row in _rows(path)] == [b"a,\nb", b"c"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("n,x,w\n1,2,a\nten,2,a\n", "line 3, column 'n': expected an integer, found 'ten'"),
        ("n,x,w\n1.5,2,a\n", "line 2, column 'n': expected an integer, found '1.5'"),
        ("n,x,w\n9223372036854775808,2,a\n", "line 2, column 'n': expected an integer"),
        ('n,x,w\n1,2,"a\nb"\n1,low,a\n', "line 4, column 'x': expected a number, found 'low'"),
        ("n,x,w\n1,2\n", "line 2: 2 cells, expected 3 as in the header"),
        ("n,x,w\n1,2,a\n1,2,a,b\n", "line 3: 4 cells, expected 3"),
        (b"n,x,w\n1,2,caf\xe9\n", r"line 2, column 'w': not UTF-8: b'caf\xe9'"),
    ],
    ids=["text", "fraction", "overflow", "after a line break", "short", "long", "latin-1"],
)
def test_the_first_cell_that_does_not_fit_is_named(write, content, expected):
    path = write(content)
    with pytest.raises(MfxError) as error:
        _rows(path)
    assert f"{path}, {expected}" in error.value.what
    assert error.value.remedy


def test_a_fault_beyond_the_first_block_is_named(write, monkeypatch):
    monkeypatch.setattr(read_csv, "BLOCK_BYTES", 1000)
    path = write("n,x,w\n" + "1,2,a\n" * 5000 + "1,two,a\n")
    with pytest.raises(MfxError, match="line 5002, column 'x'"):
        _rows(path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("\ufeffn,x,w\n1,2,a\nten,2,a\n", "line 3, column 'n': expected an integer, found 'ten'"),
        ("n,x,w\n1,2,a\n+5,2,a\n", "line 3, column 'n': expected an integer, found '+5'"),
        ("n,x,w\n0x1F,2,a\nten,2,a\n", "line 2, column 'n': expected an integer, found '0x1F'"),
        ("n,x,w\n 7 ,2,a\nten,2,a\n", "line 3, column 'n': expected an integer, found 'ten'"),
        ("n,x,w\n\u0663,2,a\n", "line 2, column 'n': expected an integer, found '\u0663'"),
        ("n,x,w\n1,2,a\n1,1e40,a\n", "line 3, column 'x': expected a number, found '1e40'"),
        ("n,x,w\n1,-inf,a\n", "line 2, column 'x': expected a number, found '-inf'"),
        ("n,x,w\n1,1_0,a\n", "line 2, column 'x': expected a number, found '1_0'"),
        ("n,x,w\r\n\r\n1,2,a\r\nten,2,a\r\n", "line 4, column 'n': expected an integer"),
        (f"n,x,w\n1,2,{'a' * 200_000}\nten,2,a\n", "line 3, column 'n': expected an integer"),
    ],
    ids=["mark", "plus", "hex", "spaces", "digit", "1e40", "inf", "1_0", "blank", "long"],
)
def test_python_and_arrow_agree_on_what_a_number_is(write, content, expected):
    path = write(content)
    with pytest.raises(MfxError) as error:
        _rows(path)
    assert error.value.what.startswith(f"{path}, {expected}")


def test_rows_that_do_not_fit_are_left_out_and_named(write):
    path = write(b'n,x,w\n1,2\n1,2,a\n\n1,2,\xe9\nten,low,a\n1,"l\now",a\n7,8,z\n1,2,3,4')
    assert header(path, _how()) == ["n", "x", "w"]
    tally = Tally()
    assert [row["n"] for row in _rows(path, tally=tally, tolerate=9)] == [1, 7]
    assert [tuple(found) for found in sorted(tally.left_out)] == [
        (2, "line", "2 cells, expected 3", b"1,2", False),
        (5, "line", "not UTF-8", b"1,2,\xe9", False),
        (6, "line", "column 'n': expected an integer", b"ten,low,a", False),
        (7, "line", "column 'x': expected a number", b'1,"l\now",a', False),
        (10, "line", "4 cells, expected 3", b"1,2,3,4", False),
    ]
    assert tally.records == 7 == 2 + sum(tally.rejected.values())


def test_a_nul_byte_far_from_the_begin_may_be_left_out(write):
    """In the first 4096 bytes it tells that the file is no text."""
    path, tally = write("n,x,w\n" + "1,2,a\n" * 999 + "1,\0,\r\n1,2,b"), Tally()
    assert len(_rows(path, tally=tally, tolerate=1)) == 1000
    assert list(tally.left_out) == [(1001, "line", "a NUL byte", b"1,\0,", False)]


def test_types_are_inferred_from_the_rows_that_can_be_read(write):
    path = write(b"n,x,w\n1,2\n1,2.5,a\n1,2,\xe9\n")
    assert infer_types([path], _how(tolerate=9)) == TYPES
    with pytest.raises(MfxError, match="2 cells, expected 3"):
        infer_types([path], _how())


def test_cells_of_rows_that_are_left_out_are_not_counted(write):
    tally = Tally()
    path = write("n,x,w\n,nan,a\nten,nan,\n1,16777217,a\n1,2,\nno,16777219,b\n")
    assert len(_rows(path, tally=tally, tolerate=9)) == 3
    assert tally.missing == {("n", ""): 1, ("x", "nan"): 1, ("w", ""): 1}
    assert tally.rounded == {("x", "16777217"): 1}


def test_a_space_before_a_quote_may_be_left_out(write):
    path, tally = write('n,x,w\n1,2, "a"\n1, 2 ,b\n'), Tally()
    assert len(_rows(path, tally=tally, tolerate=1, trim=True)) == 1
    assert tally.rejected == {"column 'w': a space before the quote": 1}


def test_a_long_row_is_kept_in_part(write):
    tally = Tally()
    _rows(write(f"n,x,w\nten,2,{'a' * 100_000}\n"), tally=tally, tolerate=1)
    (found,) = tally.left_out
    assert (len(found.raw), found.cut) == (2**16, True)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_header_alone_has_no_rows(write, end):
    path = write("n,x,w" + end)
    assert header(path, _how()) == ["n", "x", "w"]
    assert _rows(path) == []
    assert infer_types([path], _how()) == dict.fromkeys("nxw", "bytes")


def test_nullable_integers_stay_integers_and_empty_text_may_be_a_value(write):
    path = write('n,x,w\n9007199254740993,NA,\nNA,nan,""\n,1,NA\n')
    (batch,) = batches(path, TYPES, _how(null_values=["NA", ""]), Tally())
    assert batch.schema.types == [pa.int64(), pa.float32(), pa.binary()]
    assert batch.column(0).to_pylist() == [9007199254740993, None, None]
    assert batch.column(1).to_pylist() == [None, None, 1.0]
    assert batch.column(2).to_pylist() == [None, None, None]
    path = write('w\n""\nNA\n')
    (batch,) = batches(path, {"w": "bytes"}, _how(null_values=["NA"]), Tally())
    assert batch.column(0).to_pylist() == [b"", None]


CELLS = st.none() | st.integers(-(2**63), 2**63 - 1)
NUMBERS = st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False)
TEXTS = st.none() | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=8
)


@given(st.lists(st.tuples(CELLS, NUMBERS, TEXTS), min_size=1, max_size=20), st.booleans())
@settings(max_examples=60, deadline=None)
def test_what_python_writes_comes_back(rows, crlf):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.csv")
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(
                file, quoting=csv.QUOTE_ALL, lineterminator="\r\n" if crlf else "\n"
            )
            writer.writerow(TYPES)
            writer.writerows([["" if v is None else v for v in row] for row in rows])
        read = [tuple(row.values()) for row in _rows(path)]
    assert read == [(n, x, None if w is None else w.encode()) for n, x, w in rows]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "the file is empty"),
        ("a,,c\n1,2,3\n", "line 1: column name '' is empty"),
        ("a,b,a\n1,2,3\n", "line 1: column name 'a' is used twice"),
        (b"caf\xe9,b\n1,2\n", "not UTF-8"),
    ],
)
def test_a_header_that_cannot_be_used(write, content, expected):
    with pytest.raises(MfxError, match=expected):
        header(write(content), _how())


def test_a_missing_file(tmp_path):
    with pytest.raises(MfxError, match="cannot read the file: No such file"):
        header(tmp_path / "gone.csv", _how())
