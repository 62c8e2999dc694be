"""Files that cannot be examples, of every format: one clear message each, found before the work.

What is wrong with the rows of a CSV file has its tests in `sources/test_csv.py`, with foreign types
in `sources/test_typed.py`.
"""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from pathlib import Path

import fastavro
import google_crc32c
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from mfx.columns.tf_examples import to_example
from mfx.columns.types import TYPES
from mfx.errors import MfxError
from mfx.flow import start
from mfx.ingest.ingest import ingest, merge

N = 60
TABLE = pa.table({"n": list(range(N)), "w": [f"w{n}" for n in range(N)]})
AVRO = {
    "type": "record",
    "name": "row",
    "fields": [{"name": "n", "type": "long"}, {"name": "w", "type": "string"}],
}


def csv(path: Path, table: pa.Table = TABLE) -> None:
    pacsv.write_csv(table, path)


def parquet(path: Path, table: pa.Table = TABLE) -> None:
    pq.write_table(table, path)


def arrow(path: Path, table: pa.Table = TABLE) -> None:
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)


def stream(path: Path, table: pa.Table = TABLE) -> None:
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, 10)


def avro(path: Path, table: pa.Table = TABLE, schema=AVRO) -> None:
    with path.open("wb") as file:
        fastavro.writer(file, schema, table.to_pylist(), sync_interval=100)


def jsonl(path: Path, table: pa.Table = TABLE) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))


def record(data: bytes, of_length: int = 0, of_data: int = 0) -> bytes:
    def masked(data: bytes) -> bytes:
        crc = google_crc32c.value(data)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    length = struct.pack("<Q", len(data))
    check, check_data = bytearray(masked(length)), bytearray(masked(data))
    check[0] ^= of_length
    check_data[0] ^= of_data
    return length + bytes(check) + data + bytes(check_data)


def tfrecord(path: Path, table: pa.Table = TABLE) -> None:
    rows = [
        {k: v.encode() if isinstance(v, str) else v for k, v in r.items()}
        for r in table.to_pylist()
    ]
    path.write_bytes(b"".join(record(to_example(row)) for row in rows))


def zipped(path: Path, write) -> None:
    write(path)
    path.write_bytes(gzip.compress(path.read_bytes()))


WRITERS = {
    "csv": csv,
    "parquet": parquet,
    "arrow": arrow,
    "arrows": stream,
    "avro": avro,
    "jsonl": jsonl,
    "tfrecord": tfrecord,
}


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "data"
    made.mkdir()
    return made


@pytest.fixture
def run(folder, settings, datastore):
    """`start` and `ingest` on all files of the folder, by an inferred schema or a given one."""

    def go(schema: str = ""):
        path = folder.parent / "schema.pbtxt"
        if schema:
            path.write_text(schema)
        given = settings.override(data__path=str(folder), schema__path=str(path))
        resolved = start.resolve(given)
        return merge([ingest(shard, resolved, given) for shard in resolved.shards], resolved)

    return go


def refused(run, said: str, schema: str = "") -> MfxError:
    """The one message of a mistake: a line of what, and one of what to do at most."""
    with pytest.raises(MfxError, match=said) as caught:
        run(schema)
    assert "\n" not in caught.value.what
    return caught.value


@pytest.mark.parametrize("end", WRITERS)
def test_a_good_file_is_read(end, folder, run):
    """Or the cases below would show nothing."""
    WRITERS[end](folder / f"data.{end}")
    assert run().rows_in == N


@pytest.mark.parametrize("end", WRITERS)
def test_an_empty_file(end, folder, run):
    (folder / f"data.{end}").write_bytes(b"")
    refused(run, rf"data\.{end}: ")


@pytest.mark.parametrize("end", WRITERS)
def test_a_file_without_rows(end, folder, run):
    WRITERS[end](folder / f"data.{end}", TABLE.slice(0, 0))
    refused(run, rf"data\.{end}: ")


@pytest.mark.parametrize("part", [0.3, 0.9, 0.999])
@pytest.mark.parametrize("end", ["parquet", "arrow", "arrows", "avro", "tfrecord", "jsonl"])
def test_a_file_that_is_cut_off(end, part, folder, run):
    path = folder / f"data.{end}"
    WRITERS[end](path)
    whole = path.read_bytes()
    cut = min(int(part * len(whole)), len(whole) - 5)
    path.write_bytes(whole[:cut])
    refused(run, rf"data\.{end}")


