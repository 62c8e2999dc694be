"""Row groups depend on the rows, not on how they were cut into batches."""

from __future__ import annotations

import itertools

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfx.artifacts.lineage import hash_file
from mfx.columns import row_groups
from mfx.columns.row_groups import RowGroups, read, regrouped
from mfx.columns.types import TYPES

ROWS = pa.RecordBatch.from_pydict(
    {
        "n": pa.array([None if n % 7 == 3 else n * n for n in range(100)], pa.int64()),
        "w": pa.array([None if n % 5 == 2 else b"w" * (n % 9) for n in range(100)], pa.binary()),
    }
)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Write batches to a file with row groups of at most 30 rows."""
    folder = tmp_path_factory.mktemp("groups")

    def write(batches, schema=ROWS.schema):
        path = folder / "x.parquet"
        path.unlink(missing_ok=True)
        groups = RowGroups(path, schema)
        for batch in batches:
            groups.add(batch)
        groups.close()
        return path

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_groups, "ROW_GROUP", 30)
        yield write


@settings(max_examples=50)
@given(st.lists(st.integers(0, 100)))
def test_equal_rows_are_equal_bytes_however_they_are_cut(written, cuts):
    whole = hash_file(written([ROWS]))
    ends = [0, *sorted(cuts), 100]
    parts = [ROWS.slice(a, b - a) for a, b in itertools.pairwise(ends)]
    path = written(parts)
    assert hash_file(path) == whole
    file = pq.ParquetFile(path)
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [
        *(30, 30, 30, 10)
    ]
    assert file.read().equals(pa.Table.from_batches([ROWS]))


def test_no_rows(written):
    assert pq.read_table(written([])).schema == ROWS.schema
    assert not written([], schema=None).exists()


def test_the_schema_is_the_first_batchs(written):
    assert pq.read_table(written([ROWS], schema=None)).equals(pa.Table.from_batches([ROWS]))


def test_wide_rows_do_not_pile_up(written, monkeypatch):
    monkeypatch.setattr(row_groups, "GROUP_BYTES", 100)
    file = pq.ParquetFile(written([ROWS.slice(0, 10), ROWS.slice(10)]))
    assert file.metadata.row_group(0).num_rows == 10
    assert file.read().equals(pa.Table.from_batches([ROWS]))


LARGE = pa.RecordBatch.from_pydict(
    {
        "w": pa.array([b"w" * (97 * n % 300) or None for n in range(100)], pa.binary()),
        "l": pa.array([[b"x" * n] * (n % 3) for n in range(100)], TYPES["bytes list"]),
    }
)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 100)), st.integers(1, 50))
def test_what_a_batch_is_depends_only_on_the_rows(cuts, rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_groups, "BATCH_BYTES", 1000)
        whole = list(regrouped([LARGE], rows))
        ends = [0, *sorted(cuts), 100]
        parts = [LARGE.slice(a, b - a) for a, b in itertools.pairwise(ends)]
        assert all(a.equals(b) for a, b in zip(regrouped(parts, rows), whole, strict=True))
    assert pa.Table.from_batches(whole).equals(pa.Table.from_batches([LARGE]))
    for batch in whole[:-1]:
        size, last = _size(batch), _size(batch.slice(batch.num_rows - 1))
        assert batch.num_rows == rows or size - last < 1000 <= size


def _size(batch: pa.RecordBatch) -> int:
    return sum(len(row["w"] or b"") + sum(map(len, row["l"] or [])) for row in batch.to_pylist())


def test_large_rows_are_read_a_few_at_a_time(tmp_path, monkeypatch):
    table = pa.table({"w": [bytes([n]) * 1000 for n in range(100)]})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=40, use_dictionary=False)
    monkeypatch.setattr(row_groups, "BATCH_BYTES", 10_000)
    batches = list(read(pq.ParquetFile(tmp_path / "x.parquet"), 65536))
    assert max(batch.num_rows for batch in batches) <= 10
    assert pa.Table.from_batches(batches).equals(table)
    first = next(read(pq.ParquetFile(tmp_path / "x.parquet"), 65536, ["w"], groups=[2]))
    assert first.column(0)[0].as_py() == bytes([80]) * 1000
