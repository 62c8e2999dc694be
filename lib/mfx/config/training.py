"""How models are fitted, measured and held to a bar."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from mfx.config.table import Table


class Train(Table):
    """How the model is fitted. `cpu`, `gpu` and `memory` (MB) go to Metaflow's `@resources`."""

    steps: int = Field(1000, ge=1)
    batch_size: int = Field(32, ge=1)
    epochs: int = Field(10, ge=1)
    """How many times in a run the model is evaluated and checkpointed: `steps` divided by it."""
    validation_rows: int = Field(10_000, ge=1)
    """Eval rows looked at after each epoch; the evaluator looks at all of them."""
    seed: int = Field(42, ge=0)
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    jit_compile: bool = False
    """Compile the training step with XLA; TensorFlow then gives up equal weights run after run."""
    steps_per_execution: int = Field(50, ge=1)
    """Training steps in one call of TensorFlow; 1 on several GPUs."""
    cpu: int = Field(2, ge=1)
    gpu: int = Field(0, ge=0)
    memory: int = Field(4096, ge=512)
    hyperparameters: dict[str, Any] = {}
    """Handed to `build_model`."""
    candidates: list[dict[str, Any]] = [{}]
    """One model is trained for each; each updates `hyperparameters`."""

    @field_validator("candidates")
    @classmethod
    def _at_least_one(cls, value: list) -> list:
        return value or [{}]


class Metric(Table):
    """One of TFMA's or Keras' metrics, by class name, with its constructor's arguments."""

    class_name: str
    config: dict[str, Any] = {}


NameOrMetric = Annotated[
    Annotated[str, Tag("str")] | Annotated[Metric, Tag("Metric")],
    Discriminator(lambda given: "Metric" if isinstance(given, dict | Metric) else "str"),
]
"""Errors are those of the type that was meant, not of each."""


class Threshold(Table):
    """A bar that a model must pass to be blessed.

    `lower` and `upper` bound the value; `max_drop` and `max_rise` bound the change against the
    model now in production (for metrics where higher, or lower, is better).
    """

    metric: str
    """The metric's name in the results, such as `auc`."""
    lower: float | None = None
    upper: float | None = None
    max_drop: float | None = Field(None, ge=0)
    max_rise: float | None = Field(None, ge=0)
    slices: list[list[str]] = [[]]
    """Slices it holds for, each a list of features; `[]` is the whole eval split."""
    no_value: Literal["skip", "fail"] | None = None
    """What of a metric without a value, such as AUC of one class: `skip` leaves the check out, on
    the record; `fail` fails it. By default it is skipped on slices, as long as the metric has a
    value on one of them, and fails on the whole eval split."""

    @model_validator(mode="after")
    def _bounds_something(self) -> Threshold:
        if self.lower is self.upper is self.max_drop is self.max_rise is None:
            raise ValueError("a threshold needs one of lower, upper, max_drop, max_rise")
        if self.max_drop is not None and self.max_rise is not None:
            raise ValueError("max_drop is for higher-is-better, max_rise for lower-is-better")
        return self


RESULTS = ("candidate", "baseline", "mfx.label", "mfx.example_weight")
"""Columns of the table that TFMA evaluates, the first two named as the models."""


class Evaluate(Table):
    """Metrics, slices and the bar for a blessing."""

    metrics: list[NameOrMetric] = Field(min_length=1)
    select: str
    """The metric by which the best candidate is chosen."""
    select_lowest: bool = False
    example_weight: str = ""
    """A raw numeric feature: the weight of each example in every metric; empty: all weigh 1."""
    slices: list[list[str]] = []
    """Raw features to slice by, besides the whole eval split."""
    min_slice_size: int = Field(1, ge=1)
    """Slices with fewer examples are neither shown nor held to a threshold."""
    thresholds: list[Threshold] = []

    @field_validator("slices")
    @classmethod
    def _are_not_results(cls, value: list[list[str]]) -> list[list[str]]:
        for name in RESULTS:
            if any(name in keys for keys in value):
                what = "is the name of a model in the results" if "." not in name else "is taken"
                raise ValueError(f"'{name}' {what}: rename the column")
        return value

    @model_validator(mode="after")
    def _thresholds_have_slices(self) -> Evaluate:
        for threshold in self.thresholds:
            for keys in threshold.slices:
                if keys and keys not in self.slices:
                    raise ValueError(f"threshold on slice {keys}, which is not in slices")
        return self