@pytest.mark.parametrize("end", ["csv.gz", "jsonl.gz", "tfrecord.gz"])
def test_a_packed_file_that_is_cut_off(end, folder, run):
    path = folder / f"data.{end}"
    zipped(path, WRITERS[end.removesuffix(".gz")])
    path.write_bytes(path.read_bytes()[:-20])
    assert "get it again" in refused(run, "cannot unpack it as gzip").remedy


@pytest.mark.parametrize("end", ["csv.gz", "jsonl.gz", "tfrecord.gz"])
def test_a_packed_file_with_a_wrong_checksum(end, folder, run):
    path = folder / f"data.{end}"
    zipped(path, WRITERS[end.removesuffix(".gz")])
    content = bytearray(path.read_bytes())
    content[-6] ^= 1
    path.write_bytes(content)
    refused(run, "cannot unpack it as gzip")


@pytest.mark.parametrize("end", ["parquet", "arrow", "avro"])
def test_a_name_that_promises_another_format(end, folder, run):
    """A file is what its bytes say."""
    csv(folder / f"data.{end}")
    assert run().rows_in == N


@pytest.mark.parametrize("end", ["csv", "parquet", "arrow", "avro"])
def test_files_with_different_columns(end, folder, run):
    other = pa.table({"n": [1], "v": ["a"]})
    WRITERS[end](folder / f"0.{end}")
    if end == "avro":
        fields = [{"name": "n", "type": "long"}, {"name": "v", "type": "string"}]
        avro(folder / "1.avro", other, AVRO | {"fields": fields})
    else:
        WRITERS[end](folder / f"1.{end}", other)
    refused(run, r"columns differ from those of .*: \['v', 'w'\]")


@pytest.mark.parametrize("end", ["jsonl", "tfrecord"])
def test_rows_that_name_their_columns_may_differ_in_them(end, folder, run):
    WRITERS[end](folder / f"0.{end}")
    WRITERS[end](folder / f"1.{end}", pa.table({"n": [1], "v": ["a"]}))
    made = run()
    assert (made.rows_in, made.columns) == (N + 1, {"n": "int64", "v": "bytes", "w": "bytes"})


@pytest.mark.parametrize("end", ["parquet", "arrow", "tfrecord"])
def test_files_with_different_types(end, folder, run):
    WRITERS[end](folder / f"0.{end}")
    WRITERS[end](folder / f"1.{end}", pa.table({"n": [0.5], "w": ["a"]}))
    error = refused(run, r"1\.\w+: column 'n' is (double|float), but int64 in .*0\.")
    assert "in the schema" in error.remedy
    schema = 'feature { name: "n" type: FLOAT } feature { name: "w" type: BYTES }'
    assert run(schema).rows_in == N + 1


@pytest.mark.parametrize("end", ["parquet", "arrow", "avro", "jsonl"])
def test_a_column_that_no_example_can_hold(end, folder, run):
    table = pa.table({"n": [1], "s": [{"a": 1, "b": 2}]})
    if end == "avro":
        inner = {"type": "record", "name": "in", "fields": [{"name": "a", "type": "long"}]}
        fields = [{"name": "n", "type": "long"}, {"name": "s", "type": inner}]
        avro(folder / "data.avro", table, AVRO | {"fields": fields})
    else:
        WRITERS[end](folder / f"data.{end}", table)
    assert "s_a" in refused(run, "column 's' is struct<.*which no tf.Example can hold").remedy


@pytest.mark.parametrize("end", WRITERS)
def test_a_cell_of_ten_megabytes_is_kept(end, folder, run):
    WRITERS[end](folder / f"data.{end}", pa.table({"n": [1, 2, 3], "w": ["a", "x" * 10**7, "b"]}))
    made = run()
    lengths = [len(w) for split in made.rows for w in made.to_arrow(split)["w"].to_pylist()]
    assert sorted(lengths) == [1, 1, 10**7]


def _lines(*lines: bytes):
    return lambda folder: (folder / "data.jsonl").write_bytes(b"\n".join(lines) + b"\n")


