"""Change what is in production. A crash at any point still leaves exactly one production model.

1. Stage: copy the files to a place where no server looks, read them back, compare the hash.
2. Intent: claim the next number in the log. The intent fixes run, hash and version. Nothing has
   changed for servers yet.
3. Publish: turn the staged files into the version. From now on it is served.
4. Outcome: read the version back, compare the hash, write `done` to the log.

After step 2, everything that is needed is at the destination. Each further step can be repeated,
even by several processes at the same time. So the next process, after a crash or beside a slow one,
finishes an open intent before it does anything else. No locks are needed that could expire. An
intent is undone only if the files do not have the hash that it says.
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
"""Staged files of this age were left by a process that was killed before it wrote its intent."""

UNKNOWN = "unknown"
"""The run of a version that this library did not push."""

Files = Callable[[Path], None]
"""Writes a model's files into a folder."""


class ConflictError(MfxError):
    """Another promotion came first."""


@dataclass(frozen=True)
class Request:
    """A request to put a model into production.

    Args:
        kind: `promote` or `rollback`.
        flow: The flow of the run that made the model.
        run: The id of that run.
        facts: Facts about the model, for the version's record and the log.
        reason: Why it is put into production.
        override: Why it is put into production although it is not blessed or not valid.
        restores: The number of the entry to serve again, for a rollback.
        digest: The hash that the files must have; empty if it is not known.
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
    """The state of a destination, on which a request is based.

    Args:
        number: The number of the newest entry; 0 if there is none.
        served: The entries that are or were served, oldest first.
        versions: The versions at the destination, ascending.
        open: Whether the newest entry has no outcome yet.
        finished: An entry that a killed process had left open, and that was just finished; or None.
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
    """Read what is and was served. Nothing is written."""
    # Versions are read before the log: otherwise a new version could seem to have no intent.
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
    """Check that the served files have the hash in the log.

    Raises:
        MfxError: They have another hash, are not in the log, or nothing is in production.
    """
    view = read_view(destination)
    if not view.versions:
        raise MfxError(f"nothing is in production at {destination.path(0).rpartition('/')[0]}")
    path, digest = destination.path(view.versions[-1]), destination.digest(view.versions[-1])
    if view.current is None:
        raise MfxError(
            f"{path}: served, but not in the log",
            "The next promotion or rollback adds it to the log.",
        )
    if digest != view.current.digest:
        raise MfxError(
            f"{path}: the files have the SHA-256 {digest[:12]}, the log says "
            f"{view.current.digest[:12]}",
            "They were changed after the push: roll back, or promote a run.",
        )


def begin(destination: Destination) -> View:
    """Finish an open entry, add foreign versions to the log (see `recover`), then read the view."""
    finished = None
    while True:
        finished = recover(destination) or finished
        # Meanwhile another process may have written an intent and died. The next number may be
        # claimed only if the newest entry has its outcome.
        if not (view := read_view(destination)).open:
            return replace(view, finished=finished)


def apply(
    destination: Destination, view: View, request: Request, files: Files, dry_run: bool = False
) -> Entry:
    """Put a model into production.

    Args:
        destination: The destination.
        view: The state on which the request is based.
        request: The model, and why it is put into production.
        files: Writes the model's files into a folder.
        dry_run: Check everything that can be checked, but write nothing.

    Returns:
        The entry in the log, which may be from an earlier call with the same model. In a dry run
        the `planned` entry.

    Raises:
        ConflictError: There was another promotion after `view` was read.
        MfxError: The destination cannot be read or written, or the files do not have the expected
            hash.
    """
    with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
        folder = Path(directory, "model")
        folder.mkdir()
        files(folder)
        digest = folder_digest(folder)
        if request.digest and digest != request.digest:
            raise MfxError(
                f"run {request.run}: the model's files have the SHA-256 {digest[:12]}, the log of "
                f"promotions says {request.digest[:12]}",
                "The files have changed since. Nothing was pushed.",
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
    """Stage the files, claim a number in the log, then finish the entry."""
    log = Log(destination)
    record = {**(entry.facts or {}), "run": entry.run, "digest": entry.digest, "push": entry.push}
    (folder / RECORD).parent.mkdir(parents=True, exist_ok=True)
    (folder / RECORD).write_text(json.dumps(record, indent=2), encoding="utf-8")
    try:
        destination.stage(folder, entry.push)
        if destination.staged_digest(entry.push) != entry.digest:
            raise MfxError(
                f"{destination.path(entry.version)}: the staged files differ from those written",
                "Nothing was changed. Try again.",
            )
        # Staging takes time. Others may have pushed meanwhile, and versions must grow.
        entry = replace(entry, version=max(entry.version, destination.next_version()))
        if not log.claim(entry):
            raise _conflict(log.get(entry.number))
    except BaseException:
        # A claim that seems to have failed may be in the log. Then its files are needed.
        if not any(other.push == entry.push for other in log.entries()):
            destination.discard(entry.push)
        raise
    finished = finish(destination, entry)
    if finished.state == UNDONE:
        raise TransientError(f"run {entry.run} was not promoted: {finished.outcome}", "Try again.")
    return finished


def finish(destination: Destination, entry: Entry) -> Entry:
    """Finish an open intent, whoever wrote it, and return the entry with its outcome."""
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
        problem = f"version {entry.version} does not have the files that were pushed"
        if entry.push:
            destination.withdraw(entry.version)
    settled = log.settle(entry, UNDONE if problem else DONE, "" if problem else since, problem)
    if entry.push:
        destination.discard(entry.push)
    return settled


def _publish(destination: Destination, entry: Entry) -> str:
    """Turn the staged files into the version; return why that is not possible, or ''."""
    if not entry.push:
        return "the version is gone"
    if destination.staged_digest(entry.push) == entry.digest:
        try:
            destination.publish(entry.push, entry.version)
            return ""
        except MfxError:
            # If the version is there, another process has finished the entry. Otherwise it is an
            # error.
            if entry.version not in destination.versions():
                raise
            return ""
    # Staged files are removed only after the version is there, so look for the version again.
    if entry.version in destination.versions():
        return ""
    return "the staged files are gone or damaged"


def _is_ours(destination: Destination, entry: Entry) -> bool:
    return destination.record(entry.version).get("push", "") == entry.push


def recover(destination: Destination) -> Entry | None:
    """Finish what a killed process left, and add to the log a version that something else pushed.

    Returns:
        The entry that was open, with its outcome; None if no entry was open.
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
    """Add the served version to the log, if no promotion put it there."""
    versions = destination.versions()
    entries = log.entries()
    if not versions or versions[-1] in {e.version for e in entries if e.state != UNDONE}:
        return
    if entries and entries[-1].state == OPEN:
        return  # It was just written, and must be finished first.
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
        "Nothing was changed. See `mfx history`, and try again if you still want the change.",
    )
