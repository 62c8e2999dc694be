"""What old runs hold in Metaflow's datastore, and freeing it.

Payload blobs only: they are nearly all of the bytes. Runs stay listed, with their metrics.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from mfx.errors import MfxError
from mfx.registry import promotion
from mfx.registry.log import UNDONE, Log
from mfx.registry.place import Place
from mfx.registry.runs import Results, asking, began
from mfx.store import CHUNK_BYTES, Payload

BUSY = timedelta(hours=24)
"""An unfinished run of this age may still be running."""


@dataclass(frozen=True)
class Key:
    """A blob of the datastore."""

    storage: str
    root: str
    flow: str
    sha: str


@dataclass(frozen=True)
class Holding:
    """What one run holds.

    Args:
        run: Its id.
        created: When it began.
        kept: Why it is kept; empty if what it alone holds may be freed.
        size: Bytes of all its blobs.
        freeable: Bytes of its blobs that no kept run shares; of blobs that several old runs share
            only the newest of them counts.
    """

    run: str
    created: datetime
    kept: str
    size: int
    freeable: int


@dataclass(frozen=True)
class Plan:
    """What there is to be freed.

    Args:
        holdings: All runs, newest first.
        blobs: What to free, with sizes in bytes.
        busy: Runs that may still be running.
    """

    holdings: list[Holding]
    blobs: dict[Key, int]
    busy: list[str]

    @property
    def size(self) -> int:
        """Bytes to be freed."""
        return sum(self.blobs.values())


def plan(flow: str, keep: int) -> Plan:
    """Find out what all but the newest runs hold for themselves, whoever ran them.

    Kept are the `keep` newest finished runs, unfinished ones of the last day, and all that ever
    were in production: what is served, and what could be rolled back to.

    Args:
        flow: The flow's name.
        keep: How many of the newest finished runs to keep, at least 1.

    Raises:
        MfxError: A log of promotions cannot be read: then nothing is known to be free.
    """
    found = _all_runs(flow)
    promoted = _promoted({one.place for one in found if one.settings})
    held, seen = {}, dict[str, dict[Key, int]]()
    reasons = {}
    finished = 0
    busy = []
    for one in found:
        held[one.id] = _blobs(one, seen)
        young = datetime.now().astimezone() - began(one.run) < BUSY
        finished += one.run.finished
        if one.id in promoted:
            reasons[one.id] = promoted[one.id]
        elif not one.run.finished and young:
            reasons[one.id] = "unfinished"
        elif one.run.finished and finished <= keep:
            reasons[one.id] = f"one of the newest {keep}"
        if not one.run.finished and young:
            busy.append(one.id)
    needed = {key for run in reasons for key in held[run]}
    blobs: dict[Key, int] = {}
    holdings = []
    for one in found:
        own = {k: n for k, n in held[one.id].items() if k not in needed and k not in blobs}
        blobs |= own
        holdings.append(
            Holding(
                one.id,
                began(one.run),
                reasons.get(one.id, ""),
                sum(held[one.id].values()),
                sum(own.values()),
            )
        )
    return Plan(holdings, blobs, busy)


def free(planned: Plan) -> int:
    """Remove the blobs of a plan; how many there were.

    Raises:
        MfxError: A run may be storing blobs right now, or the datastore cannot be written.
    """
    if planned.busy:
        raise MfxError(
            f"run {planned.busy[0]} is unfinished, and may rely on blobs that are there already",
            "Nothing was freed. Ask again when it has finished, or a day after it began.",
        )
    count = 0
    for key in planned.blobs:
        count += _remove(key)
    return count


def _all_runs(flow: str) -> list[Results]:
    """Runs of all namespaces, newest first."""
    from metaflow import Flow
    from metaflow.exception import MetaflowException

    try:
        with asking():
            runs = sorted(Flow(flow, _namespace_check=False), key=began, reverse=True)
    except MetaflowException:
        raise MfxError(f"no run of {flow} yet", "There is nothing to free.") from None
    return [Results(run) for run in runs]


def _promoted(places: set[Place]) -> dict[str, str]:
    """Why runs must be kept, by id, as the logs of promotions have it."""
    found: dict[str, str] = {}
    for place in places:
        destination = place.open()
        for entry in Log(destination).entries():
            if entry.state != UNDONE:
                found[entry.run] = "was in production: may be rolled back to"
        if current := promotion.look(destination).current:
            found[current.run] = f"in production at {place}"
        elif versions := destination.versions():
            found[destination.record(versions[-1]).get("run", "")] = f"served from {place}"
    return found


def _blobs(one: Results, seen: dict[str, dict[Key, int]]) -> dict[Key, int]:
    """All blobs that a run's results refer to; `seen` spares reading an artifact twice."""
    found: dict[Key, int] = {}
    for step in one.run:
        for task in step:
            for artifact in task:
                if artifact.id.startswith("_") or artifact.id in ("name", "input"):
                    continue
                if artifact.sha not in seen:
                    payloads = _payloads(_data(artifact))
                    seen[artifact.sha] = {k: n for p in payloads for k, n in _keys(p)}
                found |= seen[artifact.sha]
    return found


def _data(artifact: Any) -> Any:
    try:
        return artifact.data
    except (ImportError, AttributeError):  # of a class that is no longer there: none of ours
        return None


def _payloads(value: Any) -> Iterator[Payload]:
    if isinstance(value, Payload):
        yield value
    elif is_dataclass(value):
        for f in fields(value):
            yield from _payloads(getattr(value, f.name, None))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _payloads(part)


def _keys(payload: Payload) -> Iterator[tuple[Key, int]]:
    for blob in payload.blobs:
        for number, sha in enumerate(blob.keys):
            size = min(CHUNK_BYTES, blob.size - number * CHUNK_BYTES)
            yield Key(payload.storage, payload.root, payload.flow, sha), size


def _remove(key: Key) -> bool:
    """Remove one blob where Metaflow's content-addressed store has put it."""
    below = f"{key.flow}/data/{key.sha[:2]}/{key.sha}"
    if key.storage == "local":
        path = Path(key.root, below)
        try:
            there = path.exists()
            path.unlink(missing_ok=True)
            path.with_name(path.name + "_meta").unlink(missing_ok=True)
        except OSError as error:
            raise MfxError(f"{path}: cannot remove: {error.strerror}") from None
        return there
    if key.storage == "s3":
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError

        bucket, _, prefix = key.root.removeprefix("s3://").partition("/")
        name = "/".join(part for part in (prefix.strip("/"), below) if part)
        try:
            boto3.client("s3").delete_object(Bucket=bucket, Key=name)
        except (BotoCoreError, ClientError) as error:
            raise MfxError(f"s3://{bucket}/{name}: cannot remove: {error}") from None
        return True
    raise MfxError(
        f"blobs on {key.storage} cannot be freed by mfx", "See what could be with --dry-run."
    )