def _records(*records: bytes):
    return lambda folder: (folder / "data.tfrecord").write_bytes(b"".join(records))


def _file(name: str, content: bytes):
    return lambda folder: (folder / name).write_bytes(content)


def _avro(kind, value=None):
    def write(folder):
        fields = AVRO["fields"] + [{"name": "x", "type": kind}]
        with (folder / "data.avro").open("wb") as file:
            fastavro.writer(file, AVRO | {"fields": fields}, [{"n": 1, "w": "a", "x": value}])

    return write


def _plain_avro(folder):
    with (folder / "data.avro").open("wb") as file:
        fastavro.writer(file, {"type": "long"}, [1, 2])


def _codec(folder):
    path = folder / "data.avro"
    avro(path)
    path.write_bytes(path.read_bytes().replace(b"null", b"none", 1))


def _twice(folder):
    csv(folder / "data.csv")
    (folder / "data.csv.gz").write_bytes(gzip.compress((folder / "data.csv").read_bytes()))


def _loop(folder):
    (folder / "data.csv").symlink_to(folder / "data.csv")


def _two_kinds(folder):
    csv(folder / "0.csv")
    parquet(folder / "1.parquet")


def _feather1(folder):
    feather.write_feather(TABLE, folder / "data.feather", version=1)


def _footer(folder):
    path = folder / "data.parquet"
    parquet(path)
    content = bytearray(path.read_bytes())
    content[-20:-8] = b"\xff" * 12
    path.write_bytes(content)


