"""Columns that folders say (`year=2020/part-0.parquet`), for all formats, wherever files lie."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.boxes import BOXES

from mfx.errors import MfxError
from mfx.flow import start
from mfx.ingest import shards
from mfx.ingest.ingest import ingest, merge


def csv(path, rows):
    path.write_text("n\n" + "".join(f"{row}\n" for row in rows))


def jsonl(path, rows):
    path.write_text("".join(json.dumps({"n": row}) + "\n" for row in rows))


def parquet(path, rows):
    pq.write_table(pa.table({"n": list(rows)}), path, row_group_size=50)


WRITE = {"csv": csv, "jsonl": jsonl, "parquet": parquet}


@pytest.fixture
def read(tmp_path, settings, datastore):
    """The sources at a path, and the rows of both splits, sorted."""

    def go(path, **changes):
        changes = {"schema__path": str(tmp_path / "none.pbtxt"), **changes}
        given = settings.override(data__path=str(path), **changes)
        sources = start.resolve(given)
        examples = merge([ingest(s, sources, given) for s in sources.shards], sources)
        rows = [row for s in ("train", "eval") for row in examples.to_arrow(s).to_pylist()]
        return sources, examples, sorted(rows, key=lambda row: row["n"])

    return go


@pytest.fixture
def put(tmp_path):
    """Writes a file of a format into folders below `tmp_path/data`."""

    def go(name, rows):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        WRITE[path.suffix[1:]](path, rows)
        return path

    return go


@pytest.mark.parametrize("end", WRITE)
def test_folders_are_columns(put, read, tmp_path, end):
    put(f"year=2020/day=01/part-0.{end}", range(100))
    put(f"year=2021/day=a%2Fb %3D/part-0.{end}", range(100, 150))
    put(f"year=2021/day=__HIVE_DEFAULT_PARTITION__/part-0.{end}", range(150, 200))
    sources, examples, rows = read(tmp_path / "data")
    assert sources.columns == {"n": "int64", "year": "int64", "day": "bytes"}
    assert rows[0] == {"n": 0, "year": 2020, "day": b"01"}
    assert rows[149] == {"n": 149, "year": 2021, "day": b"a/b ="}
    assert rows[199] == {"n": 199, "year": 2021, "day": None}
    assert examples.missing == (("day", "__HIVE_DEFAULT_PARTITION__", 50),)
    pattern = read(tmp_path / "data" / f"year=*/**/*.{end}")
    assert (pattern[1].digest, pattern[0].columns) == (examples.digest, sources.columns)


def test_parts_of_files_have_them_too(put, read, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "LEAST", 1)
    for n, end in enumerate(["parquet"] * 2):
        put(f"k={n}/part.{end}", range(n * 2000, n * 2000 + 2000))
    whole = read(tmp_path / "data")
    cut = read(tmp_path / "data", data__shard_mb=0.004)
    assert len(whole[0].shards) == 1 < len(cut[0].shards)
    assert any(file.part for shard in cut[0].shards for file in shard.files)
    assert cut[1].digest == whole[1].digest
    assert cut[0].lineage.data == whole[0].lineage.data


def test_a_schema_says_their_types_and_null_values_hold(put, read, tmp_path):
    for text in ("1", "2.5", "NA"):
        put(f"k={text}/a.csv", range(int(float(text.replace("NA", "3"))) * 100, 350))
    schema = 'feature { name: "n" type: INT } feature { name: "k" type: FLOAT }'
    (tmp_path / "s.pbtxt").write_text(schema)
    nulls = {"data__null_values": ["", "NA"], "schema__path": str(tmp_path / "s.pbtxt")}
    sources, examples, rows = read(tmp_path / "data", **nulls)
    assert sources.columns == {"n": "int64", "k": "float32"}
    assert {row["k"] for row in rows} == {1.0, 2.5, None}
    assert examples.missing == (("k", "NA", 50),)
    with pytest.raises(MfxError, match=r"a\.csv: folder k=…: expected a finite number, found 'NA'"):
        read(tmp_path / "data", schema__path=str(tmp_path / "s.pbtxt"))


def test_a_schema_may_say_that_they_are_lists(put, read, tmp_path):
    for text in ("x", "__HIVE_DEFAULT_PARTITION__"):
        put(f"k={text}/a.parquet", range(100, 150) if text == "x" else range(100))
    schema = 'feature { name: "k" type: BYTES value_count { min: 1 } }'
    (tmp_path / "s.pbtxt").write_text(schema)
    sources, _, rows = read(tmp_path / "data", schema__path=str(tmp_path / "s.pbtxt"))
    assert sources.columns == {"k": "bytes list", "n": "int64"}
    assert [rows[n]["k"] for n in (0, 149)] == [None, [b"x"]]


def test_the_same_bytes_in_another_folder_are_other_data(put, read, tmp_path):
    first = put("k=1/a.csv", range(100))
    before = read(tmp_path / "data")[0]
    assert read(first)[0].lineage.data != before.lineage.data
    assert "k" not in read(first)[0].columns, "the path of a file says no columns"
    first.parent.rename(tmp_path / "data" / "k=2")
    after = read(tmp_path / "data")[0]
    assert after.lineage.data != before.lineage.data
    assert after.shards[0].sha256 != before.shards[0].sha256


def test_a_split_by_such_a_column(put, read, tmp_path):
    for n in range(8):
        put(f"k={n}/a.csv", range(n * 10, n * 10 + 10))
    _, examples, _ = read(tmp_path / "data", data__split={"train": 1, "eval": 1, "key": ["k"]})
    seen = [set(examples.to_arrow(s)["k"].to_pylist()) for s in ("train", "eval")]
    assert seen[0] & seen[1] == set() and seen[0] | seen[1] == set(range(8))


WRONG = {
    ("k=1/a.csv", "b.csv"): r"data/b\.csv: lies in no folder k=…, as .*/k=1/a\.csv does",
    ("k=1/a.csv", "k=2/l=1/a.csv"): r"k=1/a\.csv: lies in no folder l=…, as .*/l=1/a\.csv does",
    ("k=1/n=1/a.csv",): r"a\.csv: has a column 'n', and lies in a folder n=… as well",
    ("k=1/n=1/a.jsonl",): r"a\.jsonl: has a column 'n', and lies in a folder n=… as well",
    ("k=1/k=2/a.csv",): r"a\.csv: the key 'k' of its folders is there twice",
    ("%20k=1/a.csv",): r"a\.csv: the key ' k' of its folders has spaces around it",
}


@pytest.mark.parametrize("names", WRONG)
def test_folders_that_do_not_go_together_are_one_message(put, read, tmp_path, names):
    for number, name in enumerate(names):
        put(name, range(number, 9))
    with pytest.raises(MfxError, match=WRONG[names]):
        read(tmp_path / "data")


@pytest.mark.parametrize("kind", [name for name in BOXES if name not in ("http", "folder")])
def test_a_storage_gives_what_the_disk_gives(request, put, read, tmp_path, kind):
    box = BOXES[kind](request)
    for name in ("k=1/l=x%2Fy/a.parquet", "k=2/l=z/a.parquet", "k=2/l=z/b.parquet"):
        box.put(f"data/{name}", put(name, range(len(name) * 10, len(name) * 10 + 30)).read_bytes())
    if kind == "s3":
        box.put("data/_SUCCESS", b"")
    there, here = read(f"{box.place}/data"), read(tmp_path / "data")
    assert there[2] == here[2]
    assert (there[1].digest, there[0].lineage.data) == (here[1].digest, here[0].lineage.data)
    assert there[0].shards[0].sha256 == here[0].shards[0].sha256
