"""One run: how it went, what it was made from, what came of it, its data, slices and cards."""

from __future__ import annotations

from typing import Any

from mfx import figures, registry
from mfx.artifacts import OVERALL, Evaluation
from mfx.registry import show, steps
from mfx.registry.client import UnreadableError, began
from mfx.registry.page import change_section
from mfx.registry.runs import Results
from mfx.report import charts
from mfx.report.html import NONE, Html, element, table
from mfx.splits import EVAL
from mfx.ui.answers import CARD, Answer, Query
from mfx.ui.pages.history import entries_table
from mfx.ui.site import (
    COUNTS,
    Site,
    address,
    as_far_as_read,
    badge,
    blessed_badge,
    facts,
    later,
    moment,
    part,
    run_path,
    section,
    state_badge,
    tiles,
)

TABS = {"": "Overview", "data": "Schema and anomalies", "slices": "Slices", "cards": "Cards"}
_KINDS = {steps.FAILED: "bad", steps.NOT_DONE: "warn"}


def overview(site: Site, flow: str, run: str, query: str) -> Answer:
    """How it went and what came of it."""
    found = _find(flow, run, query)
    evaluated = as_far_as_read(_evaluation, found)
    return _tab(site, found, "", evaluated, _steps(found), as_far_as_read(_details, found))


def data(site: Site, flow: str, run: str, query: str) -> Answer:
    """Its schema, its anomalies, its features' distributions."""
    from mfx.ui.pages import schema

    found = _find(flow, run, query)
    return _tab(
        site,
        found,
        "data",
        as_far_as_read(schema.anomalies, found),
        as_far_as_read(schema.schema, found),
    )


def slices(site: Site, flow: str, run: str, query: str) -> Answer:
    """Its metrics by slice."""
    found = _find(flow, run, query)
    return _tab(site, found, "slices", as_far_as_read(_slices, found))


def cards(site: Site, flow: str, run: str, query: str) -> Answer:
    """The cards of its steps."""
    found = _find(flow, run, query)
    shown = [_card(found, one) for one in steps.cards(found)]
    none = section("Cards", element("p", "This run has left no cards."))
    return _tab(site, found, "cards", shown or none)


def card(site: Site, flow: str, run: str, step: str, task: str, number: str, query: str) -> Answer:
    """A card's own HTML, which gets no access to anything."""
    text = steps.card(_find(flow, run, query), step, task, int(number))
    return Answer(text, policy=CARD)


def slice_charts(site: Site, flow: str, run: str, query: str) -> Answer:
    """Metrics by slice, ROC and calibration as charts."""
    from mfx.report.vega_lite import grid, svg

    evaluation = _find(flow, run, query).need("evaluate", "evaluation")
    shown = []
    curves = [draw(evaluation.curves) for draw in (charts.roc, charts.calibration)]
    if drawn := [one for one in curves if one]:
        shown.append(section("ROC and calibration", Html(svg(grid(drawn, 2), "ROC, calibration"))))
    by_feature = charts.slices(evaluation.rows, evaluation.baseline_rows)
    for feature, drawn in by_feature.items():
        note = "Area: examples in the slice. Dashed: all examples."
        picture = Html(svg(grid(drawn, 2), f"Metrics by {feature}"))
        shown.append(section(f"By {feature}", element("p", note, class_="note"), picture))
    return part(*shown or [section("Slices", element("p", "There is nothing to draw."))])


def _find(flow: str, run: str, query: str) -> Results:
    Query(query, ())
    return registry.run(run, flow)


def _tab(site: Site, found: Results, name: str, *body: Any) -> Answer:
    """A page of the run, below what all of them begin with."""
    flow, run = found.run.pathspec.split("/")
    links = [
        element(
            "a",
            title,
            href=run_path(flow, run, *[tab] * bool(tab)),
            aria_current="page" if tab == name else None,
        )
        for tab, title in TABS.items()
    ]
    tabs = element("nav", links, class_="tabs", aria_label="Of this run")
    return site.page(f"Run {run}", _head(site, found), tabs, *body)


def _head(site: Site, found: Results) -> list[Html]:
    try:
        settings, evaluation = found.settings, found.evaluation
    except UnreadableError:  # the tabs say why
        settings = evaluation = None
    flow = found.run.pathspec.partition("/")[0]
    served = None
    if settings:
        served = site.catalog.production([found.place])[found.place]
    badges = [
        badge("in production", "live") if served == found.id else None,
        state_badge(found.state),
        blessed_badge(evaluation.blessing.blessed if evaluation else None),
    ]
    user = next((tag[5:] for tag in found.run.tags if tag.startswith("user:")), "")
    compare = None
    if served and served != found.id:
        target = address("/compare", run=[f"{flow}/{served}", found.run.pathspec])
        compare = element("a", "Compare with production", href=target, class_="button")
    return [
        element(
            "div",
            element(
                "h1",
                settings.pipeline.name if settings else flow,
                " ",
                element("span", found.id, class_="id"),
            ),
            element("span", badges, class_="badges"),
            compare,
            class_="head",
        ),
        element(
            "p", "began ", moment(began(found.run)), f", by {user}" if user else "", class_="note"
        ),
    ]


