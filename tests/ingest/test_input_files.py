"""Input files on disk and in storages: which there are, and one error for what is missing."""

from __future__ import annotations

import pytest
from helpers.boxes import BOXES

from mfx.artifacts import Shard, SourceFile
from mfx.errors import MfxError
from mfx.flow import start
from mfx.ingest import finding, input_files
from mfx.ingest.ingest import ingest
from mfx.storage import retries
from mfx.storage.address import is_url

FILES = {"day/a.csv": "n,w\n1,x\n", "day/b.csv": "n,w\n2,y\n", "day/more/c.csv": "n,w\n3,z\n"}
FILES |= {"day/notes.txt": "not data", "daylight.csv": "n,w\n4,q\n"}


@pytest.fixture(scope="module")
def s3(server):
    import boto3

    client = boto3.client("s3")
    client.create_bucket(Bucket="data")
    for key, text in FILES.items():
        client.put_object(Bucket="data", Key=key, Body=text.encode())
    return client


@pytest.fixture(params=[name for name in BOXES if name != "http"])
def place(request):
    """The same files on each storage that lists them: the address of their root."""
    if request.param == "s3":
        request.getfixturevalue("s3")
        return "s3://data"
    box = BOXES[request.param](request)
    for key, text in FILES.items():
        box.put(key, text.encode())
    return str(box.place)


@pytest.fixture
def web(request) -> str:
    """The same files on a web server: its URL."""
    box = BOXES["http"](request)
    for key, text in FILES.items():
        box.put(key, text.encode())
    return str(box.place)


def found_at(*paths: str) -> list[str]:
    return [file.address for file in finding.find(paths)]


PATHS = {
    "day": ["day/a.csv", "day/b.csv"],
    "day/": ["day/a.csv", "day/b.csv"],
    "day/*.csv": ["day/a.csv", "day/b.csv"],
    "day/[b-z].csv": ["day/b.csv"],
    "day/a.csv": ["day/a.csv"],
    "day/notes.txt": ["day/notes.txt"],
    "day*.csv": ["daylight.csv"],
    "": ["daylight.csv"],
}


def test_a_folder_a_pattern_or_a_file(place):
    for path, expected in PATHS.items():
        assert found_at(f"{place}/{path}") == [f"{place}/{name}" for name in expected]


def test_nothing_to_read_is_one_error(place):
    for path in ("day/gone*.csv", "day/gone.csv", "nothing"):
        with pytest.raises(MfxError, match=r"no input file found|no such file") as error:
            found_at(f"{place}/{path}")
        assert f"{place}/{path}: " in error.value.what
        assert "--data" in error.value.remedy


def test_a_file_on_the_web(web):
    url = f"{web}/day/a.csv"
    assert found_at(url) == [url]
    assert found_at(f"{url}?version=2") == [f"{url}?version=2"]
    with input_files.on_disk(f"{url}?version=2") as path:
        assert (path.name, path.read_text()) == ("a.csv", FILES["day/a.csv"])
    with pytest.raises(MfxError, match=r"/day/gone\.csv: no input file found"):
        found_at(f"{web}/day/gone.csv")
    with (
        pytest.raises(MfxError, match=r"^http:.*/day/gone\.csv: no such object"),
        input_files.on_disk(f"{web}/day/gone.csv"),
    ):
        pass


def test_a_folder_on_the_web_is_one_error(web):
    with pytest.raises(MfxError, match=r"/day: cannot read: access denied: 403 Forbidden"):
        found_at(f"{web}/day")


def test_files_of_several_places_come_in_order(place, web, tmp_path):
    """Each from its own storage."""
    addresses = [f"{web}/day/b.csv", f"{place}/daylight.csv", f"{web}/day/a.csv"]
    read = []
    for address, opened in input_files.each_on_disk(addresses):
        with opened as path:
            read.append((address, path.read_text()))
    assert read == [(a, FILES[a.removeprefix(web).removeprefix(place)[1:]]) for a in addresses]


def test_files_are_read_from_disk(place):
    for address in found_at(f"{place}/day"):
        with input_files.on_disk(address) as path:
            assert path.read_text() == FILES[address.removeprefix(f"{place}/")]
            assert is_url(address) == (str(path) != address)
    assert path.exists() != is_url(address), "a copy stays no longer than needed"


