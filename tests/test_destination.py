"""Versions at a push destination, on disk and on S3: whole or not there, and only growing."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mfx import destination
from mfx.destination import RECORD, LocalDestination, S3Destination, open_destination
from mfx.errors import MfxError

FILES = {
    "saved_model.pb": b"graph",
    "variables/variables.index": b"index",
    "variables/variables.data-00000-of-00001": b"\x00" * 1000,
    RECORD: json.dumps({"run": "7"}).encode(),
}


@pytest.fixture(scope="module")
def server():
    """A local S3, gone with the module."""
    from moto.server import ThreadedMotoServer

    with pytest.MonkeyPatch.context() as patch:
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }.items():
            patch.setenv(name, value)
        patch.delenv("AWS_PROFILE", raising=False)
        yield server
        server.stop()


@pytest.fixture
def s3(server, request):
    """A client, and a bucket of the test's own."""
    import boto3

    client = boto3.client("s3")
    name = "b-" + re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:55]
    client.create_bucket(Bucket=name)
    client.bucket = name
    return client


@pytest.fixture(params=["local", "s3"])
def place(request, tmp_path):
    """A destination's address on each storage."""
    if request.param == "local":
        return str(tmp_path / "pushed")
    return f"s3://{request.getfixturevalue('s3').bucket}/some/prefix"


@pytest.fixture
def model(tmp_path) -> Path:
    folder = tmp_path / "model"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def keys_of(s3) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=s3.bucket).get("Contents", [])]


def test_what_was_pushed_comes_back(place, model, tmp_path):
    taxi = open_destination(place, "taxi")
    assert taxi.versions() == []
    before = int(time.time())
    version = taxi.push(model)
    assert before <= version <= time.time() + 1
    assert taxi.versions() == [version]
    assert taxi.record(version) == {"run": "7"}
    assert taxi.path(version) == f"{place}/taxi/{version}"
    taxi.fetch(version, tmp_path / "back")
    assert files_of(tmp_path / "back") == FILES
    assert open_destination(place, "other").versions() == []


def test_versions_grow_even_when_the_clock_goes_back(place, model, monkeypatch):
    taxi = open_destination(place, "taxi")
    clock = [2_000_000_000.0]
    monkeypatch.setattr(destination.time, "time", lambda: clock[0])
    pushed = []
    for clock[0] in (2_000_000_000.9, 2_000_000_000.1, 1_000.0, 2_000_000_500.0):
        pushed.append(taxi.push(model))
    assert pushed == [2_000_000_000, 2_000_000_001, 2_000_000_002, 2_000_000_500]
    assert taxi.versions() == pushed


def test_pushes_at_the_same_time_never_collide(place, model):
    count = 6
    barrier = threading.Barrier(count)

    def push(number: int) -> int:
        taxi = open_destination(place, "taxi")
        barrier.wait()
        return taxi.push(model)

    with ThreadPoolExecutor(count) as pool:
        versions = list(pool.map(push, range(count)))
    assert len(set(versions)) == count
    taxi = open_destination(place, "taxi")
    assert taxi.versions() == sorted(versions)
    assert all(taxi.record(version) == {"run": "7"} for version in versions)


def test_without_a_record_nothing_is_known(place, model):
    (model / RECORD).unlink()
    taxi = open_destination(place, "taxi")
    assert taxi.record(taxi.push(model)) == {}
    assert taxi.record(1) == {}


def test_a_numbered_model_below_the_prefix_is_another(place, model):
    """The versions of `taxi` are not those of `taxi2`, whose name begins alike."""
    open_destination(place, "taxi2").push(model)
    assert open_destination(place, "taxi").versions() == []


def test_foreign_folders_on_disk_are_ignored(tmp_path, model):
    folder = tmp_path / "pushed" / "taxi"
    for name in ("notes", ".staged-abc", "1.5", "v3", "-4", "tmp-5"):
        (folder / name).mkdir(parents=True)
    (folder / "99999999999").write_text("a file")
    taxi = LocalDestination(folder)
    assert taxi.versions() == []
    version = taxi.push(model)
    assert taxi.versions() == [version] and version < 99999999999
    assert (folder / ".staged-abc").is_dir(), "another push may be using it"


def test_a_version_on_disk_is_never_seen_in_part(tmp_path, model, monkeypatch):
    """Until the rename a server sees nothing; then all files are there."""
    folder = tmp_path / "pushed" / "taxi"
    seen = []

    def flush(path, _flush=destination._flush):
        seen.append([p.name for p in folder.iterdir() if p.name.isdecimal()])
        _flush(path)

    monkeypatch.setattr(destination, "_flush", flush)
    version = LocalDestination(folder).push(model)
    assert seen[:-1] and not any(seen[:-1]) and seen[-1] == [str(version)]
    assert [p.name for p in folder.iterdir()] == [str(version)]


