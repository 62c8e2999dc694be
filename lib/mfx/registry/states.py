"""What became of a run: finished, running, failed, killed, or not to be told from here.

docs/reference/run-states.md states the rule.
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
"""Without any other sign, a run whose last step began this recently may still be running."""
SILENT_SECONDS = 5 * 60
"""A metadata service hears of a run every ten seconds; after this silence it counts as killed."""
GONE_SECONDS = 60 * 60
"""After this silence, a machine that was asleep included, nothing of it runs any more."""
_DEPLOYED = ("argo-", "sfn-", "airflow-")
"""Ids of runs that have no process of their own between two steps."""


@dataclass(frozen=True)
class State:
    """What became of a run.

    Args:
        name: FINISHED, RUNNING, FAILED, KILLED or UNKNOWN.
        over: Whether it is certain that nothing of it runs any more.
    """

    name: str
    over: bool


def state_of(run: Any, began: datetime) -> State:
    """What became of a run.

    Args:
        run: Metaflow's object of it.
        began: When it began, with its zone.
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
    """Whether the run lives, and whether that is over for certain, by a service's heartbeats."""
    if heard := _heartbeat(run):
        silent = time.time() - heard
        if silent < SILENT_SECONDS:
            return True, False
        if not run.id.startswith(_DEPLOYED):
            return False, silent > GONE_SECONDS
    newest = max((heard for heard in map(_heartbeat, _newest_tasks(run)) if heard), default=0)
    return (True if time.time() - newest < SILENT_SECONDS else None), False


def _heartbeat(thing: Any) -> float:
    """When a metadata service heard of a run or task last, in seconds since 1970; 0 if never."""
    # Metaflow's client has no name for it.
    return float(_private.record(thing).get("last_heartbeat_ts") or 0)


def _newest_tasks(run: Any) -> list[Any]:
    """The tasks of the step that began last."""
    steps = [step for step in run if not step.id.startswith("_")]
    newest = max(steps, key=lambda step: step.created_at, default=None)
    return list(newest) if newest else []


def _last_step_began(run: Any) -> datetime | None:
    return max((task.created_at.astimezone() for task in _newest_tasks(run)), default=None)


def _has_failed(run: Any) -> bool:
    """Whether the newest attempt of one of its tasks has failed, and said so."""
    return any(_newest_attempt_failed(task) for step in run for task in step)


def _newest_attempt_failed(task: Any) -> bool:
    said = sorted(task.metadata, key=lambda datum: datum.created_at)
    begun_or_ended = [datum for datum in said if datum.name in ("attempt", "attempt_ok")]
    return bool(begun_or_ended) and begun_or_ended[-1][:2] == ("attempt_ok", "False")
