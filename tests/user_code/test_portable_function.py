"""A user's function can run in a process that does not have its file."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
from helpers.small_world import write_pipeline

from mfx.user_code import loading
from mfx.user_code.portable_function import PortableFunction

MODEL = """
import tensorflow as tf
SCALE = 3

def helper(x):
    return x * SCALE

def preprocessing_fn(inputs):
    return helper(inputs)

@tf.autograph.experimental.do_not_convert
def build_model():
    pass

def branches(x):
    if x > 0:
        return x
    return -x
"""


@pytest.fixture
def module(tmp_path):
    return loading.load(write_pipeline(tmp_path / "pipeline", MODEL))


def test_it_calls_the_function(module):
    assert PortableFunction(module, "preprocessing_fn")(2) == 6


def test_another_process_runs_it_without_the_file(module, tmp_path):
    """Even if AutoGraph needs its source code: it has an `if` on a tensor."""
    data = pickle.dumps([PortableFunction(module, n) for n in ("preprocessing_fn", "branches")])
    (tmp_path / "functions.pickle").write_bytes(data)
    (tmp_path / "pipeline" / "model.py").unlink()
    script = (
        "import pickle, sys, tensorflow as tf\n"
        "times, positive = pickle.load(open(sys.argv[1], 'rb'))\n"
        "print(times(5), tf.function(positive)(tf.constant(-4)).numpy())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "functions.pickle")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["15", "4"], done.stderr


def test_it_can_be_sent_on(module):
    """Beam pickles functions again that it has unpickled."""
    sent = pickle.loads(pickle.dumps(PortableFunction(module, "preprocessing_fn")))
    again = pickle.loads(pickle.dumps(sent))
    assert isinstance(again, PortableFunction)
    assert again(4) == 12
