"""The log always says what is served, whichever process is killed or comes first."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.promotions import files, promote, promote_with, rollback
from helpers.pushes import push_folder

from mfx.destinations import open_destination
from mfx.destinations.base import RECORD
from mfx.errors import MfxError
from mfx.registry import actions, promotion
from mfx.registry.log import DONE, OPEN, PLANNED, UNDONE, Log, in_effect
from mfx.registry.promotion import ConflictError, Request, apply, begin, read_view
from mfx.storage import open_storage
from mfx.storage.address import parse

KILLS = int(os.environ.get("MFX_KILLS", "12"))
"""How many processes are killed on each storage; `make test-kills` sets it to 100."""
CHANGES = {"open", "write", "sendfile", "fsync", "link", "rename", "unlink", "mkdir", "rmdir"}
CHANGES |= {"sendall"}
"""Built-in functions and methods that change files or send a request."""


@pytest.fixture
def taxi(place):
    return open_destination(place, "taxi")


def check(taxi) -> str:
    """Check what must be true at any time; return the run in production, '' if none."""
    view = read_view(taxi)
    if not view.versions:
        return ""
    current = view.current
    assert current is not None, "a version is served that is not in the log"
    assert taxi.digest(current.version) == current.digest, "other bytes than the log says"
    versions = [entry.version for entry in view.served]
    assert versions == sorted(set(versions)), "versions only grow"
    assert set(view.versions) == set(versions), "all that is there is in the log, and reverse"
    opened = [entry for entry in Log(taxi).entries() if entry.state == OPEN]
    assert len(opened) <= 1
    return current.run


def test_the_log_says_what_is_served(taxi):
    assert check(taxi) == ""
    entry = promote(taxi, "1", reason="first")
    assert (entry.number, entry.state, entry.run, entry.replaces) == (1, DONE, "1", "")
    assert (entry.reason, entry.who) == ("first", "tester")
    assert check(taxi) == "1"
    second = promote(taxi, "2")
    assert second.version > entry.version and second.replaces == "1"
    assert check(taxi) == "2"
    assert Log(taxi).entries() == [entry, second]
    record = taxi.record(second.version)
    assert (record["run"], record["digest"]) == ("2", second.digest)
    assert taxi.staged() == {}


def test_promoting_what_is_in_production_changes_nothing(taxi):
    first = promote(taxi, "1")
    assert promote(taxi, "1") == first
    assert taxi.versions() == [first.version]


def test_a_rollback_serves_the_same_bytes_under_a_higher_version(taxi):
    first, second = promote(taxi, "1"), promote(taxi, "2")
    back = rollback(taxi)
    assert (back.kind, back.run, back.restores) == ("rollback", "1", 1)
    assert back.version > second.version and back.digest == first.digest
    assert check(taxi) == "1"


def test_rolling_back_twice_goes_back_twice(taxi):
    for run in "123":
        promote(taxi, run)
    assert [rollback(taxi).run, rollback(taxi).run] == ["2", "1"]
    assert actions.candidates(begin(taxi)) == []
    promote(taxi, "4")
    assert rollback(taxi).run == "1"
    assert check(taxi) == "1"


def test_rolling_forward_makes_the_rolled_back_one_a_candidate(taxi):
    promote(taxi, "1")
    promote(taxi, "2")
    rollback(taxi)
    promote(taxi, "2")
    assert [entry.run for entry in actions.candidates(begin(taxi))] == ["1"]


def test_the_old_version_may_be_gone_if_another_has_the_bytes(taxi):
    first = promote(taxi, "1")
    promote(taxi, "2")
    rollback(taxi)
    promote(taxi, "3")
    taxi.withdraw(first.version)
    assert rollback(taxi).digest == first.digest


def test_damaged_bytes_are_never_served_again(taxi, place):
    first = promote(taxi, "1")
    promote(taxi, "2")
    path = f"{first.version}/saved_model.pb"
    if there := parse(place):
        open_storage(there).write(f"{there.prefix}taxi/{path}", b"other")
    else:
        Path(place, "taxi", path).write_text("other")
    with pytest.raises(MfxError, match="neither at the destination nor in Metaflow's datastore"):
        rollback(taxi)
    assert read_view(taxi).current.run == "2"


def test_other_bytes_than_expected_are_not_pushed(taxi):
    with pytest.raises(MfxError, match="the log of promotions says 123"):
        promote(taxi, "1", digest="123")
    assert taxi.versions() == [] and taxi.entries() == []


def test_a_dry_run_changes_nothing(taxi):
    first = promote(taxi, "1")
    planned = apply(
        taxi, read_view(taxi), Request("promote", "Pipeline", "2", {}), files("2"), dry_run=True
    )
    assert (planned.state, planned.run, planned.replaces) == (PLANNED, "2", "1")
    assert planned.version > first.version
    assert len(taxi.entries()) == 2 and taxi.versions() == [first.version]


def test_who_decided_in_view_of_an_older_state_is_told(taxi):
    view = begin(taxi)
    promote(taxi, "1")
    with pytest.raises(ConflictError, match="tester was first: promote of run 1 at "):
        promote(taxi, "2", view=view)
    assert check(taxi) == "1" and taxi.staged() == {}


def test_of_two_promoters_at_once_one_wins(taxi, place):
    """Both processes have the same view and write at the same moment."""
    promote(taxi, "1")
    # obstore does not live on in a forked process, and a new one takes seconds to begin.
    how, last = ("spawn", 2) if place.startswith("az://") else ("fork", 5)
    for number in range(2, last + 1):
        codes = _at_once(place, [f"{number}a", f"{number}b", f"{number}c"], how)
        assert sorted(codes) == [0, 3, 3]
        assert check(taxi) == f"{number}{'abc'[codes.index(0)]}"
    assert len(Log(taxi).entries()) == last


def _at_once(place: str, runs: list[str], how: str) -> list[int]:
    context = multiprocessing.get_context(how)
    together = context.Barrier(len(runs))
    children = [context.Process(target=promote_with, args=(place, r, together)) for r in runs]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
    return [child.exitcode for child in children]


def test_an_intent_opened_while_one_looks_is_finished_first(taxi, monkeypatch):
    """After the open entry is finished, another process writes an intent and dies."""
    promote(taxi, "1")
    recover = promotion.recover

    def another_dies(destination):
        found = recover(destination)
        monkeypatch.setattr(promotion, "recover", recover)
        with monkeypatch.context() as patch:
            patch.setattr(promotion, "finish", _stop)
            with pytest.raises(KeyboardInterrupt):
                promote(taxi, "2")
        return found

    monkeypatch.setattr(promotion, "recover", another_dies)
    view = begin(taxi)
    assert [entry.state for entry in Log(taxi).entries()] == [DONE, DONE]
    assert (view.number, view.open, view.finished.run, view.current.run) == (2, False, "2", "2")


def test_an_open_intent_is_finished_by_whoever_comes_next(taxi, monkeypatch):
    """A process stops after its intent: nothing has happened yet, and the next one finishes it."""
    promote(taxi, "1")
    monkeypatch.setattr(promotion, "finish", _stop)
    with pytest.raises(KeyboardInterrupt):
        promote(taxi, "2")
    monkeypatch.undo()
    assert check(taxi) == "1", "an intent alone is not in effect"
    view = begin(taxi)
    assert (view.finished.run, view.finished.state) == ("2", DONE)
    assert check(taxi) == "2" and taxi.staged() == {}
    assert begin(taxi).finished is None


def test_a_version_counts_from_the_moment_it_is_there(taxi, monkeypatch):
    """Killed between publishing and the outcome: servers have it, so it is in production."""
    promote(taxi, "1")
    monkeypatch.setattr(Log, "settle", _stop)
    with pytest.raises(KeyboardInterrupt):
        promote(taxi, "2")
    monkeypatch.undo()
    assert check(taxi) == "2"
    opened = Log(taxi).entries()[-1]
    assert opened.state == OPEN
    assert begin(taxi).current.since == opened.time, "not the time of the one who finished it"


def test_an_intent_whose_bytes_are_gone_is_undone(taxi, monkeypatch):
    promote(taxi, "1")
    monkeypatch.setattr(promotion, "finish", _stop)
    with pytest.raises(KeyboardInterrupt):
        promote(taxi, "2")
    monkeypatch.undo()
    (name,) = taxi.staged()
    taxi.discard(name)
    view = begin(taxi)
    assert (view.finished.state, view.finished.since) == (UNDONE, "")
    assert "gone or damaged" in view.finished.outcome
    assert check(taxi) == "1"
    assert promote(taxi, "2").number == 3


def test_a_version_that_is_not_what_was_pushed_is_withdrawn(taxi, monkeypatch):
    """Files that change after the staged ones are checked and before the served ones are."""
    promote(taxi, "1")
    monkeypatch.setattr(type(taxi), "digest", lambda *_: "something else")
    with pytest.raises(MfxError, match="does not have the files that were pushed"):
        promote(taxi, "2")
    monkeypatch.undo()
    assert check(taxi) == "1"
    assert [entry.state for entry in Log(taxi).entries()] == [DONE, UNDONE]


def test_another_pushers_version_is_not_touched(taxi, tmp_path, monkeypatch):
    """A program that does not use the log takes the version that an intent has claimed."""
    promote(taxi, "1")
    monkeypatch.setattr(promotion, "finish", _stop)
    with pytest.raises(KeyboardInterrupt):
        promote(taxi, "2")
    monkeypatch.undo()
    claimed = Log(taxi).entries()[-1].version
    monkeypatch.setattr(type(taxi), "next_version", lambda _: claimed)
    files("foreign")(_made(tmp_path / "foreign"))
    push_folder(taxi, tmp_path / "foreign")
    monkeypatch.undo()
    view = begin(taxi)
    assert view.finished.state == UNDONE and "another push took" in view.finished.outcome
    assert (view.current.kind, view.current.run) == ("found", "unknown")
    assert taxi.versions()[-1] == claimed and check(taxi) == "unknown"


def test_what_something_else_pushed_is_entered_and_can_be_rolled_back_to(taxi, tmp_path):
    files("foreign")(_made(tmp_path / "foreign"))
    version = push_folder(taxi, tmp_path / "foreign")
    assert read_view(taxi).current is None
    promote(taxi, "1")
    found, promoted = Log(taxi).entries()
    assert (found.kind, found.version, found.run) == ("found", version, "unknown")
    assert promoted.replaces == "unknown"
    back = rollback(taxi)
    assert back.digest == found.digest == taxi.digest(back.version)


def test_abandoned_files_are_cleared_away(taxi, tmp_path, monkeypatch):
    files("1")(_made(tmp_path / "model"))
    taxi.stage(tmp_path / "model", ".staged-abandoned")
    begin(taxi)
    assert list(taxi.staged()) == [".staged-abandoned"], "somebody may be at it"
    monkeypatch.setattr(promotion, "ABANDONED_SECONDS", -10)
    begin(taxi)
    assert taxi.staged() == {}


def test_an_interrupted_promoter_clears_up(taxi, monkeypatch):
    monkeypatch.setattr(Log, "claim", _stop)
    with pytest.raises(KeyboardInterrupt):
        promote(taxi, "1")
    assert taxi.staged() == {} and taxi.versions() == []


def test_readers_are_not_disturbed_by_an_undone_entry(taxi):
    entry = promote(taxi, "1")
    undone = replace(entry, number=2, state=UNDONE, version=entry.version + 1)
    opened = replace(entry, number=3, state=OPEN, version=entry.version + 2)
    assert in_effect([entry, undone, opened], [entry.version]) == [entry]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _stop(*_, **__):
    raise KeyboardInterrupt


@pytest.fixture
def killable(place):
    """A place whose requests are made in Python, where a kill can be put between any two."""
    if place.startswith("az://"):
        pytest.skip("obstore makes its requests outside Python, and not in a forked process")
    return place


def test_killed_at_any_moment_there_is_one_production_model(killable, record_property):
    """SIGKILL at random places in promotions and rollbacks, by processes that know nothing of each
    other. After each: one production model, its bytes those of the log; then the next goes on."""
    place, taxi = killable, open_destination(killable, "taxi")
    dice = random.Random(int.from_bytes(os.urandom(4), "big"))
    record_property("dice", dice.getstate()[1][0])
    promote(taxi, "0")
    calls = _calls(place)
    moments = [int(calls * (number + dice.random()) / KILLS) for number in range(KILLS)]
    dice.shuffle(moments)
    states: dict[str, int] = {}
    for number, moment in enumerate(moments):
        before = check(taxi)
        act = "rollback" if number % 3 == 2 else "promote"
        _killed(place, act, str(number), moment)
        after = check(taxi)
        assert after, "never none"
        newest = Log(taxi).entries()[-1]
        left = "nothing" if not taxi.staged() else "staged"
        state = f"{newest.state}, {left} left, {'same' if after == before else 'new'} model"
        states[state] = states.get(state, 0) + 1
    begin(taxi)
    final = check(taxi)
    assert all(entry.state != OPEN for entry in Log(taxi).entries())
    assert promote(taxi, "last").run == "last" and check(taxi) == "last" != final
    report = {"place": place.split(":")[0], "kills": KILLS, **states}
    if target := os.environ.get("MFX_KILLS_REPORT"):
        with open(target, "a") as file:
            file.write(json.dumps(report) + "\n")
    assert len(states) > 1, f"all kills came at the same place: {states}"


def test_several_at_once_may_be_killed_again_and_again(killable):
    """Three processes promote and roll back without end, and are killed and replaced in turn; a
    reader beside them always sees one production model, with the bytes of the log."""
    place, taxi = killable, open_destination(killable, "taxi")
    promote(taxi, "0")
    workers = [_worker(place, str(number)) for number in range(3)]
    looks = 0
    try:
        for number in range(KILLS):
            end = time.monotonic() + random.uniform(0.01, 0.1)
            while time.monotonic() < end or not looks:
                current = read_view(taxi).current
                assert current is not None and taxi.digest(current.version) == current.digest
                looks += 1
            which = random.randrange(3)
            assert os.waitpid(workers[which], os.WNOHANG) == (0, 0), "it stopped by itself"
            _kill(workers[which])
            workers[which] = _worker(place, f"{number}-{which}")
    finally:
        for worker in workers:
            _kill(worker)
    begin(taxi)
    assert check(taxi)


def _worker(place: str, name: str) -> int:
    """Promote and roll back until this process is killed."""
    if (child := os.fork()) == 0:
        dice = random.Random(name)
        try:
            while True:
                try:
                    _act(place, dice.choice(["promote", "promote", "rollback"]), name)
                except ConflictError:
                    continue
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return child


def _kill(child: int) -> None:
    with suppress(ProcessLookupError, ChildProcessError):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _act(place: str, act: str, run: str) -> None:
    taxi = open_destination(place, "taxi")
    view = begin(taxi)
    if act == "rollback" and actions.candidates(view):
        rollback(taxi, view)
    else:
        promote(taxi, f"{run}-{os.getpid()}", view)


def _calls(place: str) -> int:
    """How many such calls a promotion makes here."""
    return _killed(place, "promote", "counted", sys.maxsize)


def _killed(place: str, act: str, run: str, after: int) -> int:
    """Let a process act, which SIGKILL ends after so many calls of CHANGES; it may be done before.
    Returns how many there were, 0 if it was killed.

    Not after some time: on a busy machine a process is done while its killer waits for its turn.
    """
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        made = itertools.count(1)

        def count(frame: object, event: str, called: Any) -> None:
            if event == "c_call" and called.__name__ in CHANGES and next(made) > after:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            threading.setprofile(count)
            sys.setprofile(count)
            _act(place, act, run)
            sys.setprofile(None)
            os.write(write, str(next(made)).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as told:
        found = told.read()
    os.waitpid(child, 0)
    return int(found or 0)


def test_the_record_tells_of_model_and_push(taxi):
    entry = promote(taxi, "1")
    record = taxi.record(entry.version)
    assert record == {
        "run": "1",
        "flow": "Pipeline",
        "digest": entry.digest,
        "push": entry.push,
    }
    assert RECORD == "assets.extra/mfx.json"
