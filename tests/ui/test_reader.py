"""Summaries read in the background."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from helpers.pages import SUMMARY as ONE

from mfx.errors import MfxError
from mfx.ui import reader
from mfx.ui.reader import Reader

RUNS = [
    SimpleNamespace(run=SimpleNamespace(pathspec=f"Pipeline/{n}"), id=str(n)) for n in range(60)
]


class Slow:
    """Reads a run when it may; notes what was read and saved."""

    def __init__(self, state: str = "finished") -> None:
        self.state = state
        self.may = threading.Event()
        self.read: list[str] = []
        self.saved: list[str] = []
        self.problem: Exception | None = None
        self.reader = Reader(self._read, lambda flow, some: self.saved.extend(s.run for s in some))

    def _read(self, one):
        assert self.may.wait(30)
        if self.problem:
            raise self.problem
        self.read.append(one.id)
        return replace(ONE, run=one.id, state=self.state)


@pytest.fixture
def slow():
    one = Slow()
    yield one
    one.may.set()
    one.reader.stop()


def until(done) -> None:
    end = time.monotonic() + 30
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_page_does_not_wait_for_longer_than_it_says(slow):
    began = time.monotonic()
    assert slow.reader.ask(RUNS, RUNS, 0.1) == {}
    assert 0.1 <= time.monotonic() - began < 5
    slow.may.set()
    found = slow.reader.ask(RUNS, RUNS, 30)
    assert list(found) == [one.run.pathspec for one in RUNS]
    until(lambda: len(slow.saved) == len(RUNS))
    assert sorted(slow.read, key=int) == [one.id for one in RUNS], "each once"


def test_the_newest_come_first_and_a_page_waits_for_its_own_alone(slow):
    slow.may.set()
    found = slow.reader.ask(RUNS, RUNS[:5], 30)
    assert set(found) >= {one.run.pathspec for one in RUNS[:5]}
    until(lambda: len(slow.read) == len(RUNS))
    assert {int(run) for run in slow.read[:10]} <= set(range(10 + reader.READERS))


def test_finished_runs_are_read_once_others_again(monkeypatch):
    monkeypatch.setattr(reader, "CHANGING_SECONDS", 0.0)
    for state, times in (("finished", 1), ("running", 2)):
        slow = Slow(state)
        slow.may.set()
        for _ in range(2):
            slow.reader.ask(RUNS[:1], RUNS[:1], 0.2)
            until(lambda slow=slow: not slow.reader._reading)
        assert (len(slow.read), slow.saved) == (times, ["0"] * (state == "finished"))
        slow.reader.stop()


def test_what_is_kept_is_not_read(slow):
    slow.reader.add("Pipeline", {"0": ONE})
    assert slow.reader.ask(RUNS[:1], RUNS[:1], 0) == {"Pipeline/0": ONE}
    assert slow.read == []


def test_a_problem_is_said_once_and_reading_goes_on(slow):
    slow.problem = MfxError("the store is gone")
    slow.may.set()
    with pytest.raises(MfxError, match="the store is gone"):
        slow.reader.ask(RUNS, RUNS, 30)
    until(lambda: not slow.reader._reading)
    slow.problem = slow.reader._problem = None
    assert len(slow.reader.ask(RUNS, RUNS, 30)) == len(RUNS)


def test_an_old_problem_is_no_news(slow, monkeypatch):
    slow.problem = MfxError("the store is gone")
    slow.may.set()
    slow.reader.ask(RUNS[:1], [], 0)
    until(lambda: slow.reader._problem)
    slow.problem = None
    monkeypatch.setattr(reader, "PROBLEM_SECONDS", 0.0)
    assert list(slow.reader.ask(RUNS[:1], RUNS[:1], 30)) == ["Pipeline/0"]


def test_more_read_at_a_time_only_where_reading_waits():
    def busy(_):
        end = time.thread_time() + 0.002
        while time.thread_time() < end:
            pass

    def waiting(_):
        time.sleep(0.02)

    for what, readers in ((busy, None), (waiting, reader.READERS)):
        slow = Slow()
        slow.may.set()
        read = slow.reader._read_one
        slow.reader._read_one = lambda one, what=what, read=read: (what(one), read(one))[1]
        slow.reader.ask(RUNS, RUNS, 30)
        slow.reader.stop()
        if readers:
            assert len(slow.reader._threads) == readers
        assert sorted(slow.read, key=int) == [one.id for one in RUNS]


def test_it_stops_at_once(slow):
    slow.reader.ask(RUNS, [], 0)
    stopping = threading.Thread(target=slow.reader.stop)
    stopping.start()
    until(lambda: slow.reader._stopped)
    slow.may.set()
    stopping.join()
    assert not any(thread.is_alive() for thread in slow.reader._threads)
    assert len(slow.read) <= reader.READERS, "only what was being read"
