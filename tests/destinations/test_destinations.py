"""Versions at a push destination, on disk and in buckets: whole or not there, and only growing."""

from __future__ import annotations

import json
import re
import shutil
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.boxes import BOXES, Box
from helpers.pushes import ADDRESSES, push_folder
from hypothesis import given
from hypothesis import strategies as st

from mfx.deploy.manifests.served import Served
from mfx.destinations import DESTINATIONS, base, local, open_destination, open_folder
from mfx.destinations.base import RECORD, STAGED, VersionTakenError, folder_digest
from mfx.destinations.local import LocalDestination
from mfx.errors import MfxError
from mfx.plugins import Registry
from mfx.storage import open_storage
from mfx.storage.address import parse

FILES = {
    "saved_model.pb": b"graph",
    "variables/variables.index": b"index",
    "variables/variables.data-00000-of-00001": b"\x00" * 1000,
    RECORD: json.dumps({"run": "7"}).encode(),
}


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


@pytest.fixture(params=["s3", "gs", "az"])
def bucket(request) -> Box:
    """An empty bucket on each storage that has some."""
    return BOXES[request.param](request)


def keys_of(bucket: Box) -> list[str]:
    return [entry.key for entry in bucket.open().list().entries]


def test_all_destinations_go_through_these_tests():
    assert list(ADDRESSES) == DESTINATIONS.names()


def test_what_was_pushed_comes_back(place, model, tmp_path):
    taxi = open_destination(place, "taxi")
    assert taxi.versions() == []
    before = int(time.time())
    version = push_folder(taxi, model)
    assert before <= version <= time.time() + 1
    assert taxi.versions() == [version]
    assert taxi.record(version)["run"] == "7"
    assert taxi.path(version) == f"{place}/taxi/{version}"
    taxi.fetch(version, tmp_path / "back")
    back = files_of(tmp_path / "back")
    assert {**back, RECORD: FILES[RECORD]} == FILES
    assert taxi.digest(version) == folder_digest(model) == folder_digest(tmp_path / "back")
    assert taxi.staged() == {}
    assert open_destination(place, "other").versions() == []


def test_versions_grow_even_when_the_clock_goes_back(place, model, monkeypatch):
    taxi = open_destination(place, "taxi")
    clock = [2_000_000_000.0]
    monkeypatch.setattr(base.time, "time", lambda: clock[0])
    pushed = []
    for clock[0] in (2_000_000_000.9, 2_000_000_000.1, 1_000.0, 2_000_000_500.0):
        pushed.append(push_folder(taxi, model))
    assert pushed == [2_000_000_000, 2_000_000_001, 2_000_000_002, 2_000_000_500]
    assert taxi.versions() == pushed


def staged(taxi, model: Path, name: str) -> str:
    """The model, staged under a name that its record says."""
    (model / RECORD).write_text(json.dumps({"run": "7", "push": STAGED + name}))
    taxi.stage(model, STAGED + name)
    return STAGED + name


def at_once(*calls) -> list[str]:
    """Run calls at the same moment; what each raised, or ''."""
    barrier = threading.Barrier(len(calls))

    def run(call) -> str:
        barrier.wait()
        try:
            call()
        except (VersionTakenError, MfxError) as error:
            return type(error).__name__
        return ""

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_several_may_publish_the_same_bytes(place, model):
    """Who comes to finish another's push does what the other may still be doing."""
    taxi = open_destination(place, "taxi")
    name = staged(taxi, model, "one")
    others = [open_destination(place, "taxi") for _ in range(4)]
    assert at_once(*[lambda o=o: o.publish(name, 5) for o in others]) == [""] * 4
    assert taxi.versions() == [5] and taxi.digest(5) == folder_digest(model)
    taxi.discard(name)
    taxi.publish(name, 5)
    assert taxi.digest(5) == folder_digest(model) and taxi.staged() == {}


def test_of_different_pushes_to_one_version_one_wins(place, model):
    taxi = open_destination(place, "taxi")
    names = [staged(taxi, model, f"n{i}") for i in range(4)]
    raised = at_once(*[lambda n=n: open_destination(place, "taxi").publish(n, 5) for n in names])
    assert sorted(raised) == ["", *["VersionTakenError"] * 3]
    assert taxi.versions() == [5]
    assert taxi.record(5)["push"] == names[raised.index("")]


