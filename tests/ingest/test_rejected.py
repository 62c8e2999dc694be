"""Rows that do not fit are left out, counted and kept aside, in every format that can have them."""

from __future__ import annotations

import datetime
import json
import struct
from collections import Counter
from dataclasses import replace

import fastavro
import google_crc32c
import hypothesis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from mfx.columns.tf_examples import to_example
from mfx.errors import MfxError
from mfx.flow import start
from mfx.ingest import shards
from mfx.ingest.ingest import ingest, merge
from mfx.ingest.sources import csv as csv_source
from mfx.ingest.sources import jsonl as jsonl_source
from mfx.ingest.sources import tfrecord as tfrecord_source

N = 2000
SCHEMA = "".join(
    f'feature {{ name: "{name}" type: {kind} value_count {{ min: 1 max: 1 }} }}'
    for name, kind in {"n": "INT", "x": "FLOAT", "w": "BYTES"}.items()
)
GOOD = [{"n": n, "x": n / 8, "w": f"w{n}"} for n in range(N)]
INT, FLOAT = "column 'n': expected an integer", "column 'x': expected a finite number"


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(shards, "LEAST", 1)


@pytest.fixture
def run(tmp_path, settings, datastore):
    """`start` and `ingest`, by SCHEMA or another, with parts of so many kB."""

    def go(path, kb=10_000, schema=SCHEMA, **data):
        (tmp_path / "schema.pbtxt").write_text(schema)
        given = settings.override(
            data__path=str(path),
            data__shard_mb=kb / 1024,
            schema__path=str(tmp_path / "schema.pbtxt"),
            **{f"data__{key}": value for key, value in data.items()},
        )
        sources = start.resolve(given)
        return merge([ingest(shard, sources, given) for shard in sources.shards], sources)

    return go


def among(good: list, bad: dict) -> list:
    """Good rows with bad ones at some places."""
    made = list(good)
    for place in sorted(bad):
        made.insert(place, bad[place])
    return made


def lines(path, head: bytes, good: list[bytes], bad: dict[int, bytes]) -> None:
    path.write_bytes(head + b"".join(line + b"\n" for line in among(good, bad)))


def csv(path, delimiter: bytes = b",") -> dict:
    good = [delimiter.join([b"%d" % r["n"], b"%f" % r["x"], r["w"].encode()]) for r in GOOD]
    bad = {
        3: delimiter.join([b"1", b"2"]),
        50: delimiter.join([b"one", b"2", b"a"]),
        51: delimiter.join([b"1", b"1e40", b"a"]),
        200: delimiter.join([b"99999999999999999999", b"2", b"a"]),
        300: delimiter.join([b"1", b"2", b"\xff"]),
        402: delimiter.join([b"1", b"2", b"a", b"b"]),
    }
    lines(path, delimiter.join([b"n", b"x", b"w"]) + b"\n", good, bad)
    reasons = ["2 cells, expected 3", INT, "column 'x': expected a number", INT, "not UTF-8"]
    return {
        place + 2: ("line", reason, bad[place])
        for place, reason in zip(bad, [*reasons, "4 cells, expected 3"], strict=True)
    }


def tsv(path) -> dict:
    return csv(path, b"\t")


def jsonl(path) -> dict:
    bad = {
        3: (b"oops", "not JSON"),
        50: (b"[1]", "not a JSON object"),
        51: (b'{"n": 1, "n": 2}', "a key twice"),
        52: (b'{"n": "one", "x": true}', INT),
        200: (b'{"n": 1.5}', INT),
        201: (b'{"n": 1, "x": 1e39, "w": "\xc3\xa4"}', FLOAT),
        202: (b'{"n": [1, 2]}', "column 'n': expected one value"),
        203: (b'{"w": {"a": 1}}', "column 'w': an object, or a list of lists"),
        204: (b'{"w": "\xff"}', "not JSON"),
    }
    # Values that are only numbers by themselves, beside the texts of bad rows.
    good = [json.dumps(row | {"x": bool(row["n"] % 2)}).encode() for row in GOOD]
    lines(path, b"\n", good, {place: line for place, (line, _) in bad.items()})
    return {place + 2: ("line", reason, line) for place, (line, reason) in bad.items()}


