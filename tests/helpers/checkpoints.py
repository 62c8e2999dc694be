"""Checkpoints on disk, and one that breaks off."""

from __future__ import annotations

import shutil
from pathlib import Path


class Checkpoints:
    """A checkpoint that keeps every state, as `current.checkpoint` does, and can break off."""

    def __init__(self, folder: Path, loaded: Path | None = None, stop_after: int = 0) -> None:
        folder.mkdir(parents=True)
        self.directory, self.is_loaded = str(folder / "now"), loaded is not None
        if loaded:
            shutil.copytree(loaded, self.directory)
        Path(self.directory).mkdir(exist_ok=True)
        self.saved: list[Path] = []
        self._folder, self._stop_after = folder, stop_after

    def save(self) -> None:
        target = self._folder / f"saved-{len(self.saved)}"
        shutil.copytree(self.directory, target)
        self.saved.append(target)
        if len(self.saved) == self._stop_after:
            raise KeyboardInterrupt
