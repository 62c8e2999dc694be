"""Payload files in Metaflow's datastore: what goes in comes back, equal bytes are one blob."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from mfx.artifacts import store
from mfx.errors import MfxError


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "in"
    (made / "sub").mkdir(parents=True)
    (made / "a.txt").write_text("alpha")
    (made / "sub" / "b.bin").write_bytes(bytes(range(256)) * 40)
    (made / "empty").write_bytes(b"")
    return made


def _content(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("chunk", [64 * 2**20, 1000])
def test_files_come_back(datastore, folder, tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(store, "CHUNK_BYTES", chunk)
    payload = pickle.loads(pickle.dumps(store.save(folder)))
    assert _content(payload.save_to(tmp_path / "out")) == _content(folder)
    assert payload.read("a.txt") == b"alpha"
    assert payload.size == 5 + 256 * 40
    assert [blob.path for blob in payload.blobs] == ["a.txt", "empty", "sub/b.bin"]
    with payload.only("sub/b.bin").files() as out:
        assert list(_content(out)) == [(folder / "sub" / "b.bin").relative_to(folder)]
        kept = out
    assert not kept.exists()


def test_equal_files_are_stored_once_and_have_equal_digests(datastore, folder):
    first = store.save(folder)
    blobs = sum(path.is_file() for path in datastore.rglob("*"))
    assert store.save(folder).digest == first.digest
    assert sum(path.is_file() for path in datastore.rglob("*")) == blobs
    (folder / "a.txt").write_text("alpha!")
    assert store.save(folder).digest != first.digest


def test_a_lost_blob_is_named(datastore, folder, tmp_path):
    payload = store.save(folder)
    (blob,) = payload.only("a.txt").blobs
    (path,) = [p for p in datastore.rglob(blob.keys[0]) if p.is_file()]
    path.unlink()
    with pytest.raises(MfxError, match=r"a\.txt: cannot read .* from the datastore at"):
        payload.save_to(tmp_path / "out")


def test_a_wrong_size_is_noticed(datastore, folder, tmp_path):
    payload = store.save(folder)
    wrong = replace(payload, blobs=tuple(replace(b, size=b.size + 1) for b in payload.blobs))
    with pytest.raises(MfxError, match="bytes came back"):
        wrong.save_to(tmp_path / "out")


def test_an_unknown_file_is_named(datastore, folder):
    with pytest.raises(MfxError, match=r"no c\.txt in this payload"):
        store.save(folder).only("c.txt")
