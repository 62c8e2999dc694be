"""Versions are loaded, switched to and unloaded, as in TF Serving; on disk and on S3."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.pushes import push_folder
from helpers.serving_models import small_model

from mfx.destinations import open_destination
from mfx.errors import MfxError
from mfx.serve.errors import RequestError
from mfx.serve.parameters import BatchingParameters
from mfx.serve.versions import ATTEMPTS, AVAILABLE, CHANGED, END, GONE, SAME, ModelVersions

ROW = {"amount": [1.0], "count": [1], "kind": [b""]}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models whose answer to ROW is 2 + their number."""
    return [small_model(tmp_path_factory.mktemp("model"), offset=float(n)) for n in range(3)]


@pytest.fixture
def place(tmp_path):
    return open_destination(str(tmp_path / "pushed"), "small")


@pytest.fixture
def versions_of():
    made = []

    def make(source, **options):
        made.append(ModelVersions("small", source, BatchingParameters(), **options))
        return made[-1]

    yield make
    for versions in made:
        versions.stop()


def put(place, folder, version):
    shutil.copytree(folder, place.folder(version))


def answer(versions, *which, **label):
    with versions.use(*which, **label) as model:
        return model.version, model.run("predict", ROW)["score"].tolist()[0]


def states(versions):
    return {s.version: (s.state, s.code) for s in versions.status()}


def test_a_new_version_takes_over(place, models, versions_of):
    put(place, models[0], 1)
    versions = versions_of(place)
    versions.poll()
    assert answer(versions) == (1, 2.0)
    put(place, models[1], 2)
    versions.poll()
    assert answer(versions) == (2, 3.0)
    assert states(versions) == {2: (AVAILABLE, "OK"), 1: (END, "OK")}
    with pytest.raises(RequestError, match=r"Specific\(small, 1\)") as gone:
        answer(versions, 1)
    assert gone.value.code == "NOT_FOUND"
    with pytest.raises(RequestError, match=r"Specific\(small, 0\)"):
        answer(versions, 0)


def test_a_broken_version_is_reported_and_the_old_one_goes_on(place, models, versions_of):
    put(place, models[0], 1)
    versions = versions_of(place)
    versions.poll()
    put(place, models[1], 2)
    (place.folder(2) / "saved_model.pb").write_bytes(b"junk")
    for _ in range(ATTEMPTS + 2):
        versions.poll()
        assert answer(versions) == (1, 2.0)
    broken = versions.status(2)[0]
    assert (broken.state, broken.code, broken.attempts) == (END, "UNKNOWN", ATTEMPTS)
    assert broken.message
    put(place, models[2], 3)
    versions.poll()
    assert answer(versions) == (3, 4.0)


def test_a_server_starts_on_an_older_version_when_the_newest_is_broken(place, models, versions_of):
    put(place, models[0], 1)
    put(place, models[1], 2)
    (place.folder(2) / "saved_model.pb").write_bytes(b"junk")
    versions = versions_of(place)
    versions.poll()
    assert answer(versions) == (1, 2.0)
    assert states(versions) == {2: (END, "UNKNOWN"), 1: (AVAILABLE, "OK")}


def test_what_fails_once_is_tried_again(place, models, versions_of):
    put(place, models[0], 1)
    variables = place.folder(1) / "variables"
    variables.rename(place.folder(1) / "away")
    versions = versions_of(place)
    versions.poll()
    assert states(versions) == {1: (END, "UNKNOWN")}
    (place.folder(1) / "away").rename(variables)
    versions.poll()
    assert answer(versions) == (1, 2.0)


def test_several_are_kept_and_chosen_by_number_and_label(place, models, versions_of):
    for number, folder in enumerate(models, start=1):
        put(place, folder, number)
    versions = versions_of(place, keep=2, labels={"canary": 3, "stable": 2, "old": 5})
    versions.poll()
    assert answer(versions) == (3, 4.0)
    assert answer(versions, 2) == (2, 3.0)
    assert answer(versions, label="stable") == (2, 3.0)
    with pytest.raises(RequestError, match="Unrecognized servable version label: none") as wrong:
        answer(versions, label="none")
    assert wrong.value.code == "INVALID_ARGUMENT"
    with pytest.raises(RequestError) as gone:
        answer(versions, label="old")
    assert gone.value.code == "NOT_FOUND"


