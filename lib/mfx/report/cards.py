"""The Metaflow cards of the steps validate, train, evaluate and push.

A card is one HTML file that holds its data and the script that draws it. Text from data (names of
features, values) is put into tables and boxes, which show it as it is. In Markdown it goes through
`code`: everywhere else there, a card would take HTML in it as HTML.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from typing import Any

from metaflow.cards import Error, Markdown, ValueBox, VegaChart

from mfx import figures
from mfx.artifacts import (
    OVERALL,
    Anomalies,
    Blessing,
    Check,
    Evaluation,
    Examples,
    Model,
    PushedModel,
    Schema,
    SliceKey,
    SlicesBy,
    Statistics,
)
from mfx.artifacts.statistics_view import feature_rows
from mfx.report import candidates, charts, counts, distributions
from mfx.report.card_parts import (
    NONE,
    Components,
    box,
    cell,
    code,
    figure,
    many,
    metric,
    share,
    table,
)
from mfx.report.vega_lite import grid, number, text

NO_THRESHOLDS = (
    "The config has no thresholds, so nothing was checked: the first model is blessed, later ones "
    "are not. Add `[[evaluate.thresholds]]` to say what a model must reach."
)
NO_CURVES = "No curves: the model is not a binary classifier, or all examples are of one class."


def show(components: Components) -> None:
    """Add these parts to the card of the step that is running."""
    from metaflow import current

    current.card.extend(components)  # type: ignore[attr-defined]


def _safe(draw: Callable[..., Components]) -> Callable[..., Components]:
    """Show an exception on the card instead of raising it: no run may fail because of a card."""

    @functools.wraps(draw)
    def drawn(*args: Any, **kwargs: Any) -> Components:
        try:
            return draw(*args, **kwargs)
        except Exception as error:
            return [Error(error, f"The card of step {draw.__name__} could not be drawn")]

    return drawn


@_safe
def validate(
    examples: Examples, statistics: Statistics, schema: Schema, anomalies: Anomalies
) -> Components:
    """The card of `validate`: rows, anomalies, the schema's origin, train beside eval."""
    protos = {split: statistics.proto(split) for split in statistics.splits}
    errors = len(anomalies.errors)
    warnings = len(anomalies.found) - errors
    origin = "a schema inferred in this run" if schema.inferred else "the committed schema"
    checked = f"{sum(examples.rows.values()):,} examples checked against {origin}"
    return [
        box(
            "Validation",
            many(errors, "error") if errors else "No errors" if warnings else "No anomalies",
            f"{checked}, {many(warnings, 'warning')}" if warnings else checked,
            "danger" if errors else "success",
        ),
        Markdown("## Rows"),
        *counts.row_counts(examples),
        *counts.spans(examples),
        *counts.cells_changed(examples),
        Markdown("## Anomalies"),
        *_anomalies(anomalies),
        Markdown("## Schema"),
        _schema_origin(schema),
        *_distributions(protos),
        Markdown("## Features"),
        *_feature_tables(protos),
    ]


@_safe
def train(model: Model, seed: int | None = None) -> Components:
    """The card of `train`: one candidate's settings, and its loss and metrics over the epochs."""
    facts = {
        "device": model.device,
        "steps": f"{model.steps:,}",
        "epochs": max(map(len, model.history.values()), default=0),
        "epochs taken from a checkpoint": model.resumed_from or None,
        "seed": seed,
        "SHA-256 of the weights": f"{model.weights[:16]}…",
        "size of the model": figures.megabytes(model.payload.size),
    }
    hyperparameters = [
        [text(name), text(value if isinstance(value, str) else json.dumps(value, default=str))]
        for name, value in model.hyperparameters.items()
    ]
    last = {name: cell(values[-1]) for name, values in model.history.items() if len(values)}
    final = [
        [text(name), last.get(name, NONE), last.get(f"val_{name}", NONE)]
        for name in dict.fromkeys(name.removeprefix("val_") for name in last)
    ]
    drawn = charts.curves(model.history)
    return [
        Markdown(f"## Candidate {model.candidate}"),
        *table(["", ""], [[k, text(v)] for k, v in facts.items() if v is not None]),
        Markdown("## Hyperparameters"),
        *(table(["name", "value"], hyperparameters) or [Markdown("None.")]),
        Markdown("## Loss and metrics"),
        *([VegaChart(grid(drawn, 3))] if drawn else [Markdown("No history.")]),
        *table(["after the last epoch", "train", "validation"], final),
    ]


