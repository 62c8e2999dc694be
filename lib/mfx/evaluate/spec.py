"""The inputs of evaluate, and the config tables it reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfx import config
from mfx.config import step

if TYPE_CHECKING:
    from mfx.artifacts import Evaluation, Examples, Model
    from mfx.evaluate.baseline import Baseline


class Reads(step.Reads):
    """The part of the config that evaluate gets."""

    label: config.Label
    evaluate: config.Evaluate
    beam: config.Beam


@dataclass(frozen=True)
class Evaluate(step.Step):
    """Pick a candidate, compute sliced metrics, bless it or not."""

    examples: Examples
    transformed: Examples
    models: Sequence[Model]
    baseline: Baseline | None
    reads = Reads

    def make(self, settings: Reads) -> tuple[Model, Evaluation]:
        """See `mfx.evaluate.evaluate.evaluate`."""
        from mfx.evaluate.evaluate import evaluate

        return evaluate(self.models, self.examples, self.transformed, settings, self.baseline)
