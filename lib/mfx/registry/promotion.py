"""Changing what is in production, so that a crash at any point leaves one production model.

1. Stage: copy the bytes to where no server looks, read them back, compare the hash.
2. Intent: claim the next number of the log; it fixes run, hash and version. Nothing happened yet.
3. Publish: make the staged bytes the version. From here on it is served.
4. Outcome: read the version back, compare the hash, write `done`.

All that is needed after 2 lies at the destination, and each part may be done again, and by several
at once. So whoever comes next, after a crash or beside a slow promoter, finishes an open intent
before doing anything else; there are no locks to expire. An intent is undone only where its bytes
are not what it says.
"""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mfx.destinations.base import RECORD, STAGED, Destination, VersionTakenError, folder_digest
from mfx.errors import MfxError, TransientError
from mfx.registry.log import DONE, OPEN, PLANNED, UNDONE, Entry, Log, in_effect, now
from mfx.registry.place import user

ABANDONED_SECONDS = 24 * 3600
"""Staged files of this age are from a promoter that was killed before its intent."""

UNKNOWN = "unknown"
"""Run of a version that was not pushed by this library."""

Files = Callable[[Path], None]
"""Writes a model's files into a folder."""


class ConflictError(MfxError):
    """Another promotion came first."""


@dataclass(frozen=True)
class Request:
    """What shall be in production, and why.

    Args:
        kind: `promote` or `rollback`.
        flow: Flow of the run that made the model.
        run: Id of that run.
        facts: For the version's record and the log.
        reason: Why.
        override: Why, although the model is not blessed or not valid.
        restores: Number of the entry to serve again.
        digest: The hash that the files must have; empty if any will do.
    """

    kind: str
    flow: str
    run: str
    facts: dict[str, Any]
    reason: str = ""
    override: str = ""
    restores: int | None = None
    digest: str = ""


@dataclass(frozen=True)
class View:
    """What a promoter saw before it decided.

    Args:
        number: Number of the newest entry, 0 if there is none.
        served: Entries that are or were served, oldest first.
        versions: Versions at the destination.
        open: Whether the newest entry has no outcome yet.
        finished: The entry that a killed promoter had left open, and that was finished just now.
    """

    number: int
    served: list[Entry]
    versions: list[int]
    open: bool = False
    finished: Entry | None = None

    @property
    def current(self) -> Entry | None:
        """The entry in production."""
        newest = [entry for entry in self.served if entry.version in self.versions[-1:]]
        return newest[-1] if newest else None


def read_view(destination: Destination) -> View:
    """What is served and was served; writes nothing."""
    # In this order: a version without its intent would look like somebody else's.
    versions = destination.versions()
    log = Log(destination)
    entries = log.entries()
    served = in_effect(entries, versions)
    if served and served[-1].state == OPEN and not _is_ours(destination, served[-1]):
        del served[-1]
    if not entries:
        return View(0, served, versions)
    return View(entries[-1].number, served, versions, entries[-1].state == OPEN)


def verify(destination: Destination) -> None:
    """Read the served bytes back.

    Raises:
        MfxError: They are not those that the log tells of.
    """
    view = read_view(destination)
    if not view.versions:
        raise MfxError(f"nothing is in production at {destination.path(0).rpartition('/')[0]}")
    path, digest = destination.path(view.versions[-1]), destination.digest(view.versions[-1])
    if view.current is None:
        raise MfxError(f"{path}: served, but not in the log", "The next change will enter it.")
    if digest != view.current.digest:
        raise MfxError(
            f"{path}: the bytes have the SHA-256 {digest[:12]}, the log says "
            f"{view.current.digest[:12]}",
            "They were changed after the push: roll back, or promote a run.",
        )


def begin(destination: Destination) -> View:
    """`read_view`, after finishing what was left open and entering what something else pushed."""
    finished = None
    while True:
        finished = recover(destination) or finished
        # Another may have opened an intent, and died, in between: the next number may be claimed
        # only over an entry that has its outcome.
        if not (view := read_view(destination)).open:
            return replace(view, finished=finished)


def apply(
    destination: Destination, view: View, request: Request, files: Files, dry_run: bool = False
) -> Entry:
    """Put a model into production.

    Args:
        destination: Where.
        view: What the request was made in view of.
        request: What, and why.
        files: Writes the model's bytes.
        dry_run: Check all that can be checked, write nothing.

    Returns:
        The entry in the log, also when it is there from an earlier call; `planned` in a dry run.

    Raises:
        ConflictError: There was another promotion since `view`.
        MfxError: The destination cannot be read or written, or the bytes are not those expected.
    """
    with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
        folder = Path(directory, "model")
        folder.mkdir()
        files(folder)
        digest = folder_digest(folder)
        if request.digest and digest != request.digest:
            raise MfxError(
                f"run {request.run}: the model's bytes have the SHA-256 {digest[:12]}, the log of "
                f"promotions says {request.digest[:12]}",
                "They were changed since; nothing was pushed.",
            )
        current = view.current
        if current and (current.run, current.digest) == (request.run, digest):
            return current
        entry = Entry(
            number=view.number + 1,
            kind=request.kind,
            flow=request.flow,
            run=request.run,
            version=destination.next_version(),
            digest=digest,
            push=f"{STAGED}{uuid.uuid4().hex}",
            who=user(),
            time=now(),
            reason=request.reason,
            override=request.override,
            replaces=current.run if current else "",
            restores=request.restores,
            facts=request.facts,
            state=PLANNED if dry_run else OPEN,
        )
        return entry if dry_run else _carry_out(destination, entry, folder)


