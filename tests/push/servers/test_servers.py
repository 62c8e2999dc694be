"""Every registered model server is started, asked, measured and stopped in the same way.

One whose program is not on this machine is skipped, and says which that is.
"""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from helpers.serving_models import small_model

from mfx.errors import MfxError
from mfx.push import servers
from mfx.push.servers import process
from mfx.push.servers.base import ServerError
from mfx.serve.parameters import BatchingParameters

ROWS = [
    {"amount": 1.5, "count": 2, "kind": b"abc"},
    {"amount": None, "count": 7, "kind": None},
    {"amount": -1.0, "count": None, "kind": b"\xff"},
    {},
]
EXPECTED = [6.5, 7.0, 0.0, 0.0]
BATCHING = BatchingParameters(max_batch_size=4, allowed_batch_sizes=(1, 4))


@pytest.fixture(scope="module", params=servers.SERVERS.names())
def server(request):
    found = servers.find(request.param)
    if missing := found.missing():
        pytest.skip(missing)
    return found


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def asked(server, model):
    """Start a server once; keep what each client answered, and its memory."""
    with process.running(server, model, "small", BATCHING, 300) as running:
        answers = {
            (name, size): [
                answer
                for begin in range(0, len(ROWS), size)
                for answer in call(ROWS[begin : begin + size]).ravel().tolist()
            ]
            for name, call in running.clients()
            for size in (1, 3, 4)
        }
        memory = running.memory()
    return running, answers, memory


def test_each_client_gives_the_models_answers(asked):
    _, answers, _ = asked
    names = {name for name, _ in answers}
    assert any("REST" in name for name in names) and any("gRPC" in name for name in names)
    for each, answer in answers.items():
        assert np.array_equal(answer, EXPECTED), each


def test_memory_is_that_of_a_server_with_tensorflow(asked):
    running, _, memory = asked
    assert running.start_seconds > 0
    assert memory is None or 100 * 2**20 < memory < 8 * 2**30


def test_it_is_gone_afterwards(asked):
    assert asked[0].process.poll() is not None


def test_a_model_that_cannot_be_loaded_is_one_line(server, model, tmp_path):
    broken = tmp_path / "model"
    shutil.copytree(model, broken)
    (broken / "saved_model.pb").write_bytes(b"no graph")
    with (
        pytest.raises(ServerError) as caught,
        process.running(server, broken, "small", BATCHING, 300),
    ):
        pass
    assert "\n" not in str(caught.value) and "the model was not ready within" not in str(
        caught.value
    )


def test_titles_tell_servers_apart():
    titles = [servers.find(name).title for name in servers.SERVERS.names()]
    assert all(titles) and len(set(titles)) == len(titles)


def test_an_unknown_server_says_which_there_are():
    with pytest.raises(MfxError, match=r"tritn: no model server has this name; did you mean 'tri"):
        servers.find("tritn")
