"""Compare the metrics of several runs on the same rows, with intervals for differences.

They are the rows on which the newest run was evaluated: of its test split if it has one, else eval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mfx.artifacts import OVERALL, SliceKey
from mfx.columns.groups import grouped
from mfx.errors import MfxError
from mfx.registry import bootstrap
from mfx.registry.client import began
from mfx.registry.runs import Results
from mfx.splits import EVAL

if TYPE_CHECKING:
    import pandas as pd

    from mfx.artifacts import Examples
    from mfx.artifacts.evaluation import Reasons
    from mfx.config import Evaluate

AGREEMENT = 2e-3
"""The bootstrap's own value for a difference may be this far from TFMA's, which computes AUC from
10,000 thresholds. If it is further, no interval is given."""


@dataclass(frozen=True)
class Difference:
    """A metric's difference from the first run. The bounds are None if there is no interval."""

    value: float
    low: float | None
    high: float | None

    @property
    def clear(self) -> bool:
        """Whether there is an interval and 0 is outside of it."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class MetricRow:
    """One metric on one slice.

    Args:
        slice: The slice, OVERALL for all rows.
        metric: The metric's name.
        values: TFMA's value for each run; None if a run has none.
        differences: The difference from the first run, for each other run; None if one of the two
            has no value.
        no_value: For each run, why it has no value; '' if it has one.
    """

    slice: SliceKey
    metric: str
    values: list[float | None]
    differences: list[Difference | None]
    no_value: list[str] = field(default_factory=list)

    def why(self, run: int) -> str:
        """Why the run with this index has no value; '' if it has one or the reason is not known."""
        return self.no_value[run] if self.no_value else ""


@dataclass(frozen=True)
class Comparison:
    """Metrics of several runs.

    Args:
        runs: The runs' ids. Differences are from the first.
        rows: One entry per slice and metric, OVERALL first.
        eval_run: The run whose rows are used for all metrics.
        eval_rows: The number of these rows.
        notes: What was computed again, what could not be compared, and why.
        split: The split of that run that has these rows.
    """

    runs: list[str]
    rows: list[MetricRow]
    eval_run: str
    eval_rows: int
    notes: list[str] = field(default_factory=list)
    split: str = EVAL

    def frame(self) -> pd.DataFrame:
        """A table with one row per slice and metric; see `mfx.registry.compare`."""
        import pandas as pd

        table = []
        for row in self.rows:
            line: dict[str, Any] = {"slice": str(row.slice), "metric": row.metric}
            line |= dict(zip(self.runs, row.values, strict=True))
            for run, difference in zip(self.runs[1:], row.differences, strict=True):
                line[f"{run} difference"] = difference.value if difference else math.nan
                line[f"{run} low"] = difference.low if difference else math.nan
                line[f"{run} high"] = difference.high if difference else math.nan
            table.append(line)
        frame = pd.DataFrame(table).set_index(["slice", "metric"]).astype(float)
        frame.attrs["notes"] = list(self.notes)
        return frame


@dataclass
class _Measured:
    """A run's metrics and predictions on the common rows."""

    run: str
    rows: dict[SliceKey, dict[str, float | None]]
    no_value: Reasons
    prediction: pa.Array


def compare_metrics(found: Sequence[Results]) -> Comparison:
    """Compare runs on the rows on which the newest run was evaluated.

    Raises:
        MfxError: There are fewer than two runs, a run has no metrics, or fewer than two runs can be
            compared.
    """
    if len({one.run.pathspec for one in found}) < 2:
        raise MfxError("there must be two different runs or more", "Give the ids of two runs.")
    newest = max(found, key=lambda one: began(one.run))
    examples: Examples = newest.need("validate", "examples")
    options = newest.need("start", "settings").evaluate
    answers = _answers(newest)
    notes: list[str] = []
    measured = [one for one in (_measure(r, newest, answers["label"], notes) for r in found) if one]
    if len(measured) < 2:
        raise MfxError("the runs cannot be compared: " + "; ".join(notes))
    split = newest.need("evaluate", "evaluation").split
    rows = _rows(measured, examples, split, options, answers["label"], notes)
    return Comparison(
        [m.run for m in measured], rows, newest.id, len(answers["label"]), notes, split
    )


def _answers(found: Results) -> dict[str, pa.Array]:
    """The label, prediction and answer of each evaluated row. Older runs have no answers."""
    with found.need("evaluate", "evaluation").predictions.files() as folder:
        table = pq.read_table(folder / "predictions.parquet")
    return {name: table[name].combine_chunks() for name in table.column_names}


