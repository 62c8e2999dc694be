"""A lock that ends with a run's processes shows whether they are alive."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from helpers.flows import ROOT

from mfx.errors import MfxError
from mfx.registry import liveness
from mfx.registry.liveness import Life

HOLDER = """
import sys
from mfx.registry import liveness
from metaflow.plugins.datastores.local_storage import LocalStorage
LocalStorage.datastore_root = sys.argv[1]
getattr(liveness, sys.argv[2])("Flow", "1", *([print] if sys.argv[2] == "hold" else []))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A local datastore."""
    from metaflow.plugins.datastores.local_storage import LocalStorage

    monkeypatch.setattr(LocalStorage, "datastore_root", str(tmp_path))
    return tmp_path


@pytest.fixture
def process(root):
    """Starts another process that takes the run's lock, as its scheduler or as a step."""
    started = []

    def start(how: str = "hold") -> subprocess.Popen:
        done = subprocess.Popen(
            [sys.executable, "-u", "-c", HOLDER, str(root), how],
            env={**os.environ, "PYTHONPATH": str(ROOT / "lib")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(done)
        return done

    yield start
    for one in started:
        one.kill()
        one.wait()


def held(process) -> str:
    """The output of the process until it has the lock."""
    said = ""
    while "held" not in said:
        said += process.stdout.readline()
    return said


def test_a_process_is_alive_until_it_is_killed(process):
    assert liveness.life_of("Flow", "1") == Life(None), "never heard of"
    scheduler, step = process(), None
    held(scheduler)
    assert liveness.life_of("Flow", "1") == Life(True)
    step = process("join")
    held(step)
    scheduler.send_signal(signal.SIGKILL)
    scheduler.wait()
    assert liveness.life_of("Flow", "1") == Life(True), "its step goes on"
    step.kill()
    step.wait()
    assert liveness.life_of("Flow", "1") == Life(False)


def test_many_may_look_at_once(process):
    held(process())
    found = []
    lookers = [
        threading.Thread(target=lambda: found.append(liveness.life_of("Flow", "1")))
        for _ in range(20)
    ]
    for looker in lookers:
        looker.start()
    for looker in lookers:
        looker.join()
    assert found == [Life(True)] * 20


def test_how_it_ended_is_kept_where_it_failed(root):
    file = root / "mfx.alive" / "Flow" / "1"
    file.parent.mkdir(parents=True)
    liveness.end("Flow", "1", failed=True)
    assert liveness.life_of("Flow", "1") == Life(False, failed=True)
    liveness.end("Flow", "1", failed=False)
    assert not file.exists()


def test_another_machines_lock_may_not_be_seen_here(root):
    file = root / "mfx.alive" / "Flow" / "1"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"machine": "another"}))
    assert liveness.life_of("Flow", "1") == Life(None)
    file.write_text("no JSON")
    assert liveness.life_of("Flow", "1") == Life(None)


def test_a_step_joins_only_a_run_that_is_known(root):
    liveness.join("Flow", "1")
    assert not (root / "mfx.alive").exists()


def test_no_run_begins_while_blobs_are_removed(process):
    with liveness.nobody_begins("Flow"):
        with (
            pytest.raises(MfxError, match="another `mfx gc` is running"),
            liveness.nobody_begins("Flow"),
        ):
            pass
        other = process()
        assert "waiting for `mfx gc` to end" in other.stdout.readline()
        time.sleep(0.2)
        assert liveness.life_of("Flow", "1") == Life(None), "it has not begun"
    assert held(other) == "held\n"
    assert liveness.life_of("Flow", "1") == Life(True)
    with liveness.nobody_begins("Flow"):
        pass  # A run that has begun stops gc by its state.


def test_without_locks_nothing_is_known(root, monkeypatch):
    def none(*_):
        raise OSError("no locks here")

    monkeypatch.setattr(liveness.fcntl, "flock", none)
    liveness.hold("Flow", "1", print)
    assert not (root / "mfx.alive" / "Flow" / "1").exists()
    assert liveness.life_of("Flow", "1") == Life(None)
    with liveness.nobody_begins("Flow"):
        pass
