"""serving/predict.py and serving/client.py on the model that the shared run pushed."""

from __future__ import annotations

import importlib.util
import json
import math
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from helpers.flows import ROOT
from hypothesis import given
from hypothesis import strategies as st


def _load(name: str) -> Any:
    """A script of serving/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "serving" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # Dataclasses look up their module there.
    spec.loader.exec_module(module)
    return module


client = _load("client")


@pytest.fixture
def ask(flow_run):
    def call(rows: str, folder=flow_run.store / "pushed" / "taxi"):
        return subprocess.run(
            [sys.executable, str(ROOT / "serving" / "predict.py"), str(folder), rows],
            capture_output=True,
            text=True,
            check=False,
        )

    return call


def test_the_newest_version_answers_each_row(ask, flow_run):
    rows = [{"payment_type": "Credit Card", "fare": 10.0}, {"payment_type": "Cash", "fare": None}]
    answers = [json.loads(line) for line in ask(json.dumps(rows)).stdout.splitlines()]
    assert [answer["version"] for answer in answers] == [flow_run.data.pushed.version] * 2
    card, cash = (answer["outputs"][0] for answer in answers)
    assert 0 <= cash < card <= 1


def test_an_unknown_feature_is_named(ask):
    done = ask('{"fair": 10.0}')
    assert done.returncode == 1
    assert "unknown features ['fair']" in done.stderr


def test_an_empty_folder_says_what_to_run(ask, tmp_path):
    done = ask("{}", folder=tmp_path)
    assert done.returncode == 1
    assert "make run" in done.stderr


# What the client sends, and how it reads answers.

INPUTS = {"fare": "DT_FLOAT", "hour": "DT_INT64", "company": "DT_STRING"}


def test_missing_values_have_the_form_that_the_signature_states():
    from mfx.columns.missing import MISSING

    columns = client.to_columns([{}, {"fare": None, "hour": None, "company": None}], INPUTS)
    assert columns["hour"] == [-(2**63)] * 2 and columns["company"] == [""] * 2
    assert all(map(math.isnan, columns["fare"]))
    stated = {f"DT_{dtype.name.upper().replace('32', '')}": v for dtype, v in MISSING.items()}
    assert {**stated, "DT_FLOAT": 0} == {**client.MISSING, "DT_FLOAT": 0}


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "fare": st.none() | st.floats(width=32) | st.integers(-1000, 1000),
                "hour": st.none() | st.integers(-(2**63), 2**63 - 1),
                "company": st.none() | st.sampled_from(["", "Cash", "é", b"\xff"]),
            },
        ),
        max_size=5,
    )
)
def test_every_input_gets_a_value_of_its_type_for_every_row(rows):
    kinds = {"fare": float, "hour": int, "company": str | bytes}
    columns = client.to_columns(rows, INPUTS)
    assert set(columns) == set(INPUTS)
    for name, column in columns.items():
        assert len(column) == len(rows)
        for row, value in zip(rows, column, strict=True):
            assert isinstance(value, kinds[name])
            if row.get(name) is not None:
                assert value == row[name] or math.isnan(row[name])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"fare": "12"}, "row 1: feature 'fare': expected a number, found '12'"),
        ({"fare": [1.0]}, "row 1: feature 'fare': expected a number, found [1.0]"),
        ({"hour": 1.5}, "row 1: feature 'hour': expected an integer, found 1.5"),
        ({"company": 7}, "row 1: feature 'company': expected a string, found 7"),
        ({"fair": 1.0}, "row 1: unknown features ['fair']; the model takes ['company', 'fare',"),
    ],
)
def test_a_value_that_does_not_fit_is_named(row, message):
    with pytest.raises(client.ServingError) as caught:
        client.to_columns([{}, row], INPUTS)
    assert caught.value.code == "INVALID_ARGUMENT"
    assert caught.value.message.startswith(message)


# How the client copes with a server's behaviour; the server answers as told.


@dataclass
class Script:
    """The answers to give in turn, and the requests that came, with their senders."""

    url: str = ""
    answers: list[tuple[int, dict[str, str], str]] = field(default_factory=list)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    peers: list[Any] = field(default_factory=list)


@pytest.fixture
def script() -> Iterator[Script]:
    """An HTTP server that answers as told, and with the metadata of INPUTS."""
    script = Script()
    rows = {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
    metadata = {
        "inputs": {n: {"dtype": kind, "tensor_shape": rows} for n, kind in INPUTS.items()},
        "outputs": {"outputs": {"dtype": "DT_FLOAT"}},
    }
    described = {"metadata": {"signature_def": {"signature_def": {"predict": metadata}}}}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self._answer(200, {}, json.dumps(described))

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            script.requests.append((self.path, self.headers.get("Authorization", ""), body))
            script.peers.append(self.client_address)
            self._answer(*script.answers.pop(0))

        def _answer(self, status, headers, text):
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(text.encode()))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    script.url = f"http://127.0.0.1:{server.server_port}"
    yield script
    server.shutdown()
    server.server_close()


GOOD = (200, {}, '{"outputs": [[0.5], [0.25]]}')


def test_the_body_is_tf_servings(script):
    script.answers = [GOOD]
    headers = {"Authorization": "Bearer x"}
    with client.RestClient(script.url, "taxi", headers=headers) as server:
        answer = server.predict([{"fare": 3, "company": b"\xff"}, {"hour": 7}])
    assert answer == client.Answer({"outputs": [[0.5], [0.25]]}, None)
    path, authorization, body = script.requests[0]
    assert (path, authorization) == ("/v1/models/taxi:predict", "Bearer x")
    assert body == (
        '{"signature_name": "predict", "inputs": {"fare": [3.0, NaN], '
        '"hour": [-9223372036854775808, 7], "company": [{"b64": "/w=="}, ""]}}'
    )


def test_versions_and_labels_are_asked_for_as_tf_serving_has_it(script):
    script.answers = [GOOD, GOOD, (200, {client.VERSION_HEADER: "18"}, GOOD[2])]
    with client.RestClient(script.url, "taxi", version=17) as server:
        assert server.predict([{}, {}]).version == 17
    with client.RestClient(script.url, "taxi", label="canary") as server:
        assert server.predict([{}, {}]).version is None
        assert server.predict([{}, {}]).version == 18
    first, second, _ = (path for path, *_ in script.requests)
    assert first == "/v1/models/taxi/versions/17:predict"
    assert second == "/v1/models/taxi/labels/canary:predict"


def test_one_connection_serves_all_requests(script):
    script.answers = [GOOD] * 5
    with client.RestClient(script.url, "taxi") as server:
        for _ in range(5):
            server.predict([{}, {}])
    assert len(script.peers) == 5 and len(set(script.peers)) == 1


def test_an_overloaded_server_is_asked_again(script):
    script.answers = [(503, {}, '{"error": "queue full"}')] * 2 + [GOOD]
    with client.RestClient(script.url, "taxi") as server:
        assert server.predict([{}, {}]).outputs == {"outputs": [[0.5], [0.25]]}
    assert len(script.requests) == 3


def test_patience_ends(script):
    script.answers = [(503, {}, '{"error": "queue full"}')] * 9
    with (
        client.RestClient(script.url, "taxi", retries=1) as server,
        pytest.raises(client.ServingError) as caught,
    ):
        server.predict([{}])
    assert (caught.value.code, caught.value.message) == ("UNAVAILABLE", "queue full")
    assert len(script.requests) == 2


@pytest.mark.parametrize(
    ("status", "text", "code", "message"),
    [
        (404, '{"error": "Servable not found"}', "NOT_FOUND", "Servable not found"),
        (400, '{"error": "JSON Parse error"}', "INVALID_ARGUMENT", "JSON Parse error"),
        (418, "<html>a proxy's page</html>", "UNKNOWN", "<html>a proxy's page</html>"),
        (500, "", "UNKNOWN", "Internal Server Error"),
    ],
)
def test_errors_carry_the_servers_message(script, status, text, code, message):
    script.answers = [(status, {}, text)]
    with (
        client.RestClient(script.url, "taxi") as server,
        pytest.raises(client.ServingError) as caught,
    ):
        server.predict([{}])
    assert (caught.value.code, caught.value.message) == (code, message)
    assert len(script.requests) == 1


def test_nobody_there_is_one_error():
    with (
        client.RestClient(f"http://127.0.0.1:{free_port()}", "taxi", retries=0) as server,
        pytest.raises(client.ServingError, match=r"UNAVAILABLE: 127\.0\.0\.1:.* refused"),
    ):
        server.predict([{}])


def test_a_server_that_does_not_answer_is_left_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        begin = time.monotonic()
        with (
            client.RestClient(url, "taxi", timeout=0.2) as server,
            pytest.raises(client.ServingError, match="DEADLINE_EXCEEDED: no answer"),
        ):
            server.predict([{}])
        assert time.monotonic() - begin < 5


# With a real server.


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


@pytest.fixture(scope="module")
def serve(flow_run) -> Iterator[tuple[str, str]]:
    """`mfx serve` on the shared run's pushed model: URL of REST, address of gRPC."""
    rest, grpc = free_port(), free_port()
    folder = flow_run.store / "pushed" / "taxi"
    log = flow_run.store / "serve.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "mfx.cli", "serve", str(folder)),
                *("--rest-port", str(rest), "--grpc-port", str(grpc)),
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        for _ in range(600):
            assert server.poll() is None, log.read_text()
            try:
                url = f"http://127.0.0.1:{rest}/v1/models/taxi/metadata"
                with urllib.request.urlopen(url, timeout=5):
                    break
            except OSError:
                time.sleep(0.1)
        else:
            pytest.fail(f"not serving after 60 s:\n{log.read_text()}")
        yield f"http://127.0.0.1:{rest}", f"127.0.0.1:{grpc}"
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(params=["rest", "grpc"])
def connect(serve, request) -> Callable[..., Any]:
    """Clients of either kind, by their options."""
    rest, grpc = serve
    if request.param == "rest":
        return lambda model="taxi", **options: client.RestClient(rest, model, **options)
    return lambda model="taxi", **options: client.GrpcClient(grpc, model, **options)


