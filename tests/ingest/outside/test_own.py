"""Rows from a Python file of the user's: the two examples of the how-to, held to what holds for
files; and what is said of files that do not do."""

from __future__ import annotations

from http.server import ThreadingHTTPServer
from threading import Thread

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.givers import HDF5, REST, TOKEN, Pages
from helpers.ingesting import ingested, settings_in

from mfx.config.table import Table as Config
from mfx.errors import MfxError
from mfx.flow import code, reuse, start
from mfx.ingest.spec import Ingest

COMPANIES = ["Blue", "größe, x", ""]
TRIPS = pa.table(
    {
        "company": pa.array([COMPANIES[n % 3].encode() for n in range(500)], pa.binary()),
        "fare": pa.array([n / 4 for n in range(499)] + [float("nan")], pa.float64()),
        "trip_seconds": pa.array([2**40 + n for n in range(500)], pa.int64()),
    }
)


@pytest.fixture
def given(tmp_path, settings):
    """Settings with a source of this text."""

    def make(text: str, **changes):
        (tmp_path / "my_source.py").write_text(text)
        return settings_in(tmp_path, settings, **{"source": "my_source.py", **changes})

    return make


def yielding(*batches: str) -> str:
    rows = "".join(f"    yield {batch}\n" for batch in batches)
    return f"import pyarrow as pa\nB = pa.RecordBatch.from_pydict\ndef batches(shard):\n{rows}"


@pytest.fixture
def rest(monkeypatch):
    Pages.rows = [
        {**row, "company": row["company"].decode(), "fare": row["fare"] if n < 499 else None}
        for n, row in enumerate(TRIPS.to_pylist())
    ]
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("TRIPS_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("TRIPS_TOKEN", TOKEN)
    yield REST
    server.shutdown()


@pytest.fixture
def hdf5(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIPS_H5", str(tmp_path / "trips.h5"))
    with h5py.File(tmp_path / "trips.h5", "w") as file:
        for name, column in zip(TRIPS.column_names, TRIPS.columns, strict=True):
            values = np.array(column.to_pylist())
            file[name] = values.astype(object) if values.dtype.kind == "S" else values
    return HDF5.replace("100_000", "130")


@pytest.fixture(params=["rest", "hdf5"])
def example(request):
    return request.getfixturevalue(request.param)


def test_examples_are_short():
    assert max(len(text.splitlines()) for text in (REST, HDF5)) <= 30


@pytest.mark.parametrize("shard_mb", [32, 0.001])
def test_equal_rows_are_equal_examples_byte_by_byte(example, given, tmp_path, datastore, shard_mb):
    made = ingested(given(example, shard_mb=shard_mb))
    pq.write_table(TRIPS.select(list(made.columns)), tmp_path / "trips.parquet")
    expected = ingested(given("", source=None, path="trips.parquet"))
    assert made.columns == {"company": "bytes", "fare": "float32", "trip_seconds": "int64"}
    assert (made.digest, made.rows_in) == (expected.digest, 500)
    assert (len(made.shards) > 1) == (shard_mb < 1)


def test_pieces_are_told_by_their_rows(example, given):
    resolved = start.resolve(given(example))
    again = start.resolve(given(example + "# another text\n"))
    assert len(resolved.files) > 3 and resolved.shards == again.shards
    assert resolved.lineage.data == again.lineage.data
    assert resolved.lineage.code != again.lineage.code
    assert all(file.path.startswith("source://my_source.py?") for file in resolved.files)


def test_reuse_goes_by_rows(given):
    def key(text):
        settings = given(text)
        resolved = start.resolve(settings)
        step = Ingest(resolved.shards[0], resolved)
        return reuse.key_of(step, step.reads.of(settings))

    before = key(yielding("B({'n': [1, 2]})", "B({'n': [3]})"))
    assert key(yielding("B({'n': [1, 2, 3]})")) == before
    for other in ("[1, 3, 2]", "[1, 2, None]", "[1, 2]", "[1, 2, 4]"):
        assert key(yielding(f"B({{'n': {other}}})")) != before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("pa.array([[0], None])", "pa.array([[None], None], pa.list_(pa.int64()))"),
        ("pa.array([[]], pa.list_(pa.int64()))", "pa.array([None], pa.list_(pa.int64()))"),
        ("pa.array([1, 2**64 - 1], pa.uint64())", "pa.array([1, 2**64 - 2], pa.uint64())"),
        ("pa.array([1], pa.timestamp('ms'))", "pa.array([1], pa.timestamp('us'))"),
        ("pa.array([2**31 - 1], pa.date32())", "pa.array([2**31 - 2], pa.date32())"),
        ("pa.array([0.0])", "pa.array([-0.0])"),
        ("pa.array(['1'])", "pa.array([1])"),
        (
            "pa.array([1], pa.decimal128(38, 9))",
            "pa.array([1], pa.decimal128(38, 8))",
        ),
    ],
)
def test_what_differs_has_another_hash(given, one, other):
    hashes = set()
    for values in (one, other):
        resolved = start.resolve(given(yielding(f"pa.table({{'n': {values}}})")))
        hashes.add(resolved.files[0].sha256)
    assert len(hashes) == 2