def test_there_is_nothing_to_publish(place, model):
    taxi = open_destination(place, "taxi")
    push_folder(taxi, model)
    before = taxi.versions()
    with pytest.raises(MfxError):
        taxi.publish(STAGED + "gone", before[0] + 1)
    assert taxi.versions() == before


def test_staged_bytes_are_known_by_their_hash(place, model):
    taxi = open_destination(place, "taxi")
    name = staged(taxi, model, "one")
    assert taxi.staged_digest(name) == folder_digest(model) != ""
    assert list(taxi.staged()) == [name] and -5 < taxi.staged()[name] < 60
    assert taxi.versions() == []
    taxi.discard(name)
    assert taxi.staged_digest(name) == "" and taxi.staged() == {}


def test_the_digest_is_of_paths_and_bytes_without_the_record(tmp_path):
    def digest(**files: bytes) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, content in files.items():
            path = folder / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return folder_digest(folder)

    one = digest(a=b"1", b__c=b"2")
    assert one == digest(b__c=b"2", a=b"1")
    assert len({one, digest(a=b"1", b__c=b"3"), digest(a=b"1", c=b"2"), digest(a=b"12")}) == 4
    assert digest(**{"a": b"1", "b__c": b"2", RECORD.replace("/", "__"): b"{}"}) == one


def test_a_version_is_withdrawn_whole(place, model):
    taxi = open_destination(place, "taxi")
    first = push_folder(taxi, model)
    taxi.withdraw(push_folder(taxi, model))
    assert taxi.versions() == [first] and taxi.staged() == {}
    assert taxi.digest(first + 1) == ""


def test_a_version_is_withdrawn_once(place, model):
    """Several may ask for it."""
    taxi = open_destination(place, "taxi")
    version = push_folder(taxi, model)
    taxi.withdraw(version)
    taxi.withdraw(version)
    assert taxi.versions() == [] and taxi.staged() == {}


def test_an_entry_is_written_once(place):
    taxi = open_destination(place, "taxi")
    assert taxi.entries() == []
    writers = [open_destination(place, "taxi") for _ in range(6)]
    wrote = []

    def write(number: int) -> None:
        if writers[number].write_entry("00000001-intent", {"by": number}):
            wrote.append(number)

    assert at_once(*[lambda i=i: write(i) for i in range(6)]) == [""] * 6
    assert len(wrote) == 1
    assert taxi.read_entries(["00000001-intent"]) == [{"by": wrote[0]}]
    assert not taxi.write_entry("00000001-intent", {"by": "late"})
    assert taxi.write_entry("00000002-intent", {})
    assert taxi.entries() == ["00000001-intent", "00000002-intent"]
    assert taxi.versions() == []


def test_without_a_record_nothing_is_known(place, model):
    """Something else may push to the same folder."""
    taxi = open_destination(place, "taxi")
    (model / RECORD).unlink()
    taxi.stage(model, f"{STAGED}foreign")
    taxi.publish(f"{STAGED}foreign", 3)
    assert taxi.versions() == [3] and taxi.record(3) == {} and taxi.digest(3) != ""
    assert taxi.record(1) == {}


def test_a_numbered_model_below_the_prefix_is_another(place, model):
    """The versions of `taxi` are not those of `taxi2`, whose name begins alike."""
    push_folder(open_destination(place, "taxi2"), model)
    assert open_destination(place, "taxi").versions() == []


def test_foreign_folders_on_disk_are_ignored(tmp_path, model):
    folder = tmp_path / "pushed" / "taxi"
    for name in ("notes", ".staged-abc", "1.5", "v3", "-4", "tmp-5"):
        (folder / name).mkdir(parents=True)
    (folder / "99999999999").write_text("a file")
    taxi = LocalDestination(folder)
    assert taxi.versions() == []
    version = push_folder(taxi, model)
    assert taxi.versions() == [version] and version < 99999999999
    assert (folder / ".staged-abc").is_dir(), "another push may be using it"


@given(st.integers(0, 2**63 - 1), st.integers(0, 30))
def test_a_number_is_read_with_leading_zeros(number, zeros):
    assert base.version_number("0" * zeros + str(number)) == number


