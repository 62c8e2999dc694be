"""Find the training state of an earlier attempt, even of the run that is being resumed."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from typing import Any

from metaflow import Run, current, namespace

_STORES = {"ds-root", "artifact-store-ds-root"}
"""Metadata that a task has once it has begun. A task that was killed before saved nothing, and
asking `metaflow-checkpoint` for its checkpoints is an error."""


class StepCheckpoint:
    """A `mfx.train.train.Checkpoint` that uses `metaflow-checkpoint`.

    `@checkpoint` loads the checkpoint of an earlier attempt of the same task. A resumed run has new
    tasks, so this class also looks in the run from which it was resumed, in the run from which that
    one was resumed, and so on. If a step has no `@checkpoint`, as in a trial, nothing is saved and
    nothing is found.

    Args:
        name: A name that differs for the tasks of a foreach, such as `candidate-0`.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._keeps = hasattr(current, "checkpoint")
        if not self._keeps:
            self.directory, self.is_loaded = tempfile.mkdtemp(prefix="mfx-"), False
            atexit.register(shutil.rmtree, self.directory, ignore_errors=True)
            return
        self.directory = current.checkpoint.directory
        self.is_loaded = current.checkpoint.is_loaded or self._load_from_origin()

    def save(self) -> None:
        """Save the files that are now in `directory`."""
        if not self._keeps:
            return
        current.checkpoint.save(name=self._name)

    def _load_from_origin(self) -> bool:
        namespace(None)
        origin, seen = current.origin_run_id, set()
        while origin and origin not in seen:
            seen.add(origin)
            run = Run(f"{current.flow_name}/{origin}")
            if found := self._latest(run):
                current.checkpoint.load(found, path=self.directory)
                return True
            origin = _origin_of(run)
        return False

    def _latest(self, run: Run) -> dict[str, Any] | None:
        """The newest checkpoint with this name among the run's tasks of this step."""
        found: list[dict[str, Any]] = []
        for task in run[current.step_name].tasks() if current.step_name in run else ():
            if not task.metadata_dict.keys() & _STORES:
                continue
            for attempt in range(task.current_attempt + 1):
                found += current.checkpoint.list(name=self._name, task=task, attempt=attempt)
        return max(found, key=lambda checkpoint: checkpoint["created_on"], default=None)


def _origin_of(run: Run) -> str | None:
    """The id of the run from which this one was resumed; None if it was not resumed."""
    for task in run["start"].tasks():
        # Metaflow writes the text "None" for a run that was not resumed.
        if (origin := task.metadata_dict.get("origin-run-id")) not in (None, "None"):
            return origin
    return None
