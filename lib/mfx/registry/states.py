"""The state of a run: finished, running, failed, killed, or unknown.

docs/reference/run-states.md has the rules.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mfx.artifacts import _private
from mfx.registry import liveness

FINISHED, RUNNING, FAILED, KILLED, UNKNOWN = "finished", "running", "failed", "killed", "unknown"

YOUNG = timedelta(hours=24)
"""If nothing else is known, a run whose last step began this recently may still be running."""
SILENT_SECONDS = 5 * 60
"""A run sends the metadata service a heartbeat every ten seconds. Without one for this time, it
counts as killed."""
GONE_SECONDS = 60 * 60
"""Without a heartbeat for this time, nothing of the run is running any more, even if its machine
was asleep for a while."""
_DEPLOYED = ("argo-", "sfn-", "airflow-")
"""Beginnings of ids of deployed runs, which have no process between two steps."""


@dataclass(frozen=True)
class State:
    """The state of a run.

    Args:
        name: FINISHED, RUNNING, FAILED, KILLED or UNKNOWN.
        over: Whether it is certain that nothing of the run is running any more.
    """

    name: str
    over: bool


def state_of(run: Any, began: datetime) -> State:
    """Find out the state of a run.

    Args:
        run: The run, as an object of Metaflow's client.
        began: When it began, with its time zone.
    """
    if run.successful:
        return State(FINISHED, over=True)
    life = liveness.life_of(*run.pathspec.split("/"))
    alive, over = life.alive, life.alive is False
    if alive is None:
        alive, over = _heard_of(run)
    if alive:
        return State(RUNNING, over=False)
    young = datetime.now().astimezone() - max(began, _last_step_began(run) or began) < YOUNG
    if life.failed or _has_failed(run):
        return State(FAILED, over or not young)
    if alive is None and young:
        return State(UNKNOWN, over=False)
    return State(KILLED, over or not young)


def _heard_of(run: Any) -> tuple[bool | None, bool]:
    """What the heartbeats at a metadata service say.

    Returns:
        Whether the run is alive (None if that is not known), and whether it is certainly over.
    """
    if heard := _heartbeat(run):
        silent = time.time() - heard
        if silent < SILENT_SECONDS:
            return True, False
        if not run.id.startswith(_DEPLOYED):
            return False, silent > GONE_SECONDS
    newest = max((heard for heard in map(_heartbeat, _newest_tasks(run)) if heard), default=0)
    return (True if time.time() - newest < SILENT_SECONDS else None), False


def _heartbeat(thing: Any) -> float:
    """The time of the last heartbeat of a run or task, in seconds since 1970; 0 if none."""
    # Metaflow's client has no attribute for it.
    return float(_private.record(thing).get("last_heartbeat_ts") or 0)


def _newest_tasks(run: Any) -> list[Any]:
    """The tasks of the newest step."""
    steps = [step for step in run if not step.id.startswith("_")]
    newest = max(steps, key=lambda step: step.created_at, default=None)
    return list(newest) if newest else []


def _last_step_began(run: Any) -> datetime | None:
    return max((task.created_at.astimezone() for task in _newest_tasks(run)), default=None)


def _has_failed(run: Any) -> bool:
    """Whether the newest attempt of some task has recorded that it failed."""
    return any(_newest_attempt_failed(task) for step in run for task in step)


def _newest_attempt_failed(task: Any) -> bool:
    said = sorted(task.metadata, key=lambda datum: datum.created_at)
    begun_or_ended = [datum for datum in said if datum.name in ("attempt", "attempt_ok")]
    return bool(begun_or_ended) and begun_or_ended[-1][:2] == ("attempt_ok", "False")
