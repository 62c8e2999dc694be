"""Which model is in production: the highest version at the push destination, what is served."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfx.config import Settings
from mfx.destination import Destination, open_destination
from mfx.errors import MfxError


@dataclass(frozen=True)
class Production:
    """The model now in production.

    Args:
        run: Id of the run that pushed it; `unknown` if something else did.
        version: Its version at the destination.
    """

    run: str
    version: int
    destination: Destination

    @contextmanager
    def files(self) -> Iterator[Path]:
        """The served SavedModel in a temporary folder."""
        with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
            self.destination.fetch(self.version, Path(directory))
            yield Path(directory)


def production(settings: Settings) -> Production | None:
    """The production model of this pipeline, or None before the first push."""
    destination = open_destination(
        settings.resolve(settings.push.destination), settings.pipeline.name
    )
    versions = destination.versions()
    if not versions:
        return None
    record = destination.record(versions[-1])
    return Production(record.get("run", "unknown"), versions[-1], destination)


def artifact(flow: str, run: str | None, step: str, name: str) -> Any:
    """A result that a run's step left, also of a run that was stopped.

    Args:
        flow: The flow's name.
        run: Id of the run; None is the latest.
        step: The step that made it.
        name: The artifact's name.

    Raises:
        MfxError: There is no such flow, run or result.
    """
    from metaflow import Flow, Run, namespace
    from metaflow.exception import MetaflowInvalidPathspec, MetaflowNotFound

    namespace(None)
    try:
        found = Flow(flow).latest_run if run is None else Run(f"{flow}/{run}")
        task = found[step].task
        return task[name].data
    except (MetaflowNotFound, MetaflowInvalidPathspec, KeyError, TypeError):
        which = f"run {flow}/{run}" if run else f"latest run of {flow}"
        raise MfxError(
            f"the {which} has no '{name}' of step '{step}'",
            "Give the id of a run that got that far; `python flows/pipeline.py show` and "
            "Metaflow's client list runs.",
        ) from None
