"""If S3 fails sometimes, this only costs time. If S3 is gone, there is one error, soon."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from botocore import exceptions
from helpers import chaos, faulty_proxy
from helpers.faulty_proxy import DENIED, KINDS, UNCONDITIONAL, FaultyProxy, running
from helpers.flows import ROOT, SAMPLE
from helpers.pushes import push_folder

from mfx.artifacts import store
from mfx.destinations import open_destination
from mfx.destinations.base import RECORD, folder_digest
from mfx.errors import MfxError
from mfx.ingest import finding, input_files
from mfx.registry import promotion
from mfx.storage import retries, s3

MODEL = {f"variables/part-{number}": bytes([number]) * 50_000 for number in range(4)}
MODEL |= {"saved_model.pb": b"graph", RECORD: json.dumps({"run": "7"}).encode()}


@contextmanager
def behind(share: float, kind: str, proxy: FaultyProxy | None = None) -> Iterator[FaultyProxy]:
    """The module's S3 behind a proxy, for all clients that are created from now on."""
    target = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
    proxy = proxy or FaultyProxy(target, share, [kind])
    with pytest.MonkeyPatch.context() as patch, running(proxy) as url:
        patch.setenv("AWS_ENDPOINT_URL", url)
        yield proxy


@pytest.fixture
def impatient(monkeypatch):
    """Short time limits, after which S3 counts as silent and as gone."""
    monkeypatch.setattr(s3, "READ_SECONDS", 0.5)
    monkeypatch.setattr(faulty_proxy, "SLOW_SECONDS", 2.0)
    monkeypatch.setenv(retries.PATIENCE, "1")


@pytest.fixture
def bucket(request) -> str:
    """A bucket for one test, on a server without faults."""
    return request.getfixturevalue("s3_client").bucket


@pytest.fixture
def s3_client(server, request):
    """A client that talks to the server without faults."""
    import boto3

    client = boto3.client("s3")
    client.bucket = f"b{abs(hash(request.node.name)) % 10**12}"
    client.create_bucket(Bucket=client.bucket)
    return client


@pytest.fixture
def model(tmp_path) -> Path:
    for name, content in MODEL.items():
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "model"


@pytest.fixture
def payloads(bucket, monkeypatch) -> str:
    """`mfx.artifacts.store` saves to S3."""
    from metaflow import current
    from metaflow.datastore import FlowDataStore
    from metaflow.plugins.datastores.s3_storage import S3Storage
    from metaflow.plugins.datatools.s3 import s3util

    from mfx.artifacts import metaflow_s3

    metaflow_s3.limit_time()
    monkeypatch.setattr(metaflow_s3._Gone, "until", 0.0)
    monkeypatch.setattr(S3Storage, "datastore_root", f"s3://{bucket}/metaflow")
    monkeypatch.setattr(FlowDataStore, "default_storage_impl", S3Storage)
    monkeypatch.setattr(current, "_flow_name", "Pipeline", raising=False)
    # The settings that `environment.set_defaults` makes before Metaflow is imported.
    config = {"retries": {"mode": "standard", "max_attempts": s3.RETRIES}, "read_timeout": 0.5}
    monkeypatch.setitem(s3util.DATATOOLS_CLIENT_PARAMS, "config", config)
    return bucket


@pytest.mark.parametrize("kind", KINDS)
def test_a_push_gets_through(kind, bucket, model, tmp_path, impatient, monkeypatch):
    monkeypatch.setenv(retries.PATIENCE, "30")
    with behind(0.2, kind) as proxy:
        taxi = open_destination(f"s3://{bucket}/models", "taxi")
        version = push_folder(taxi, model)
        taxi.fetch(version, tmp_path / "back")
        assert taxi.digest(version) == folder_digest(model) == folder_digest(tmp_path / "back")
        assert taxi.write_entry("00000001-intent", {"by": "ann"})
        assert not taxi.write_entry("00000001-intent", {"by": "bob"})
        assert taxi.read_entries(["00000001-intent"]) == [{"by": "ann"}]
        assert (taxi.versions(), taxi.staged()) == ([version], {})
    assert proxy.counts[kind] > 5, proxy.counts


