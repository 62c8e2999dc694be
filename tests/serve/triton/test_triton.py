"""NVIDIA's Triton, for real: `mfx serve --engine triton` as a process, asked over KServe's V2 API.

Without the extra `triton`, or on a Python that it does not know, all that starts it is skipped.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from helpers.pushes import push_folder
from helpers.serving_models import small_model

from mfx.config import Push
from mfx.destinations import open_destination
from mfx.errors import MfxError
from mfx.push import infra_validation, push
from mfx.push.servers import kserve_api
from mfx.push.servers.base import with_children
from mfx.push.servers.triton import Triton
from mfx.serve.model import read_signatures
from mfx.serve.parameters import BatchingParameters
from mfx.serve.triton import repository

# Triton takes long to start.
long = pytest.mark.deploy


missing = Triton().missing()
triton = pytest.mark.skipif(bool(missing), reason=missing or "Triton is there")
SERVE = [sys.executable, "-m", "mfx.cli", "serve", "--engine", "triton"]
INPUTS = kserve_api.ModelInputs("", {"amount": "FP32", "count": "INT64", "kind": "BYTES"})
ROW = {"amount": 1.0, "count": 1, "kind": "ab"}  # 4, and the model's offset
ROWS = [
    {"amount": 1.5, "count": 2, "kind": b"abc"},
    {"amount": None, "count": 7, "kind": None},
    {"amount": -1.0, "count": None, "kind": b"\xff"},
]
EXPECTED = np.array([[6.5], [7.0], [0.0]])


class Served(NamedTuple):
    process: subprocess.Popen
    rest: str
    errors: list[str]

    @property
    def address(self) -> str:
        return self.rest.split("/")[2]


@contextmanager
def serving(folder: Path | str, *arguments: str):
    process = subprocess.Popen(
        [*SERVE, str(folder), *_ports(), "--poll-seconds", "0.2", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    errors: list[str] = []
    reader = threading.Thread(target=lambda: errors.extend(process.stderr))
    reader.start()
    try:
        said = "".join(process.stdout.readline() for _ in range(4))
        rest = re.search(r"REST (\S+)", said)
        assert rest, said + "".join(errors)
        yield Served(process, rest[1], errors)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)
        reader.join()


def _ports():
    return ["--rest-port", "0", "--grpc-port", "0"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return [small_model(tmp_path_factory.mktemp("model"), offset=float(n)) for n in range(3)]


@pytest.fixture
def place(tmp_path):
    return open_destination(str(tmp_path / "pushed"), "small")


def ask(served: Served, row: dict, version: int | None = None) -> dict:
    body, headers = kserve_api.rest_body([row], INPUTS)
    at = f"/versions/{version}" if version else ""
    request = urllib.request.Request(f"{served.rest}{at}/infer", body, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def error_of(request) -> tuple[int, str]:
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=30)
    return error.value.code, error.value.read().decode()


def descendants(pid: int) -> set[int]:
    return set(with_children(pid))


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@triton
def test_a_served_model_passes_the_parity_check(models):
    """Rows over both APIs, one and four at a time (the fourth is padding for three)."""
    settings = Push(destination="pushed", batch_sizes=[1, 4])
    found = infra_validation.validate(models[0], "small", ROWS, EXPECTED, settings, "triton")
    assert found.valid, found.error
    assert (found.rows, found.max_difference, found.server) == (3, 0.0, Triton.title)
    asked = [(latency.api, latency.batch_size) for latency in found.latencies]
    assert asked == [(api, size) for api in ("V2 REST", "V2 gRPC") for size in (1, 4)]
    assert found.memory_mb > 300  # Including the process that has the model.


@triton
def test_other_numbers_do_not_pass(models):
    settings = Push(destination="pushed", batch_sizes=[1])
    wrong = EXPECTED + np.array([[0.0], [0.0], [1e-3]])
    found = infra_validation.validate(models[0], "small", ROWS, wrong, settings, "triton")
    assert not found.valid
    assert "served over V2 REST, 1 at a time differ" in found.error


@long
@triton
def test_the_flows_model_passes_the_parity_check(flow_run):
    """The predictions of evaluate for the rows that the step push asked for."""
    data = flow_run.data
    folder = Path(data.pushed.path)
    found = push.replay_rows(folder, data.evaluation, data.examples, data.settings, "triton")
    assert found.valid, found.error
    assert found.rows == data.pushed.replay.rows
    assert found.max_difference <= 1e-5
    assert {latency.batch_size for latency in found.latencies} == set(
        data.settings.push.batch_sizes
    )


@long
@triton
def test_versions_change_without_a_failed_request(place, models, tmp_path):
    """A push works, a broken version changes nothing, and SIGTERM leaves nothing behind."""
    right = {push_folder(place, models[0]): 4.0}
    answers: Counter = Counter()
    stop = threading.Event()

    def clients(served):
        while not stop.is_set():
            answer = ask(served, ROW)
            answers[int(answer["model_version"]), answer["outputs"][0]["data"][0]] += 1

    with serving(tmp_path / "pushed" / "small") as served:
        asking = threading.Thread(target=clients, args=[served])
        asking.start()
        right[second := push_folder(place, models[1])] = 5.0
        _until(lambda: answers[second, 5.0])
        broken = place.next_version()
        shutil.copytree(models[2], place.folder(broken))
        (place.folder(broken) / "variables" / "variables.index").write_bytes(b"broken")
        _until(lambda: f"{broken} cannot be served: " in "".join(served.errors))
        before = sum(answers.values())
        _until(lambda: sum(answers.values()) > before + 100)
        stop.set()
        asking.join()
        started = descendants(served.process.pid)
        assert len(started) >= 3
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(60) == 0
        assert "stopped" in served.process.stdout.read()
    assert set(answers) == set(right.items())
    _until(lambda: not any(map(alive, started)))


@long
@triton
def test_several_versions_and_clients_rights(place, models, tmp_path):
    """With `--keep 2`; bad requests get 4xx; no client can unload a model."""
    first, second = push_folder(place, models[0]), push_folder(place, models[1])
    with serving(tmp_path / "pushed" / "small", "--keep", "2") as served:
        _until(lambda: _ready(served, first) and _ready(served, second))
        assert ask(served, ROW, first)["outputs"][0]["data"] == [4.0]
        assert ask(served, ROW, second)["outputs"][0]["data"] == [5.0]
        third = push_folder(place, models[2])
        _until(lambda: _ready(served, third) and not _ready(served, first))
        assert ask(served, ROW)["outputs"][0]["data"] == [6.0]
        assert ask(served, ROW, second)["outputs"][0]["data"] == [5.0]
        assert (place.folder(first) / "saved_model.pb").is_file()
        code, said = error_of(urllib.request.Request(f"{served.rest}/infer", b'{"inputs": []}'))
        assert code == 400 and "expected 3 inputs but got 0" in said
        base = f"http://{served.address}/v2/repository/models/small"
        assert error_of(urllib.request.Request(f"{base}/unload", b""))[0] in (401, 403)
        assert ask(served, ROW)["outputs"][0]["data"] == [6.0]


@long
@triton
def test_a_model_on_s3_is_fetched(s3, models):
    version = push_folder(open_destination(f"s3://{s3.bucket}/pushed", "small"), models[0])
    with serving(f"s3://{s3.bucket}/pushed/small", "--model-name", "other") as served:
        answer = ask(served, ROW)
    assert (answer["model_name"], answer["model_version"]) == ("other", str(version))
    assert answer["outputs"][0]["data"] == [4.0]


@long
@triton
def test_it_ends_with_whoever_started_it(place, models, tmp_path):
    """If it is killed, it cannot stop Triton, but the system does."""
    push_folder(place, models[0])
    with serving(tmp_path / "pushed" / "small") as served:
        started = descendants(served.process.pid)
        served.process.kill()
        _until(lambda: not any(map(alive, started - {served.process.pid})))


@triton
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no version of a model here"),
        (["--version-label", "stable=1"], "Triton has no version labels"),
    ],
)
def test_what_cannot_be_served_is_one_message(refused, tmp_path, arguments, said):
    none = str(tmp_path / "none")
    assert said in refused(none, "--engine", "triton", *_ports(), *arguments)


@triton
def test_a_port_taken_is_one_message(refused, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = refused(str(tmp_path), "--engine", "triton", "--rest-port", port)
    assert f"127.0.0.1:{port}: cannot listen" in said


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytriton", None)
    with pytest.raises(MfxError, match=r"not installed\nInstall the extra mfx.triton"):
        repository.stub()


def test_the_configuration(models):
    signature = repository.served_signature(read_signatures(models[0]))
    batching = BatchingParameters(4, 8, 2, (1, 4))
    assert repository.config("small", signature, 3, batching).splitlines() == [
        'name: "small"',
        'backend: "python"',
        "max_batch_size: 4",
        'input { name: "amount" data_type: TYPE_FP32 dims: [1] }',
        'input { name: "count" data_type: TYPE_INT64 dims: [1] }',
        'input { name: "kind" data_type: TYPE_STRING dims: [1] }',
        'output { name: "score" data_type: TYPE_FP32 dims: [1] }',
        "version_policy { specific { versions: [3] } }",
        "instance_group { kind: KIND_CPU count: 2 }",
        "dynamic_batching {}",
        'parameters { key: "signature" value { string_value: "predict" } }',
        'parameters { key: "allowed_batch_sizes" value { string_value: "[1, 4]" } }',
    ]


def test_the_configuration_has_tensors_of_any_name():
    """Read by protobuf's text format."""
    from google.protobuf import text_format
    from tensorflow.core.example.feature_pb2 import Features

    for name in ("größe", "🚕", 'say "hi"', "a\\b", "a\nb", "a/b: [1]"):
        given = f"feature {{ key: {repository._text(name)} value {{ }} }}"
        assert list(text_format.Parse(given, Features()).feature) == [name]


def test_only_a_model_with_a_batch_dimension_is_served(models):
    signatures = read_signatures(models[0])
    with pytest.raises(MfxError, match="no signature predict or serving_default, only several"):
        repository.served_signature({"several": signatures["several"]})
    examples = {"serving_default": signatures["serving_default"]}
    assert repository.served_signature(examples).name == "serving_default"


def test_another_versions_signature_does_not_fit(models):
    signatures = read_signatures(models[0])
    given = {
        "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [2]}],
        "output": [
            {"name": "twice", "data_type": "TYPE_FP32", "dims": ["2"]},
            {"name": "text_bytes", "data_type": "TYPE_STRING", "dims": [1]},
            {"name": "whole", "data_type": "TYPE_INT64", "dims": [1]},
        ],
    }
    repository.check_fits(given, signatures["several"])
    with pytest.raises(ValueError, match=r"its inputs are .*amount"):
        repository.check_fits(given, signatures["predict"])


def _ready(served: Served, version: int) -> bool:
    try:
        with urllib.request.urlopen(f"{served.rest}/versions/{version}/ready", timeout=10):
            return True
    except urllib.error.HTTPError:
        return False


def _until(done, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)
