"""Records are counted as by Python's strict reader; what it refuses is refused here too."""

from __future__ import annotations

import csv
import io

import hypothesis
import pytest
from hypothesis import strategies as st

from mfx.errors import MfxError
from mfx.ingest.sources.csv_records import rows, whole


def _blocks(text: bytes, size: int) -> list[bytes]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def _records(text: bytes, size: int = 1 << 20, delimiter: str = ",") -> list:
    return list(whole(_blocks(text, size), delimiter, "a.csv"))


@hypothesis.given(
    st.text('a",\r\n', max_size=40).filter(lambda text: text.strip("\r\n")), st.integers(1, 50)
)
def test_records_are_those_of_pythons_strict_reader(text, size):
    try:
        expected = sum(
            1 for cells in csv.reader(io.StringIO(text, newline=""), strict=True) if cells
        )
    except csv.Error:
        with pytest.raises(MfxError, match=r"^a\.csv, line \d+: "):
            _records(text.encode(), size)
        return
    found = _records(text.encode(), size)
    assert sum(part.count for part in found) == expected
    # The header comes alone. Nothing is left out but blank lines.
    assert found[0].count == 1
    kept = b"".join(part.text for part in found)
    assert [cells for _, cells in rows(kept, ",")] == [
        cells for _, cells in rows(text.encode(), ",")
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            b'a,b\n1,"x\ny" z\n',
            "line 3: text after the closing quote of a cell that begins",
        ),
        (b'a,b\n1,x\n2,"never\n3,z\n', "line 3: a quote opens a cell and nothing closes it"),
        (b"a,b\n1,\0\n", "line 2: a NUL byte"),
        ('a,b\n1,"fine”\n2,"x"\n'.encode(), "line 3: text after the closing quote"),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 1 << 20])
def test_what_is_malformed_is_named_by_its_line(text, said, size):
    with pytest.raises(MfxError) as error:
        _records(text, size)
    assert said in str(error.value)


def test_a_quote_within_a_cell_is_text():
    assert sum(part.count for part in _records(b'a,b\n5" pipe,"6"" pipe"\n')) == 2


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("size", [1, 2, 1 << 20])
def test_lines_are_counted_however_they_end(end, size):
    text = end.join(["a,b", "", '1,"x', 'y"', "2,z"]).encode()
    found = [(part.count, part.line) for part in _records(text, size)]
    assert found[0] == (1, 1)
    assert sum(count for count, _ in found) == 3
    assert [line for line, _ in rows(text, ",")] == [1, 3, 5]


def test_a_record_that_never_ends_is_refused_in_bounded_memory(monkeypatch):
    monkeypatch.setattr("mfx.ingest.sources.csv_records.MOST", 1000)
    with pytest.raises(MfxError, match="line 2: a quote opens a cell and nothing closes it"):
        _records(b'a\n"' + b"x\n" * 10_000, 100)
    with pytest.raises(MfxError, match="line 2: a line of more than"):
        _records(b"a\n" + b"x" * 10_000, 100)
