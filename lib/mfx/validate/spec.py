"""The inputs of validate, and the config tables it reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import Field

from mfx.config import Beam, LabelRows, Schema, Split, step
from mfx.config.table import Table

if TYPE_CHECKING:
    from mfx import artifacts
    from mfx.artifacts.span_cache import SpanCache


class _Data(Table):
    split: Split


class Reads(step.Reads):
    """The part of the config that validate gets."""

    schema_: Schema = Field(alias="schema")
    label: LabelRows
    data: _Data
    beam: Beam


@dataclass(frozen=True)
class Validate(step.Step):
    """Statistics, schema and anomalies of all rows."""

    examples: artifacts.Examples
    cache: SpanCache | None = field(default=None, compare=False)
    reads = Reads

    def make(
        self, settings: Reads
    ) -> tuple[artifacts.Statistics, artifacts.Schema, artifacts.Anomalies]:
        """See `mfx.validate.validate.validate`."""
        from mfx.validate.validate import validate

        return validate(self.examples, settings, self.cache)