def record(data: bytes, wrong: int = 0) -> bytes:
    def masked(data: bytes) -> int:
        crc = google_crc32c.value(data)
        return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF

    length = struct.pack("<Q", len(data))
    return (
        length + struct.pack("<I", masked(length)) + data + struct.pack("<I", masked(data) ^ wrong)
    )


def tfrecord(path) -> dict:
    def example(**features) -> bytes:
        return to_example(features)

    texts = [example(**(row | {"w": row["w"].encode()})) for row in GOOD]
    bad = {
        3: (b"oops", "no tf.Example"),
        50: (example(n=1.5, x=1.0, w=b"a"), INT),
        51: (example(n=b"one", x=1.0, w=b"a"), INT),
        200: (example(n=1, x=float("inf"), w=b"a"), FLOAT),
        300: (example(n=[1, 2]), "column 'n': expected one value"),
        301: (example(n=7), "a wrong checksum"),
    }
    wrong = {place: why == "a wrong checksum" for place, (_, why) in bad.items()}
    written = among(texts, {place: data for place, (data, _) in bad.items()})
    path.write_bytes(b"".join(record(d, wrong.get(n, 0)) for n, d in enumerate(written)))
    return {place + 1: ("record", reason, data) for place, (data, reason) in bad.items()}


TYPED = {
    3: ({"n": 1.5, "x": 1.0, "w": datetime.date(2024, 2, 29)}, INT),
    50: ({"n": 1.0, "x": float("inf"), "w": None}, FLOAT),
    51: ({"n": 2.0**63, "x": 1e39, "w": None}, INT),
    300: (
        {"n": 5.0, "x": 0.5, "w": datetime.date(2024, 1, 1)},
        "column 'd': expected a date in the years 1 to 9999",
    ),
}


def _table() -> pa.Table:
    rows = [{"n": float(r["n"]), "x": r["x"], "w": datetime.date(2024, 1, 1)} for r in GOOD]
    rows = among(rows, {place: row for place, (row, _) in TYPED.items()})
    table = pa.Table.from_pylist(rows)
    days = pa.array([10**7 if n == 300 else 0 for n in range(table.num_rows)], pa.int32())
    return table.append_column("d", days.cast(pa.date32()))


def _expected_typed() -> dict:
    found = {}
    for place, (row, reason) in TYPED.items():
        row = {k: str(v) if isinstance(v, datetime.date) else v for k, v in row.items()}
        row["d"] = "10000000" if place == 300 else "1970-01-01"
        found[place + 1] = ("row", reason, json.dumps(row).encode())
    return found


def parquet(path) -> dict:
    pq.write_table(_table(), path, row_group_size=50)
    return _expected_typed()


def arrow(path) -> dict:
    with pa.ipc.new_file(path, _table().schema) as writer:
        writer.write_table(_table(), 70)
    return _expected_typed()


def avro(path) -> dict:
    fields = [{"name": name, "type": "double"} for name in ("n", "x")]
    bad = {3: ({"n": 1.5, "x": 1.0}, INT), 50: ({"n": 1.0, "x": float("inf")}, FLOAT)}
    rows = among([{"n": r["n"], "x": r["x"]} for r in GOOD], {p: r for p, (r, _) in bad.items()})
    schema = {"type": "record", "name": "row", "fields": fields}
    with path.open("wb") as file:
        fastavro.writer(file, schema, rows, sync_interval=500)
    return {p + 1: ("row", reason, json.dumps(r).encode()) for p, (r, reason) in bad.items()}


WRITERS = {w.__name__: w for w in (csv, tsv, jsonl, tfrecord, parquet, arrow, avro)}
CUT = ["csv", "tsv", "jsonl", "tfrecord", "parquet"]


@pytest.mark.parametrize("end", WRITERS)
def test_rows_that_do_not_fit_are_kept_aside(end, tmp_path, run):
    path = tmp_path / f"a.{end}"
    expected = WRITERS[end](path)
    made = run(path, tolerate=len(expected))
    kept = made.rejected_rows()
    rows = kept.to_pylist()
    assert {row["number"]: (row["unit"], row["reason"], row["raw"]) for row in rows} == expected
    assert [row["number"] for row in rows] == sorted(expected)
    assert {(row["source"], row["cut"]) for row in rows} == {(str(path), False)}
    counts = Counter(reason for _, reason, _ in expected.values())
    assert made.rejected == dict(made.misfits) == counts
    assert sum(made.rows.values()) == N == made.rows_in - len(expected)
    read = [n for split in made.rows for n in made.to_arrow(split)["n"].to_pylist()]
    assert sorted(read) == list(range(N))


