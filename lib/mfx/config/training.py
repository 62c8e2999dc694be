"""How models are fitted, measured and held to a bar."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator, model_validator

from mfx.config.table import Table


class Train(Table):
    """How the model is fitted."""

    steps: int = Field(1000, ge=1, examples=[5000])
    """Training steps in all. The command line's `--steps` is used instead, if given."""
    batch_size: int = Field(32, ge=1, examples=[128])
    """Examples in a training step; on several GPUs a multiple of their number. The command line's
    `--batch-size` is used instead, if given."""
    epochs: int = Field(10, ge=1, examples=[20])
    """How many times the model is evaluated and checkpointed in a training: `steps` are divided
    into so many parts. It does not count passes over the data."""
    validation_rows: int = Field(10_000, ge=1, examples=[50_000])
    """Eval rows that the model is measured on after each epoch. The step `evaluate` uses all eval
    rows, whatever this says."""
    seed: int = Field(42, ge=0, examples=[7])
    """Seed of the first weights and of shuffling. The same data, code, config and seed give the
    same weights on the same machine type. The command line's `--seed` is used instead, if given."""
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = Field(
        "float32", examples=["mixed_float16"]
    )
    """Keras' dtype policy. The mixed ones compute in 16 bits and keep the weights in 32."""
    jit_compile: bool = Field(False, examples=[True])
    """Whether the training step is compiled with XLA. TensorFlow then no longer promises the same
    weights in every run."""
    steps_per_execution: int = Field(50, ge=1, examples=[1])
    """Most training steps that TensorFlow runs in one call; more is faster where steps are short.
    The number used is the largest up to this that divides every epoch evenly, and 1 on several
    GPUs."""
    cpu: int = Field(2, ge=1, examples=[8])
    """CPUs of each task of `train`, for Metaflow's `@resources`, which runs on your own machine
    ignore."""
    gpu: int = Field(0, ge=0, examples=[1])
    """GPUs of each task of `train`, for `@resources`."""
    memory: int = Field(4096, ge=512, examples=[16384])
    """MB of memory of each task of `train`, for `@resources`."""
    hyperparameters: dict[str, Any] = Field(
        {}, examples=[{"hidden_units": [100, 70], "learning_rate": 0.001}]
    )
    """Keyword arguments for `build_model`."""
    candidates: list[dict[str, Any]] = Field(
        [{}], examples=[[{"learning_rate": 0.001}, {"learning_rate": 0.01}]]
    )
    """Hyperparameters to try. For each table one model is trained, with `hyperparameters` updated
    by the table; `evaluate` chooses the best. An empty list means one model."""

    @field_validator("candidates")
    @classmethod
    def _at_least_one(cls, value: list) -> list:
        return value or [{}]


class Metric(Table):
    """A metric with arguments."""

    class_name: str = Field(examples=["AUC"])
    """A class of `tfma.metrics` or `keras.metrics`."""
    config: dict[str, Any] = Field({}, examples=[{"name": "auc_pr", "curve": "PR"}])
    """Arguments for the class. Two metrics of one class need a `name` of their own."""


NameOrMetric = Annotated[
    Annotated[str, Tag("str")] | Annotated[Metric, Tag("Metric")],
    Discriminator(lambda given: "Metric" if isinstance(given, dict | Metric) else "str"),
]
"""Errors are those of the type that was meant, not of each."""


class Threshold(Table):
    """A bar that a model must pass to be blessed."""

    metric: str = Field(examples=["auc"])
    """The metric's name in the results, such as `auc` for `AUC`."""
    lower: float | None = Field(None, examples=[0.85])
    """The least value that passes."""
    upper: float | None = Field(None, examples=[0.99])
    """The largest value that passes."""
    max_drop: float | None = Field(None, ge=0, examples=[0.01])
    """How far the value may be below that of the model now in production, for a metric where higher
    is better. It is passed as long as nothing is in production."""
    max_rise: float | None = Field(None, ge=0, examples=[0.01])
    """How far the value may be above that of the model now in production, for a metric where lower
    is better. It is passed as long as nothing is in production."""
    slices: list[list[str]] = Field([[]], examples=[[[], ["trip_start_hour"]]])
    """Where the bar holds: each list of features names slices that `evaluate.slices` has too, and
    the empty list is the whole split."""
    no_value: Literal["skip", "fail"] | None = Field(None, examples=["skip"])
    """What happens if the metric has no value, such as AUC where all examples are of one class:
    `"skip"` leaves the check out, which is counted and shown, and `"fail"` fails it. If not set,
    the check is left out on slices, as long as the metric has a value on one of them, and fails on
    the whole split."""

    @model_validator(mode="after")
    def _bounds_something(self) -> Threshold:
        if self.lower is self.upper is self.max_drop is self.max_rise is None:
            raise ValueError("expected one of lower, upper, max_drop, max_rise, found none")
        if self.max_drop is not None and self.max_rise is not None:
            raise ValueError(
                "expected max_drop (where higher is better) or max_rise (where lower is better), "
                "found both"
            )
        return self


