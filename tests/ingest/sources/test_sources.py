"""Every registered kind of input file is found, typed, read and counted in the same way."""

from __future__ import annotations

import sys
from collections import Counter
from types import ModuleType

import pyarrow as pa
import pytest
from helpers.flows import REAL, SAMPLE
from helpers.formats import WRITERS, tsv

from mfx.columns.types import TYPES
from mfx.errors import MfxError
from mfx.flow import start
from mfx.ingest import finding, sources
from mfx.ingest.infer_types import Column
from mfx.ingest.ingest import ingest, merge
from mfx.ingest.sources.base import Seen, Tally
from mfx.plugins import Registry

TABLE = pa.table(
    {
        "n": pa.array([1, None, -(2**62), *range(3000)], pa.int64()),
        "x": pa.array([0.5, -1.25, None, *(n / 4 for n in range(3000))], pa.float32()),
        "w": pa.array([b"a", 'größe, "x"\n'.encode(), None, *[b"w"] * 3000], pa.binary()),
        "none": pa.nulls(3003, pa.binary()),
    }
)
KINDS = {"n": "int64", "x": "float32", "w": "bytes", "none": "bytes"}

LISTS = pa.table(
    {
        "ids": pa.array([[1, 2], [], None, *([n] for n in range(500))], TYPES["int64 list"]),
        "x": pa.array([[0.5], None, [1.5, 2.5], *[[]] * 500], TYPES["float32 list"]),
        "words": pa.array([None, [b"a", b""], [], *[[b"w"]] * 500], TYPES["bytes list"]),
        "n": pa.array([None, *range(502)], pa.int64()),
    }
)
"""Lists, empty ones and missing ones."""
LIST_KINDS = {"ids": "int64 list", "x": "float32 list", "words": "bytes list", "n": "int64"}


def _nan(kind: str, path) -> None:
    """Two rows whose `x` is 1 and NaN."""
    if kind == "jsonl":  # JSON has no NaN.
        path.write_text('{"x": 1.0}\n{"x": null}\n')
    else:
        WRITERS[kind](pa.table({"x": pa.array([1.0, float("nan")], pa.float32())}), path)


class Lines(ModuleType):
    """Another package's source: lines with values of `n` and `w`, as short as can be."""

    TITLE, SUFFIXES, LISTS, OPEN, OPTIONS = "Lines", (".lines",), False, False, ()

    @staticmethod
    def takes(name, head):
        return name.endswith(".lines")

    @staticmethod
    def header(path, how):
        return ["n", "w"]

    @staticmethod
    def look(path, how, found):
        for name, value in zip("nw", path.open().readline().split(), strict=True):
            found.setdefault(name, Column()).add(pa.array([value]))

    @staticmethod
    def batches(path, types, how, tally):
        rows = [{"n": int(n), "w": w.encode()} for n, w in map(str.split, path.open().readlines())]
        tally.records += len(rows)
        schema = pa.schema([(name, TYPES[kind]) for name, kind in types.items()])
        yield pa.RecordBatch.from_pylist(rows, schema)


@pytest.fixture(params=sources.SOURCES.names())
def kind(request):
    return request.param


@pytest.fixture
def source(kind):
    return sources.SOURCES.get(kind)


@pytest.fixture
def file(kind, source, tmp_path):
    path = tmp_path / f"data{source.SUFFIXES[0]}"
    WRITERS[kind](TABLE, path)
    return path


@pytest.fixture
def how(settings):
    return settings.data


def test_all_sources_go_through_these_tests():
    assert list(WRITERS) == sources.SOURCES.names()


def test_names_in_a_folder_are_of_one_kind():
    ends = sources.suffixes()
    assert len(set(ends)) == len(ends)
    assert all(end == end.lower() and end.startswith(".") for end in ends)


def test_a_file_is_found_and_taken_for_what_it_is(source, file):
    assert [f.address for f in finding.find([str(file.parent)])] == [str(file)]
    assert source.takes(file.name, file.read_bytes()[:4096])
    assert sources.source_of(file) is source


def test_columns_and_types_are_told(source, file, how):
    names = TABLE.column_names
    assert source.header(file, how) == (sorted(names) if source.OPEN else names)
    found: dict[str, Seen] = {}
    source.look(file, how, found)
    source.look(file, how, found)
    assert {name: column.kind or "bytes" for name, column in found.items()} == KINDS
    assert not any(column.listed or column.note(name) for name, column in found.items())


def test_rows_come_back_as_they_are(source, file, how):
    tally = Tally()
    batches = list(source.batches(file, KINDS, how, tally))
    assert pa.Table.from_batches(batches).equals(TABLE)
    assert (tally.records, sum(tally.rejected.values())) == (TABLE.num_rows, 0)
    again = list(source.batches(file, KINDS, how, Tally()))
    assert all(a.equals(b) for a, b in zip(batches, again, strict=True))


def test_a_number_that_is_not_there_is_missing(source, kind, tmp_path, how):
    path = tmp_path / f"nan{source.SUFFIXES[0]}"
    _nan(kind, path)
    (batch,) = source.batches(path, {"x": "float32"}, how, Tally())
    assert batch.column("x").to_pylist() == [1.0, None]


@pytest.fixture
def lists(kind, source, tmp_path):
    if not source.LISTS:
        pytest.skip(f"{source.TITLE} has no lists")
    path = tmp_path / f"lists{source.SUFFIXES[0]}"
    WRITERS[kind](LISTS, path)
    return path


def test_lists_come_back_as_they_are(source, lists, how):
    found: dict[str, Seen] = {}
    source.look(lists, how, found)
    assert {name: seen.kind for name, seen in found.items()} == LIST_KINDS
    (batch,) = source.batches(lists, LIST_KINDS, how, Tally())
    assert pa.Table.from_batches([batch]).equals(LISTS)
    batch.validate(full=True)