def test_each_file_comes_in_order(place, monkeypatch):
    monkeypatch.setattr(input_files, "AHEAD", 1)
    monkeypatch.setattr(input_files, "SMALL", len(FILES["day/a.csv"]))
    names = ["day/b.csv", "daylight.csv", "day/notes.txt", "day/a.csv", "day/b.csv"]
    read = []
    for address, opened in input_files.each_on_disk([f"{place}/{name}" for name in names]):
        with opened as path:
            read.append((address, path.name, path.read_text()))
        assert path.exists() == (not is_url(address))
    assert read == [(f"{place}/{n}", n.rsplit("/")[-1], FILES[n]) for n in names]


def test_an_object_that_is_gone_among_others_is_one_error(s3):
    addresses = ["s3://data/day/a.csv", "s3://data/day/gone.csv", "s3://data/day/b.csv"]
    read = []
    with pytest.raises(MfxError, match=r"^s3://data/day/gone\.csv: no such object"):
        for address, opened in input_files.each_on_disk(addresses):
            with opened:
                read.append(address)
    assert read == addresses[:1]


def test_small_objects_are_fetched_several_at_a_time_and_once(s3, monkeypatch):
    from concurrent.futures import ThreadPoolExecutor

    pools, fetched = [], []

    class Pool(ThreadPoolExecutor):
        def __init__(self, workers):
            super().__init__(workers)
            pools.append(workers)

    def fetch(storage, there, folder, file):
        fetched.append(str(there))
        return given(storage, there, folder, file)

    given = input_files._fetch_if_small
    monkeypatch.setattr(input_files, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(input_files, "_fetch_if_small", fetch)
    addresses = found_at("s3://data/day") * 20
    for _, opened in input_files.each_on_disk(addresses):
        with opened:
            assert len(fetched) <= len(addresses)
    assert (pools, fetched) == ([retries.WORKERS], addresses)


def test_an_object_that_is_gone_is_one_error(s3):
    with (
        pytest.raises(MfxError, match=r"^s3://data/day/gone\.csv: no such object"),
        input_files.on_disk("s3://data/day/gone.csv"),
    ):
        pass


def test_a_bucket_that_is_missing_is_one_error(s3):
    with pytest.raises(
        MfxError, match=r"s3://nowhere/a\.csv: cannot read: .*NoSuchBucket"
    ) as error:
        found_at("s3://nowhere/a.csv")
    assert "bucket's name" in error.value.remedy


def test_other_urls_are_one_error():
    with pytest.raises(MfxError, match=r"ftp://b/a\.csv: expected a path on disk, s3://"):
        found_at("ftp://b/a.csv")


def test_an_error_in_a_file_names_its_address(s3, settings):
    s3.put_object(Bucket="data", Key="bad/a.csv", Body=b"n,n\n1,2\n")
    given = settings.override(data__path="s3://data/bad/a.csv", schema__path="none.pbtxt")
    with pytest.raises(MfxError, match=r"^s3://data/bad/a\.csv, line 1: column name 'n'"):
        start.resolve(given)


def test_a_run_from_a_storage_has_the_lineage_of_one_from_disk(
    place, settings, tmp_path, datastore
):
    for key in ("a.csv", "b.csv"):
        (tmp_path / "day").mkdir(exist_ok=True)
        (tmp_path / "day" / key).write_text(FILES[f"day/{key}"])
    bare = settings.override(schema__path="none.pbtxt")
    local = start.resolve(bare.override(data__path=str(tmp_path / "day")))
    remote = start.resolve(bare.override(data__path=f"{place}/day"))
    assert remote.columns == local.columns == {"n": "int64", "w": "bytes"}
    assert remote.lineage.data == local.lineage.data
    assert [file.path for file in remote.files] == [f"{place}/day/a.csv", f"{place}/day/b.csv"]
    for ours, theirs in zip(remote.shards, local.shards, strict=True):
        assert ingest(ours, remote, bare).digest == ingest(theirs, local, bare).digest


def test_an_object_that_changed_during_the_run_stops_it(s3, settings, datastore):
    bare = settings.override(schema__path="none.pbtxt", data__path="s3://data/day/a.csv")
    sources = start.resolve(bare)
    before = Shard((SourceFile(sources.files[0].path, "0" * 64, 8),))
    with pytest.raises(MfxError, match="changed since this run began"):
        ingest(before, sources, bare)