def test_rows_that_change_in_between_stop_the_run(given, tmp_path, datastore):
    settings = given(yielding("B({'n': list(range(50))})"))
    resolved = start.resolve(settings)
    given(yielding("B({'n': [*range(49), 7]})"))
    with pytest.raises(MfxError, match=r"source://my_source\.py: its rows changed since") as caught:
        ingested(settings, resolved)
    assert "Run again" in caught.value.remedy


def test_rows_that_do_not_fit_are_kept_aside(given, tmp_path, datastore):
    settings = given(
        yielding("B({'n': [1.0, float('inf'), *range(50)]})"), tolerate=1, null_values=["7"]
    )
    made = ingested(settings)
    (row,) = made.rejected_rows().to_pylist()
    assert (row["source"], row["number"], row["unit"]) == ("source://my_source.py", 2, "row")
    assert made.missing == (("n", "7", 1),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1", "no function batches"),
        ("import nothing_such", "line 1: ModuleNotFoundError"),
        ("def batches(shard):\n    yield {}['a']", "line 2, in batches: KeyError: 'a'"),
        ("def batches(shard):\n    yield [1]", "batches gives list, not pyarrow.RecordBatch"),
        ("def batches(shard):\n    pass", "batches gives NoneType"),
        (yielding("B({'n': [1]})", "B({'n': ['a']})"), "column 'n' is string, but was int64"),
        (yielding("B({'n': [1]})", "B({'m': [1]})"), "differ after 1 rows: ['m', 'n']"),
        (yielding("B({'n': [{'a': 1}]})"), "column 'n' is struct<a: int64>, which no tf.Example"),
        (yielding("B({'n': pa.array([], pa.int64())})"), "data.source: gives no rows"),
        (yielding() + "    return\n    yield", "data.source: gives no rows"),
        (yielding("B({})"), "no columns"),
        (yielding("B({' n': [1]})"), "has spaces around it"),
        ("def shards():\n    return {1}\ndef batches(shard): ...", "shards returns {1}"),
        (
            yielding("B({'n': [1]}) if shard else B({'m': [1]})")
            + "def shards():\n    return [0, 1]\n",
            "source://my_source.py?1: columns differ from those of source://my_source.py?0: ",
        ),
        (
            yielding("B({'n': [1 if shard else 'a']})") + "def shards():\n    return [0, 1]\n",
            "column 'n' is int64, but string in source://my_source.py?0",
        ),
    ],
)
def test_a_source_that_does_not_do_is_one_message(given, text, said):
    with pytest.raises(MfxError) as caught:
        start.check_label(given(text), start.resolve(given(text)))
    assert said in caught.value.what


def test_what_is_for_files_is_refused(given):
    with pytest.raises(MfxError, match=r"data\.trim: means nothing beside data\.source"):
        start.resolve(given(yielding("B({'n': [1]})"), trim=True))


def test_a_key_of_the_split_must_be_a_column(given):
    with pytest.raises(MfxError, match=r"data\.split\.key: no column 'm' in the data"):
        start.resolve(given(yielding("B({'n': [1]})"), split={"key": ["m"]}))


def test_the_code_is_kept_with_the_run(given):
    assert "my_source.py" in code.files(given(yielding("B({'n': [1]})")))
    with pytest.raises(MfxError, match=r"gone\.py: no such file"):
        code.files(given("", source="gone.py"))


def test_files_on_the_command_line_are_read_instead(given):
    changed = given("").override(data__path="a.csv")
    assert (changed.data.path, changed.data.source) == ("a.csv", None)
    assert isinstance(changed, Config)
