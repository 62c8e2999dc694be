"""What ingest reads of the config, and what it makes examples from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfx.config import LabelRows, Reading, step

if TYPE_CHECKING:
    from mfx.artifacts import Examples, Shard, Sources


class Reads(step.Reads):
    """All of the config that ingest is handed."""

    data: Reading
    label: LabelRows


@dataclass(frozen=True)
class Ingest(step.Step):
    """Type one shard's rows and split them by hash."""

    shard: Shard
    sources: Sources
    reads = Reads

    def make(self, settings: Reads) -> Examples:
        """See `mfx.ingest.ingest.ingest`."""
        from mfx.ingest.ingest import ingest

        return ingest(self.shard, self.sources, settings)
