"""The client for TensorFlow Serving's API. Infra validation uses it, and users may copy it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from helpers.flows import ROOT
from helpers.serving_models import small_model

from mfx.push.servers import client, process
from mfx.push.servers.mfx_serve import MfxServe
from mfx.serve.parameters import BatchingParameters

LIBRARYS = ROOT / "lib" / "mfx" / "push" / "servers" / "client.py"
USERS = ROOT / "serving" / "client.py"


def test_what_users_copy_is_the_librarys_and_a_command_line():
    ours, theirs = (path.read_text(encoding="utf-8") for path in (LIBRARYS, USERS))
    assert theirs.startswith(f"{ours}\n\ndef main() -> None:\n"), (
        "change serving/client.py and lib/mfx/push/servers/client.py alike: above `def main` they "
        "are the same text"
    )


def test_it_needs_neither_this_library_nor_others(tmp_path):
    (tmp_path / "client.py").write_bytes(USERS.read_bytes())
    done = subprocess.run(
        [sys.executable, "-S", "client.py", "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "--grpc ADDRESS" in done.stdout


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    model = small_model(tmp_path_factory.mktemp("model"))
    with process.running(MfxServe(), model, "small", BatchingParameters(), 300) as found:
        yield found


@pytest.fixture(params=["REST", "gRPC"])
def connect(request, running):
    if request.param == "REST":
        return lambda model="small", **to: client.RestClient(f"http://{running.rest}", model, **to)
    return lambda model="small", **to: client.GrpcClient(running.grpc, model, **to)


def test_what_the_model_takes(connect):
    with connect() as server:
        known = server.signatures()
    assert known["predict"].inputs == {
        "amount": "DT_FLOAT",
        "count": "DT_INT64",
        "kind": "DT_STRING",
    }
    assert {"predict", "serving_default"} <= set(known)


def test_which_versions_there_are(connect):
    with connect() as server:
        assert server.status() == [client.Status(1, "AVAILABLE", "")]
    with connect(version=2) as server, pytest.raises(client.ServingError) as caught:
        server.status()
    assert caught.value.code == "NOT_FOUND"


def test_serialized_examples(connect):
    from mfx.columns.tf_examples import to_example

    with connect(signature="serving_default") as server:
        (name,) = server.signatures()["serving_default"].inputs
        row = {"amount": 1.5, "count": 2, "kind": b"abc"}
        assert server.predict([{name: to_example(row)}]).outputs == {"score": [6.5]}


def test_lists_are_filled_up_and_given_their_shape():
    inputs = {"ids": "DT_INT64", "words": "DT_STRING", "pixels": "DT_FLOAT"}
    shapes = {"ids": (-1,), "words": (-1,), "pixels": (2, 2)}
    rows = [
        {"ids": [1, 2], "words": np.array(["a"]), "pixels": [1, 2, 3, 4]},
        {"ids": 3, "pixels": [[5, 6], [7, 8]]},
    ]
    assert client.to_columns(rows, inputs, shapes) == {
        "ids": [[1, 2], [3, -(2**63)]],
        "words": [["a"], [""]],
        "pixels": [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]],
    }


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"pixels": [1.0, 2.0]}, "row 0: feature 'pixels': expected 4 values, found 2"),
        ({}, "row 0: feature 'pixels': expected 4 values, found 0"),
        ({"pixels": [1.0, 2.0, 3.0, "x"]}, "row 0: feature 'pixels': expected a number, found 'x'"),
    ],
)
def test_lists_that_do_not_fit_are_refused(row, said):
    with pytest.raises(client.ServingError, match=said):
        client.to_columns([row], {"pixels": "DT_FLOAT"}, {"pixels": (2, 2)})
