"""`mfx compare`: how runs differ."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from mfx.cli.runs import change_lines
from mfx.cli.text import NONE, as_json, command, table, where
from mfx.figures import interval, metric

SLICES = 12
"""The most differences of slices that are printed; the page and the JSON have all."""


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the parser."""
    compare = command(
        commands,
        "compare",
        _compare,
        "compare runs: their config, data and code, and their metrics on the same eval rows",
        "mfx compare production latest --html compare.html",
    )
    compare.add_argument(
        "runs", nargs="+", metavar="RUN", help="two or more; each is compared with the first"
    )
    compare.add_argument("--json", action="store_true", help="print everything as JSON")
    compare.add_argument("--html", metavar="FILE", help="write a page with charts, too")
    compare.add_argument("--no-drift", action="store_true", help="do not measure drift (faster)")
    where(compare)


def _compare(given: argparse.Namespace) -> str:
    from mfx import registry
    from mfx.errors import MfxError
    from mfx.flow import runtime
    from mfx.registry.changes import changes
    from mfx.registry.comparison import compare_metrics

    runtime.quiet()
    runtime.spare_the_garbage_collector()
    found = [registry.run(name, given.flow) for name in given.runs]
    metrics = compare_metrics(found)
    differing = [changes(found[0], one, not given.no_drift) for one in found[1:]]
    if given.html:
        from mfx.registry.page import page

        try:
            Path(given.html).write_text(page(metrics, differing, found), encoding="utf-8")
        except OSError as error:
            raise MfxError(f"{given.html}: cannot write the page: {error.strerror}") from None
    if given.json:
        return as_json({"metrics": metrics, "changes": differing})
    lines = []
    for one in differing:
        lines += [f"run {one.after} against run {one.before}", *change_lines(one, 6)]
    lines += _metric_lines(metrics)
    lines += [f"note: {note}" for note in metrics.notes]
    if given.html:
        lines.append(f"wrote {given.html}")
    return "\n".join(lines)


def _metric_lines(metrics: Any) -> list[str]:
    from mfx.artifacts import OVERALL

    headers = ["", *(f"{run}" for run in metrics.runs)]
    overall = [row for row in metrics.rows if row.slice == OVERALL]
    clear = [
        row
        for row in metrics.rows
        if row.slice != OVERALL and any(d and d.clear for d in row.differences)
    ]
    clear.sort(key=lambda row: -max(abs(d.value) for d in row.differences if d))
    lines = [
        f"metrics on the {metrics.eval_rows:,} {metrics.split} rows of run {metrics.eval_run}; in "
        "brackets the 95% interval of the difference, with * if 0 is not in it",
        table([(row.metric, *_cells(row)) for row in overall], headers),
    ]
    if clear:
        lines.append(f"{len(clear)} metrics of slices differ clearly, the largest first")
        rows = [(f"{row.slice} {row.metric}", *_cells(row)) for row in clear[:SLICES]]
        lines.append(table(rows, headers))
        if len(clear) > SLICES:
            lines.append(f"… {len(clear) - SLICES} more: --html or --json")
    else:
        lines.append("no metric of any slice differs clearly")
    return lines


def _cells(row: Any) -> list[str]:
    shown = [
        f"{NONE} ({row.why(n)})" if row.why(n) else metric(v) for n, v in enumerate(row.values)
    ]
    cells = shown[:1]
    for value, text, difference in zip(row.values[1:], shown[1:], row.differences, strict=True):
        if difference is None or difference.low is None:
            cells.append(text)
        else:
            star = "*" if difference.clear else ""
            bounds = interval(difference.low, difference.high)
            cells.append(f"{metric(value)} {bounds}{star}")
    return cells or [NONE]
