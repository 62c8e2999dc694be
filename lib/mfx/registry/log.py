"""The append-only log of promotions, beside the versions that are served.

One immutable object an entry: `promotions/<number>-intent.json` claims the number and says what
shall be in production; `promotions/<number>-outcome.json` says what came of it. Both are created
exclusively, so that of several writers one wins. docs/explanation/promotion.md
has the states as a table.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timezone
from typing import Any

from mfx.destinations.base import Destination
from mfx.errors import MfxError

DONE, UNDONE, OPEN, PLANNED = "done", "undone", "open", "planned"
"""States of an entry; PLANNED is a dry run's, and stands in no log."""


@dataclass(frozen=True)
class Entry:
    """One change of what is in production.

    Args:
        number: Its place in the log, from 1.
        kind: `promote`, `rollback`, or `found` for a version that something else had put there.
        flow: Flow of the run that made the model.
        run: Id of that run.
        version: The version served.
        digest: `destination.files_digest` of the bytes served.
        push: Name under which the bytes were staged; also in the version's own record.
        who: User who asked for it.
        time: When it was asked for, ISO 8601, UTC.
        reason: Why, in the user's words.
        override: Why a model that was not blessed or not valid was promoted nevertheless.
        replaces: Id of the run that was in production before; empty if none was.
        restores: For a rollback, the number of the entry whose bytes are served again.
        facts: What the version's record says: hashes of model, data, code, config; metrics.
        state: `done`, `undone` or `open`; `planned` in a dry run.
        since: From when on it was served, ISO 8601, UTC; empty if it never was.
        outcome: Why it was undone.
    """

    number: int
    kind: str
    flow: str
    run: str
    version: int
    digest: str
    push: str
    who: str
    time: str
    reason: str = ""
    override: str = ""
    replaces: str = ""
    restores: int | None = None
    facts: dict[str, Any] | None = None
    state: str = OPEN
    since: str = ""
    outcome: str = ""

    @property
    def pathspec(self) -> str:
        """The run as Metaflow's client names it."""
        return f"{self.flow}/{self.run}"


_OUTCOME = ("state", "since", "outcome")


class Log:
    """The log at one destination."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination

    def entries(self) -> list[Entry]:
        """All entries, oldest first, as they stand in the log."""
        names = [name.rpartition("-") for name in self._destination.entries()]
        intents = [number for number, _, what in names if what == "intent"]
        settled = [number for number, _, what in names if what == "outcome"]
        outcomes = dict(zip(settled, self._read(settled, "outcome"), strict=True))
        return [
            _entry(given, outcomes.get(number))
            for number, given in zip(intents, self._read(intents, "intent"), strict=True)
        ]

    def claim(self, entry: Entry) -> bool:
        """Write an intent; False if another has its number."""
        intent = {k: v for k, v in asdict(entry).items() if k not in _OUTCOME}
        return self._destination.write_entry(f"{entry.number:08d}-intent", intent)

    def settle(self, entry: Entry, state: str, since: str = "", outcome: str = "") -> Entry:
        """Write the outcome of an intent; the entry with the outcome that stands."""
        found = {"state": state, "since": since, "outcome": outcome, "time": now()}
        name = f"{entry.number:08d}-outcome"
        if not self._destination.write_entry(name, found):
            (found,) = self._destination.read_entries([name])
        return replace(entry, state=found["state"], since=found["since"], outcome=found["outcome"])

    def get(self, number: int) -> Entry:
        """One entry as it stands now."""
        return next(entry for entry in self.entries() if entry.number == number)

    def _read(self, numbers: list[str], what: str) -> list[dict[str, Any]]:
        return self._destination.read_entries([f"{number}-{what}" for number in numbers])


def _entry(intent: dict[str, Any], outcome: dict[str, Any] | None) -> Entry:
    """Fields that this version does not know are left out: the log outlives versions."""
    given = {**intent, **{k: v for k, v in (outcome or {}).items() if k in _OUTCOME}}
    try:
        return Entry(**{f.name: given[f.name] for f in fields(Entry) if f.name in given})
    except TypeError:
        raise MfxError(
            f"the log of promotions cannot be read: entry {intent.get('number', '?')} lacks fields",
            "Was it edited? Its entries are written once and never changed.",
        ) from None


def in_effect(entries: list[Entry], versions: list[int]) -> list[Entry]:
    """The entries that are or were served, in order.

    An open intent counts from the moment that its version is there: a server has it already.

    Args:
        entries: The log.
        versions: Versions at the destination, listed before the log was read.
    """
    return [
        replace(entry, since=entry.since or entry.time)
        for entry in entries
        if entry.state == DONE or (entry.state == OPEN and entry.version in versions)
    ]


def now() -> str:
    """The time as the log writes it."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def parse_time(text: str) -> datetime:
    """A time as people write it: ISO 8601, local where no zone is given; a date is its start.

    Raises:
        MfxError: It is no time.
    """
    try:
        # Python 3.10 does not read the Z.
        found = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        raise MfxError(
            f"not a time: {text!r}", "Write 2026-11-21, 2026-11-21T15:30 or 2026-11-21T15:30Z."
        ) from None
    return found if found.tzinfo else found.astimezone()