ROW = b'{"n": 1, "w": "a"}'
GOOD = to_example({"n": 1, "w": b"a"})
CASES = {
    "an empty folder": (lambda folder: None, "no input file found"),
    "a folder of other files": (_file("notes.txt", b"n,w\n1,a\n"), "among its 1 files"),
    "a link to itself": (_loop, r"data\.csv: a link that leads to no file"),
    "a file with and without compression": (_twice, "the same name with and without compression"),
    "two kinds in one folder": (_two_kinds, r"1\.parquet: Parquet, but .*0\.csv is CSV"),
    "JSON, a line that is none": (_lines(ROW, b"oops"), r"line 2: not JSON: .*'oops'"),
    "JSON, a line that is cut": (_lines(ROW, ROW[:8]), "line 2: not JSON"),
    "JSON, a list": (_lines(ROW, b"[1, 2]"), r"line 2: expected an object, found '\[1, 2\]'"),
    "JSON, a value": (_lines(ROW, b"7"), "line 2: expected an object, found '7'"),
    "JSON, one list of all": (_lines(b"[" + ROW + b"]"), "line 1: expected an object"),
    "JSON, NaN": (_lines(ROW, b'{"n": NaN}'), "line 2: not JSON"),
    "JSON, a key twice": (_lines(ROW, b'{"n": 1, "n": 2}'), "line 2: key 'n' is there twice"),
    "JSON, no UTF-8": (_lines(ROW, b'{"w": "\xff"}'), "line 2: not JSON"),
    "JSON, half a pair": (_lines(ROW, b'{"w": "\\ud800"}'), "line 2: not JSON"),
    "JSON, a NUL byte": (_lines(ROW, b'{"w": "\0"}'), "line 2: not JSON"),
    "JSON, an empty key": (_lines(b'{"": 1}'), "column name '' is empty"),
    "JSON, a key with spaces": (_lines(b'{" n": 1}'), "column name ' n' has spaces around it"),
    "JSON, lists of lists": (_lines(b'{"x": [[1]]}'), "column 'x' is list<"),
    "JSON, null in a list": (_lines(b'{"x": [1, null]}'), "row 1, column 'x': expected lists with"),
    "JSON, objects without keys": (_lines(b"{}", b"{}"), "no columns"),
    "TFRecord, a wrong checksum": (
        _records(record(GOOD), record(GOOD, of_data=1)),
        "record 2: its checksum is wrong",
    ),
    "TFRecord, a wrong length": (
        _records(record(GOOD), record(GOOD, of_length=1)),
        "record 2: its checksum is wrong",
    ),
    "TFRecord, no tf.Example": (_records(record(GOOD), record(b"oops")), "record 2: no tf.Example"),
    "TFRecord, two types in a feature": (
        _records(*[record(to_example({"n": n, "w": b"a"})) for n in (1, 0.5)]),
        "wrong type, expected int64_list, found float_list",
    ),
    "TFRecord, no features": (_records(record(b""), record(b"")), "no columns"),
    "TFRecord, NaN in a list": (
        _records(record(to_example({"x": [1.0, float("nan")]}))),
        "row 1, column 'x': expected lists without null or NaN",
    ),
    "TFRecord, infinity": (
        _records(record(to_example({"x": float("inf")}))),
        "row 1, column 'x': expected a finite number, found inf",
    ),
    "Avro, no records": (_plain_avro, "Avro without records"),
    "Avro, a codec that is none": (_codec, "cannot read it as Avro"),
    "Avro, a union of types": (_avro(["long", "string"], 1), "column 'x' is dense_union"),
    "Avro, a map": (_avro({"type": "map", "values": "long"}, {"a": 1}), "column 'x' is map<"),
    "Avro, infinity": (_avro("double", float("inf")), "row 1, column 'x': expected a finite num"),
    "Avro, a date beyond": (
        _avro({"type": "int", "logicalType": "date"}, 10**8),
        "cannot read it as Avro: year 275760 is out of range",
    ),
    "Parquet, a wrong footer": (_footer, "cannot read it as Parquet"),
    "Feather of version 1": (_feather1, "Feather"),
    "HDF5": (_file("data.csv", b"\x89HDF\r\n\x1a\n" + bytes(100)), "HDF5"),
    "Excel": (_file("data.csv", b"PK\x03\x04" + bytes(20) + b"xl/workbook.xml"), "Excel"),
    "a zip archive": (_file("data.csv", b"PK\x03\x04" + bytes(60)), "a zip archive"),
    "a SQLite database": (_file("data.csv", b"SQLite format 3\x00" + bytes(80)), "a SQLite"),
    "UTF-16": (_file("data.csv", "n,w\n1,a\n".encode("utf-16")), "UTF-16 text"),
    "HTML": (_file("data.csv", b"<!doctype html><html></html>"), "HTML"),
    "one JSON document": (_file("data.csv", b'[\n{"n": 1}\n]\n'), "JSON"),
    "zlib without a head": (_file("data.tfrecord", zlib.compress(GOOD * 99)), r"data\.tfrecord"),
    "a column title twice": (_file("data.csv", b"n,n\n1,2\n"), "column name 'n' is used twice"),
    "CSV, a NUL byte": (_file("data.csv", b"n,w\n1,a\n" * 999 + b"1,\0\n"), "a NUL byte"),
    "CSV, a quote without an end": (_file("data.csv", b'n,w\n1,"a\n'), "nothing closes it"),
    "CSV, too few cells": (_file("data.csv", b"n,w\n1\n"), "line 2: 1 cells, expected 2"),
}


@pytest.mark.parametrize("case", CASES)
def test_one_message(case, folder, run):
    write, said = CASES[case]
    write(folder)
    refused(run, said)


def test_there_are_as_many_cases_as_promised():
    assert len(CASES) + 30 >= 50


TYPED = 'feature { name: "n" type: INT } feature { name: "w" type: INT }'


@pytest.mark.parametrize("end", WRITERS)
def test_a_cell_that_the_schema_does_not_allow(end, folder, run):
    WRITERS[end](folder / f"data.{end}")
    refused(run, "column 'w': expected an integer, found 'w0'", TYPED)


@pytest.mark.parametrize("end", ["parquet", "arrow", "avro", "jsonl", "tfrecord"])
def test_several_values_where_the_schema_allows_one(end, folder, run):
    table = pa.table({"n": pa.array([[1, 2]], TYPES["int64 list"]), "w": ["1"]})
    if end == "avro":
        fields = [{"name": "n", "type": {"type": "array", "items": "long"}}, AVRO["fields"][1]]
        avro(folder / "data.avro", table, AVRO | {"fields": fields})
    else:
        WRITERS[end](folder / f"data.{end}", table)
    one = TYPED.replace("type: INT }", "type: INT value_count { min: 1 max: 1 } }", 1)
    refused(run, r"row 1, column 'n': expected one value, found \[1, 2\]", one)
