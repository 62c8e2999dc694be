"""How a file is written is configured or detected; files that are not CSV are named."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mfx.config import Reading
from mfx.errors import MfxError
from mfx.ingest.sources import csv_dialect
from mfx.ingest.sources.csv_dialect import Dialect, blocks, look

ROWS = b"a;b\n1,5;x\n2,5;y\n"
PACKED = {
    "none": ROWS,
    "gzip": gzip.compress(ROWS),
    "bz2": bz2.compress(ROWS),
    "xz": lzma.compress(ROWS),
    "zstd": pa.Codec("zstd").compress(ROWS, asbytes=True),
}


@pytest.fixture
def looked_at(tmp_path):
    def make(content: bytes, **said) -> Dialect:
        (tmp_path / "a.csv").write_bytes(content)
        return look(tmp_path / "a.csv", Reading.model_validate(said))

    return make


@pytest.mark.parametrize("kind", PACKED)
def test_compression_is_found_and_may_be_given(looked_at, tmp_path, kind):
    assert looked_at(PACKED[kind]) == Dialect(kind, ";")
    assert looked_at(PACKED[kind], compression=kind) == Dialect(kind, ";")
    assert b"".join(blocks(tmp_path / "a.csv", kind, 5)) == ROWS


@pytest.mark.parametrize("kind", sorted({*PACKED} - {"none"}))
def test_a_file_that_is_cut_off_is_one_message(looked_at, kind):
    with pytest.raises(MfxError, match=rf"a\.csv: cannot unpack it as {kind}: .*\n.*cut off"):
        looked_at(PACKED[kind][:-6])
    with pytest.raises(MfxError, match=f"cannot unpack it as {kind}"):
        looked_at(ROWS, compression=kind)


@pytest.mark.parametrize("delimiter", csv_dialect.DELIMITERS)
def test_the_delimiter_is_found(looked_at, delimiter):
    text = "\n".join(delimiter.join(cells) for cells in (["a", "b c", "d"], ["1", "2", "x"]))
    assert looked_at(text.encode()).delimiter == delimiter
    assert looked_at(text.encode(), delimiter="#").delimiter == "#"


def test_a_delimiter_that_cannot_be_told_is_asked_for(looked_at):
    with pytest.raises(MfxError, match=r"a\.csv, line 1: the delimiter may be ',' or ';'"):
        looked_at(b"a,b;c\n1,2;3\n")


def _zip(name: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(name, "x" * 100)
    return made.getvalue()


def _parquet() -> bytes:
    made = io.BytesIO()
    pq.write_table(pa.table({"a": [1]}), made)
    return made.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (_zip("a.csv"), "a zip archive"),
        (_zip("xl/workbook.xml"), "an Excel workbook"),
        (_parquet(), "Parquet"),
        (b"Obj\x01\x04\x14avro.codec", "Avro"),
        (b"SQLite format 3\x00", "a SQLite database"),
        (b"%PDF-1.7\n%\xe2\xe3", "PDF"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16 text"),
        ("a,b\n1,2\n".encode("utf-16-le"), "UTF-16 text"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b'{"a": 1, "b": 2}\n{"a": 2}\n', "JSON"),
        (b"\x0b\0\0\0\0\0\0\0\x01\x02\x03\x04\x0a\x09", "TFRecord"),
        (b"7z\xbc\xaf\x27\x1c\0\x04", "a 7z archive"),
        (gzip.compress(_parquet()), "Parquet, in gzip"),
    ],
)
def test_a_file_of_another_kind_is_named_and_never_printed(looked_at, content, said):
    with pytest.raises(MfxError) as error:
        looked_at(content)
    assert f"expected a CSV file, found {said}" in str(error.value)
    assert all(character.isprintable() or character == "\n" for character in str(error.value))


@pytest.mark.parametrize("title", [b"ORC", b"BZh", b"PAR1", b"FEA1", b"Obj", b"GIF8"])
def test_a_header_may_begin_like_another_kind(looked_at, title):
    assert looked_at(title + b",b\n1,2\n") == Dialect("none", ",")
