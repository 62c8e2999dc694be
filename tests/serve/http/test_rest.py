"""TF Serving's REST API over real sockets, with a small real model."""

from __future__ import annotations

import asyncio
import base64
import gzip
import http.client
import json
import math
import socket
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.serving_models import small_model

from mfx.destinations import open_destination
from mfx.errors import MfxError
from mfx.serve.http import rest
from mfx.serve.http.bodies import Limits
from mfx.serve.http.metrics import Metrics
from mfx.serve.parameters import BatchingParameters
from mfx.serve.versions import ModelVersions

ROW = {"amount": 1.5, "count": 2, "kind": "abc"}
"""Its score is 1.5 + 2 + 3, plus the version's offset."""


class Server:
    """A server in a thread, with its own event loop."""

    def __init__(self, models, limits, cors_origins=()):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.metrics = Metrics(models)
        self.running = self.wait(
            rest.start(models, "127.0.0.1", 0, limits, self.metrics, cors_origins)
        )
        self.port = self.running.port

    def wait(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def stop(self):
        self.wait(self.running.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def ask(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        if isinstance(body, dict):
            body = json.dumps(body)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer, content

    def post(self, path, body, status=200):
        answer, content = self.ask("POST", f"/v1/models/{path}", body)
        assert answer.status == status, content
        assert answer.headers["Content-Type"] == "application/json"
        return json.loads(content)

    def get(self, path, status=200):
        answer, content = self.ask("GET", path)
        assert answer.status == status, content
        return json.loads(content)

    def socket(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def held(self):
        return self.running.held


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("served")
    small_model(root / "small" / "1", offset=0.0)
    small_model(root / "small" / "2", offset=100.0)
    versions = ModelVersions(
        "small",
        open_destination(str(root), "small"),
        BatchingParameters(max_batch_size=4096),
        keep=2,
        labels={"stable": 1},
        poll_seconds=60,
    )
    versions.start()
    yield {"small": versions}
    versions.stop()


@pytest.fixture(scope="module")
def server(models):
    server = Server(models, Limits(idle_seconds=1, body_seconds=3))
    yield server
    assert server.held() == 0
    server.stop()


def score(answer):
    (value,) = answer["predictions"]
    return value


def test_predict_by_rows_and_columns(server):
    row = {"signature_name": "predict", "instances": [ROW]}
    assert score(server.post("small:predict", row)) == 106.5
    columns = {name: [value] for name, value in ROW.items()}
    both = server.post("small:predict", {"signature_name": "predict", "inputs": columns})
    assert both == {"outputs": [106.5]}
    several = {"signature_name": "several", "instances": [[1, 2], [3, 4.5]]}
    assert server.post("small:predict", several) == {
        "predictions": [
            {
                "text_bytes": {"b64": base64.b64encode(b"3.000000").decode()},
                "twice": [2, 4],
                "whole": 3,
            },
            {
                "text_bytes": {"b64": base64.b64encode(b"7.500000").decode()},
                "twice": [6, 9],
                "whole": 7,
            },
        ]
    }


def test_null_is_missing(server):
    rows = [{"amount": None, "count": 4, "kind": "a"}, {"amount": 0.5}, {**ROW, "count": None}]
    answer = server.post("small:predict", {"signature_name": "predict", "instances": rows})
    assert answer == {"predictions": [105, 100.5, 104.5]}


def test_nan_comes_and_goes_as_a_literal(server):
    body = b'{"signature_name": "several", "instances": [[NaN, 1], [-Infinity, 2]]}'
    answer, content = server.ask("POST", "/v1/models/small:predict", body)
    assert answer.status == 200 and b"NaN" in content and b"-Infinity" in content
    (first, _) = json.loads(content)["predictions"]
    assert math.isnan(first["twice"][0])


def test_examples_in_base64(server):
    import tensorflow as tf

    features = {"count": tf.train.Feature(int64_list=tf.train.Int64List(value=[4]))}
    example = tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
    body = {"instances": [{"b64": base64.b64encode(example).decode()}]}
    assert score(server.post("small:predict", body)) == 104
    named = {"instances": [{"examples": body["instances"][0]}]}
    assert score(server.post("small:predict", named)) == 104
    assert server.post("small:predict", {"inputs": body["instances"]}) == {"outputs": [104]}


def test_classify_and_regress(server):
    body = {"context": {"kind": "abc"}, "examples": [{"amount": 1.5, "count": 2}, {"count": 1}]}
    classified = server.post("small:classify", {"signature_name": "classify", **body})
    assert classified == {
        "results": [[["low", -106.5], ["high", 106.5]], [["low", -104], ["high", 104]]]
    }
    regressed = server.post("small:regress", {"signature_name": "regress", **body})
    assert regressed == {"results": [106.5, 104]}
    wrong = server.post("small:regress", {"signature_name": "classify", **body}, 400)
    assert "method_name to be tensorflow/serving/regress" in wrong["error"]
    assert "Was: tensorflow/serving/predict" in server.post("small:classify", body, 400)["error"]


def test_versions_and_labels(server):
    body = {"signature_name": "predict", "instances": [ROW]}
    for path, version, wanted in [
        ("small", "2", 106.5),
        ("small/versions/1", "1", 6.5),
        ("small/labels/stable", "1", 6.5),
    ]:
        answer, content = server.ask("POST", f"/v1/models/{path}:predict", body)
        assert answer.headers["X-Model-Version"] == version
        assert score(json.loads(content)) == wanted
    for path, status, message in [
        ("nope", 404, "Servable not found for request: Latest(nope)"),
        ("nope/versions/3", 404, "Servable not found for request: Specific(nope, 3)"),
        ("small/versions/3", 404, "Servable not found for request: Specific(small, 3)"),
        ("small/labels/x", 400, "Unrecognized servable version label: x"),
        (f"small/versions/{2**63}", 400, f"Failed to convert version: {2**63} to numeric."),
    ]:
        assert server.post(f"{path}:predict", body, status) == {"error": message}
    # An error from a version has its number too.
    answer, _ = server.ask("POST", "/v1/models/small:predict", "{}")
    assert answer.status == 400 and answer.headers["X-Model-Version"] == "2"


def test_status_and_metadata(server):
    status = server.get("/v1/models/small")["model_version_status"]
    ok = {"error_code": "OK", "error_message": ""}
    assert status == [{"version": v, "state": "AVAILABLE", "status": ok} for v in ("2", "1")]
    assert len(server.get("/v1/models/small/versions/1")["model_version_status"]) == 1
    assert "Could not find version 9" in server.get("/v1/models/small/versions/9", 404)["error"]
    assert server.get("/v1/models/nope", 404) == {
        "error": "Could not find any versions of model nope"
    }
    metadata = server.get("/v1/models/small/versions/1/metadata")
    assert metadata["model_spec"] == {"name": "small", "signature_name": "", "version": "1"}
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert set(signatures) == {"predict", "serving_default", "classify", "regress", "several"}
    assert signatures["predict"]["method_name"] == "tensorflow/serving/predict"
    count = signatures["predict"]["inputs"]["count"]
    assert count["dtype"] == "DT_INT64"
    assert count["tensor_shape"] == {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}


def test_monitoring(server):
    server.post("small:predict", {"signature_name": "predict", "instances": [ROW]})
    answer, page = server.ask("GET", "/monitoring/prometheus/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert b':tensorflow:serving:request_count{model_name="small",status="OK"}' in page
    assert server.get("/healthz") == server.get("/v2/health/live") == {"live": True}
    assert server.get("/v2/health/ready") == {"ready": True}


@pytest.mark.parametrize(
    "path",
    [
        *("/healthz", "/v2/health/live", "/v2/health/ready", "/monitoring/prometheus/metrics"),
        *("/v1/models/small", "/v1/models/small/versions/1/metadata", "/v1/models/x", "/nothing"),
    ],
)
def test_head_is_get_without_the_body(server, path):
    got, content = server.ask("GET", path)
    answer, nothing = server.ask("HEAD", path)
    assert (answer.status, nothing) == (got.status, b"")
    assert answer.headers["Content-Type"] == got.headers["Content-Type"]
    if "metrics" not in path and path != "/nothing":  # Their texts differ each time.
        assert answer.headers["Content-Length"] == str(len(content))
    # The connection can be used again: no byte of a body was sent.
    with server.socket() as connection:
        connection.sendall(f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        connection.sendall(request_bytes("close"))
        first, _, rest = read_all(connection).partition(b"\r\n\r\n")
    assert b"Content-Length" in first and rest.startswith(b"HTTP/1.1 200 OK")


def test_targets_in_absolute_form_and_with_a_query(server):
    host = f"http://127.0.0.1:{server.port}"
    assert server.get(f"{host}/v1/models/small") == server.get("/v1/models/small")
    assert server.get(f"{host}/healthz") == server.get("/healthz?probe=1") == {"live": True}
    body = {"signature_name": "predict", "instances": [ROW]}
    answer, content = server.ask("POST", "HTTP://any/v1/models/small:predict", json.dumps(body))
    assert answer.status == 200 and score(json.loads(content)) == 106.5
    for path in ("http://any", "http://any/", "ftp://any/healthz", "healthz"):
        assert server.ask("GET", path)[0].status == 400


def test_pages_of_other_origins_may_ask_where_they_are_named(models, server):
    origin = "https://page.example"
    body = json.dumps({"signature_name": "predict", "instances": [ROW]})

    def asked(server, method, origin):
        head = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        return server.ask(method, "/v1/models/small:predict", body, head)[0]

    # Off by default.
    assert asked(server, "OPTIONS", origin).status == 400
    assert asked(server, "POST", origin).headers["Access-Control-Allow-Origin"] is None
    for origins, allowed in (([origin, "https://b.example"], origin), (["*"], "*")):
        open_server = Server(models, None, origins)
        try:
            for method in ("OPTIONS", "POST"):
                answer = asked(open_server, method, origin)
                assert answer.status == 200
                assert answer.headers["Access-Control-Allow-Origin"] == allowed
            preflight = asked(open_server, "OPTIONS", origin).headers
            assert "POST" in preflight["Access-Control-Allow-Methods"]
            assert preflight["Access-Control-Allow-Headers"] == "*"
            other = asked(open_server, "POST", "https://other.example").headers
            assert other["Access-Control-Allow-Origin"] == (None if allowed == origin else "*")
            assert other["Vary"] == ("Origin" if allowed == origin else None)
            # The page must be able to read the message of an error too.
            answer, _ = open_server.ask("GET", "/nothing", headers={"Origin": origin})
            assert answer.status == 400
            assert answer.headers["Access-Control-Allow-Origin"] == allowed
        finally:
            open_server.stop()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{", "JSON Parse error"),
        ("", "JSON Parse error"),
        ("[]", "Is not object"),
        ({"signature_name": "nope", "instances": [1]}, 'Serving signature name: "nope" not found'),
        ({"signature_name": 3, "instances": [1]}, "'signature_name' key must be a string value"),
        ({"signature_name": "predict", "instances": [{**ROW, "count": 2.5}]}, "type: int64"),
        ({"signature_name": "predict", "instances": [{**ROW, "x": 2.5}]}, "named input: x"),
        ({"signature_name": "predict", "inputs": {"count": [1]}}, "Missing named input: amount"),
        ({"instances": ["no tf.Example"]}, "Could not parse example input"),
        ({"signature_name": "several", "instances": [[1, 2, 3]]}, "expecting shape [-1,2]"),
    ],
)
def test_bad_requests(server, body, message):
    answer = server.post("small:predict", body, 400)
    assert message in answer["error"] and set(answer) == {"error"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/", 400),
        ("GET", "/v1/models/", 400),
        ("POST", "/v1/models/small", 400),
        ("POST", "/v1/models/small:nope", 400),
        ("PUT", "/v1/models/small:predict", 400),
        ("DELETE", "/v1/models/small", 400),
        ("POST", "/v1/models/../small:predict", 400),
        ("POST", "/v1/models/%2e%2e:predict", 404),
        ("POST", "/v1/models/..%2f..%2fetc%2fpasswd:predict", 404),
        ("POST", "/v1/models/small%00:predict", 404),
        ("POST", "/v1/models/%ff%fe:predict", 404),
        ("POST", "/v1/models/small/versions/-1:predict", 400),
        ("POST", "/v1/models/small/versions/x:predict", 400),
        ("POST", "/v1/models/small/versions/" + "9" * 7000 + ":predict", 400),
        ("POST", "/v1/models/" + "x" * 9000 + ":predict", 400),
        ("GET", "//v1/models/small", 400),
    ],
)
def test_paths(server, method, path, status):
    answer, content = server.ask(method, path, "{}" if method == "POST" else None)
    assert answer.status == status
    assert json.loads(content)["error"]


def test_a_path_that_is_no_api_is_quoted(server):
    _, content = server.ask("POST", "/v1/models/small:nope", "{}")
    assert json.loads(content) == {"error": "Malformed request: POST /v1/models/small:nope"}


def test_a_string_of_ten_megabytes_is_answered(server):
    row = {"amount": 0, "count": 0, "kind": "x" * 10_000_000}
    answer = server.post("small:predict", {"signature_name": "predict", "instances": [row]})
    assert score(answer) == 10_000_100


def test_a_million_instances_are_answered_and_others_meanwhile(server):
    body = b'{"signature_name": "several", "instances": [' + b"[1,2]," * 999_999 + b"[3,4]]}"
    with ThreadPoolExecutor(1) as pool:
        large = pool.submit(server.ask, "POST", "/v1/models/small:predict", body)
        others = 0
        while not large.done():
            row = {"signature_name": "predict", "instances": [ROW]}
            assert score(server.post("small:predict", row)) == 106.5
            others += 1
            time.sleep(0.05)
    answer, content = large.result()
    assert answer.status == 200 and others > 1
    predictions = json.loads(content)["predictions"]
    assert len(predictions) == 1_000_000
    assert predictions[0]["twice"] == [2, 4] and predictions[-1]["twice"] == [6, 8]


@pytest.mark.parametrize(("method", "key"), [("predict", "instances"), ("classify", "examples")])
def test_more_rows_than_the_limit_are_refused_before_they_are_spread_out(server, method, key):
    rows = b"{}," * 1_000_000 + b"{}"
    body = b'{"signature_name": "predict", "%s": [%s]}' % (key.encode(), rows)
    answer, content = server.ask("POST", f"/v1/models/small:{method}", body)
    assert answer.status == 400
    said = f"1000001 {key}: at most 1000000 are allowed in one request"
    assert json.loads(content) == {"error": said}


def test_bodies_over_the_limit(models):
    server = Server(models, Limits(body_bytes=100_000, bytes_in_flight=150_000, body_seconds=5))
    try:
        large = b"x" * 1_000_000
        answer, content = server.ask("POST", "/v1/models/small:predict", large)
        assert answer.status == 413
        assert json.loads(content) == {"error": "The body is larger than 100000 bytes"}
        chunks = iter([large[:50_000]] * 4)
        answer, content = server.ask("POST", "/v1/models/small:predict", chunks)
        assert answer.status == 413, content
        # The unpacked size of a compressed body counts.
        packed = gzip.compress(large)
        answer, content = server.ask(
            "POST", "/v1/models/small:predict", packed, {"Content-Encoding": "gzip"}
        )
        assert answer.status == 413, content
        # Two bodies with half of the limit each, and a third one.
        held = []
        for _ in range(2):
            connection = server.socket()
            connection.sendall(
                b"POST /v1/models/small:predict HTTP/1.1\r\nHost: x\r\n"
                b"Content-Length: 90000\r\n\r\n" + b"x" * 70_000
            )
            held.append(connection)
        _until(lambda: server.held() == 140_000)
        answer, content = server.ask("POST", "/v1/models/small:predict", large[:20_000])
        assert answer.status == 429 and b"Too many bytes" in content
        for connection in held:
            connection.close()
        _until(lambda: server.held() == 0)
        row = {"signature_name": "predict", "instances": [ROW]}
        assert score(server.post("small:predict", row)) == 106.5
    finally:
        server.stop()


def _until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_gzip_is_read(server):
    body = gzip.compress(json.dumps({"signature_name": "predict", "instances": [ROW]}).encode())
    answer, content = server.ask(
        "POST", "/v1/models/small:predict", body, {"Content-Encoding": "gzip"}
    )
    assert answer.status == 200 and score(json.loads(content)) == 106.5
    answer, content = server.ask(
        "POST", "/v1/models/small:predict", b"no gzip", {"Content-Encoding": "gzip"}
    )
    assert answer.status == 400 and json.loads(content)["error"]


@pytest.mark.parametrize(
    ("coding", "pack"),
    [("GZIP", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress)],
)
def test_codings_of_a_body(server, coding, pack):
    rows = [
        {**ROW, "kind": "x" * 100}
    ] * 10_000  # 1.5 MB when unpacked, so it is unpacked by slices.
    for given, score_ in (([ROW], 106.5), (rows, 203.5)):
        body = pack(json.dumps({"signature_name": "predict", "instances": given}).encode())
        head = {"Content-Encoding": coding}
        answer, content = server.ask("POST", "/v1/models/small:predict", body, head)
        assert answer.status == 200, content
        assert json.loads(content)["predictions"] == [score_] * len(given)


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "zstd"])
def test_a_coding_that_is_not_read_is_named(server, coding):
    head = {"Content-Encoding": coding}
    answer, content = server.ask("POST", "/v1/models/small:predict", b"{}", head)
    assert answer.status == 415
    said = f"Content-Encoding: {coding} is not supported; send gzip, deflate or none"
    assert json.loads(content) == {"error": said}
    answer, _ = server.ask("POST", "/v1/models/small:predict", b"{}", {"Content-Encoding": ""})
    assert answer.status == 400


def test_small_bodies_that_unpack_to_much_are_refused_and_others_answered(models):
    """Their unpacked size is limited too, and other requests do not have to wait for them."""
    limit = 8_000_000
    whole = b'{"instances":[' + b" " * 20_000_000 + b"]}"
    # One more empty member: gzip only says the size of the last one.
    lying = gzip.compress(whole) + gzip.compress(b"")
    bombs = [("gzip", gzip.compress(whole)), ("gzip", lying), ("deflate", zlib.compress(whole))]
    held, others = [], 0
    server = Server(models, Limits(body_bytes=limit))

    def ask(coding, body):
        head = {"Content-Encoding": coding}
        return server.ask("POST", "/v1/models/small:predict", body, head)

    try:
        with ThreadPoolExecutor(12) as pool:
            asked = [pool.submit(ask, *bomb) for bomb in bombs * 4]
            while not all(future.done() for future in asked):
                row = {"signature_name": "predict", "instances": [ROW]}
                assert score(server.post("small:predict", row)) == 106.5
                others += 1
                held.append(server.held())
        _until(lambda: server.held() == 0)
    finally:
        server.stop()
    answers = [future.result() for future in asked]
    assert {answer.status for answer, _ in answers} == {413}
    said = {json.loads(content)["error"] for _, content in answers}
    assert said == {
        f"The body is larger than {limit} bytes",
        f"The body says that it unpacks to {len(whole)} bytes; at most {limit} are allowed",
    }
    # Only one at a time is unpacked beyond its first bytes.
    assert others > 1 and max(held) < limit + 12 * (300_000 + len(bombs[0][1]))


def test_memory_of_json_is_bounded_before_it_is_read(models):
    server = Server(models, Limits(json_bytes=1_000_000))
    try:
        body = b'{"instances": [' + b"{}," * 10_000 + b"{}]}"
        answer, content = server.ask("POST", "/v1/models/small:predict", body)
        assert answer.status == 400
        assert b"of memory when it is read; at most 1000000" in content
        rows = b'{"signature_name": "several", "instances": [' + b"[1,2]," * 4_000 + b"[3,4]]}"
        answer, content = server.ask("POST", "/v1/models/small:predict", rows)
        assert answer.status == 200, content
    finally:
        server.stop()


def test_columns_have_the_limit_of_rows_too(models):
    server = Server(models, Limits(rows=10))
    try:
        columns = {"inputs": {name: [value] * 11 for name, value in ROW.items()}}
        body = {"signature_name": "predict", **columns}
        said = "11 rows of 'inputs': at most 10 are allowed in one request"
        assert server.post("small:predict", body, 400) == {"error": said}
    finally:
        server.stop()


def request_bytes(connection="keep-alive"):
    body = json.dumps({"signature_name": "predict", "instances": [ROW]}).encode()
    head = f"POST /v1/models/small:predict HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


def read_all(connection):
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_a_slow_body_gets_408(server):
    with server.socket() as connection:
        connection.sendall(request_bytes()[:-5])
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 408 ") and b"did not come within 3 s" in answer


def test_of_a_refused_body_little_more_is_read(server):
    """The connection ends soon, however much the client still wants to send."""
    with server.socket() as connection:
        connection.sendall(
            b"POST /v1/models/small:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"
        )
        start = time.monotonic()
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 413 ") and time.monotonic() - start < 2


def test_a_slow_header_and_an_idle_connection_are_closed(server):
    for sent in (b"", b"POST /v1/models/sm"):
        with server.socket() as connection:
            connection.sendall(sent)
            start = time.monotonic()
            assert connection.recv(100) == b""
            assert time.monotonic() - start < 10


def test_a_half_closed_connection_is_answered(server):
    with server.socket() as connection:
        connection.sendall(request_bytes())
        connection.shutdown(socket.SHUT_WR)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 200 OK") and b"106.5" in answer
    with server.socket() as connection:
        connection.sendall(request_bytes()[:-5])
        connection.shutdown(socket.SHUT_WR)
        assert b"200 OK" not in read_all(connection)


def test_keep_alive_pipelining_and_close(server):
    with server.socket() as connection:
        connection.sendall(request_bytes() * 5 + request_bytes("close"))
        answer = read_all(connection)
    assert answer.count(b"HTTP/1.1 200 OK") == answer.count(b"106.5") == 6
    with server.socket() as connection:
        connection.sendall(request_bytes().replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert b"Connection: keep-alive" in connection.recv(65536)
        connection.sendall(request_bytes("close").replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert b"106.5" in read_all(connection)


def test_continue_is_said_for_a_large_body(server):
    request = request_bytes("close")
    head, _, body = request.partition(b"\r\n\r\n")
    with server.socket() as connection:
        connection.sendall(head + b"\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert b"106.5" in read_all(connection)


def test_what_is_no_http_gets_json(server):
    with server.socket() as connection:
        connection.sendall(b"\x16\x03\x01 this is TLS\r\n\r\n")
        answer = read_all(connection)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request")
    assert json.loads(body)["error"].startswith("Malformed request: ")


def test_a_client_that_is_gone_gives_its_request_up(server):
    body = b'{"signature_name": "several", "instances": [' + b"[1,2]," * 400_000 + b"[3,4]]}"
    head = b"POST /v1/models/small:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    connection = server.socket()
    connection.sendall(head % len(body) + body)
    _until(lambda: server.held() == len(body))
    # The connection is reset, not closed.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    _until(lambda: server.held() == 0, 5)
    assert b'{model_name="small",status="CANCELLED"}' in server.metrics.page()


def test_more_connections_than_allowed(models):
    server = Server(models, Limits(connections=2))
    try:
        with server.socket() as first, server.socket() as second:
            for connection in (first, second):
                connection.sendall(request_bytes())
                assert b"200 OK" in connection.recv(65536)
            with server.socket() as third:
                answer = read_all(third)
            assert answer.startswith(b"HTTP/1.1 503 ") and b"More than 2 connections" in answer
        _until(lambda: b"200 OK" in _asked(server))
    finally:
        server.stop()


def _asked(server):
    with server.socket() as connection:
        try:
            connection.sendall(request_bytes("close"))
            return read_all(connection)
        except ConnectionError:
            return b""


def test_many_at_once_are_batched(models):
    sizes = []
    source = models["small"]
    versions = ModelVersions(
        "small", source._source, BatchingParameters(observed=sizes.append), poll_seconds=60
    )
    versions.start()
    server = Server({"small": versions}, None)

    def asked(number):
        row = {**ROW, "count": number}
        body = {"signature_name": "predict", "instances": [row]}
        return score(server.post("small:predict", body))

    try:
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(asked, range(200)))
    finally:
        server.stop()
        versions.stop()
    assert answers == [104.5 + number for number in range(200)]
    assert sum(sizes) == 200 and max(sizes) > 1


def test_a_stopping_server_answers_what_it_has(models):
    server = Server(models, None)
    with server.socket() as connection:
        body = b'{"signature_name": "several", "instances": [' + b"[1,2]," * 99_999 + b"[3,4]]}"
        head = b"POST /v1/models/small:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
        connection.sendall(head % len(body) + body)
        _until(lambda: server.held() == len(body))
        with ThreadPoolExecutor(1) as pool:
            stopped = pool.submit(server.stop)
            answer = read_all(connection)
            stopped.result()
    assert answer.startswith(b"HTTP/1.1 200 OK") and answer.endswith(b"]}")


def test_an_address_in_use_is_an_error(server, models):
    with pytest.raises((OSError, MfxError)):
        asyncio.run(rest.start(models, "127.0.0.1", server.port))
