"""A comparison of runs as one HTML file: tables and plots as inline SVG, nothing to load."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from mfx import figures
from mfx.artifacts import OVERALL
from mfx.registry.changes import Change, Changes, Drift
from mfx.registry.client import began
from mfx.registry.comparison import Comparison, MetricRow
from mfx.registry.runs import Results
from mfx.report import compared
from mfx.report.vega_lite import svg

_STYLE = """
body { font: 14px/1.45 -apple-system, "Segoe UI", Roboto, Arial, sans-serif; color: #333;
  max-width: 1000px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 22px } h2 { font-size: 17px; margin-top: 2em } h3 { font-size: 14px }
table { border-collapse: collapse; margin: .5em 0 } td, th { padding: 2px 12px 2px 0;
  text-align: left; border-bottom: 1px solid #eee; font-variant-numeric: tabular-nums }
td.n { text-align: right } .clear { font-weight: 600 } .note { color: #767676 }
svg { max-width: 100%; height: auto; display: block }
"""


def page(metrics: Comparison, changes: Sequence[Changes], found: Sequence[Results]) -> str:
    """The whole page.

    Args:
        metrics: Metrics of all runs on the same rows.
        changes: What differs from the first run, one for each other run.
        found: The runs.
    """
    title = f"Runs {', '.join(metrics.runs)}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>Metrics are of the {metrics.eval_rows:,} eval rows of run {escape(metrics.eval_run)}; "
        "bars are 95% intervals of the difference from the first run (paired bootstrap).</p>",
        *(f'<p class="note">{escape(note)}</p>' for note in metrics.notes),
        "<h2>Metrics</h2>",
        _metric_table([row for row in metrics.rows if row.slice == OVERALL], metrics.runs),
        "<h2>Differences</h2>",
        *_differences(metrics),
        "<h2>Over time</h2>",
        *_over_time(metrics, found),
        *(part for one in changes for part in _changes(one)),
        "<h2>All slices</h2>",
        _metric_table([row for row in metrics.rows if row.slice != OVERALL], metrics.runs),
    ]
    body = "\n".join(parts)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are HTML."""
    head = "".join(f"<th>{cell}</th>" for cell in headers)
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _metric_table(rows: Sequence[MetricRow], runs: Sequence[str]) -> str:
    lines = []
    for row in rows:
        shown = [_number(value, row.why(n)) for n, value in enumerate(row.values)]
        cells = [escape(str(row.slice)), escape(row.metric), shown[0]]
        for cell, difference in zip(shown[1:], row.differences, strict=True):
            if difference and difference.low is not None:
                mark = ' class="clear"' if difference.clear else ""
                cell += f" <span{mark}>{figures.interval(difference.low, difference.high)}</span>"
            cells.append(cell)
        lines.append(cells)
    return _table(["slice", "metric", *map(escape, runs)], lines)


def _number(value: float | None, why_none: str = "") -> str:
    if value is None:
        return "&ndash;" + (f" ({escape(why_none)})" if why_none else "")
    return figures.metric(value)


def _differences(metrics: Comparison) -> Iterable[str]:
    """A chart for each metric: each slice's interval, a colour for each run."""
    for metric in dict.fromkeys(row.metric for row in metrics.rows):
        intervals = [
            compared.Interval(str(row.slice), run, d.value, d.low, d.high)
            for row in metrics.rows
            if row.metric == metric
            for run, d in zip(metrics.runs[1:], row.differences, strict=True)
            if d and d.low is not None and d.high is not None
        ]
        if intervals:
            yield f"<h3>{escape(metric)}</h3>"
            yield svg(
                compared.differences(intervals, metrics.runs[1:]),
                f"{metric}: by slice, the difference from run {metrics.runs[0]}",
            )


def _over_time(metrics: Comparison, found: Sequence[Results]) -> Iterable[str]:
    """Each metric of the whole, run by run in the order in which they began."""
    order = sorted(
        range(len(metrics.runs)),
        key=lambda i: next(began(one.run) for one in found if one.id == metrics.runs[i]),
    )
    for row in metrics.rows:
        if row.slice != OVERALL or row.metric == "example_count":
            continue
        values = [(metrics.runs[i], row.values[i]) for i in order]
        if sum(value is not None for _, value in values) > 1:
            yield f"<h3>{escape(row.metric)}</h3>"
            yield svg(compared.from_run_to_run(values), f"{row.metric}, from run to run")


def _changes(one: Changes) -> Iterable[str]:
    yield f"<h2>Run {escape(one.after)} against run {escape(one.before)}</h2>"
    for title, changed in (("Config", one.config), ("Data", one.data), ("Schema", one.schema)):
        if changed:
            yield f"<h3>{title}</h3>"
            yield _table(["", escape(one.before), escape(one.after)], map(_cells, changed))
    drifted = [drift for drift in one.drift or [] if drift.largest > 0]
    if drifted:
        yield "<h3>Drift of the train split, by TFDV</h3>"
        yield _drift(drifted)
    before, after = (escape(commit or "unknown") for commit in one.commits)
    yield f"<h3>Code</h3><p>commit {before} &rarr; {after}</p>"
    if one.code:
        yield _table(
            ["file", "added", "removed"],
            ([escape(f.path), str(f.added), str(f.removed)] for f in one.code),
        )
    else:
        yield "<p>Not known.</p>" if one.code is None else "<p>The same files.</p>"


def _cells(change: Change) -> list[str]:
    shown: list[Any] = ["" if v is None else v for v in (change.before, change.after)]
    return [escape(change.what), *(escape(str(value)[:300]) for value in shown)]


def _drift(drifted: Sequence[Drift]) -> str:
    """A bar for each feature, as long as the larger distance."""
    distances = []
    for drift in drifted:
        named = (("L-infinity", drift.infinity), ("JS divergence", drift.jensen_shannon))
        said = ", ".join(f"{name} {value:.3f}" for name, value in named if value is not None)
        distances.append((drift.feature, drift.largest, said))
    return svg(compared.drift(distances), "Drift of features, the larger distance as a bar")
