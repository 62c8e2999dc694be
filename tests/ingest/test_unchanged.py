"""A file that changes while a run reads it stops the run, with one message that names it."""

from __future__ import annotations

import os
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mfx.errors import MfxError
from mfx.flow import start
from mfx.ingest.ingest import ingest, merge
from mfx.ingest.sources import csv as read_csv

ROWS = "\n".join(f"{n:05d}.5,w" for n in range(2000))
BEFORE = f"x,w\n{ROWS}\n"
AFTER = BEFORE.replace("01999.5", "11999.5")


@pytest.fixture
def begun(tmp_path, settings):
    """A file, and a run that has seen it in `start`."""

    def go(name: str, write):
        path = tmp_path / name
        write(path)
        given = settings.override(data__path=str(path), schema__path=str(tmp_path / "none.pbtxt"))
        return path, start.resolve(given), given

    return go


def run(sources, given):
    return merge([ingest(shard, sources, given) for shard in sources.shards], sources)


def write(path, text=BEFORE) -> None:
    path.write_text(text)


def test_an_unchanged_file_is_read(begun, datastore):
    path, *resolved = begun("a.csv", write)
    path.touch()
    assert run(*resolved).rows_in == 2000


def test_a_change_that_keeps_size_and_time_is_noticed(begun, datastore):
    path, *resolved = begun("a.csv", write)
    seen = path.stat()
    write(path, AFTER)
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (seen.st_size, seen.st_mtime_ns)
    with pytest.raises(MfxError, match=r"a\.csv: changed since this run began") as caught:
        run(*resolved)
    assert caught.value.what.startswith(str(path))
    assert "Run again" in caught.value.remedy


def test_a_change_during_the_reading_is_noticed(begun, datastore, monkeypatch):
    """Also one behind the place that the hashing has reached."""
    path, *resolved = begun("a.csv", write)
    reading = read_csv.batches

    def changing(at, *given):
        for batch in reading(at, *given):
            yield batch
            seen = path.stat()
            write(path, AFTER)
            os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))

    monkeypatch.setattr(read_csv, "batches", changing)
    monkeypatch.setattr("mfx.ingest.unchanged.hash_file", once(BEFORE))
    with pytest.raises(MfxError, match=r"a\.csv: changed since this run began"):
        run(*resolved)


def once(text: str):
    """The hash as if the file was gone through before the change; then the true one."""
    import hashlib

    from mfx.artifacts.lineage import hash_file

    early = [hashlib.sha256(text.encode()).hexdigest()]
    return lambda *given: early.pop() if early else hash_file(*given)


def test_a_change_that_makes_the_file_unreadable_is_named_as_a_change(begun, datastore):
    path, *resolved = begun("a.csv", write)
    write(path, "x,w\n1,2,3\n")
    with pytest.raises(MfxError, match=r"a\.csv: changed since this run began"):
        run(*resolved)


@pytest.mark.parametrize("change", [os.remove, lambda path: os.truncate(path, 3000)])
def test_a_file_that_is_gone_or_cut_is_named_as_changed(begun, datastore, change):
    table = pa.table({"n": list(range(2000))})
    path, *resolved = begun("a.parquet", lambda path: pq.write_table(table, path))
    change(path)
    with pytest.raises(MfxError, match=r"a\.parquet: changed since this run began"):
        run(*resolved)


def test_a_file_moved_in_its_place_with_the_same_content_is_the_same(begun, datastore, tmp_path):
    path, *resolved = begun("a.csv", write)
    shutil.copy(path, tmp_path / "copy")
    (tmp_path / "copy").replace(path)
    assert run(*resolved).rows_in == 2000
