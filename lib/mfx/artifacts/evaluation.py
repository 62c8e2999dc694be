"""Of `evaluate` and `push`: the verdict on a model, how it was served, where it went."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mfx import figures
from mfx.artifacts.lineage import Lineage
from mfx.artifacts.slices import OVERALL, SliceKey, SlicesBy
from mfx.artifacts.store import Payload

if TYPE_CHECKING:
    import pandas as pd


Reasons = dict[SliceKey, dict[str, str]]
"""Why a metric has no value, by slice and metric; of what has no value alone."""


@dataclass(frozen=True)
class SliceMetrics:
    """The metrics of one slice, by name; None for one without a value."""

    slice: SliceKey
    metrics: dict[str, float | None]


@dataclass(frozen=True)
class ComparedWith:
    """What a model was compared with: nothing, a run, or a run whose model could not be.

    Args:
        run: The run that made the model in production; None if nothing was in production yet.
        unfit: Why that model cannot be compared; empty if it was.
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


@dataclass(frozen=True)
class Check:
    """One threshold on one metric of one slice, and whether the model passed it.

    Args:
        slice: Which slice, or all by some features, where it is of none alone.
        no_value: Why the metric has no value; empty if it has one.
        checked: False where there is nothing to hold to the threshold: neither passed nor failed.
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
        """In a word or two."""
        return "passed" if self.passed else "FAILED" if self.checked else "not checked"

    def __str__(self) -> str:
        value = "is no value" if self.value is None else f"is {figures.metric(self.value)}"
        if self.value is None and self.no_value:
            value = f"has no value ({self.no_value})"
        return f"{self.verdict}: {self.metric} on {self.slice} {value}, needs {self.rule}"


@dataclass(frozen=True)
class Blessing:
    """Whether a model may be pushed, and why: one check for each metric, slice and rule.

    Args:
        baseline: The model in production that it was compared with, or why with none.
    """

    blessed: bool
    checks: tuple[Check, ...]
    baseline: ComparedWith

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that were not passed."""
        return tuple(check for check in self.checks if check.checked and not check.passed)

    @property
    def unchecked(self) -> tuple[Check, ...]:
        """The checks that could not be made, as a metric has no value."""
        return tuple(check for check in self.checks if not check.checked)

    @property
    def outcome(self) -> str:
        """How many checks were passed, and how many could not be made."""
        if not self.checks:
            return "no thresholds, nothing was checked: any first model is blessed"
        left = len(self.unchecked)
        made = len(self.checks) - left
        if not made:
            return f"nothing was checked, as metrics have no value ({left:,} not checked)"
        passed = f"{made - len(self.failures):,} of {made:,} checks passed"
        return passed + (f", {left:,} not checked" if left else "")


@dataclass(frozen=True)
class Evaluation:
    """Sliced metrics, curves, predictions and the blessing of the chosen candidate.

    Args:
        rows: One a slice, OVERALL first.
        baseline_rows: The same for the model now in production, on the same examples; or empty.
        curves: `roc` and `calibration` points for plots, by model.
        candidates: Each candidate's value of the selecting metric; None if it has none.
        predictions: `predictions.parquet`: label, prediction and answer of each eval row, in order;
            the answer is the network's own, the prediction what metrics are made of: where the
            network's loss takes logits, the probabilities.
        results: TFMA's own result files, for `tfma.load_eval_result`.
        engine: What computed the metrics.
        no_value: Why a metric of `rows` has no value, by slice and metric; None in what older
            versions left, whose rows may hold a number there.
        baseline_no_value: The same of `baseline_rows`.
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

    def __setstate__(self, state: dict[str, Any]) -> None:
        # An error of this class is told as one line; see `mfx.registry.runs.read`.
        if not all(isinstance(row, SliceMetrics) for row in state["rows"]):
            raise AttributeError("it has the names of slices in place of slices")
        self.__dict__.update(state)

    @property
    def overall(self) -> dict[str, float | None]:
        """The metrics on the whole eval split."""
        return self.rows[0].metrics

    def why_none(self, metric: str, slice: SliceKey | str = OVERALL, baseline: bool = False) -> str:
        """Why a metric has no value on a slice, given as such or by its name in `metrics()`; '' if
        it has one or nothing is known."""
        reasons = (self.baseline_no_value if baseline else self.no_value) or {}
        found = (why for key, why in reasons.items() if str(key) == str(slice))
        return next(found, {}).get(metric, "")

    def metrics(self) -> pd.DataFrame:
        """One row a slice, by its name, `Overall` first; one column a metric, float64, NaN where it
        has no value."""
        return self._frame(self.rows)

    def baseline_metrics(self) -> pd.DataFrame:
        """As `metrics`, of the model now in production; empty on a first run."""
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
        batch_size: Rows in each request.
        requests: How many there were.
        p50: Milliseconds that half of them stayed below.
        p99: Milliseconds that 99 of 100 stayed below.
    """

    api: str
    batch_size: int
    requests: int
    p50: float
    p99: float


@dataclass(frozen=True)
class Replay:
    """How a model server in a clean process answered raw eval rows.

    Args:
        rows: Rows replayed.
        max_difference: Largest difference from the evaluator's predictions; None if none came back.
        load_seconds: From the server's start until the model was available.
        error: Why it is not valid; empty if it is.
        server: Which server it was; `title` of a `push.servers`.
        memory_mb: Resident memory of the server after all requests, MiB; None where not known.
        latencies: Of each API, signature and batch size.
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
    """Where the model went, or why it did not.

    Args:
        path: `<destination>/<name>/<version>`; empty if nothing was written.
        version: The version served; None if nothing was written.
        reason: One line for people.
        warmup: Requests made of the rows replayed, which go with the model wherever it is pushed
            (`warmup.read`); None if it did not answer them as evaluated.
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