def _carry_out(destination: Destination, entry: Entry, folder: Path) -> Entry:
    """Stage, claim, finish."""
    log = Log(destination)
    record = {**(entry.facts or {}), "run": entry.run, "digest": entry.digest, "push": entry.push}
    (folder / RECORD).parent.mkdir(parents=True, exist_ok=True)
    (folder / RECORD).write_text(json.dumps(record, indent=2), encoding="utf-8")
    try:
        destination.stage(folder, entry.push)
        if destination.staged_digest(entry.push) != entry.digest:
            raise MfxError(f"{destination.path(entry.version)}: not the bytes that were written")
        # Staging takes time: others may have pushed meanwhile, and versions must grow.
        entry = replace(entry, version=max(entry.version, destination.next_version()))
        if not log.claim(entry):
            raise _conflict(log.get(entry.number))
    except BaseException:
        # A claim that seems to have failed may stand; then its bytes are needed.
        if not any(other.push == entry.push for other in log.entries()):
            destination.discard(entry.push)
        raise
    finished = finish(destination, entry)
    if finished.state == UNDONE:
        raise TransientError(f"run {entry.run} was not promoted: {finished.outcome}", "Try again.")
    return finished


def finish(destination: Destination, entry: Entry) -> Entry:
    """Bring an open intent to its end, whoever opened it."""
    log = Log(destination)
    since = entry.time
    problem = ""
    try:
        if entry.version not in destination.versions():
            problem, since = _publish(destination, entry), now()
        elif not _is_ours(destination, entry):
            raise VersionTakenError
    except VersionTakenError:
        problem = f"another push took version {entry.version}"
    if not problem and destination.digest(entry.version) != entry.digest:
        problem = f"version {entry.version} does not hold the bytes that were pushed"
        if entry.push:
            destination.withdraw(entry.version)
    settled = log.settle(entry, UNDONE if problem else DONE, "" if problem else since, problem)
    if entry.push:
        destination.discard(entry.push)
    return settled


def _publish(destination: Destination, entry: Entry) -> str:
    """Make the staged bytes the version; why that cannot be, or ''."""
    if not entry.push:
        return "the version is gone"
    if destination.staged_digest(entry.push) == entry.digest:
        try:
            destination.publish(entry.push, entry.version)
            return ""
        except MfxError:
            # Somebody else finished and cleared up between our looks, or it is a real error.
            if entry.version not in destination.versions():
                raise
            return ""
    # Staged bytes go only once the version is there, so look again, in this order.
    if entry.version in destination.versions():
        return ""
    return "the staged bytes are gone or damaged"


def _is_ours(destination: Destination, entry: Entry) -> bool:
    return destination.record(entry.version).get("push", "") == entry.push


def recover(destination: Destination) -> Entry | None:
    """Finish what a killed promoter left, and enter into the log what something else pushed.

    Returns:
        The entry that was open, with its outcome.
    """
    log = Log(destination)
    entries = log.entries()
    finished = None
    if entries and entries[-1].state == OPEN:
        finished = finish(destination, entries[-1])
    for name, age in destination.staged().items():
        if age > ABANDONED_SECONDS:
            destination.discard(name)
    _enter_foreign(destination, log)
    return finished


def _enter_foreign(destination: Destination, log: Log) -> None:
    """Enter the version that is served, if no promotion put it there."""
    versions = destination.versions()
    entries = log.entries()
    if not versions or versions[-1] in {e.version for e in entries if e.state != UNDONE}:
        return
    if entries and entries[-1].state == OPEN:
        return  # opened just now; it is finished first
    record = destination.record(versions[-1])
    served = in_effect(entries, versions)
    entry = Entry(
        number=entries[-1].number + 1 if entries else 1,
        kind="found",
        flow=record.get("flow", ""),
        run=record.get("run", UNKNOWN),
        version=versions[-1],
        digest=destination.digest(versions[-1]),
        push="",
        who=user(),
        time=now(),
        reason="not pushed by a promotion",
        replaces=served[-1].run if served else "",
        facts={key: value for key, value in record.items() if key not in ("push", "digest")},
    )
    if not log.claim(entry):
        raise _conflict(log.get(entry.number))
    log.settle(entry, DONE, since=entry.time)


def _conflict(winner: Entry) -> ConflictError:
    return ConflictError(
        f"{winner.who} was first: {winner.kind} of run {winner.run} at {winner.time}",
        "Nothing was changed. See `mfx history`; ask again if you still want it.",
    )
