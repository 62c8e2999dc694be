"""What every storage does, on each: a disk, S3, Google Cloud Storage, Azure and a web server."""

from __future__ import annotations

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.boxes import BOXES, Box

from mfx.errors import MfxError
from mfx.storage import STORAGES, open_storage
from mfx.storage.answers import NotThereError
from mfx.storage.reading import BLOCK

WRITABLE = [name for name in BOXES if name != "http"]
KEYS = ["a.csv", "day/a.csv", "day/more/b.csv", "day/with space, ü+%20#&=.csv", "daylight/c.csv"]
LARGE = 9 * BLOCK + 17
"""Bytes of an object that is read in several requests, or blocks."""


@pytest.fixture(params=WRITABLE)
def shelf(request) -> Box:
    """An empty bucket on each storage that can be written."""
    return BOXES[request.param](request)


@pytest.fixture(params=["s3", "gs", "az"])
def bucket(request) -> Box:
    """An empty bucket on each storage that has some."""
    return BOXES[request.param](request)


def test_all_storages_go_through_these_tests():
    assert {*BOXES, "https"} == set(STORAGES.names())
    assert STORAGES.get("https") is STORAGES.get("http")


@pytest.mark.parametrize("content", [b"", b"n\n1\n", os.urandom(LARGE)], ids=len)
def test_an_object_is_read_whole(box, content, tmp_path):
    box.put("day/a.csv", content)
    storage, path = box.open(), tmp_path / "a.csv"
    found = storage.head("day/a.csv")
    assert (found.key, found.size) == ("day/a.csv", len(content)) and found.tag
    assert storage.read("day/a.csv") == content
    assert storage.sha256("day/a.csv") == hashlib.sha256(content).hexdigest()
    assert storage.fetch("day/a.csv", path) and path.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["a.csv"]


RANGES = [(0, 10), (2 * BLOCK - 3, 4 * BLOCK + 5), (LARGE - 8, LARGE)]


def test_some_bytes_of_an_object_are_had_without_the_others(box, tmp_path):
    content, path = os.urandom(LARGE), tmp_path / "a"
    box.put("day/a", content)
    storage = box.open()
    assert storage.gives_ranges("day/a")
    storage.fetch_ranges("day/a", path, LARGE, RANGES)
    expected = bytearray(LARGE)
    for begin, end in RANGES:
        expected[begin:end] = content[begin:end]
    assert path.read_bytes() == bytes(expected)
    for begin, end in RANGES:
        with storage._open("day/a", begin, "", end) as opened:
            came = sum(map(len, opened.blocks))
            assert (came, opened.first, opened.entry.size) == (end - begin, begin, LARGE)
    with pytest.raises(MfxError, match="day/a: changed while it was read"):
        storage.fetch_ranges("day/a", path, LARGE + 1, RANGES)
    with pytest.raises(NotThereError):
        storage.fetch_ranges("day/gone", path, LARGE, RANGES)


def test_an_object_that_changes_between_two_ranges_is_one_error(box, tmp_path):
    box.put("a", b"first, 1")
    storage = box.open()
    begin = storage._open

    def changed(key, first, tag, end=None):
        if first:
            box.put("a", b"other, 2")
            os.utime(tmp_path / "site" / "a", (1, 1)) if box.place.scheme == "http" else None
        return begin(key, first, tag, end)

    storage._open = changed
    with pytest.raises(MfxError, match="a: changed while it was read"):
        storage.fetch_ranges("a", tmp_path / "copy", 8, [(0, 2), (4, 6)])
    assert not (tmp_path / "copy").exists()


def test_a_server_that_sends_all_whatever_is_asked_for_is_read_all_the_same(request, tmp_path):
    from mfx.storage import web

    request.getfixturevalue("monkeypatch").setattr(web, "range_header", lambda first, end: "")
    box = BOXES["http"](request)
    box.put("a", b"0123456789")
    storage = box.open()
    assert not storage.gives_ranges("a")
    storage.fetch_ranges("a", tmp_path / "copy", 10, [(1, 2), (4, 7)])
    assert (tmp_path / "copy").read_bytes() == b"\x001\0\x00456\0\0\0"


def test_keys_are_what_people_name_files(shelf, tmp_path):
    storage = shelf.open()
    for key in KEYS:
        storage.write(key, b"n\n1\n")
        assert [entry.key for entry in storage.list().entries] == [key]
        assert storage.read(key) == b"n\n1\n" and storage.head(key).key == key
        assert storage.fetch(key, tmp_path / "a") and not storage.write_if_absent(key, b"")
        storage.copy(key, f"copied/{key}")
        storage.delete(key)
        assert [entry.key for entry in storage.list().entries] == [f"copied/{key}"]
        storage.delete(f"copied/{key}")


def test_a_folder_is_listed_with_or_without_those_in_it(shelf):
    for key in KEYS:
        shelf.put(key, key.encode())
    storage = shelf.open()
    everything = storage.list()
    assert [entry.key for entry in everything.entries] == sorted(KEYS)
    assert everything.folders == []
    below = storage.list("day/").entries
    assert [entry.key for entry in below] == sorted(key for key in KEYS if key[:4] == "day/")
    top = storage.list(deeper=False)
    assert ([entry.key for entry in top.entries], top.folders) == (["a.csv"], ["day/", "daylight/"])
    inside = storage.list("day/", deeper=False)
    assert [entry.key for entry in inside.entries] == ["day/a.csv", KEYS[3]]
    assert inside.folders == ["day/more/"]
    for entry in everything.entries:
        assert storage.head(entry.key) == entry and entry.size == len(entry.key.encode())
    assert storage.list("da/") == storage.list("nothing/", deeper=False)
    assert storage.list("da/").entries == []


