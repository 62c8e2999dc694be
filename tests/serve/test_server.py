"""`mfx serve` as a process: it starts, answers both APIs, changes versions and stops.

MFX_LOAD_SECONDS=60 makes the load as long as `make test-load` has it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from helpers.pushes import push_folder
from helpers.serving_models import small_model

from mfx.destinations import open_destination, open_folder
from mfx.errors import MfxError
from mfx.serve.parameters import BatchingParameters
from mfx.serve.server import Options, check_can_serve
from mfx.serve.versions import ModelVersions

SECONDS = float(os.environ.get("MFX_LOAD_SECONDS", "6"))
CLIENTS = 32
SERVE = [sys.executable, "-m", "mfx.cli", "serve"]
ROW = {"amount": 1.0, "count": 1, "kind": ""}


class Served(NamedTuple):
    process: subprocess.Popen
    rest: str
    grpc: str


@contextmanager
def serving(folder: Path | str, *arguments: str, **environment: str):
    command = [*SERVE, str(folder), "--rest-port", "0"]
    process = subprocess.Popen(
        [*command, "--grpc-port", "0", "--poll-seconds", "0.2", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said = "".join(process.stdout.readline() for _ in range(4))
        rest, grpc = re.search(r"REST (\S+)", said), re.search(r"gRPC (\S+)", said)
        assert rest and grpc, said + process.stderr.read()
        yield Served(process, rest[1], grpc[1])
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models whose answer to ROW is 2 + their number."""
    return [
        small_model(tmp_path_factory.mktemp("model"), offset=float(number)) for number in range(4)
    ]


@pytest.fixture
def place(tmp_path):
    return open_destination(str(tmp_path / "pushed"), "small")


def state(served: Served) -> list[dict]:
    with urllib.request.urlopen(served.rest, timeout=10) as answer:
        return json.load(answer)["model_version_status"]


def test_both_apis_answer_the_stock_clients(place, models, tmp_path):
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2
    from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

    version = push_folder(place, models[0])
    with serving(tmp_path / "pushed" / "small") as served:
        body = json.dumps({"signature_name": "predict", "instances": [ROW]})
        said = subprocess.run(
            ["curl", "-s", "-d", body, "-X", "POST", f"{served.rest}:predict"],
            capture_output=True,
            check=True,
        )
        assert json.loads(said.stdout) == {"predictions": [2.0]}
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = "small", "predict"
        for name, value in ROW.items():
            dtype = {"amount": tf.float32, "count": tf.int64, "kind": tf.string}[name]
            request.inputs[name].CopyFrom(tf.make_tensor_proto([value], dtype))
        with grpc.insecure_channel(served.grpc) as channel:
            answer = PredictionServiceStub(channel).Predict(request, timeout=30)
        assert list(answer.outputs["score"].float_val) == [2.0]
        assert answer.model_spec.version.value == version
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(30) == 0
        assert "stopped" in served.process.stdout.read()


def test_it_listens_on_this_machine_alone(place, models, tmp_path):
    push_folder(place, models[0])
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None)}
    with serving(tmp_path / "pushed" / "small") as served:
        port = int(re.search(r":(\d+)/", served.rest)[1])
        for address in others - {"127.0.0.1", "::1"}:
            if not address.startswith("127."):
                with pytest.raises(OSError), socket.create_connection((address, port), timeout=2):
                    pass


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no version of a model here"),
        (["--version-label", "stable"], "expected LABEL=VERSION"),
        (["--version-label", f"stable={2**63}"], "expected LABEL=VERSION"),
        (["--cors-origin", "https://a.example/page"], "expected an origin without a path"),
        (
            ["--version-label", "stable=1", "--version-label", "stable=2"],
            "given for the versions 1 and 2",
        ),
        (["--batching-parameters-file", "none.txt"], "none.txt"),
    ],
)
def test_what_cannot_be_served_is_one_message(refused, tmp_path, arguments, said):
    assert said in refused(str(tmp_path / "none"), *arguments)


