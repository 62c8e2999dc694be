"""The inputs of transform, and the config tables it reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mfx.config import AnyFeature, Beam, Label, Pipeline, step

if TYPE_CHECKING:
    from mfx.artifacts import Examples, Schema, TransformGraph
    from mfx.artifacts.span_cache import SpanCache


class Reads(step.Reads):
    """The part of the config that transform gets."""

    pipeline: Pipeline
    label: Label
    features: dict[str, AnyFeature]
    beam: Beam


@dataclass(frozen=True)
class Transform(step.Step):
    """Analyse the train split, keep one transform graph and transform all splits with it."""

    examples: Examples
    schema: Schema
    report: Callable[[str], None] = field(compare=False)
    cache: SpanCache | None = field(default=None, compare=False)
    reads = Reads

    def make(self, settings: Reads) -> tuple[TransformGraph, Examples]:
        """See `mfx.transform.transform.transform`."""
        from mfx.transform.transform import transform

        return transform(self.examples, self.schema, settings, self.report, self.cache)
