"""What is in production, and what was: the log of promotions of each place that runs push to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from mfx import environment, figures
from mfx.errors import MfxError
from mfx.registry.log import DONE, Entry, Log, parse_time
from mfx.registry.place import Place
from mfx.registry.promotion import UNKNOWN, View, read_view
from mfx.report import html
from mfx.report.html import NONE, Html, element
from mfx.ui.answers import Answer, Query
from mfx.ui.pages.runs import PATIENCE, pipelines
from mfx.ui.site import (
    Site,
    address,
    badge,
    callout,
    facts,
    moment_of,
    part,
    run_link,
    run_path,
    section,
)

_KINDS = {"promote": "good", "rollback": "warn"}
_AGAIN = 1000
"""Milliseconds until it is asked for again, while runs are being read that may push elsewhere."""


def page(site: Site, query: str) -> Answer:
    """The whole page."""
    shown, unread = _shown(site, query)
    return site.page(
        "Production", element("h1", "Production"), shown, at="/production", again=unread
    )


def listed(site: Site, query: str) -> Answer:
    """What it shows, alone."""
    return part(_shown(site, query)[0])


def _shown(site: Site, query: str) -> tuple[Html, bool]:
    pipeline = Query(query, ("pipeline",)).one("pipeline")
    lines = site.catalog.lines(PATIENCE)
    names = pipelines(lines)
    fitting = [line for line in lines if pipeline in ("", names[line.flow])]
    unread = any(line.summary is None for line in fitting)
    places = dict.fromkeys(
        line.summary.place for line in fitting if line.summary and line.summary.place
    )
    nothing = site.catalog.nothing or "No run says yet where its model goes."
    again = unread and element("p", "Reading where older runs push to …", class_="reading")
    shown = element(
        "div",
        [_place(place) for place in places if place] or element("p", nothing),
        again,
        data_part=address("/part/production", pipeline=pipeline) if unread else None,
        data_after=_AGAIN if unread else None,
    )
    return shown, unread


def _place(place: Place) -> Html:
    """What is served there, what was, and the whole log."""
    try:
        destination = place.open()
        view, entries = read_view(destination), Log(destination).entries()
    except MfxError as error:
        return section(place.model, callout(f"{place}: {error.what}", error.remedy, "bad"))
    if not entries and not view.versions:
        return section(place.model, element("p", f"Nothing is in production at {place} yet."))
    return section(
        place.model,
        _live(place, view),
        _served(view.served),
        entries_table(entries[::-1], view.current),
    )


def _live(place: Place, view: View) -> Html:
    version = view.versions[-1] if view.versions else None
    if not view.current:
        said = f"Version {version} is served at {place}; something else than MFX put it there."
        return callout(said if version else f"Nothing is served at {place} now.")
    entry = view.current
    metrics = {k: v for k, v in (entry.facts or {}).get("metrics", {}).items() if k != "slice"}
    shown = ", ".join(f"{name} {figures.metric(value)}" for name, value in metrics.items())
    return facts(
        [
            ("in production", [run_link(entry.flow, entry.run), " ", badge("live", "live")]),
            ("version", f"{version} at {_shown_place(place)}"),
            ("since", [moment_of(entry.since), f", by {entry.who}"]),
            *([("metrics", shown)] if shown else []),
            *([("reason", entry.reason)] if entry.reason else []),
            *([("override", entry.override)] if entry.override else []),
        ]
    )


def _shown_place(place: Place) -> str:
    """From the project, if it lies in it."""
    return str(place).removeprefix(f"{environment.project()}/")


def _served(served: Sequence[Entry]) -> Html | None:
    """Which run was served when, as one bar."""
    if not served:
        return None
    times = [parse_time(entry.since) for entry in served]
    now = datetime.now().astimezone()
    whole = max((now - times[0]).total_seconds(), 1e-3)
    bars = []
    for number, (entry, since, until) in enumerate(
        zip(served, times, [*times[1:], now], strict=True)
    ):
        start = (since - times[0]).total_seconds() / whole
        length = max((until - since).total_seconds() / whole, 0.002)
        about = f"run {entry.run}, {entry.kind}: from {since.astimezone():%Y-%m-%d %H:%M}"
        rect = element(
            "rect",
            element("title", about),
            x=f"{start * 100:.3f}%",
            width=f"{length * 100:.3f}%",
            height="100%",
        )
        kind = "now" if number == len(served) - 1 else "other" if number % 2 else None
        target = run_path(entry.flow, entry.run)
        bars.append(element("a", rect, href=target, class_=kind, aria_label=about))
    said = f"Which of {len(served)} entries was served when"
    return element(
        "div",
        element("svg", bars, role="group", aria_label=said),
        element(
            "div",
            element("span", moment_of(served[0].since)),
            element("span", "now"),
            class_="ends",
        ),
        class_="served",
    )


def _before(entry: Entry) -> Any:
    """What was served before, or what is served again."""
    if entry.restores:
        return f"entry {entry.restores} again"
    known = entry.replaces not in ("", UNKNOWN)
    return run_link(entry.flow, entry.replaces) if known else entry.replaces or NONE


def entries_table(entries: Sequence[Entry], current: Entry | None = None) -> Html:
    """The log, as it is given."""
    rows: list[list[Any]] = []
    for entry in entries:
        live = current is not None and entry.number == current.number
        state = badge(entry.state, "warn", entry.outcome) if entry.state != DONE else None
        why = [f"override: {entry.override} "] if entry.override else []
        rows.append(
            [
                f"{entry.number}",
                moment_of(entry.since or entry.time),
                [
                    badge(entry.kind, _KINDS.get(entry.kind, "")),
                    " ",
                    state,
                    badge("live", "live") if live else None,
                ],
                run_link(entry.flow, entry.run),
                f"{entry.version}",
                entry.who,
                [*why, entry.reason or ("" if why else NONE)],
                _before(entry),
            ]
        )
    headers = ["no.", "since", "what", "run", "version", "by", "why", "in place of"]
    return html.table(headers, rows, "Log of promotions, newest first")
