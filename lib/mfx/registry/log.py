"""The append-only log of promotions. It is beside the versions at the destination.

Each entry has two files that never change. `promotions/<number>-intent.json` claims the number and
says what will be in production. `promotions/<number>-outcome.json` says whether that succeeded.
Both are created exclusively: if several processes write one, exactly one of them succeeds.
docs/explanation/promotion.md has a table of the states.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timezone
from typing import Any

from mfx.destinations.base import Destination
from mfx.errors import MfxError

DONE, UNDONE, OPEN, PLANNED = "done", "undone", "open", "planned"
"""States of an entry. PLANNED is for dry runs; it is never in the log."""


@dataclass(frozen=True)
class Entry:
    """One change of what is in production.

    Args:
        number: Its number in the log, from 1.
        kind: `promote`, `rollback`, or `found` for a version that something else put there.
        flow: The flow of the run that made the model.
        run: The id of that run.
        version: The version that is served.
        digest: The hash of the served files (`destination.files_digest`).
        push: The name under which the files were staged. It is also in the version's record.
        who: The user who made the change.
        time: When the change was requested: ISO 8601, UTC.
        reason: Why, in the user's words.
        override: Why a model was promoted although it was not blessed or not valid.
        replaces: The id of the run that was in production before; empty if there was none.
        restores: For a rollback, the number of the entry whose files are served again.
        facts: Facts from the version's record: hashes of model, data, code and config; metrics.
        state: `done`, `undone` or `open`; `planned` in a dry run.
        since: Since when it is served: ISO 8601, UTC; empty if it never was.
        outcome: Why it was undone; empty if it was not.
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
        """The run's pathspec in Metaflow."""
        return f"{self.flow}/{self.run}"


_OUTCOME = ("state", "since", "outcome")


class Log:
    """The log at one destination."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination

    def entries(self) -> list[Entry]:
        """All entries, oldest first."""
        names = [name.rpartition("-") for name in self._destination.entries()]
        intents = [number for number, _, what in names if what == "intent"]
        settled = [number for number, _, what in names if what == "outcome"]
        outcomes = dict(zip(settled, self._read(settled, "outcome"), strict=True))
        return [
            _entry(given, outcomes.get(number))
            for number, given in zip(intents, self._read(intents, "intent"), strict=True)
        ]

    def claim(self, entry: Entry) -> bool:
        """Write an intent. Returns False if its number is already taken."""
        intent = {k: v for k, v in asdict(entry).items() if k not in _OUTCOME}
        return self._destination.write_entry(f"{entry.number:08d}-intent", intent)

    def settle(self, entry: Entry, state: str, since: str = "", outcome: str = "") -> Entry:
        """Write the outcome of an intent.

        Returns:
            The entry with the outcome in the log. If another process was first, it is that one's.
        """
        found = {"state": state, "since": since, "outcome": outcome, "time": now()}
        name = f"{entry.number:08d}-outcome"
        if not self._destination.write_entry(name, found):
            (found,) = self._destination.read_entries([name])
        return replace(entry, state=found["state"], since=found["since"], outcome=found["outcome"])

    def get(self, number: int) -> Entry:
        """The entry with this number."""
        return next(entry for entry in self.entries() if entry.number == number)

    def _read(self, numbers: list[str], what: str) -> list[dict[str, Any]]:
        return self._destination.read_entries([f"{number}-{what}" for number in numbers])


def _entry(intent: dict[str, Any], outcome: dict[str, Any] | None) -> Entry:
    """Make an entry from its two files.

    Fields that this version does not know are ignored, since newer versions may write the log.
    """
    given = {**intent, **{k: v for k, v in (outcome or {}).items() if k in _OUTCOME}}
    try:
        return Entry(**{f.name: given[f.name] for f in fields(Entry) if f.name in given})
    except TypeError:
        raise MfxError(
            f"the log of promotions cannot be read: entry {intent.get('number', '?')} lacks fields",
            "Was it edited? Entries must not be changed after they are written.",
        ) from None


def in_effect(entries: list[Entry], versions: list[int]) -> list[Entry]:
    """The entries whose versions are or were served, in order.

    An open intent counts if its version is there, since a server may have it already.

    Args:
        entries: The log.
        versions: The versions at the destination. They must be listed before the log is read.
    """
    return [
        replace(entry, since=entry.since or entry.time)
        for entry in entries
        if entry.state == DONE or (entry.state == OPEN and entry.version in versions)
    ]


def now() -> str:
    """The present time in the log's format."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def parse_time(text: str) -> datetime:
    """Parse a time in ISO 8601. Without a zone it is local time; a date means its first moment.

    Raises:
        MfxError: The text is not a time.
    """
    try:
        # Python 3.10 cannot parse the Z.
        found = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        raise MfxError(
            f"not a time: {text!r}", "Write 2026-11-21, 2026-11-21T15:30 or 2026-11-21T15:30Z."
        ) from None
    return found if found.tzinfo else found.astimezone()
