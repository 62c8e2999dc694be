"""What all tables of a config have in common."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from mfx.environment import folder_of


class Table(BaseModel):
    """A table of the config: no unknown keys, no silent conversions, read-only once checked."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Placed(Table):
    """Tables of one config; relative paths in them start at `home`, the folder it lies in."""

    home: str = "."
    """From the project's folder, if it lies in it; else absolute."""

    def resolve(self, path: str) -> str:
        """`path` as this config means it: URLs as they are, the rest from `home`, absolute."""
        return path if "://" in path else os.path.normpath(Path(folder_of(self.home), path))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, by the names that the config gives them."""
        return self.model_dump(mode="json", by_alias=True)