ROWS = [{"payment_type": "Credit Card", "fare": 10.0}, {"payment_type": "Cash", "fare": None}]


def test_the_server_answers_as_the_saved_model(connect, flow_run, ask):
    expected = [json.loads(line)["outputs"] for line in ask(json.dumps(ROWS)).stdout.splitlines()]
    with connect() as server:
        answer = server.predict(ROWS)
        assert answer.outputs["outputs"] == [pytest.approx(row, abs=1e-6) for row in expected]
        assert answer.version == flow_run.data.pushed.version
        fewer = server.predict(ROWS[1:]).outputs["outputs"]
        assert fewer == [pytest.approx(row, abs=1e-6) for row in answer.outputs["outputs"][1:]]


def test_a_version_may_be_asked_for(connect, flow_run):
    version = flow_run.data.pushed.version
    with connect(version=version) as server:
        assert server.predict(ROWS).version == version


@pytest.mark.parametrize("wrong", [{"model": "other"}, {"version": 1}])
def test_what_is_not_served_is_not_found(connect, wrong):
    with connect(**wrong) as server, pytest.raises(client.ServingError) as caught:
        server.predict(ROWS)
    assert caught.value.code == "NOT_FOUND"


def test_an_unknown_signature_is_named(connect):
    with (
        connect(signature="predikt") as server,
        pytest.raises(client.ServingError, match=r"no signature 'predikt'; it has \["),
    ):
        server.predict(ROWS)


