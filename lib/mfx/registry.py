"""Which model is in production: the highest version at the push destination, what is served."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mfx.config import Settings
from mfx.destination import Destination, open_destination


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
