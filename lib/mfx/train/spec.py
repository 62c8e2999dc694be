"""The inputs of train, and the config tables it reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mfx import config
from mfx.config import step

if TYPE_CHECKING:
    from mfx.artifacts import Examples, Model, TransformGraph
    from mfx.train.train import Checkpoint


class Reads(step.Reads):
    """The part of the config that train gets."""

    pipeline: config.Pipeline
    label: config.Label
    features: dict[str, config.AnyFeature]
    train: config.Train


@dataclass(frozen=True)
class Train(step.Step):
    """Fit one candidate and export it with its transform graph."""

    graph: TransformGraph
    transformed: Examples
    candidate: int
    checkpoint: Checkpoint = field(compare=False)
    report: Callable[[str], None] = field(compare=False)
    reads = Reads

    def make(self, settings: Reads) -> Model:
        """See `mfx.train.train.train`."""
        from mfx.train.train import train

        given = self.graph, self.transformed, settings, self.candidate
        return train(*given, self.checkpoint, self.report)
