"""CSV files to typed batches, and one clear message for each that cannot be read."""

from __future__ import annotations

import pyarrow as pa
import pytest

from mfx import read_csv
from mfx.errors import MfxError
from mfx.read_csv import batches, header, infer_types

TYPES = {"n": "int64", "x": "float32", "w": "bytes"}


@pytest.fixture
def write(tmp_path):
    def file(content: str | bytes, name="a.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return file


def _rows(path, types=TYPES, rejected=None) -> list[dict]:
    return pa.Table.from_batches(list(batches(path, types, [""], rejected))).to_pylist()


def test_types_are_those_of_tf_example(write):
    path = write("n,x,w\n1,2,a\n,nan,\n-3,0.5,NA\n")
    assert infer_types([path], [""]) == TYPES | {"x": "float32"}
    assert _rows(path) == [
        {"n": 1, "x": 2.0, "w": b"a"},
        {"n": None, "x": None, "w": None},
        {"n": -3, "x": 0.5, "w": b"NA"},
    ]


def test_types_fit_all_files(write):
    paths = [write("n,x,w\n1,2,\n"), write("n,x,w\n5,2.5,\n", "b.csv")]
    assert infer_types(paths, [""]) == {"n": "int64", "x": "float32", "w": "bytes"}


def test_quotes_line_ends_and_a_byte_order_mark_are_understood(write):
    path = write('\ufeffn,x,w\r\n1,2,"a,\nb"\r\n3,4,c\r\n')
    assert header(path) == ["n", "x", "w"]
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


def test_ragged_rows_may_be_left_out_and_are_counted(write):
    rejected: dict[str, int] = {}
    rows = _rows(write("n,x,w\n1,2\n3,4,a\n5,6,b,c\n7,8\n"), rejected=rejected)
    assert [row["n"] for row in rows] == [3]
    assert rejected == {"2 cells, expected 3": 2, "4 cells, expected 3": 1}


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
        header(write(content))


def test_a_missing_file(tmp_path):
    with pytest.raises(MfxError, match="cannot read the file: No such file"):
        header(tmp_path / "gone.csv")