@pytest.fixture
def odd_folder(tmp_path, models):
    """Version 1, which is whole, version 2, which is broken, and other files."""
    folder = tmp_path / "odd"
    shutil.copytree(models[0], folder / "01")
    (folder / "2").mkdir()
    for name in ("v1", "0.1", "-3", str(2**63), "promotions", ".hidden"):
        (folder / name).mkdir()
    return folder


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"stable": 7}, "--version-label stable=7: there is no version 7 in "),
        ({"stable": 2}, "--version-label stable=2: "),
        ({"stable": 1}, ""),
    ],
)
def test_labels_are_checked_at_the_start(odd_folder, labels, said):
    source, name = open_folder(str(odd_folder))
    versions = ModelVersions(name, source, BatchingParameters(), labels=labels, poll_seconds=60)
    versions.start()
    try:
        options = Options(str(odd_folder), labels=labels)
        if not said:
            check_can_serve(versions, source, options)
            return
        with pytest.raises(MfxError) as refused:
            check_can_serve(versions, source, options)
        assert said in str(refused.value) and str(odd_folder) in str(refused.value)
        assert "There are 1, 2." in str(refused.value) or "cannot be served" in str(refused.value)
    finally:
        versions.stop()


def test_what_is_passed_over_is_said_where_there_is_no_version(odd_folder):
    for name in ("01", "2"):
        shutil.rmtree(odd_folder / name)
    source, name = open_folder(str(odd_folder))
    versions = ModelVersions(name, source, BatchingParameters())
    with pytest.raises(MfxError) as refused:
        check_can_serve(versions, source, Options(str(odd_folder)))
    passed = "these names are no version numbers: -3, 0.1, 9223372036854775808, v1\n"
    assert passed in str(refused.value) and "has a whole number as its name" in str(refused.value)


def test_a_port_taken_is_one_message(refused, place, models, tmp_path):
    push_folder(place, models[0])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for flag in ("--rest-port", "--grpc-port"):
            other = ["--grpc-port", "0"] if flag == "--rest-port" else ["--rest-port", "0"]
            assert port in refused(str(tmp_path / "pushed" / "small"), flag, port, *other)


def test_pushes_under_load_fail_no_request(place, models, tmp_path):
    """Three pushes and a broken version. Each answer is right for the version in its header."""
    right = {push_folder(place, models[0]): 2.0}
    with serving(tmp_path / "pushed" / "small") as served:
        answers = asyncio.run(_load(served, lambda: _pushes(served, place, models, right)))
    good = {(200, version, answer) for version, answer in right.items() if answer is not None}
    assert len(good) == 4
    assert set(answers) == good
    assert sum(answers.values()) > 100 * SECONDS / 6


def _pushes(served, place, models, right):
    """Push while clients send requests; each push waits until the one before is served."""
    for number in (1, 2, None, 3):
        time.sleep(SECONDS / 5)
        if number is None:
            version = place.next_version()
            shutil.copytree(models[0], place.folder(version))
            (place.folder(version) / "variables" / "variables.index").write_bytes(b"broken")
        else:
            version = push_folder(place, models[number])
        right[version] = None if number is None else 2.0 + number
        _until_state(served, version, "END" if number is None else "AVAILABLE")
    time.sleep(SECONDS / 5)


def _until_state(served, version, wanted):
    end = time.monotonic() + 60
    while (str(version), wanted) not in {(s["version"], s["state"]) for s in state(served)}:
        assert time.monotonic() < end
        time.sleep(0.05)


async def _load(served, meanwhile) -> Counter:
    """The answers to clients while `meanwhile` ran: status, version, answer; and how often."""
    import aiohttp

    body = json.dumps({"signature_name": "predict", "instances": [ROW]})
    answers: Counter = Counter()
    stop = asyncio.Event()

    async def ask(session):
        while not stop.is_set():
            async with session.post(f"{served.rest}:predict", data=body) as answer:
                said = await answer.json(content_type=None)
                version = int(answer.headers.get("X-Model-Version", 0))
                answers[answer.status, version, said.get("predictions", [said])[0]] += 1

    connector = aiohttp.TCPConnector(limit=CLIENTS)
    async with aiohttp.ClientSession(connector=connector) as session:
        asking = [asyncio.create_task(ask(session)) for _ in range(CLIENTS)]
        await asyncio.to_thread(meanwhile)
        stop.set()
        await asyncio.gather(*asking)
    return answers