@pytest.mark.parametrize("kind", [0, 1], ids=["--rest", "--grpc"])
def test_the_example_runs(serve, flow_run, kind):
    done = subprocess.run(
        [
            *(sys.executable, str(ROOT / "serving" / "client.py"), json.dumps(ROWS)),
            *(("--rest", "--grpc")[kind], serve[kind], "--model", "taxi"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [a["version"] for a in answers] == [flow_run.data.pushed.version] * 2, done.stderr
    assert 0 <= answers[1]["outputs"][0] < answers[0]["outputs"][0] <= 1


def test_the_example_says_in_one_line_that_nobody_is_there():
    done = subprocess.run(
        [
            *(sys.executable, str(ROOT / "serving" / "client.py"), "{}"),
            *("--rest", f"http://127.0.0.1:{free_port()}"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith("UNAVAILABLE: 127.0.0.1:")


def test_manifests_have_the_sizes_that_the_run_measured(flow_run, tmp_path):
    from mfx import cli

    place = ("--model", "taxi", "--destination", str(flow_run.store / "pushed"))
    assert cli.main(["manifests", *place, "--out", str(tmp_path)]) == 0
    text = (tmp_path / "batching_parameters.txt").read_text()
    version = flow_run.data.pushed.version
    assert text.startswith(
        f"# Made by `mfx manifests` for taxi version {version}; sizes: measured at infra validation"
    )
    asked = {latency.batch_size for latency in flow_run.data.pushed.replay.latencies}
    assert asked and asked == {int(size) for size in re.findall(r"allowed_batch_sizes: (.*)", text)}


def test_the_local_server_takes_the_batching_that_manifests_state(tmp_path):
    from mfx.deploy import manifests
    from mfx.serve.parameters import read

    served = manifests.Served("taxi", "s3://example-mfx/models", sizes=(8, 32, 64), cpu=3)
    file = tmp_path / "batching_parameters.txt"
    file.write_text(manifests.files(served, tmp_path)[file.name])
    found = read(file)
    assert (found.max_batch_size, found.num_batch_threads) == (64, 3)
    assert found.allowed_batch_sizes == (8, 32, 64) and found == served.batching