def _measure(
    found: Results, newest: Results, label: pa.Array, notes: list[str]
) -> _Measured | None:
    """Measure a run on the newest run's rows; None, with a note, if that is not possible."""
    evaluation = found.need("evaluate", "evaluation")
    examples, settings = newest.examples, newest.settings
    assert examples is not None and settings is not None  # compare_metrics has read them.
    ours: Examples = found.need("validate", "examples")
    split = newest.need("evaluate", "evaluation").split
    if ours.split_digest(evaluation.split) == examples.split_digest(split):
        answers = _answers(found)
        if not answers["label"].equals(label):
            notes.append(
                f"run {found.id} cannot be compared: it makes other labels from the same {split} "
                f"rows than run {newest.id}"
            )
            return None
        prediction = answers["prediction"]
        same = _measures(found.need("start", "settings").evaluate) == _measures(settings.evaluate)
        if same and evaluation.no_value is not None:
            rows = {row.slice: row.metrics for row in evaluation.rows}
            return _Measured(found.id, rows, evaluation.no_value, prediction)
        how = f"with the metrics and slices of run {newest.id}"
        if same:
            how = "again: an older version gave a number for metrics without a value"
        notes.append(f"run {found.id} was measured {how}")
    else:
        problem, answered = _predict(found, examples, split)
        if answered is None:
            notes.append(
                f"run {found.id} cannot be compared: its model cannot predict the {split} rows of "
                f"run {newest.id}: {problem}"
            )
            return None
        prediction = answered
        notes.append(f"run {found.id} was evaluated again, on the {split} rows of run {newest.id}")
    from mfx.evaluate.evaluate import not_probabilities, remeasure
    from mfx.evaluate.spec import Reads

    if problem := not_probabilities(prediction, settings.evaluate):
        notes.append(f"run {found.id} cannot be compared: {problem}")
        return None
    again, why = remeasure(prediction, label, examples, Reads.of(settings), split)
    return _Measured(found.id, {row.slice: row.metrics for row in again}, why, prediction)


def _predict(found: Results, examples: Examples, split: str) -> tuple[str, pa.Array | None]:
    """The model's predictions for the rows of a split, or why there are none."""
    import tensorflow as tf

    from mfx.evaluate.evaluate import predict

    try:
        with found.need("evaluate", "model").payload.files() as folder:
            return "", predict(folder, examples, split)
    except (KeyError, TypeError, ValueError, RuntimeError, tf.errors.OpError) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}", None


def _measures(options: Evaluate) -> dict[str, Any]:
    """The part of `[evaluate]` on which the metrics' values depend."""
    given = options.model_dump()
    for name in ("select", "select_lowest", "thresholds"):
        del given[name]
    return given


def _rows(
    measured: list[_Measured],
    examples: Examples,
    split: str,
    options: Evaluate,
    label: pa.Array,
    notes: list[str],
) -> list[MetricRow]:
    slices = list(dict.fromkeys(key for m in measured for key in m.rows))
    metrics = list(dict.fromkeys(k for m in measured for k in m.rows[OVERALL]))
    bounds = _intervals(measured, examples, split, options, label, notes)
    without = [name for name in metrics if (OVERALL, name) not in bounds]
    if bounds and (without := [name for name in without if name != "example_count"]):
        notes.append(f"no intervals for {', '.join(without)}")
    rows = []
    for key in slices:
        for metric in metrics:
            values = [m.rows.get(key, {}).get(metric) for m in measured]
            why = [m.no_value.get(key, {}).get(metric, "") for m in measured]
            if all(value is None for value in values) and not any(why):
                continue
            found = bounds.get((key, metric)) or [None] * (len(measured) - 1)
            differences = [
                _difference(values[0], value, interval)
                for value, interval in zip(values[1:], found, strict=True)
            ]
            rows.append(MetricRow(key, metric, values, differences, why))
    return rows


def _difference(
    first: float | None, value: float | None, interval: bootstrap.Interval | None
) -> Difference | None:
    if first is None or value is None:
        return None
    difference = value - first
    if interval is None or abs(interval.difference - difference) > AGREEMENT:
        return Difference(difference, None, None)
    return Difference(difference, interval.low, interval.high)


def _intervals(
    measured: list[_Measured],
    examples: Examples,
    split: str,
    options: Evaluate,
    label: pa.Array,
    notes: list[str],
) -> dict[tuple[SliceKey, str], list[bootstrap.Interval | None]]:
    if not all(pa.types.is_floating(m.prediction.type) for m in measured):
        notes.append("no intervals: the models have several outputs")
        return {}
    entries = [(m, {}) if isinstance(m, str) else (m.class_name, m.config) for m in options.metrics]
    formulas = [f for f in (bootstrap.formula(*entry) for entry in entries) if f]
    weight = getattr(options, "example_weight", "")
    slices = slice_rows(examples, options.slices, split)
    known = {key for m in measured for key in m.rows}
    return bootstrap.intervals(
        formulas,
        label.to_numpy(),
        [m.prediction.to_numpy() for m in measured],
        {key: rows for key, rows in slices.items() if key in known},
        examples.to_arrow(split, [weight]).column(0).to_numpy() if weight else None,
    )


def slice_rows(
    examples: Examples, slices: Sequence[Sequence[str]], split: str = EVAL
) -> dict[SliceKey, np.ndarray]:
    """The indices of a split's rows in each slice; see `columns.groups`."""
    found = {OVERALL: np.arange(examples.rows[split])}
    for names in dict.fromkeys(tuple(sorted({*keys})) for keys in slices if keys):
        table = examples.to_arrow(split, names)
        columns = [table.column(name).combine_chunks() for name in names]
        for values, chosen in grouped(columns):
            found[SliceKey.of(zip(names, values, strict=True))] = chosen
    return found
