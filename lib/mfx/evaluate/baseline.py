"""What a candidate is compared with."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class Baseline(Protocol):
    """A model that predicts the same rows: the one in production (`mfx.registry.Production`)."""

    @property
    def run(self) -> str:
        """Id of the run that made it."""

    def files(self) -> AbstractContextManager[Path]:
        """Its SavedModel, in a folder that is there until the context ends."""
