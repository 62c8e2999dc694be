"""What all tables of a config have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Table(BaseModel):
    """A table of the config: no unknown keys, no silent conversions, read-only once checked."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
