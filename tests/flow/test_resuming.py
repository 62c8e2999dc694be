"""What MFX does before and while Metaflow's `run`, `resume` and `spin` run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from helpers.flows import ROOT
from helpers.small_runs import small_runs_in

from mfx.errors import MfxError
from mfx.flow import resuming
from mfx.registry import runs


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    """Runs the flow; returns its output, with its exit code in front."""
    small = small_runs_in(tmp_path_factory.mktemp("launched"))

    def start(*arguments: str, **environment: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "helpers" / "launched_flow.py"), *arguments],
            env={
                **os.environ,
                "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(small.store),
                "HOME_OF_CONFIG": str(small.config.parent),
                "PYTHONPATH": str(ROOT / "lib"),
                **environment,
            },
            cwd=small.store,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def call(*arguments: str, **environment: str) -> str:
        process = start(*arguments, **environment)
        said = process.communicate()[0]
        return f"{process.returncode}\n{said}"

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METAFLOW_DATASTORE_SYSROOT_LOCAL", str(small.store))
        small.look()
        yield SimpleNamespace(call=call, start=start, look=small.look, store=small.store)


def run_id(said: str) -> str:
    return re.search(r"run-id ([\w-]+)\)", said)[1]


def state(run: str) -> str:
    return runs.results(run, "Launched").state


def tags(run: str) -> set[str]:
    return set(runs.results(run, "Launched").run.user_tags)


@pytest.fixture(scope="module")
def story(launched):
    """A run that fails, its resume that gets further and fails, and the resume of that one."""
    first = launched.call("run", "--tag", "experiment:wider", "--tag", "two words", FAILS="middle")
    assert first.startswith("1\n"), first
    launched.look()
    runs.results(run_id(first), "Launched").run.add_tag("production:small")
    second = launched.call("resume", FAILS="end", SLEEPS="")
    third = launched.call("resume", "--tag", "third")
    launched.look()
    return [first, second, third]


def test_resume_goes_on_from_the_newest_run_and_not_from_the_one_before(story):
    first, second, third = map(run_id, story)
    assert story[1].startswith("1\n") and f"Cloning Launched/{first}" in story[1]
    assert story[2].startswith("0\n") and f"Cloning Launched/{second}" in story[2]
    started = re.findall(r"/(\w+)/\d+ \(pid \d+\)\] Task is starting", story[2])
    assert started == ["end"]
    assert [state(run) for run in (first, second, third)] == ["failed", "failed", "finished"]


def test_a_resumed_run_keeps_its_users_tags(story):
    first, second, third = map(run_id, story)
    given = {"experiment:wider", "two words"}
    assert tags(first) == {*given, "production:small"}
    assert tags(second) == given, "what is in production is not for resume to say"
    assert tags(third) == {*given, "third"}


def test_an_id_that_is_taken_is_refused(launched, story):
    before = set(launched.store.glob(".metaflow/Launched/*"))
    named = launched.call("resume", "--origin-run-id", run_id(story[1]), "--run-id", "again")
    assert named.startswith("0\n"), named
    said = launched.call("resume", "--run-id", "again")
    assert said.startswith("1\n") and "Traceback" not in said and "is starting" not in said
    assert "--run-id: there is a run Launched/again already" in said
    after = set(launched.store.glob(".metaflow/Launched/*"))
    assert {path.name for path in after - before} == {"again"}


def test_an_unknown_run_is_one_message(launched, story):
    said = launched.call("resume", "--origin-run-id=123")
    assert said.startswith("1\n") and "Traceback" not in said
    assert "run Launched/123 does not exist, or left nothing to resume" in said


def test_spin_is_a_trial_and_not_the_latest_run(launched, story):
    latest = (launched.store / ".metaflow" / "Launched" / "latest_run").read_text()
    said = launched.call("spin", "middle")
    assert said.startswith("0\n"), said
    assert "trial: True" in said and "mfx_launched" not in said
    assert (launched.store / ".metaflow" / "Launched" / "latest_run").read_text() == latest


def test_running_and_killed_runs_are_told_apart(launched, story):
    process = launched.start("run", SLEEPS="1")
    said = ""
    try:
        while "in middle of" not in said:
            said += process.stdout.readline() or pytest.fail(said)
        launched.look()
        run = run_id(said)
        assert state(run) == "running"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert state(run) == "running", "its step lives on"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    deadline = time.monotonic() + 20
    while state(run) == "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert state(run) == "killed"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("x.py resume --origin-run-id=12 train", "x.py resume --origin-run-id 12 train"),
        ("x.py resume --origin-run-id 12", "x.py resume --origin-run-id 12"),
        ("x.py run --word --origin-run-id=12", "x.py run --word --origin-run-id=12"),
    ],
)
def test_an_option_in_one_word_becomes_two(words, expected):
    given = words.split()
    resuming.split_option(given)
    assert given == expected.split()


def test_metaflow_itself_may_resume_into_a_run(launched, story):
    """Metaflow does so from several containers at the same time."""
    options = {"run_id": run_id(story[0]), "origin_run_id": run_id(story[0])}
    metadata = SimpleNamespace(add_sticky_tags=lambda tags: None)
    for reentrant in (True, False):
        asked = {**options, "reentrant": reentrant, "clone_only": False}
        if reentrant:
            resuming.prepare("Launched", asked, metadata)
            continue
        with pytest.raises(MfxError, match="there is a run"):
            resuming.prepare("Launched", asked, metadata)
