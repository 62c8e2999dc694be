"""How a run went, step by step: the time and state of each step, and the cards of its tasks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mfx.registry.client import absent, asking, read
from mfx.registry.runs import NoSuchRunError, Results

if TYPE_CHECKING:
    from metaflow.plugins.cards.card_client import Card

DONE, FAILED, NOT_DONE = "done", "failed", "not done"
"""States of a step. If one is not done, the state of its run says whether it still runs."""
_TASKS = 100
"""How many of a step's newest tasks are read."""


@dataclass(frozen=True)
class StepTimes:
    """One step of a run.

    Args:
        name: The step's name.
        tasks: How many tasks it has so far.
        began: When its first task began, in local time.
        ended: When its last task ended; None if a task has not ended.
        state: DONE, FAILED or NOT_DONE.
        error: The message of a failed task; empty if none failed.
    """

    name: str
    tasks: int
    began: datetime
    ended: datetime | None
    state: str
    error: str = ""

    @property
    def seconds(self) -> float | None:
        """How many seconds the step took; None if it has not ended."""
        return (self.ended - self.began).total_seconds() if self.ended else None


@dataclass(frozen=True)
class StepCard:
    """A task's card.

    Args:
        step: The task's step.
        task: The task's id.
        number: The card's index among the task's cards.
        kind: Metaflow's name for its type, with its id if it has one.
    """

    step: str
    task: str
    number: int
    kind: str


def steps(found: Results) -> list[StepTimes]:
    """The steps that have begun, in the order of their begin.

    Raises:
        MfxError: The metadata service does not answer, or the datastore cannot be read.
    """
    with asking():
        times = [_times(found, step) for step in found.run]
    return sorted((one for one in times if one), key=lambda one: one.began)


def _times(found: Results, step: Any) -> StepTimes | None:
    tasks = list(step)
    if not tasks:
        return None
    began = min(task.created_at for task in tasks).astimezone()
    ends = [task.finished_at for task in tasks[:_TASKS]]
    known = [end for end in ends if end]
    ended = max(known).astimezone() if len(known) == len(ends) else None
    error = next(filter(None, (_error(found, step.id, task) for task in tasks[:_TASKS])), "")
    state = FAILED if error else DONE if ended else NOT_DONE
    return StepTimes(step.id, len(tasks), began, ended, state, error)


def _error(found: Results, step: str, task: Any) -> str:
    """The message of the task's newest attempt if it failed; otherwise empty."""
    said = task.metadata_dict
    if said.get("attempt_ok") != "False":
        return ""
    try:
        error = read(task["_exception"], found.run.pathspec, step)
    except absent(KeyError):
        return "there is no message"
    # Metaflow stores an exception's text, and the name of its class.
    return str(getattr(error, "exception", "") or error or "there is no message").strip()


def cards(found: Results) -> list[StepCard]:
    """The cards of a run's tasks, in the order of the steps."""
    with asking():
        return [
            StepCard(step.id, task.id, number, card.type + (f" {card.id}" if card.id else ""))
            for step in sorted(found.run, key=lambda one: one.created_at)
            for task in itertools.islice(step, _TASKS)
            for number, card in enumerate(_cards(task))
        ]


def card(found: Results, step: str, task: str, number: int) -> str:
    """A card's HTML.

    Raises:
        NoSuchRunError: There is no such card.
    """
    with asking():
        try:
            cards = list(_cards(found.run[step][task]))
        except absent(KeyError):
            cards = []
        if not 0 <= number < len(cards):
            where = f"{found.run.pathspec}/{step}/{task}"
            raise NoSuchRunError(f"{where} has no card {number}")
        return cards[number].get()


def _cards(task: Any) -> Iterator[Card]:
    from metaflow.cards import get_cards
    from metaflow.plugins.cards.exception import (
        CardNotPresentException,
        UnresolvableDatastoreException,
    )

    try:
        yield from get_cards(task)
    except (CardNotPresentException, UnresolvableDatastoreException):  # There are no cards yet.
        return