@pytest.mark.parametrize("kind", ["503", "cut after"])
def test_input_is_read(kind, bucket, s3_client, impatient, monkeypatch):
    monkeypatch.setenv(retries.PATIENCE, "30")
    files = {f"day/{number}.csv": f"n\n{number}\n" * 1000 for number in range(5)}
    for key, text in files.items():
        s3_client.put_object(Bucket=bucket, Key=key, Body=text.encode())
    with behind(0.35, kind) as proxy:
        for file in finding.find([f"s3://{bucket}/day"]):
            with input_files.on_disk(file.address) as path:
                assert path.read_text() == files.pop(file.address.removeprefix(f"s3://{bucket}/"))
    assert files == {} and proxy.counts[kind] > 0, proxy.counts


@pytest.mark.parametrize("kind", KINDS)
def test_payloads_come_back(kind, payloads, model, tmp_path, impatient, monkeypatch):
    monkeypatch.setenv(retries.PATIENCE, "30")
    monkeypatch.setattr(store, "CHUNK_BYTES", 20_000)
    monkeypatch.setattr(store, "CHUNKS", 8)
    with behind(0.15, kind) as proxy:
        payload = store.save(model)
        assert folder_digest(payload.save_to(tmp_path / "back")) == folder_digest(model)
    assert proxy.counts[kind] > 3, proxy.counts


def operations(bucket: str, model: Path) -> dict:
    """Everything that the library does on S3, each as a function."""
    taxi = open_destination(f"s3://{bucket}/models", "taxi")
    return {
        "list": taxi.versions,
        "push": lambda: taxi.stage(model, ".staged-x"),
        "log": lambda: taxi.write_entry("00000001-intent", {}),
        "find": lambda: finding.find([f"s3://{bucket}/day"]),
        "read": lambda: input_files.on_disk(f"s3://{bucket}/a.csv").__enter__(),
        "save": lambda: store.save(model),
    }


OPERATIONS = ["list", "push", "log", "find", "read", "save"]


@pytest.mark.parametrize(
    ("kind", "operation"),
    [
        *zip(["503", "slow", "cut before"] * 2, OPERATIONS, strict=True),
        ("slow", "save"),
        ("503", "read"),
    ],
)
def test_s3_that_is_gone_is_one_error_in_the_stated_time(
    kind, operation, payloads, model, impatient
):
    with behind(1.0, kind) as proxy:
        call = operations(payloads, model)[operation]
        begin = time.monotonic()
        with pytest.raises(Exception, match="does not answer, tried for") as caught:
            call()
        seconds = time.monotonic() - begin
    # One second of patience between two tries. Each has boto's own wait and second request.
    if (
        operation == "save"
    ):  # Metaflow starts a process for each try, which takes longer on a busy machine.
        assert proxy.counts[kind] <= 2 * 2 * len(MODEL)
    else:
        assert seconds < 1 + 2 * 2 * (1 + 0.5) + 1
    assert isinstance(caught.value, retries.StorageGoneError) or operation == "save"
    assert f"s3://{payloads}/" in str(caught.value) and "When it is back" in (
        getattr(caught.value, "remedy", "When it is back")
    )


@pytest.mark.parametrize("operation", OPERATIONS)
def test_denied_access_is_one_error_at_once(operation, payloads, model):
    with behind(1.0, DENIED) as proxy:
        call = operations(payloads, model)[operation]
        with pytest.raises(Exception, match=r"(?i)denied|forbidden") as caught:
            call()
    assert f"s3://{payloads}/" in str(caught.value) and "credentials" in str(caught.value)
    assert proxy.counts[DENIED] <= len(MODEL) + 2, "trying again does not help"


@pytest.mark.parametrize("operation", ["list", "push", "log", "find", "save"])
def test_a_missing_bucket_is_one_error(operation, payloads, model, monkeypatch):
    from metaflow.plugins.datastores.s3_storage import S3Storage

    monkeypatch.setattr(S3Storage, "datastore_root", "s3://no-such-bucket/metaflow")
    with pytest.raises(Exception, match=r"s3://no-such-bucket/.*([Nn]o ?[Ss]uch ?[Bb]ucket)"):
        operations("no-such-bucket", model)[operation]()


def test_an_answer_that_was_lost_is_not_anothers_write(bucket):
    """The entry is there, S3 says so to the second try, and it is ours."""

    class FirstWrite(FaultyProxy):
        def fault(self) -> str:
            self.counts["all"] += 1
            return "cut after" if self.counts["all"] == 1 else ""

    target = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
    with behind(0, "", FirstWrite(target, 0)) as proxy:
        taxi = open_destination(f"s3://{bucket}", "taxi")
        assert taxi.write_entry("00000001-intent", {})
        assert proxy.counts["all"] == 4  # Lost, refused, looked up, refused again.
        assert not open_destination(f"s3://{bucket}", "taxi").write_entry("00000001-intent", {})


