"""The list of runs: filtered, with what is in production, and a choice of those to compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from mfx.figures import metric
from mfx.registry.client import began
from mfx.registry.place import Place, branch_of
from mfx.registry.runs import RunSummary
from mfx.registry.states import RUNNING
from mfx.report.html import NONE, Html, element
from mfx.ui import trend
from mfx.ui.answers import Answer, Query
from mfx.ui.catalog import Line
from mfx.ui.site import (
    COUNTS,
    OLDEST_FIRST,
    Site,
    address,
    badge,
    blessed_badge,
    later,
    moment,
    part,
    run_link,
    section,
    state_badge,
    tiles,
)

PER_PAGE = 50
PATIENCE = 0.25
"""Seconds that a page waits for what is not read yet."""
_AGAIN, _WHILE_RUNNING = 700, 8000
"""Milliseconds until the list is asked for again: while runs are being read, and while one runs."""
_METRICS = 2
"""Metrics shown of one pipeline; of several at most twice as many."""


class View:
    """The runs that one address asks for.

    Args:
        site: What is shown.
        query: The address's query.
        wait: Whether to wait a little for what is not read yet.
    """

    def __init__(self, site: Site, query: str, wait: bool = True) -> None:
        given = Query(query, ("pipeline", "q", "page"))
        self.site = site
        self.pipeline = given.one("pipeline")
        self.text = given.one("q")
        self.page = given.number("page", 1)
        newest = self.page * PER_PAGE
        self.all = site.catalog.lines(PATIENCE if wait else 0, newest)
        self.names = pipelines(self.all)
        self.found = [line for line in self.all if self._fits(line)]
        self.shown = self.found[newest - PER_PAGE : newest]

    def _fits(self, line: Line) -> bool:
        if self.pipeline not in ("", self.names[line.flow]):
            return False
        return all(word in _words(line) for word in self.text.lower().split())

    @cached_property
    def unread(self) -> int:
        """Runs that have not been read yet."""
        return sum(line.summary is None for line in self.all)

    @cached_property
    def several(self) -> bool:
        """Whether several pipelines are shown."""
        return len({line.flow for line in self.found}) > 1

    def address(self, path: str, **changed: Any) -> str:
        """A path with this view's query."""
        given = {"pipeline": self.pipeline, "q": self.text, "page": self.page, **changed}
        return address(path, **{k: v for k, v in given.items() if (k, v) != ("page", 1)})


def pipelines(lines: Sequence[Line]) -> dict[str, str]:
    """Each flow's pipeline, as its newest run that was read says; the flow's name until then."""
    names = {line.flow: line.flow for line in lines}
    for line in reversed(lines):
        if line.summary and line.summary.pipeline:
            names[line.flow] = line.summary.pipeline
    return names


def page(site: Site, query: str) -> Answer:
    """The whole page."""
    view = View(site, query)
    body = [
        element("h1", "Runs"),
        element("div", _live(view), _trend(view), class_="overview"),
        element("section", _filters(view), _list(view), class_="runs-section"),
    ]
    return site.page("Runs", *body, at="/", again=bool(view.unread))


def listed(site: Site, query: str) -> Answer:
    """The list alone."""
    return part(_list(View(site, query)))


def course(site: Site, query: str) -> Answer:
    """The metrics of a pipeline's runs as a chart, drawn again while runs are being read."""
    view = View(site, query, wait=False)
    summaries = [line.summary for line in view.found if line.summary]
    drawn = trend.draw(summaries, _production(site, summaries))
    none = "No two runs have metrics yet."
    shown = element("div", Html(drawn), class_="wide trend") if drawn else element("p", none)
    again = view.address("/part/course", page=1) if view.unread else None
    return part(element("div", shown, data_part=again, data_after=2 * _AGAIN if again else None))


def _words(line: Line) -> str:
    """What the text of the filter is looked for in."""
    run = line.found.run
    known = line.summary
    words = [run.pathspec, *run.tags, branch_of(run)]
    if known:
        words += [known.pipeline, known.state, known.files, known.commit, known.unreadable]
    return " ".join(words).lower()


def _production(site: Site, summaries: Sequence[RunSummary]) -> dict[Place, str | None]:
    return site.catalog.production(one.place for one in summaries)


def _live(view: View) -> Html | None:
    """What is in production, of each place that the runs shown push to."""
    known = [line.summary for line in view.shown if line.summary]
    runs = {line.summary.run: line.summary for line in view.all if line.summary}
    shown = []
    for place, run in sorted(_production(view.site, known).items(), key=lambda one: str(one[0])):
        if not run:
            continue
        summary = runs.get(run)
        metrics = summary.metrics if summary else {}
        values = [f"{n} {metric(v)}" for n, v in metrics.items() if n not in COUNTS]
        link = run_link(summary.flow, run) if summary else element("span", run, class_="id")
        shown.append(
            (["In production: ", element("b", place.model)], link, ", ".join(values[:_METRICS]))
        )
    return tiles(shown, "broad") if shown else None


def _trend(view: View) -> Html | None:
    if view.several or not view.found:
        return None
    return section(
        "From run to run",
        later(view.address("/part/course", page=1), "the course of metrics", "Drawing"),
    )


