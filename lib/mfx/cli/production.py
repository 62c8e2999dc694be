"""`mfx promote`, `rollback`, `history`, `at`: which model is or was in production, and changes."""

from __future__ import annotations

import argparse
from typing import Any

from mfx.cli.text import NONE, as_json, command, cut, model_of, moment, table, where
from mfx.figures import metric


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands to the parser."""
    _add_changes(commands)
    _add_views(commands)


def _add_changes(commands: argparse._SubParsersAction) -> None:
    promote = command(
        commands,
        "promote",
        _promote,
        "put a run's model into production",
        'mfx promote 1795231122334455 --reason "two more months of data"',
    )
    promote.add_argument("run", help="the run's id or the beginning of it, or latest")
    promote.add_argument("--reason", default="", help="why; kept in the log")
    promote.add_argument(
        "--override",
        default="",
        metavar="REASON",
        help="promote the model even if it is not blessed or not valid; the reason is kept in the "
        "log",
    )
    promote.add_argument("--to-branch", help="@project branch; by default the run's own")
    promote.add_argument("--dry-run", action="store_true", help="check everything, change nothing")
    where(promote)

    rollback = command(
        commands,
        "rollback",
        _rollback,
        "put an earlier production model back into production",
        'mfx rollback --reason "complaints from drivers"',
    )
    rollback.add_argument(
        "--to",
        metavar="RUN",
        help="a run that was in production before; by default the last one before the present",
    )
    rollback.add_argument("--reason", default="", help="why; kept in the log")
    rollback.add_argument("--dry-run", action="store_true", help="check everything, change nothing")
    where(rollback, model=True)


def _add_views(commands: argparse._SubParsersAction) -> None:
    history = command(
        commands, "history", _history, "show who promoted what, when and why", "mfx history -n 50"
    )
    history.add_argument("-n", type=int, default=15, help="show so many, the newest (%(default)s)")
    history.add_argument("--json", action="store_true", help="print all entries as JSON")
    history.add_argument(
        "--verify",
        action="store_true",
        help="check that the pushed files have the hash that the log says",
    )
    where(history, model=True)

    at = command(
        commands,
        "at",
        _at,
        "show what was in production at a time, and why",
        "mfx at 2026-11-20T18:00",
    )
    at.add_argument("time", help="in ISO 8601; it is local time if it has no zone")
    at.add_argument("--json", action="store_true", help="print it as JSON")
    where(at, model=True)


def _promote(given: argparse.Namespace) -> str:
    from mfx import registry
    from mfx.registry import actions

    found = registry.run(given.run, given.flow)
    outcome = actions.promote(
        found.run.pathspec,
        given.reason,
        given.override,
        branch=given.to_branch,
        dry_run=given.dry_run,
    )
    return _said(outcome)


def _rollback(given: argparse.Namespace) -> str:
    from mfx.registry import actions

    return _said(actions.rollback(model_of(given), given.to, given.reason, dry_run=given.dry_run))


def _said(outcome: Any) -> str:
    """What was changed, on a few lines."""
    from mfx.registry.log import PLANNED, UNDONE

    entry = outcome.entry
    done = {"promote": "promoted", "rollback": "rolled back to", "found": "found"}[entry.kind]
    if entry.state == PLANNED:
        first = f"would have {done} run {entry.run} (dry run: nothing was changed)"
    elif entry.state == UNDONE:
        first = f"nothing was changed; try again: see the note on run {entry.run}"
    elif not outcome.new:
        first = f"nothing to do: run {entry.run} has been in production since {moment(entry.since)}"
    else:
        first = f"{done} run {entry.run}"
    rows = [
        ("at", outcome.place),
        ("version", entry.version),
        ("replaces", f"run {entry.replaces}" if entry.replaces else "nothing"),
        ("SHA-256", entry.digest),
        ("by", f"{entry.who} at {moment(entry.time)}"),
        ("reason", entry.reason or NONE),
    ]
    if entry.override:
        rows.append(("override", entry.override))
    return "\n".join([first, table(rows), *(f"note: {remark}" for remark in outcome.remarks)])


def _history(given: argparse.Namespace) -> str:
    from mfx import registry
    from mfx.registry import promotion

    place = model_of(given)
    entries = registry.entries(place)
    destination = place.open()
    current = promotion.read_view(destination).current
    if given.verify:
        promotion.verify(destination)
    if given.json:
        return as_json(entries)
    if not entries:
        return f"{place}: nothing was promoted yet"
    rows = [
        (
            "*" if current and entry.number == current.number else "",
            entry.number,
            moment(entry.since or entry.time),
            entry.kind if entry.state == "done" else f"{entry.kind} ({entry.state})",
            entry.run,
            entry.version,
            entry.digest[:12],
            entry.who,
            cut(f"override: {entry.override}" if entry.override else entry.reason, 40),
        )
        for entry in entries[::-1][: given.n]
    ]
    headers = ["", "NO", "SINCE", "WHAT", "RUN", "VERSION", "SHA-256", "WHO", "WHY"]
    rest = len(entries) - len(rows)
    return "\n".join(
        [
            f"{place}, newest first; * is in production",
            table(rows, headers),
            *(["the pushed files have the SHA-256 that the log says"] if given.verify else []),
            *([f"… {rest} older: mfx history -n {len(entries)}"] if rest else []),
        ]
    )


def _at(given: argparse.Namespace) -> str:
    from mfx import registry
    from mfx.errors import MfxError

    place = model_of(given)
    entry = registry.at(given.time, place)
    if entry is None:
        raise MfxError(f"{place}: nothing was in production at {given.time}", "See `mfx history`.")
    if given.json:
        return as_json(entry)
    facts = entry.facts or {}
    metrics = {k: v for k, v in facts.get("metrics", {}).items() if isinstance(v, float)}
    rows = [
        ("run", entry.pathspec),
        ("version", entry.version),
        ("since", moment(entry.since)),
        ("by", f"{entry.who}, {entry.kind}"),
        ("reason", entry.reason or NONE),
        *([("override", entry.override)] if entry.override else []),
        ("replaced", entry.replaces or "nothing"),
        ("compared with", facts.get("baseline", NONE)),
        ("metrics", ", ".join(f"{k} {metric(v)}" for k, v in list(metrics.items())[:6]) or NONE),
        ("SHA-256", entry.digest),
        (
            "made from",
            ", ".join(f"{k} {facts.get(k, '')[:12]}" for k in ("data", "code", "config")),
        ),
    ]
    return table(rows)