def test_what_is_not_there_is_said_to_be(box, tmp_path):
    storage = box.open()
    assert storage.head("day/gone.csv") is None
    for read in (storage.read, storage.sha256, lambda key: storage.fetch(key, tmp_path / "x")):
        with pytest.raises(NotThereError, match=f"^{box.place}/day/gone.csv: .*no such object"):
            read("day/gone.csv")
    assert not (tmp_path / "x").exists()


def test_what_is_not_there_cannot_be_copied_and_need_not_be_removed(shelf):
    storage = shelf.open()
    with pytest.raises(NotThereError):
        storage.copy("gone", "target")
    storage.delete("gone")
    assert storage.list().entries == []


def test_a_bucket_that_is_missing_is_not_an_empty_one(bucket, tmp_path):
    """Each call by a storage that has seen nothing yet."""
    calls = {
        "list": lambda s: s.list("day/"),
        "head": lambda s: s.head("day/a"),
        "read": lambda s: s.read("day/a"),
        "sha256": lambda s: s.sha256("a"),
        "fetch": lambda s: s.fetch("a", tmp_path / "a"),
        "write": lambda s: s.write("a", b""),
        "create": lambda s: s.write_if_absent("a", b""),
        "replace": lambda s: s.write_if_unchanged("a", b"", s_tag),
        "copy": lambda s: s.copy("a", "b"),
    }
    s_tag = "7"
    for name, call in calls.items():
        with pytest.raises(MfxError, match=rf"^{bucket.gone}\b.*no such (bucket|container): ") as e:
            call(open_storage(bucket.gone))
        assert not isinstance(e.value, NotThereError), name
        assert "\n" not in e.value.what and "name" in e.value.remedy and "credentials" in str(e)


def test_a_tag_is_another_after_each_write(shelf):
    storage, tags = shelf.open(), set()
    for content in (b"1", b"2", b"1", b""):
        storage.write("a", content)
        tags.add(storage.head("a").tag)
    assert len(tags) >= 3, "on S3 and Azure the same bytes may have the same tag"


def at_once(*calls) -> list:
    """What calls return that begin at the same moment."""
    barrier = threading.Barrier(len(calls))

    def run(call):
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_of_several_who_write_what_is_absent_one_does(shelf):
    storages = [shelf.open() for _ in range(4)]
    for number in range(3):
        key = f"log/{number}.json"
        wrote = at_once(
            *[
                lambda s=s, i=i, k=key: s.write_if_absent(k, b"%d" % i)
                for i, s in enumerate(storages)
            ]
        )
        assert sorted(wrote) == [False] * 3 + [True]
        assert storages[0].read(key) == b"%d" % wrote.index(True)
        assert not shelf.open().write_if_absent(key, b"late")


def test_of_several_who_write_over_the_same_one_does(shelf):
    storages = [shelf.open() for _ in range(4)]
    storages[0].write("a", b"before")
    for number in range(3):
        before = storages[0].head("a").tag
        wrote = at_once(
            *[
                lambda s=s, i=i, t=before, n=number: s.write_if_unchanged("a", b"%d %d" % (n, i), t)
                for i, s in enumerate(storages)
            ]
        )
        assert sorted(wrote) == [False] * 3 + [True]
        assert storages[0].read("a") == b"%d %d" % (number, wrote.index(True))
        assert not shelf.open().write_if_unchanged("a", b"late", before)


def test_what_is_gone_is_not_written_over(shelf):
    storage = shelf.open()
    storage.write("a", b"1")
    tag = storage.head("a").tag
    storage.delete("a")
    assert not storage.write_if_unchanged("a", b"2", tag)
    assert storage.head("a") is None


def test_a_file_is_written_and_copied_whole(shelf, tmp_path):
    content = os.urandom(LARGE)
    (tmp_path / "given").write_bytes(content)
    storage = shelf.open()
    storage.write("a", b"what was there")
    storage.write("a", tmp_path / "given")
    storage.copy("a", "day/b")
    sizes = {entry.key: entry.size for entry in shelf.open().list().entries}
    assert sizes == {"a": LARGE, "day/b": LARGE}
    assert storage.sha256("day/b") == hashlib.sha256(content).hexdigest()


def test_only_what_is_small_is_fetched_ahead(box, tmp_path):
    box.put("a", b"12345678")
    storage, path = box.open(), tmp_path / "a"
    assert not storage.fetch("a", path, most=7) and not path.exists()
    assert storage.fetch("a", path, most=8) and path.read_bytes() == b"12345678"
    with pytest.raises(NotThereError):
        storage.fetch("gone", path, most=8)
    assert path.read_bytes() == b"12345678"


def test_a_web_server_is_only_read(request):
    box = BOXES["http"](request)
    box.put("a", b"1")
    storage = box.open()
    for write in (
        lambda: storage.write("a", b""),
        lambda: storage.write_if_absent("b", b""),
        lambda: storage.write_if_unchanged("a", b"", "x"),
        lambda: storage.copy("a", "b"),
        lambda: storage.delete("a"),
    ):
        with pytest.raises(
            MfxError, match=rf"^{box.place}/[ab]: files on the web can only be read"
        ):
            write()
    with pytest.raises(MfxError, match="does not list its files"):
        storage.list("day/")
    assert storage.read("a") == b"1"
