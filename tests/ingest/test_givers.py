"""Everything that gives rows does so in the same way: files of every format, queries, a source of
one's own (the two worked examples of the how-to), a folder whose files a table names.

`sources/test_sources.py` asks formats further, by functions that only they have.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.databases import postgresql
from helpers.givers import GIVERS
from helpers.ingesting import ingested, settings_in
from helpers.metadata_service import UnavailableError

from mfx.config.data import FOLDERS, OUTSIDE
from mfx.errors import MfxError
from mfx.flow import start
from mfx.ingest import folders, outside, sources

ROWS = 500
TABLE = pa.table(
    {
        "company": pa.array([[b"7", "größe, x".encode(), b"12"][n % 3] for n in range(ROWS)]),
        "fare": pa.array([n / 4 for n in range(ROWS)], pa.float32()),
        "trip_seconds": pa.array([2**40 + n for n in range(ROWS)], pa.int64()),
    }
)
"""Text, fractions, and whole numbers beyond float32."""
KINDS = {"company": "bytes", "fare": "float32", "trip_seconds": "int64"}


@pytest.fixture(scope="module")
def postgresql_server():
    try:
        with postgresql() as address:
            yield address
    except UnavailableError as why:
        pytest.skip(str(why))


@pytest.fixture(params=list(GIVERS))
def giver(request, tmp_path):
    return GIVERS[request.param](tmp_path, request)


@pytest.fixture
def given(tmp_path, settings, datastore):
    """Settings with these keys under `[data]`, and types that a schema says."""

    def make(data, schema="", **changes):
        (tmp_path / "schema.pbtxt").unlink(missing_ok=True)
        if schema:
            (tmp_path / "schema.pbtxt").write_text(schema)
        return settings_in(tmp_path, settings, **{**data, **changes})

    return make


def with_nulls(columns) -> pa.Table:
    """The table, with a missing value in each of these columns."""
    table = TABLE
    for place, name in enumerate(columns):
        values = [None if n == 5 + place else v for n, v in enumerate(table[name].to_pylist())]
        at = table.column_names.index(name)
        table = table.set_column(at, name, pa.array(values, table.schema.field(name).type))
    return table


def test_all_that_gives_rows_goes_through_these_tests():
    assert set(sources.SOURCES.names()) < set(GIVERS)
    assert {*outside.KINDS, *folders.KINDS} == {*OUTSIDE, *FOLDERS}
    # "images" are "texts" but for what a file is, which folders/test_images.py asks.
    assert {*OUTSIDE, *FOLDERS} == {"query", "source", "texts", "images"}


@pytest.mark.parametrize("shard_mb", [256, 0.001])
def test_equal_rows_are_equal_examples_byte_by_byte(giver, given, tmp_path, shard_mb):
    table = giver.write(with_nulls(giver.nulls))
    made = ingested(given(giver.data, shard_mb=shard_mb))
    pq.write_table(table, tmp_path / "expected.parquet")
    expected = ingested(given({"path": "expected.parquet"}))
    assert {name: kind for name, kind in made.columns.items() if name in KINDS} == KINDS
    assert (made.digest, made.rows_in) == (expected.digest, ROWS)
    assert (len(made.shards) > 1) == (shard_mb < 1 and giver.in_parts)


def test_what_is_read_is_told_by_its_content(giver, given):
    giver.write(TABLE)
    settings = given(giver.data)
    first = start.resolve(settings)
    if giver.data != {"path": "rows.avro"}:  # Each Avro file has a mark of its own.
        giver.write(TABLE)
    assert start.resolve(settings).lineage == first.lineage
    giver.write(TABLE.slice(1))
    assert start.resolve(settings).lineage.data != first.lineage.data


SCHEMA = 'feature { name: "company" type: INT }'


def test_a_value_that_does_not_fit_is_one_message(giver, given):
    giver.write(TABLE)
    with pytest.raises(MfxError, match=r"column '?company'?.*expected an integer") as caught:
        ingested(given(giver.data, SCHEMA))
    assert "größe" in caught.value.what and "tolerate" in caught.value.remedy


def test_rows_that_do_not_fit_are_counted_and_kept_aside(giver, given):
    giver.write(TABLE)
    bad = len(range(1, ROWS, 3))
    made = ingested(given(giver.data, SCHEMA, tolerate=bad))
    assert made.rows_in == ROWS == sum(made.rows.values()) + bad
    ((reason, count),) = made.misfits
    assert "company" in reason and count == bad
    found = made.rejected_rows()
    assert found.num_rows == bad and all(
        "größe".encode() in raw for raw in found["raw"].to_pylist()
    )
    with pytest.raises(MfxError, match=f"tolerate under .data. is {bad - 1}"):
        ingested(given(giver.data, SCHEMA, tolerate=bad - 1))


def test_texts_that_mean_missing_do_everywhere(giver, given):
    giver.write(TABLE)
    made = ingested(given(giver.data, null_values=["12"]))
    assert {(name, text): n for name, text, n in made.missing}["company", "12"] == ROWS // 3


def test_a_split_by_a_key_keeps_rows_together(giver, given):
    giver.write(TABLE)
    made = ingested(given(giver.data, split={"train": 1, "eval": 1, "key": ["company"]}))
    parts = [set(made.to_arrow(split)["company"].to_pylist()) for split in made.rows]
    assert not parts[0] & parts[1]
    with pytest.raises(MfxError, match=r"data\.split\.key: no column 'nosuch'"):
        start.resolve(given(giver.data, split={"key": ["nosuch"]}))


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_what_is_gone_is_one_message(giver, given, when):
    giver.write(TABLE)
    settings = given(giver.data)
    resolved = start.resolve(settings) if when == "meanwhile" else None
    giver.remove()
    with pytest.raises(MfxError) as caught:
        ingested(settings, resolved)
    assert caught.value.remedy


def test_rows_that_change_meanwhile_stop_the_run(giver, given):
    giver.write(TABLE)
    settings = given(giver.data)
    resolved = start.resolve(settings)
    changed = [
        b"8" if n == 77 else company for n, company in enumerate(TABLE["company"].to_pylist())
    ]
    if "texts" in giver.data:  # All that a table says is read in `start`; files are read later.
        (giver.folder / "texts/0077.txt").write_text("another")
    else:
        giver.write(TABLE.set_column(0, "company", pa.array(changed, pa.binary())))
    with pytest.raises(MfxError, match="changed since this run began"):
        ingested(settings, resolved)


def test_no_rows_are_one_message(giver, given):
    giver.write(TABLE.slice(0, 0))
    with pytest.raises(MfxError):
        ingested(given(giver.data))
