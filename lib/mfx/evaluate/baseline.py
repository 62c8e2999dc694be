"""The interface of the model that a candidate is compared with."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class Baseline(Protocol):
    """The model in production. It predicts the same rows (see `mfx.registry.Production`)."""

    @property
    def run(self) -> str:
        """The id of the run that made the model."""

    def files(self) -> AbstractContextManager[Path]:
        """A context that gives the folder with its SavedModel. The folder is removed at its end."""