@_safe
def evaluate(evaluation: Evaluation) -> Components:
    """The card of `evaluate`: the blessing, its checks, ROC, calibration, metrics by slice."""
    blessing = evaluation.blessing
    failed = _checks(blessing.failures)
    return [
        _verdict(blessing),
        *([Markdown("## Failed checks"), *failed] if failed else []),
        Markdown(f"## Metrics on all {evaluation.split} examples"),
        *_overall(evaluation),
        *candidates.chosen_on(evaluation),
        *_curves(evaluation),
        *_slices(evaluation),
        Markdown("## Checks"),
        *(_checks(blessing.checks) or [Markdown(NO_THRESHOLDS)]),
        *candidates.table_of(evaluation),
        Markdown(f"Computed by {code(evaluation.engine)}."),
    ]


@_safe
def push(pushed: PushedModel, evaluation: Evaluation) -> Components:
    """The card of `push`: where the model went, or why nowhere, and how the served model did."""
    replay = pushed.replay
    rows = [
        ["result", "valid" if replay.valid else "NOT VALID"],
        *([["error", text(replay.error, 1000)]] if replay.error else []),
        [f"{evaluation.split} rows replayed", cell(replay.rows)],
        ["largest difference from the evaluation", cell(replay.max_difference)],
        ["served by", text(replay.server) or NONE],
        ["seconds until it was available", figure(replay.load_seconds)],
        ["memory of the server, MiB", figure(replay.memory_mb)],
    ]
    latencies = [
        [text(x.api), *map(figure, (x.batch_size, x.requests, x.p50, x.p99))]
        for x in replay.latencies
    ]
    where = [["reason", text(pushed.reason, 1000)]]
    if pushed.pushed:
        where = [["path", text(pushed.path, 1000)], ["version", str(pushed.version)], *where]
    return [
        box(
            "Push",
            f"Pushed as version {pushed.version}" if pushed.pushed else "Not pushed",
            pushed.reason,
            "success" if pushed.pushed else "warning",
        ),
        *table(["", ""], where),
        Markdown("## Served in a clean process"),
        *table(["", ""], rows),
        *table(["API", "rows per request", "requests", "p50, ms", "p99, ms"], latencies),
        _verdict(evaluation.blessing),
    ]


def _anomalies(anomalies: Anomalies) -> Components:
    if not anomalies.found:
        return [Markdown("No anomalies.")]
    headers = ["", "feature", "split", "rule", "expected", "observed", "examples", "remedy"]
    rows = []
    for a in sorted(anomalies.found, key=lambda anomaly: anomaly.severity != "ERROR"):
        # TFDV's names of rules are one long word, which a column cannot wrap.
        rule = a.rule.replace("_", " ").lower()
        words = (a.severity, a.feature, a.split, rule, a.expected, a.observed)
        rows.append([*(text(word, 300) for word in words), cell(a.count), text(a.remedy, 300)])
    return table(headers, rows, "anomalies")


def _schema_origin(schema: Schema) -> Markdown:
    if schema.inferred:
        return Markdown(
            f"Inferred in this run from its own examples, because there is no file "
            f"{code(schema.path)}. Commit one, and later runs are checked against it."
        )
    return Markdown(f"The committed file {code(schema.path)}.")


def _distributions(protos: dict[str, Any]) -> Components:
    numeric, categorical, left_out = distributions.draw(
        {split: proto.datasets[0] for split, proto in protos.items()}
    )
    others = ", ".join([*protos][1:])
    components: Components = []
    if numeric:
        caption = (
            f"The share of each split's rows in each bin. Bars are train, the line is {others}. "
            "Small differences may come from the edges of TFDV's histograms, which these are from."
        )
        components += [Markdown(f"## Numeric features\n{caption}")]
        components += [VegaChart(grid(numeric, 3))]
    if categorical:
        caption = "The share of each split's rows with each value. "
        caption += f"Bars are train, ticks are {others}."
        components += [Markdown(f"## Text features\n{caption}")]
        components += [VegaChart(grid(categorical, 2))]
    if left_out:
        named = ", ".join(map(code, left_out[:20])) + (", …" if len(left_out) > 20 else "")
        components.append(Markdown(f"{len(left_out):,} features are not drawn: {named}"))
    return components