@pytest.mark.parametrize("broken", ["copytree", "rename", "flush"])
def test_a_failed_push_leaves_nothing_on_disk(broken, tmp_path, model, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    def fail_at_third(source, target, copied=[], **options):  # noqa: B006
        copied.append(source)
        return fail() if len(copied) == 3 else shutil.copy2(source, target, **options)

    def copytree(source, target, *_, real=shutil.copytree, **__):
        return real(source, target, copy_function=fail_at_third)

    if broken == "copytree":
        monkeypatch.setattr(destination.shutil, "copytree", copytree)
    else:
        owner, name = {"rename": (Path, "rename"), "flush": (destination, "_flush")}[broken]
        monkeypatch.setattr(owner, name, fail)
    taxi = LocalDestination(tmp_path / "pushed" / "taxi")
    with pytest.raises(MfxError, match=r"cannot push: .*No space left on device"):
        taxi.push(model)
    assert list((tmp_path / "pushed" / "taxi").iterdir()) == []
    assert taxi.versions() == []


def test_a_file_in_the_folders_place_is_one_error(tmp_path, model):
    (tmp_path / "pushed").write_text("")
    with pytest.raises(MfxError, match="cannot push") as caught:
        open_destination(str(tmp_path / "pushed"), "taxi").push(model)
    assert "--destination" in caught.value.remedy


def test_an_incomplete_version_on_s3_is_not_listed_and_not_reused(s3, model):
    taxi = S3Destination(f"s3://{s3.bucket}/", "taxi")
    ahead = int(time.time()) + 1000
    for key in (
        f"taxi/{ahead}/variables/variables.index",
        f"taxi/{ahead}/deeper/saved_model.pb",
        "taxi/notes/saved_model.pb",
        "taxi/saved_model.pb",
    ):
        s3.put_object(Bucket=s3.bucket, Key=key, Body=b"")
    assert taxi.versions() == []
    assert taxi.push(model) == ahead + 1
    assert taxi.versions() == [ahead + 1]


def test_the_file_that_completes_a_version_is_uploaded_last(s3, model, monkeypatch):
    taxi = S3Destination(f"s3://{s3.bucket}", "taxi")
    upload, seen = taxi._s3.upload_file, []

    def watch(path, bucket, key):
        assert taxi.versions() == []
        upload(path, bucket, key)
        seen.append(key.split("/", 2)[2])

    monkeypatch.setattr(taxi._s3, "upload_file", watch)
    taxi.push(model)
    assert seen[-1] == "saved_model.pb" and sorted(seen) == sorted(FILES)


@pytest.mark.parametrize("after", [0, 2, 3])
def test_a_failed_upload_leaves_nothing_on_s3(after, s3, model, monkeypatch):
    from boto3.exceptions import S3UploadFailedError

    taxi = S3Destination(f"s3://{s3.bucket}", "taxi")
    kept = taxi.push(model)
    before = keys_of(s3)
    upload, done = taxi._s3.upload_file, []

    def fail(path, bucket, key):
        if len(done) == after:
            raise S3UploadFailedError(f"Failed to upload {path}: AccessDenied")
        done.append(key)
        upload(path, bucket, key)

    monkeypatch.setattr(taxi._s3, "upload_file", fail)
    with pytest.raises(MfxError, match="cannot push: Failed to upload") as caught:
        taxi.push(model)
    assert caught.value.__suppress_context__
    assert keys_of(s3) == before
    assert taxi.versions() == [kept]


def test_a_missing_bucket_is_one_error(server, model, tmp_path):
    taxi = open_destination("s3://no-such-bucket/models", "taxi")
    for call in (taxi.versions, lambda: taxi.push(model), lambda: taxi.fetch(1, tmp_path / "f")):
        with pytest.raises(MfxError, match=r"s3://no-such-bucket/.*NoSuchBucket") as caught:
            call()
        assert "bucket's name" in caught.value.remedy


@pytest.mark.parametrize("problem", ["nobody listens", "no credentials"])
def test_s3_out_of_reach_is_one_error(problem, server, monkeypatch):
    if problem == "no credentials":
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    else:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(MfxError, match="s3://models/taxi/: cannot list: "):
        open_destination("s3://models", "taxi").versions()


@pytest.mark.parametrize("url", ["gs://bucket/models", "http://host/models"])
def test_other_urls_are_one_error(url):
    with pytest.raises(MfxError, match="expected a folder or s3://bucket/prefix"):
        open_destination(url, "taxi")


@pytest.mark.parametrize("prefix", ["", "/", "/a", "/a/b/"])
def test_prefixes_have_one_slash_between_parts(prefix, s3, model):
    taxi = open_destination(f"s3://{s3.bucket}{prefix}", "taxi")
    version = taxi.push(model)
    clean = "/".join(part for part in (s3.bucket, *prefix.split("/"), "taxi") if part)
    assert taxi.path(version) == f"s3://{clean}/{version}"
    assert all("//" not in key and not key.startswith("/") for key in keys_of(s3))
