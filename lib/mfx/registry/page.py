"""A comparison of runs as HTML: one file with all in it, and the sections that it consists of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mfx import figures
from mfx.artifacts import OVERALL
from mfx.registry.changes import Change, Changes, Drift
from mfx.registry.client import began
from mfx.registry.comparison import Comparison, MetricRow
from mfx.registry.runs import Results
from mfx.report import compared, html
from mfx.report.html import Html, element
from mfx.report.vega_lite import svg

_FOLDED = 5
"""Most files of code that are shown at once."""
_CUT = 300
"""Most characters shown of a value."""


def page(metrics: Comparison, changes: Sequence[Changes], found: Sequence[Results]) -> str:
    """The whole page, in one file that loads nothing.

    Args:
        metrics: Metrics of all runs on the same rows.
        changes: What differs from the first run, one for each other run.
        found: The runs.
    """
    title = f"Runs {', '.join(metrics.runs)}"
    differing = [change_section(one) for one in changes]
    overall, *charts = metric_sections(metrics, found)
    main = element("main", element("h1", title), overall, differing, charts)
    return html.document(title, main, style=html.inline_style()) + "\n"


def metric_sections(metrics: Comparison, found: Sequence[Results]) -> list[Html]:
    """Metrics side by side: first of all rows, then differences as charts, and slices."""
    said = (
        f"Of the {metrics.eval_rows:,} {metrics.split} rows of run {metrics.eval_run}. In "
        "brackets, and as bars, the 95% interval of the difference from the first run (paired "
        "bootstrap)."
    )
    overall = [row for row in metrics.rows if row.slice == OVERALL]
    sliced = [row for row in metrics.rows if row.slice != OVERALL]
    charts = {
        "Differences": list(_differences(metrics)),
        "From run to run": list(_over_time(metrics, found)),
    }
    table = _metric_table(sliced, metrics.runs, "Metrics by slice")
    summary = element("summary", f"All {len(sliced):,} metrics of slices")
    return [
        _section(
            "Metrics",
            element("p", said, class_="note"),
            [element("p", note, class_="note") for note in metrics.notes],
            _metric_table(overall, metrics.runs, f"Metrics on all {metrics.split} rows"),
        ),
        *(
            _section(title, element("div", drawn, class_="charts"))
            for title, drawn in charts.items()
            if drawn
        ),
        *([_section("Slices", element("details", summary, table))] if sliced else []),
    ]


def change_section(one: Changes) -> Html:
    """What differs between two runs besides their metrics."""
    parts: list[Any] = []
    for title, changed in (("Config", one.config), ("Data", one.data), ("Schema", one.schema)):
        if changed:
            cells = [_cells(change) for change in changed]
            parts.append(element("h3", title))
            parts.append(html.table(["", one.before, one.after], cells, f"{title} that differs"))
    if drifted := [drift for drift in one.drift or [] if drift.largest > 0]:
        parts += [element("h3", "Drift of the train split, by TFDV"), _drift(drifted)]
    parts.append(element("h3", "Code"))
    before, after = (commit or "unknown" for commit in one.commits)
    same = f"Commit {before}." if before == after else f"Commit {before} → {after}."
    if one.code:
        rows = [[f.path, f"+{f.added}", f"-{f.removed}"] for f in one.code]
        files = html.table(["file", "added", "removed"], rows, "Files of code that differ")
        said = element("summary", f"{len(rows):,} files differ")
        # Its own code a user looks at; a newer version of the library differs in many files.
        folded = element("details", said, files, open=len(rows) <= _FOLDED)
        parts += [element("p", same), folded]
    else:
        kept = "A run did not keep its code." if one.code is None else "The same files."
        parts.append(element("p", f"{same} {kept}"))
    return _section(f"What differs: run {one.after} against run {one.before}", parts)


def _section(title: str, *parts: Any) -> Html:
    return element("section", element("h2", title), *parts)


def _metric_table(rows: Sequence[MetricRow], runs: Sequence[str], caption: str) -> Html:
    lines = []
    for row in rows:
        shown = [_number(value, row.why(n)) for n, value in enumerate(row.values)]
        cells: list[Any] = [str(row.slice), row.metric, shown[0]]
        for cell, difference in zip(shown[1:], row.differences, strict=True):
            if difference and difference.low is not None:
                bounds = figures.interval(difference.low, difference.high)
                mark = element("span", bounds, class_="clear" if difference.clear else None)
                cells.append([cell, " ", mark])
            else:
                cells.append(cell)
        lines.append(cells)
    return html.table(["slice", "metric", *runs], lines, caption)


def _number(value: float | None, why_none: str = "") -> str:
    if value is None:
        return html.NONE + (f" ({why_none})" if why_none else "")
    return figures.metric(value)


def _differences(metrics: Comparison) -> Iterable[Html]:
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
            drawn = compared.differences(intervals, metrics.runs[1:])
            about = f"{metric}: by slice, the difference from run {metrics.runs[0]}"
            yield _chart(metric, svg(drawn, about))


def _over_time(metrics: Comparison, found: Sequence[Results]) -> Iterable[Html]:
    """Each metric of the whole, run by run in the order in which they began, if there are three."""
    if len(metrics.runs) < 3:
        return
    order = sorted(
        range(len(metrics.runs)),
        key=lambda i: next(began(one.run) for one in found if one.id == metrics.runs[i]),
    )
    for row in metrics.rows:
        if row.slice != OVERALL or row.metric == "example_count":
            continue
        values = [(metrics.runs[i], row.values[i]) for i in order]
        if sum(value is not None for _, value in values) > 1:
            drawn = svg(compared.from_run_to_run(values), f"{row.metric}, from run to run")
            yield _chart(row.metric, drawn)


def _chart(title: str, drawn: str) -> Html:
    return element("div", element("h3", title), Html(drawn))


def _cells(change: Change) -> list[str]:
    shown = ["" if v is None else str(v) for v in (change.before, change.after)]
    return [change.what, *(value[:_CUT] for value in shown)]


def _drift(drifted: Sequence[Drift]) -> Html:
    """A bar for each feature, as long as the larger distance."""
    distances = []
    for drift in drifted:
        named = (("L-infinity", drift.infinity), ("JS divergence", drift.jensen_shannon))
        said = ", ".join(f"{name} {value:.3f}" for name, value in named if value is not None)
        distances.append((drift.feature, drift.largest, said))
    return Html(svg(compared.drift(distances), "Drift of features, the larger distance as a bar"))