@pytest.mark.parametrize(
    "name",
    [
        *("", "v1", "0.1", "1.0", "-3", "+3", " 1", "1 ", "1_0", "1e3", "\u0661", "\u00b2"),
        *(str(2**63), "20261126121236123456", "9" * 5000),
    ],
)
def test_what_is_no_version(name):
    assert base.version_number(name) is None


def test_of_two_names_for_a_version_the_last_is_taken(tmp_path, model):
    for name in ("1", "0001", "01", "007"):
        shutil.copytree(model, tmp_path / "taxi" / name)
    place = LocalDestination(tmp_path / "taxi")
    assert place.versions() == [1, 7] and place.passed_over() == ["0001", "01"]
    assert place.path(1) == str(tmp_path / "taxi" / "1")
    assert place.folder(7) == tmp_path / "taxi" / "007"
    assert place.digest(7) == place.digest(1) and place.fingerprint(7) == place.fingerprint(1)
    place.withdraw(7)
    assert place.versions() == [1]


def test_a_version_on_disk_is_never_seen_in_part(tmp_path, model, monkeypatch):
    """Until the rename a server sees nothing; then all files are there."""
    folder = tmp_path / "pushed" / "taxi"
    seen = []

    def flush(path, _flush=local.flush):
        seen.append([p.name for p in folder.iterdir() if p.name.isdecimal()])
        _flush(path)

    monkeypatch.setattr(local, "flush", flush)
    version = push_folder(LocalDestination(folder), model)
    assert seen[:-1] and not any(seen[:-1]) and seen[-1] == [str(version)]
    assert [p.name for p in folder.iterdir()] == [str(version)]


def test_all_of_a_version_is_on_disk_before_its_name(tmp_path, model, monkeypatch):
    """Each file, and each folder, which holds the names, before the rename; then the rename."""
    folder = tmp_path / "pushed" / "taxi"
    done = []

    def flush(path, _flush=local.flush):
        done.append(path.relative_to(folder).as_posix())
        _flush(path)

    def rename(path, target, real=Path.rename):
        done.append("rename")
        return real(path, target)

    monkeypatch.setattr(local, "flush", flush)
    monkeypatch.setattr(Path, "rename", rename)
    push_folder(LocalDestination(folder), model)
    assert done[-2:] == ["rename", "."]
    inside = [*FILES, "variables", "assets.extra"]
    (name,) = {path.split("/")[0] for path in done[:-2]}
    assert sorted(done[:-2]) == sorted([name, *(f"{name}/{path}" for path in inside)])


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
        monkeypatch.setattr(local.shutil, "copytree", copytree)
    else:
        owner, name = {"rename": (Path, "rename"), "flush": (local, "flush")}[broken]
        monkeypatch.setattr(owner, name, fail)
    taxi = LocalDestination(tmp_path / "pushed" / "taxi")
    with pytest.raises(MfxError, match=r"cannot push: .*No space left on device"):
        push_folder(taxi, model)
    left = [path.name for path in (tmp_path / "pushed" / "taxi").iterdir()]
    # An intent in the log needs the staged bytes: whoever fails to publish leaves them.
    assert left == (list(taxi.staged()) if broken == "rename" else [])
    assert taxi.versions() == []


def test_a_file_in_the_folders_place_is_one_error(tmp_path, model):
    (tmp_path / "pushed").write_text("")
    with pytest.raises(MfxError, match="cannot push") as caught:
        push_folder(open_destination(str(tmp_path / "pushed"), "taxi"), model)
    assert "--destination" in caught.value.remedy


def test_an_incomplete_version_in_a_bucket_is_not_listed_and_not_reused(bucket, model):
    taxi = open_destination(f"{bucket.place}/", "taxi")
    ahead = int(time.time()) + 1000
    for key in (
        f"taxi/{ahead}/variables/variables.index",
        f"taxi/{ahead}/deeper/saved_model.pb",
        "taxi/notes/saved_model.pb",
        "taxi/saved_model.pb",
    ):
        bucket.put(key, b"")
    assert taxi.versions() == []
    assert push_folder(taxi, model) == ahead + 1
    assert taxi.versions() == [ahead + 1]


