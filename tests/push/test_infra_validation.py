"""A candidate is served for real, and its answers are compared with those evaluated."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
from helpers.serving_models import small_model

from mfx.config import Push
from mfx.push import infra_validation, servers
from mfx.push.servers import process

ROWS = [
    {"amount": 1.5, "count": 2, "kind": b"abc"},
    {"amount": None, "count": 7, "kind": None},
    {"amount": -1.0, "count": None, "kind": b"\xff"},
]
EXPECTED = np.array([[6.5], [7.0], [0.0]])
PUSH = Push(destination="pushed", batch_sizes=[1, 4])
APIS = [f"{api} {name}" for name in ("serving_default", "predict") for api in ("REST", "gRPC")]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def replayed(model):
    """The user may have set a proxy, which cannot reach a server on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("http_proxy", "http://127.0.0.1:9")
        patch.delenv("no_proxy", raising=False)
        return infra_validation.validate(model, "small", ROWS, EXPECTED, PUSH)


def test_answers_as_expected_are_valid(replayed):
    assert replayed.valid, replayed.error
    assert (replayed.rows, replayed.max_difference) == (3, 0.0)


def test_every_api_signature_and_size_was_asked(replayed):
    asked = [(latency.api, latency.batch_size) for latency in replayed.latencies]
    assert asked == [(api, size) for api in APIS for size in (1, 4)]
    assert all(latency.requests >= 30 for latency in replayed.latencies)
    assert all(0 < latency.p50 <= latency.p99 for latency in replayed.latencies)


def test_the_servers_cost_is_recorded(replayed):
    assert replayed.server == servers.find().title
    assert 0 < replayed.load_seconds < 120
    if sys.platform == "linux":
        assert 100 < replayed.memory_mb < 4000


def test_other_numbers_are_not_valid(model):
    wrong = EXPECTED + np.array([[0.0], [0.0], [1e-3]])
    replayed = infra_validation.validate(model, "small", ROWS, wrong, PUSH)
    assert not replayed.valid
    assert replayed.max_difference == pytest.approx(1e-3)
    assert re.search(r"predictions served over \w+ \w+, [14] at a time differ from", replayed.error)


def test_no_number_is_the_largest_difference():
    measured = infra_validation.Measured(np.array([[0.5]]))
    measured.ask("REST", lambda rows: np.array([[np.nan]]), ROWS[:1], 1)
    assert np.isnan(measured.difference)


def test_another_number_of_answers_is_an_error():
    measured = infra_validation.Measured(EXPECTED)
    with pytest.raises(infra_validation.AnswerError, match="REST, 1 at a time: 2 numbers for 1"):
        measured.ask("REST", lambda rows: np.zeros(2), ROWS, 1)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("sys.exit(3)", r"the server ended with exit code 3: no message"),
        ("raise RuntimeError('no such op')", "exit code 1: RuntimeError: no such op"),
        ("import os; os.kill(os.getpid(), 9)", "exit code -9"),
        ("time.sleep(60)", "the model was not ready within 1 s"),
    ],
)
def test_each_way_not_to_come_up_is_not_valid(body, reason, tmp_path, model, monkeypatch):
    script = tmp_path / "server.py"
    script.write_text(f"import sys, time\n{body}\n")
    monkeypatch.setattr(infra_validation, "TIMEOUT_SECONDS", 1)
    monkeypatch.setattr(type(servers.find()), "command", lambda *_: [sys.executable, str(script)])
    replayed = infra_validation.validate(model, "small", ROWS, EXPECTED, PUSH)
    assert not replayed.valid
    assert re.search(reason, replayed.error), replayed.error


def test_the_server_is_gone_afterwards(model):
    parameters = infra_validation.BatchingParameters()
    with process.running(servers.find(), model, "small", parameters, 120) as server:
        assert server.process.poll() is None
    assert server.process.poll() is not None


def test_tf_serving_is_taken_where_it_is(tmp_path, monkeypatch):
    binary = tmp_path / "tensorflow_model_server"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert servers.find().title == "tensorflow_model_server"
    binary.unlink()
    assert servers.find().title == "mfx serve"