def _filters(view: View) -> Html:
    names = sorted(set(view.names.values()))
    choices = [
        element("option", name or "all", value=name, selected=name == view.pipeline)
        for name in ["", *names]
    ]
    pipeline = element("label", "Pipeline", element("select", choices, name="pipeline"))
    text = element(
        "input",
        type="search",
        name="q",
        value=view.text or None,
        placeholder="id, user, tag, state, file, commit …",
    )
    return element(
        "form",
        pipeline if len(names) > 1 or view.pipeline else None,
        element("label", "Search", text, class_="grow"),
        element("button", "Filter"),
        element("a", "Show all", href="/", class_="button") if view.pipeline or view.text else None,
        class_="filters",
        role="search",
    )


def _list(view: View) -> Html:
    """The list, which asks for itself again while there is more to read."""
    running = any(line.summary and line.summary.state == RUNNING for line in view.shown)
    again = _AGAIN if view.unread else _WHILE_RUNNING if running else None
    said = f"{len(view.found):,} runs" if len(view.found) != 1 else "1 run"
    if view.unread:
        said += f"; {view.unread:,} of {len(view.all):,} are still being read"
    form = element(
        "form",
        element("input", type="hidden", name="order", value=OLDEST_FIRST),
        element(
            "div",
            element("span", said, class_="note", role="status"),
            element("button", "Compare", id="compare", class_="first"),
            class_="bar",
        ),
        _table(view) if view.shown else _nothing(view),
        action="/compare",
    )
    return element(
        "div",
        form,
        _pages(view),
        data_part=view.address("/part/runs") if again else None,
        data_after=again,
    )


def _nothing(view: View) -> Html:
    if view.all:
        return element("p", "No run fits the filter.")
    return element("p", view.site.catalog.nothing or "There are no runs yet.")


def _pages(view: View) -> Html | None:
    last = -(-len(view.found) // PER_PAGE)
    if last <= 1:
        return None
    newer = element("a", "← newer", href=view.address("/", page=view.page - 1))
    older = element("a", "older →", href=view.address("/", page=view.page + 1))
    return element(
        "nav",
        newer if view.page > 1 else None,
        element("span", f"page {view.page} of {last}", class_="note"),
        older if view.page < last else None,
        class_="pages",
        aria_label="More runs",
    )


def _table(view: View) -> Html:
    known = [line.summary for line in view.shown if line.summary]
    names = dict.fromkeys(name for one in known for name in one.metrics if name not in COUNTS)
    metrics = list(names)[: _METRICS * (2 if view.several else 1)]
    production = _production(view.site, known)
    columns = _columns(metrics, production)
    own = ["Run", "Began", "State", *["Pipeline"] * view.several]
    heads = [
        element("th", element("span", "Choose to compare", class_="unseen"), scope="col"),
        *(element("th", name, scope="col") for name in own),
        *(element("th", name, scope="col", class_=kind or None) for name, kind, _ in columns),
    ]
    return element(
        "div",
        element(
            "table",
            element("caption", "Runs, newest first", class_="unseen"),
            element("thead", element("tr", heads)),
            element("tbody", [_row(view, line, columns) for line in view.shown]),
            class_="runs",
        ),
        class_="wide",
    )


Column = tuple[str, str, Callable[[RunSummary], Any]]
"""A column's head, its class, and what stands in it."""


def _columns(metrics: Sequence[str], production: dict[Place, str | None]) -> list[Column]:
    """The columns of what a run came to."""

    def figure(name: str) -> Callable[[RunSummary], str]:
        return lambda one: metric(one.metrics[name]) if name in one.metrics else NONE

    return [
        *((name, "n", figure(name)) for name in metrics),
        ("Model", "", lambda one: _model(one, production.get(one.place) if one.place else "")),
        ("Data", "low files", lambda one: one.files or NONE),
        ("Rows", "low n", lambda one: NONE if one.rows is None else f"{one.rows:,}"),
        ("Commit", "low id", lambda one: one.commit or NONE),
        ("By", "low", lambda one: f"{one.user} {one.branch}".strip() or NONE),
    ]


def _row(view: View, line: Line, columns: Sequence[Column]) -> Html:
    run, one = line.found.run, line.summary
    about = f"Compare run {run.id}"
    box = element("input", type="checkbox", name="run", value=run.pathspec, aria_label=about)
    if one is None:
        state, rest = element("span", "reading …", class_="reading"), [_across("", columns)]
    elif one.unreadable:
        state, rest = badge("unreadable", "bad"), [_across(one.unreadable, columns)]
    else:
        state = state_badge(one.state)
        rest = [
            element("td", cell(one), class_=kind or None, data_label=name)
            for name, kind, cell in columns
        ]
    return element(
        "tr",
        element("td", box),
        element("th", run_link(line.flow, run.id), scope="row"),
        element("td", moment(began(run))),
        element("td", state),
        element("td", view.names[line.flow]) if view.several else None,
        rest,
    )


def _across(said: str, columns: Sequence[Column]) -> Html:
    return element("td", said, colspan=len(columns), class_="why")


def _model(one: RunSummary, served: str | None) -> Html:
    """What became of its model."""
    live = badge("in production", "live") if served == one.run else None
    unknown = badge("production?", title="its destination cannot be read")
    pushed = badge("pushed", title=f"as version {one.version}") if one.version else None
    shown = [live or (unknown if served is None else pushed), blessed_badge(one.blessed)]
    return element("span", shown, class_="badges") if any(shown) else Html(NONE)
