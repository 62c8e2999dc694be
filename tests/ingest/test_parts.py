"""Large files are cut into shards; nothing but the shards shows it."""

from __future__ import annotations

import pyarrow as pa
import pytest
from helpers.large_files import ROWS, WRITTEN, bytes_unpacked, csv
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mfx.artifacts import Part
from mfx.errors import MfxError
from mfx.flow import start
from mfx.ingest import shards
from mfx.ingest.ingest import ingest, merge
from mfx.ingest.rows_hash import RowsHash, joined
from mfx.ingest.sources import base, csv_records
from mfx.validate import tfdv_local


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(shards, "LEAST", 1)


@pytest.fixture
def read(tmp_path, settings, datastore):
    """Examples of a file, with parts of so many kB."""

    def go(path, kb: float, **data):
        given = settings.override(
            data__path=str(path),
            data__shard_mb=kb / 1024,
            schema__path=str(tmp_path / "none.pbtxt"),
            **{f"data__{key}": value for key, value in data.items()},
        )
        sources = start.resolve(given)
        return sources, merge([ingest(s, sources, given) for s in sources.shards], sources)

    return go


@pytest.mark.parametrize("name", WRITTEN)
def test_the_examples_are_the_same_for_any_number_of_shards(read, tmp_path, name):
    path = tmp_path / name
    WRITTEN[name](path)
    sources, whole = read(path, 10_000)
    assert (len(sources.shards), whole.rows_in) == (1, len(ROWS))
    kb = bytes_unpacked(path) / 1024
    for wanted in (3, 9):
        cut, examples = read(path, kb / wanted / 1.3)
        assert len(cut.shards) == len(examples.shards) == wanted
        assert cut.files == sources.files
        assert cut.lineage.data == sources.lineage.data
        assert (examples.digest, examples.rows) == (whole.digest, whole.rows)
        assert (examples.missing, examples.rows_in) == (whole.missing, whole.rows_in)
        for split in ("train", "eval"):
            assert examples.split_digest(split) == whole.split_digest(split)
            assert examples.to_arrow(split).equals(whole.to_arrow(split))


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_statistics_are_the_same_for_any_number_of_shards(read, tmp_path, name):
    WRITTEN[name](tmp_path / name)
    found = [
        tfdv_local.describe(read(tmp_path / name, kb)[1].batches("train", 4096), None)[0]
        for kb in (10_000, 40)
    ]
    assert found[0].SerializeToString(deterministic=True) == found[1].SerializeToString(
        deterministic=True
    )


def test_there_are_at_most_64_shards(read, tmp_path):
    csv(tmp_path / "a.csv")
    sources, examples = read(tmp_path / "a.csv", 1)
    assert 16 < len(sources.shards) <= 64
    assert examples.digest == read(tmp_path / "a.csv", 10_000)[1].digest


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        ("a.csv", "n,x,w\n", r"a\.csv, line 30004, column 'n': expected an integer, found 'no'"),
        ("a.jsonl", "", r"a\.jsonl, row 30001, column 'n': expected an integer, found 'no'"),
    ],
)
def test_messages_name_the_place_in_the_whole_file(read, tmp_path, name, line, said):
    good = "1,2,b\n" if line else '{"n": 1, "x": 2, "w": "b"}\n'
    bad = "no,2,b\n" if line else '{"n": "no", "x": 2, "w": "b"}\n'
    path = tmp_path / name
    two = '1,2,"b\nc"\n' * 2 if line else ""  # Records of two lines.
    path.write_text(line + two + good * (30_000 - 2 * bool(line)) + bad + good)
    schema = 'feature { name: "n" type: INT } feature { name: "x" type: FLOAT }'
    (tmp_path / "none.pbtxt").write_text(schema + ' feature { name: "w" type: BYTES }')
    with pytest.raises(MfxError, match=said):
        read(path, 30)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_packed_file_is_one_shard(read, tmp_path, name):
    import gzip

    WRITTEN[name](tmp_path / name)
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    sources, examples = read(packed, 20)
    assert len(sources.shards) == 1
    assert examples.digest == read(tmp_path / name, 20)[1].digest