def _feature_tables(protos: dict[str, Any]) -> Components:
    """A table of numeric features and one of text features, with a row for each split."""
    by_split = {
        split: {row["feature"]: row for row in feature_rows(proto)}
        for split, proto in protos.items()
    }
    tables: dict[bool, list[list[str]]] = {False: [], True: []}
    numbers = ("mean", "std_dev", "zeros", "min", "median", "max")
    for name in dict.fromkeys(name for rows in by_split.values() for name in rows):
        for split in protos:
            row = by_split[split].get(name)
            if row is None:
                continue
            is_text = row["unique"] is not None
            cells = [text(name), split, row["type"].lower(), share(row["missing"])]
            if is_text:
                cells += [cell(row["unique"]), NONE if row["top"] is None else text(row["top"])]
                cells += [share(row["top_share"])]
            else:
                cells += [share(row[k]) if k == "zeros" else figure(row[k]) for k in numbers]
            tables[is_text].append(cells)
    start = ["feature", "split", "type", "missing"]
    return [
        *table([*start, "mean", "std dev", "zeros", "min", "median", "max"], tables[False]),
        *table([*start, "values", "most frequent", "its share"], tables[True]),
    ]


def _verdict(blessing: Blessing) -> ValueBox:
    baseline = blessing.baseline
    compared = f"{baseline}, no baseline" if baseline.first else f"baseline: run {baseline}"
    failures, made = len(blessing.failures), len(blessing.checks) - len(blessing.unchecked)
    outcome = blessing.outcome
    if made:
        outcome = f"{failures:,} of {made:,} checks failed"
        outcome = outcome if failures else f"all {made:,} checks passed"
        left = len(blessing.unchecked)
        outcome += f", {left:,} not checked" if left else ""
    title, theme = ("Blessed", "success") if blessing.blessed else ("Not blessed", "danger")
    return box("Blessing", title, f"{outcome}; {compared}", theme)


def _checks(checks: Sequence[Check]) -> Components:
    """A table of checks: first those that failed, then those not made, then by metric and slice."""
    place = {metric: i for i, metric in enumerate(dict.fromkeys(c.metric for c in checks))}
    ordered = sorted(
        checks, key=lambda c: (c.passed, not c.checked, place[c.metric], _order(c.slice))
    )
    rows = [
        [
            check.verdict,
            *map(text, (check.metric, check.slice)),
            *(metric(check.value, check.no_value), text(check.rule)),
        ]
        for check in ordered
    ]
    return table(["", "metric", "slice", "value", "needs"], rows, "checks")


def _order(key: SliceKey | SlicesBy) -> list[Any]:
    """The sort key of a slice: OVERALL first, then by feature and value, numbers by size."""
    parts = key.parts if isinstance(key, SliceKey) else ()
    return [charts.natural(str(part)) for pair in parts for part in pair]


def _overall(evaluation: Evaluation) -> Components:
    candidate, baseline = map(charts.overall, (evaluation.rows, evaluation.baseline_rows))
    rows = []
    for name, new in candidate.items():
        old = baseline.get(name)
        row = [text(name), _shown(name, new, evaluation.why_none(name))]
        if baseline:
            why = evaluation.why_none(name, baseline=True)
            row += [_shown(name, old, why), _difference(number(new), number(old))]
        rows.append(row)
    headers = ["metric", "candidate", *(["baseline", "difference"] if baseline else [])]
    return table(headers, rows) or [Markdown("No metrics.")]


def _shown(name: str, value: float | None, why_none: str) -> str:
    """A metric's value; counts of examples without decimals."""
    return figure(value) if name in charts.COUNTS else metric(value, why_none)


def _difference(new: float | None, old: float | None) -> str:
    if new is None or old is None:
        return NONE
    if new == old:
        return "0"
    return ("+" if new > old else "") + cell(new - old)


def _curves(evaluation: Evaluation) -> Components:
    heading = Markdown("## ROC and calibration")
    drawn = [f(evaluation.curves) for f in (charts.roc, charts.calibration)]
    if found := [chart for chart in drawn if chart]:
        return [heading, VegaChart(grid(found, 2))]
    return [heading, Markdown(NO_CURVES)]


def _slices(evaluation: Evaluation) -> Components:
    components: Components = []
    for feature, drawn in charts.slices(evaluation.rows, evaluation.baseline_rows).items():
        caption = "Larger points are slices of more examples. The dashed line: all examples."
        components += [Markdown(f"## By {code(feature)}\n{caption}")]
        components += [VegaChart(grid(drawn, 2))]
    rows = [row for row in evaluation.rows if row.slice != OVERALL]
    if not rows:
        return [*components, Markdown("## Slices"), Markdown("No slices are configured.")]
    names = list(dict.fromkeys(name for row in rows for name in row.metrics))
    rows.sort(key=lambda row: _order(row.slice))
    why = evaluation.why_none
    cells = [
        [text(row.slice), *(_shown(n, row.metrics.get(n), why(n, row.slice)) for n in names)]
        for row in rows
    ]
    return [
        *components,
        Markdown("## Slices"),
        *table(["slice", *map(text, names)], cells, "slices"),
    ]
