"""A comparison of runs as one HTML file: tables and plots as inline SVG, nothing to load."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from mfx import figures
from mfx.artifacts import OVERALL
from mfx.registry.changes import Change, Changes
from mfx.registry.client import began
from mfx.registry.comparison import Comparison, MetricRow
from mfx.registry.runs import Results
from mfx.report.charts import BLUE, GREY, ORANGE

COLORS = (BLUE, ORANGE, "#3c8d5a", "#a04a8f", "#7a6a3a")
WIDTH, LABEL, LINE = 720, 210, 18
_STYLE = """
body { font: 14px/1.45 -apple-system, "Segoe UI", Roboto, Arial, sans-serif; color: #333;
  max-width: 1000px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 22px } h2 { font-size: 17px; margin-top: 2em } h3 { font-size: 14px }
table { border-collapse: collapse; margin: .5em 0 } td, th { padding: 2px 12px 2px 0;
  text-align: left; border-bottom: 1px solid #eee; font-variant-numeric: tabular-nums }
td.n { text-align: right } .clear { font-weight: 600 } .note { color: #767676 }
svg text { font: 11px Roboto, Arial, sans-serif; fill: #555 }
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
    """A plot a metric: each slice's interval, a colour a run."""
    for metric in dict.fromkeys(row.metric for row in metrics.rows):
        rows = [
            row
            for row in metrics.rows
            if row.metric == metric and any(d and d.low is not None for d in row.differences)
        ]
        if rows:
            yield f"<h3>{escape(metric)}</h3>"
            yield _forest(rows, metrics.runs[1:])


def _forest(rows: Sequence[MetricRow], runs: Sequence[str]) -> str:
    bars = [
        (place, number, d)
        for place, row in enumerate(rows)
        for number, d in enumerate(row.differences)
        if d and d.low is not None and d.high is not None
    ]
    low = min([0.0, *(d.low for _, _, d in bars if d.low is not None)])
    high = max([0.0, *(d.high for _, _, d in bars if d.high is not None)])
    span = (high - low) or 1.0

    def x(value: float) -> float:
        return LABEL + (value - low) / span * (WIDTH - LABEL - 20)

    step = LINE * max(1, (len(runs) + 1) // 2)
    height = step * len(rows) + 2 * LINE
    marks = [
        f'<line x1="{x(0):.1f}" x2="{x(0):.1f}" y1="0" y2="{height - LINE}" stroke="{GREY}"/>',
        f'<text x="{x(low):.1f}" y="{height - 4}">{figures.difference(low)}</text>',
        f'<text x="{x(high):.1f}" y="{height - 4}" text-anchor="end">'
        f"{figures.difference(high)}</text>",
    ]
    for place, row in enumerate(rows):
        marks.append(f'<text x="0" y="{place * step + 13}">{escape(str(row.slice)[:36])}</text>')
    for place, number, d in bars:
        y = place * step + (number + 1) * step / (len(runs) + 1)
        color = COLORS[number % len(COLORS)]
        marks.append(
            f'<g stroke="{color}" fill="{color}"><title>{escape(runs[number])}: '
            f"{figures.difference(d.value)} {figures.interval(d.low, d.high)}</title>"
            f'<line x1="{x(d.low or 0):.1f}" x2="{x(d.high or 0):.1f}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke-width="{3 if d.clear else 1.2}"/>'
            f'<circle cx="{x(d.value):.1f}" cy="{y:.1f}" r="2.5"/></g>'
        )
    return _svg(marks, height) + _legend(runs)


def _legend(runs: Sequence[str]) -> str:
    parts = [
        f'<span style="color:{COLORS[n % len(COLORS)]}">&#9632;</span> {escape(run)}'
        for n, run in enumerate(runs)
    ]
    return f'<p class="note">{" &nbsp; ".join(parts)}</p>'


def _svg(marks: Sequence[str], height: float) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}" '
        f'role="img">{"".join(marks)}</svg>'
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
        points = [(n, row.values[i]) for n, i in enumerate(order) if row.values[i] is not None]
        if len(points) > 1:
            yield f"<h3>{escape(row.metric)}</h3>"
            known = [(n, v) for n, v in points if v is not None]
            yield _line(known, [metrics.runs[i] for i in order])


def _line(points: Sequence[tuple[int, float]], runs: Sequence[str]) -> str:
    values = [value for _, value in points]
    low, high = min(values), max(values)
    span = (high - low) or 1.0

    def x(place: int) -> float:
        return 60 + place * (WIDTH - 140) / max(1, len(runs) - 1)

    def y(value: float) -> float:
        return 90 - (value - low) / span * 70

    path = " ".join(f"{x(place):.1f},{y(value):.1f}" for place, value in points)
    marks = [f'<polyline points="{path}" fill="none" stroke="{BLUE}" stroke-width="1.5"/>']
    for place, value in points:
        at, up = f"{x(place):.1f}", y(value)
        marks += [
            f'<circle cx="{at}" cy="{up:.1f}" r="3" fill="{BLUE}"/>',
            f'<text x="{at}" y="{up - 7:.1f}" text-anchor="middle">{figures.metric(value)}</text>',
            f'<text x="{at}" y="112" text-anchor="middle">{escape(runs[place])}</text>',
        ]
    return _svg(marks, 120)


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


def _drift(drifted: Sequence[Any]) -> str:
    """A bar a feature, as long as the larger distance."""
    top = max(drift.largest for drift in drifted)
    marks = []
    for place, drift in enumerate(drifted):
        y = place * LINE
        named = (("L-infinity", drift.infinity), ("JS divergence", drift.jensen_shannon))
        text = ", ".join(f"{name} {value:.3f}" for name, value in named if value is not None)
        width = drift.largest / top * (WIDTH - LABEL - 200)
        marks.append(f'<text x="0" y="{y + 13}">{escape(drift.feature[:36])}</text>')
        marks.append(
            f'<rect x="{LABEL}" y="{y + 4}" width="{width:.1f}" height="{LINE - 7}" fill="{BLUE}"/>'
        )
        marks.append(f'<text x="{LABEL + width + 6:.1f}" y="{y + 13}">{text}</text>')
    return _svg(marks, LINE * len(drifted) + 4)