def test_files_count_as_if_unpacked(tmp_path):
    import gzip

    from helpers.formats import WRITERS

    table = pa.table({"n": [1] * 100_000, "w": pa.array([b"word"] * 100_000)})
    found = {}
    for kind, write in WRITERS.items():
        path = tmp_path / f"a.{kind}"
        write(table, path)
        found[kind] = path.stat().st_size, bytes_unpacked(path)
    packed = tmp_path / "a.csv.gz"
    packed.write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    for kind in ("csv", "jsonl", "tfrecord", "arrow"):
        assert found[kind][0] == found[kind][1], kind
    assert bytes_unpacked(packed) == 6 * packed.stat().st_size
    assert found["avro"][1] == 6 * found["avro"][0]
    assert found["parquet"][0] < 500_000 and found["parquet"][1] == 2 * 8 * 100_000


def test_a_part_that_changed_is_named(tmp_path, settings, datastore):
    path = tmp_path / "a.csv"
    csv(path)
    given = settings.override(
        data__path=str(path), data__shard_mb=0.05, schema__path=str(tmp_path / "none.pbtxt")
    )
    sources = start.resolve(given)
    text = path.read_bytes()
    assert text.endswith(b"29999," + text.rsplit(b"29999,")[1])
    path.write_bytes(text.replace(b"\n29999,", b"\n19999,"))
    assert ingest(sources.shards[0], sources, given).rows_in > 0
    with pytest.raises(MfxError, match=r"a\.csv: changed since this run began"):
        ingest(sources.shards[-1], sources, given)


def test_a_source_without_parts_reads_whole_files(read, tmp_path, monkeypatch):
    from mfx.ingest.sources import csv as source

    csv(tmp_path / "a.csv")
    cut = read(tmp_path / "a.csv", 50)[1]
    monkeypatch.delattr(source, "parts")
    sources, whole = read(tmp_path / "a.csv", 50)
    assert len(sources.shards) == 1
    assert whole.digest == cut.digest


CELL = st.text(st.sampled_from('a1",\r\n '), max_size=6)


@hypothesis_settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(st.lists(CELL, min_size=2, max_size=2), min_size=1, max_size=30),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    cuts=st.integers(1, 9),
    block=st.integers(1, 50),
)
def test_any_csv_may_be_cut_where_its_records_begin(rows, end, cuts, block):
    cells = ['"' + cell.replace('"', '""') + '"' for row in [["h", "i"], *rows] for cell in row]
    text = "".join(f"{a},{b}{end}" for a, b in zip(cells[::2], cells[1::2], strict=True)).encode()

    def records(begin=0, stop=None, part=None):
        stop = stop or len(text)
        blocks = (text[n : min(n + block, stop)] for n in range(begin, stop, block))
        return list(csv_records.whole(blocks, ",", "f", part))

    def content(found):
        return [cells for r in found for cells in csv_records.rows(r.text, ",", r.line)]

    whole = records()
    places = [(r.begin, 0, r.line - 1) for r in whole[1:]]
    parts = base.cut_at(places, len(text), len(text) / cuts)
    assert [p.begin for p in parts] == [0, *(p.end for p in parts[:-1])]
    assert parts[-1].end == len(text)
    assert all(text[r.begin :].startswith(r.text) for r in whole)
    assert [c for p in parts for c in content(records(p.begin, p.end, p))] == content(whole)


@given(st.lists(st.integers(-5, 5), max_size=40), st.integers(0, 40))
def test_the_hash_of_rows_follows_from_that_of_parts(values, at):
    def of(some):
        made = RowsHash()
        made.add(pa.RecordBatch.from_pydict({"n": pa.array(some, pa.int64())}))
        return len(some), str(made)

    assert joined([of(values[:at]), of(values[at:])]) == of(values)[1]
    if values != values[::-1]:
        assert of(values)[1] != of(values[::-1])[1]


def test_the_hash_of_rows_tells_all_that_differs():
    def of(**columns):
        made = RowsHash()
        made.add(pa.RecordBatch.from_pydict(columns))
        return str(made)

    zero, other = pa.array([0.0], pa.float32()), pa.array([-0.0], pa.float32())
    kinds = [zero, other, pa.array([None], pa.float32()), pa.array([1]), pa.array([b"1"])]
    assert len({of(a=kind) for kind in kinds}) == len(kinds)


def test_parts_have_the_size_that_is_asked_for():
    places = [(n, n // 10, n // 5) for n in range(0, 1000, 10)]
    assert base.cut_at(places, 1000, 1000) == [Part(0, 1000, 0)]
    parts = base.cut_at(places, 1000, 150)
    assert parts[:2] == [Part(0, 200, 0), Part(200, 400, 20, 40)]
    assert len(parts) == 5
    # Rows that are longer than a part.
    assert base.cut_at([(900, 1, 1)], 1000, 100) == [Part(0, 900, 0), Part(900, 1000, 1, 1)]