def test_a_storage_that_knows_no_conditional_writes_is_refused(bucket, model):
    with behind(1.0, UNCONDITIONAL):
        taxi = open_destination(f"s3://{bucket}", "taxi")
        with pytest.raises(MfxError, match=r"writes over what is there even when told not to"):
            promotion.apply(taxi, promotion.begin(taxi), request("7"), copy_of(model))
        assert (taxi.entries(), taxi.versions(), taxi.staged()) == ([], [], {})


def request(run: str) -> promotion.Request:
    return promotion.Request("promote", "Pipeline", run, {"run": run, "flow": "Pipeline"})


def copy_of(model: Path):
    return lambda folder: shutil.copytree(model, folder, dirs_exist_ok=True)


def test_a_copy_that_lacks_bytes_is_not_published(bucket, s3_client, model, monkeypatch):
    taxi = open_destination(f"s3://{bucket}", "taxi")
    copy = taxi._storage._copy

    def short(key, target):
        copy(key, target)
        if target.endswith("part-3"):
            s3_client.put_object(Bucket=bucket, Key=target, Body=b"half")

    monkeypatch.setattr(taxi._storage, "_copy", short)
    with pytest.raises(MfxError, match=r"variables/part-3: not all bytes came to"):
        push_folder(taxi, model)
    assert taxi.versions() == []


def test_other_bytes_than_were_stored_are_noticed(payloads, s3_client, model, tmp_path):
    payload = store.save(model)
    key = payload.only("saved_model.pb").blobs[0].keys[0]
    place = f"metaflow/Pipeline/data/{key[:2]}/{key}"
    s3_client.put_object(Bucket=payloads, Key=place, Body=b"grape")
    with pytest.raises(MfxError, match=r"saved_model\.pb: .* returned other bytes"):
        payload.save_to(tmp_path / "back")


def client_error(status: int, code: str) -> exceptions.ClientError:
    metadata = {"HTTPStatusCode": status}
    answer = {"Error": {"Code": code}, "ResponseMetadata": metadata}
    return exceptions.ClientError(answer, "GetObject")


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (client_error(500, "InternalError"), True),
        (client_error(503, "SlowDown"), True),
        (client_error(429, "TooManyRequests"), True),
        (client_error(400, "RequestTimeout"), True),
        (client_error(409, "ConditionalRequestConflict"), True),
        (client_error(403, "AccessDenied"), False),
        (client_error(404, "NoSuchBucket"), False),
        (client_error(412, "PreconditionFailed"), False),
        (exceptions.ReadTimeoutError(endpoint_url="u"), True),
        (exceptions.EndpointConnectionError(endpoint_url="u"), True),
        (exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2), True),
        (exceptions.NoCredentialsError(), False),
        (ConnectionResetError(), True),
        (OSError(28, "No space left on device"), False),
        (ValueError(), False),
    ],
)
def test_what_may_pass(error, passes):
    assert s3.is_transient(error) is passes


@pytest.mark.parametrize(("given", "seconds"), [("0", 0), ("2.5", 2.5), ("300", 300)])
def test_patience_is_a_setting(given, seconds, monkeypatch):
    monkeypatch.setenv(retries.PATIENCE, given)
    assert retries.patience() == seconds


def test_the_settings_former_name_is_read_where_the_new_one_is_not_set(monkeypatch):
    monkeypatch.setenv("MFX_S3_PATIENCE", "7")
    assert retries.patience() == 7
    monkeypatch.setenv(retries.PATIENCE, "8")
    assert retries.patience() == 8


@pytest.mark.parametrize("given", ["", "long", "-1", "inf", "nan"])
def test_a_wrong_patience_is_one_error(given, monkeypatch):
    monkeypatch.setenv(retries.PATIENCE, given)
    with pytest.raises(MfxError, match=r"MFX_STORAGE_PATIENCE=.*: expected a number of seconds"):
        retries.patience()


def test_what_the_user_has_set_for_boto_stays(server, monkeypatch):
    assert s3.client().meta.config.retries == {"mode": "standard", "total_max_attempts": 2}
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "7")
    monkeypatch.setenv("AWS_RETRY_MODE", "adaptive")
    assert s3.client().meta.config.retries == {"mode": "adaptive", "total_max_attempts": 7}