def test_lists_of_one_are_single_values_where_the_schema_says_so(source, lists, how):
    with pytest.raises(MfxError, match=r"row 1, column 'ids': expected one value, found \[1, 2\]"):
        list(source.batches(lists, LIST_KINDS | {"ids": "int64"}, how, Tally()))


def test_single_values_are_lists_of_one_where_the_schema_says_so(source, lists, how):
    kinds = LIST_KINDS | {"n": "int64 list"}
    (batch,) = source.batches(lists, kinds, how, Tally())
    assert batch.column("n").to_pylist()[:3] == [None, [0], [1]]


def test_a_cell_that_does_not_fit_is_named(source, file, how):
    with pytest.raises(MfxError) as caught:
        list(source.batches(file, KINDS | {"w": "int64"}, how, Tally()))
    assert all(word in caught.value.what for word in (str(file), "'w'", "an integer", "'a'"))
    assert caught.value.remedy


@pytest.mark.parametrize("damage", ["gone", "empty"])
def test_a_file_that_cannot_be_read_is_one_error(source, file, how, damage):
    file.unlink() if damage == "gone" else file.write_bytes(b"")
    with pytest.raises(MfxError, match=file.name):
        source.header(file, how)


def test_a_run_reads_it(file, settings, datastore):
    """The rows of both splits, as `start` and `ingest` read them."""
    given = settings.override(data__path=str(file), schema__path=str(file.parent / "none.pbtxt"))
    resolved = start.resolve(given)
    assert resolved.columns == KINDS
    examples = merge([ingest(shard, resolved, given) for shard in resolved.shards], resolved)
    assert examples.rows_in == sum(examples.rows.values()) == TABLE.num_rows
    read = [n for split in examples.rows for n in examples.to_arrow(split)["n"].to_pylist()]
    assert Counter(read) == Counter(TABLE["n"].to_pylist())


def _taxi_examples(path, settings):
    """What a run's `start` and `ingest` make of a file, by the committed schema."""
    given = settings.override(data__path=str(path))
    resolved = start.resolve(given)
    return merge([ingest(shard, resolved, given) for shard in resolved.shards], resolved)


@pytest.fixture(scope="module", params=[SAMPLE, REAL], ids=["sample", "real"])
def taxi(request):
    return request.param if request.param.is_file() else pytest.skip("no ../shared/data")


def test_equal_rows_are_equal_examples_byte_by_byte(taxi, tmp_path, settings, datastore):
    expected = _taxi_examples(taxi, settings)
    parts = [expected.to_arrow(split) for split in expected.rows]
    table = pa.concat_tables(parts)
    found = {}
    for kind, write in WRITERS.items():
        path = tmp_path / f"trips{sources.SOURCES.get(kind).SUFFIXES[0]}"
        write(table, path)
        found[kind] = _taxi_examples(path, settings)
    tabs = tmp_path / "trips.tsv"
    tsv(table, tabs)
    found["tsv"] = _taxi_examples(tabs, settings)
    # Rows of a split keep their order, so all of them are those of the file as it was.
    assert {kind: made.digest for kind, made in found.items()} == dict.fromkeys(
        found, expected.digest
    )
    assert {made.rows_in for made in found.values()} == {expected.rows_in}


def test_choices_that_a_kind_does_not_have_are_refused(source, file, settings):
    for key, value in {"compression": "none", "delimiter": ",", "trim": True}.items():
        changes = {f"data__{key}": value, "schema__path": str(file.parent / "none.pbtxt")}
        given = settings.override(data__path=str(file), **changes)
        if key in source.OPTIONS:
            start.resolve(given)
            continue
        with pytest.raises(
            MfxError, match=rf"data\.{key}: no such choice for {source.TITLE} files"
        ):
            start.resolve(given)


@pytest.fixture
def lines(tmp_path, monkeypatch):
    """A source from another package, as an installer leaves it."""
    monkeypatch.setitem(sys.modules, "toy_lines", Lines("toy_lines"))
    info = tmp_path / "site" / "toy_lines-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-lines\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mfx.sources]\nlines = toy_lines\n")
    monkeypatch.syspath_prepend(str(info.parent))
    registry = Registry("mfx.sources", "source", sources.SOURCES._own)
    monkeypatch.setattr(sources, "SOURCES", registry)
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(2):
        rows = [f"{10 * number + n} w{n}\n" for n in range(9)]
        (folder / f"{number}.lines").write_text("".join(rows))
    return folder


def test_a_run_reads_another_packages_kind(lines, settings, datastore):
    given = settings.override(data__path=str(lines), schema__path=str(lines / "none.pbtxt"))
    resolved = start.resolve(given)
    assert resolved.columns == {"n": "int64", "w": "bytes"}
    examples = merge([ingest(shard, resolved, given) for shard in resolved.shards], resolved)
    assert examples.rows_in == sum(examples.rows.values()) == 18


def test_files_of_two_kinds_are_one_error(lines, settings):
    (lines / "0.csv").write_text("n,w\n1,a\n")
    given = settings.override(data__path=str(lines), schema__path=str(lines / "none.pbtxt"))
    with pytest.raises(MfxError, match=r"0\.lines: Lines, but .*0\.csv is CSV\nAll files of"):
        start.resolve(given)


def test_all_kinds_are_named_where_none_is_found(lines, tmp_path):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(MfxError, match=r"nothing: no input file found") as caught:
        finding.find([str(tmp_path / "nothing")])
    assert "*.lines" in caught.value.remedy