def test_what_a_label_names_is_served_beside_the_newest(place, models, versions_of, caplog):
    put(place, models[0], 1)
    put(place, models[1], 2)
    versions = versions_of(place, labels={"stable": 1})
    versions.poll()
    assert answer(versions) == (2, 3.0) and answer(versions, label="stable") == (1, 2.0)
    put(place, models[2], 3)
    versions.poll()
    assert answer(versions) == (3, 4.0) and answer(versions, label="stable") == (1, 2.0)
    assert states(versions)[2] == (END, "OK")
    # It is served even without its folder. Requests without a label go to another version.
    shutil.rmtree(place.folder(1))
    for _ in range(3):
        versions.poll()
    assert answer(versions, label="stable") == answer(versions, 1) == (1, 2.0)
    (lost,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "small 1, which is labelled stable, still answers, but " in lost.message
    assert "/1 is gone: it cannot be loaded again" in lost.message


def test_a_withdrawn_version_is_asked_by_its_label_alone(place, models, versions_of):
    put(place, models[0], 1)
    put(place, models[1], 2)
    versions = versions_of(place, labels={"canary": 2})
    versions.poll()
    assert answer(versions) == (2, 3.0)
    place.withdraw(2)
    versions.poll()
    assert answer(versions) == (1, 2.0) and answer(versions, label="canary") == (2, 3.0)


def test_a_version_goes_on_when_only_a_broken_one_is_left(place, models, versions_of):
    put(place, models[0], 1)
    versions = versions_of(place)
    versions.poll()
    shutil.rmtree(place.folder(1))
    put(place, models[1], 2)
    (place.folder(2) / "saved_model.pb").write_bytes(b"junk")
    versions.poll()
    assert answer(versions) == (1, 2.0)


def test_other_bytes_under_a_number_are_noticed(place, models, versions_of, caplog):
    caplog.set_level("INFO", "mfx.serve")
    put(place, models[0], 1)
    versions = versions_of(place)
    versions.poll()

    def overwrite(model):
        shutil.rmtree(place.folder(1))
        put(place, model, 1)
        versions.poll()
        versions.poll()
        said = [r.message for r in caplog.records if "served" not in r.message]
        caplog.clear()
        return versions.status()[0].stored, answer(versions), said

    # The same files, written again, are the same version.
    assert overwrite(models[0]) == (SAME, (1, 2.0), [])
    stored, answered, (said,) = overwrite(models[1])
    assert (stored, answered) == (CHANGED, (1, 2.0))
    assert "small 1 still answers as it was loaded, but " in said and "now has other files" in said
    stored, answered, (said,) = overwrite(models[0])
    assert (stored, answered) == (SAME, (1, 2.0)) and "is the same as what was loaded again" in said


def test_the_storage_gone_is_said_once(place, models, versions_of, caplog):
    put(place, models[0], 1)
    versions = versions_of(place)
    versions.poll()
    shutil.rmtree(place.folder(1).parent)
    versions.poll()
    versions.poll()
    (said,) = [r for r in caplog.records if r.name == "mfx.serve"]
    assert said.levelname == "WARNING" and "small 1 still answers" in said.message
    assert versions.status()[0].stored == GONE and answer(versions) == (1, 2.0)


def test_a_folder_with_leading_zeros_is_its_number(place, models, versions_of, caplog):
    for name, model in (("0001", models[0]), ("v2", models[1]), (str(2**63), models[1])):
        shutil.copytree(model, place.folder(5).parent / name)
    versions = versions_of(place, labels={"first": 1}, poll_seconds=60)
    versions.start()
    assert answer(versions) == answer(versions, 1) == answer(versions, label="first") == (1, 2.0)
    assert "no version numbers, ignored: 9223372036854775808, v2" in caplog.text
    assert set(states(versions)) == {1}


def test_a_withdrawn_version_gives_way_to_the_one_before(place, models, versions_of):
    put(place, models[0], 1)
    put(place, models[1], 2)
    versions = versions_of(place)
    versions.poll()
    assert answer(versions)[0] == 2
    place.withdraw(2)
    versions.poll()
    assert answer(versions) == (1, 2.0)


def test_a_source_gone_leaves_what_is_loaded(place, models, versions_of):
    put(place, models[0], 1)
    versions = versions_of(place)
    versions.poll()
    shutil.rmtree(place.folder(1).parent)
    versions.poll()
    assert answer(versions) == (1, 2.0)


def test_a_version_is_closed_only_when_its_last_request_is_answered(place, models, versions_of):
    put(place, models[0], 1)
    versions = versions_of(place)
    versions.poll()
    with versions.use() as held:
        put(place, models[1], 2)
        polling = threading.Thread(target=versions.poll)
        polling.start()
        while answer(versions)[0] != 2:
            pass
        assert held.run("predict", ROW)["score"].tolist() == [2.0]
        assert polling.is_alive()
    polling.join(timeout=30)
    assert states(versions)[1] == (END, "OK")


def test_no_request_fails_while_versions_change(place, models, versions_of):
    put(place, models[0], 1)
    versions = versions_of(place, poll_seconds=0.05)
    versions.start()
    stop = threading.Event()

    def ask():
        answers = []
        while not stop.is_set():
            answers.append(answer(versions))
        return [*answers, answer(versions)]

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask) for _ in range(4)]
        for number in (2, 3):
            put(
                place, models[number - 1], 10 * number
            )  # Copied into its place: at first it is incomplete.
            while answer(versions)[0] != 10 * number:
                pass
        stop.set()
    seen = {pair for future in asked for pair in future.result()}
    assert seen == {(1, 2.0), (20, 3.0), (30, 4.0)}


