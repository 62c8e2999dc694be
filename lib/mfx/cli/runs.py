"""`mfx ls`, `show`, `gc`: the runs, what each was made from, and what each holds."""

from __future__ import annotations

import argparse
from typing import Any

from mfx.cli.text import NONE, as_json, command, cut, moment, some, table, where, which
from mfx.figures import megabytes, metric


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands to the parser."""
    ls = command(commands, "ls", _ls, "list runs, newest first", "mfx ls -n 30 --all")
    ls.add_argument("-n", type=int, default=15, help="list so many (%(default)s)")
    ls.add_argument(
        "--metrics", help="names of the metrics to show, with commas; by default the first two"
    )
    ls.add_argument("--json", action="store_true", help="print it as JSON")
    where(ls)

    show = command(
        commands,
        "show",
        _show,
        "show the inputs of a run, what changed, and its results",
        "mfx show latest",
    )
    show.add_argument("run", help="the run's id or the beginning of it, latest or production")
    show.add_argument("--json", action="store_true", help="print it as JSON")
    where(show)

    gc = command(
        commands,
        "gc",
        _gc,
        "free what old runs hold in the datastore, except those that were ever in production",
        "mfx gc --keep 10 --dry-run",
    )
    gc.add_argument(
        "--keep",
        type=int,
        required=True,
        metavar="N",
        help="keep so many finished runs of each pipeline, the newest",
    )
    gc.add_argument(
        "--dry-run", action="store_true", help="print what could be freed, free nothing"
    )
    which(gc)


def _ls(given: argparse.Namespace) -> str:
    from mfx.registry import runs

    production: dict[Any, str | None] = {}
    found = [runs.summary(one, production) for one in runs.newest(given.flow, given.n)]
    if given.json:
        return as_json(found)
    several = len({run.flow for run in found}) > 1
    known = dict.fromkeys(name for run in found for name in run.metrics)
    shown = [name for name in known if name != "example_count"][:2]
    if given.metrics:
        shown = [name.strip() for name in given.metrics.split(",")]
    rows = [
        (
            {True: "*", False: "", None: "?"}[run.production],
            *[run.pipeline or run.flow] * several,
            run.run,
            f"{run.created:%m-%d %H:%M}",
            run.user + (f" {run.branch}" if run.branch else ""),
            "unreadable" if run.unreadable else run.state,
            cut(run.files, 24) or NONE,
            NONE if run.rows is None else f"{run.rows:,}",
            run.commit or NONE,
            *(metric(run.metrics.get(name)) for name in shown),
            {True: "yes", False: "no", None: NONE}[run.blessed],
            run.version or NONE,
        )
        for run in found
    ]
    headers = ["", *["PIPELINE"] * several, "RUN", "WHEN", "WHO", "STATE", "DATA", "ROWS", "COMMIT"]
    headers += [*(name.upper() for name in shown), "BLESSED", "PUSHED"]
    unknown = "; ? if its destination cannot be read" if None in production.values() else ""
    unread = some((f"cannot be read: {run.unreadable}" for run in found if run.unreadable), 5)
    return "\n".join([table(rows, headers), f"* is in production{unknown}", *unread])


def _show(given: argparse.Namespace) -> str:
    from mfx import registry
    from mfx.registry import show

    shown = show.gather(registry.run(given.run, given.flow))
    if given.json:
        return as_json(shown)
    lines = [table([(name, value) for name, value in shown.facts.items()])]
    if shown.parent:
        lines += [f"changed since run {shown.parent.before}", *change_lines(shown.parent, 12)]
    sections = {
        "failed checks": shown.failures,
        "checks that could not be made": shown.unchecked,
        "anomalies": shown.anomalies,
    }
    for title, found in sections.items():
        if found:
            lines += [title, *(f"  {cut(line, 110)}" for line in some(found, 5))]
    if shown.promotions:
        lines.append("in the log of promotions")
        lines += [
            f"  {e.number}  {moment(e.since or e.time)}  {e.kind} ({e.state}) by {e.who}"
            f"{': ' + e.reason if e.reason else ''}"
            for e in shown.promotions[-5:]
        ]
    return "\n".join(lines)


def change_lines(changes: Any, limit: int) -> list[str]:
    """What differs between two runs.

    Args:
        changes: The `Changes`.
        limit: The most lines about config and about data; schema and code have half as many.
    """
    lines = some(
        (f"  config  {c.what}: {cut(c.before, 40)} -> {cut(c.after, 40)}" for c in changes.config),
        limit,
    )
    lines += some(
        (f"  data    {c.what}: {cut(c.before, 44)} -> {cut(c.after, 44)}" for c in changes.data),
        limit,
    )
    lines += some((f"  schema  {_schema_line(c)}" for c in changes.schema), limit // 2)
    lines += [
        f"  drift   {d.feature}: "
        + ", ".join(
            f"{name} {value:.3f}"
            for name, value in (("L-infinity", d.infinity), ("JS divergence", d.jensen_shannon))
            if value is not None
        )
        for d in (changes.drift or [])[:5]
        if d.largest > 0
    ]
    before, after = changes.commits
    if before != after:
        lines.append(f"  code    commit {before or 'unknown'} -> {after or 'unknown'}")
    if changes.code is None:
        lines.append("  code    not known: the code of one of the runs was not kept")
    lines += some(
        (f"  code    {f.path}: +{f.added} -{f.removed}" for f in changes.code or []), limit // 2
    )
    return lines or ["  nothing"]


def _schema_line(change: Any) -> str:
    if change.before is None:
        return f"{change.what} added"
    if change.after is None:
        return f"{change.what} removed"
    return f"{change.what} changed"


def _gc(given: argparse.Namespace) -> str:
    from mfx.errors import MfxError
    from mfx.registry import flows, freeing, liveness

    if given.keep < 1:
        raise MfxError("--keep: expected 1 or more", "The newest run is always kept.")
    flow = given.flow or flows.default()
    if given.dry_run:
        return _freed(freeing.plan(flow, given.keep), None)
    # No run may begin between the first look at the runs and the last removal.
    with liveness.nobody_begins(flow):
        plan = freeing.plan(flow, given.keep)
        return _freed(plan, freeing.free(plan))


def _freed(plan: Any, count: int | None) -> str:
    """What the runs hold and what was freed.

    Args:
        plan: What can be freed.
        count: How many blobs were there and removed; None in a dry run.
    """
    rows = [
        (
            h.run,
            f"{h.created:%Y-%m-%d %H:%M}",
            megabytes(h.size),
            megabytes(h.freeable),
            h.kept or "old",
        )
        for h in plan.holdings[:30]
    ]
    lines = [table(rows, ["RUN", "WHEN", "HOLDS", "FREEABLE", "WHY KEPT"])]
    if len(plan.holdings) > len(rows):
        lines.append(f"… {len(plan.holdings) - len(rows)} older runs")
    what = f"{megabytes(plan.size)} in {len(plan.blobs):,} blobs"
    lines += [
        f"run {run} cannot be read ({why}), so it may need any of the blobs"
        for run, why in plan.unread.items()
    ]
    if count is None:
        said = f"could be freed in {plan.place}: {what} (dry run: nothing was freed)"
        return "\n".join([*lines, said])
    return "\n".join([*lines, f"freed in {plan.place}: {what}; {count:,} were there"])
