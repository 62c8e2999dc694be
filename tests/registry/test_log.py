"""Entries of the log are written once, and older versions can read them too."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import datetime, timedelta, timezone

import pytest

from mfx.destinations.base import LOG
from mfx.destinations.local import LocalDestination
from mfx.errors import MfxError
from mfx.registry.log import DONE, OPEN, UNDONE, Entry, Log, in_effect, now, parse_time

ENTRY = Entry(1, "promote", "Pipeline", "7", 100, "abc", ".staged-1", "ada", "2026-11-21T08:00Z")


@pytest.fixture
def log(tmp_path) -> Log:
    return Log(LocalDestination(tmp_path / "taxi"))


def test_an_intent_is_open_until_it_is_settled_and_settled_once(log):
    assert log.entries() == []
    assert log.claim(ENTRY)
    assert not log.claim(replace(ENTRY, run="8"))
    assert log.entries() == [ENTRY] and log.get(1).state == OPEN
    done = log.settle(ENTRY, DONE, since="2026-11-21T08:01Z")
    assert (done.state, done.since) == (DONE, "2026-11-21T08:01Z")
    assert log.settle(ENTRY, UNDONE, outcome="too late") == done, "the first outcome stands"
    assert log.entries() == [done]


def test_entries_are_in_order_of_their_numbers(log):
    for number in (2, 10, 1):
        assert log.claim(replace(ENTRY, number=number))
    assert [entry.number for entry in log.entries()] == [1, 2, 10]


def test_every_field_comes_back(log):
    entry = replace(
        ENTRY,
        reason="why",
        override="must",
        replaces="6",
        restores=3,
        facts={"a": [1, {"b": None}]},
    )
    log.claim(entry)
    assert log.entries() == [entry]


def test_what_is_in_effect():
    done = replace(ENTRY, state=DONE, since="s")
    opened = replace(ENTRY, number=2, version=200)
    assert in_effect([done, opened], [100]) == [done]
    assert in_effect([done, opened], [100, 200]) == [done, replace(opened, since=opened.time)]
    assert in_effect([replace(ENTRY, state=UNDONE)], [100]) == []
    assert in_effect([done], []) == [done], "it was served, though its version is gone"


def test_fields_of_later_versions_are_left_out(log, tmp_path):
    folder = tmp_path / "taxi" / LOG
    folder.mkdir(parents=True)
    later = {**asdict(ENTRY), "colour": "blue"}
    (folder / "00000001-intent.json").write_text(json.dumps(later))
    assert log.entries() == [ENTRY]


def test_an_entry_that_was_edited_is_one_error(log, tmp_path):
    folder = tmp_path / "taxi" / LOG
    folder.mkdir(parents=True)
    (folder / "00000004-intent.json").write_text('{"number": 4}')
    with pytest.raises(MfxError, match="entry 4 lacks fields"):
        log.entries()


def test_files_that_are_no_entries_are_ignored(log, tmp_path):
    log.claim(ENTRY)
    for name in (".unfinished", "README.json", "notes.txt"):
        (tmp_path / "taxi" / LOG / name).write_text("")
    assert log.entries() == [ENTRY]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-21T15:30Z", datetime(2026, 11, 21, 15, 30, tzinfo=timezone.utc)),
        ("2026-11-21T15:30:01+02:00", datetime(2026, 11, 21, 13, 30, 1, tzinfo=timezone.utc)),
        (" 2026-11-21 ", datetime(2026, 11, 21).astimezone()),
        ("2026-11-21 15:30", datetime(2026, 11, 21, 15, 30).astimezone()),
    ],
)
def test_times_as_people_write_them(text, expected):
    assert parse_time(text) == expected


@pytest.mark.parametrize("text", ["yesterday", "", "15:30", "2026-13-01"])
def test_what_is_no_time_is_one_error(text):
    with pytest.raises(MfxError, match="not a time"):
        parse_time(text)


def test_the_logs_own_times_are_read():
    assert abs(parse_time(now()) - datetime.now(timezone.utc)) < timedelta(seconds=5)