def _steps(found: Results) -> Any:
    """When each step ran, as bars on one line of time."""
    times = steps.steps(found)
    if not times:
        return section("Steps", element("p", "No step has begun."))
    first = times[0].began
    last = max(one.ended or one.began for one in times)
    whole = max((last - first).total_seconds(), 1e-3)
    rows = []
    for one in times:
        start = (one.began - first).total_seconds() / whole
        end = ((one.ended or last) - first).total_seconds() / whole
        bar = element(
            "rect",
            x=f"{start * 100:.2f}%",
            width=f"{max(end - start, 0.004) * 100:.2f}%",
            height="100%",
            rx=3,
            class_=f"fill {_KINDS.get(one.state, '')}".strip(),
        )
        notes = [f"{one.tasks:,} tasks "] if one.tasks > 1 else []
        notes += [badge(one.state, _KINDS[one.state])] if one.state in _KINDS else []
        rows.append(
            element(
                "tr",
                element("th", one.name, scope="row"),
                element("td", element("svg", bar, aria_hidden="true"), class_="span"),
                element("td", _took(one.seconds), class_="n"),
                element("td", notes or None),
            )
        )
        if one.error:
            said = element("pre", one.error[-2000:])
            rows.append(element("tr", element("td", said, colspan=4)))
    caption = element("caption", "Steps, in the order in which they began", class_="unseen")
    shown = element("table", caption, element("tbody", rows), class_="steps")
    return section(f"Steps, {_took(whole)} in all", element("div", shown, class_="wide"))


def _took(seconds: float | None) -> str:
    """A duration for people."""
    if seconds is None:
        return NONE
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s"


def _evaluation(found: Results) -> Any:
    """Its metrics as large figures."""
    evaluation = found.evaluation
    if evaluation is None:
        return None
    before = charts.overall(evaluation.baseline_rows)
    shown = []
    for name, value in sorted(evaluation.overall.items(), key=lambda one: one[0] in COUNTS):
        was = before.get(name)
        note = evaluation.why_none(name) if value is None else ""
        if value is not None and was is not None and name not in COUNTS:
            note = f"{figures.difference(value - was)} vs baseline"
        shown.append((name, figures.metric(value), note))
    return tiles(shown)


def _details(found: Results) -> list[Any]:
    """What it was made from, what changed, its checks, and what the log says of it."""
    details = show.gather(found)
    left_out = ("run", "metrics")
    made = facts((name, said) for name, said in details.facts.items() if name not in left_out)
    return [
        section("What it was made from, and what came of it", made),
        _checks(found.evaluation),
        change_section(details.parent) if details.parent else None,
        section("In the log of promotions", entries_table(details.promotions))
        if details.promotions
        else None,
    ]


def _checks(evaluation: Evaluation | None) -> Html | None:
    if evaluation is None:
        return None
    blessing = evaluation.blessing
    ordered = sorted(blessing.checks, key=lambda check: (check.passed, not check.checked))
    rows = [
        [
            badge(check.verdict, "good" if check.passed else "bad" if check.checked else ""),
            check.metric,
            str(check.slice),
            figures.metric(check.value) + (f" ({check.no_value})" if check.no_value else ""),
            check.rule,
        ]
        for check in ordered
    ]
    on = f" on the {evaluation.split} split" if evaluation.split != EVAL else ""
    compared = f"{blessing.outcome}{on}; compared with {blessing.baseline}."
    said = element("p", compared, class_="note")
    if not rows:
        return section("Checks", said)
    headers = ["", "metric", "slice", "value", "needs"]
    failing = len(blessing.failures) + len(blessing.unchecked)
    shown = table(headers, rows[: max(failing, 5)], "Checks of the blessing")
    rest = rows[max(failing, 5) :]
    more = element(
        "details", element("summary", f"{len(rest)} more, all passed"), table(headers, rest)
    )
    return section("Checks", said, shown, more if rest else None)


def _slices(found: Results) -> list[Any]:
    evaluation = found.evaluation
    if evaluation is None:
        return [
            section("Slices", element("p", "This run has no metrics: it did not get that far."))
        ]
    path = run_path(*found.run.pathspec.split("/"), below="/part/slices")
    rows = [row for row in evaluation.rows if row.slice != OVERALL]
    names = list(dict.fromkeys(name for row in rows for name in row.metrics))
    why = evaluation.why_none
    cells = [
        [str(row.slice), *(_metric(row.metrics.get(n), why(n, row.slice)) for n in names)]
        for row in rows
    ]
    shown = (
        table(["slice", *names], cells, "Metrics by slice")
        if rows
        else element("p", "None are configured.")
    )
    return [later(path, "charts", "Drawing"), section("All slices", shown)]


def _metric(value: float | None, why_none: str) -> str:
    return f"{NONE} ({why_none})" if value is None and why_none else figures.metric(value)


def _card(found: Results, one: steps.StepCard) -> Html:
    flow, run = found.run.pathspec.split("/")
    target = run_path(flow, run, one.step, one.task, str(one.number), below="/card")
    title = f"{one.step}, task {one.task}"
    extra = one.kind.removeprefix("blank").strip()
    return section(
        title + (f": {extra}" if extra else ""),
        element("p", element("a", "Open it alone", href=target, target="_blank", rel="noopener")),
        element(
            "iframe",
            src=target,
            title=f"Card of {title}",
            sandbox="allow-scripts allow-popups",
            loading="lazy",
        ),
    )
