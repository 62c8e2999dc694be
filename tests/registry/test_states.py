"""The state of a run. Plain objects stand in for Metaflow's client."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from metaflow.client.core import Metadata

from mfx.registry import states
from mfx.registry.liveness import Life
from mfx.registry.states import FAILED, FINISHED, KILLED, RUNNING, UNKNOWN, State, state_of

NOW = datetime.now().astimezone()
BEFORE = NOW - timedelta(days=3)


class Step(list):
    """A step's tasks."""

    def __init__(self, name: str, *tasks, created=NOW) -> None:
        super().__init__(tasks)
        self.id, self.created_at = name, created


class Run(list):
    """A run's steps, newest first, as Metaflow gives them."""

    def __init__(self, *steps: Step, id: str = "1", finished=False, heard=None) -> None:
        super().__init__(steps)
        self.id, self.pathspec, self.successful = id, f"Flow/{id}", finished
        self._object = {"last_heartbeat_ts": heard}


def task(*said: tuple[str, str], created=NOW, heard=None):
    """A task whose attempts recorded these results, in order."""
    metadata = [Metadata(*named, at, "", None) for at, named in enumerate(said)]
    return SimpleNamespace(
        metadata=metadata, created_at=created, _object={"last_heartbeat_ts": heard}
    )


OK = (("attempt", "0"), ("attempt_ok", "True"))
BAD = (("attempt", "0"), ("attempt_ok", "False"))
AGAIN = (*BAD, ("attempt", "1"))


@pytest.fixture
def life(monkeypatch):
    """Sets what is known about the run's processes."""

    def say(*known) -> None:
        monkeypatch.setattr(states.liveness, "life_of", lambda flow, run: Life(*known))

    say(None)
    return say


def test_a_finished_run_is_finished_whatever_its_processes_do(life):
    life(True)
    assert state_of(Run(finished=True), NOW) == State(FINISHED, over=True)


@pytest.mark.parametrize("attempts", [OK, BAD, AGAIN, ()])
def test_a_run_with_a_process_is_running_however_long(life, attempts):
    life(True)
    assert state_of(Run(Step("train", task(*attempts))), BEFORE) == State(RUNNING, over=False)


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [(OK, KILLED), (BAD, FAILED), (AGAIN, KILLED), ((), KILLED)],
)
def test_without_a_process_it_failed_if_it_said_so(life, attempts, expected):
    life(False)
    assert state_of(Run(Step("train", task(*attempts))), NOW) == State(expected, over=True)


def test_or_if_its_scheduler_did(life):
    life(False, True)
    assert state_of(Run(Step("train", task(*AGAIN))), NOW) == State(FAILED, over=True)


@pytest.mark.parametrize(
    ("attempts", "expected"), [(OK, UNKNOWN), (BAD, FAILED), (AGAIN, UNKNOWN), ((), UNKNOWN)]
)
def test_of_another_machines_run_nothing_is_certain_for_a_day(life, attempts, expected):
    young = Run(Step("train", task(*attempts)))
    assert state_of(young, BEFORE) == State(expected, over=False)
    old = Run(Step("train", task(*attempts, created=BEFORE), created=BEFORE))
    assert state_of(old, BEFORE) == State(FAILED if attempts == BAD else KILLED, over=True)


def test_a_run_without_a_step_yet_goes_by_its_beginning(life):
    assert state_of(Run(Step("_parameters", task())), NOW) == State(UNKNOWN, over=False)
    assert state_of(Run(), BEFORE) == State(KILLED, over=True)


@pytest.mark.parametrize(
    ("silent", "expected"),
    [
        (10, State(RUNNING, over=False)),
        (10 * 60, State(KILLED, over=False)),
        (2 * 3600, State(KILLED, over=True)),
    ],
)
def test_a_service_hears_of_a_run(life, silent, expected):
    run = Run(Step("train", task()), heard=time.time() - silent)
    assert state_of(run, NOW) == expected


def test_a_deployed_run_may_wait_in_silence_between_two_steps(life):
    silent = time.time() - 2 * 3600
    waiting = Run(Step("train", task(*OK, heard=silent)), id="argo-taxi-x", heard=silent)
    assert state_of(waiting, NOW) == State(UNKNOWN, over=False)
    working = Run(Step("train", task(heard=time.time())), id="argo-taxi-x", heard=silent)
    assert state_of(working, BEFORE) == State(RUNNING, over=False)
    by_task_alone = Run(Step("train", task(heard=time.time())), id="sfn-x")
    assert state_of(by_task_alone, BEFORE) == State(RUNNING, over=False)