def test_the_file_that_completes_a_version_comes_last(bucket, model, monkeypatch):
    taxi = open_destination(str(bucket.place), "taxi")
    copy, seen = taxi._storage._copy, []

    def watch(key, target):
        assert taxi.versions() == []
        copy(key, target)
        seen.append(target.split("/", 2)[2])

    monkeypatch.setattr(taxi._storage, "_copy", watch)
    push_folder(taxi, model)
    assert seen[-1] == "saved_model.pb" and sorted([*seen, RECORD]) == sorted(FILES)


def test_a_publication_that_stopped_goes_on(bucket, model, monkeypatch):
    """Nothing is served until it has gone through; then it is the same version."""
    taxi = open_destination(str(bucket.place), "taxi")
    name = staged(taxi, model, "one")
    copy, done = taxi._storage._copy, []

    def stop(key, target):
        if len(done) == 1:
            raise OSError("the network went away")
        done.append(key)
        copy(key, target)

    monkeypatch.setattr(taxi._storage, "_copy", stop)
    with pytest.raises(MfxError, match="the network went away"):
        taxi.publish(name, 5)
    assert taxi.versions() == [] and taxi.next_version() > 5
    monkeypatch.setattr(taxi._storage, "_copy", copy)
    taxi.publish(name, 5)
    assert taxi.versions() == [5] and taxi.digest(5) == folder_digest(model)


@pytest.mark.parametrize("after", [0, 3])
def test_a_failed_upload_leaves_nothing(after, bucket, model, monkeypatch):
    taxi = open_destination(str(bucket.place), "taxi")
    kept = push_folder(taxi, model)
    before = keys_of(bucket)
    write, done = taxi._storage._write, []

    def fail(key, content):
        if len(done) == after:
            raise OSError("cannot go on")
        done.append(key)
        write(key, content)

    monkeypatch.setattr(taxi._storage, "_write", fail)
    with pytest.raises(MfxError, match="cannot write: cannot go on") as caught:
        push_folder(taxi, model)
    assert caught.value.__suppress_context__
    assert keys_of(bucket) == before
    assert taxi.versions() == [kept]


def test_a_missing_bucket_is_one_error(bucket, model, tmp_path):
    taxi = open_destination(f"{bucket.gone}/models", "taxi")
    calls = (taxi.versions, lambda: taxi.stage(model, STAGED), lambda: taxi.entries())
    for call in (*calls, taxi.try_out):
        with pytest.raises(
            MfxError, match=rf"^{bucket.gone}/.*no such (bucket|container)"
        ) as error:
            call()
        assert "'s name" in error.value.remedy


def test_no_url_of_another_kind_is_a_destination():
    for opened in (
        lambda: open_destination("http://host/models", "taxi"),
        lambda: open_folder("http://host/models/taxi"),
    ):
        with pytest.raises(MfxError, match="expected a folder, s3://bucket/prefix, gs://… or az"):
            opened()


class Toy(LocalDestination):
    """A folder by another scheme."""

    folder_of_all: Path

    @classmethod
    def at(cls, address, model):
        return cls(cls.folder_of_all / address.removeprefix("toy://") / model)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Another package's destination, as an installer leaves it."""
    monkeypatch.setattr(Toy, "folder_of_all", tmp_path, raising=False)
    monkeypatch.setitem(sys.modules, "toy_destination", SimpleNamespace(Toy=Toy))
    info = tmp_path / "toy_destination-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-destination\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mfx.destinations]\ntoy = toy_destination:Toy\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(
        "mfx.destinations.DESTINATIONS",
        Registry("mfx.destinations", "destination", DESTINATIONS._own),
    )


def test_another_packages_scheme_is_a_destination(toy, model, tmp_path):
    version = push_folder(open_destination("toy://a/b", "taxi"), model)
    assert (tmp_path / "a" / "b" / "taxi" / str(version) / "saved_model.pb").is_file()
    destination, name = open_folder("toy://a/b/taxi")
    assert (destination.versions(), name) == ([version], "taxi")
    with pytest.raises(MfxError, match="taxi: expected toy://bucket/model, or toy://bucket/pr"):
        open_folder("toy://taxi")


@pytest.mark.parametrize(
    ("destination", "said"),
    [
        ("toy://a", ""),
        ("tyo://a", "tyo://a: expected a folder, s3://bucket/prefix, gs://…, az://… or toy://…"),
    ],
)
def test_it_may_stand_in_a_config(toy, settings, destination, said):
    with pytest.raises(MfxError, match=re.escape(said)) if said else nullcontext():
        assert settings.override(push__destination=destination).push.destination == destination


