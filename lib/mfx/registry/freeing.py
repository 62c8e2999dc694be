"""Find and remove the data of old runs in Metaflow's datastore.

Only payload blobs are removed: they are nearly all of the bytes. The runs are still listed, with
their metrics.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from mfx.errors import MfxError
from mfx.registry import place as places
from mfx.registry import promotion
from mfx.registry.client import asking, at_home, began, time_named
from mfx.registry.held import BlobKey, Datastore, Held, one_line
from mfx.registry.log import UNDONE, Log
from mfx.registry.place import Place
from mfx.registry.states import FINISHED, UNKNOWN, YOUNG, State, state_of
from mfx.storage import address, open_storage
from mfx.storage.base import Storage
from mfx.storage.retries import in_parallel

BATCH = 64
"""How many blobs are removed at a time. Before, it is checked whether a new run has begun."""
LOOK_SECONDS = 1.0
"""The check may be this old: a run takes longer from its begin to its first blob."""


@dataclass(frozen=True)
class Holding:
    """How much data a run has.

    Args:
        run: The run's id.
        created: When it began.
        kept: Why its data is kept; empty if data that no other run needs may be freed.
        size: The bytes of all its blobs.
        freeable: The bytes of its blobs that no kept run needs. Blobs that several old runs share
            count for the newest of them.
    """

    run: str
    created: datetime
    kept: str
    size: int
    freeable: int


@dataclass(frozen=True)
class Plan:
    """What can be freed.

    Args:
        holdings: All runs, newest first.
        blobs: The blobs to free, with their sizes in bytes.
        busy: Runs that may still be running.
        unread: Runs with something that cannot be read, and why. They may need any blob.
        flow: The runs' flow.
        place: The place of the blobs.
    """

    holdings: list[Holding]
    blobs: dict[BlobKey, int]
    busy: list[str]
    unread: dict[str, str] = field(default_factory=dict)
    flow: str = ""
    place: str = ""

    @property
    def size(self) -> int:
        """The bytes that can be freed."""
        return sum(self.blobs.values())


@dataclass(frozen=True)
class _Run:
    """A run, from the metadata and the datastore.

    Args:
        id: The run's id.
        created: When it began.
        state: Its state.
        held: Its data in the datastore.
        branch: Its `@project` branch.
    """

    id: str
    created: datetime
    state: State
    held: Held
    branch: str = ""

    @property
    def pipeline(self) -> str:
        return self.held.settings.pipeline.name if self.held.settings else ""

    @property
    def young(self) -> bool:
        return datetime.now().astimezone() - self.created < YOUNG


def plan(flow: str, keep: int) -> Plan:
    """Find out which data of old runs can be freed, for runs of all users.

    The data of these runs is kept: the `keep` newest finished runs of each pipeline; runs that
    failed or were killed during the last day, since they may be resumed; and all runs that are or
    were in production, since one can roll back to them.

    Args:
        flow: The flow's name.
        keep: How many of each pipeline's newest finished runs to keep, at least 1.

    Raises:
        MfxError: A log of promotions cannot be read: then it is not known what can be freed.
    """
    datastore = Datastore(flow)
    found = _all_runs(flow, datastore)
    reasons = _reasons(found, keep)
    needed = {key.sha for one in found if one.id in reasons for key in one.held.blobs}
    needed |= {sha for one in found if one.id in reasons for sha in one.held.mentioned}
    # A blob that a run mentions in a way that this library does not know is kept.
    needed |= {sha for one in found for sha in _only_mentioned(one.held)}
    blobs: dict[BlobKey, int] = {}
    holdings = []
    for one in found:
        own = {k: n for k, n in one.held.blobs.items() if k.sha not in needed and k not in blobs}
        blobs |= own
        why, size = reasons.get(one.id, ""), sum(one.held.blobs.values())
        holdings.append(Holding(one.id, one.created, why, size, sum(own.values())))
    unread = {one.id: one.held.unread for one in found if one.held.unread}
    busy = [one.id for one in found if not one.state.over]
    return Plan(holdings, {} if unread else blobs, busy, unread, flow, str(datastore))


def free(planned: Plan) -> int:
    """Remove the blobs of a plan.

    Returns:
        How many blobs were removed.

    Raises:
        MfxError: A run may be using blobs now, a run cannot be read, or the datastore cannot be
            written.
    """
    if planned.busy:
        raise MfxError(
            f"run {planned.busy[0]} is unfinished, and may need blobs that are there already",
            "Nothing was freed. Try again when it has ended, or a day after it began. `mfx ls` "
            "shows the state of runs.",
        )
    if planned.unread:
        run, why = next(iter(planned.unread.items()))
        raise MfxError(
            f"run {run} cannot be read ({why}), so it may need any blob",
            f"Nothing was freed in {planned.place}. Restore what is missing there, or remove "
            "that run from it.",
        )
    known = {holding.run for holding in planned.holdings}
    removers: dict[str, Callable[[list[BlobKey]], int]] = {}
    keys, count, looked = list(planned.blobs), 0, 0.0
    while keys:
        if time.monotonic() - looked > LOOK_SECONDS:
            looked = time.monotonic()
            if planned.flow and (begun := _ids(planned.flow) - known):
                raise MfxError(
                    f"run {min(begun)} has begun meanwhile, and may need blobs that are there",
                    f"{count:,} blobs that no run needs were freed. Try again when it has ended.",
                )
        batch, keys = keys[:BATCH], keys[BATCH:]
        for storage in {key.storage for key in batch}:
            remove = removers.setdefault(storage, remover(storage))
            count += remove([key for key in batch if key.storage == storage])
    return count


def remover(storage: str) -> Callable[[list[BlobKey]], int]:
    """A function that removes blobs of Metaflow's datastore on a storage.

    The function takes the blobs' keys. It returns how many blobs existed; on S3 the number of keys.

    Raises:
        MfxError: Blobs on this storage cannot be removed.
    """
    try:
        return _REMOVERS[storage]()
    except KeyError:
        raise MfxError(
            f"mfx cannot free blobs on {storage}", "--dry-run shows which runs have old data."
        ) from None


def _on_disk() -> Callable[[list[BlobKey]], int]:
    def remove(keys: list[BlobKey]) -> int:
        count = 0
        for key in keys:
            path = Path(key.root, _below(key))
            try:
                count += path.exists()
                path.unlink(missing_ok=True)
                path.with_name(path.name + "_meta").unlink(missing_ok=True)
            except OSError as error:
                raise MfxError(f"{path}: cannot remove: {error.strerror}") from None
        return count

    return remove


def _on_s3() -> Callable[[list[BlobKey]], int]:
    storages: dict[str, Storage] = {}

    def remove_one(key: BlobKey) -> None:
        root = address.parse(key.root)
        assert root  # Metaflow's root on S3 is such an address.
        storages[root.bucket].delete(root.prefix + _below(key))

    def remove(keys: list[BlobKey]) -> int:
        for root in {address.parse(key.root) for key in keys}:
            if root and root.bucket not in storages:
                storages[root.bucket] = open_storage(root)
        return len(in_parallel(remove_one, keys))

    return remove


_REMOVERS = {"local": _on_disk, "s3": _on_s3}


def _below(key: BlobKey) -> str:
    return f"{key.flow}/data/{key.sha[:2]}/{key.sha}"


def _ids(flow: str) -> set[str]:
    from metaflow import Flow

    with asking():
        return {run.id for run in Flow(flow, _namespace_check=False)}


def _all_runs(flow: str, datastore: Datastore) -> list[_Run]:
    """The runs of all namespaces, newest first, with those that only the datastore knows."""
    from metaflow import Flow
    from metaflow.exception import MetaflowException

    try:
        with asking():
            runs = list(Flow(flow, _namespace_check=False))
    except MetaflowException:
        raise MfxError(f"no run of {flow} yet", "There is nothing to free.") from None
    found = [_known(run, datastore) for run in runs]
    for name in datastore.runs() - {one.id for one in found}:
        # They belong to another machine's local metadata, or to an earlier metadata service.
        now = datetime.now().astimezone()
        named = time_named(name)
        moment = named or now
        state = State(UNKNOWN, over=named is None or now - named > YOUNG)
        if (held := datastore.read(name)).found or held.unread:
            found.append(_Run(name, moment, state, held))
    return sorted(found, key=lambda one: one.created, reverse=True)


def _known(run: Any, datastore: Datastore) -> _Run:
    from metaflow.datastore.exceptions import DataException

    created, held = began(run), datastore.read(run.id)
    with asking():
        try:
            state = state_of(run, created)
        except (OSError, TypeError, DataException) as error:  # An artifact's file is missing.
            state, held.unread = State(UNKNOWN, over=True), held.unread or one_line(error)
        if not (held.found or held.unread) and _lies_here(run, datastore):
            held.unread = "nothing that its steps saved is still there"
    return _Run(run.id, created, state, held, places.branch_of(run))


def _lies_here(run: Any, datastore: Datastore) -> bool:
    """Whether, by the metadata, the run's first step has saved results in this datastore."""
    task = run["start"].task if "start" in run else None
    said = task.metadata_dict if task else {}
    root = said.get("ds-root", "").rstrip("/")
    same_root = datastore.storage == "local" or root == datastore.root.rstrip("/")
    ended = said.get("attempt_ok") == "True"
    return ended and said.get("ds-type") == datastore.storage and same_root