def test_in_parallel_keeps_the_order_and_stops_at_an_error():
    barrier = threading.Barrier(retries.WORKERS, timeout=30)

    def wait(number: int) -> int:
        barrier.wait()
        return number**2

    assert retries.in_parallel(wait, range(2 * retries.WORKERS)) == [
        n**2 for n in range(2 * retries.WORKERS)
    ]
    begun = []

    def fail(number: int) -> None:
        begun.append(number)
        time.sleep(0.01)
        raise ValueError(f"no {number}")

    with pytest.raises(ValueError, match="no "):
        retries.in_parallel(fail, range(1000))
    assert len(begun) < 100


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    with chaos.storage("s3", tmp_path_factory.mktemp("s3")) as place:
        yield place


def through(place: chaos.Storage, url: str, **environment: str) -> chaos.Storage:
    """The same storage behind a proxy."""
    endpoints = {"METAFLOW_S3_ENDPOINT_URL": url, "AWS_ENDPOINT_URL": url}
    return replace(place, environment={**place.environment, **endpoints, **environment})


def host(place: chaos.Storage) -> str:
    return place.environment["AWS_ENDPOINT_URL"].removeprefix("http://")


@pytest.mark.long
def test_one_request_in_a_hundred_may_fail(flow_run, storage):
    proxy = FaultyProxy(host(storage), share=0.01)
    with running(proxy) as url:
        run, _ = chaos.unbroken(through(storage, url), "s3://chaos/pushed")
    assert sum(proxy.counts[kind] for kind in proxy.kinds) > 0, proxy.counts
    local = chaos.Storage("local", _environment(flow_run.store), str(flow_run.store))
    assert chaos.digests(storage, run) == chaos.digests(local, flow_run.run_id)


def test_a_run_stops_soon_when_s3_goes_for_good(storage, tmp_path):
    few = "".join(SAMPLE.read_text().splitlines(keepends=True)[:2001])
    (tmp_path / "trips.csv").write_text(few)
    proxy = FaultyProxy(host(storage), 0.0, ["500", "503", "cut before"])
    lines, gone = [], 0.0
    with running(proxy) as url:
        place = through(storage, url, **{retries.PATIENCE: "3"})
        with chaos._process(place, "run", "--data", str(tmp_path / "trips.csv")) as process:
            for line in process.stdout:
                lines.append(line)
                found = chaos.STARTING.search(line)
                if found and found["step"] == "validate":
                    proxy.share, gone = 1.0, time.monotonic()
                    run = found["run"]
            assert process.wait() == 1
            took = time.monotonic() - gone
    output = "".join(lines)
    assert took < 40, output  # 3 s each for the step and the run, around what the step computes
    assert "Traceback" not in output and "Internal error" not in output
    assert output.count("The pipeline stopped:") == 2, "the step's and the run's"
    end = output[output.rindex("The pipeline stopped:") :]
    assert f"S3 at {url} does not answer, tried for " in end
    assert f"When it is back: resume --origin-run-id {run}\n" in end


@pytest.mark.parametrize("command", [["run"], ["resume", "--origin-run-id", "1"]])
def test_what_is_wrong_before_a_run_begins_is_one_error(command, storage):
    proxy = FaultyProxy(host(storage), 1.0, [DENIED])
    with running(proxy) as url, chaos._process(through(storage, url), *command) as process:
        output = process.stdout.read()
        assert process.wait() == 1
    assert output.count("The pipeline stopped:") == 1 and "Traceback" not in output
    assert "access denied\n    Check METAFLOW_DATASTORE_SYSROOT_S3" in output


@pytest.mark.parametrize(("datastore", "passed"), [("", False), ("s3", True)])
def test_make_run_chooses_the_datastore(datastore, passed):
    arguments = ["run", f"DATASTORE={datastore}", "ARGS=--destination s3://models"]
    done = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "--old-file=.venv/.installed", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    command = done.stdout.strip().splitlines()[-1]
    assert command.endswith("flows/pipeline.py run --destination s3://models")
    assert command.startswith("METAFLOW_DEFAULT_DATASTORE=s3 ") == passed


def test_a_datastore_without_a_root_is_one_error_that_names_the_setting(tmp_path):
    environment = {**_environment(tmp_path), "METAFLOW_DEFAULT_DATASTORE": "s3"}
    environment.pop("METAFLOW_DATASTORE_SYSROOT_S3", None)
    place = chaos.Storage("s3", environment, "")
    with chaos._process(place, "run") as process:
        output = process.stdout.read()
        assert process.wait() == 1
    assert "METAFLOW_DATASTORE_SYSROOT_S3" in output and "Traceback" not in output


def _environment(store: Path) -> dict[str, str]:
    return {**os.environ, "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(store)}
