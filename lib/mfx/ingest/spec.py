"""The inputs of ingest, and the config tables it reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfx.config import LabelRows, Reading, step

if TYPE_CHECKING:
    from mfx.artifacts import Examples, Shard, Sources


class Reads(step.Reads):
    """The part of the config that ingest gets."""

    data: Reading
    label: LabelRows


@dataclass(frozen=True)
class Ingest(step.Step):
    """Read one shard's rows, give them types and divide them into splits."""

    shard: Shard
    sources: Sources
    reads = Reads
    by_span = True

    def make(self, settings: Reads) -> Examples:
        """See `mfx.ingest.ingest.ingest`."""
        from mfx.ingest.ingest import ingest

        return ingest(self.shard, self.sources, settings)