BY_KIND = "by `label.kind`; without one it must be set"
RESULTS = ("candidate", "baseline", "mfx.label", "mfx.example_weight")
"""Columns of the table that TFMA evaluates, the first two named as the models."""


METRICS: dict[str, dict[str, Any]] = {
    "binary": {
        "metrics": ["ExampleCount", "AUC", "BinaryAccuracy", "Precision", "Recall", "Calibration"],
        "select": "auc",
    },
    "classes": {
        "metrics": ["ExampleCount", "SparseCategoricalAccuracy", "SparseCategoricalCrossentropy"],
        "select": "sparse_categorical_accuracy",
    },
    "regression": {
        "metrics": ["ExampleCount", "RootMeanSquaredError", "MeanAbsoluteError", "MeanLabel"],
        "select": "root_mean_squared_error",
        "select_lowest": True,
    },
    "log_regression": {
        "metrics": [
            *("ExampleCount", "MeanSquaredLogarithmicError", "MeanAbsoluteError", "MeanLabel"),
        ],
        "select": "mean_squared_logarithmic_error",
        "select_lowest": True,
    },
    "counts": {
        "metrics": ["ExampleCount", "MeanAbsoluteError", "RootMeanSquaredError", "MeanLabel"],
        "select": "mean_absolute_error",
        "select_lowest": True,
    },
}
"""What `[evaluate]` says by default, by `kind` under `[label]`."""


class Evaluate(Table):
    """Metrics, slices and the bar for a blessing."""

    metrics: list[NameOrMetric] = Field(
        min_length=1,
        examples=[
            ["AUC", {"class_name": "AUC", "config": {"name": "auc_pr", "curve": "PR"}}],
        ],
        json_schema_extra={"default": BY_KIND},
    )
    """The metrics to compute: names of classes in `tfma.metrics` or `keras.metrics`, or tables
    where a class needs arguments. In the results a metric has a name in small letters, such as
    `binary_accuracy` for `BinaryAccuracy`."""
    select: str = Field(examples=["auc"], json_schema_extra={"default": BY_KIND})
    """The metric that chooses the best of several candidates, on the whole eval split, by its name
    in the results. It must be one of `metrics`."""
    select_lowest: bool = Field(False, examples=[True])
    """Whether the candidate with the lowest value is the best, as for a loss."""
    example_weight: str = Field("", examples=["fare"])
    """A raw feature of numbers that gives the weight of each example in every metric. If empty, all
    weigh 1."""
    slices: list[list[str]] = Field([], examples=[[["trip_start_hour"], ["payment_type"]]])
    """Raw features to slice by: for each list, every combination of values that occurs is a slice
    with metrics of its own. The whole split is always evaluated: the test split, if there
    is one, else eval."""
    min_slice_size: int = Field(1, ge=1, examples=[50])
    """Slices with fewer examples are left out: not shown, and not held to a threshold."""
    thresholds: list[Threshold] = Field([], examples=[[{"metric": "auc", "lower": 0.85}]])
    """The bars that a model must pass to be blessed: each bounds a metric's value, its change
    against the model now in production, or both. Without any, a first model is blessed
    unchecked, and no later one."""

    @field_validator("slices")
    @classmethod
    def _are_not_results(cls, value: list[list[str]]) -> list[list[str]]:
        for name in RESULTS:
            if any(name in keys for keys in value):
                what = "is the name of a model in the results" if "." not in name else "is taken"
                raise ValueError(f"'{name}' {what}: rename the column")
        return value

    @field_validator("thresholds")
    @classmethod
    def _have_slices(cls, value: list[Threshold], info: ValidationInfo) -> list[Threshold]:
        known = info.data.get("slices")
        for threshold in value:
            for keys in threshold.slices:
                if keys and known is not None and keys not in known:
                    raise ValueError(
                        f"the threshold on '{threshold.metric}' is for slice {keys}, which is not "
                        "in evaluate.slices: add it there"
                    )
        return value