@pytest.mark.parametrize("end", WRITERS)
def test_one_too_many_stops_the_run_and_so_does_the_first_by_default(end, tmp_path, run):
    path = tmp_path / f"a.{end}"
    expected = WRITERS[end](path)
    with pytest.raises(MfxError, match=f"and tolerate under .data. is {len(expected) - 1}: "):
        run(path, tolerate=len(expected) - 1)
    with pytest.raises(MfxError) as caught:
        run(path)
    assert "set tolerate under [data]" in caught.value.remedy


@pytest.mark.parametrize("end", CUT)
def test_the_rejected_rows_are_the_same_for_any_number_of_shards(end, tmp_path, run, monkeypatch):
    path = tmp_path / f"a.{end}"
    WRITERS[end](path)
    whole = run(path, tolerate=0.1)
    cut = run(path, kb=path.stat().st_size / 1024 / 3.9, tolerate=0.1)
    assert (len(whole.shards), len(cut.shards)) == (1, 3)
    for source in (csv_source, jsonl_source, tfrecord_source):
        monkeypatch.setattr(source, "BLOCK_BYTES", 700)
    small = run(path, tolerate=0.1)
    for other in (cut, small):
        assert other.rejected_rows().equals(whole.rejected_rows())
        assert [*other.rejected.items()] == [*whole.rejected.items()]
        assert (other.digest, other.rows, other.misfits) == (
            whole.digest,
            whole.rows,
            whole.misfits,
        )
        assert (other.missing, other.rounded) == (whole.missing, whole.rounded)


def test_the_bound_may_be_a_share_of_all_rows(tmp_path, run):
    """Of those of the run: a shard may have more."""
    (tmp_path / "data").mkdir()
    for number, bad in enumerate([b"n\n1\n2\nno\nno\n", b"n\n" + b"%d\n" * 96 % (*range(96),)]):
        (tmp_path / "data" / f"{number}.csv").write_bytes(bad)
    schema = SCHEMA.partition('feature { name: "x"')[0]
    made = run(tmp_path / "data", kb=1e-6, schema=schema, tolerate=0.02)
    assert len(made.shards) > 1
    assert (made.rows_in, made.rejected) == (100, {INT: 2})
    with pytest.raises(MfxError) as caught:
        run(tmp_path / "data", kb=1e-6, schema=schema, tolerate=0.0199)
    first = str(tmp_path / "data" / "0.csv")
    assert caught.value.what == (
        f"2 of 100 rows (2.00%) do not fit, and tolerate under [data] is 0.0199: {INT} (2). The "
        f"first: {first}, line 4: {INT}; {first}, line 5: {INT}"
    )
    with pytest.raises(MfxError, match=r"^2 rows so far do not fit, .*0\.csv, line 4: .*line 5"):
        run(tmp_path / "data", kb=1e-6, schema=schema, tolerate=1)


def test_the_number_holds_over_all_shards(tmp_path, run):
    (tmp_path / "data").mkdir()
    for number in range(3):
        (tmp_path / "data" / f"{number}.csv").write_bytes(
            b"n\n1\nno\n" + b"%d\n" * 20 % (*range(20),)
        )
    schema = SCHEMA.partition('feature { name: "x"')[0]
    assert run(tmp_path / "data", kb=1e-6, schema=schema, tolerate=3).rejected == {INT: 3}
    with pytest.raises(MfxError, match="3 of 66 rows"):
        run(tmp_path / "data", kb=1e-6, schema=schema, tolerate=2)


def test_without_bad_rows_there_is_no_file(tmp_path, run):
    path = tmp_path / "a.csv"
    path.write_bytes(b"n,x,w\n" + b"".join(b"%d,1,a\n" % n for n in range(50)))
    made, strict = run(path, tolerate=5), run(path)
    assert [b.path for b in made.shards[0].blobs] == ["eval.parquet", "train.parquet"]
    assert (made.shards, made.digest) == (strict.shards, strict.digest)
    assert made.rejected_rows().num_rows == 0
    assert replace(made, tolerate=0, lineage=strict.lineage) == strict