def test_warm_up_comes_before_the_switch(place, models, versions_of):
    seen = []
    put(place, models[0], 1)
    versions = versions_of(
        place, warm_up=lambda model, folder: seen.append((model.version, folder))
    )
    versions.poll()
    assert seen == [(1, place.folder(1))]


def test_a_failed_warm_up_is_a_broken_version(place, models, versions_of):
    def refuse(model, folder):
        raise ValueError("the warm-up request has no such input")

    put(place, models[0], 1)
    versions = versions_of(place, warm_up=refuse)
    versions.poll()
    assert versions.status()[0].message == "the warm-up request has no such input"
    with pytest.raises(RequestError, match=r"Latest\(small\)"):
        answer(versions)


def test_status_of_what_was_never_there(place, versions_of):
    with pytest.raises(RequestError, match="Could not find version 5 of model small") as unknown:
        versions_of(place).status(5)
    assert unknown.value.code == "NOT_FOUND"


def test_versions_on_s3(server, models, versions_of):
    import boto3

    boto3.client("s3").create_bucket(Bucket="served")
    place = open_destination("s3://served/models", "small")
    first = push_folder(place, models[0])
    versions = versions_of(place)
    versions.poll()
    assert answer(versions) == (first, 2.0)
    second = push_folder(place, models[1])
    versions.poll()
    assert answer(versions) == (second, 3.0)
    # Somebody put other files under its number.
    client = boto3.client("s3")
    key = f"models/small/{second}/variables/variables.index"
    client.put_object(Bucket="served", Key=key, Body=b"other")
    versions.poll()
    assert versions.status(second)[0].stored == CHANGED and answer(versions) == (second, 3.0)


def test_leading_zeros_on_s3(server, models, versions_of):
    import boto3

    client = boto3.client("s3")
    client.create_bucket(Bucket="padded")
    for name in ("0007", str(2**63), "v9"):
        for path in models[1].rglob("*"):
            if path.is_file():
                key = f"models/small/{name}/{path.relative_to(models[1]).as_posix()}"
                client.upload_file(str(path), "padded", key)
    place = open_destination("s3://padded/models", "small")
    versions = versions_of(place)
    versions.poll()
    assert answer(versions) == (7, 3.0) and place.path(7) == "s3://padded/models/small/0007"
    assert place.passed_over() == ["9223372036854775808", "v9"]
    place.withdraw(7)
    assert place.versions() == []


def test_a_source_that_cannot_be_read_is_said_at_the_start_and_outlived_later(
    server, models, versions_of, caplog
):
    import boto3

    caplog.set_level("WARNING", "mfx.serve")
    place = open_destination("s3://not-there-yet/models", "small")
    with pytest.raises(MfxError, match="s3://not-there-yet/models/small"):
        versions_of(place).start()
    boto3.client("s3").create_bucket(Bucket="not-there-yet")
    version = push_folder(place, models[0])
    versions = versions_of(place)
    versions.start()
    client = boto3.client("s3")
    for found in client.list_objects_v2(Bucket="not-there-yet")["Contents"]:
        client.delete_object(Bucket="not-there-yet", Key=found["Key"])
    client.delete_bucket(Bucket="not-there-yet")
    versions.poll()
    assert "still serves the loaded versions" in caplog.text
    assert answer(versions) == (version, 2.0)