def _reasons(found: list[_Run], keep: int) -> dict[str, str]:
    """Why the data of runs is kept, by the run's id. `found` must be sorted newest first."""
    promoted = _promoted({_place(one) for one in found if one.held.evaluated and one.held.settings})
    finished: Counter[str] = Counter()
    reasons = {}
    for one in found:
        if one.state.name == FINISHED:
            finished[one.pipeline] += 1
        if one.held.unread:
            reasons[one.id] = f"cannot be read: {one.held.unread}"
        elif one.id in promoted:
            reasons[one.id] = promoted[one.id]
        elif one.state.name == FINISHED and finished[one.pipeline] <= keep:
            reasons[one.id] = f"one of the newest {keep}"
        elif one.state.name == UNKNOWN and one.state.over:
            reasons[one.id] = "not in this metadata"
        elif not one.state.over:
            reasons[one.id] = f"{one.state.name}, may be running"
        elif one.state.name != FINISHED and one.young:
            reasons[one.id] = f"{one.state.name}, may be resumed"
    return reasons


def _place(one: _Run) -> Place:
    return places.for_settings(at_home(one.held.settings), one.branch)


def _only_mentioned(held: Held) -> set[str]:
    return held.mentioned - {key.sha for key in held.blobs}


def _promoted(where: set[Place]) -> dict[str, str]:
    """Why runs must be kept by the logs of promotions, by the run's id."""
    found: dict[str, str] = {}
    for place in where:
        if address.fault(place.destination):  # An older version allowed it; nothing was pushed.
            continue
        destination = place.open()
        for entry in Log(destination).entries():
            if entry.state != UNDONE:
                found[entry.run] = "was in production: needed for a rollback"
        if current := promotion.read_view(destination).current:
            found[current.run] = f"in production at {place}"
        elif versions := destination.versions():
            found[destination.record(versions[-1]).get("run", "")] = f"served from {place}"
    return found
