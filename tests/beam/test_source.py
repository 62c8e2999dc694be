"""Parquet in the datastore is read like a file, in parts that have each row once."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfx.artifacts import store
from mfx.beam import source
from mfx.beam.source import ReadParts, StoredFile, open_parquet, row_group_ranges
from mfx.errors import MfxError

CHUNK = 1000


@pytest.fixture
def stored(tmp_path, datastore, monkeypatch):
    """A Parquet file with several chunks, as a file and as a payload."""
    monkeypatch.setattr(store, "CHUNK_BYTES", CHUNK)
    monkeypatch.setattr(source, "CHUNK_BYTES", CHUNK)
    path = tmp_path / "p" / "rows.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table({"n": list(range(1000))}), path, row_group_size=90)
    payload = store.save(path.parent)
    assert len(payload.blobs[0].keys) > 3
    yield path, payload
    source._content.cache_clear()


def test_any_piece_of_a_stored_file_is_the_files(stored):
    path, payload = stored
    content = path.read_bytes()
    file = StoredFile(payload)

    @given(st.integers(0, len(content) + 5), st.integers(0, 3 * CHUNK))
    def check(start, length):
        file.seek(start)
        data = b""
        # A raw file may give fewer bytes than asked for, but none only at its end.
        while len(data) < length and (more := file.read(length - len(data))):
            data += more
        assert data == content[start : start + length]
        assert file.tell() == start + len(data)

    check()


def test_parts_hold_each_row_once_in_order(stored, monkeypatch):
    monkeypatch.setattr(source, "BATCH_ROWS", 200)
    for file in stored:
        found = row_group_ranges([file, file])
        assert max(len(part.row_groups) for part in found) == 2
        reader = ReadParts(lambda batch: batch)
        numbers = [n for part in found for b in reader.process(part) for n in b["n"].to_pylist()]
        assert numbers == [*range(1000), *range(1000)]


def test_batches_are_never_larger_than_said(stored, monkeypatch):
    monkeypatch.setattr(source, "BATCH_ROWS", 50)
    reader = ReadParts(lambda batch: batch)
    sizes = [len(batch) for part in row_group_ranges([stored[0]]) for batch in reader.process(part)]
    assert max(sizes) == 50 and sum(sizes) == 1000


def test_at_most_two_chunks_are_in_memory(stored):
    file = StoredFile(stored[1])
    for start in range(0, 5 * CHUNK, CHUNK):
        file.seek(start)
        file.read(1)
    assert source._content.cache_info().currsize == 2
    ReadParts(lambda batch: batch).teardown()
    assert source._content.cache_info().currsize == 0


def test_a_chunk_of_another_size_is_told(stored, monkeypatch):
    _, payload = stored
    monkeypatch.setattr(source, "CHUNK_BYTES", 2 * CHUNK)
    with pytest.raises(MfxError, match="chunk 0 has 1000 bytes in the datastore"):
        open_parquet(payload)
    StoredFile(payload).seek(0)
