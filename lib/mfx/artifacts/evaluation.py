"""The results of `evaluate` and `push`: metrics and blessing, the replay, the pushed model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mfx import figures
from mfx.artifacts.lineage import Lineage
from mfx.artifacts.slices import OVERALL, SliceKey, SlicesBy
from mfx.artifacts.store import Payload
from mfx.splits import EVAL

if TYPE_CHECKING:
    import pandas as pd


Reasons = dict[SliceKey, dict[str, str]]
"""Why metrics have no value, by slice and metric. Metrics with a value are left out."""


@dataclass(frozen=True)
class SliceMetrics:
    """The metrics of one slice, by name. None if a metric has no value."""

    slice: SliceKey
    metrics: dict[str, float | None]


@dataclass(frozen=True)
class ComparedWith:
    """The run with whose model a model was compared, if any.

    Args:
        run: The run that made the model in production; None if nothing was in production yet.
        unfit: Why that model could not be compared; empty if it was.
    """

    run: str | None = None
    unfit: str = ""

    @property
    def first(self) -> bool:
        """Whether nothing was in production yet."""
        return self.run is None

    def __str__(self) -> str:
        if self.run is None:
            return "first run"
        return f"{self.run} (not comparable: {self.unfit})" if self.unfit else self.run


FIRST_RUN = ComparedWith()
"""Nothing was in production yet."""


@dataclass(frozen=True)
class Check:
    """A threshold for a metric on a slice, and whether the model passed it.

    Args:
        metric: The metric's name.
        slice: The slice; or all slices by some features, if the check is not about a single slice.
        rule: The threshold in words, such as "at least 0.7".
        value: The metric's value; None if it has none.
        passed: Whether the model passed.
        no_value: Why the metric has no value; empty if it has one.
        checked: False if there was no value to check: the check neither passed nor failed.
    """

    metric: str
    slice: SliceKey | SlicesBy
    rule: str
    value: float | None
    passed: bool
    no_value: str = ""
    checked: bool = True

    @property
    def verdict(self) -> str:
        """The result in words: "passed", "FAILED" or "not checked"."""
        return "passed" if self.passed else "FAILED" if self.checked else "not checked"

    def __str__(self) -> str:
        value = "has no value" if self.value is None else f"is {figures.metric(self.value)}"
        if self.value is None and self.no_value:
            value = f"has no value ({self.no_value})"
        return f"{self.verdict}: {self.metric} on {self.slice} {value}, needs {self.rule}"


@dataclass(frozen=True)
class Blessing:
    """Whether a model may be pushed, with all checks.

    Args:
        blessed: Whether it may be pushed.
        checks: One check for each metric, slice and rule.
        baseline: The model in production that it was compared with, or why there was none.
    """

    blessed: bool
    checks: tuple[Check, ...]
    baseline: ComparedWith

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.checked and not check.passed)

    @property
    def unchecked(self) -> tuple[Check, ...]:
        """The checks that could not be made, because a metric has no value."""
        return tuple(check for check in self.checks if not check.checked)

    @property
    def outcome(self) -> str:
        """How many checks passed, and how many could not be made, in words."""
        if not self.checks:
            return "no thresholds, so nothing was checked: any first model is blessed"
        left = len(self.unchecked)
        made = len(self.checks) - left
        if not made:
            return f"nothing was checked, since metrics have no value ({left:,} not checked)"
        passed = f"{made - len(self.failures):,} of {made:,} checks passed"
        return passed + (f", {left:,} not checked" if left else "")


@dataclass(frozen=True)
class Evaluation:
    """Sliced metrics, curves, predictions and the blessing of the chosen candidate.

    Args:
        rows: The metrics, one entry per slice, OVERALL first.
        baseline_rows: The same for the model in production, on the same examples; empty if there
            was none.
        curves: Points of `roc` and `calibration` for charts, by model.
        candidates: For each candidate, the value of the metric that selects, on the eval split;
            None if it has none.
        blessing: Whether the model may be pushed.
        predictions: The file `predictions.parquet`: label, prediction and answer of each row of
            `split`, in order. The answer is the network's output. The prediction is what metrics
            are computed from: the answer or, if the network's loss takes logits, a probability.
        results: TFMA's own result files, for `tfma.load_eval_result`.
        engine: What computed the metrics.
        lineage: What the result was made from.
        no_value: Why metrics of `rows` have no value, by slice and metric. None in results of older
            versions, whose rows may have a number there.
        baseline_no_value: The same for `baseline_rows`.
        split: The split on which all is computed but `candidates`: `test` if there is one, else
            `eval`.
        chosen: The place in `candidates` of the model that this is about; None in results of older
            versions.
        select: The name of the metric that selects; empty in results of older versions.
    """

    rows: list[SliceMetrics]
    baseline_rows: list[SliceMetrics]
    curves: dict[str, Any]
    candidates: list[float | None]
    blessing: Blessing
    predictions: Payload
    results: Payload
    engine: str
    lineage: Lineage
    no_value: Reasons | None = None
    baseline_no_value: Reasons | None = None
    split: str = EVAL
    chosen: int | None = None
    select: str = ""

    def __setstate__(self, state: dict[str, Any]) -> None:
        # `mfx.registry.runs.read` turns an AttributeError into a one-line message.
        if not all(isinstance(row, SliceMetrics) for row in state["rows"]):
            raise AttributeError("it has the names of slices in place of slices")
        self.__dict__.update(state)

    @property
    def overall(self) -> dict[str, float | None]:
        """The metrics on all rows of `split`, by name."""
        return self.rows[0].metrics

    @property
    def where(self) -> str:
        """What to put before metrics in texts: `on test: `, or nothing where they are of eval."""
        return "" if self.split == EVAL else f"on {self.split}: "

    def why_none(self, metric: str, slice: SliceKey | str = OVERALL, baseline: bool = False) -> str:
        """Why a metric has no value on a slice.

        Args:
            metric: The metric's name.
            slice: The slice, or its name as in `metrics()`.
            baseline: Whether to ask for the model in production instead of the candidate.

        Returns:
            The reason; '' if the metric has a value or the reason is not known.
        """
        reasons = (self.baseline_no_value if baseline else self.no_value) or {}
        found = (why for key, why in reasons.items() if str(key) == str(slice))
        return next(found, {}).get(metric, "")

    def metrics(self) -> pd.DataFrame:
        """The metrics as a table of float64: one row per slice, one column per metric.

        Rows have the slices' names, `Overall` first. NaN means that a metric has no value.
        """
        return self._frame(self.rows)

    def baseline_metrics(self) -> pd.DataFrame:
        """As `metrics`, for the model in production. Empty on a first run."""
        return self._frame(self.baseline_rows)

    def _frame(self, rows: list[SliceMetrics]) -> pd.DataFrame:
        import pandas as pd

        columns = dict.fromkeys(name for row in [self.rows[0], *rows] for name in row.metrics)
        index = pd.Index([str(row.slice) for row in rows], dtype=object, name="slice")
        found = [row.metrics for row in rows]
        return pd.DataFrame(found, index, list(columns)).astype(float)


@dataclass(frozen=True)
class Latency:
    """How long a served model took to answer one client.

    Args:
        api: REST or gRPC, and the signature.
        batch_size: Rows per request.
        requests: The number of requests.
        p50: Median time of a request, in milliseconds.
        p99: 99th percentile of the time, in milliseconds.
    """

    api: str
    batch_size: int
    requests: int
    p50: float
    p99: float


@dataclass(frozen=True)
class Replay:
    """How a model server in a new process answered raw rows, those of `Evaluation.split`.

    Args:
        rows: How many rows were replayed.
        max_difference: The largest difference from the answers in evaluation; None if there were no
            answers.
        load_seconds: Seconds from the server's start until the model was available; None if it
            never was.
        error: Why the model may not be served; empty if it may.
        server: The server's name, such as "mfx serve".
        memory_mb: The server's resident memory after all requests, in MiB; None if not known.
        latencies: One entry for each API, signature and batch size.
    """

    rows: int
    max_difference: float | None
    load_seconds: float | None
    error: str = ""
    server: str = ""
    memory_mb: float | None = None
    latencies: list[Latency] = field(default_factory=list)

    @property
    def valid(self) -> bool:
        """Whether the model may be served."""
        return not self.error


@dataclass(frozen=True)
class PushedModel:
    """Where the model was pushed, or why it was not.

    Args:
        path: `<destination>/<name>/<version>`; empty if nothing was written.
        version: The pushed version; None if nothing was written.
        reason: One line for people.
        replay: How a model server answered with the model.
        lineage: What the result was made from.
        warmup: Warm-up requests made of the replayed rows. They go with the model wherever it is
            pushed (see `warmup.read`). None if its answers were not right.
    """

    path: str
    version: int | None
    reason: str
    replay: Replay
    lineage: Lineage = field(repr=False)
    warmup: Payload | None = field(default=None, repr=False)

    @property
    def pushed(self) -> bool:
        """Whether the model is at the destination."""
        return self.version is not None