def test_rows_without_a_label_are_counted_but_not_kept_aside(tmp_path, settings, run):
    path = tmp_path / "a.csv"
    path.write_bytes(b"n,x,w\nno,1,a\n" + b"".join(b"%d,,a\n%d,1,a\n" % (n, n) for n in range(50)))
    label = settings.label.model_copy(update={"columns": ["x"], "missing": "drop"})
    (tmp_path / "schema.pbtxt").write_text(SCHEMA)
    given = settings.override(
        data__path=str(path), data__tolerate=1, schema__path=str(tmp_path / "schema.pbtxt")
    ).model_copy(update={"label": label})
    sources = start.resolve(given)
    made = merge([ingest(shard, sources, given) for shard in sources.shards], sources)
    assert sum(made.rejected.values()) == 51
    assert made.misfits == ((INT, 1),)
    assert made.rejected_rows()["raw"].to_pylist() == [b"no,1,a"]


@pytest.mark.parametrize("end", ["csv", "jsonl", "tfrecord"])
def test_types_are_inferred_although_rows_are_left_out(end, tmp_path, run):
    """A cell that fits no number makes its column text, as without `tolerate`."""
    path = tmp_path / f"a.{end}"
    if end == "csv":
        lines(path, b"n,w\n", [b"%d,a" % n for n in range(40)], {3: b"1,no,2", 9: b"x,a"})
    elif end == "jsonl":
        good = [b'{"n": %d, "w": "a"}' % n for n in range(40)]
        lines(path, b"", good, {3: b"oops", 9: b'{"n": "x"}', 12: b'{"n": {}}'})
    else:
        good = [record(to_example({"n": n, "w": b"a"})) for n in range(40)]
        path.write_bytes(b"".join(among(good, {3: record(b"oops"), 9: record(b"", 1)})))
    made = run(path, schema="", tolerate=5)
    kind = "int64" if end == "tfrecord" else "bytes"
    assert made.columns == {"n": kind, "w": "bytes"}
    assert made.rows_in == sum(made.rows.values()) + made.rejected_rows().num_rows


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b'n,x,w\n1,2,"a\n', "nothing closes it"),
        ("a.jsonl", b'{" n": 1}\n', "spaces around"),
        ("a.tfrecord", record(to_example({"n": 1}))[:-1], "the file ends within it"),
        ("a.tfrecord", record(to_example({"n": 1})) + b"\1" * 40, "its checksum is wrong"),
    ],
)
def test_faults_of_a_whole_file_are_not_tolerated(name, content, said, tmp_path, run):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MfxError, match=said):
        run(tmp_path / name, tolerate=1000)


CELL = st.sampled_from(["1", "2.5", "x", "", '"a\nb"', '"a""b"', "007", "\xff", "1e40", " 1"])
ROW = st.lists(CELL, min_size=1, max_size=3)


@hypothesis.settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(rows=st.lists(ROW, max_size=20), end=st.sampled_from(["\n", "\r\n", "\r"]))
def test_every_row_of_any_csv_is_read_or_kept_aside(rows, end, tmp_path, run):
    good = [f"{n},1,a" for n in range(1, 31)]
    text = "n,x" + end + end.join([r.rpartition(",")[0] for r in good] + [*map(",".join, rows)])
    path = tmp_path / "any.csv"
    path.write_bytes(text.encode("latin-1"))
    schema = SCHEMA.partition('feature { name: "w"')[0]
    made = run(path, schema=schema, tolerate=100)
    kept = made.rejected_rows()
    there = [row for row in rows if row != [""]]  # A blank line is no row.
    assert made.rows_in == 30 + len(there)
    assert made.rows_in == sum(made.rows.values()) + kept.num_rows
    assert kept["number"].to_pylist() == sorted(set(kept["number"].to_pylist()))
    left = Counter(kept["raw"].to_pylist())
    assert left <= Counter(",".join(row).encode("latin-1") for row in there)
    for row in there:
        try:
            fits = len(row) == 2 and all(cell in ("", "1", " 1") for cell in row[:1])
            fits = fits and row[1] in ("", "1", "2.5", " 1")
        except IndexError:
            fits = False
        assert (",".join(row).encode("latin-1") not in left) == fits