def test_manifests_are_for_folders_and_s3(toy):
    with pytest.raises(
        MfxError, match="toy://a: manifests can only be made for models in a folder"
    ):
        Served("taxi", "toy://a")


@pytest.mark.parametrize("prefix", ["", "/", "/a/b/"])
def test_prefixes_have_one_slash_between_parts(prefix, bucket, model):
    taxi = open_destination(f"{bucket.place}{prefix}", "taxi")
    version = push_folder(taxi, model)
    clean = "/".join(part for part in (*prefix.split("/"), "taxi") if part)
    assert taxi.path(version) == f"{bucket.place}/{clean}/{version}"
    assert all("//" not in key and not key.startswith("/") for key in keys_of(bucket))


def all_below(place: str) -> list[str]:
    """All files, whatever their names."""
    if there := parse(place):
        return [entry.key for entry in open_storage(there).list().entries]
    return [str(path) for path in Path(place).parent.rglob("*")]


def test_trying_out_leaves_nothing_behind(place):
    before = all_below(place)
    open_destination(place, "taxi").try_out()
    assert all_below(place) == before
    open_destination(place, "taxi").write_entry("00000001-intent", {"run": "1"})
    before = all_below(place)
    open_destination(place, "taxi").try_out()
    assert sorted(all_below(place)) == sorted(before)


def test_a_file_where_the_folder_goes_is_found_by_trying_out(tmp_path):
    (tmp_path / "pushed").write_text("no folder")
    with pytest.raises(MfxError, match=r"taxi: cannot write: .*pushed is a file, not a folder"):
        open_destination(str(tmp_path / "pushed"), "taxi").try_out()


def test_a_disk_without_hard_links_is_found_by_trying_out(tmp_path, monkeypatch):
    def none(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("mfx.destinations.local.os.link", none)
    with pytest.raises(MfxError, match="cannot write: Operation not permitted"):
        open_destination(str(tmp_path / "pushed"), "taxi").try_out()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("denied", ["PutObject", "GetObject", "DeleteObject"])
def test_each_right_that_is_missing_is_found_by_trying_out(s3, denied):
    from botocore.exceptions import ClientError

    destination = open_destination(f"s3://{s3.bucket}/models", "taxi")

    def refuse(params, **_):
        answer = {"Error": {"Code": "AccessDenied", "Message": "no"}}
        raise ClientError({**answer, "ResponseMetadata": {"HTTPStatusCode": 403}}, denied)

    destination._storage._client.meta.events.register(f"before-parameter-build.s3.{denied}", refuse)
    with pytest.raises(MfxError, match="AccessDenied"):
        destination.try_out()
    left = s3.list_objects_v2(Bucket=s3.bucket)["KeyCount"]
    assert left == (1 if denied == "DeleteObject" else 0)


def test_one_slash_makes_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for opened in (lambda: open_destination("s3:/b/m", "taxi"), lambda: open_folder("s3:/b/taxi")):
        with pytest.raises(MfxError, match="did you mean s3://b/"):
            opened()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b'{"run": ', b"[1]", b"\xff\xfe"])
def test_a_damaged_record_is_an_error_and_not_nothing(tmp_path, model, content):
    taxi = open_destination(str(tmp_path / "pushed"), "taxi")
    version = push_folder(taxi, model)
    assert taxi.write_entry("00000001-intent", {"number": 1})
    for path, read in (
        (tmp_path / "pushed" / "taxi" / str(version) / RECORD, lambda: taxi.record(version)),
        (
            tmp_path / "pushed" / "taxi" / "promotions" / "00000001-intent.json",
            lambda: taxi.read_entries(["00000001-intent"]),
        ),
    ):
        path.write_bytes(content)
        with pytest.raises(MfxError, match=f"{path.name}: expected a JSON object"):
            read()


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("nowhere")])
def test_a_destination_that_is_no_folder_is_an_error_and_not_empty(tmp_path, make):
    """Such as a link to a disk that is not mounted."""
    make(tmp_path / "taxi")
    with pytest.raises(MfxError, match="taxi: cannot read"):
        open_destination(str(tmp_path), "taxi").versions()
